"""``analyze``, ``backtest`` and ``report`` that cannot end: nothing may be written, or a kill falls between files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rollwright.cli.root import run
from rollwright.core.atomic import DRAFT_MARK
from small_campaign import CAMPAIGN

WITH_BACKTEST = CAMPAIGN + "backtest: {topk: 3, n_drop: 1}\n"
KILLED = """
import os, signal, sys
left = int(sys.argv[1])

def count(event, arguments):
    global left
    if event == "os.rename" and "results" in str(arguments[1]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
from rollwright.cli.root import run
code = run(sys.argv[2:])
print(int(sys.argv[1]) - left, file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def results(rolled_project, unprivileged):
    """The results of a finished campaign, whose folders nobody may write to; the project is the working directory."""
    folder = rolled_project(WITH_BACKTEST) / "results" / "small"
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        each.chmod(0o500)
    yield folder
    for each in folders:
        each.chmod(0o700)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", ["analyze", "backtest", "report"])
def test_results_that_may_not_be_written_are_an_error_of_the_place_and_stay(results, capsys, verb):
    before = files(results)
    assert run([verb, "small", "--json"]) == 3
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert str(results) in error["message"]
    assert "Permission denied" in error["message"]
    assert error["hint"]
    assert files(results) == before


def run_killed(verb: str, after: int) -> subprocess.CompletedProcess[str]:
    """Run a verb that is killed before it puts one more than `after` files into the results."""
    command = [sys.executable, "-c", KILLED, str(after), verb, "small"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.crash
@pytest.mark.parametrize("verb", ["analyze", "backtest", "report"])
def test_a_kill_between_two_files_leaves_what_the_same_command_completes(rolled_project, capsys, verb):
    folder = rolled_project(WITH_BACKTEST) / "results" / "small"
    before = files(folder)
    whole = run_killed(verb, 10_000)
    assert whole.returncode == 0, whole.stderr
    count = int(whole.stderr.split()[-1])
    assert count
    for after in sorted({0, min(1, count - 1), count // 3, count // 2, count - 1}):
        killed = run_killed(verb, after)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        # whoever reads meanwhile finds whole results, or is told what to do about them
        if (code := run(["report", "small", "--json"])) != 0:
            assert code in (2, 3)  # the files do not fit one another, or one is not there
            (error,) = json.loads(capsys.readouterr().out)["errors"]
            assert "rollwright" in error["hint"]
        assert run([verb, "small"]) == 0
        found = files(folder)  # what the killed one was writing stays, under the name of a draft
        assert {name: found[name] for name in found if not Path(name).name.startswith(DRAFT_MARK)} == before
        capsys.readouterr()
