"""Live progress of a pool: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rollwright.cli.console import stderr
from rollwright.cli.text import format_duration
from rollwright.core.text import escape_text
from rollwright.pool.states import Status
from rollwright.pool.waiting import WaitProgress

__all__ = ["MoveBar", "WaitBar", "show_changes"]


class _Bar:
    """A bar on stderr, and only when that is a terminal."""

    def __init__(self, pool: str) -> None:
        self._name = escape_text(pool, longest=40)
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if stderr.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=stderr.console,
                transient=True,
            )
            self._bar.start()
            self._bar.add_task(self._name, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show(self, done: int, total: int, description: str) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total, completed=done, description=description)


class WaitBar(_Bar):
    """Progress of the tasks that a command waits for."""

    def __call__(self, progress: WaitProgress) -> None:
        """Show how it stands."""
        failed = progress.counts[Status.FAILED]
        more = f", {failed} failed" if failed else ""
        more += ", paused" if progress.paused else ""
        running = progress.counts[Status.RUNNING]
        self._show(progress.finished, progress.total, f"{self._name}: {running} running{more}")


class MoveBar(_Bar):
    """How many tasks of a pool are copied."""

    def __call__(self, done: int, total: int) -> None:
        """Show how it stands."""
        self._show(done, total, f"{self._name}: copied")


def show_changes(changes: Iterator[WaitProgress]) -> None:
    """Print a line for each change until they end; Ctrl-C ends them too."""
    try:
        for progress in changes:
            parts = [f"{tasks:,} {status.value}" for status, tasks in progress.counts.items() if tasks]
            paused = ["paused"] if progress.paused else []
            print(f"{format_duration(progress.seconds):>7}  {', '.join(parts + paused) or 'no tasks'}", flush=True)
    except KeyboardInterrupt:
        return
