"""What of a campaign, beside its scores, has to be known before its numbers are believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pandas as pd

from rollwright.analysis.health import EVERYTHING, SIGNAL, HealthFinding, Severity
from rollwright.calendar.purge import purge_days
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.plan import CampaignPlan, MemberPlan, Window
from rollwright.campaign.run import Submission
from rollwright.core.masking import mask_secrets
from rollwright.errors import CalendarRangeError, UnknownInstrumentError
from rollwright.expression.label_reach import LabelReach
from rollwright.market.price_jumps import find_price_jumps
from rollwright.market.source import DataSource

__all__ = ["examine_market", "examine_models", "examine_plan", "examine_submission"]

PRICE_FIELDS: Final = ("open", "high", "low", "close", "volume", "vwap")
_LONG: Final = 200  # predicted sessions after which somebody should have been delisted
_MANY: Final = 20
_MOST_REASONS: Final = 3


def examine_plan(plan: CampaignPlan, calendar: TradingCalendar) -> list[HealthFinding]:
    """Return what the segments of the windows and the label mean for the numbers: leaks, and a label without units.

    What holds for every member is told once, for the whole campaign; else it names the member.
    """
    found = {member.name: _examine_member(member, calendar) for member in plan.members}
    everywhere = [one for one in next(iter(found.values())) if all(one in each for each in found.values())]
    own = [replace(one, variant=name) for name, each in found.items() for one in each if one not in everywhere]
    return [*everywhere, *own]


def _examine_member(member: MemberPlan, calendar: TradingCalendar) -> list[HealthFinding]:
    label = member.label
    found = [
        HealthFinding(
            kind="declared_leak",
            severity="serious",
            values={
                "leak": leak.kind,
                "message": leak.message,
                "reason": mask_secrets(str(leak.reason)),
            },
        )
        for leak in member.leaks
    ]
    if label is not None and all(leak.kind != "label" for leak in member.leaks):
        found += _examine_gaps(member.windows, label, calendar)
    if label is None:
        values = {"gap": member.trunc_days}
        found.append(HealthFinding(kind="unknown_label_reach", severity="warning", values=values))
    if label is not None and label.last <= 0:
        found.append(HealthFinding(kind="known_label", severity="serious", metrics=SIGNAL))
    if label is None or label.horizon is None:
        found.append(HealthFinding(kind="unknown_label_horizon", severity="note", metrics=()))
    return found


def examine_submission(submission: Submission) -> list[HealthFinding]:
    """Return whether results were kept that are stale, because that was asked for."""
    if not submission.accepted:
        return []
    reasons = list(dict.fromkeys(reason for _, reason in submission.accepted))
    values = {
        "windows": len(submission.accepted),
        "of": len(submission.ids),
        "names": [str(key) for key, _ in submission.accepted],
        "reasons": "; ".join(reasons[:_MOST_REASONS]),
    }
    return [HealthFinding(kind="accepted_stale", severity="serious", values=values)]


def _examine_gaps(windows: Sequence[Window], label: LabelReach, calendar: TradingCalendar) -> list[HealthFinding]:
    wanted = purge_days(label.span)
    found = []
    for kind, earlier, later in (("short_purge", ("train", "valid"), "test"), ("no_valid_gap", ("train",), "valid")):
        gaps = [
            gap
            for window in windows
            if (gap := _find_gap(window.segments, earlier, later, calendar)) is not None and gap < wanted
        ]
        if gaps and label.span:
            values = {
                "windows": len(gaps),
                "of": len(windows),
                "span": label.span,
                "gap": max(min(gaps), 0),
                "wanted": wanted - 1,
            }
            severity: Severity = "serious" if later == "test" else "warning"
            found.append(HealthFinding(kind=kind, severity=severity, values=values))
    return found


def _find_gap(
    segments: Mapping[str, tuple[Session, Session]], earlier: Sequence[str], later: str, calendar: TradingCalendar
) -> int | None:
    """Return how many sessions `later` begins after the last of `earlier`; None where there is nothing to compare."""
    ends = [segments[role][1] for role in earlier if role in segments]
    if not ends or later not in segments:
        return None
    try:
        return calendar.at_or_after(segments[later][0]) - calendar.at_or_before(max(ends))
    except CalendarRangeError:
        return None


def examine_models(rounds: Iterable[float | None]) -> list[HealthFinding]:
    """Return whether models stopped at once; `rounds` are those each window's model kept, None for other models."""
    known = [value for value in rounds if value is not None]
    stopped = sum(value <= 1 for value in known)
    if not stopped:
        return []
    severity: Severity = "serious" if stopped >= len(known) / 2 else "warning"
    values = {"windows": stopped, "of": len(known)}
    return [HealthFinding(kind="stopped_models", severity=severity, values=values)]


def examine_market(
    source: DataSource,
    universe: str | None,
    names: Sequence[str],
    days: tuple[Session, Session],
    *,
    since: Session | None = None,
) -> list[HealthFinding]:
    """Return what the market data mean for the numbers.

    Fields that nobody has, prices that are likely not adjusted, and that nobody was ever delisted.

    Parameters
    ----------
    source : DataSource
    universe : str or None
        The universe under study, if it has a name.
    names : sequence of str
        The instruments that were scored.
    days : (Session, Session)
        The first and the last session that was predicted.
    since : Session, optional
        The first session that was learnt from; prices are looked at from there on.
    """
    found: list[HealthFinding] = []
    if missing := source.missing_fields(PRICE_FIELDS):
        names_of_all = ", ".join(f"${name}" for name in missing)
        found.append(HealthFinding(kind="missing_fields", severity="warning", values={"fields": names_of_all}))
    calendar = source.calendar()
    known = sorted(set(names) & set(source.instruments()))
    learnt = calendar.positions(since, days[1])
    prices = find_price_jumps(source, known, learnt.start, learnt.stop)
    if prices.likely_unadjusted:
        values = {
            "jumps": prices.jumps,
            "names": prices.names,
            "of": prices.instruments,
            "with_factor": prices.with_factor,
            "examples": "; ".join(prices.examples),
        }
        found.append(HealthFinding(kind="unadjusted_prices", severity="serious", values=values))
    sessions = len(calendar.positions(*days))
    if len(names) >= _MANY and sessions >= _LONG and _has_no_end(source, universe, known, days[1]):
        counts = {"names": len(names), "sessions": sessions}
        found.append(HealthFinding(kind="survivorship", severity="warning", values=counts, metrics=EVERYTHING))
    return found


def _has_no_end(source: DataSource, universe: str | None, names: Sequence[str], last: Session) -> bool:
    """Return whether no series ends before the data do, and no member leaves the universe."""
    if (source.bounds(names)[:, 1] < source.calendar().known).any():
        return False
    if universe is None:
        return True
    try:
        members = source.members(universe)
    except UnknownInstrumentError:
        return True
    return all(pd.Timestamp(spans[-1][1]) >= pd.Timestamp(last) for spans in members.values() if spans)
