"""The conformance suite of the port `rollwright.pool.store.TaskStore`.

Subclass `TaskStoreConformance` in a test module and give it a fixture ``pool`` that returns a `StoreUnderTest`; pytest
then runs every promise of the port over your store. It never asks which adapter runs: what may differ is declared in
`Traits`.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from rollwright.errors import (
    ConfigError,
    IllegalTransitionError,
    LeaseLostError,
    PoolError,
    QueryError,
    TaskNotFoundError,
)
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, Claim, HistoryRow, Lease, NewTask, Outcome, TaskStore
from rollwright.testing.pool_queries import QUERIES, REFUSED

__all__ = ["StoreUnderTest", "TaskStoreConformance"]

POOL: Final = "pool"
LEASE: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnderTest:
    """An empty store and a way to let time pass for it.

    Attributes
    ----------
    store : TaskStore
    advance : callable
        Makes the store's clock go on by so many seconds (a store whose clock cannot be set may wait).
    """

    store: TaskStore
    advance: Callable[[float], None]

    def put(self, *names: str, pool: str = POOL, **fields: Any) -> list[str]:
        """Put a task ``{"name": …}`` for each name and return the ids."""
        return [*self.store.put(pool, [NewTask.of({"name": name}, **fields) for name in names]).ids]

    def claim(
        self, *, owner: str = "w1", limit: int = 1, pool: str = POOL, status: Status = Status.WAITING, **query: Any
    ) -> list[Lease]:
        """Claim for `owner` with the suite's lease; `query` are equalities on the definition."""
        tree = parse({f"def.{name}": value for name, value in query.items()})
        return self.store.claim(
            Claim(pool=pool, owner=owner, lease=LEASE, limit=limit, status=status, query=tree),
        )

    def take(self, **wish: Any) -> Lease:
        """Claim the one task there must be."""
        leases = self.claim(**wish)
        assert len(leases) == 1, "there is a task to claim"
        return leases[0]

    def status(self, task_id: str) -> Status:
        """Return the state of a task."""
        return self.store.get(POOL, [task_id])[0].status

    def history(self, *task_ids: str) -> list[HistoryRow]:
        """Return the changes of tasks, or of all."""
        reader: Any = self.store
        rows: list[HistoryRow] = reader.read_history(POOL, task_ids or None)
        return rows


def _names(leases: list[Lease]) -> list[str]:
    return [lease.definition["name"] for lease in leases]


