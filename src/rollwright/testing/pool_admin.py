"""Whole pools: pausing, moving to another store, and the notifications that wake who waits."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import threading
from dataclasses import replace
from typing import Final

import pytest

from rollwright.errors import ConfigError, IllegalTransitionError
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, MovedTask, Outcome, Topic, Waker
from rollwright.testing.pool_base import LEASE, POOL, StoreUnderTest, names_of, outcome_of

__all__ = ["AdminConformance"]

PATIENCE: Final = 20.0
"""Seconds after which a notification counts as lost; one that works arrives at once."""


class AdminConformance:
    """The promises of `PoolAdmin` and `Notifier`, one test each."""

    # -- pausing -----------------------------------------------------------------------------------------------

    def test_a_paused_pool_gives_nothing(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        pool.put("c", pool="other")
        first = pool.take()
        assert pool.store.pause(POOL)
        assert pool.claim(limit=5) == []
        request = ClaimRequest(pool=POOL, owner="w1", lease=LEASE)
        settlement = pool.store.settle([Outcome.part_done(first, result="1")], claim=request)
        assert (settlement.statuses, settlement.leases) == ({first.task_id: Status.PART_DONE}, ())
        assert pool.claim(status=Status.PART_DONE) == []
        assert names_of(pool.claim(pool="other")) == ["c"]
        assert pool.store.resume(POOL)
        assert names_of(pool.claim(limit=5)) == ["b"]

    def test_a_pause_lasts_until_it_is_ended(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        assert [pool.store.pause(POOL, reason="for lunch"), pool.store.pause(POOL, reason="again")] == [True, False]
        pool.store.close()
        stat = pool.store.stat(POOL)
        assert (stat.paused, stat.reason) == (True, "for lunch")
        assert [pool.store.resume(POOL), pool.store.resume(POOL)] == [True, False]
        stat = pool.store.stat(POOL)
        assert (stat.paused_at, stat.reason) == (None, None)

    def test_a_lease_that_ends_in_a_paused_pool_is_reaped(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.take()
        pool.store.pause(POOL)
        pool.advance(LEASE + 1)
        assert pool.claim() == []
        pool.store.reap(POOL)
        assert pool.status(task_id) is Status.WAITING

    def test_a_pool_is_paused_before_it_has_tasks(self, pool: StoreUnderTest) -> None:
        assert pool.store.pause(POOL)
        assert pool.store.list_pools() == [POOL]
        pool.put("a")
        assert pool.claim() == []
        with pytest.raises(ConfigError):
            pool.store.pause("line\nbreak")

    def test_a_stat_tells_every_state(self, pool: StoreUnderTest) -> None:
        nothing = pool.store.stat("nobody's")
        assert (dict(nothing.counts), nothing.paused) == (dict.fromkeys(Status, 0), False)
        pool.put("a", "b")
        pool.take()
        stat = pool.store.stat(POOL)
        assert dict(stat.counts) == dict.fromkeys(Status, 0) | {Status.WAITING: 1, Status.RUNNING: 1}
        assert stat.pool == POOL

    # -- taking over -------------------------------------------------------------------------------------------

    def test_tasks_are_taken_over_as_they_stood(self, pool: StoreUnderTest) -> None:
        pool.put(*"abcdef", priority=4, max_attempts=1)
        leases = pool.claim(limit=5)
        kinds = ["done", "part_done", "failed", "released", "cancelled"]
        pool.store.settle([outcome_of(kind, lease) for kind, lease in zip(kinds, leases, strict=True)])
        pool.put("g", delay=500.0)
        moved = _exported(pool)
        result = pool.store.restore("new", moved)
        assert result.created == len(moved) == len(set(result.ids))
        taken = pool.store.get("new", result.ids)
        for old, new in zip(moved, taken, strict=True):
            assert new == replace(old.record, task_id=new.task_id, pool="new")
            rows = pool.store.read_history("new", [new.task_id])
            assert rows[:-1] == [replace(row, task_id=new.task_id) for row in old.history]
            assert (rows[-1].event, rows[-1].status, rows[-1].token) == ("moved", new.status, new.token)
        counts = {status: sum(item.record.status is status for item in moved) for status in Status}
        assert pool.store.count("new") == counts

    def test_what_was_taken_over_goes_on(self, pool: StoreUnderTest) -> None:
        pool.put("a", max_attempts=3)
        pool.store.settle([Outcome.part_done(pool.take(), result="1")])
        pool.put("b", delay=100.0)
        pool.store.restore("new", _exported(pool))
        staged = pool.take(pool="new", status=Status.PART_DONE)
        assert (staged.token, staged.result) == (2, "1")
        pool.store.settle([Outcome.done(staged, result="2")]).check()
        assert pool.claim(pool="new") == []
        pool.advance(101)
        assert names_of(pool.claim(pool="new")) == ["b"]

    def test_taking_over_again_changes_nothing(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        moved = _exported(pool)
        (known,) = pool.put("b", pool="new", priority=7)
        first = pool.store.restore("new", moved)
        assert (first.created, first.ids[1]) == (1, known)
        before = ([*pool.store.find("new")], pool.store.read_history("new"))
        again = pool.store.restore("new", moved)
        assert (again.created, again.ids) == (0, first.ids)
        assert ([*pool.store.find("new")], pool.store.read_history("new")) == before
        assert pool.store.get("new", [known])[0].priority == 7

    def test_a_running_task_is_not_taken_over(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        pool.take(name="b")
        with pytest.raises(IllegalTransitionError):
            pool.store.restore("new", _exported(pool))
        assert pool.store.list_pools() == [POOL]

    # -- notifications -------------------------------------------------------------------------------------------------

    def test_every_change_rings_for_those_it_concerns(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b", max_attempts=1)
        work, end = pool.store.waker(POOL), pool.store.waker(POOL, topic="end")
        try:
            pool.put("c", max_attempts=1)
            _heard(work)
            pool.store.settle([Outcome.released(pool.take())])
            _heard(work)
            pool.store.settle([Outcome.part_done(pool.take(), result="1")])
            _heard(work)
            pool.store.pause(POOL)
            pool.store.resume(POOL)
            _heard(work)
            pool.store.settle([Outcome.done(pool.take(status=Status.PART_DONE))])
            pool.store.settle([Outcome.failed(pool.take(), error="x")])
            pool.store.settle([Outcome.done(pool.take())])  # of the last open task, so that it must notify
            _heard(end)
            pool.store.amend(POOL, parse({"status": "failed"}), Amendment(status=Status.WAITING))
            _heard(work)
            pool.store.amend(POOL, None, Amendment(status=Status.CANCELLED))
            _heard(end)
            pool.store.notify(POOL)
            _heard(work)
        finally:
            work.close()
            end.close()

    def test_reaping_rings(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.take()
        pool.advance(LEASE + 1)
        waker = pool.store.waker(POOL)
        pool.store.reap(POOL)
        _heard(waker)
        waker.close()

    @pytest.mark.parametrize("topic", ["work", "end"])
    def test_who_waits_is_woken_by_another_thread(self, pool: StoreUnderTest, topic: Topic) -> None:
        pool.put("a")
        waker = pool.store.waker(POOL, topic=topic)

        def act() -> None:
            if topic == "work":
                pool.put("b")
            else:
                pool.store.settle([Outcome.done(pool.take())])

        other = threading.Thread(target=act)
        other.start()
        _heard(waker)
        other.join()
        waker.close()

    def test_nothing_rings_without_a_cause(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        waker = pool.store.waker(POOL)
        assert not waker.wait(0.0)
        if pool.store.traits.can_notify:
            pool.put("b", pool="other")
            pool.put("a")
            list(pool.store.find(POOL))
        assert not waker.wait(0.01)
        waker.close()

    def test_closing_ends_a_wait(self, pool: StoreUnderTest) -> None:
        waker = pool.store.waker(POOL)
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.append(waker.wait(PATIENCE * 3)))
        thread.start()
        waker.close()
        thread.join(PATIENCE)
        assert answers == [False]
        assert not waker.wait(PATIENCE)
        waker.close()


def _heard(waker: Waker) -> None:
    assert waker.wait(PATIENCE), "the notification was sent and arrives"
    while waker.wait(0.0):  # several notifications may have come one by one
        pass


def _exported(pool: StoreUnderTest) -> list[MovedTask]:
    return [MovedTask(record=record, history=tuple(pool.history(record.task_id))) for record in pool.store.find(POOL)]
