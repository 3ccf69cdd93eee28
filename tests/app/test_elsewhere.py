"""A campaign whose windows are trained by workers that something else starts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from rollwright.app.campaign import roll_campaign
from rollwright.app.cluster import check_shared_stores, open_launcher
from rollwright.app.elsewhere import WorkersElsewhere
from rollwright.app.open_campaign import open_campaign
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, LaunchError
from rollwright.launch.launcher import LaunchedWorker, Launcher, LauncherTraits, Resources, WorkerCommand
from slurm_campaign import make_slow_project
from small_campaign import make_project, roll_here


class IdleLauncher:
    """An engine whose workers end at once without doing anything."""

    traits = LauncherTraits(multi_host=False, warns_before_end=True, has_time_limit=False, restarts=False, elastic=True)

    def __init__(self, *, lost: bool = False) -> None:
        self.submitted: list[int] = []
        self.lost = lost

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        self.submitted.append(count)
        return [f"{len(self.submitted)}_{number}" for number in range(count)]

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        return []

    def cancel(self, ids: Sequence[str]) -> None:
        raise AssertionError("nobody is left to be ended")

    def describe(self, count: int, command: WorkerCommand, resources: Resources) -> str:
        return ""


@pytest.mark.slow
def test_windows_trained_elsewhere_give_the_bytes_of_those_trained_here(tmp_path: Path) -> None:
    here = make_project(tmp_path / "here")
    assert roll_here(here) is not None
    file = make_project(tmp_path / "there")
    campaign = open_campaign(file, project=file.parent)
    events = []
    workers = WorkersElsewhere(campaign.settings, campaign.name, on="local", jobs=2)

    result = roll_campaign(
        campaign, jobs=2, elsewhere=workers.train, on_progress=lambda what, value: events.append((what, value))
    )

    assert result is not None
    for name in ("pred.parquet", "label.parquet"):
        made = [(one.parent / "results" / "small" / name).read_bytes() for one in (here, file)]
        assert made[0] == made[1]
    windows = next(value for what, value in events if what == "submitted").ids
    done = [event.task_id for what, event in events if what == "event" and event.kind == "done"]
    assert sorted(done) == sorted(windows.values())
    launcher = open_launcher(campaign.settings, "local")
    end = time.monotonic() + 30
    while launcher.list():  # they were told to end, which takes them a moment
        assert time.monotonic() < end
        time.sleep(0.05)


def test_workers_that_end_again_and_again_end_the_wait(tmp_path: Path) -> None:
    file = make_project(tmp_path / "project")
    campaign = open_campaign(file, project=file.parent, overrides=())
    idle = IdleLauncher()
    workers = WorkersElsewhere(campaign.settings, campaign.name, on=None, jobs=2, launcher=idle, look=0)

    with pytest.raises(LaunchError, match="started 3 times and ended, or were held, before a task ended"):
        roll_campaign(campaign, jobs=2, elsewhere=workers.train)

    assert idle.submitted == [2, 2, 2]


class HoldingLauncher(IdleLauncher):
    """An engine that can start none of its workers and keeps them in its queue."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[str] = []

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        ids = super().submit(count, command, resources)
        self.left += ids
        return ids

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        return [LaunchedWorker(id=one, name="small", state="held", reason="launch failed") for one in self.left]

    def cancel(self, ids: Sequence[str]) -> None:
        self.left = [one for one in self.left if one not in ids]


def test_workers_that_the_engine_holds_are_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = make_project(tmp_path / "project")
    campaign = open_campaign(file, project=file.parent)
    holding = HoldingLauncher()
    workers = WorkersElsewhere(campaign.settings, campaign.name, on=None, jobs=2, launcher=holding, look=0)

    with pytest.raises(LaunchError, match="were held"):
        roll_campaign(campaign, jobs=2, elsewhere=workers.train)

    assert holding.submitted == [2, 2, 2]
    assert holding.left == []
    held = [text for text in caplog.messages if text.startswith("workers.held")]
    assert held[0] == "workers.held campaign=small count=2 reasons=launch failed"
    assert len(held) == 1


class BusyLauncher(HoldingLauncher):
    """An engine that has no room; the second look finds a worker running, and then none."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def list(self, name: str | None = None) -> Sequence[LaunchedWorker]:
        self.looks += 1
        if self.looks > 3:
            return []
        state = "running" if self.looks == 2 else "pending"
        return [
            LaunchedWorker(id=one, name="small", state=state, reason="Resources")
            for one, state in zip(self.left, (state, "pending"), strict=False)
        ]


def test_why_no_worker_runs_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = make_project(tmp_path / "project")
    campaign = open_campaign(file, project=file.parent)
    workers = WorkersElsewhere(campaign.settings, campaign.name, on=None, jobs=2, launcher=BusyLauncher(), look=0)

    with pytest.raises(LaunchError):
        roll_campaign(campaign, jobs=2, elsewhere=workers.train)

    waiting = [text for text in caplog.messages if text.startswith("workers.waiting")]
    assert waiting == ["workers.waiting campaign=small count=2 reasons=Resources"]


class LosingLauncher:
    """This machine, where the first of the workers that are started together is killed at once."""

    def __init__(self, local: Launcher) -> None:
        self._local = local
        self.traits = local.traits
        self.submitted: list[int] = []
        self.list, self.cancel, self.describe = local.list, local.cancel, local.describe

    def submit(self, count: int, command: WorkerCommand, resources: Resources) -> Sequence[str]:
        ids = self._local.submit(count, command, resources)
        if not self.submitted:
            os.kill(int(ids[0]), signal.SIGKILL)
        self.submitted.append(count)
        return ids


def test_a_worker_that_dies_is_replaced_while_the_others_work(tmp_path: Path) -> None:
    file = make_slow_project(tmp_path / "project", windows=6, seconds=1.0)
    campaign = open_campaign(file, project=file.parent)
    losing = LosingLauncher(open_launcher(campaign.settings, "local"))
    workers = WorkersElsewhere(campaign.settings, campaign.name, on=None, jobs=2, launcher=losing, look=0.1)

    assert roll_campaign(campaign, jobs=2, elsewhere=workers.train) is not None
    assert losing.submitted[:2] == [2, 1]


def test_other_machines_do_not_get_files_of_this_one(tmp_path: Path) -> None:
    (tmp_path / "rollwright.toml").write_text("")
    settings = load_settings(start=tmp_path)
    slurm = open_launcher(settings, "slurm")
    with pytest.raises(ConfigError, match=r"`pool\.url` and `tracking\.uri` is a file of this machine"):
        check_shared_stores(settings, slurm)
    servers = {"pool.url": "postgresql://db/tasks", "tracking.uri": "http://tracking"}
    check_shared_stores(settings.with_values(servers, origin="test"), slurm)
    check_shared_stores(settings.with_values({"cluster.one_machine": True}, origin="test"), slurm)
    check_shared_stores(settings, open_launcher(settings, "local"))
