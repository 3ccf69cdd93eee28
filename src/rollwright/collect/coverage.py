"""The coverage contract (decision D17): honest data pass, holes never do.

Before a window predicts, it saves the index it is to predict. Here that promise is compared exactly with what came
back, the windows are proven to tile the test range, and whoever belongs to the universe but was not predicted is
counted by cause.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.errors import CoverageError
from rollwright.market.source import DataSource

__all__ = [
    "CAUSES",
    "UniverseCoverage",
    "check_tiling",
    "check_window",
    "describe_key",
    "describe_rows",
    "universe_coverage",
]

CAUSES: Final = ("no series", "suspended", "dropped")
"""Why a member has no prediction: no row in its series, no close on that day, or a processor dropped it."""


def check_window(name: str, predicted: pd.Index, expected: pd.Index, scores: np.ndarray[Any, Any]) -> list[str]:
    """Return what is wrong with one window, a line each; an empty list when it kept its promise.

    Parameters
    ----------
    name : str
        How the window is called in the lines.
    predicted, expected : MultiIndex (datetime, instrument)
        The rows of the prediction, and those the window promised before it predicted.
    scores : float array
        One per predicted row; NaN and infinities break the contract.
    """
    problems: list[str] = []
    doubled = predicted[:0] if _is_ascending(predicted) else predicted[predicted.duplicated()]
    if len(doubled):
        problems.append(f"{name}: {len(doubled)} rows are predicted twice, {describe_rows(doubled)}")
    if not (_is_coded_alike(predicted, expected) or predicted.equals(expected)):  # equal is usual, and told faster
        missing = expected.difference(predicted)
        if len(missing):
            problems.append(
                f"{name}: {len(missing)} of {len(expected)} promised rows are missing, {describe_rows(missing)}"
            )
        strange = predicted.difference(expected)
        if len(strange):
            problems.append(f"{name}: {len(strange)} rows were never promised, {describe_rows(strange)}")
    wrong = int((~np.isfinite(scores)).sum())
    if wrong:
        problems.append(f"{name}: {wrong} scores are not numbers, {describe_rows(predicted[~np.isfinite(scores)])}")
    return problems


def _is_ascending(index: pd.Index) -> bool:
    """Tell by the codes alone whether each row of two levels comes after the one before, so that none is there twice.

    False says nothing: the levels themselves may be in no order.
    """
    if not isinstance(index, pd.MultiIndex) or index.nlevels != 2:
        return False
    outer, inner = (np.diff(codes) for codes in index.codes)
    return bool(((outer > 0) | ((outer == 0) & (inner > 0))).all()) and all(level.is_unique for level in index.levels)


def _is_coded_alike(one: pd.Index, other: pd.Index) -> bool:
    """Tell whether two indexes hold the same rows for certain: equal levels, and equal codes; False says nothing."""
    if not isinstance(one, pd.MultiIndex) or not isinstance(other, pd.MultiIndex) or one.nlevels != other.nlevels:
        return False
    return all(
        np.array_equal(one.codes[place], other.codes[place]) and one.levels[place].equals(other.levels[place])
        for place in range(one.nlevels)
    )


def describe_rows(index: pd.Index) -> str:
    """Return the days of rows that are not there or too many, and three of their instruments, for an error."""
    days = index.get_level_values("datetime")
    first, last = days.min(), days.max()
    span = f"{first:%Y-%m-%d}" if first == last else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    shown = ", ".join(f"{row[1]}" for row in index[:3])
    return f"{span} ({shown}{', …' if len(index) > 3 else ''})"


def describe_key(key: Any) -> str:
    """Return the key of a member or a window as errors show it; a pair of dates is shown as a range."""
    if type(key) is not tuple:  # a named tuple says how it is shown
        return f"{key:%Y-%m-%d}" if isinstance(key, date) else str(key)
    is_range = len(key) == 2 and all(isinstance(end, date) for end in key)
    return "..".join(map(describe_key, key)) if is_range else " ".join(map(describe_key, key))


def check_tiling(segments: Sequence[tuple[Session, Session]], calendar: TradingCalendar) -> list[str]:
    """Return where consecutive test segments leave sessions out or overlap, a line each."""
    problems: list[str] = []
    ordered = sorted(segments)
    for (_, end), (start, _) in itertools.pairwise(ordered):
        gap = calendar.distance(end, start)
        if gap > 1:
            lost = f"{calendar.offset(end, 1):%Y-%m-%d} to {calendar.offset(start, -1):%Y-%m-%d}"
            problems.append(f"no window tests the {gap - 1} sessions from {lost}")
        elif gap < 1:
            problems.append(f"{1 - gap} sessions from {start:%Y-%m-%d} are tested by two windows")
    return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseCoverage:
    """Members of the universe against rows predicted.

    Attributes
    ----------
    expected, predicted : int
        Members summed over the sessions, and those of them that were predicted.
    by_cause : mapping of str to int
        For each of `CAUSES` how many were not.
    worst_day : Session or None
        The session with the greatest share missing.
    worst_share : float
        That share, 0 to 1.
    """

    expected: int
    predicted: int
    by_cause: Mapping[str, int]
    worst_day: Session | None
    worst_share: float


def universe_coverage(
    predicted: pd.Index,
    source: DataSource,
    universe: str,
    *,
    start: Session,
    end: Session,
    max_missing_share: float,
    allow_gaps: Sequence[tuple[Session, Session]] = (),
) -> UniverseCoverage:
    """Compare the predicted rows with the universe, session by session.

    Parameters
    ----------
    predicted : MultiIndex (datetime, instrument)
    source : DataSource
    universe : str
    start, end : Session
        The closed range of sessions that was to be predicted.
    max_missing_share : float
        A session on which more of the members than this are missing fails.
    allow_gaps : sequence of (Session, Session)
        Closed ranges of sessions that are declared to be missing, and do not count.

    Raises
    ------
    CoverageError
        For every such session, with its share and the causes; also for a session without any prediction.
    """
    calendar = source.calendar()
    positions = calendar.positions(start, end)
    members = source.members(universe)
    codes = sorted(members)
    belongs = _membership(members, codes, calendar, positions)
    is_due = np.ones(len(positions), dtype=np.bool_)
    for gap in allow_gaps:
        is_due[[place - positions.start for place in calendar.positions(*gap) if place in positions]] = False
    belongs &= is_due[:, None]
    has_row = np.zeros_like(belongs)
    rows = _place_rows(predicted, "datetime", calendar.to_index()[positions.start : positions.stop])
    columns = _place_rows(predicted, "instrument", pd.Index(codes))
    inside = (rows >= 0) & (columns >= 0)
    has_row[rows[inside], columns[inside]] = True
    absent = belongs & ~has_row
    causes = _causes(absent, source, codes, positions)
    counted = belongs.sum(axis=1)
    share = np.divide(absent.sum(axis=1), counted, out=np.zeros(len(counted)), where=counted > 0)
    problems = [
        f"{calendar[positions[day]]:%Y-%m-%d}: {share[day]:.0%} of {counted[day]} members missing ("
        + ", ".join(f"{int(causes[name][day])} {name}" for name in CAUSES if causes[name][day])
        + ")"
        for day in np.flatnonzero((share > max_missing_share) | (is_due & ~has_row.any(axis=1)))
    ]
    if problems:
        raise CoverageError(
            f"{len(problems)} session(s) lack more than {max_missing_share:.0%} of universe `{universe}`",
            problems=problems,
            hint="look at the causes; if they are honest, raise `collect.max_missing_share`",
        )
    worst = int(share.argmax()) if len(share) else 0
    return UniverseCoverage(
        expected=int(belongs.sum()),
        predicted=int((belongs & has_row).sum()),
        by_cause={name: int(causes[name].sum()) for name in CAUSES},
        worst_day=calendar[positions[worst]] if len(share) else None,
        worst_share=float(share[worst]) if len(share) else 0.0,
    )


def _place_rows(index: Any, name: str, known: pd.Index) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return where in `known` the value of each row of a MultiIndex is, or -1: only different values are sought."""
    level = index.names.index(name)
    places = np.append(known.get_indexer(index.levels[level]), -1)  # a row without a value has the code -1
    return np.asarray(places[index.codes[level]], dtype=np.intp)


