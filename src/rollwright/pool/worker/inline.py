"""`run_task`: working through a pool in this process."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from rollwright.config.context import current_settings
from rollwright.core.canonical import canonical_json
from rollwright.errors import ConfigError, TaskFailedError
from rollwright.pool.document import document_of_lease, last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import In, Not, Query, both
from rollwright.pool.query import parse as parse_query
from rollwright.pool.states import CLAIMABLE, Status, parse_status
from rollwright.pool.store import Claim, Lease, Outcome, Settlement, Waker, encode_result
from rollwright.pool.waiting import pause_hint
from rollwright.pool.worker.backoff import DEFAULT_BACKOFF, worth_retrying
from rollwright.pool.worker.heartbeat import Heartbeat, new_owner
from rollwright.pool.worker.reconnect import Outage, give_back_strays, kept_outcomes
from rollwright.pool.worker.task_function import TaskResult

__all__ = ["failed_outcome", "finished_outcome", "run_task"]

_logger = logging.getLogger("rollwright.pool")

_ENDS: Final = (Status.DONE, Status.PART_DONE)


def run_task(
    task_func: Callable[..., Any],
    task_pool: str | TaskManager,
    query: Mapping[str, Any] | None = None,
    force_release: bool = False,  # noqa: FBT001, FBT002 - the seeds' signature
    before_status: str = TaskManager.STATUS_WAITING,
    after_status: str = TaskManager.STATUS_DONE,
    fail_fast: bool = False,  # noqa: FBT001, FBT002 - beside the seeds' other switches
    **kwargs: Any,
) -> bool:
    """Take task after task and run `task_func` on each, until none is left.

    Parameters
    ----------
    task_func : callable
        ``task_func(definition, **kwargs)`` for waiting tasks, ``task_func(res, **kwargs)`` for part_done ones. What it
        returns is committed: JSON, an object with a reference, or a `TaskResult`.
    task_pool : str or TaskManager
    query : mapping, optional
        Only tasks that match.
    force_release : bool
        True: each task runs in a process of its own, which gives all its memory back; `task_func` must then be a
        function of a module, and take its arguments as JSON.
    before_status : str
        ``waiting`` or ``part_done``.
    after_status : str
        ``done`` or ``part_done``.
    fail_fast : bool
        True: the first exception is passed on at once, as Qlib does.
    **kwargs
        Given to `task_func`.

    Returns
    -------
    bool
        Whether any task was run.

    Raises
    ------
    TaskFailedError
        When tasks are out of attempts; all the others are finished then.
    ConfigError
        For another state than those above; no task has been taken then.

    Guarantees: a failing task never stops the others, and is tried again after a while as often as its attempts
    allow; an interrupt or exit gives the task in hand back without using an attempt; the lease is renewed meanwhile;
    a store that stops answering is borne for the settings' ``worker.store_patience``, and the result in hand kept.
    """
    before, after = parse_status(before_status), parse_status(after_status)
    if before not in CLAIMABLE:
        raise ConfigError(f"before_status is waiting or part_done, not `{before.value}`")
    if after not in _ENDS:
        raise ConfigError(f"after_status is done or part_done, not `{after.value}`")
    manager = task_pool if isinstance(task_pool, TaskManager) else TaskManager(task_pool)
    if force_release:
        from rollwright.pool.worker.isolated import run_apart  # noqa: PLC0415 - it is built on this module

        return run_apart(task_func, manager, query=parse_query(query), before=before, after=after, kwargs=kwargs)

    loop = _Loop(task_func, manager, query=parse_query(query), before=before, after=after, kwargs=kwargs)
    with Heartbeat(manager.store, loop.owner, lease=manager.lease):
        return loop.run(fail_fast=fail_fast)


class _Loop:
    """One call of `run_task`."""

    def __init__(
        self,
        task_func: Callable[..., Any],
        manager: TaskManager,
        *,
        query: Query | None,
        before: Status,
        after: Status,
        kwargs: Mapping[str, Any],
    ) -> None:
        self.owner = new_owner()  # whatever it holds is this call's alone
        self._task_func = task_func
        self._manager = manager
        patience = current_settings().worker.store_patience
        self._outage = Outage(pool=manager.task_pool, patience=patience, clock=manager.clock)
        self._query = query
        self._before = before
        self._after = after
        self._kwargs = kwargs
        self._generator = random.Random()  # noqa: S311 - only spreads retries
        self._finished: list[str] = []
        self._failures: list[tuple[str, str]] = []
        self._due: list[float] = []
        self._paused = False
        self._waker: Waker | None = None

    def run(self, *, fail_fast: bool) -> bool:
        try:
            return self._run(fail_fast=fail_fast)
        finally:
            if self._waker is not None:
                self._waker.close()

    def _run(self, *, fail_fast: bool) -> bool:
        ever_run = False
        lease = self._next()
        while lease is not None:
            ever_run = True
            outcome, error = self._attempt(lease)
            lease = self._turn(lease, outcome, claim=not (fail_fast and error))
            if fail_fast and error is not None:
                raise error
            lease = lease or self._next()
        if self._failures:
            raise TaskFailedError(self._failures, hint="see the whole traceback in re_query(task_id)['error']")
        return ever_run

    def _attempt(self, lease: Lease) -> tuple[Outcome, Exception | None]:
        task = document_of_lease(lease)
        try:
            param = task["def"] if self._before is Status.WAITING else task["res"]
            return finished_outcome(lease, self._task_func(param, **self._kwargs), after=self._after), None
        except Exception as error:  # noqa: BLE001 - the worker boundary: a failing task never stops the others
            return failed_outcome(lease, error, generator=self._generator), error
        except BaseException:  # an interrupt or an exit is about this process, not about the task
            self._manager.store.settle([Outcome.released(lease)])
            raise

    def _turn(self, lease: Lease, outcome: Outcome, *, claim: bool) -> Lease | None:
        """Settle the attempt and take the next task, in one transaction."""
        if outcome.kind == "part_done" and self._before is Status.PART_DONE:
            self._finished.append(lease.task_id)  # one stage per call, or it would never end
        settlement = self._settled(outcome, self._wish() if claim else None)
        for refusal in settlement.refused:
            _logger.warning("task.lost pool=%s task=%s", lease.pool, refusal.task_id)
        for task_id, status in settlement.statuses.items():
            _logger.info("task.%s pool=%s task=%s status=%s", outcome.kind, lease.pool, task_id, status.value)
            if outcome.delay and status is not Status.FAILED:
                self._due.append(self._manager.clock.monotonic() + outcome.delay)
            if status is Status.FAILED:
                self._failures.append((task_id, last_line(outcome.error)))
        return settlement.leases[0] if settlement.leases else None

    def _settled(self, outcome: Outcome, wish: Claim | None) -> Settlement:
        """Settle, however long the store is away; what it kept though its answer was lost counts as settled."""
        store, pool = self._manager.store, self._manager.task_pool

        def settle() -> Settlement:
            if self._outage.lasts:
                held = store.renew(self.owner, lease=self._manager.lease)
                kept = kept_outcomes(store, pool, [outcome])
                give_back_strays(store, pool, held, {outcome.task_id})
                if kept:
                    return Settlement(statuses=kept)
            return store.settle([outcome], claim=wish)

        return self._outage.bear(settle)

    def _next(self) -> Lease | None:
        """Take a task, waiting for those that are to be tried again later, and for a pool that is paused."""
        while True:
            lease, more = self._outage.bear(self._look)
            if lease is not None or not more:
                return lease
            self._rest()

    def _look(self) -> tuple[Lease | None, bool]:
        """Return a task, if there is one, and whether there may be one later."""
        store, pool = self._manager.store, self._manager.task_pool
        if self._outage.lasts:
            give_back_strays(store, pool, store.renew(self.owner, lease=self._manager.lease), ())
        wish = self._wish()
        leases = store.claim(wish)
        if not leases and self._manager.reap(wish.query):
            leases = store.claim(wish)
        if leases:
            return leases[0], True
        if not store.count(pool, wish.query)[self._before]:
            return None, False
        if not self._paused and store.stat(pool).paused:
            _logger.warning("pool.paused pool=%s %s", pool, pause_hint(pool))
            self._paused = True
        return None, True

    def _wish(self) -> Claim:
        return replace(self._manager.wish(self._remaining(), self._before), owner=self.owner)

    def _rest(self) -> None:
        now = self._manager.clock.monotonic()
        self._due = [moment for moment in self._due if moment > now]
        seconds = min([self._manager.poll, *(moment - now + 0.001 for moment in self._due)])
        if not self._manager.listens:
            self._manager.clock.sleep(seconds)
            return
        if self._waker is None:
            self._waker = self._manager.store.waker(self._manager.task_pool)
        self._waker.wait(seconds)

    def _remaining(self) -> Query | None:
        if not self._finished:
            return self._query
        return both(self._query, Not(part=In(path=("_id",), values=tuple(self._finished))))


def finished_outcome(lease: Lease, value: object, *, after: Status = Status.DONE) -> Outcome:
    """Return the outcome of a body that returned `value`."""
    result = value if isinstance(value, TaskResult) else TaskResult(value=value)
    text = encode_result(result.value)
    validity = canonical_json(result.validity) if result.validity is not None else None
    if after is Status.PART_DONE:
        return Outcome.part_done(lease, result=text, validity=validity)
    return Outcome.done(lease, result=text, validity=validity)


def failed_outcome(lease: Lease, error: BaseException, *, generator: random.Random) -> Outcome:
    """Return the outcome of a body that raised `error`."""
    text = "".join(traceback.format_exception(error))
    delay = DEFAULT_BACKOFF.delay(lease.attempt, generator=generator)
    return Outcome.failed(lease, error=text, retry=worth_retrying(error), delay=delay)
