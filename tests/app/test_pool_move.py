"""A pool moves whole or not at all, however often the move is interrupted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollwright.app import pool_move
from rollwright.app.pool_move import move_pool
from rollwright.errors import ConfigError, IllegalTransitionError, PoolError, StoreUnavailableError
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite.store import SqliteStore

URL = "sqlite:///new.db"


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """A store in whose `number`th call the process is killed, before or after the call had its effect."""

    def __init__(self, store, number, *, after):
        self._store = store
        self._left = number
        self._after = after

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*args, **kwargs):
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            answer = method(*args, **kwargs)
            if self._left == 0:
                raise Killed
            return answer

        return call


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(pool_move, "BATCH", 2)


@pytest.fixture
def source(tmp_path):
    store = SqliteStore(tmp_path / "old.db", durable=False)
    fill(store)
    yield store
    store.close()


@pytest.fixture
def target(tmp_path):
    store = SqliteStore(tmp_path / "new.db", durable=False)
    yield store
    store.close()


def fill(store):
    """Put seven tasks in all states but running, with their history."""
    store.put("p", [NewTask.of({"name": name}, priority=place) for place, name in enumerate("abcdefg")])
    leases = store.claim(ClaimRequest(pool="p", owner="w", lease=60, limit=4))
    store.settle(
        [
            Outcome.done(leases[0], result='{"ic":0.1}', validity='"7"'),
            Outcome.part_done(leases[1], result="1"),
            Outcome.failed(leases[2], error="no", retry=False),
            Outcome.cancelled(leases[3]),
        ]
    )


def contents(store):
    """Return what the tasks of a pool are, without ids, each with its history until the move."""
    records = {}
    for record in store.find("p"):
        rows = [replace(row, task_id="") for row in store.read_history("p", [record.task_id]) if row.event != "moved"]
        assert record.fingerprint not in records
        records[record.fingerprint] = (replace(record, task_id="", lease_until=None), rows)
    return records


def test_everything_arrives_and_nothing_stays(source, target):
    before = contents(source)
    told = []
    report = move_pool("p", source, target, where=URL, on_progress=lambda done, total: told.append((done, total)))
    assert (report.moved, report.known, report.restarted) == (7, 0, 0)
    assert contents(target) == before
    assert contents(source) == {}
    assert not source.stat("p").paused
    assert not target.stat("p").paused
    assert told == [(2, 7), (4, 7), (6, 7), (7, 7)]
    assert move_pool("p", source, target, where=URL).moved == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("which", ["source", "target"])
def test_killed_anywhere_and_given_again_it_ends_the_same(which, after):
    for number in range(1, 60):
        source, target = MemoryStore(), MemoryStore()
        fill(source)
        before = contents(source)
        stores = {"source": source, "target": target}
        stores[which] = Mortal(stores[which], number, after=after)
        try:
            move_pool("p", stores["source"], stores["target"], where=URL)
        except Killed:
            everywhere = contents(source) | contents(target)
            assert everywhere == before, f"nothing is lost at call {number}"
        else:
            assert number > 8
            return
        report = move_pool("p", source, target, where=URL)
        assert contents(target) == before
        assert contents(source) == {}
        assert not source.stat("p").paused
        assert report.moved + report.known <= 7
    raise AssertionError("the move never ended")


def test_what_is_put_meanwhile_comes_too(source, target):
    late = iter([NewTask.of({"name": "late"})])

    def put_one(_done, _total):
        for task in late:
            source.put("p", [task])

    assert move_pool("p", source, target, where=URL, on_progress=put_one).moved == 8
    assert contents(source) == {}


def test_running_tasks_stop_a_move_and_the_pool_goes_on(source, target):
    source.claim(ClaimRequest(pool="p", owner="w", lease=60))
    before = contents(source)
    with pytest.raises(IllegalTransitionError, match="1 tasks of pool 'p' are running"):
        move_pool("p", source, target, where=URL)
    assert contents(source) == before
    assert target.list_pools() == []
    assert not source.stat("p").paused


def test_by_force_running_tasks_begin_anew_and_their_workers_are_refused(source, target):
    (lease,) = source.claim(ClaimRequest(pool="p", owner="w", lease=60))
    report = move_pool("p", source, target, where=URL, force=True)
    assert (report.moved, report.restarted) == (7, 1)
    assert len(source.settle([Outcome.done(lease)]).refused) == 1
    assert target.count("p")[Status.WAITING] == 3


def test_a_store_by_another_name_is_still_the_same(source, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    same = SqliteStore(tmp_path / "link" / "old.db", durable=False)
    before = contents(source)
    for user_pause in (False, True):
        if user_pause:
            source.pause("p", reason="mine")
        with pytest.raises(ConfigError, match="in that store already"):
            move_pool("p", source, same, where=URL)
        assert contents(source) == before
        assert source.stat("p").paused is user_pause
    same.close()


def test_a_paused_pool_arrives_paused(source, target):
    source.pause("p", reason="for lunch")
    move_pool("p", source, target, where=URL)
    assert target.stat("p").reason == "for lunch"
    assert target.claim(ClaimRequest(pool="p", owner="w", lease=60)) == []


def test_a_result_is_never_given_up_for_a_task_that_is_behind(source, target):
    target.put("p", [NewTask.of({"name": name}) for name in "ag"])
    before = contents(source)
    with pytest.raises(PoolError, match="is done here, and waiting there"):
        move_pool("p", source, target, where=URL)
    assert contents(source) == before


def test_what_both_have_stays_as_it_is_there(source, target):
    target.put("p", [NewTask.of({"name": "a"}, priority=9)])
    report = move_pool("p", source, target, where=URL)
    assert (report.moved, report.known) == (6, 1)
    assert target.get("p", ["1"])[0].priority == 9


def test_a_target_that_cannot_be_opened_is_told_before_anything_is_paused(source, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match=r"new\.db cannot be opened"):
        move_pool("p", source, SqliteStore(tmp_path / "file" / "new.db"), where=URL)
    assert not source.stat("p").paused
