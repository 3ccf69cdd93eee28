"""Waiting until tasks are finished: woken at once where the store can, looking now and then where not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rollwright.core.clock import Clock
from rollwright.errors import TaskFailedError, WaitTimeoutError
from rollwright.pool.document import last_line
from rollwright.pool.query import In, Query, both
from rollwright.pool.states import OPEN_STATES, Status
from rollwright.pool.store import TaskReader, Waker, WorkerStore

__all__ = ["WaitProgress", "Waiting", "failures_in", "pause_hint"]

_logger = logging.getLogger("rollwright.pool")

_REST: Final = 10.0
"""How many times as long as a look took nobody looks again: a slow question must not keep the store busy."""


def pause_hint(pool: str) -> str:
    """Return what to do about a pool that gives no task."""
    return f"the pool is paused and gives no task; go on with: rollwright pool resume {pool}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitProgress:
    """How far the tasks are that somebody waits for.

    Attributes
    ----------
    counts : mapping of Status to int
        Every state is a key. The total may grow while one waits.
    seconds : float
        Since the wait began.
    paused : bool
        Whether the pool is paused, so that nothing new begins.
    """

    counts: Mapping[Status, int]
    seconds: float
    paused: bool = False

    @property
    def total(self) -> int:
        """All tasks that match."""
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Those that are not finished."""
        return sum(self.counts[status] for status in OPEN_STATES)

    @property
    def finished(self) -> int:
        """Those that are done, failed or cancelled."""
        return self.total - self.open


class Waiting:
    """One wait for the tasks of a pool.

    Parameters
    ----------
    store : WorkerStore
    pool : str
    query : Query or None
    poll : float
        Seconds between two looks while the store notifies of nothing.
    clock : Clock
    listens : bool
        Whether to wait for the store's notifications rather than by `clock`.
    """

    def __init__(
        self, store: WorkerStore, pool: str, *, query: Query | None, poll: float, clock: Clock, listens: bool = True
    ) -> None:
        self._store = store
        self._pool = pool
        self._query = query
        self._poll = poll
        self._clock = clock
        self._listens = listens

    def until_finished(
        self, *, timeout: float | None = None, on_progress: Callable[[WaitProgress], None] | None = None
    ) -> WaitProgress:
        """Return how it stands when no task that matches is open any more.

        Raises
        ------
        WaitTimeoutError
            When `timeout` seconds have passed and tasks are still open.
        """
        start = self._clock.monotonic()
        waker = self._store.waker(self._pool, topic="end") if self._listens else None
        try:
            return self._wait(waker, start, timeout, on_progress if on_progress is not None else (lambda _: None))
        finally:
            if waker is not None:
                waker.close()

    def _wait(
        self, waker: Waker | None, start: float, timeout: float | None, report: Callable[[WaitProgress], None]
    ) -> WaitProgress:
        reported: WaitProgress | None = None
        reaped = start
        while True:
            began = self._clock.monotonic()
            progress = self._look(began - start)
            if reported is None or (reported.counts, reported.paused) != (progress.counts, progress.paused):
                report(progress)
                reported = progress
            if not progress.open:
                return progress
            now = self._clock.monotonic()
            left = self._poll if timeout is None else min(self._poll, start + timeout - now)
            if left <= 0:
                raise self._too_late(progress, timeout)
            if now - reaped >= self._poll or reaped == start:
                self._reap()
                reaped = now
            self._rest(waker, left, at_least=min(left, _REST * (now - began)))

    def _look(self, seconds: float) -> WaitProgress:
        stat = self._store.stat(self._pool)
        counts = stat.counts if self._query is None else self._store.count(self._pool, self._query)
        return WaitProgress(counts=counts, seconds=seconds, paused=stat.paused)

    def _reap(self) -> None:
        freed = self._store.reap(self._pool, query=self._query)
        if freed:
            _logger.warning("tasks.reaped pool=%s tasks=%s", self._pool, ",".join(freed))

    def _rest(self, waker: Waker | None, longest: float, *, at_least: float) -> None:
        if waker is None:
            self._clock.sleep(longest)
        elif waker.wait(longest) and at_least > 0:
            self._clock.sleep(at_least)

    def _too_late(self, progress: WaitProgress, timeout: float | None) -> WaitTimeoutError:
        hint = "look whether a worker runs: rollwright worker"
        if progress.paused:
            hint = pause_hint(self._pool)
        return WaitTimeoutError(
            f"{progress.open} tasks of pool `{self._pool}` are not finished after {timeout or 0.0:g} s", hint=hint
        )


def failures_in(store: TaskReader, pool: str, query: Query | None) -> TaskFailedError | None:
    """Return the error that names the tasks that failed or were cancelled among those that match, if there are any."""
    ended = In(path=("status",), values=(Status.FAILED.value, Status.CANCELLED.value))
    failures = [
        (record.task_id, last_line(record.error) if record.status is Status.FAILED else "it was cancelled")
        for record in store.find(pool, both(query, ended))
    ]
    if not failures:
        return None
    return TaskFailedError(failures, hint="see the whole traceback in re_query(task_id)['error']")
