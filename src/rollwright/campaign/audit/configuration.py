"""The cheap half of the audit: what the configuration alone says, without reading any data.

1. The label's span against the gap between segments, in every window; segments that share sessions, or learn later.
2. What processors learn from, in the first, middle and last window of each variant.
3. Features whose expression reads later sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.audit.findings import AuditFinding
from rollwright.campaign.leaks import Leak, find_leaks, give_reasons
from rollwright.campaign.members import ONLY_VARIANT
from rollwright.campaign.plan import CampaignPlan, SinglePlan
from rollwright.config.placeholders import fill_paths
from rollwright.dataset.dataset import Dataset, build_dataset
from rollwright.dataset.feature_reach import FeatureReach
from rollwright.tasks.spec import TaskSpec

__all__ = ["AuditedWindow", "audit_plan", "find_feature_leaks", "list_windows", "members_of"]

GAP_KEYS = ("rolling", "trunc_days")
SEGMENT_KEYS = ("task", "dataset", "kwargs", "segments")
LOADER_KEYS = ("task", "dataset", "kwargs", "handler")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedWindow:
    """A window as the audit sees it.

    Attributes
    ----------
    name, variant : str
    task : TaskSpec or mapping
    segments : mapping
        Closed ranges of sessions by role.
    gap_keys : tuple of str
        What the configuration sets the gap before test with.
    """

    name: str
    variant: str
    task: TaskSpec | Mapping[str, Any]
    segments: Mapping[str, Any]
    gap_keys: tuple[str, ...]

    @property
    def definition(self) -> Mapping[str, Any]:
        """Its task, made anew at each access: most windows of a plan are never asked."""
        return self.task.definition if isinstance(self.task, TaskSpec) else self.task


def list_windows(plan: CampaignPlan | SinglePlan) -> tuple[AuditedWindow, ...]:
    """Return the windows of a plan; a task that is trained once is one window."""
    if isinstance(plan, CampaignPlan):
        return tuple(
            AuditedWindow(
                name=window.name,
                variant=window.key.variant,
                task=window.spec,
                segments=window.segments,
                gap_keys=GAP_KEYS,
            )
            for window in plan.windows
        )
    task = fill_paths(dict(plan.task))
    segments = build_dataset(task["dataset"]).segments
    return (AuditedWindow(name="once", variant=ONLY_VARIANT, task=task, segments=segments, gap_keys=SEGMENT_KEYS),)


def audit_plan(
    plan: CampaignPlan | SinglePlan, calendar: TradingCalendar, *, allowed: Mapping[str, str]
) -> tuple[AuditFinding, ...]:
    """Return the leaks that a plan shows without reading data; each once, with the first window that has it.

    Parameters
    ----------
    plan : CampaignPlan or SinglePlan
        Made with ``keep_leaks=True``, or without: then it has none that the file does not declare.
    calendar : TradingCalendar
    allowed : mapping
        The reason for each kind of leak that the file declares: ``config.declared_leaks()``.
    """
    found: dict[tuple[object, ...], tuple[AuditFinding, int]] = {}
    for windows in _by_variant(list_windows(plan)):
        first_ones: dict[tuple[object, ...], tuple[Leak, AuditFinding, int]] = {}
        for window, leak in _list_leaks(windows, calendar):
            reasoned, columns = give_reasons([leak], allowed)[0], _columns_of(leak)
            finding = AuditFinding.of_leak(
                reasoned, window=window.name, columns=columns, members=members_of(windows[:1])
            )
            key = (leak.kind, leak.keys)
            _, first, count = first_ones.get(key, (leak, finding, 0))
            first_ones[key] = (leak, first, count + 1)
        for leak, finding, count in first_ones.values():  # members that share a leak share its finding
            told = (leak.kind, leak.keys, finding.message)
            first, before = found.get(told, (finding, 0))
            # a feature is looked at once for each member, not in each window
            found[told] = (first.touching(finding.members), 1 if leak.kind == "feature" else before + count)
    return tuple(
        replace(finding, message=f"{finding.message} (so in {count} windows)") if count > 1 else finding
        for finding, count in found.values()
    )


def members_of(windows: Sequence[AuditedWindow]) -> tuple[str, ...]:
    """Return the members that windows are of; none in a campaign of one."""
    return tuple(dict.fromkeys(window.variant for window in windows if window.variant != ONLY_VARIANT))


def _columns_of(leak: Leak) -> tuple[str, ...]:
    return (str(leak.keys[-1]),) if leak.kind == "feature" else ()


def _by_variant(windows: Sequence[AuditedWindow]) -> list[list[AuditedWindow]]:
    variants: dict[str, list[AuditedWindow]] = {}
    for window in windows:
        variants.setdefault(window.variant, []).append(window)
    return list(variants.values())


def _list_leaks(windows: Sequence[AuditedWindow], calendar: TradingCalendar) -> Iterator[tuple[AuditedWindow, Leak]]:
    built = {number: build_dataset(windows[number].definition["dataset"]) for number in _spread(len(windows))}
    first = built[0]
    for number, window in enumerate(windows):
        leaks = find_leaks(built.get(number, first), window.segments, calendar, gap_keys=window.gap_keys)
        # what a processor learns from is another range in each window, and known where the dataset was built
        yield from ((window, leak) for leak in leaks if number in built or leak.kind != "processors")
    if isinstance(first, Dataset):
        yield from ((windows[0], leak) for leak in find_feature_leaks(first.feature_reaches()))


def _spread(count: int) -> tuple[int, ...]:
    return tuple(sorted({0, count // 2, count - 1}))


def find_feature_leaks(reaches: Sequence[FeatureReach]) -> list[Leak]:
    """Return the features whose expressions read later sessions, one leak for each."""
    return [
        Leak(
            kind="feature",
            message=f"the feature `{reach.name}` reads {reach.lookahead} session(s) ahead: {reach.refusal}",
            hint="take a positive shift, which looks back, or move the column to the group `label`",
            keys=(*LOADER_KEYS, reach.name),
        )
        for reach in reaches
        if reach.refusal is not None
    ]
