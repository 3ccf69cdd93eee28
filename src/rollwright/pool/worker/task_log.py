"""The log of each task: what its function printed, and what it used; one file for each task of a pool."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.config.settings import Settings
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.memory import peak_memory
from rollwright.core.output_file import collect_output
from rollwright.core.text import is_name

__all__ = ["TaskUsage", "log_folder", "log_path", "log_task_output", "read_usage"]

USAGE_FILE: Final = "usage.jsonl"
_MOST_USAGE: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUsage:
    """What one attempt used.

    Attributes
    ----------
    task_id : str
    seconds : float
    peak : int
        The most bytes that its process ever had in memory, for this task or one before it.
    """

    task_id: str
    seconds: float
    peak: int


def log_folder(settings: Settings, pool: str) -> Path | None:
    """Return the folder of the logs of a pool's tasks; None for a pool whose name cannot be that of a folder."""
    return settings.state_dir / "logs" / pool if is_name(pool) else None


def log_path(folder: Path, task_id: str) -> Path:
    """Return the file of a task's log."""
    return folder / f"{task_id}.log"


@contextmanager
def log_task_output(folder: Path | None, task_id: str, *, clock: Clock | None = None) -> Iterator[None]:
    """Let what is printed in the block go to the log of a task, and note what it used; without a folder, do nothing."""
    if folder is None or not task_id.isalnum():  # ids are the store's, and a row may have been written by anybody
        yield
        return
    clock = clock if clock is not None else SystemClock()
    start = clock.monotonic()
    head = f"== {clock.now():%Y-%m-%d %H:%M:%S} UTC, process {os.getpid()}"
    try:
        with collect_output(log_path(folder, task_id), head=head):
            yield
    finally:
        _note_usage(folder, TaskUsage(task_id=task_id, seconds=clock.monotonic() - start, peak=peak_memory()))


def _note_usage(folder: Path, usage: TaskUsage) -> None:
    """Add a line; the file begins anew when it is too long. Nothing depends on it, so nothing raises."""
    line = json.dumps({"task": usage.task_id, "seconds": round(usage.seconds, 3), "peak": usage.peak}) + "\n"
    path = folder / USAGE_FILE
    with suppress(OSError):
        if path.exists() and path.stat().st_size > _MOST_USAGE:
            path.unlink(missing_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)


def read_usage(folder: Path | None) -> list[TaskUsage]:
    """Return what the attempts used that were noted; lines that cannot be read are left out."""
    if folder is None:
        return []
    try:
        text = read_text(folder / USAGE_FILE, limit=MEDIUM)
    except (OSError, ValueError):
        return []
    found = []
    for line in text.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            found.append(TaskUsage(task_id=str(row["task"]), seconds=float(row["seconds"]), peak=int(row["peak"])))
    return found
