"""Quarterly reports of a synthetic market, restated now and then: fundamentals to try point-in-time data on.

Three fields of each instrument: ``revenue_q`` and ``profit_q``, which count from the start of the fiscal year, and
``equity_q``. A report comes out weeks after its quarter, an annual one later than the others and, of some instruments,
on the day of the next quarter's; about one in fifteen is restated within a year. Who is listed late shows its past in
a prospectus: several periods on one day. Nothing of it was known to the prices, and nothing can be learned from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.periods import to_ordinals, to_period_ends, to_periods
from rollwright.market.source import FieldKind

__all__ = ["REPORT_KINDS", "Reports", "simulate_reports"]

REPORT_KINDS: Final = {
    "equity_q": FieldKind("stock"),
    "profit_q": FieldKind("flow", "cumulative"),
    "revenue_q": FieldKind("flow", "cumulative"),
}
"""What the fields measure."""

_STREAM: Final = 7  # of chance, so that reports change no price of a market
_YEARS_BEFORE: Final = 2
_DAYS_AFTER: Final = ((15, 31), (30, 62), (15, 31), (45, 110))  # of the four quarters, until the report
_RESTATED: Final = 1 / 15
_TOGETHER: Final = 0.1  # of the instruments, whose annual report comes with that of the next quarter


class Reports(NamedTuple):
    """The values of one field of one instrument, sorted by day, then by period.

    Attributes
    ----------
    day : datetime64[D] ``[rows]``
    period : int64 ``[rows]``
    value : float64 ``[rows]``
    """

    day: NDArray[np.datetime64]
    period: NDArray[np.int64]
    value: NDArray[np.float64]


def simulate_reports(
    sessions: pd.DatetimeIndex, listed: NDArray[np.int64], *, seed: int
) -> dict[int, dict[str, Reports]]:
    """Return the reports of each instrument by field; of one without any, none.

    Parameters
    ----------
    sessions : DatetimeIndex
    listed : ndarray of int64
        ``[instruments, 2]``: first position and one past the last of each.
    seed : int
    """
    days = sessions.to_numpy().astype("datetime64[D]")
    first = to_ordinals(int(sessions[0].year - _YEARS_BEFORE) * 100 + 1, "q")
    last = to_ordinals(int(sessions[-1].year) * 100 + sessions[-1].quarter, "q")
    periods = to_periods(np.arange(int(first), int(last) + 1), "q")
    found: dict[int, dict[str, Reports]] = {}
    for place, (start, stop) in enumerate(listed.tolist()):
        # a stream for each instrument: another one more, or a session more, changes no report of it
        rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM, place]))
        own = dict(_report(rng, periods, listing=days[start] if start else None, end=days[stop - 1]))
        if own:
            found[place] = own
    return found


def _report(
    rng: np.random.Generator, periods: NDArray[np.int64], *, listing: np.datetime64 | None, end: np.datetime64
) -> Iterator[tuple[str, Reports]]:
    """Yield the fields of one instrument, each with what became known of it up to `end`."""
    values = _make_values(rng, periods)
    day = _announce(rng, periods)
    restated = rng.random(len(periods)) < _RESTATED
    later = day + rng.integers(30, 330, len(periods))
    for name, value in values.items():
        again = np.round(value * (1 + rng.normal(0.0, 0.04, len(periods))), 2)
        known = np.concatenate([day, later[restated]])
        if listing is not None:
            known = np.maximum(known, listing)
        rows = Reports(
            day=known,
            period=np.concatenate([periods, periods[restated]]),
            value=np.concatenate([value, again[restated]]),
        )
        rows = _sort(rows, end)
        if len(rows.day):
            yield name, rows


def _sort(rows: Reports, end: np.datetime64) -> Reports:
    """Return the rows up to `end`, sorted; of two of one day and period the latter."""
    order = np.lexsort((rows.period, rows.day))
    day, period = rows.day[order], rows.period[order]
    kept = day <= end
    kept[:-1] &= (day[1:] != day[:-1]) | (period[1:] != period[:-1])
    return Reports(day=day[kept], period=period[kept], value=rows.value[order][kept])


def _announce(rng: np.random.Generator, periods: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Return the day of each report, in the order of the periods."""
    low, high = np.array(_DAYS_AFTER).T[:, periods % 100 - 1]
    day = to_period_ends(periods, "q") + rng.integers(low, high)
    if rng.random() < _TOGETHER:
        annual = np.flatnonzero(periods[:-1] % 100 == 4)
        day[annual] = day[annual + 1]
    return np.maximum.accumulate(day)


def _make_values(rng: np.random.Generator, periods: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return revenue and profit from the start of the year on, and equity, of each period."""
    count, part = len(periods), periods % 100 - 1
    season = 1 + rng.normal(0.0, 0.1, 4)
    growth = rng.normal(0.02, 0.015) + np.cumsum(rng.normal(0.0, 0.02, count))
    single = rng.lognormal(18.0, 1.0) * np.exp(growth) * season[part]
    margin = rng.normal(0.1, 0.04) + rng.normal(0.0, 0.03, count)
    profit = single * margin
    equity = single[0] * rng.uniform(3.0, 8.0) + np.cumsum(0.7 * profit)
    values = {
        "equity_q": equity,
        "profit_q": _from_year_start(profit, part),
        "revenue_q": _from_year_start(single, part),
    }
    return {name: np.round(value, 2) for name, value in values.items()}


def _from_year_start(single: NDArray[np.float64], part: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums of quarters since the first of their year; the first of all is a first quarter."""
    total = np.concatenate([[0.0], np.cumsum(single)])
    places = np.arange(len(single))
    summed: NDArray[np.float64] = total[places + 1] - total[places - part]
    return summed
