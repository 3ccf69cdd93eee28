"""Working through a pool: `run_task` in this process, `Worker` with supervised slots."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any, Final

from rollwright.config.construct import Trust
from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.canonical import normalise
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.memory import MemoryGuard, process_memory
from rollwright.errors import ConfigError, ConstructError, PoolError, StoreUnavailableError, UntrustedModuleError
from rollwright.pool.document import last_line
from rollwright.pool.query import Query, both, selection
from rollwright.pool.states import Status
from rollwright.pool.store import Claim, Lease, Outcome, PoolStore
from rollwright.pool.waiting import pause_hint
from rollwright.pool.worker.backoff import DEFAULT_BACKOFF, Backoff
from rollwright.pool.worker.heartbeat import new_owner
from rollwright.pool.worker.inline import run_task
from rollwright.pool.worker.reconnect import Outage, give_back_strays, kept_outcomes
from rollwright.pool.worker.supervisor import SlotHandle, Supervisor
from rollwright.pool.worker.task_function import EVENT_OF, EventKind, TaskBody, TaskResult, WorkerEvent, WorkerReport
from rollwright.pool.worker.wakeup import Doorman, Nudge, Stopper

__all__ = ["TaskBody", "TaskResult", "Worker", "WorkerEvent", "WorkerReport", "run_task"]

_logger = logging.getLogger("rollwright.pool")

GRACE: Final = 4.0
"""Seconds a slot may go on after the worker was told to stop, so that all is over within five."""

_START_FAILURES: Final = 3
_QUIET_LOOK: Final = 0.25
"""Seconds between looks whether others are done, when a worker has nothing left but they have."""

MEMORY_LOOK: Final = 0.1
"""Seconds between looks at what a task's process takes, when there is a limit."""

_GB: Final = 1e9


