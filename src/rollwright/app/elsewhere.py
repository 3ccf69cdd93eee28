"""Train the windows of a campaign by workers that an engine starts: nothing is trained in this process."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rollwright.app.cluster import check_shared_stores, make_command, make_resources, open_launcher
from rollwright.config.settings import Settings
from rollwright.core.clock import SystemClock
from rollwright.errors import LaunchError, TaskFailedError, WaitTimeoutError
from rollwright.launch.launcher import LaunchedWorker, Launcher
from rollwright.pool.document import last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.worker.task_function import WorkerEvent
from rollwright.pool.worker.wakeup import SignalHandler

__all__ = ["WorkersElsewhere"]

_logger: Final = logging.getLogger("rollwright.app")

_WAIT: Final = 2.0
"""Seconds between two looks at the pool, where it notifies of nothing."""
_LOOK: Final = 15.0
"""Seconds between two looks at the engine while tasks are open: those who run one mind being asked often."""
_MOST_STARTS: Final = 3
"""How often workers are started in a row, the first time included, before a task ends."""
_ENDED: Final = (Status.DONE, Status.FAILED, Status.CANCELLED)


class WorkersElsewhere:
    """Workers of one campaign that an engine starts, and the wait for what they train.

    The pool alone says what is done. The engine is only asked how many workers are left; as many as ended are started
    while there are tasks for them. While it does not answer, the wait goes on.

    Parameters
    ----------
    settings : Settings
    name : str
        The campaign.
    on : str or None
        The launcher; that of the settings if None.
    jobs : int
        Workers that there are at most at a time; each trains one window at a time.
    launcher : Launcher, optional
        In place of the one that `on` names.
    look : float
        Seconds between two looks at the engine.

    Raises
    ------
    ConfigError
        When other machines would not see the campaign's tasks or runs; see `check_shared_stores`.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        on: str | None,
        jobs: int,
        launcher: Launcher | None = None,
        look: float = _LOOK,
    ) -> None:
        self._launcher = launcher if launcher is not None else open_launcher(settings, on)
        check_shared_stores(settings, self._launcher)
        self._command = make_command(settings, name, self._launcher, jobs=1)
        self._resources = make_resources(settings)
        self._jobs = jobs
        self._look = look
        self._said: set[tuple[str, str]] = set()
        self._clock = SystemClock()

    def train(
        self, manager: TaskManager, ids: Sequence[str], on_event: Callable[[WorkerEvent], None] | None = None
    ) -> bool:
        """Start workers, wait until these tasks have ended, and end the workers; return False when told to stop.

        Guarantees: when it returns or raises, the workers that it started were told to end: what they had in hand is
        given back without using an attempt.

        Raises
        ------
        LaunchError
            When the engine refuses, or workers end again and again while tasks are open.
        """
        stopping = threading.Event()
        told: set[str] = set()
        started: set[str] = set()
        starts, looked = 0, -math.inf
        query = {"_id": {"$in": [*ids]}}
        seen: Mapping[Status, int] | None = None
        with SignalHandler(stopping.set):
            try:
                while not stopping.is_set():
                    counts = manager.store.stat(manager.task_pool).counts
                    news = counts != seen and self._tell_ended(manager, ids, told, on_event)
                    seen = counts
                    if len(told) == len(ids):
                        return True
                    starts = 0 if news else starts
                    is_due = self._clock.monotonic() - looked >= self._look
                    looked = self._clock.monotonic() if is_due else looked
                    if is_due:
                        wanted = max(1, min(self._jobs, len(ids) - len(told)))
                        left = self._count_left(started)
                        if not left and starts >= _MOST_STARTS:
                            raise LaunchError(
                                f"workers were started {starts} times and ended, or were held, before a task ended",
                                hint=f"see what they said, in {self._command.logs}; why any were held was said above",
                            )
                        if left < wanted and starts < _MOST_STARTS:
                            starts += 1
                            started |= {*self._submit(wanted - left)}
                    self._wait(manager, query)
                return False
            finally:
                self._end(started)

    def _submit(self, count: int) -> Sequence[str]:
        ids = self._launcher.submit(count, self._command, self._resources)
        _logger.info("workers.started campaign=%s count=%d ids=%s", self._command.name, count, ",".join(ids))
        return ids

    def _count_left(self, started: set[str]) -> int:
        """Count those that the engine has or will start; while it does not answer, it is taken to have all of them."""
        if not started:
            return 0
        try:
            known = [worker for worker in self._launcher.list(self._command.name) if worker.id in started]
        except LaunchError as error:
            _logger.warning("launcher.silent reason=%s", error.message)
            return len(started)
        held = [worker for worker in known if worker.state == "held"]
        left = [worker for worker in known if worker.state != "held"]
        name = self._command.name
        if reasons := self._find_news("held", held):
            _logger.warning("workers.held campaign=%s count=%d reasons=%s", name, len(held), reasons)
        if all(worker.state == "pending" for worker in left) and (reasons := self._find_news("waiting", left)):
            _logger.warning("workers.waiting campaign=%s count=%d reasons=%s", name, len(left), reasons)
        return len(left)

    def _find_news(self, state: str, workers: Sequence[LaunchedWorker]) -> str:
        """Return why these workers do not run, in the engine's words, unless that was said of the state before."""
        reasons = ", ".join(sorted({worker.reason or "none" for worker in workers}))
        is_new = bool(workers) and (state, reasons) not in self._said
        self._said |= {(state, reasons)} if is_new else set()
        return reasons if is_new else ""

    def _wait(self, manager: TaskManager, query: Mapping[str, object]) -> None:
        try:
            manager.wait(query, timeout=_WAIT)
        except (WaitTimeoutError, TaskFailedError):
            return

    def _tell_ended(
        self,
        manager: TaskManager,
        ids: Sequence[str],
        told: set[str],
        on_event: Callable[[WorkerEvent], None] | None,
    ) -> bool:
        """Tell of tasks that ended since the last look; return whether there were any."""
        left = [task_id for task_id in ids if task_id not in told]
        asked = parse({"_id": {"$in": left}, "status": {"$in": [status.value for status in _ENDED]}})
        found = sorted(manager.store.find(manager.task_pool, asked), key=lambda record: record.task_id)
        for record in found:
            told.add(record.task_id)
            if on_event is not None:
                is_done = record.status is Status.DONE
                detail = "" if is_done else last_line(record.error or "it was cancelled")
                on_event(WorkerEvent(kind="done" if is_done else "failed", task_id=record.task_id, detail=detail))
        return bool(found)

    def _end(self, started: set[str]) -> None:
        try:
            left = [one.id for one in self._launcher.list(self._command.name) if one.id in started]
            if left:
                self._launcher.cancel(left)
        except LaunchError as error:
            _logger.warning("launcher.silent reason=%s", error.message)
