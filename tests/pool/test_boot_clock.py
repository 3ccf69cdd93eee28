"""Leases and delays of a SQLite pool rest on the machine's boot clock: no wall clock and no restart misleads them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from rollwright.core import posix
from rollwright.core.clock import SystemBootClock
from rollwright.errors import StoreUnavailableError
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, MovedTask, NewTask, Outcome
from rollwright.pool.stores.memory import MemoryStore, steady_clock
from rollwright.pool.stores.sqlite.store import SqliteStore

HOUR = 3600.0


class Machine:
    """A boot clock, and a wall clock that goes wrong as it likes."""

    def __init__(self):
        self.boot_id = "first"
        self.uptime = 5000.0
        self.wall = 1_700_000_000.0

    def seconds(self):
        return self.uptime

    def advance(self, seconds):
        self.uptime += seconds
        self.wall += seconds

    def restart(self, *, down, name="second"):
        self.boot_id, self.uptime = name, 10.0
        self.wall += down


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def open_store(tmp_path, machine):
    """Open the pool as a new process does, whose wall clock is `skew` seconds ahead."""
    stores = []

    def open_one(*, skew=0.0):
        store = SqliteStore(tmp_path / "pool.db", durable=False, clock=lambda: machine.wall + skew, boot=machine)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


def put(store, *names, delay=0.0, **terms):
    return store.put("p", [NewTask.of({"name": name}, delay=delay, **terms) for name in names]).ids


def claim(store, *, owner="w", lease=60.0):
    return store.claim(ClaimRequest(pool="p", owner=owner, lease=lease, limit=10))


# -- the wall clock --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [HOUR, -HOUR])
def test_i7_a_worker_whose_clock_is_an_hour_wrong_takes_no_live_task_and_leaves_no_dead_one(open_store, machine, skew):
    right, wrong = open_store(), open_store(skew=skew)
    put(right, "a")
    (lease,) = claim(right)
    assert claim(wrong) == []
    assert wrong.reap() == []
    right.renew("w", lease=60.0)
    machine.advance(59.0)
    assert claim(wrong) == []
    machine.advance(2.0)
    (again,) = claim(wrong, owner="v")
    assert again.token > lease.token
    assert claim(right) == []


@pytest.mark.parametrize("skew", [HOUR, -HOUR])
def test_i12_a_worker_whose_clock_is_an_hour_wrong_takes_a_delayed_task_neither_early_nor_late(
    open_store, machine, skew
):
    right, wrong = open_store(), open_store(skew=skew)
    put(right, "a", delay=100.0)
    put(wrong, "b", delay=100.0)
    put(right, "c")
    (lease,) = claim(right)
    right.settle([Outcome.failed(lease, error="no", retry=True, delay=100.0)]).check()
    for store in (wrong, right):
        assert claim(store) == []
    machine.advance(99.0)
    for store in (wrong, right):
        assert claim(store) == []
    machine.advance(2.0)
    assert len(claim(wrong)) == 3


@pytest.mark.parametrize("step", [HOUR, -HOUR, -30 * 365 * 24 * HOUR, 60.0 - 1_700_000_000.0])
def test_i7_a_wall_clock_that_is_set_changes_no_lease_and_no_delay(open_store, machine, step):
    """Also to 1970, when it says less than the boot clock."""
    store = open_store()
    put(store, "held")
    (lease,) = claim(store)
    put(store, "held for longer")
    claim(store, owner="v", lease=600.0)
    put(store, "later", delay=100.0)
    machine.wall += step
    assert store.reap() == []
    assert claim(store) == []
    machine.advance(61.0)
    assert store.reap() == [lease.task_id]
    machine.advance(40.0)
    assert {item.definition["name"] for item in claim(store)} == {"held", "later"}


def test_what_is_shown_of_a_lease_is_wall_time_though_the_clock_was_set(open_store, machine):
    store = open_store()
    ids = put(store, "a")
    claim(store)
    assert store.get("p", ids)[0].lease_until == machine.wall + 60.0
    machine.wall += HOUR
    assert store.get("p", ids)[0].lease_until == machine.wall + 60.0
    assert next(store.find("p")).lease_until == machine.wall + 60.0


# -- a restart of the machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wall", [0.0, HOUR, -HOUR])
def test_a_lease_of_another_boot_is_over_whatever_the_clocks_say(open_store, machine, wall):
    store = open_store()
    put(store, "a")
    (lease,) = claim(store, lease=10 * HOUR)
    store.close()
    machine.restart(down=5.0)
    machine.wall += wall
    after = open_store()
    (again,) = claim(after, owner="v")
    assert again.token > lease.token
    (refusal,) = after.settle([Outcome.done(lease)]).refused
    assert refusal.task_id == lease.task_id


def test_a_lease_of_this_boot_outlives_the_processes_that_opened_the_file_since(open_store, machine):
    put(open_store(), "a")
    claim(open_store())
    machine.restart(down=5.0)
    (lease,) = claim(open_store(), owner="v")
    for _ in range(3):
        assert open_store().reap() == []
    open_store().settle([Outcome.done(lease)]).check()


@pytest.mark.parametrize(
    ("down", "set_to", "left"),
    [
        (30.0, 0.0, 60.0),  # 10 s before the restart, 30 s down, 60 s left
        (5000.0, 0.0, 0.0),  # it was due meanwhile
        (30.0, -HOUR, 100.0),  # a wall clock that went back: at most the whole delay
        (30.0, -30 * 365 * 24 * HOUR, 100.0),  # a machine without a battery
        (30.0, HOUR, 0.0),
    ],
)
@pytest.mark.parametrize("way", ["put", "retry"])
def test_a_delay_goes_on_over_a_restart_and_never_begins_to_last_longer(open_store, machine, way, down, set_to, left):
    store = open_store()
    put(store, "a", delay=100.0 if way == "put" else 0.0)
    if way == "retry":
        store.settle([Outcome.failed(claim(store)[0], error="no", retry=True, delay=100.0)]).check()
    machine.advance(10.0)
    store.close()
    machine.restart(down=down)
    machine.wall += set_to
    after = open_store()
    after.count("p")  # the first look after the restart
    if left:
        machine.advance(left - 1.0)
        assert claim(after) == []
        machine.advance(1.0)
    assert len(claim(after)) == 1


def test_a_delay_outlives_several_restarts(open_store, machine):
    store = open_store()
    put(store, "a", delay=100.0)
    for number in range(3):
        store.close()
        machine.restart(down=20.0, name=f"boot {number}")
        store = open_store()
        assert claim(store) == []
    machine.advance(39.0)
    assert claim(store) == []
    machine.advance(1.0)
    assert len(claim(store)) == 1


def test_what_is_moved_to_a_file_is_due_when_it_was(open_store, machine):
    source = MemoryStore(clock=lambda: machine.wall)
    source.put("p", [NewTask.of({"name": "a"}, delay=100.0)])
    (record,) = source.find("p")
    machine.advance(40.0)
    store = open_store()
    store.restore("p", [MovedTask(record=record, history=tuple(source.read_history("p")))])
    assert next(store.find("p")).run_at == record.run_at
    machine.advance(59.0)
    assert claim(store) == []
    machine.advance(1.0)
    assert len(claim(store)) == 1


# -- files of schema 3, whose leases rested on wall clocks -----------------------------------------------------


@pytest.fixture
def old_file(tmp_path, machine):
    connection = sqlite3.connect(tmp_path / "pool.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    fixture = Path(__file__).parent / "fixtures" / "pool-schema-3.sql"
    connection.executescript(fixture.read_text(encoding="utf-8"))
    yield connection
    connection.close()


def test_a_file_of_schema_3_keeps_its_tasks_and_their_delays_and_frees_what_was_held(old_file, open_store, machine):
    machine.wall = 1_700_000_010.0
    store = open_store()
    assert store.count("p") == dict.fromkeys(Status, 1) | {Status.CANCELLED: 0}
    assert [row.event for row in store.read_history("r")] == ["created", "claimed", "retry"]
    freed = claim(store)
    assert [item.definition["name"] for item in freed] == ["a", "b"]
    assert [item.token for item in freed] == [1, 3]
    later = ClaimRequest(pool="q", owner="w", lease=60.0)
    machine.advance(14.0)
    assert store.claim(ClaimRequest(pool="r", owner="w", lease=60.0)) == []
    machine.advance(2.0)
    assert len(store.claim(ClaimRequest(pool="r", owner="w", lease=60.0))) == 1
    assert store.claim(later) == []
    machine.advance(10.0)
    assert len(store.claim(later)) == 1


def test_a_process_of_schema_3_that_is_still_at_work_is_refused_by_the_new_file(old_file, open_store):
    """It would take leases that end after 5,000 s of uptime for over since 1970, and leave others for 50 years."""
    open_store().count("p")
    with pytest.raises(sqlite3.OperationalError, match="no such column: lease_until"):
        old_file.execute("UPDATE task SET lease_until = 1700000100.0 WHERE status = 'running'")


# -- the clocks of the machine ---------------------------------------------------------------------------------


def test_the_machines_boot_clock_is_the_same_for_all_processes_and_goes_on():
    clock, other = SystemBootClock(), SystemBootClock()
    assert clock.boot_id == other.boot_id
    first = clock.seconds()
    assert 0 < first <= other.seconds()


def test_without_the_name_of_a_boot_the_wall_clock_stands_for_it(monkeypatch):
    monkeypatch.setattr("rollwright.core.clock.read_boot_id", lambda: None)
    clock = SystemBootClock()
    assert clock.boot_id == "wall clock"
    assert clock.seconds() > 1_700_000_000.0


def test_a_system_without_a_boot_id_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(posix, "_BOOT_ID", tmp_path / "absent")
    if os.uname().sysname == "Linux":
        assert posix.read_boot_id() is None


def test_a_store_in_memory_goes_by_a_clock_that_nobody_can_set():
    class Wall:
        wall, steady = 1_700_000_000.0, 50.0

        def now(self):
            return self

        def timestamp(self):
            return self.wall

        def monotonic(self):
            return self.steady

    wall = Wall()
    clock = steady_clock(wall)
    wall.wall += HOUR
    wall.steady += 5.0
    assert clock() == 1_700_000_005.0


# -- a file that is removed or replaced ------------------------------------------------------------------------


def replace_file(path):
    other = path.with_name("other.db")
    SqliteStore(other, durable=False).count("p")
    other.rename(path)


@pytest.mark.parametrize("harm", [Path.unlink, replace_file], ids=["removed", "replaced"])
def test_a_file_that_is_gone_keeps_nothing_and_says_so(file_store, harm):
    store = file_store
    put(store, "a", "b")
    (lease, _) = claim(store)
    harm(store.path)
    word = "removed" if harm is Path.unlink else "replaced by another file"
    calls = [
        lambda: put(store, "c"),
        lambda: claim(store),
        lambda: store.settle([Outcome.done(lease)]),
        lambda: store.renew("w", lease=60.0),
        lambda: store.count("p"),
        lambda: list(store.find("p")),
        lambda: store.pause("p"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailableError, match=f"was {word} while it was open") as caught:
            call()
        assert caught.value.exit_code == 3


def test_a_file_that_is_removed_within_a_transaction_keeps_nothing_either(file_store):
    put(file_store, "a")
    with pytest.raises(StoreUnavailableError, match="was removed"), file_store._file.write():
        file_store.path.unlink()


def test_a_file_that_is_put_back_is_gone_on_with(file_store, tmp_path):
    """As a worker does within its patience."""
    put(file_store, "a")
    file_store.path.rename(tmp_path / "aside.db")
    with pytest.raises(StoreUnavailableError, match="was removed"):
        file_store.count("p")
    (tmp_path / "aside.db").rename(file_store.path)
    assert len(claim(file_store)) == 1


def test_a_pool_that_is_gone_is_not_made_anew_in_silence(file_store):
    put(file_store, "a")
    file_store.path.unlink()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="was removed"):
            file_store.count("p")
    assert not file_store.path.exists()
