"""Needs and offers, the demand of pools, and their shares and caps."""

# ruff: noqa: D102 - the name of a test is its sentence
from __future__ import annotations

import threading
from typing import Final

import pytest

from rollwright.errors import ConfigError
from rollwright.pool.needs import MOST_NEEDS, NO_NEEDS
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import (
    Amendment,
    ClaimRequest,
    MovedTask,
    Needs,
    NewTask,
    Offer,
    Outcome,
    PoolDemand,
    PoolShare,
    Share,
)
from rollwright.testing.pool_base import LEASE, POOL, StoreUnderTest, names_of

__all__ = ["NeedsConformance"]

GPU: Final = Needs(tags=("gpu",))
BIG: Final = Needs(memory=64)
WITH_GPU: Final = Offer(tags=frozenset({"gpu", "fast"}))
SMALL: Final = Offer(memory=16)


class NeedsConformance:
    """The promises about who may take which task, and how many."""

    # -- needs and offers --------------------------------------------------------------------------------------

    def test_a_task_goes_to_a_worker_that_meets_its_needs(self, pool: StoreUnderTest) -> None:
        pool.put("gpu", needs=GPU)
        pool.put("any")
        pool.put("big", needs=BIG)
        assert names_of(pool.claim(limit=9, offer=SMALL)) == ["any"]
        assert names_of(pool.claim(limit=9)) == ["big"], "memory that is not limited"
        assert pool.claim(limit=9) == []
        assert names_of(pool.claim(limit=9, offer=WITH_GPU)) == ["gpu"]

    def test_priority_and_age_go_over_all_needs_that_are_met(self, pool: StoreUnderTest) -> None:
        for name, priority, needs in (
            ("a", 0, GPU), ("b", 0, NO_NEEDS), ("c", 5, BIG), ("d", 5, GPU), ("e", 9, Needs(tags=("tpu",))),
            ("f", 5, NO_NEEDS), ("g", 0, GPU),
        ):  # fmt: skip
            pool.put(name, priority=priority, needs=needs)
        assert names_of(pool.claim(limit=4, offer=WITH_GPU)) == ["c", "d", "f", "a"]
        assert [pool.take(offer=WITH_GPU).definition["name"] for _ in range(2)] == ["b", "g"]
        assert pool.claim(offer=WITH_GPU) == []

    def test_needs_that_a_worker_has_not_met_before_are_seen_by_its_next_claim(self, pool: StoreUnderTest) -> None:
        pool.put("a")
        first = pool.take(offer=WITH_GPU)
        pool.put("b")
        pool.put("c", priority=1, needs=GPU)
        request = ClaimRequest(pool=POOL, owner="w1", lease=LEASE, offer=WITH_GPU)
        settlement = pool.store.settle([Outcome.done(first)], claim=request)
        assert names_of([*settlement.leases]) == ["c"]
        assert settlement.statuses == {first.task_id: Status.DONE}

    def test_needs_are_no_part_of_what_a_task_is(self, pool: StoreUnderTest) -> None:
        first = pool.put("a", needs=GPU)
        assert pool.put("a", needs=BIG) == first
        assert pool.store.get(POOL, first)[0].needs == GPU
        assert [record.needs for record in pool.store.find(POOL)] == [GPU]

    def test_needs_stay_with_a_task_through_its_attempts(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", needs=GPU)
        pool.store.settle([Outcome.failed(pool.take(offer=WITH_GPU), error="no")]).check()
        assert pool.claim() == []
        pool.take(offer=WITH_GPU)
        pool.advance(LEASE + 1)
        assert pool.claim() == []
        pool.store.settle([Outcome.part_done(pool.take(offer=WITH_GPU), result="1")]).check()
        assert pool.claim(status=Status.PART_DONE) == []
        assert len(pool.claim(status=Status.PART_DONE, offer=WITH_GPU)) == 1
        assert pool.store.get(POOL, [task_id])[0].needs == GPU

    def test_a_delayed_task_needs_what_it_needed(self, pool: StoreUnderTest) -> None:
        pool.put("a", needs=GPU, delay=10.0)
        pool.advance(11.0)
        assert pool.claim() == []
        assert names_of(pool.claim(offer=WITH_GPU)) == ["a"]

    def test_needs_can_change(self, pool: StoreUnderTest) -> None:
        a, b = pool.put("a", "b")
        assert pool.store.amend(POOL, parse({"_id": a}), Amendment(needs=GPU)) == [a]
        assert names_of(pool.claim(limit=9)) == ["b"]
        again = NewTask.of({"name": "c"}, needs=BIG)
        pool.store.amend(POOL, parse({"_id": a}), Amendment(replacement=again))
        record = pool.store.get(POOL, [a])[0]
        assert (record.definition, record.needs) == ({"name": "c"}, GPU)
        pool.store.amend(POOL, parse({"_id": a}), Amendment(needs=NO_NEEDS))
        assert names_of(pool.claim(limit=9)) == ["c"]
        assert b

    def test_needs_are_taken_over_with_a_task(self, pool: StoreUnderTest) -> None:
        (task_id,) = pool.put("a", needs=GPU)
        record = pool.store.get(POOL, [task_id])[0]
        pool.store.restore("new", [MovedTask(record=record)])
        assert pool.claim(pool="new") == []
        assert names_of(pool.claim(pool="new", offer=WITH_GPU)) == ["a"]

    def test_the_different_needs_of_a_pool_are_few(self, pool: StoreUnderTest) -> None:
        tasks = [NewTask.of({"name": number}, needs=Needs(memory=number)) for number in range(MOST_NEEDS + 2)]
        with pytest.raises(ConfigError, match="different needs"):
            pool.store.put(POOL, tasks)
        assert sum(pool.store.count(POOL).values()) == 0
        assert pool.store.put(POOL, tasks[: MOST_NEEDS + 1]).created == MOST_NEEDS + 1
        assert len(pool.claim(limit=200)) == MOST_NEEDS + 1

    def test_many_threads_with_different_offers_claim_each_task_once(self, pool: StoreUnderTest) -> None:
        needs = (NO_NEEDS, GPU, BIG)
        ids = [pool.put(f"n{number}", needs=needs[number % 3])[0] for number in range(45)]
        offers = (Offer(), WITH_GPU, WITH_GPU, Offer(tags=frozenset({"gpu"}), memory=16))
        taken: list[list[str]] = []
        barrier = threading.Barrier(len(offers))

        def work(number: int) -> None:
            mine: list[str] = []
            barrier.wait()
            while leases := pool.claim(owner=f"w{number}", offer=offers[number], limit=2):
                mine += [lease.task_id for lease in leases]
            taken.append(mine)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(offers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted((task for mine in taken for task in mine), key=int) == ids

    # -- demand ------------------------------------------------------------------------------------------------

    def test_demand_is_told_by_pool_and_needs(self, pool: StoreUnderTest) -> None:
        assert pool.store.demand() == ()
        pool.put("a", "b", "c")
        pool.put("later", delay=50.0)
        pool.put("g", needs=GPU)
        pool.put("x", pool="another")
        pool.advance(30.0)
        pool.put("h", needs=GPU)
        pool.take()
        pool.store.pause("another")
        pool.store.set_share(POOL, weight=2, max_running=7)
        first, *rest = demand = pool.store.demand()
        assert (first.pool, first.paused, first.weight, first.max_running) == ("another", True, 1.0, None)
        assert rest == [
            PoolDemand(pool=POOL, needs=NO_NEEDS, open=2, delayed=1, running=1, oldest=rest[0].oldest, weight=2.0,
                       max_running=7),
            PoolDemand(pool=POOL, needs=GPU, open=2, delayed=0, running=0, oldest=rest[1].oldest, weight=2.0,
                       max_running=7),
        ]  # fmt: skip
        for one in demand:
            assert one.oldest is not None
            assert 30.0 <= one.oldest < 45.0
        assert [(one.pool, one.needs) for one in pool.store.demand([POOL, "nobody's"])] == [
            (POOL, NO_NEEDS),
            (POOL, GPU),
        ]
        assert {one.pool for one in pool.store.demand(["another"])} == {"another"}

    def test_demand_ends_with_the_work(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b", needs=GPU)
        pool.put("c", delay=5.0)
        lease = pool.take(offer=WITH_GPU)
        pool.store.settle([Outcome.part_done(lease, result="1")])
        (now, later) = sorted(pool.store.demand(), key=lambda one: one.delayed)
        assert (now.open, now.running) == (2, 0), "part_done tasks are open too"
        assert (later.open, later.delayed, later.oldest) == (0, 1, None)
        pool.advance(6.0)
        assert [one.open for one in pool.store.demand()] == [1, 2], "a delay that has passed"
        pool.store.amend(POOL, None, Amendment(status=Status.CANCELLED))
        assert pool.store.demand() == ()

    # -- shares ------------------------------------------------------------------------------------------------

    def test_a_share_is_kept(self, pool: StoreUnderTest) -> None:
        pool.store.set_share(POOL, weight=2.5)
        pool.store.set_share(POOL, max_running=3)
        pool.store.close()
        stat = pool.store.stat(POOL)
        assert (stat.weight, stat.max_running) == (2.5, 3)
        assert pool.store.list_pools() == [POOL]
        pool.store.set_share(POOL, weight=1, max_running=None)
        stat = pool.store.stat(POOL)
        assert (stat.weight, stat.max_running) == (1.0, None)
        assert pool.store.list_pools() == []

    def test_shares_are_told_in_the_order_asked(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b", needs=GPU)
        pool.put("c")
        pool.claim(limit=2, offer=WITH_GPU)
        pool.store.set_share("other", weight=3, max_running=2)
        pool.store.pause("other")
        assert pool.store.shares(["other", POOL, "nobody's"]) == (
            PoolShare(pool="other", paused=True, share=Share(weight=3.0, max_running=2)),
            PoolShare(pool=POOL, running=2),
            PoolShare(pool="nobody's"),
        )

    @pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), 1e9])
    def test_no_other_number_is_a_weight(self, pool: StoreUnderTest, weight: float) -> None:
        with pytest.raises(ConfigError, match="no weight"):
            pool.store.set_share(POOL, weight=weight)

    @pytest.mark.parametrize("cap", [0, -1])
    def test_a_cap_lets_something_run(self, pool: StoreUnderTest, cap: int) -> None:
        with pytest.raises(ConfigError, match="pool pause"):
            pool.store.set_share(POOL, max_running=cap)

    # -- caps --------------------------------------------------------------------------------------------------

    def test_no_more_run_than_the_cap_allows(self, pool: StoreUnderTest) -> None:
        pool.put(*"abcdef")
        pool.put("x", "y", pool="other")
        pool.store.set_share(POOL, max_running=3)
        assert names_of(pool.claim(limit=2)) == ["a", "b"]
        (lease,) = pool.claim(limit=9, owner="w2")
        assert pool.claim() == []
        assert len(pool.claim(pool="other", limit=9)) == 2
        request = ClaimRequest(pool=POOL, owner="w2", lease=LEASE, limit=5)
        settlement = pool.store.settle([Outcome.done(lease)], claim=request)
        assert names_of([*settlement.leases]) == ["d"], "what ends in the same turn makes room"
        pool.store.set_share(POOL, max_running=1)
        assert pool.claim(limit=9) == []
        pool.store.set_share(POOL, max_running=None)
        assert names_of(pool.claim(limit=9)) == ["e", "f"]

    @pytest.mark.parametrize("kind", ["released", "part_done", "failed"])
    def test_what_comes_back_makes_room(self, pool: StoreUnderTest, kind: str) -> None:
        pool.put("a", "b")
        pool.store.set_share(POOL, max_running=1)
        lease = pool.take()
        outcome = {
            "released": Outcome.released(lease),
            "part_done": Outcome.part_done(lease, result="1"),
            "failed": Outcome.failed(lease, error="no", delay=50.0),
        }[kind]
        request = ClaimRequest(pool=POOL, owner="w1", lease=LEASE, limit=5)
        (again,) = pool.store.settle([outcome], claim=request).leases
        assert names_of([again]) == ["a" if kind == "released" else "b"]
        assert pool.claim(limit=5) == []
        assert pool.claim(limit=5, status=Status.PART_DONE) == [], "a cap counts the tasks of both states"

    def test_a_holder_that_vanished_frees_its_place(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b")
        pool.store.set_share(POOL, max_running=1)
        pool.take(owner="gone")
        assert pool.claim() == []
        pool.advance(LEASE + 1)
        assert names_of(pool.claim(limit=5)) == ["a"]
        assert pool.claim() == []

    def test_a_cap_counts_all_needs_together(self, pool: StoreUnderTest) -> None:
        pool.put("a", "b", needs=GPU)
        pool.put("c", "d")
        pool.store.set_share(POOL, max_running=3)
        assert names_of(pool.claim(limit=9)) == ["c", "d"]
        assert names_of(pool.claim(limit=9, offer=WITH_GPU)) == ["a"]
        assert pool.claim(limit=9, offer=WITH_GPU) == []

    def test_many_threads_never_hold_more_than_the_cap(self, pool: StoreUnderTest) -> None:
        pool.put(*[f"n{number}" for number in range(40)])
        pool.store.set_share(POOL, max_running=3)
        barrier, mutex = threading.Barrier(4), threading.Lock()
        held, most, done = [0], [0], [0]

        def work(owner: str) -> None:
            barrier.wait()
            while done[0] < 40:
                leases = pool.claim(owner=owner, limit=2)
                with mutex:
                    held[0] += len(leases)
                    most[0] = max(most[0], held[0])
                for lease in leases:
                    pool.store.count(POOL)  # its work: claims that raced are held at the same time
                    with mutex:  # as the last moment in which it counts
                        held[0] -= 1
                    pool.store.settle([Outcome.done(lease)]).check()
                    with mutex:
                        done[0] += 1

        threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= most[0] <= 3
        assert pool.store.count(POOL)[Status.DONE] == 40
