"""What has to be known before the numbers of a task are believed that was trained once, without rolling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from rollwright.analysis.examination import examine_scores
from rollwright.analysis.health import HealthFinding, sort_findings
from rollwright.analysis.signal import calc_ic
from rollwright.calendar.trading import Session, TradingCalendar, to_session
from rollwright.campaign.audit.configuration import list_windows
from rollwright.campaign.health import examine_market, examine_models, examine_plan
from rollwright.campaign.plan import (
    ONLY_VARIANT,
    CampaignPlan,
    MemberPlan,
    SinglePlan,
    Window,
    WindowKey,
)
from rollwright.errors import ArtifactNotFoundError
from rollwright.market.source import DataSource
from rollwright.tasks.spec import TaskSpec
from rollwright.tasks.universe import name_universe
from rollwright.tracking.recorder import Recorder

__all__ = ["close_segments", "examine_once", "plan_member"]

_TEST: Final = "test"


def close_segments(plan: SinglePlan, calendar: TradingCalendar) -> dict[str, tuple[Session, Session]]:
    """Return the segments of a task that is trained once; an open end is that of the calendar."""
    (window,) = list_windows(plan)
    return {
        role: (
            calendar.first if start is None else to_session(start),
            calendar.last_known if end is None else to_session(end),
        )
        for role, (start, end) in window.segments.items()
    }


def examine_once(plan: SinglePlan, recorder: Recorder, source: DataSource, *, name: str) -> tuple[HealthFinding, ...]:
    """Return what segments, label, scores and market mean for the numbers of a finished run, the most serious first.

    Scores are looked at where a record of the task saved them.
    """
    calendar = source.calendar()
    segments = close_segments(plan, calendar)
    if _TEST not in segments:
        return ()
    member = plan_member(plan, segments, calendar)
    findings = examine_plan(CampaignPlan(name=name, members=(member,)), calendar)
    findings += examine_models([recorder.list_metrics().get("best_iteration")])
    try:
        pred: pd.DataFrame = recorder.load_object("pred.pkl")
        label: pd.DataFrame = recorder.load_object("label.pkl")
    except ArtifactNotFoundError:
        return sort_findings(findings)
    findings += examine_scores(pred, label, calc_ic(pred, label)[0], label_span=member.label_span)
    names = sorted(map(str, pred.index.get_level_values("instrument").unique()))
    first = min(start for start, _ in segments.values())
    return sort_findings([*findings, *examine_market(source, member.universe, names, segments[_TEST], since=first)])


def plan_member(
    plan: SinglePlan, segments: Mapping[str, tuple[Session, Session]], calendar: TradingCalendar
) -> MemberPlan:
    """Return a task that is trained once as a campaign's only member, with its only window.

    Parameters
    ----------
    plan : SinglePlan
    segments : mapping of str to (Session, Session)
        As `close_segments` returns them; one of them is ``test``.
    calendar : TradingCalendar
    """
    start, end = segments[_TEST]
    learnt = [last for role, (_, last) in segments.items() if role != _TEST]
    gap = calendar.at_or_after(start) - calendar.at_or_before(max(learnt)) if learnt else 0
    window = Window(
        key=WindowKey(ONLY_VARIANT, f"{start:%Y-%m-%d}..{end:%Y-%m-%d}"),
        spec=TaskSpec.from_definition(plan.task),
        segments=segments,
    )
    return MemberPlan(
        name=ONLY_VARIANT,
        windows=(window,),
        trunc_days=max(gap, 0),
        label=plan.label,
        cuts=plan.cuts,
        leaks=plan.leaks,
        universe=name_universe(plan.task),
    )
