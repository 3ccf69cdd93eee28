"""The one loop that works through a pool: claim, run, settle, renew, reconnect, stop.

Where tasks run is the executor's business: in this process (`inline.InlineExecutor`) or in supervised processes
(`slots.SlotExecutor`, one task after another in each or one process for each task). The loop alone speaks with the
store, and it does so from one thread.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from rollwright.core.clock import Clock
from rollwright.core.memory import MemoryGuard
from rollwright.errors import StoreUnavailableError
from rollwright.pool.document import last_line
from rollwright.pool.query import In, Not, both
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, Lease, Outcome, WorkerStore
from rollwright.pool.waiting import pause_hint
from rollwright.pool.worker.backoff import Backoff
from rollwright.pool.worker.fair import SlotGate
from rollwright.pool.worker.reconnect import Reconnect, find_stored_outcomes, release_unknown_leases
from rollwright.pool.worker.shards import ShardKeeper, WokenTask
from rollwright.pool.worker.task_function import EVENT_OF, EventKind, WorkerEvent, WorkerReport
from rollwright.pool.worker.wakeup import StoreListener

__all__ = ["AttemptEnd", "Executor", "WorkLoop"]

_logger = logging.getLogger("rollwright.pool")

_CHECK_OTHERS: Final = 0.25
"""Seconds between checks whether others are done, when nothing is left but what they run."""

_CHECK_FORGOTTEN: Final = 10.0
"""Seconds between looks for tasks that nobody woke though all their shards have ended, while there is nothing to do."""

_CHECK_MEMORY: Final = 1.0
"""Seconds between checks whether memory is free again, while no task is taken for lack of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How one attempt ended, as its executor saw it.

    Attributes
    ----------
    lease : Lease
    kind : {"finished", "failed", "released"}
        ``released`` gives the task back without using the attempt.
    result : str
        What `store.encode_result` made of what the task function returned.
    validity : str or None
        Canonical JSON.
    error : str
        The traceback, or what ended the process.
    retry : bool
        Whether the same task may succeed when it is tried again.
    raised : BaseException or None
        What the loop raises once this end is settled.
    """

    lease: Lease
    kind: Literal["finished", "failed", "released"]
    result: str = "null"
    validity: str | None = None
    error: str = ""
    retry: bool = False
    raised: BaseException | None = None


class Executor(Protocol):
    """Where the tasks of a loop run; only the loop's thread calls it, but for `wake`."""

    @property
    def free(self) -> int:
        """How many tasks it can be given now."""
        ...

    @property
    def starting(self) -> bool:
        """Whether it will be able to take more tasks by itself soon."""
        ...

    @property
    def leases(self) -> Sequence[Lease]:
        """The tasks it runs."""
        ...

    def open(self) -> None:
        """Start what runs the tasks."""
        ...

    def give(self, lease: Lease) -> int | None:
        """Run a task; return the number of the slot that does, if there are slots."""
        ...

    def wait(self, seconds: float) -> list[AttemptEnd]:
        """Return the attempts that ended, waiting for one, or for `wake`, for at most about `seconds`.

        An executor that runs tasks in the caller's thread runs the one it has.
        """
        ...

    def drop(self, lease: Lease) -> int | None:
        """Stop running a task, which somebody else has now; return the number of its slot."""
        ...

    def drain(self) -> None:
        """Start nothing more: the tasks in hand are the last."""
        ...

    def wake(self) -> None:
        """Let `wait` return, from any thread or signal handler."""
        ...

    def close(self) -> None:
        """End all that runs, now."""
        ...


