"""The conformance suite of the ports in `rollwright.pool.store`: tasks, whole pools, history, notifications.

Subclass `TaskStoreConformance` in a test module and give it a fixture ``pool`` that returns a `StoreUnderTest`; pytest
then runs every promise of the port over your store. It never asks which adapter runs: what may differ is declared in
`Traits`.
"""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from rollwright.errors import (
    ConfigError,
    IllegalTransitionError,
    PoolError,
    QueryError,
    TaskNotFoundError,
)
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, Lease, NewTask, Outcome
from rollwright.testing.pool_admin import AdminConformance
from rollwright.testing.pool_attempts import AttemptsConformance
from rollwright.testing.pool_base import LEASE, POOL, StoreUnderTest, names_of, outcome_of
from rollwright.testing.pool_needs import NeedsConformance
from rollwright.testing.pool_queries import QUERIES, REFUSED

__all__ = ["StoreUnderTest", "TaskStoreConformance"]


class TaskStoreConformance(AttemptsConformance, AdminConformance, NeedsConformance):
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

    def test_a_task_spelled_otherwise_is_the_same_task_and_found_by_either_spelling(self, pool: StoreUnderTest) -> None:
        ours = {"model": {"class": "LGBModel", "module_path": "rollwright.models.lightgbm"}, "dataset": "own.Data"}
        theirs = {
            "model": {"class": "LGBModel", "module_path": "qlib.contrib.model.gbdt", "kwargs": {"loss": "mse"}},
            "dataset": {"class": "Data", "module_path": "own", "kwargs": {}},
            "tags": {"gpu": True},
        }
        first = pool.store.put(POOL, [NewTask.of(ours)])
        second = pool.store.put(POOL, [NewTask.of(theirs)])
        assert (second.ids, second.created) == (first.ids, 0)
        assert pool.store.get(POOL, first.ids)[0].definition == ours  # as it was put first
        for spelling in (ours, theirs):
            assert [task.task_id for task in pool.store.find(POOL, parse({"def": spelling}))] == [*first.ids]
        assert pool.store.put(POOL, [NewTask.of({**ours, "seed": 1})]).created == 1

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
        assert pool.store.list_pools() == [name]

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
        assert names_of(pool.claim(limit=10)) == ["urgent", "urgent too", "old", "young", "late"]

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
        assert names_of(pool.claim(name="b", limit=5)) == ["b"]

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

    def test_the_limit_of_attempts_can_change_of_a_task_that_has_used_them_too(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", max_attempts=1)
        assert pool.store.settle([Outcome.failed(pool.take(), error="once")]).statuses == {task_id: Status.FAILED}
        again = Amendment(status=Status.WAITING, max_attempts=2)
        assert pool.store.amend(POOL, parse({"_id": task_id}), again) == [task_id]
        pool.store.settle([Outcome.failed(pool.take(), error="twice")]).check()
        lease = pool.take()
        assert (lease.attempt, lease.max_attempts, lease.priority) == (2, 2, 0)
        assert pool.store.amend(POOL, None, Amendment(max_attempts=3)) == [task_id], "of a running one too"
        assert pool.store.settle([Outcome.failed(lease, error="thrice")]).statuses == {task_id: Status.WAITING}

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

    def test_a_task_claimed_while_it_is_replaced_never_ends_as_another(self, pool: StoreUnderTest) -> None:
        """Whoever is first wins: a claimed task keeps its definition, or the replaced one is claimed."""
        (task_id,) = pool.put("old")
        leases: list[Lease] = []
        claiming = threading.Thread(target=lambda: leases.extend(pool.claim()))

        def claim_meanwhile() -> None:
            claiming.start()
            claiming.join(0.5)  # a store that locks lets it wait until the replacement is done

        assert pool.before_replacing is not None, "the fixture says how to come in between"
        pool.before_replacing(claim_meanwhile)
        replaced = True
        try:
            pool.store.amend(POOL, parse({"_id": task_id}), Amendment(replacement=NewTask.of({"name": "new"})))
        except IllegalTransitionError:
            replaced = False
        claiming.join()
        leases = leases or pool.claim()
        assert names_of(leases) == [pool.store.get(POOL, [task_id])[0].definition["name"]]
        assert names_of(leases) == ["new" if replaced else "old"]
        events = [row.event for row in pool.history(task_id)]
        assert events == ["created", "replaced", "claimed"] if replaced else ["created", "claimed"]

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
        claimed = pool.store.claim(ClaimRequest(pool=POOL, owner="w", lease=LEASE, limit=9, query=tree))
        assert "".join(sorted(names_of(claimed))) == names

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
        pool.store.settle([outcome_of(kind, lease) for kind, lease in zip(kinds, leases, strict=True)])
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
