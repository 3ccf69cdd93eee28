"""The table of `docs/task-states.md` is what the stores do."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.errors import ConfigError, LookAheadError, MissingExtraError, RunError, StoreUnavailableError
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, MovedTask, NewTask, Outcome
from rollwright.pool.worker.backoff import worth_retrying

PAGE = Path(__file__).parents[2] / "docs" / "task-states.md"
LEASE = 60.0


def table():
    rows = {}
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| event |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[cells[0]] = cells[1:]
    return rows


def failed(store, lease, time):
    """Settle as a worker does whose slot died, or whose function raised, or took too long or too much."""
    store.settle([Outcome.failed(lease, error="x", delay=1.0)])


def moved(store, lease, time):
    """Move the task, after its holder gave up for good, out of the pool and back into it."""
    store.settle([Outcome.failed(lease, error="x", retry=False)])
    record = store.get("p", [lease.task_id])[0]
    task = MovedTask(record=record, history=tuple(store.read_history("p")))
    store.delete("p", None)
    store.restore("p", [task])


ROWS = table()
EXCEPTION = "exception in the task function"
ACTS = {
    "commit": lambda store, lease, time: store.settle([Outcome.done(lease)]),
    "commit of a stage": lambda store, lease, time: store.settle([Outcome.part_done(lease)]),
    EXCEPTION: failed,
    "bad input (a rollwright error of exit code 1, 2 or 4)": lambda store, lease, time: store.settle(
        [Outcome.failed(lease, error="x", retry=False)]
    ),
    "timeout: task beyond `worker.task_timeout`": failed,
    "out of memory: task beyond `worker.task_memory`": failed,
    "poison: slot dies (signal, exit, the system's memory runs out)": failed,
    "worker told to stop (SIGTERM), interrupt, `return_task`": lambda store, lease, time: store.settle(
        [Outcome.released(lease)]
    ),
    "lease lost: worker dies or freezes": lambda store, lease, time: (time.advance(LEASE + 1), store.reap()),
    "pool paused": lambda store, lease, time: store.pause("p"),
    "moved to another store": moved,
    "cancelled": lambda store, lease, time: store.amend("p", None, Amendment(status=Status.CANCELLED)),
    "reset to waiting": lambda store, lease, time: store.amend("p", None, Amendment(status=Status.WAITING)),
    "stale outcome": lambda store, lease, time: store.settle(
        [Outcome(task_id=lease.task_id, token=lease.token - 1, kind="done", result="1")]
    ),
}


def test_every_event_of_the_page_is_played_here():
    assert set(ROWS) == {*ACTS, "`put` of a new definition", "claim"}


@pytest.mark.parametrize("spent", [False, True])
@pytest.mark.parametrize("event", sorted(ACTS))
def test_the_page_tells_what_happens(store, time, event, spent):
    following, when_spent, used, waits, history = ROWS[event]
    (task_id,) = store.put("p", [NewTask.of({"x": 1}, max_attempts=1 if spent else 3)]).ids
    (lease,) = store.claim(ClaimRequest(pool="p", owner="w", lease=LEASE))
    ACTS[event](store, lease, time)
    (record,) = store.find("p")
    assert record.task_id == task_id or event == "moved to another store"
    standing = "failed" if event == "moved to another store" else "running"
    wanted = (when_spent if spent else following).replace("before", "waiting").replace("unchanged", standing)
    assert record.status.value == wanted
    expected = {"yes": 1, "no": 0, "–": 1, "unchanged": 1, "counts anew": 0, "forgotten": 0}
    assert record.attempts == expected[used]
    assert (record.run_at is not None) == (waits == "back-off" and not spent)
    last = store.read_history("p")[-1].event
    assert last in (history.split(", ") if history != "none" else ["claimed"])


def test_putting_and_claiming(store):
    assert ROWS["`put` of a new definition"][0] == Status.WAITING.value
    assert ROWS["claim"][0] == Status.RUNNING.value
    store.put("p", [NewTask.of({"x": 1}, delay=5.0)])
    assert store.claim(ClaimRequest(pool="p", owner="w", lease=LEASE)) == []
    assert [row.event for row in store.read_history("p")] == ["created"]


def test_bad_input_is_what_the_page_says():
    for error in (ConfigError("x"), LookAheadError("x"), RunError("x")):
        assert error.exit_code in (1, 2, 4)
        assert not worth_retrying(error)
    assert not worth_retrying(MissingExtraError("a", "b"))  # what is not installed stays missing
    assert not worth_retrying(TypeError("a mistake in a program stays one"))
    assert worth_retrying(StoreUnavailableError("away"))
