"""Which recorders are active here: a stack per thread and per asynchronous task, so that runs nest and never mix."""

from __future__ import annotations

import atexit
import logging
import os
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rollwright.errors import RecordError
from rollwright.tracking.liveness import Presence

if TYPE_CHECKING:
    from rollwright.tracking.experiment import Experiment
    from rollwright.tracking.recorder import Recorder

__all__ = ["Active", "active", "enter", "leave"]

_logger = logging.getLogger("rollwright.tracking")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Active:
    """A recorder that runs, its experiment, the process that started it, and the sign that it does."""

    experiment: Experiment
    recorder: Recorder
    pid: int
    presence: Presence


_stack: Final[ContextVar[tuple[Active, ...]]] = ContextVar("rollwright_active_recorders", default=())
_open: Final[list[Active]] = []


def active() -> tuple[Active, ...]:
    """Return the active recorders of this thread, the innermost last; a forked child starts with none."""
    return tuple(entry for entry in _stack.get() if entry.pid == os.getpid() and entry in _open)


def enter(experiment: Experiment, recorder: Recorder) -> Active:
    """Make `recorder` the innermost active one."""
    presence = Presence(recorder.place, recorder.id)
    entry = Active(experiment=experiment, recorder=recorder, pid=os.getpid(), presence=presence)
    _stack.set((*active(), entry))
    _open.append(entry)
    return entry


def leave(entry: Active, status: str) -> None:
    """End an active recorder; one that has ended already is left as it is."""
    if entry not in _open:
        return
    _open.remove(entry)
    _stack.set(tuple(other for other in active() if other is not entry))
    try:
        entry.recorder.end_run(status)
    finally:
        if entry.recorder.status != entry.recorder.STATUS_R:  # else whoever comes after this process has to end it
            entry.presence.leave()


@atexit.register
def _end_abandoned() -> None:
    """Fail the runs that nobody ended: the process leaves, and whether they were whole nobody can say (defect M4)."""
    for entry in reversed([entry for entry in _open if entry.pid == os.getpid()]):
        _logger.warning("recorder %s was never ended; it is marked as failed", entry.recorder.id)
        try:
            leave(entry, entry.recorder.STATUS_FA)
        except RecordError as error:
            _logger.warning("recorder %s could not be ended: %s", entry.recorder.id, error)