class Worker:
    """Works through a pool with several processes at once.

    This process claims, renews and settles for its slots, and holds the one connection to the store; a slot only runs
    the body. Guarantees: a slot that dies costs its task one attempt and nobody else anything; a slot dies with this
    process, within a second, however it went; told to stop (SIGTERM, SIGINT or `stop`), it claims nothing more, waits
    a few seconds for the tasks in hand, gives the rest back without using an attempt, and is gone within five; told
    twice, it is gone at once. What a task that lost its lease still returns is thrown away. A store that stops
    answering is borne for ``worker.store_patience`` seconds: tasks in hand go on, and what they return is kept and
    committed when the store is back; what somebody else was given meanwhile is refused by the fence.

    Parameters
    ----------
    store : PoolStore
    pool : str
    body : TaskBody
        What is run on each task's definition.
    slots : int
        Processes that work at the same time.
    lease : float
        Seconds; renewed three times as often, for all slots with one statement.
    query : mapping, optional
        Only tasks that match.
    until_empty : bool
        True: end when nothing is left, waiting for tasks that others run, which may come back. False: go on until told
        to stop.
    timeout : float, optional
        Seconds a task may take; then its slot is ended and the attempt has failed. The settings'
        ``worker.task_timeout`` if not given.
    memory : float, optional
        GB a slot may take for a task, its libraries included and files it has mapped not; beyond that it is ended and
        the attempt has failed, the other slots go on. The settings' ``worker.task_memory`` if not given.
    preload : sequence of str
        Modules to import once for all slots.
    settings : Settings, optional
        What the slots work with; the ambient ones if not given.
    on_event : callable, optional
        Called in this thread with each `WorkerEvent`.
    only : sequence of str, optional
        Ids of the tasks to work on.
    tags : sequence of str
        Work only on tasks whose definition has each of these names beneath ``tags``, as in
        ``{"tags": {"gpu": true}, …}``, with another value than false.
    before, after : Status
        The state tasks are taken from and the one they are committed in, as in `run_task`.
    tasks_per_slot : int, optional
        After so many tasks a slot is replaced by a new process, which gives its memory back; the settings'
        ``worker.max_tasks_per_child`` if not given.
    backoff : Backoff
        How long a failed task waits before it is tried again.
    poll : float, optional
        Seconds between looks for work while idle and nothing rings; the settings' ``pool.poll`` if not given.

    Raises
    ------
    UntrustedModuleError
        When the body's module is not trusted.
    """

    def __init__(
        self,
        *,
        store: PoolStore,
        pool: str,
        body: TaskBody,
        slots: int,
        lease: float,
        query: Mapping[str, Any] | None = None,
        until_empty: bool = True,
        timeout: float | None = None,
        memory: float | None = None,
        preload: Sequence[str] = (),
        settings: Settings | None = None,
        on_event: Callable[[WorkerEvent], None] | None = None,
        only: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        before: Status = Status.WAITING,
        after: Status = Status.DONE,
        tasks_per_slot: int | None = None,
        backoff: Backoff = DEFAULT_BACKOFF,
        poll: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        if slots < 1:
            raise ConfigError(f"a worker needs at least one slot, not {slots}")
        settings = settings if settings is not None else current_settings()
        module = body.entry.partition(":")[0]
        if not module.endswith(".py") and not Trust.from_settings(settings).covers(module):
            raise UntrustedModuleError(module)
        self._store = store
        self._wish = Claim(pool=pool, owner=new_owner(), lease=lease, status=before, query=selection(query, only, tags))
        self._after = after
        self._slots = slots
        self._until_empty = until_empty
        self._timeout = settings.worker.task_timeout if timeout is None else timeout
        self._memory = settings.worker.task_memory if memory is None else memory
        if self._memory is not None and process_memory(os.getpid()) is None:
            _logger.warning("worker.task_memory is not watched: this system does not tell what a process takes")
            self._memory = None
        self._tasks_per_slot = settings.worker.max_tasks_per_child if tasks_per_slot is None else tasks_per_slot
        self._guard = MemoryGuard(settings.worker.memory_limit)
        self._held_back = False
        self._paused = False
        self._backoff = backoff
        self._poll = poll if poll is not None else settings.pool.poll
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._on_event = on_event
        self._outage = Outage(pool=pool, patience=settings.worker.store_patience, clock=self._clock)
        terms = {
            "settings": settings.model_dump_json(),
            "entry": body.entry,
            "kwargs": normalise(dict(body.kwargs)),
            "log_level": logging.getLogger("rollwright").getEffectiveLevel(),
        }
        self._supervisor = Supervisor(terms=terms, preload=preload)
        self._generator = random.Random()  # noqa: S311 - only spreads retries
        self._handles: list[SlotHandle] = []
        self._outcomes: list[Outcome] = []
        self._start_failures = 0
        self._signals = 0
        self._nudge: Nudge | None = None
        self._beat = 0.0
        self._due: list[float] = []
        self._counts = {"done": 0, "failed": 0, "released": 0}

    def run(self) -> WorkerReport:
        """Work until nothing is left, or until told to stop.

        Raises
        ------
        ConstructError
            When a slot cannot load the body.
        PoolError
            When slots die as they start, or the store does not answer for longer than is borne.
        """
        start = self._clock.monotonic()
        self._nudge = nudge = Nudge()
        try:
            with Stopper(self.stop), Doorman(self._store, self._wish.pool, answer=nudge.give):
                try:
                    self._handles = [self._supervisor.start(number) for number in range(self._slots)]
                    self._work()
                    if self._signals:
                        self._wind_up()
                finally:
                    self._abandon()
        finally:
            self._nudge = None
            nudge.close()
        return WorkerReport(**self._counts, seconds=self._clock.monotonic() - start, interrupted=self._signals > 0)

    def narrow(self, query: Query | None) -> None:
        """Work only on tasks that match `query`, a parsed one, too."""
        self._wish = replace(self._wish, query=both(self._wish.query, query))

    def stop(self) -> None:
        """Tell it to stop, from any thread or signal handler."""
        self._signals += 1
        if self._nudge is not None:
            self._nudge.give()

    # -- the loop ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        self._beat = self._clock.monotonic() + self._wish.lease / 3
        while not self._signals:
            if self._bearing_outages(self._round):
                return
            pause = self._outage.pause if self._outage.lasts else self._patience()
            self._listen(min(pause, max(0.0, self._beat - self._clock.monotonic())))

    def _round(self) -> bool:
        """Do what is due at the store; return whether nothing is left to do.

        An outage ends with a whole round: a full disk answers questions and keeps nothing.
        """
        if due := self._outage.lasts or self._clock.monotonic() >= self._beat:
            self._heartbeat()
        asks = due or bool(self._outcomes) or self._idle() or any(slot.idle for slot in self._handles)
        over = not self._turn() and not self._outcomes and self._idle() and self._nothing_left()
        if asks:
            self._answered()
        return over

    def _bearing_outages(self, ask: Callable[[], bool]) -> bool:
        """Return what `ask` returns; False while the store is away, which is borne for a while."""
        try:
            return ask()
        except StoreUnavailableError as error:
            if self._outage.met(error):
                self._emit("store away", None, None, "tasks in hand go on")
            return False

    def _idle(self) -> bool:
        return not any(slot.lease for slot in self._handles)

    def _patience(self) -> float:
        """Return how long nobody needs to look: until a task is due again that failed here, at most ``poll``."""
        now = self._clock.monotonic()
        self._due = [moment for moment in self._due if moment > now]
        waits = [self._poll, *(moment - now + 0.001 for moment in self._due)]
        if self._until_empty and self._idle():
            waits.append(_QUIET_LOOK)
        if self._held_back:
            waits.append(1.0)
        return min(waits)

    def _turn(self) -> bool:
        """Settle what ended and take as many tasks as slots are free, in one transaction."""
        free = [slot for slot in self._handles if slot.idle] if self._admitted() else []
        if not free and not self._outcomes:
            return False
        leases = self._settle(limit=len(free))
        if free and not leases and self._store.reap(self._wish.pool, query=self._wish.query):
            leases = self._settle(limit=len(free))
        for slot, lease in zip(free, leases, strict=False):
            slot.give(lease, now=self._clock.monotonic(), stage=self._wish.status is Status.PART_DONE)
            self._tell("started", lease, slot)
        return bool(leases)

    def _admitted(self) -> bool:
        """Tell whether the machine has memory for another task, and say so once when that changes."""
        held_back = not self._guard.admits()
        if held_back != self._held_back:
            self._held_back = held_back
            said = "memory is above worker.memory_limit: no task is taken" if held_back else "memory is back: going on"
            _logger.warning("worker.memory pool=%s %s", self._wish.pool, said)
        return not held_back

    def _settle(self, *, limit: int) -> tuple[Lease, ...]:
        outcomes, self._outcomes = self._outcomes, []
        wish = replace(self._wish, limit=limit) if limit else None
        try:
            settlement = self._store.settle(outcomes, claim=wish)
        except StoreUnavailableError:
            self._outcomes = outcomes
            raise
        by_id = {outcome.task_id: outcome for outcome in outcomes}
        for task_id, status in settlement.statuses.items():
            self._settled(by_id[task_id], status)
        for refusal in settlement.refused:
            _logger.warning("task.lost pool=%s task=%s", self._wish.pool, refusal.task_id)
            self._emit("lost", refusal.task_id, None, "another worker has it now")
        return settlement.leases

    def _settled(self, outcome: Outcome, status: Status) -> None:
        if outcome.delay and status not in (Status.FAILED, Status.RUNNING):
            self._due.append(self._clock.monotonic() + outcome.delay)
        kind: EventKind = (
            "retry" if outcome.kind == "failed" and status is not Status.FAILED else EVENT_OF[outcome.kind]
        )
        counted = {"done": "done", "part_done": "done", "failed": "failed", "released": "released"}.get(kind)
        if counted is not None:
            self._counts[counted] += 1
        _logger.info("task.%s pool=%s task=%s status=%s", kind, self._wish.pool, outcome.task_id, status.value)
        self._emit(kind, outcome.task_id, None, last_line(outcome.error) if outcome.error else "")

    def _nothing_left(self) -> bool:
        """Tell whether no task is waiting, now or later, and none runs elsewhere; say so when the pool is paused."""
        stat = self._store.stat(self._wish.pool)
        if stat.paused and not self._paused:
            _logger.warning("pool.paused pool=%s %s", self._wish.pool, pause_hint(self._wish.pool))
        self._paused = stat.paused
        if not self._until_empty or any(not slot.ready for slot in self._handles):
            return False
        query = self._wish.query
        counts = stat.counts if query is None else self._store.count(self._wish.pool, query)
        return not counts[self._wish.status] and not counts[Status.RUNNING]

    def _listen(self, seconds: float) -> None:
        """Wait for slots to speak or die, and hear them."""
        nudge = self._nudge
        waits: dict[Any, SlotHandle | None] = {nudge.descriptor: None} if nudge is not None else {}
        for slot in self._handles:
            waits[slot.connection] = slot
            waits[slot.process.sentinel] = slot
        heard = {id(waits[item]): waits[item] for item in wait(list(waits), timeout=self._until_timeout(seconds))}
        for speaker in heard.values():
            if speaker is not None:
                self._hear(speaker)
            elif nudge is not None:
                nudge.take()
        self._end_overdue()
        self._end_oversized()

    def _until_timeout(self, seconds: float) -> float:
        busy = [slot for slot in self._handles if slot.lease]
        ends = [seconds]
        if self._timeout is not None:
            now = self._clock.monotonic()
            ends += [slot.since + self._timeout - now for slot in busy]
        if self._memory is not None and busy:
            ends.append(MEMORY_LOOK)
        return max(0.0, min(ends))

    def _hear(self, slot: SlotHandle) -> None:
        message = slot.receive() if slot.connection.poll() else None
        if message is None:
            self._died(slot)
        elif message["kind"] == "ready":
            slot.ready = True
            self._start_failures = 0
        elif message["kind"] == "broken":
            raise ConstructError(f"the body of the tasks cannot be loaded:\n{message['error'].rstrip()}")
        else:
            self._ended(slot, message)

    def _ended(self, slot: SlotHandle, message: Mapping[str, Any]) -> None:
        lease, slot.lease = slot.lease, None
        if lease is not None:
            if message["kind"] == "finished":
                make = Outcome.part_done if self._after is Status.PART_DONE else Outcome.done
                self._outcomes.append(make(lease, result=message["result"], validity=message["validity"]))
            else:
                self._outcomes.append(self._failure(lease, message["error"], retry=message["retry"]))
        if self._tasks_per_slot is not None and slot.tasks >= self._tasks_per_slot:
            slot.dismiss()
            self._replace(slot)

    def _failure(self, lease: Lease, error: str, *, retry: bool) -> Outcome:
        delay = self._backoff.delay(lease.attempt, generator=self._generator)
        return Outcome.failed(lease, error=error, retry=retry, delay=delay)

    def _died(self, slot: SlotHandle) -> None:
        words = slot.last_words()
        lease, slot.lease = slot.lease, None
        _logger.info("slot.died slot=%d task=%s reason=%s", slot.number, lease and lease.task_id, words)
        self._emit("slot died", lease.task_id if lease else None, slot.number, words)
        if lease is not None:
            self._outcomes.append(Outcome.released(lease) if self._signals else self._failure(lease, words, retry=True))
        if not slot.ready:
            self._start_failures += 1
            if self._start_failures >= _START_FAILURES:
                raise PoolError(
                    f"slots die as they start: {words}", hint="run the body's module by itself to see what ends it"
                )
        slot.kill()
        self._replace(slot)

    def _replace(self, slot: SlotHandle) -> None:
        place = self._handles.index(slot)
        if self._signals:  # there is nothing more to run
            del self._handles[place]
        else:
            self._handles[place] = self._supervisor.start(slot.number)

    def _end_overdue(self) -> None:
        if self._timeout is None:
            return
        now = self._clock.monotonic()
        for slot in list(self._handles):
            if slot.lease is not None and now - slot.since >= self._timeout:
                self._end_slot(slot, slot.lease, f"no result within {self._timeout:g} s")

    def _end_oversized(self) -> None:
        if self._memory is None:
            return
        for slot in list(self._handles):
            taken = process_memory(slot.process.pid) if slot.lease is not None else None
            if slot.lease is not None and taken is not None and taken > self._memory * _GB:
                self._end_slot(
                    slot,
                    slot.lease,
                    f"out of memory: its process took {taken / _GB:.2f} GB, and {self._memory:g} GB are allowed",
                )

    def _end_slot(self, slot: SlotHandle, lease: Lease, error: str) -> None:
        """End a slot in the middle of a task, which has failed by that."""
        slot.lease = None
        self._outcomes.append(self._failure(lease, error, retry=True))
        slot.kill()
        self._replace(slot)

    def _heartbeat(self) -> None:
        """Renew all leases at once, and end the slots whose task is somebody else's now."""
        self._beat = self._clock.monotonic() + self._wish.lease / 3
        if self._idle() and not self._outage.lasts:
            return
        held = self._store.renew(self._wish.owner, lease=self._wish.lease)
        if self._outage.lasts:
            self._find_kept()
        mine = {slot.lease.task_id for slot in self._handles if slot.lease is not None}
        give_back_strays(self._store, self._wish.pool, held, mine | {outcome.task_id for outcome in self._outcomes})
        for slot in list(self._handles):
            lease = slot.lease
            if lease is not None and held.get(lease.task_id) != lease.token:
                slot.lease = None
                self._tell("lost", lease, slot)
                slot.kill()
                self._replace(slot)

    def _find_kept(self) -> None:
        """Tell of what the store has kept though its answer was lost: offered again, it would be refused."""
        kept = kept_outcomes(self._store, self._wish.pool, self._outcomes)
        done = [outcome for outcome in self._outcomes if outcome.task_id in kept]
        self._outcomes = [outcome for outcome in self._outcomes if outcome.task_id not in kept]
        for outcome in done:
            self._settled(outcome, kept[outcome.task_id])

    def _answered(self) -> None:
        if self._outage.answered():
            self._emit("store back", None, None, "")

    # -- stopping ----------------------------------------------------------------------------------------------

    def _wind_up(self) -> None:
        """Let the tasks in hand finish for a moment, then give them back."""
        self._emit("stopping", None, None, f"up to {GRACE:g} s for the tasks in hand")
        end = self._clock.monotonic() + (GRACE / 2 if self._outage.lasts else GRACE)
        while not self._idle() and (left := end - self._clock.monotonic()) > 0:
            self._listen(min(left, self._wish.lease / 3))
            if self._outcomes and not self._outage.lasts:
                self._bearing_outages(self._settle_all)
        for slot in self._handles:
            if slot.lease is not None:
                self._outcomes.append(Outcome.released(slot.lease))
                slot.lease = None
                slot.kill()
        self._bearing_outages(self._settle_all)
        if self._outcomes:
            tasks = ",".join(outcome.task_id for outcome in self._outcomes)
            _logger.warning("worker.left pool=%s tasks=%s: the store is away; they run again", self._wish.pool, tasks)

    def _settle_all(self) -> bool:
        if self._outage.lasts:
            self._heartbeat()
        self._settle(limit=0)
        self._answered()
        return True

    def _abandon(self) -> None:
        for slot in self._handles:
            if slot.idle:
                slot.dismiss()
            else:
                slot.kill()
        self._handles = []

    # -- telling -----------------------------------------------------------------------------------------------

    def _tell(self, kind: EventKind, lease: Lease, slot: SlotHandle) -> None:
        _logger.info("task.%s pool=%s task=%s slot=%d", kind, lease.pool, lease.task_id, slot.number)
        self._emit(kind, lease.task_id, slot.number, "")

    def _emit(self, kind: EventKind, task_id: str | None, slot: int | None, detail: str) -> None:
        if self._on_event is not None:
            self._on_event(WorkerEvent(kind=kind, task_id=task_id, slot=slot, detail=detail))
