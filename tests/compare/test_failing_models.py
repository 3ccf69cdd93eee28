"""A model that fails, in whatever way, is one row with its cause, and never the end of the others."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compared_models import add_model, make_comparison_project, run_here
from rollwright.app.compare.logs import list_comparison_logs
from rollwright.app.compare.run import ComparisonResult, run_comparison
from rollwright.compare.environment import EnvironmentLock
from rollwright.compare.this_environment import ThisEnvironment
from rollwright.errors import CompareError

pytestmark = pytest.mark.slow


def causes(result: ComparisonResult) -> dict[str, str]:
    return {one.key.model: one.cause for one in result.evaluations if one.status == "failed"}


def test_models_that_fail_do_not_disturb_the_others(tmp_path: Path) -> None:
    models = make_comparison_project(
        tmp_path / "p", "ridge", "walk", "trees", "impossible", "refused", "typo", "absent", "raises", "writes"
    )
    result = run_here(models, jobs=2)
    assert result.exit_code == 1
    assert result.without_environment == ("impossible",)
    found = causes(result)
    assert set(found) == {"impossible", "refused", "typo", "absent", "raises"}
    assert found["impossible"].startswith("`numpy<1` is required, and here is numpy")
    assert found["refused"] == "rollwright.errors.ConfigError: alpha is -1: it is 0 or more"
    assert "unknown key `task.model.kwarg`" in found["typo"]
    assert "ModuleNotFoundError: No module named 'a_module_that_nobody_has'" in found["absent"]
    assert found["raises"].startswith("ValueError: token=***")
    done = {one.key.model: one for one in result.evaluations if one.status == "done"}
    assert set(done) == {"ridge", "walk", "trees", "writes"}
    logs = {log.name: log.text or "" for log in list_comparison_logs("models", "raises", project=models.parent)}
    assert any("in __init__" in text for name, text in logs.items() if "/" in name)
    assert not any("secret1" in text for text in logs.values())
    written = list_comparison_logs("models", "writes", project=models.parent)
    work = models.parent / ".rollwright" / "comparisons" / "models" / "work"
    assert any(f"written to {work / 'writes' / 'task-'}" in (log.text or "") for log in written)
    assert not [*work.rglob("left")]
    assert not (models.parent / "left").exists()


def test_a_task_has_a_limit_of_time_and_memory(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "ridge", "slow", "large")
    (models.parent / "rollwright.toml").write_text("[pool]\nmax_attempts = 1\n")
    result = run_here(models, jobs=2, timeout=60.0, memory=0.8)
    found = causes(result)
    assert found["slow"] == "no result within 60 s"
    assert found["large"].startswith("out of memory: its process took")
    assert set(found) == {"slow", "large"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes the network from a process")
def test_tasks_without_a_network_reach_nobody(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "ridge")
    with socket.create_server(("127.0.0.1", 0)) as server:
        add_model(models, "calls", PORT=server.getsockname()[1])
        with_network = run_here(models)
        without = run_here(models, network=False, name="closed")
    assert with_network.exit_code == 0
    assert set(causes(without)) == {"calls"}
    assert "Network is unreachable" in causes(without)["calls"]


def test_stores_on_servers_are_refused_without_a_network(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "ridge")
    (models.parent / "rollwright.toml").write_text('[tracking]\nuri = "http://127.0.0.1:9"\n')
    with pytest.raises(CompareError, match=r"without a network tracking\.uri cannot be http"):
        run_here(models, network=False)


def test_where_every_environment_fails_that_is_told_by_the_exit_code(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "impossible")
    result = run_here(models, times=2)
    assert result.exit_code == 3
    assert [one.status for one in result.evaluations] == ["failed", "failed"]


def test_with_other_versions_a_model_is_trained_anew_and_with_the_former_found_again(tmp_path: Path) -> None:
    models = make_comparison_project(tmp_path / "p", "ridge")
    told: list[tuple[str, Any]] = []

    def compare(text: str) -> list[str]:
        told.clear()
        run_comparison(
            models,
            environments=OtherVersions(text),
            project=models.parent,
            on_progress=lambda what, _model, value: told.append((what, value)),
        )
        (planned,) = [value for what, value in told if what == "message" and value["kind"] == "planned"]
        return [f"{planned['kept']} kept", *(line for what, value in told if what == "changed" for line in value)]

    assert compare("numpy==1\n") == ["0 kept"]
    changed = "model ridge: other versions of its packages are installed; it is trained anew"
    assert compare("numpy==2\n") == ["0 kept", changed]
    assert compare("numpy==1\n") == ["1 kept", changed]


class OtherVersions(ThisEnvironment):
    """Says that other versions are installed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def compile(self, requirements: Path) -> EnvironmentLock:
        return replace(super().compile(requirements), text=self.text)
