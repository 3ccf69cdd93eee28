"""Progress of a campaign: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rollwright.cli.console import stderr
from rollwright.cli.text import format_time, list_names
from rollwright.core.text import count_noun, escape_text

if TYPE_CHECKING:
    from pathlib import Path

    from rollwright.app.finished import FinishedCampaign
    from rollwright.app.pool import Holder
    from rollwright.campaign.plan import CampaignPlan, WindowKey
    from rollwright.campaign.run import Submission
    from rollwright.campaign.summary import TrainingCounts
    from rollwright.cli.live_view import LiveView
    from rollwright.pool.worker.worker import WorkerEvent

__all__ = ["CampaignProgress", "describe_counts", "tell_event"]


class CampaignProgress:
    """Prints the progress of a campaign; call it with what `roll_campaign` reports."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._view: LiveView | None = None
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
        """Tell one step.

        It is ``planned``, ``submitted``, ``shard``, ``event``, ``others``, ``trained``, ``left`` or ``kept``.
        """
        tell: dict[str, Callable[[Any], None]] = {
            "planned": self._show_plan,
            "submitted": self._show_submission,
            "shard": self._name_shard,
            "event": self._show_event,
            "others": self._show_others,
            "trained": self._end_training,
            "kept": self._show_former,
            "left": self._end_partly,
        }
        tell[what](value)

    def _show_plan(self, plan: CampaignPlan) -> None:
        from rollwright.campaign.plan_text import describe_plan  # noqa: PLC0415 - a finished campaign has no plan

        self._name = plan.name
        for line in describe_plan(plan):
            stderr.print(line)

    def show_finished(self, finished: FinishedCampaign) -> None:
        """Tell of a campaign that has nothing to do what is told of any."""
        for line in finished.told:
            stderr.print(line)
        kept = finished.counts.kept
        stderr.print(f"{kept} of {kept} windows are finished already and kept")
        self._end_training(finished.counts)

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
            from rollwright.cli.live_view import LiveView  # noqa: PLC0415 - only where it is shown

            self._view = LiveView(
                self._name,
                [*submission.ids.values()],
                done=frozenset(submission.ids[key] for key in submission.reused),
                names=self._names,
                console=stderr.console,
            )
            self._view.start()

    def _name_shard(self, shard: tuple[str, str | None]) -> None:
        """Know what a task is called that is a shard of a window."""
        task_id, name = shard
        if name is not None:
            self._names[task_id] = f"shard {name}"

    def _show_event(self, event: WorkerEvent) -> None:
        name = None if event.task_id is None else self._names.get(event.task_id, f"task {event.task_id}")
        if self._view is not None:
            self._view.note(event)
        if event.kind == "round" or (self._view is not None and event.kind in ("done", "started")):
            return
        stderr.print(describe(event, name))

    def _show_others(self, holders: Sequence[Holder]) -> None:
        for holder in holders:
            names = list_names([f"window {label}" for label in holder.labels])
            since = f"since {format_time(holder.since)}"
            stderr.print(f"waiting for {names}: {escape_text(holder.owner, longest=100)} has it in hand {since}")

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
        if self._view is not None:
            self._view.stop()
            self._view = None


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
    if event.kind == "round":  # a few times a second
        return
    name = None
    if event.task_id is not None:
        name = f"task {event.task_id}" if window is None else f"window {window}"
    stderr.print(describe(event, name))
