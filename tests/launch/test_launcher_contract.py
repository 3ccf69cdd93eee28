"""Every launcher keeps the promises of the port; the engines' programs are scripts that start processes here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine_programs
from rollwright.launch.kubernetes import KubernetesLauncher
from rollwright.launch.kubernetes_objects import PodPlan
from rollwright.launch.local import LocalLauncher
from rollwright.launch.slurm import SlurmLauncher
from rollwright.testing.launcher import EngineUnderTest, LauncherConformance


class TestLocal(LauncherConformance):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[EngineUnderTest]:
        launcher = LocalLauncher(tmp_path / "launched")
        yield EngineUnderTest(
            launcher=launcher, folder=tmp_path, other_project=lambda: LocalLauncher(tmp_path / "other")
        )
        launcher.cancel([one.id for one in launcher.list()])
        end = time.monotonic() + 30
        while launcher.list():
            assert time.monotonic() < end, "a worker never ended"
            time.sleep(0.02)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that programs of an engine, which are on the PATH, note in what they started."""
    programs, state = tmp_path / "bin", tmp_path / "state"
    engine_programs.install(programs, state, "sbatch", "squeue", "scancel", "kubectl")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    yield state
    engine_programs.end_all(state)


class TestSlurm(LauncherConformance):
    @pytest.fixture
    def engine(self, tmp_path: Path, state: Path) -> EngineUnderTest:
        del state
        return EngineUnderTest(
            launcher=SlurmLauncher(project="p1"),
            folder=tmp_path,
            other_project=lambda: SlurmLauncher(project="p2"),
        )


class TestKubernetes(LauncherConformance):
    @pytest.fixture
    def engine(self, tmp_path: Path, state: Path) -> EngineUnderTest:
        del state
        plan = PodPlan(image="registry/rollwright:1", folder=str(tmp_path))
        return EngineUnderTest(
            launcher=KubernetesLauncher(plan, project="p1"),
            folder=tmp_path,
            other_project=lambda: KubernetesLauncher(plan, project="p2"),
        )
