"""The run stack: the active recorders of each thread and asynchronous task, so that runs nest and never mix."""

from __future__ import annotations

import atexit
import logging
import os
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rollwright.errors import RecordError
from rollwright.tracking.liveness import LivenessFile

if TYPE_CHECKING:
    from rollwright.tracking.experiment import Experiment
    from rollwright.tracking.recorder import Recorder

__all__ = ["ActiveRun", "active_runs", "pop_run", "push_run"]

_logger: Final = logging.getLogger("rollwright.tracking")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActiveRun:
    """A recorder that runs, its experiment, the process that started it, and its liveness file."""

    experiment: Experiment
    recorder: Recorder
    pid: int
    liveness: LivenessFile


_stack: Final[ContextVar[tuple[ActiveRun, ...]]] = ContextVar("rollwright_active_recorders", default=())
_unended: Final[list[ActiveRun]] = []


def active_runs() -> tuple[ActiveRun, ...]:
    """Return the active recorders of this thread, the innermost last; a forked child starts with none."""
    return tuple(entry for entry in _stack.get() if entry.pid == os.getpid() and entry in _unended)


def push_run(experiment: Experiment, recorder: Recorder) -> ActiveRun:
    """Push `recorder` on the stack: it is the innermost active one."""
    liveness = LivenessFile(recorder.location, recorder.id)
    entry = ActiveRun(experiment=experiment, recorder=recorder, pid=os.getpid(), liveness=liveness)
    _stack.set((*active_runs(), entry))
    _unended.append(entry)
    return entry


def pop_run(entry: ActiveRun, status: str) -> None:
    """End an active recorder and take it from the stack; one that has ended already is left as it is."""
    if entry not in _unended:
        return
    _unended.remove(entry)
    _stack.set(tuple(other for other in active_runs() if other is not entry))
    try:
        entry.recorder.end_run(status)
    finally:
        if entry.recorder.status != entry.recorder.STATUS_R:  # otherwise the next process has to end it
            entry.liveness.end()


@atexit.register
def _end_abandoned() -> None:
    """Mark as failed the runs that were never ended: nobody can say whether they were complete (defect M4)."""
    for entry in reversed([entry for entry in _unended if entry.pid == os.getpid()]):
        _logger.warning("recorder.unended id=%s status=FAILED", entry.recorder.id)
        try:
            pop_run(entry, entry.recorder.STATUS_FA)
        except RecordError as error:
            _logger.warning("recorder.not_ended id=%s error=%s", entry.recorder.id, error)
