"""Show what a campaign would do: its windows, their gaps, leaks, what would run again and why; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from rollwright.app.campaign import plan_campaign, read_submitted
from rollwright.app.open_campaign import OpenCampaign
from rollwright.app.pool import open_store
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.audit.configuration import audit_plan, list_windows
from rollwright.campaign.audit.findings import AuditFinding
from rollwright.campaign.checks.classes import check_classes
from rollwright.campaign.checks.location import located
from rollwright.campaign.difference import WindowChange, find_changes, find_former
from rollwright.campaign.estimate import TrainingEstimate, estimate_training
from rollwright.campaign.judging import WindowState, judge_windows
from rollwright.campaign.plan import CampaignPlan, SinglePlan, Window, WindowKey, plan_once
from rollwright.campaign.single_health import close_segments
from rollwright.campaign.trade_terms import check_results
from rollwright.config.context import using
from rollwright.expression.label_reach import LabelReach
from rollwright.market.current import current_market
from rollwright.pool.lookups import find_by_fingerprint
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.store import PoolStore

__all__ = ["CampaignPreview", "Gap", "PreviewedWindow", "preview_campaign"]

PREVIEW_FORMAT: Final = 1
_TEST: Final = "test"


def _show(session: Session) -> str:
    return f"{session:%Y-%m-%d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Sessions between two segments that nothing learns from and nothing is predicted on.

    Attributes
    ----------
    kind : {"purge", "embargo"}
    start, end : Session
    sessions : int
    """

    kind: str
    start: Session
    end: Session
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedWindow:
    """A window as a plan shows it.

    Attributes
    ----------
    name, variant : str
    segments : mapping of str to (Session, Session)
    gaps : tuple of Gap
    status : Status or None
        Of its task; None when the pool has none.
    change : WindowChange or None
        What the command would do to it; None when that was not asked.
    """

    name: str
    variant: str
    segments: Mapping[str, tuple[Session, Session]]
    gaps: tuple[Gap, ...]
    status: Status | None = None
    change: WindowChange | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "variant": self.variant,
            "segments": {
                role: [f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"] for role, (start, end) in self.segments.items()
            },
            "gaps": [
                {"kind": gap.kind, "start": _show(gap.start), "end": _show(gap.end), "sessions": gap.sessions}
                for gap in self.gaps
            ],
            "status": None if self.status is None else self.status.value,
            "change": None
            if self.change is None
            else {"action": self.change.action, "reason": self.change.reason, "is_stale": self.change.is_stale},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPreview:
    """What a campaign would do.

    Attributes
    ----------
    name : str
    walks : bool
        Whether it rolls; False for a file without ``rolling``, which is trained once.
    windows : tuple of PreviewedWindow
        Variant by variant, in order of time.
    label : str
        Which sessions the label reads, in words; where members have different labels, each with their names.
    trunc_days, embargo : int
        Sessions that train and valid end before test begins, the most of all members, and how many are the embargo.
    notes : tuple of str
        What was cut so that no label reads across segments, and what does not do what the file seems to say.
    findings : tuple of AuditFinding
        Leaks that the plan shows without data being read.
    estimate : TrainingEstimate or None
        What training will take; None when no earlier run tells.
    to_train : int
        Windows that the estimate is about.
    set_aside : tuple of str
        Windows of the former file that do not belong any more. None of their results is removed.
    is_diff : bool
        Whether it was asked what would run again.
    shards : int
        The tasks that the windows are divided into; 0 where they are trained whole.
    """

    name: str
    walks: bool
    windows: tuple[PreviewedWindow, ...]
    label: str
    trunc_days: int
    embargo: int
    notes: tuple[str, ...]
    findings: tuple[AuditFinding, ...]
    estimate: TrainingEstimate | None
    to_train: int
    set_aside: tuple[str, ...]
    is_diff: bool
    shards: int = 0

    @property
    def leaks(self) -> tuple[AuditFinding, ...]:
        """The leaks that are not declared, which `roll` refuses."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "format": PREVIEW_FORMAT,
            "name": self.name,
            "rolls": self.walks,
            "windows": [window.to_json() for window in self.windows],
            "label": self.label,
            "trunc_days": self.trunc_days,
            "embargo": self.embargo,
            "notes": [*self.notes],
            "findings": [finding.to_json() for finding in self.findings],
            "to_train": self.to_train,
            "shards": self.shards,
            "estimate": None if self.estimate is None else self.estimate.to_json(),
            "set_aside": [*self.set_aside],
        }


def preview_campaign(campaign: OpenCampaign, *, diff: bool = False) -> CampaignPreview:
    """Return what a campaign would do, and with `diff` what of it would run again and why.

    Guarantees: nothing is trained, and no file, pool or recorder is changed. Leaks are told, not refused.

    Raises
    ------
    RollwrightError
        As `roll_campaign` before it trains; with `diff` also when the tracking store is away.
    """
    with using(campaign.context):
        source = current_market()
        calendar = source.calendar()
        allowed = campaign.config.declared_leaks()
        locate = campaign.document.locate
        with located(campaign.document):
            if campaign.config.rolling is None:
                check_results(campaign.config, source)
                single = plan_once(campaign.config, calendar=calendar, locate=locate, keep_leaks=True)
                check_classes(single.task, locate=locate)
                return _preview_single(campaign, single, audit_plan(single, calendar, allowed=allowed), calendar)
            plan, _ = plan_campaign(campaign, source, keep_leaks=True)
            findings = audit_plan(plan, calendar, allowed=allowed)
        with open_store(create=False) as store:
            return _preview(campaign, plan, findings, calendar, store, diff=diff)


def _preview(
    campaign: OpenCampaign,
    plan: CampaignPlan,
    findings: tuple[AuditFinding, ...],
    calendar: TradingCalendar,
    store: PoolStore | None,
    *,
    diff: bool,
) -> CampaignPreview:
    states: dict[WindowKey, WindowState] = {window.key: WindowState() for window in plan.windows}
    changes: dict[WindowKey, WindowChange] = {}
    set_aside: list[str] = []
    if store is not None:
        manager = TaskManager(plan.name, store=store)
        former = read_submitted(campaign)
        if diff:
            states = judge_windows(plan.windows, manager, whole=True)
            changes = {one.key: one for one in find_changes(plan.windows, states, former, manager)}
        else:
            states = _read_states(plan.windows, manager)
        set_aside = [one.name for one, _ in find_former(plan.windows, former, manager)]
    elif diff:
        reason = "it was never run"
        changes = {key: WindowChange(key=key, action="train", reason=reason) for key in states}
    todo = [
        window
        for window in plan.windows
        if (changes[window.key].action == "train" if changes else states[window.key].status is not Status.DONE)
    ]
    embargo = campaign.config.rolling.embargo if campaign.config.rolling is not None else 0
    return CampaignPreview(
        name=plan.name,
        walks=True,
        windows=tuple(
            PreviewedWindow(
                name=window.name,
                variant=window.key.variant,
                segments=window.segments,
                gaps=find_gaps(window.segments, calendar, embargo=embargo),
                status=states[window.key].status,
                change=changes.get(window.key),
            )
            for window in plan.windows
        ),
        label=_describe_labels(plan),
        trunc_days=plan.trunc_days,
        embargo=embargo,
        notes=(*(f"{cut.text}; so in every window" for cut in plan.cuts), *plan.notes),
        shards=plan.shards,
        findings=findings,
        estimate=estimate_training(todo, store, pool=plan.name, settings=campaign.settings)
        if store is not None and todo
        else None,
        to_train=len(todo),
        set_aside=tuple(set_aside),
        is_diff=diff,
    )


def _preview_single(
    campaign: OpenCampaign, plan: SinglePlan, findings: tuple[AuditFinding, ...], calendar: TradingCalendar
) -> CampaignPreview:
    (window,) = list_windows(plan)
    segments = close_segments(plan, calendar)
    return CampaignPreview(
        name=campaign.name,
        walks=False,
        windows=(
            PreviewedWindow(
                name=window.name, variant=window.variant, segments=segments, gaps=find_gaps(segments, calendar)
            ),
        ),
        label=_describe_label(plan.label),
        trunc_days=0,
        embargo=0,
        notes=tuple(cut.text for cut in plan.cuts),
        findings=findings,
        estimate=None,
        to_train=1,
        set_aside=(),
        is_diff=False,
    )


def _describe_label(label: LabelReach | None) -> str:
    return "a label whose reach the dataset does not tell" if label is None else label.text


def _describe_labels(plan: CampaignPlan) -> str:
    """Return what the label is; where members have different ones, which members have which."""
    names: dict[str, list[str]] = {}
    for member in plan.members:
        names.setdefault(_describe_label(member.label), []).append(member.name)
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{text} ({', '.join(members)})" for text, members in names.items())


def _read_states(windows: Sequence[Window], manager: TaskManager) -> dict[WindowKey, WindowState]:
    """Return the state of each window's task, without asking whether a finished one still stands."""
    records = find_by_fingerprint(manager.store, manager.task_pool, (window.spec.fingerprint for window in windows))
    found = {record.fingerprint: record.status for record in records}
    return {window.key: WindowState(status=found.get(window.spec.fingerprint)) for window in windows}


def find_gaps(
    segments: Mapping[str, tuple[Session, Session]], calendar: TradingCalendar, *, embargo: int = 0
) -> tuple[Gap, ...]:
    """Return the sessions between neighbouring segments; before test the last `embargo` of them are the embargo."""
    ordered = sorted(segments.items(), key=lambda item: item[1])
    gaps: list[Gap] = []
    for (_, (_, end)), (role, (start, _)) in pairwise(ordered):
        first, stop = calendar.at_or_before(end) + 1, calendar.at_or_after(start)
        middle = max(first, stop - embargo) if role == _TEST else stop
        for kind, one, other in (("purge", first, middle), ("embargo", middle, stop)):
            if one < other:
                gaps.append(Gap(kind=kind, start=calendar[one], end=calendar[other - 1], sessions=other - one))
    return tuple(gaps)