class WorkLoop:
    """Works through a pool, once.

    Parameters
    ----------
    store : WorkerStore
    executor : Executor
    request : ClaimRequest
        What to claim; its owner must be this loop's alone.
    after : Status
        ``done`` or ``part_done``: what a finished task becomes. From ``part_done`` to ``part_done`` each task is run
        once, or the loop would never end.
    backoff : Backoff
    poll : float
        Seconds between looks for work while the store notifies of none.
    patience : float
        Seconds a store may be unreachable.
    drain : float
        Seconds that tasks in hand may go on after the loop was told to stop; half of them while the store is
        unreachable.
    clock : Clock
    until_empty : bool
        True: end when no task is left to take. False: go on until told to stop.
    wait_for_others : bool
        With `until_empty`: whether to wait for tasks that others run, which may come back.
    listen : bool
        Whether the store's notifications wake the executor.
    memory_limit : float, optional
        Share of the machine's memory above which no task is taken.
    on_event : callable, optional
        Called in the loop's thread with each `WorkerEvent`.
    shards : ShardKeeper, optional
        Divides tasks that have shards; without, a task function is given them whole.
    gate : SlotGate, optional
        Says how many tasks may be taken, where several loops share the slots of one worker.
    """

    def __init__(
        self,
        *,
        store: WorkerStore,
        executor: Executor,
        request: ClaimRequest,
        after: Status,
        backoff: Backoff,
        poll: float,
        patience: float,
        drain: float,
        clock: Clock,
        until_empty: bool = True,
        wait_for_others: bool = True,
        listen: bool = True,
        memory_limit: float | None = None,
        on_event: Callable[[WorkerEvent], None] | None = None,
        shards: ShardKeeper | None = None,
        gate: SlotGate | None = None,
    ) -> None:
        self._store = store
        self._gate = gate
        self._denied = False
        self._shards = shards
        self._next_look = 0.0
        self._executor = executor
        self._request = request
        self._query = request.query
        self._after = after
        self._backoff = backoff
        self._poll = poll
        self._clock = clock
        self._drain = drain
        self._until_empty = until_empty
        self._wait_for_others = wait_for_others
        self._on_event = on_event
        self._reconnect = Reconnect(pool=request.pool, patience=patience, clock=clock)
        self._listener = StoreListener(store, request.pool, notify=executor.wake) if listen else None
        self._guard = MemoryGuard(memory_limit)
        self._memory_short = False
        self._paused = False
        self._unmet = False
        self._waiting = False
        self._generator = random.Random()  # noqa: S311 - only spreads retries
        self._outcomes: list[Outcome] = []
        self._finished: list[str] = []
        self._retry_times: list[float] = []
        self._next_renewal = 0.0
        self._stops = 0
        self._counts = {"started": 0, "done": 0, "failed": 0, "released": 0}

    def run(self) -> WorkerReport:
        """Work until nothing is left, or until told to stop.

        Raises
        ------
        StoreUnavailableError
            When the store does not answer for longer than the patience.
        BaseException
            What the executor raises, and what it wants to be raised after an attempt (`AttemptEnd.raised`).
        """
        start = self._clock.monotonic()
        if self._gate is not None:
            held = self._executor
            self._gate.join(held=lambda: len(held.leases), wake=held.wake, stop=self.stop)
        try:
            self._executor.open()
            self._work()
            if self._stops:
                self._wind_up()
        finally:
            self._executor.close()
            if self._gate is not None:
                self._gate.leave()
            if self._listener is not None:
                self._listener.close()
        return WorkerReport(**self._counts, seconds=self._clock.monotonic() - start, interrupted=self._stops > 0)

    def stop(self) -> None:
        """Tell it to stop, from any thread or signal handler."""
        self._stops += 1
        self._executor.wake()

    # -- working -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        self._next_renewal = self._clock.monotonic() + self._request.lease / 3
        while not self._stops:
            if self._try(self._run_round):
                return
            if self._start_listening():
                continue  # look again: of what was put meanwhile nobody was notified
            self._collect(self._seconds_to_wait())

    def _run_round(self) -> bool:
        """Do what is due at the store; return whether nothing is left to do.

        1. Renew the leases when it is time, and after a lost connection find out what became of what was sent.
        2. Settle what ended and claim as many tasks as can be run.
        3. With nothing claimed and nothing running, ask whether anything is left.

        A lost connection is found again by a whole round: a full disk answers questions and keeps nothing.
        """
        if due := self._reconnect.lost or self._clock.monotonic() >= self._next_renewal:
            self._renew()
        asks = due or bool(self._outcomes) or self._is_idle() or self._executor.free > 0
        claimed = self._settle_and_claim()
        idle = not claimed and not self._outcomes and not self._denied and self._is_idle()
        over = idle and self._is_nothing_left()
        if asks:
            self._note_answer()
        return over

    def _try(self, ask: Callable[[], bool]) -> bool:
        """Return what `ask` returns; False while the store is unreachable, for as long as the patience lasts."""
        try:
            return ask()
        except StoreUnavailableError as error:
            if self._reconnect.note_failure(error):
                self._emit("store away", None, None, "tasks in hand go on")
            return False

    def _start_listening(self) -> bool:
        """Listen to the store from the first time on that there is nothing to take; return whether that is now."""
        idle = self._executor.free > 0 and not self._reconnect.lost
        return idle and self._listener is not None and self._listener.start()

    def _seconds_to_wait(self) -> float:
        """Return how long nobody needs to look: until leases are renewed or a failed task is due, at most ``poll``."""
        now = self._clock.monotonic()
        seconds = max(0.0, self._next_renewal - now)
        if self._reconnect.lost:
            return min(seconds, self._reconnect.pause)
        seconds = min(seconds, self._poll)
        if self._retry_times:
            self._retry_times = [moment for moment in self._retry_times if moment > now]
            seconds = min([seconds, *(moment - now + 0.001 for moment in self._retry_times)])
        if self._until_empty and self._wait_for_others and self._is_idle():
            seconds = min(seconds, _CHECK_OTHERS)
        if self._memory_short:
            seconds = min(seconds, _CHECK_MEMORY)
        if self._denied:
            seconds = min(seconds, _CHECK_OTHERS)
        return seconds

    def _is_idle(self) -> bool:
        return not self._executor.leases

    def _is_nothing_left(self) -> bool:
        """Tell whether no task is waiting, now or later, and none runs elsewhere; say so when the pool is paused."""
        stat = self._store.stat(self._request.pool)
        if stat.paused and not self._paused:
            _logger.warning("worker.paused pool=%s hint=%s", self._request.pool, pause_hint(self._request.pool))
        self._paused = stat.paused
        if not self._until_empty or self._executor.starting:
            if stat.counts[Status.PART_DONE] and not stat.counts[self._request.status]:
                self._find_forgotten(now=False)
            return False
        query = self._request.query
        counts = stat.counts if query is None else self._store.count(self._request.pool, query)
        if counts[self._request.status] and self._may_take_some():
            return False
        others = self._wait_for_others and counts[Status.RUNNING]
        if counts[Status.PART_DONE] and self._find_forgotten(now=not others):
            return False
        if others and not self._waiting:
            self._emit("waiting", None, None, f"{others} task{'s' * (others != 1)} that others have in hand")
        self._waiting = bool(others)
        return not others

    def _find_forgotten(self, *, now: bool) -> bool:
        """Wake tasks whose shards have all ended while nobody was left to wake them; return whether there were some."""
        if self._shards is None or not (now or self._clock.monotonic() >= self._next_look):
            return False
        self._next_look = self._clock.monotonic() + _CHECK_FORGOTTEN
        return self._note_woken(self._shards.find_forgotten())

    def _may_take_some(self) -> bool:
        """Tell whether this worker meets the needs of a task that is left to take, now or later; say so when not."""
        pool, offer = self._request.pool, self._request.offer
        demand = [one for one in self._store.demand([pool]) if one.open or one.delayed]
        met = {one.needs.text for one in demand if offer.meets(one.needs)}
        if met:
            of_these = In(path=("needs",), values=tuple(sorted(met)))
            return self._store.count(pool, both(self._request.query, of_these))[self._request.status] > 0
        unmet = ";".join(one.needs.text for one in demand)
        if unmet and not self._unmet:
            tasks = sum(one.open + one.delayed for one in demand)
            _logger.warning("worker.unfit pool=%s tasks=%d needs=%s", pool, tasks, unmet)
        self._unmet = bool(unmet)
        return False

    def _is_memory_free(self) -> bool:
        """Tell whether the machine has memory for another task, and say so once when that changes."""
        short = not self._guard.admits()
        if short != self._memory_short:
            self._memory_short = short
            if short:
                _logger.warning("worker.memory_short pool=%s action=%s", self._request.pool, "no task is taken")
            else:
                _logger.warning("worker.memory_free pool=%s action=%s", self._request.pool, "tasks are taken again")
        return not short

    # -- settling ----------------------------------------------------------------------------------------------

    def _collect(self, seconds: float) -> None:
        """Wait for attempts to end and make outcomes of them."""
        ends = self._executor.wait(seconds)
        for end in ends:
            outcome = self._outcome_of(end)
            self._outcomes.append(outcome)
            if outcome.kind == "part_done" and self._request.status is Status.PART_DONE:
                self._finished.append(outcome.task_id)
                done = Not(part=In(path=("_id",), values=tuple(self._finished)))
                self._request = replace(self._request, query=both(self._query, done))
        for end in ends:
            if end.raised is not None:
                self._raise(end.raised)

    def _outcome_of(self, end: AttemptEnd) -> Outcome:
        if end.kind == "finished":
            make = Outcome.part_done if self._after is Status.PART_DONE else Outcome.done
            return make(end.lease, result=end.result, validity=end.validity)
        if end.kind == "released":
            return Outcome.released(end.lease)
        delay = self._backoff.delay(end.lease.attempt, generator=self._generator)
        return Outcome.failed(end.lease, error=end.error, retry=end.retry, delay=delay)

    def _raise(self, error: BaseException) -> None:
        """Settle what there is and raise `error`; for an interrupt or exit without waiting for an unreachable store.

        Tasks that still run are stopped and given back without using an attempt.
        """
        self._executor.drain()
        for lease in [*self._executor.leases]:
            self._executor.drop(lease)
            self._outcomes.append(Outcome.released(lease))
        if isinstance(error, Exception):
            self._reconnect.retry(self._settle_all)
        else:
            self._try(self._settle_all)
        raise error

    def _settle_and_claim(self) -> bool:
        """Settle what ended and claim as many tasks as can be run, in one transaction; return whether some were."""
        free = self._executor.free if self._is_memory_free() else 0
        granted = free if self._gate is None else self._gate.ask(free)
        self._denied = granted < free
        taken = 0
        try:
            if not granted and not self._outcomes:
                return False
            leases = self._claim(granted)
            self._waiting &= not leases
            for lease in leases:
                slot = self._executor.give(lease)
                taken += 1
                self._counts["started"] += 1
                _logger.info("task.started pool=%s task=%s slot=%s", lease.pool, lease.task_id, slot)
                self._emit("started", lease.task_id, slot, "")
            return bool(leases)
        finally:
            if self._gate is not None and granted:
                self._gate.took(granted, taken)

    def _claim(self, free: int) -> list[Lease]:
        """Settle what ended and return what is to be run, at most `free` tasks.

        What is divided into shards is set aside in the next transaction, which claims more in its place; a task that
        wakes because its last shard was settled may be claimed at once.
        """
        given: list[Lease] = []
        while True:
            leases = self._settle(limit=free - len(given))
            if free and not given and not leases and self._reap():
                leases = self._settle(limit=free)
            divided = self._divide(leases)
            given += [lease for lease in leases if lease.task_id not in divided]
            if not divided and not self._wake_divided():
                return given

    def _divide(self, leases: Sequence[Lease]) -> set[str]:
        """Set those tasks aside that have shards, and return their ids."""
        outcomes = [] if self._shards is None else [self._shards.divide(lease) for lease in leases]
        divided = [outcome for outcome in outcomes if outcome is not None]
        self._outcomes += divided
        return {outcome.task_id for outcome in divided}

    def _wake_divided(self) -> bool:
        """Wake the tasks whose last shard was settled; return whether there were some."""
        return self._shards is not None and self._note_woken(self._shards.wake())

    def _note_woken(self, tasks: Sequence[WokenTask]) -> bool:
        for task in tasks:
            if task.status == "failed":
                self._counts["failed"] += 1
                self._emit("failed", task.task_id, None, task.reason)
        return bool(tasks)

    def _reap(self) -> bool:
        freed = self._store.reap(self._request.pool, query=self._request.query)
        if freed:
            _logger.warning("tasks.reaped pool=%s tasks=%s", self._request.pool, ",".join(freed))
        return bool(freed)

    def _settle(self, *, limit: int) -> tuple[Lease, ...]:
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes and not limit:
            return ()
        if limit not in (0, self._request.limit):
            self._request = replace(self._request, limit=limit)
        try:
            settlement = self._store.settle(outcomes, claim=self._request if limit else None)
        except StoreUnavailableError:
            self._outcomes = outcomes
            raise
        by_id = {outcome.task_id: outcome for outcome in outcomes}
        for task_id, status in settlement.statuses.items():
            self._note_settled(by_id[task_id], status)
        for refusal in settlement.refused:
            _logger.warning("task.lost pool=%s task=%s", self._request.pool, refusal.task_id)
            self._emit("lost", refusal.task_id, None, "another worker has it now")
        return settlement.leases

    def _note_settled(self, outcome: Outcome, status: Status) -> None:
        if self._shards is not None and self._shards.note_settled(outcome, status):
            return
        if outcome.delay and status not in (Status.FAILED, Status.RUNNING):
            self._retry_times.append(self._clock.monotonic() + outcome.delay)
        retried = outcome.kind == "failed" and status is not Status.FAILED
        kind: EventKind = "retry" if retried else EVENT_OF[outcome.kind]
        counted = "done" if kind == "part_done" else kind
        if counted in self._counts:
            self._counts[counted] += 1
        _logger.info("task.%s pool=%s task=%s status=%s", kind, self._request.pool, outcome.task_id, status.value)
        self._emit(kind, outcome.task_id, None, last_line(outcome.error) if outcome.error else "")

    # -- leases ------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Renew all leases at once, and stop the tasks that are somebody else's now.

        After a lost connection first:

        1. Outcomes that the store has kept though its answer was lost are noted: sent again, they would be refused.
        2. Tasks that a claim gave without its answer arriving are released.
        """
        self._next_renewal = self._clock.monotonic() + self._request.lease / 3
        if self._is_idle() and not self._reconnect.lost:
            return
        held = self._store.renew(self._request.owner, lease=self._request.lease)
        if self._reconnect.lost:
            self._note_stored_outcomes()
        known = {lease.task_id for lease in self._executor.leases} | {outcome.task_id for outcome in self._outcomes}
        release_unknown_leases(self._store, self._request.pool, held, known)
        for lease in [*self._executor.leases]:
            if held.get(lease.task_id) != lease.token:
                slot = self._executor.drop(lease)
                _logger.warning("task.lost pool=%s task=%s slot=%s", lease.pool, lease.task_id, slot)
                self._emit("lost", lease.task_id, slot, "")

    def _note_stored_outcomes(self) -> None:
        kept = find_stored_outcomes(self._store, self._request.pool, self._outcomes)
        settled = [outcome for outcome in self._outcomes if outcome.task_id in kept]
        self._outcomes = [outcome for outcome in self._outcomes if outcome.task_id not in kept]
        for outcome in settled:
            self._note_settled(outcome, kept[outcome.task_id])

    def _note_answer(self) -> None:
        if self._reconnect.note_answer():
            self._emit("store back", None, None, "")

    # -- stopping ----------------------------------------------------------------------------------------------

    def _wind_up(self) -> None:
        """Let the tasks in hand finish for a moment, then give them back."""
        self._executor.drain()
        self._emit("stopping", None, None, f"up to {self._drain:g} s for the tasks in hand")
        end = self._clock.monotonic() + (self._drain / 2 if self._reconnect.lost else self._drain)
        while not self._is_idle() and (left := end - self._clock.monotonic()) > 0:
            self._collect(min(left, self._request.lease / 3))
            if (self._outcomes and not self._reconnect.lost) or self._clock.monotonic() >= self._next_renewal:
                self._try(self._settle_all)
        for lease in [*self._executor.leases]:
            self._executor.drop(lease)
            self._outcomes.append(Outcome.released(lease))
        self._try(self._settle_all)
        if self._outcomes:
            tasks = ",".join(outcome.task_id for outcome in self._outcomes)
            _logger.warning("worker.unsettled pool=%s tasks=%s", self._request.pool, tasks)

    def _settle_all(self) -> bool:
        if self._reconnect.lost or self._clock.monotonic() >= self._next_renewal:
            self._renew()
        self._settle(limit=0)
        self._wake_divided()
        self._note_answer()
        return True

    def _emit(self, kind: EventKind, task_id: str | None, slot: int | None, detail: str) -> None:
        if self._on_event is not None:
            self._on_event(WorkerEvent(kind=kind, task_id=task_id, slot=slot, detail=detail))
