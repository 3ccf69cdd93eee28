"""Progress of a campaign: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rollwright.cli.console import stderr
from rollwright.core.text import count_noun

if TYPE_CHECKING:
    from pathlib import Path

    from rollwright.campaign.plan import CampaignPlan, WindowKey
    from rollwright.campaign.run import Submission, TrainingCounts
    from rollwright.pool.worker.worker import WorkerEvent

__all__ = ["CampaignProgress", "describe_counts", "tell_event"]


class CampaignProgress:
    """Prints the progress of a campaign; call it with what `roll_campaign` reports."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Progress | None = None
        self._names: dict[str, str] = {}
        self.counts: TrainingCounts | None = None
        self.left: tuple[WindowKey, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def __call__(self, what: str, value: Any) -> None:
        """Tell one step: ``planned``, ``submitted``, ``event``, ``trained``, ``left`` or ``kept``."""
        tell: dict[str, Callable[[Any], None]] = {
            "planned": self._show_plan,
            "submitted": self._show_submission,
            "event": self._show_event,
            "trained": self._end_training,
            "kept": self._show_former,
            "left": self._end_partly,
        }
        tell[what](value)

    def _show_plan(self, plan: CampaignPlan) -> None:
        first, last = plan.test_range
        gap = (
            f"train ends {count_noun(plan.trunc_days, 'session')} before test"
            if plan.trunc_days
            else "no gap before test"
        )
        self._name = plan.name
        windows = count_noun(len(plan.windows), "window")
        stderr.print(f"{plan.name}: {windows}, test {first:%Y-%m-%d} to {last:%Y-%m-%d}, {gap}")
        for cut in plan.cuts:
            stderr.print(f"note: {cut.text}; so in every window")
        for leak in plan.leaks:
            stderr.print(f"warning: {leak.text}")

    def _show_submission(self, submission: Submission) -> None:
        records_only = {key for key, _ in submission.incomplete}
        self._names = {
            task_id: f"records of window {key}" if key in records_only else f"window {key}"
            for key, task_id in submission.ids.items()
        }
        for key, reason in submission.stale:
            stderr.print(f"window {key} is trained again: {reason}")
        for key, reason in submission.incomplete:
            stderr.print(f"window {key} keeps its model, and its records are made again: {reason}")
        for key, reason in submission.accepted:
            stderr.print(f"window {key} is stale and kept as it is, as --accept-stale asks: {reason}")
        if submission.set_aside:
            count = count_noun(len(submission.set_aside), "window")
            stderr.print(
                f"{count} of the former file no longer belong and are set aside; "
                "their results are kept, and the former file brings them back"
            )
        if submission.reused:
            stderr.print(f"{len(submission.reused)} of {len(submission.ids)} windows are finished already and kept")
        if submission.todo and stderr.console.is_terminal:
            self._start(len(submission.ids), len(submission.reused))

    def _start(self, total: int, done: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=stderr.console,
            transient=True,
        )
        self._bar.start()
        self._bar.add_task(self._name, total=total, completed=done)

    def _show_event(self, event: WorkerEvent) -> None:
        name = None if event.task_id is None else self._names.get(event.task_id, f"task {event.task_id}")
        if self._bar is not None and event.kind == "done":
            self._bar.advance(self._bar.task_ids[0])
        if self._bar is None or event.kind not in ("done", "started"):
            stderr.print(describe(event, name))

    def _end_training(self, counts: TrainingCounts) -> None:
        self.counts = counts
        self._stop()
        stderr.print(f"{self._name}: {describe_counts(counts)}")

    def _end_partly(self, left: tuple[WindowKey, ...]) -> None:
        self.left = left
        self._stop()

    def _show_former(self, folder: Path) -> None:
        stderr.print(f"the results that another configuration of {self._name} had made are kept in {folder}")

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def describe_counts(counts: TrainingCounts) -> str:
    """Return how the windows came to their results, as one line; what did not occur is left out."""
    if counts.kept and not counts.trained and not counts.records_only:
        return f"nothing to train; {count_noun(counts.kept, 'window')} kept as finished before"
    parts = [f"{count_noun(counts.trained, 'model')} trained"] if counts.trained or not counts.records_only else []
    if counts.records_only:
        parts.append(f"{count_noun(counts.records_only, 'model')} kept and only records made anew")
    if counts.kept:
        parts.append(f"{count_noun(counts.kept, 'window')} kept as finished before")
    return ", ".join(parts)


def describe(event: WorkerEvent, name: str | None) -> str:
    """Return one line about a worker's event; `name` is what it is about, None for the worker itself."""
    detail = f": {event.detail}" if event.detail else ""
    return f"{name or 'worker'} {event.kind}{detail}"


def tell_event(event: WorkerEvent, window: str | None = None) -> None:
    """Print one line about a worker's event; about a task by its window, or by its id when it has none."""
    name = None
    if event.task_id is not None:
        name = f"task {event.task_id}" if window is None else f"window {window}"
    stderr.print(describe(event, name))