def _membership(
    members: Mapping[str, Sequence[tuple[Session, Session]]],
    codes: Sequence[str],
    calendar: TradingCalendar,
    positions: range,
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    belongs = np.zeros((len(positions), len(codes)), dtype=bool)
    for column, code in enumerate(codes):
        for first, last in members[code]:
            if last < calendar[positions[0]] or first > calendar[positions[-1]]:
                continue
            low = max(calendar.at_or_after(first), positions.start) - positions.start
            high = min(calendar.at_or_before(last), positions.stop - 1) - positions.start
            belongs[low : high + 1, column] = True
    return belongs


def _causes(
    absent: np.ndarray[Any, np.dtype[np.bool_]], source: DataSource, codes: Sequence[str], positions: range
) -> dict[str, np.ndarray[Any, Any]]:
    if not absent.any():
        return {name: np.zeros(absent.shape[0], dtype=int) for name in CAUSES}
    known = set(source.instruments())
    listed = [code for code in codes if code in known]
    column = {code: place for place, code in enumerate(listed)}
    days = np.arange(positions.start, positions.stop)[:, None]
    bounds = source.bounds(listed)
    inside = (days >= bounds[:, 0]) & (days < bounds[:, 1])
    priced = np.isfinite(source.load(["close"], listed, positions.start, positions.stop)[0])
    no_series = np.ones_like(absent)
    suspended = np.zeros_like(absent)
    for place, code in enumerate(codes):
        if code in column:
            no_series[:, place] = ~inside[:, column[code]]
            suspended[:, place] = inside[:, column[code]] & ~priced[:, column[code]]
    return {
        "no series": (absent & no_series).sum(axis=1),
        "suspended": (absent & suspended).sum(axis=1),
        "dropped": (absent & ~no_series & ~suspended).sum(axis=1),
    }
