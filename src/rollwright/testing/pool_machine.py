"""A state machine that plays a store against a model of a few lines.

Leases are never thrown away, so that calls with stale ones are frequent: that is where stores break.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from rollwright.pool.needs import ANY_OFFER, NO_NEEDS
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import (
    Amendment,
    ClaimRequest,
    Lease,
    MovedTask,
    Needs,
    NewTask,
    Offer,
    Outcome,
    PoolStore,
    PutResult,
)

__all__ = ["PoolMachine"]

POOL: Final = "machine"
LEASE: Final = 10.0
NAMES: Final = st.sampled_from("abcd")
OWNERS: Final = st.sampled_from(["w1", "w2"])
NEEDS: Final = st.sampled_from([NO_NEEDS, NO_NEEDS, Needs(tags=("gpu",)), Needs(memory=8)])
OFFERS: Final = st.sampled_from([ANY_OFFER, ANY_OFFER, Offer(tags=frozenset({"gpu"})), Offer(memory=4)])


@dataclass(slots=True)
class _Task:
    """What the model knows of a task."""

    order: int
    priority: int
    attempts_left: int
    status: Status = Status.WAITING
    token: int = 0
    attempts: int = 0
    origin: Status = Status.WAITING
    result: str | None = None
    lease_until: float = 0.0
    not_before: float = 0.0
    owner: str | None = None
    needs: Needs = NO_NEEDS


class PoolMachine(RuleBasedStateMachine):
    """Commands in any order, with every answer compared; subclass it and say how to open a store.

    Attributes
    ----------
    open_store : callable
        Takes a clock (a callable that returns seconds) and returns an empty store.
    """

    open_store: ClassVar[Callable[[Callable[[], float]], PoolStore]]
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.store = type(self).open_store(lambda: self.now)
        self.model: dict[str, _Task] = {}
        self.ids: dict[str, str] = {}
        self.accepted: dict[tuple[str, int], int] = {}
        self.paused = False
        self.cap: int | None = None

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    # -- commands ----------------------------------------------------------------------------------------------

    @rule(name=NAMES, priority=st.integers(0, 2), max_attempts=st.integers(1, 3), needs=NEEDS)
    def put(self, name: str, priority: int, max_attempts: int, needs: Needs) -> None:
        """Put a task, new or not."""
        task = NewTask.of({"name": name}, priority=priority, max_attempts=max_attempts, needs=needs)
        (task_id,) = self.store.put(POOL, [task]).ids
        if name not in self.model:
            self.model[name] = _Task(order=int(task_id), priority=priority, attempts_left=max_attempts, needs=needs)
            self.ids[name] = task_id
        assert self.ids[name] == task_id

    @rule(
        target=leases,
        owner=OWNERS,
        status=st.sampled_from([Status.WAITING, Status.PART_DONE]),
        limit=st.integers(1, 2),
        offer=OFFERS,
    )
    def claim(self, owner: str, status: Status, limit: int, offer: Offer) -> Any:
        """ClaimRequest, and compare what comes with what should."""
        self._expire()
        request = ClaimRequest(pool=POOL, owner=owner, lease=LEASE, limit=limit, status=status, offer=offer)
        found = self.store.claim(request)
        running = sum(task.status is Status.RUNNING for task in self.model.values())
        room = limit if self.cap is None else max(0, min(limit, self.cap - running))
        ready = sorted(
            (
                task
                for task in self.model.values()
                if task.status is status and task.not_before <= self.now and offer.meets(task.needs)
            ),
            key=lambda task: (-task.priority, task.order),
        )[: 0 if self.paused else room]
        assert [int(lease.task_id) for lease in found] == [task.order for task in ready]
        for task, lease in zip(ready, found, strict=True):
            task.origin, task.status, task.owner = status, Status.RUNNING, owner
            task.token += 1
            task.attempts += 1
            task.lease_until = self.now + LEASE
            assert (lease.token, lease.attempt, lease.result) == (task.token, task.attempts, task.result)
        return multiple(*found)

    @rule(
        lease=leases, kind=st.sampled_from(["done", "part_done", "failed", "bad", "released", "cancelled"]),
        value=st.integers(0, 9), delay=st.sampled_from([0.0, 5.0]),
    )  # fmt: skip
    def settle(self, lease: Lease, kind: str, value: int, delay: float) -> None:
        """End an attempt, of any age."""
        settlement = self.store.settle([_outcome(lease, kind, value, delay)])
        task = self._of(lease)
        if task is None or task.status is not Status.RUNNING or task.token != lease.token:
            assert len(settlement.refused) == 1
            assert settlement.statuses == {}
            return
        assert settlement.refused == ()
        self._end(task, kind, value, delay)
        assert settlement.statuses == {lease.task_id: task.status}
        if kind in ("done", "part_done"):
            key = (lease.task_id, lease.token)
            assert key not in self.accepted, "one accepted commit for each claim"
            self.accepted[key] = value

    @rule(owner=OWNERS)
    def renew(self, owner: str) -> None:
        """Renew an owner's leases."""
        held = self.store.renew(owner, lease=LEASE)
        mine = [task for task in self.model.values() if task.status is Status.RUNNING and task.owner == owner]
        assert held == {str(task.order): task.token for task in mine}
        for task in mine:
            task.lease_until = self.now + LEASE

    @rule()
    def reap(self) -> None:
        """Free what ended."""
        freed = self.store.reap(POOL)
        assert sorted(freed, key=int) == sorted((str(task.order) for task in self._expire()), key=int)

    @rule(seconds=st.sampled_from([1.0, 4.0, 11.0]))
    def advance_clock(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(name=NAMES, status=st.sampled_from([Status.WAITING, Status.CANCELLED, Status.FAILED]))
    def amend(self, name: str, status: Status) -> None:
        """Put a task into another state by hand."""
        changed = self.store.amend(POOL, parse({"def.name": name}), Amendment(status=status))
        task = self.model.get(name)
        legal = task is not None and (
            task.status is not status
            if status is Status.WAITING
            else task.status in (Status.WAITING, Status.RUNNING, Status.PART_DONE)
        )
        assert changed == ([str(task.order)] if task is not None and legal else [])
        if task is not None and legal:
            task.token += task.status is Status.RUNNING
            task.status, task.not_before = status, 0.0
            if status is Status.WAITING:
                task.attempts, task.result = 0, None

    @rule(name=NAMES, priority=st.integers(0, 3))
    def prioritise(self, name: str, priority: int) -> None:
        """Change a priority."""
        self.store.amend(POOL, parse({"def.name": name}), Amendment(priority=priority))
        if name in self.model:
            self.model[name].priority = priority

    @rule(name=NAMES, needs=NEEDS)
    def change_needs(self, name: str, needs: Needs) -> None:
        """Change what a task needs."""
        self.store.amend(POOL, parse({"def.name": name}), Amendment(needs=needs))
        if name in self.model:
            self.model[name].needs = needs

    @rule(cap=st.sampled_from([1, 2, None]))
    def set_cap(self, cap: int | None) -> None:
        """Change how many may run at once."""
        self.store.set_share(POOL, max_running=cap)
        self.cap = cap

    @rule()
    def pause(self) -> None:
        """Let nobody take tasks."""
        assert self.store.pause(POOL) is not self.paused
        self.paused = True

    @rule()
    def resume(self) -> None:
        """Let tasks be taken again."""
        assert self.store.resume(POOL) is self.paused
        self.paused = False

    @rule(name=NAMES, into=NAMES)
    def take_over(self, name: str, into: str) -> None:
        """Remove a task and take over what it was, under its own definition, which may be there no more or again."""
        task = self.model.get(name)
        if task is None or task.status is Status.RUNNING:
            return
        (record,) = self.store.get(POOL, [self.ids[name]])
        moved = MovedTask(record=record, history=tuple(self.store.read_history(POOL, [record.task_id])))
        if name == into:  # it is there: nothing changes
            assert self.store.restore(POOL, [moved]) == PutResult(ids=(record.task_id,), created=0)
            return
        assert self.store.delete(POOL, parse({"_id": record.task_id})) == 1
        (task_id,) = self.store.restore(POOL, [moved]).ids
        self.ids[name], task.order = task_id, int(task_id)

    @rule()
    def reopen(self) -> None:
        """Close the store, so that the next call opens it anew."""
        self.store.close()

    # -- model -------------------------------------------------------------------------------------------------

    def _of(self, lease: Lease) -> _Task | None:
        return next((task for task in self.model.values() if task.order == int(lease.task_id)), None)

    def _end(self, task: _Task, kind: str, value: int, delay: float) -> None:
        match kind:
            case "done":
                task.status, task.result = Status.DONE, str(value)
            case "part_done":
                task.status, task.result, task.attempts = Status.PART_DONE, str(value), 0
            case "failed" if task.attempts < task.attempts_left:
                task.status, task.not_before = task.origin, self.now + delay
            case "failed" | "bad":
                task.status = Status.FAILED
            case "released":
                task.status = task.origin
                task.attempts -= 1
            case _:
                task.status = Status.CANCELLED

    def _expire(self) -> list[_Task]:
        ended = [task for task in self.model.values() if task.status is Status.RUNNING and task.lease_until < self.now]
        for task in ended:
            task.token += 1
            task.status = task.origin if task.attempts < task.attempts_left else Status.FAILED
        return ended

    # -- what must hold after every command --------------------------------------------------------------------

    @invariant()
    def the_store_and_the_model_agree(self) -> None:
        """Compare every task."""
        stored = {
            record.task_id: (record.status, record.token, record.attempts, record.priority, record.result, record.needs)
            for record in self.store.find(POOL)
        }
        assert stored == {
            str(task.order): (task.status, task.token, task.attempts, task.priority, task.result, task.needs)
            for task in self.model.values()
        }

    @invariant()
    def counts_agree(self) -> None:
        """Compare the counts by state."""
        counts = self.store.count(POOL)
        for status in Status:
            assert counts[status] == sum(task.status is status for task in self.model.values())

    @invariant()
    def history_is_sound(self) -> None:
        """Tokens only rise, no two claims share one, and the last row tells the state."""
        tokens: dict[str, int] = {}
        claimed: set[tuple[str, int]] = set()
        last: dict[str, Status] = {}
        for row in self.store.read_history(POOL):
            assert row.token >= tokens.get(row.task_id, 0), "tokens only rise"
            tokens[row.task_id] = row.token
            last[row.task_id] = row.status
            if row.event == "claimed":
                assert (row.task_id, row.token) not in claimed, "no two claims share a token"
                claimed.add((row.task_id, row.token))
        demand = {one.needs: (one.open + one.delayed, one.running) for one in self.store.demand([POOL])}
        for needs in {task.needs for task in self.model.values()}:
            mine = [task.status for task in self.model.values() if task.needs == needs]
            held = mine.count(Status.RUNNING)
            assert demand.get(needs, (0, 0)) == (mine.count(Status.WAITING) + mine.count(Status.PART_DONE), held)
        present = {str(task.order): task.status for task in self.model.values()}
        assert {task_id: status for task_id, status in last.items() if task_id in present} == present
        assert self.store.stat(POOL).paused is self.paused


def _outcome(lease: Lease, kind: str, value: int, delay: float) -> Outcome:
    match kind:
        case "done":
            return Outcome.done(lease, result=str(value))
        case "part_done":
            return Outcome.part_done(lease, result=str(value))
        case "failed":
            return Outcome.failed(lease, error="no", delay=delay)
        case "bad":
            return Outcome.failed(lease, error="no", retry=False)
        case "released":
            return Outcome.released(lease)
        case _:
            return Outcome.cancelled(lease)
