"""One worker for several pools: turns by weight and by what ran, and no slot kept for nothing."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time as real_time

import pytest

from rollwright.core.clock import SystemClock
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker.backoff import Backoff
from rollwright.pool.worker.fair import FairGate, FairShares
from rollwright.pool.worker.heartbeat import new_owner
from rollwright.pool.worker.loop import AttemptEnd, WorkLoop


def simulate(weights, *, workers, seconds, tasks=4000, seed=7, begin=None):
    """Return the slot-seconds of each pool: workers with one slot each that see only what runs, until time is up."""
    generator = random.Random(seed)
    pools = [*weights]
    views = [FairShares(pools) for _ in range(workers)]
    for view in views:
        view.weigh(weights)
    running = dict.fromkeys(pools, 0)
    served = dict.fromkeys(pools, 0.0)
    ends = [(0.0, worker, None) for worker in range(workers)]
    heapq.heapify(ends)
    for _ in range(tasks):
        now, worker, pool = heapq.heappop(ends)
        if pool is not None:
            running[pool] -= 1
        view = views[worker]
        view.pass_time(now, running, 0)
        ready = [one for one in pools if begin is None or now >= begin.get(one, 0.0)]
        for one in set(pools) - set(ready):
            view.note_idle(one, ready)
        chosen = view.choose(ready, running)
        running[chosen] += 1
        view.note_started(chosen, 1)
        took = seconds[chosen] * generator.uniform(0.5, 1.5)
        served[chosen] += took
        heapq.heappush(ends, (now + took, worker, chosen))
    return served


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
@pytest.mark.parametrize(
    ("weights", "seconds"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0}),
        ({"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 1.0}),
        ({"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 0.2, "b": 1.0, "c": 5.0}),
        ({"a": 10.0, "b": 1.0}, {"a": 1.0, "b": 3.0}),
    ],
)
def test_pools_have_their_weights_part_over_a_long_run(weights, seconds, workers):
    served = simulate(weights, workers=workers, seconds=seconds, tasks=max(4000, 400 * workers))
    whole, weight = sum(served.values()), sum(weights.values())
    for pool in weights:
        assert served[pool] / whole == pytest.approx(weights[pool] / weight, rel=0.10), served


def test_a_pool_that_begins_late_has_its_part_from_then_on_and_no_more():
    served = simulate({"a": 1.0, "b": 1.0}, workers=4, seconds={"a": 1.0, "b": 1.0}, tasks=4000, begin={"b": 500.0})
    # 4 slots: `a` alone for 500 seconds, then half of the rest each.
    rest = (sum(served.values()) - 2000.0) / 2
    assert served["b"] == pytest.approx(rest, rel=0.10)


class StubExecutor:
    """Runs each task for a moment of real time in a thread of its own."""

    def __init__(self, slots, seconds, log):
        self._slots, self._seconds, self._log = slots, seconds, log
        self._ends, self._busy = [], {}
        self._changed = threading.Condition()
        self._woken = False
        self.starting = False

    @property
    def free(self):
        return self._slots - len(self._busy)

    @property
    def leases(self):
        return [*self._busy.values()]

    def open(self):
        pass

    def give(self, lease):
        self._busy[lease.task_id] = lease
        self._log.append((lease.pool, 1))
        timer = threading.Timer(self._seconds, self._end, (lease,))
        timer.daemon = True
        timer.start()

    def _end(self, lease):
        with self._changed:
            if self._busy.pop(lease.task_id, None) is None:
                return
            self._log.append((lease.pool, -1))
            self._ends.append(AttemptEnd(lease=lease, kind="finished"))
            self._changed.notify_all()

    def wait(self, seconds):
        with self._changed:
            self._changed.wait_for(lambda: self._ends or self._woken, timeout=seconds)
            self._woken = False
            ends, self._ends = self._ends, []
            return ends

    def drop(self, lease):
        self._busy.pop(lease.task_id, None)

    def drain(self):
        pass

    def wake(self):
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self):
        pass


def run_loops(store, pools, *, slots, seconds=0.004, until_empty=True):
    """Run a loop for each pool in threads, which share slots; return the log of what began and ended."""
    log = []
    clock = SystemClock()
    gate = FairGate(slots, pools, read=store.shares, clock=clock)
    loops = [
        WorkLoop(
            store=store,
            executor=StubExecutor(slots, seconds, log),
            request=ClaimRequest(pool=pool, owner=new_owner(), lease=30.0),
            after=Status.DONE,
            backoff=Backoff(base=0.01, cap=0.01),
            poll=0.5,
            patience=5.0,
            drain=4.0,
            clock=clock,
            until_empty=until_empty,
            gate=gate.of(pool),
        )
        for pool in pools
    ]
    threads = [threading.Thread(target=loop.run) for loop in loops]
    for thread in threads:
        thread.start()
    return log, threads, gate


def put(store, **tasks):
    for pool, count in tasks.items():
        TaskManager(pool, store=store).create_task([{"x": number} for number in range(count)])


def test_slots_are_shared_by_weight_and_never_exceeded():
    store = MemoryStore()
    put(store, a=120, b=120)
    store.set_share("a", weight=3)
    log, threads, _ = run_loops(store, ["a", "b"], slots=4)
    for thread in threads:
        thread.join(30)
    assert [store.count(pool)[Status.DONE] for pool in "ab"] == [120, 120]
    held = [*itertools.accumulate(step for _, step in log)]
    assert max(held) <= 4
    begun = [pool for pool, step in log if step > 0]
    first = begun[: begun.index("b") + 100]  # while both have work
    assert first.count("a") / len(first) == pytest.approx(0.75, rel=0.15)


def test_a_pool_without_work_keeps_no_slot():
    store = MemoryStore()
    put(store, a=1, b=40)
    store.set_share("a", weight=1000)
    start = real_time.monotonic()
    _, threads, _ = run_loops(store, ["a", "b", "c"], slots=2, seconds=0.002)
    for thread in threads:
        thread.join(30)
    assert store.count("b")[Status.DONE] == 40
    assert real_time.monotonic() - start < 10


def test_a_pool_that_gets_work_again_has_its_turn():
    store = MemoryStore()
    put(store, a=400)
    _, threads, gate = run_loops(store, ["a", "b"], slots=1, seconds=0.005, until_empty=False)
    real_time.sleep(0.1)
    put(store, b=2)
    end = real_time.monotonic() + 20
    while store.count("b")[Status.DONE] < 2:
        assert real_time.monotonic() < end
        real_time.sleep(0.01)
    assert store.count("a")[Status.WAITING] > 0, "before the other is empty"
    gate.stop()
    for thread in threads:
        thread.join(30)
    assert store.count("a")[Status.RUNNING] == 0


def test_what_other_workers_run_counts():
    """A worker that serves two pools leaves the one that another worker serves."""
    store = MemoryStore()
    put(store, a=60, b=60)
    others = store.claim(ClaimRequest(pool="a", owner="elsewhere", lease=60, limit=40))
    log, threads, gate = run_loops(store, ["a", "b"], slots=1, until_empty=False)
    end = real_time.monotonic() + 20
    while len(log) < 40:
        assert real_time.monotonic() < end
        real_time.sleep(0.01)
    gate.stop()
    for thread in threads:
        thread.join(30)
    begun = [pool for pool, step in log if step > 0][:20]
    assert begun.count("b") >= 18
    assert len(others) == 40
