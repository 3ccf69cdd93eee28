"""Liveness of runs: a run whose process died is found by the lock that the process no longer holds.

Each active run has a small file in ``.rollwright/recording``, locked by its process until the run ends. A killed
process leaves a file without a lock; the next process that looks marks the run as FAILED.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.config.settings import Settings
from rollwright.core.bounded_read import SMALL, read_whole
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.locks import HeldLock, try_file_lock
from rollwright.errors import RecorderNotFoundError, RecordError
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.store import OPEN_STATUSES

__all__ = ["AbandonedRun", "LivenessFile", "fail_abandoned", "find_abandoned_runs"]

_logger: Final = logging.getLogger("rollwright.tracking")
_FOLDER: Final = Path(".rollwright/recording")
REASON_TAG: Final = "rollwright.failed"


class LivenessFile:
    """Shows that this process records a run, until `end` or the end of the process.

    Parameters
    ----------
    location : TrackingLocation
    run_id : str
    """

    def __init__(self, location: TrackingLocation, run_id: str) -> None:
        self._lock: HeldLock | None = None
        if not location.store.traits.durable:  # the run dies with the process
            return
        path = location.root / _FOLDER / f"{run_id}-{secrets.token_hex(4)}"
        try:
            self._lock = HeldLock(path)
            about = {
                "run": run_id,
                "tracking": location.portable_uri(),
                "host": socket.gethostname(),
                "pid": os.getpid(),
            }
            self._lock.write(json.dumps(about).encode())
        except OSError as error:  # the run matters more than the file
            _logger.debug("liveness.not_written run=%s error=%s", run_id, error)

    def end(self) -> None:
        """Remove the file: the run has ended, or is suspended."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonedRun:
    """A run that was being recorded by a process that died."""

    run_id: str
    tracking: str
    pid: int
    path: Path


def find_abandoned_runs(root: Path) -> list[AbandonedRun]:
    """Return the runs of this project and host whose process died and which no other process resumed."""
    files = [(path, about) for path in sorted((root / _FOLDER).glob("*-*")) if (about := _read_about(path)) is not None]
    dead = [(path, about) for path, about in files if about["host"] == socket.gethostname() and _is_free(path)]
    alive = {about["run"] for path, about in files if all(path != other for other, _ in dead)}
    return [
        AbandonedRun(run_id=about["run"], tracking=about["tracking"], pid=about["pid"], path=path)
        for path, about in dead
        if about["run"] not in alive
    ]


def fail_abandoned(settings: Settings, *, clock: Clock | None = None) -> list[AbandonedRun]:
    """Mark as FAILED the runs whose process died, and return them; a run that has ended stays as it is.

    A run whose tracking store does not answer now is found again the next time.
    """
    found: list[AbandonedRun] = []
    for run in find_abandoned_runs(settings.root):
        with _lock_file(run.path) as mine:
            if mine and _fail(run, settings, clock or SystemClock()):
                found.append(run)
    return found


def _fail(run: AbandonedRun, settings: Settings, clock: Clock) -> bool:
    failed = False
    try:
        store = TrackingLocation.from_portable(run.tracking, settings).store
        record = store.get_run(run.run_id)
        if record.status in OPEN_STATUSES and not record.deleted:
            store.log_batch(run.run_id, tags={REASON_TAG: f"its process {run.pid} died"})
            store.update_run(run.run_id, status="FAILED", end=clock.now())
            _logger.warning("recorder.abandoned id=%s pid=%d status=FAILED", run.run_id, run.pid)
            failed = True
    except RecorderNotFoundError:
        pass
    except RecordError as error:
        _logger.warning("recorder.not_ended id=%s error=%s", run.run_id, error.message)
        return False
    run.path.unlink(missing_ok=True)
    return failed


@contextmanager
def _lock_file(path: Path) -> Iterator[bool]:
    """Lock the file of a dead process, so that only one process acts on it; yield False when it is gone."""
    with try_file_lock(path) as free:
        about = _read_about(path)
        if free and about is None:  # the run ended meanwhile, and opening the file created an empty one
            path.unlink(missing_ok=True)
        yield free and about is not None


def _is_free(path: Path) -> bool:
    with try_file_lock(path) as free:
        return free


def _read_about(path: Path) -> dict[str, Any] | None:
    """Return what a liveness file says; None for one that is gone or is being written."""
    try:
        about = json.loads(read_whole(path, limit=SMALL))
        return {
            "run": str(about["run"]),
            "tracking": str(about["tracking"]),
            "host": about["host"],
            "pid": int(about["pid"]),
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
