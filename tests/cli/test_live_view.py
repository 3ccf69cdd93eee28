"""The live view: a bar, the windows filling, a line for each worker with the rounds of its fit."""

from __future__ import annotations

import io

from rich.console import Console

from rollwright.app.pool import Holder
from rollwright.cli.live_view import LiveView
from rollwright.cli.progress import CampaignProgress, tell_event
from rollwright.core.fit_rounds import is_listened, listen_to_rounds, tell_round
from rollwright.pool.worker.task_function import WorkerEvent

NAMES = {"1": "window a", "2": "window b", "3": "window c"}


def shown(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(view.render())
    return console.file.getvalue()


def test_windows_fill_and_each_worker_has_a_line_with_its_rounds():
    view = LiveView("c", [*NAMES], done=frozenset(["1"]), names=NAMES, console=Console(file=io.StringIO(), width=80))
    view.note(WorkerEvent(kind="started", task_id="2", slot=0))
    text = shown(view)
    assert "0  window b     0 s  learning" in text, "until a round is told, or where none ever is"
    view.note(WorkerEvent(kind="round", task_id="2", slot=0, detail="50/100"))
    text = shown(view)
    assert "1/3" in text
    assert "█▒·" in text
    assert "  0  window b     0 s  round 50/100  [==========          ]" in text
    view.note(WorkerEvent(kind="done", task_id="2", slot=0))
    view.note(WorkerEvent(kind="started", task_id="3", slot=0))
    view.note(WorkerEvent(kind="retry", task_id="3", slot=None, detail="ValueError"))
    text = shown(view)
    assert "2/3" in text
    assert "██·" in text
    assert "window b" not in text
    assert "window c" not in text


def test_rounds_are_no_lines_of_their_own(capsys):
    event = WorkerEvent(kind="round", task_id="2", slot=0, detail="50/100")
    tell_event(event)
    CampaignProgress("c")("event", event)
    assert capsys.readouterr().err == ""


def test_who_holds_the_windows_that_are_waited_for_is_told_with_since_when(capsys):
    holder = Holder(owner="host-7", tasks=("1",), labels=("a",), since=0.0, until=60.0, busy=1.0, left=59.0)
    CampaignProgress("c")("others", [holder])
    assert capsys.readouterr().err == ("waiting for window a: host-7 has it in hand since 1970-01-01 00:00:00 UTC\n")


def test_only_who_listens_hears_of_rounds():
    heard: list[tuple[int, int]] = []
    tell_round(1, 10)
    with listen_to_rounds(lambda done, of: heard.append((done, of))):
        assert is_listened()
        tell_round(2, 10)
    assert not is_listened()
    assert heard == [(2, 10)]
