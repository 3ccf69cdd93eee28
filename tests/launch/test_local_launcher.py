"""Workers as processes of this machine: found again by a later command, and never taken for another process."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rollwright.core.clock import SystemClock
from rollwright.errors import ConfigError
from rollwright.launch.launcher import Resources, WorkerCommand
from rollwright.launch.local import LocalLauncher

_UNTIL_TOLD = (sys.executable, "-c", "import signal; print('ready', flush=True); signal.pause()")


def wait_for(condition: object) -> None:
    clock = SystemClock()
    end = clock.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert clock.monotonic() < end
        clock.sleep(0.02)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[LocalLauncher]:
    launcher = LocalLauncher(tmp_path / "launched")
    yield launcher
    launcher.cancel([one.id for one in launcher.list()])
    wait_for(lambda: not launcher.list())


def make_command(tmp_path: Path, name: str = "alpha") -> WorkerCommand:
    return WorkerCommand(name=name, words=_UNTIL_TOLD, folder=tmp_path, logs=tmp_path / "logs")


def test_workers_are_found_by_a_later_command_and_end_when_told(launcher: LocalLauncher, tmp_path: Path) -> None:
    ids = launcher.submit(2, make_command(tmp_path), Resources())
    launcher.submit(1, make_command(tmp_path, "beta"), Resources())
    later = LocalLauncher(tmp_path / "launched")

    assert [one.id for one in later.list("alpha")] == sorted(ids, key=int)
    assert {one.owner for one in later.list("alpha")} == {f"{platform.node()}:{one}:" for one in ids}
    assert {one.name for one in later.list()} == {"alpha", "beta"}
    later.cancel(ids)

    wait_for(lambda: not later.list("alpha"))
    assert [one.name for one in later.list()] == ["beta"]


def test_a_worker_that_ended_leaves_nothing_behind_in_the_process_that_started_it(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    (pid,) = launcher.submit(1, make_command(tmp_path), Resources())
    launcher.cancel([pid])

    wait_for(lambda: not launcher.list())
    assert not psutil.pid_exists(int(pid)), "an elastic pool that starts many would leave as many zombies"


def test_what_each_prints_goes_to_a_log_of_its_own(launcher: LocalLauncher, tmp_path: Path) -> None:
    launcher.submit(2, make_command(tmp_path), Resources())
    logs = [tmp_path / "logs" / f"local-{number}.log" for number in (1, 2)]
    wait_for(lambda: all(log.is_file() and log.read_text() == "ready\n" for log in logs))


def test_a_process_that_got_the_number_of_a_worker_is_left_alone(launcher: LocalLauncher, tmp_path: Path) -> None:
    note = {"pid": os.getpid(), "started": psutil.Process().create_time() - 100, "name": "alpha"}
    (tmp_path / "launched").mkdir()
    path = tmp_path / "launched" / f"{os.getpid()}.json"
    path.write_text(json.dumps(note))

    launcher.cancel([str(os.getpid())])

    assert launcher.list() == []
    assert not path.exists()


@pytest.mark.parametrize("text", ["[]", "{", '{"pid": 1e400, "started": 0, "name": "a"}', '{"pid": "x"}', "\x00"])
def test_a_damaged_note_is_no_worker(launcher: LocalLauncher, tmp_path: Path, text: str) -> None:
    (tmp_path / "launched").mkdir()
    (tmp_path / "launched" / "1.json").write_text(text)
    assert launcher.list() == []


@pytest.mark.parametrize("given", ["-1", "1 ", "0x1", "²", "all"])
def test_what_is_no_number_ends_nothing(launcher: LocalLauncher, given: str) -> None:
    with pytest.raises(ConfigError, match="no worker of this machine"):
        launcher.cancel([given])


def test_limits_that_nobody_would_keep_are_refused(launcher: LocalLauncher, tmp_path: Path) -> None:
    for resources in (Resources(seconds=60), Resources(memory=1), Resources(gpus=1)):
        with pytest.raises(ConfigError, match="keeps no limit"):
            launcher.submit(1, make_command(tmp_path), resources)
    assert launcher.list() == []
