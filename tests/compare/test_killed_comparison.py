"""A comparison that is killed anywhere and given again ends with the same evaluations; nobody works on behind it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from compared_models import make_comparison_project
from crash_size import sized
from rollwright.app.compare.run import read_evaluations
from rollwright.config.settings import load_settings

pytestmark = pytest.mark.crash

PROCESS = Path(__file__).parents[1] / "helpers" / "comparison_process.py"
MODELS = ("ridge", "trees", "walk", "refused")
TIMES = 2


def start(models: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROCESS), str(models), str(TIMES), "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=models.parent,
    )


def finish(models: Path) -> list[Any]:
    """Run to the end and return what was found, but for what the machine took."""
    with start(models) as process:
        assert process.stdout is not None
        process.stdout.read()
        assert process.wait(600) == 0
    found = read_evaluations(load_settings(start=models.parent))
    return [(one.key, one.status, one.cause, one.digest, dict(one.metrics), one.excess.tolist()) for one in found]


def wait_for(process: subprocess.Popen[str], what: str, times: int = 1) -> None:
    """Wait until the process told something so often."""
    assert process.stdout is not None
    for line in process.stdout:
        times -= line.startswith(what)
        if times == 0:
            return
    raise AssertionError(f"it ended before it told of {what}")


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return finish(make_comparison_project(tmp_path_factory.mktemp("whole") / "p", *MODELS))


def test_killed_at_any_moment_it_goes_on_to_the_same_evaluations(tmp_path: Path, expected: list[Any]) -> None:
    models = make_comparison_project(tmp_path / "p", *MODELS)
    generator = random.Random(17)
    for _ in range(sized(12, 3)):
        with start(models) as process:
            try:
                process.wait(generator.uniform(3, 25))
            except subprocess.TimeoutExpired:
                left = family(process)
                process.kill()
                process.wait()
                assert_gone(left)
    assert finish(models) == expected
    assert [one[1] for one in expected].count("failed") == TIMES


def test_workers_and_their_slots_are_replaced_when_they_are_killed(tmp_path: Path, expected: list[Any]) -> None:
    models = make_comparison_project(tmp_path / "p", *MODELS)
    with start(models) as process:
        wait_for(process, "message", times=2)
        workers = [one for one in psutil.Process(process.pid).children() if "work" in one.cmdline()]
        workers[0].kill()
        time.sleep(3)
        for worker in psutil.Process(process.pid).children():
            for slot in worker.children(recursive=True)[-1:]:
                slot.kill()
        assert process.stdout is not None
        process.stdout.read()
        assert process.wait(600) == 0
    found = read_evaluations(load_settings(start=models.parent))
    assert [(one.key, one.status, one.digest) for one in found] == [(one[0], one[1], one[3]) for one in expected]


def test_told_to_stop_it_gives_tasks_back_and_ends_with_all_its_processes(tmp_path: Path, expected: list[Any]) -> None:
    models = make_comparison_project(tmp_path / "p", *MODELS)
    with start(models) as process:
        wait_for(process, "message", times=3)
        left = family(process)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        process.stdout.read()
        assert process.wait(60) != 0
        assert time.monotonic() - begun < 30
    assert_gone(left)
    stored = read_evaluations(load_settings(start=models.parent))
    assert "waiting" in {one.status for one in stored}
    assert finish(models) == expected
