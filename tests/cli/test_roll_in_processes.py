"""``roll`` with worker processes: a budget of time ends it, and of what was changed since only what is touched runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from rolling_project import CODES, DAYS, rows
from rollwright.cli.root import run
from rollwright.market.ingest.importer import import_market
from small_campaign import CAMPAIGN

pytestmark = pytest.mark.slow

WINDOWS = 4
PRED = Path("results") / "small" / "pred.parquet"
OWN_MODEL = """\
from pathlib import Path
from threading import Event
from rollwright.models.linear import LinearModel

class Own(LinearModel):
    def fit(self, dataset, reweighter=None):
        if Path("slow").exists() and "2020-05" not in str(dataset.segments["test"][0]):
            Path("begun").touch()
            Event().wait()
        return super().fit(dataset, reweighter)
"""
OWN = CAMPAIGN.replace("class: LinearModel, module_path: rollwright.models.linear", "class: Own, module_path: mine.py")


@pytest.fixture
def own(fresh):
    (fresh / "mine.py").write_text(OWN_MODEL)
    (fresh / "small.yaml").write_text(OWN)
    return fresh


class TimeIsUp:
    """A timer that is over when the second window has begun, instead of after so many seconds."""

    asked: ClassVar[list[float]] = []

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self.asked.append(seconds)
        self._thread = threading.Thread(target=self._wait, args=(function,), daemon=True)
        self._is_cancelled = threading.Event()

    def _wait(self, function: Callable[[], None]) -> None:
        while not self._is_cancelled.wait(0.05):
            if Path("begun").exists():
                function()
                return

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        self._is_cancelled.set()


def until(there: Callable[[], bool]) -> bool:
    """Wait up to a minute until something is there."""
    ended = time.monotonic() + 60
    while not there() and time.monotonic() < ended:
        threading.Event().wait(0.05)
    return there()


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "rollwright", *words]


def test_cancelling_from_another_terminal_ends_a_roll_in_its_middle_and_resume_goes_on(own, capfd):
    (own / "slow").touch()
    with subprocess.Popen(
        command("roll", "small.yaml", "-j", "1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as rolling:
        try:
            assert until((own / "begun").exists), "the second window never began"
            cancelled = subprocess.run(
                command("cancel", "small", "--yes", "--json"), capture_output=True, text=True, timeout=60, check=True
            )
            said, _ = rolling.communicate(timeout=60)
        finally:
            rolling.kill()
    assert len(json.loads(cancelled.stdout)["data"]["windows"]) == WINDOWS - 1
    assert rolling.returncode == 1
    assert "3 tasks failed" in said
    assert "it was cancelled" in said
    assert "hint: go on after all: rollwright resume small; the other 1 of small are finished and kept" in said
    assert not PRED.exists()
    (own / "slow").unlink()
    assert run(["resume", "small", "-j", "1"]) == 0
    told = capfd.readouterr()
    assert "2020-05-29..2020-07-02 started" not in told.err, "what was finished is kept"
    assert f"small: {WINDOWS} windows," in told.out
    assert PRED.exists()


def test_a_budget_of_hours_ends_worker_processes_with_a_partial_result_and_the_next_command_goes_on(
    own, capfd, monkeypatch
):
    (own / "slow").touch()
    with monkeypatch.context() as patch:
        patch.setattr("rollwright.training.pooled.threading.Timer", TimeIsUp)
        begun = time.monotonic()
        assert run(["roll", "small.yaml", "budget.hours=0.5", "-j", "1"]) == 5
    assert TimeIsUp.asked == [1800.0]
    assert time.monotonic() - begun < 120, "a window that would never end is given back"
    told = capfd.readouterr()
    assert "partial: the budget left 3 windows out" in told.err
    assert "small: 1 window," in told.out
    (own / "slow").unlink()
    assert run(["resume", "small", "-j", "1"]) == 0
    assert "1 of 4 windows are finished already and kept" in capfd.readouterr().err


def test_what_was_changed_since_is_noticed_and_named_or_rightly_ignored(own, capfd):
    def roll() -> str:
        capfd.readouterr()
        assert run(["roll", "small.yaml", "-j", "1"]) == 0
        return capfd.readouterr().err

    roll()
    first = PRED.read_bytes()
    (own / "small.yaml").write_text(f"# upgraded by a comment\n{OWN}")
    assert "nothing to train; 4 windows kept" in roll()

    artifact = sorted((own / ".rollwright").rglob("pred.parquet"))[0]
    artifact.unlink()
    told = roll()
    assert "keeps its model, and its records are made again: " in told
    assert "1 model kept and only records made anew, 3 windows kept" in told
    assert artifact.is_file()
    assert PRED.read_bytes() == first

    import_market(rows(DAYS[150:151], CODES[:1], factor=1.01), own / "market", revise=True)
    told = roll()
    assert "the market data changed from 2020-07-29 on" in told
    assert "3 of 4" not in told
    assert "1 of 4 windows are finished already and kept" in told, "the first window reads nothing so late"

    (own / "mine.py").write_text(OWN_MODEL.replace("super().fit(", "super().fit(  "))
    told = roll()
    assert told.count("is trained again: your own code changed: mine.py\n") == WINDOWS
    assert "nothing to train; 4 windows kept" in roll()