class TaskStoreConformance:
    """Every promise of the port, one test each."""

    @pytest.fixture
    def pool(self) -> StoreUnderTest:
        """Return an empty store; to be overridden."""
        raise NotImplementedError

    # -- putting -----------------------------------------------------------------------------------------------

    def test_ids_come_in_input_order_and_duplicates_share_one(self, pool: StoreUnderTest) -> None:
        a, b, again, c = pool.put("a", "b", "a", "c")
        assert again == a
        assert len({a, b, c}) == 3
        assert int(a) < int(b) < int(c)

    def test_putting_again_changes_nothing(self, pool: StoreUnderTest) -> None:
        first = pool.store.put(POOL, [NewTask.of({"name": "a"}, priority=3)])
        second = pool.store.put(POOL, [NewTask.of({"name": "a"}, priority=9)])
        assert (first.created, second.created) == (1, 0)
        assert first.ids == second.ids
        assert pool.store.get(POOL, first.ids)[0].priority == 3

    def test_key_order_and_types_do_not_make_a_new_task(self, pool: StoreUnderTest) -> None:
        put = pool.store.put
        first = put(POOL, [NewTask.of({"a": 1, "b": ("x", 2.5)})])
        assert put(POOL, [NewTask.of({"b": ["x", 2.5], "a": 1})]).ids == first.ids

    def test_finished_tasks_are_not_put_again(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.store.settle([Outcome.done(pool.take())])
        pool.put("a")
        assert pool.store.count(POOL)[Status.DONE] == 1
        assert sum(pool.store.count(POOL).values()) == 1

    def test_pools_do_not_see_one_another(self, pool: StoreUnderTest) -> None:
        mine, theirs = pool.put("a"), pool.put("a", pool="other")
        assert mine != theirs
        assert len(pool.claim(limit=10)) == 1
        with pytest.raises(TaskNotFoundError):
            pool.store.get(POOL, theirs)

    @pytest.mark.parametrize("name", ["name", "client", "system.x", "x'; DROP TABLE task;--", "滚动", "../x", "%"])
    def test_a_pool_is_a_value(self, pool: StoreUnderTest, name: str) -> None:
        ids = pool.put("a", pool=name)
        assert [record.task_id for record in pool.store.find(name)] == ids
        assert sum(pool.store.count("task").values()) == 0
        admin: Any = pool.store
        assert admin.list_pools() == [name]

    @pytest.mark.parametrize("name", ["", "a\x00b", "line\nbreak", "x" * 201])
    def test_a_pool_needs_a_name(self, pool: StoreUnderTest, name: str) -> None:
        with pytest.raises(ConfigError):
            pool.put("a", pool=name)

    def test_many_threads_put_the_same_tasks_once(self, pool: StoreUnderTest) -> None:
        results: list[list[str]] = []
        threads = [
            threading.Thread(target=lambda: results.append(pool.put(*[f"n{i}" for i in range(50)]))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        assert all(ids == results[0] for ids in results)
        assert pool.store.count(POOL)[Status.WAITING] == 50

    def test_the_definition_comes_back_as_it_was(self, pool: StoreUnderTest) -> None:
        definition = {"segments": {"test": ("2017-01-01", "2017-02-01")}, "x": [1, 2.5, None, True, "é\n\"'"]}
        pool.store.put(POOL, [NewTask.of(definition)])
        assert pool.take().definition == definition

    # -- claiming ----------------------------------------------------------------------------------------------

    def test_priority_first_then_age(self, pool: StoreUnderTest) -> None:
        pool.put("old")
        pool.put("urgent", priority=5)
        pool.put("young")
        pool.put("urgent too", priority=5)
        pool.put("late", priority=-1)
        assert _names(pool.claim(limit=10)) == ["urgent", "urgent too", "old", "young", "late"]

    def test_one_by_one_is_the_same_order(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        pool.put("c", priority=1)
        assert [pool.take().definition["name"] for _ in range(3)] == ["c", "a", "b"]

    def test_a_claim_tells_what_it_took(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", priority=2, max_attempts=7)
        lease = pool.take(owner="me")
        assert (lease.task_id, lease.owner, lease.token, lease.attempt) == (task_id, "me", 1, 1)
        assert (lease.max_attempts, lease.priority, lease.origin, lease.result) == (7, 2, Status.WAITING, None)
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.status, record.owner, record.attempts) == (Status.RUNNING, "me", 1)

    def test_nothing_to_claim(self, pool: StoreUnderTest) -> None:
        assert pool.claim() == []
        pool.put("a")
        assert pool.claim(limit=0) == []
        assert len(pool.claim(limit=5)) == 1
        assert pool.claim() == []

    def test_a_claim_takes_only_what_matches(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        assert _names(pool.claim(name="b", limit=5)) == ["b"]

    def test_only_waiting_and_part_done_can_be_claimed(self, pool: StoreUnderTest) -> None:
        for status in set(Status) - {Status.WAITING, Status.PART_DONE}:
            with pytest.raises(ConfigError):
                pool.claim(status=status)

    def test_a_delayed_task_is_never_early(self, pool: StoreUnderTest) -> None:
        pool.put("a", delay=30.0)
        assert pool.claim() == []
        pool.advance(29.0)
        assert pool.claim() == []
        pool.advance(2.0)
        assert len(pool.claim()) == 1

    def test_many_threads_claim_disjoint_tasks(self, pool: StoreUnderTest) -> None:
        ids = pool.put(*[f"n{i}" for i in range(40)])
        taken: list[list[str]] = []
        barrier = threading.Barrier(4)

        def work(owner: str) -> None:
            mine: list[str] = []
            barrier.wait()
            while leases := pool.claim(owner=owner):
                mine += [lease.task_id for lease in leases]
            taken.append(mine)

        threads = [threading.Thread(target=work, args=(f"w{k}",)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        everything = list(itertools.chain.from_iterable(taken))
        assert sorted(everything, key=int) == ids

    # -- settling ----------------------------------------------------------------------------------------------

    def test_done_keeps_result_and_validity(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.done(pool.take(), result='{"x":1}', validity='{"data":"7"}')]).check()
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.status, record.result, record.validity) == (Status.DONE, '{"x":1}', '{"data":"7"}')
        assert record.error is None
        assert record.ended is not None

    def test_a_second_commit_is_refused(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        lease = pool.take()
        pool.store.settle([Outcome.done(lease, result="1")]).check()
        with pytest.raises(LeaseLostError):
            pool.store.settle([Outcome.done(lease, result="2")]).check()
        assert pool.store.get(POOL, [task_id])[0].result == "1"

    @pytest.mark.parametrize("kind", ["done", "part_done", "failed", "released", "cancelled"])
    def test_a_stale_outcome_is_refused_while_another_runs_the_task(self, pool: StoreUnderTest, kind: str) -> None:
        """W1 stalls, its lease ends, W2 runs the task, W1 wakes: the one schedule that finds a status-only check."""
        (task_id,) = pool.put("a", max_attempts=5)
        stale = pool.take(owner="w1")
        pool.advance(LEASE + 1)
        good = pool.take(owner="w2")
        assert good.task_id == stale.task_id
        before = pool.store.get(POOL, [task_id])[0]
        settlement = pool.store.settle([_outcome(kind, stale)])
        assert [refusal.task_id for refusal in settlement.refused] == [task_id]
        assert settlement.refused[0].current == good.token
        assert settlement.statuses == {}
        assert pool.store.get(POOL, [task_id])[0] == before
        pool.store.settle([Outcome.done(good, result="2")]).check()
        assert pool.store.get(POOL, [task_id])[0].result == "2"

    @pytest.mark.parametrize("kind", ["done", "part_done", "failed", "released", "cancelled"])
    def test_a_stale_outcome_is_refused_after_a_reap(self, pool: StoreUnderTest, kind: str) -> None:
        (task_id,) = pool.put("a", max_attempts=5)
        stale = pool.take()
        pool.advance(LEASE + 1)
        assert pool.store.reap(POOL) == [task_id]
        assert len(pool.store.settle([_outcome(kind, stale)]).refused) == 1
        assert pool.status(task_id) is Status.WAITING

    def test_of_several_outcomes_the_good_ones_count(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        first, second = pool.claim(limit=2)
        pool.store.settle([Outcome.done(first)])
        settlement = pool.store.settle([Outcome.done(first, result="9"), Outcome.done(second, result="2")])
        assert [refusal.task_id for refusal in settlement.refused] == [first.task_id]
        assert settlement.statuses == {second.task_id: Status.DONE}

    def test_an_outcome_of_a_removed_task_is_refused(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        lease = pool.take()
        assert pool.store.delete(POOL, None) == 0
        assert pool.store.delete(POOL, None, running=True) == 1
        (refusal,) = pool.store.settle([Outcome.done(lease)]).refused
        assert refusal.current is None

    def test_settling_takes_the_next(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        first = pool.take()
        wish = Claim(pool=POOL, owner="w1", lease=LEASE, limit=5)
        settlement = pool.store.settle([Outcome.done(first)], claim=wish)
        assert _names([*settlement.leases]) == ["b"]
        assert pool.store.settle([], claim=wish).leases == ()

    def test_a_lease_that_ended_still_commits_when_nobody_took_the_task(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        lease = pool.take()
        pool.advance(LEASE + 1)
        pool.store.settle([Outcome.done(lease)]).check()
        assert pool.status(task_id) is Status.DONE

    def test_nobody_sees_a_task_done_without_its_result(self, pool: StoreUnderTest) -> None:
        ids = pool.put(*[f"n{i}" for i in range(30)])
        half_seen: list[str] = []
        over = threading.Event()

        def look() -> None:
            while not over.is_set():
                records = pool.store.get(POOL, ids)
                half_seen.extend(
                    record.task_id for record in records if record.status is Status.DONE and record.result is None
                )

        reader = threading.Thread(target=look)
        reader.start()
        for _ in ids:
            pool.store.settle([Outcome.done(pool.take(), result="1")]).check()
        over.set()
        reader.join()
        assert half_seen == []

    # -- attempts ----------------------------------------------------------------------------------------------

    def test_a_failure_is_tried_again_until_attempts_are_spent(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=2)
        settled = pool.store.settle([Outcome.failed(pool.take(), error="first")])
        assert settled.statuses == {task_id: Status.WAITING}
        assert pool.store.get(POOL, [task_id])[0].error == "first"
        second = pool.take()
        assert second.attempt == 2
        assert pool.store.settle([Outcome.failed(second, error="second")]).statuses == {task_id: Status.FAILED}
        assert pool.claim() == []
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.attempts, record.error) == (2, "second")

    def test_a_failure_without_retry_is_final(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.failed(pool.take(), error="bad input", retry=False)])
        assert pool.status(task_id) is Status.FAILED

    def test_a_retry_waits(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.store.settle([Outcome.failed(pool.take(), error="x", delay=10.0)])
        pool.advance(9.0)
        assert pool.claim() == []
        pool.advance(2.0)
        assert pool.take().attempt == 2

    def test_a_release_uses_no_attempt(self, pool: StoreUnderTest) -> None:
        pool.put("a", max_attempts=1)
        for _ in range(3):
            lease = pool.take()
            assert lease.attempt == 1
            pool.store.settle([Outcome.released(lease)]).check()

    def test_dying_uses_attempts_too(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=2)
        for _ in range(2):
            pool.take()
            pool.advance(LEASE + 1)
        assert pool.claim() == []
        record = pool.store.get(POOL, [task_id])[0]
        assert record.status is Status.FAILED
        assert "did not renew" in (record.error or "")

    def test_tokens_only_rise(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=10)
        tokens = []
        for _ in range(3):
            tokens.append(pool.take().token)
            pool.advance(LEASE + 1)
            pool.store.reap(POOL)
            tokens.append(pool.store.get(POOL, [task_id])[0].token)
        assert tokens == sorted(set(tokens))

    # -- leases ------------------------------------------------------------------------------------------------

    def test_a_live_lease_is_never_taken(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        lease = pool.take()
        for _ in range(5):
            pool.advance(LEASE * 0.6)
            assert pool.store.renew("w1", lease=LEASE) == {task_id: lease.token}
            assert pool.claim(owner="w2") == []
            assert pool.store.reap(POOL) == []

    def test_an_ended_lease_is_claimable_at_once(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.take()
        pool.advance(LEASE - 1)
        assert pool.claim(owner="w2") == []
        pool.advance(2)
        assert pool.take(owner="w2").attempt == 2

    def test_a_lost_task_is_missing_from_the_renewal(self, pool: StoreUnderTest) -> None:
        lost, kept = pool.put("a", "b")
        pool.claim(limit=2)
        pool.store.amend(POOL, parse({"_id": lost}), Amendment(status=Status.WAITING))
        assert list(pool.store.renew("w1", lease=LEASE)) == [kept]

    def test_one_owner_does_not_renew_for_another(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        pool.take(owner="w1")
        assert pool.store.renew("w2", lease=LEASE) == {}

    def test_reaping_is_limited_to_what_matches(self, pool: StoreUnderTest) -> None:
        a, _ = pool.put("a", "b")
        pool.put("a", pool="other")
        pool.claim(limit=2)
        pool.claim(pool="other")
        pool.advance(LEASE + 1)
        assert pool.store.reap(POOL, query=parse({"def.name": "a"})) == [a]
        assert len(pool.store.reap()) == 2

    # -- stages ------------------------------------------------------------------------------------------------

    def test_a_stage_goes_on_from_the_result_of_the_one_before(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=1)
        pool.store.settle([Outcome.part_done(pool.take(), result="1")]).check()
        assert pool.claim() == []
        second = pool.take(status=Status.PART_DONE)
        assert (second.result, second.origin, second.attempt) == ("1", Status.PART_DONE, 1)
        pool.store.settle([Outcome.part_done(second, result="2")]).check()
        pool.store.settle([Outcome.done(pool.take(status=Status.PART_DONE), result="3")]).check()
        assert pool.store.get(POOL, [task_id])[0].result == "3"

    @pytest.mark.parametrize("how", ["released", "failed", "reaped"])
    def test_a_stage_that_does_not_end_well_keeps_the_result_before(self, pool: StoreUnderTest, how: str) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.part_done(pool.take(), result="1")]).check()
        lease = pool.take(status=Status.PART_DONE)
        if how == "reaped":
            pool.advance(LEASE + 1)
            pool.store.reap(POOL)
        else:
            pool.store.settle([_outcome(how, lease)]).check()
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.status, record.result) == (Status.PART_DONE, "1")

    # -- changing by hand --------------------------------------------------------------------------------------

    def test_cancelling_is_final(self, pool: StoreUnderTest) -> None:
        waiting, running = pool.put("a", "b")
        lease = pool.take(name="b")
        assert pool.store.amend(POOL, None, Amendment(status=Status.CANCELLED)) == [waiting, running]
        assert len(pool.store.settle([Outcome.done(lease)]).refused) == 1
        assert pool.claim(limit=5) == []
        assert pool.store.count(POOL)[Status.CANCELLED] == 2

    def test_a_reset_task_starts_anew(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a")
        pool.store.settle([Outcome.done(pool.take(), result="1", validity="2")]).check()
        assert pool.store.amend(POOL, None, Amendment(status=Status.WAITING)) == [task_id]
        record = pool.store.get(POOL, [task_id])[0]
        assert (record.result, record.validity, record.attempts, record.ended) == (None, None, 0, None)
        assert pool.take().token == 2

    def test_resetting_a_running_task_takes_it_from_its_holder(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        stale = pool.take()
        pool.store.amend(POOL, parse({"status": "running"}), Amendment(status=Status.WAITING))
        assert len(pool.store.settle([Outcome.done(stale)]).refused) == 1
        good = pool.take(owner="w2")
        assert len(pool.store.settle([Outcome.done(stale)]).refused) == 1
        pool.store.settle([Outcome.done(good)]).check()

    @pytest.mark.parametrize("status", [Status.RUNNING, Status.DONE])
    def test_nobody_is_put_into_running_or_done(self, pool: StoreUnderTest, status: Status) -> None:
        pool.put("a")
        with pytest.raises(IllegalTransitionError):
            pool.store.amend(POOL, None, Amendment(status=status))

    def test_a_failed_stage_goes_on_from_its_result(self, pool: StoreUnderTest) -> None:
        staged, plain = pool.put("a", "b")
        pool.store.settle([Outcome.part_done(pool.take(name="a"), result="1")]).check()
        pool.store.amend(POOL, None, Amendment(status=Status.FAILED, error="because"))
        assert pool.store.get(POOL, [plain])[0].error == "because"
        assert pool.store.amend(POOL, None, Amendment(status=Status.PART_DONE)) == [staged]
        assert pool.take(status=Status.PART_DONE).result == "1"

    def test_priority_can_change(self, pool: StoreUnderTest) -> None:
        _, b = pool.put("a", "b")
        pool.store.amend(POOL, parse({"_id": b}), Amendment(priority=1))
        assert pool.take().task_id == b

    def test_a_definition_can_change_while_nobody_holds_it(self, pool: StoreUnderTest) -> None:
        a, b = pool.put("a", "b")
        other = parse({"_id": a})
        pool.store.amend(POOL, other, Amendment(replacement=NewTask.of({"name": "c"})))
        assert pool.put("c") == [a]
        with pytest.raises(PoolError):
            pool.store.amend(POOL, other, Amendment(replacement=NewTask.of({"name": "b"})))
        assert pool.put("b") == [b]
        pool.claim(limit=2)
        with pytest.raises(IllegalTransitionError):
            pool.store.amend(POOL, other, Amendment(replacement=NewTask.of({"name": "d"})))

    def test_removed_tasks_are_gone_and_can_be_put_again(self, pool: StoreUnderTest) -> None:
        a, b = pool.put("a", "b")
        assert pool.store.delete(POOL, parse({"def.name": "a"})) == 1
        with pytest.raises(TaskNotFoundError):
            pool.store.get(POOL, [a])
        (new,) = pool.put("a")
        assert new not in (a, b)
        assert [record.task_id for record in pool.store.find(POOL)] == [b, new]

    # -- asking ------------------------------------------------------------------------------------------------

    def test_get_keeps_the_order_asked(self, pool: StoreUnderTest) -> None:
        a, b = pool.put("a", "b")
        assert [record.task_id for record in pool.store.get(POOL, [b, a, b])] == [b, a, b]
        for bad in ("999", "x", "", "-1"):
            with pytest.raises(TaskNotFoundError):
                pool.store.get(POOL, [bad])

    def test_counts_have_every_state(self, pool: StoreUnderTest) -> None:
        assert pool.store.count(POOL) == dict.fromkeys(Status, 0)
        pool.put("a", "b", "c")
        pool.store.settle([Outcome.done(pool.take())])
        pool.take()
        expected = dict.fromkeys(Status, 0) | {Status.WAITING: 1, Status.RUNNING: 1, Status.DONE: 1}
        assert pool.store.count(POOL) == expected
        assert pool.store.count(POOL, parse({"def.name": {"$exists": True}})) == expected
        assert pool.store.count(POOL, parse({"def.name": "a"}))[Status.WAITING] == 0

    def test_find_reads_more_than_a_page(self, pool: StoreUnderTest) -> None:
        ids = pool.put(*[f"n{i}" for i in range(1201)])
        assert [record.task_id for record in pool.store.find(POOL)] == ids

    @pytest.mark.parametrize(("query", "names"), QUERIES)
    def test_queries_have_one_meaning(self, pool: StoreUnderTest, query: dict[str, Any], names: str) -> None:
        for definition, priority in (
            ({"name": "a", "x": 1, "y": 2, "m": {"k": "v", "l": [1, {"z": 2}]}}, 0),
            ({"name": "b", "x": "1", "y": 2.5, "m": {"k": "w"}, "s": {"test": ("2017-01-01", "2017-02-01")}}, 0),
            ({"name": "c", "x": True, "y": "a"}, 0),
            ({"name": "d", "x": None, "y": 10, "é": "ü", "s": {"test": ("2016-01-01", "2017-02-01")}}, 0),
            ({"name": "e"}, 1),
        ):
            pool.store.put(POOL, [NewTask.of(definition, priority=priority)])
        tree = parse(query)
        assert "".join(record.definition["name"] for record in pool.store.find(POOL, tree)) == names
        assert sum(pool.store.count(POOL, tree).values()) == len(names)
        claimed = pool.store.claim(Claim(pool=POOL, owner="w", lease=LEASE, limit=9, query=tree))
        assert "".join(sorted(_names(claimed))) == names

    def test_ids_and_results_can_be_asked_for(self, pool: StoreUnderTest) -> None:
        a, b, c = pool.put("a", "b", "c")
        pool.store.settle([Outcome.done(pool.take(name="b"), result='{"ic":0.05}', validity='{"data":"7"}')])
        for query, ids in (
            ({"_id": a}, [a]),
            ({"_id": {"$in": [a, c, "x"]}}, [a, c]),
            ({"_id": {"$gt": a}}, [b, c]),
            ({"_id": {"$lte": b}}, [a, b]),
            ({"_id": {"$ne": b}}, [a, c]),
            ({"res.ic": {"$gt": 0.01}}, [b]),
            ({"validity.data": "7"}, [b]),
            ({"status": "done", "res": {"ic": 0.05}}, [b]),
            ({"res": {"$exists": False}}, [a, c]),
            ({"owner": "w1"}, [b]),
            ({"ended": {"$ne": None}}, [b]),
        ):
            assert [record.task_id for record in pool.store.find(POOL, parse(query))] == ids, query

    @pytest.mark.parametrize("query", REFUSED, ids=str)
    def test_everything_else_is_refused(self, pool: StoreUnderTest, query: Any) -> None:
        with pytest.raises(QueryError):
            list(pool.store.find(POOL, parse(query)))

    # -- history -----------------------------------------------------------------------------------------------

    def test_every_change_is_in_the_history(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=9)
        pool.store.settle([Outcome.failed(pool.take(), error="oh")])
        pool.store.settle([Outcome.released(pool.take())])
        pool.take(owner="w2")
        pool.advance(LEASE + 1)
        pool.store.reap(POOL)
        pool.store.settle([Outcome.part_done(pool.take())])
        pool.store.settle([Outcome.done(pool.take(status=Status.PART_DONE))])
        pool.store.amend(POOL, None, Amendment(status=Status.WAITING))
        pool.store.amend(POOL, None, Amendment(status=Status.CANCELLED))
        pool.store.delete(POOL, None)
        rows = pool.history(task_id)
        assert [row.event for row in rows] == [
            "created", "claimed", "retry", "claimed", "released", "claimed", "reaped", "claimed", "part_done",
            "claimed", "done", "amended", "amended", "deleted",
        ]  # fmt: skip
        assert [row.detail for row in rows if row.event == "retry"] == ["oh"]
        tokens = [row.token for row in rows]
        assert tokens == sorted(tokens)
        claims = [row.token for row in rows if row.event == "claimed"]
        assert len(set(claims)) == len(claims)
        assert [row.at for row in rows] == sorted(row.at for row in rows)

    def test_a_refused_outcome_leaves_no_trace(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        lease = pool.take()
        pool.store.settle([Outcome.done(lease)])
        before = pool.history()
        pool.store.settle([Outcome.done(lease)])
        assert pool.history() == before

    def test_history_tells_the_state_of_every_task(self, pool: StoreUnderTest) -> None:
        pool.put(*"abcdef", max_attempts=1)
        leases = pool.claim(limit=5)
        kinds = ["done", "part_done", "failed", "released", "cancelled"]
        pool.store.settle([_outcome(kind, lease) for kind, lease in zip(kinds, leases, strict=True)])
        last = {row.task_id: row.status for row in pool.history()}
        assert last == {record.task_id: record.status for record in pool.store.find(POOL)}

    # -- opening and closing -----------------------------------------------------------------------------------

    def test_migrating_and_closing_lose_nothing(self, pool: StoreUnderTest) -> None:
        ids = pool.put("a")
        pool.store.migrate()
        pool.store.close()
        assert [record.task_id for record in pool.store.find(POOL)] == ids
        pool.store.close()

    def test_traits_are_told(self, pool: StoreUnderTest) -> None:
        traits = pool.store.traits
        assert traits.time_precision > 0
        assert traits.multi_process or not traits.multi_host


def _outcome(kind: str, lease: Lease) -> Outcome:
    match kind:
        case "done":
            return Outcome.done(lease, result='"stale"')
        case "part_done":
            return Outcome.part_done(lease, result='"stale"')
        case "failed":
            return Outcome.failed(lease, error="stale")
        case "released":
            return Outcome.released(lease)
        case _:
            return Outcome.cancelled(lease)
