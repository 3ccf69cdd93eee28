"""A search that is killed again and again, with any number of workers, ends as one that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from crash_size import SMALL
from searched_project import BACKTEST, make_searched

pytestmark = pytest.mark.crash

SEARCH = """\
search:
  trials: 6
  generation: 2
  seed: 3
  prune: {after: 1}
  space:
    task.model.kwargs.at: {low: 0.0, high: 1.0}
"""
KILLS = 3 if SMALL else 10


def start(file: Path, jobs: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rollwright", "search", "run", file.name, "-j", str(jobs)]
    log = (file.parent / "search.log").open("ab")
    with log:
        return subprocess.Popen(command, cwd=file.parent, stdout=log, stderr=log, env={**os.environ})


def end(process: subprocess.Popen[bytes]) -> None:
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def results(file: Path) -> dict[str, bytes]:
    folders = (file.parent / "results" / "search-probe", file.parent / ".rollwright" / "searches" / "probe")
    return {
        str(path.relative_to(file.parent)): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".json", ".csv", ".md")
    }


def test_a_search_that_is_killed_anywhere_ends_with_the_same_bytes(tmp_path):
    whole = make_searched(tmp_path / "whole", search=SEARCH, more=BACKTEST)
    assert start(whole, 2).wait() == 0, (whole.parent / "search.log").read_text()
    file = make_searched(tmp_path / "killed", search=SEARCH, more=BACKTEST)
    choose = random.Random(11)
    for _ in range(KILLS):
        process = start(file, choose.choice([1, 2, 3]))
        try:
            process.wait(choose.uniform(2.0, 12.0))
            break
        except subprocess.TimeoutExpired:
            end(process)
    assert start(file, 1).wait() == 0, (file.parent / "search.log").read_text()
    assert results(file) == results(whole)
