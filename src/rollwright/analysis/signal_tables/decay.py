"""How the information coefficient of a signal fades with the sessions that pass after it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.honesty.intervals import bound_mean
from rollwright.analysis.panel import correlate_rows, find_first_rows, find_places, number_days, rank_by_day
from rollwright.analysis.signal_tables.signal_panel import SignalPanel
from rollwright.analysis.stages.table import ColumnUnit
from rollwright.errors import CalendarError, DataError
from rollwright.market.source import DataSource

__all__ = ["DECAY_UNITS", "HORIZONS", "measure_decay", "read_prices"]

_ROWS: Final = 1 << 15
HORIZONS: Final = (1, 2, 3, 5, 10, 20)
DECAY_UNITS: Final[dict[str, ColumnUnit]] = {
    "horizon": "sessions",
    "kind": "text",
    "sampling": "text",
    "ic": "correlation",
    "low": "correlation",
    "high": "correlation",
    "rank_ic": "correlation",
    "rank_low": "correlation",
    "rank_high": "correlation",
    "sessions": "sessions",
}


def read_prices(
    source: DataSource,
    panel: SignalPanel,
    *,
    horizons: Sequence[int] = HORIZONS,
    delay: int = 1,
    field: str = "close",
) -> pd.DataFrame:
    """Return the prices that `measure_decay` needs: from the panel's first day to the last return's end.

    .. warning:: **Look-ahead.** They reach ``delay + max(horizons)`` sessions beyond the last score, as far as the
       calendar of `source` goes.

    Returns
    -------
    DataFrame
        float32 [sessions, instruments]; NaN where there is no price.

    Raises
    ------
    DataError
        When a day of the panel is none of the calendar, or `horizons` or `delay` are not what `measure_decay` takes.
    """
    longest = max(_check_horizons(horizons, delay))
    calendar = source.calendar()
    if not len(panel.days):
        return pd.DataFrame(index=pd.DatetimeIndex([]), columns=panel.instruments, dtype=np.float32)
    try:
        start, last = calendar.index(panel.days[0]), calendar.index(panel.days[-1])
    except CalendarError as error:
        raise DataError(f"the market lacks a day of the scores: {error.message}") from error
    stop = min(last + delay + longest + 1, len(calendar))
    names = [str(name) for name in panel.instruments]
    values = source.load([field], names, start, stop)[0]
    return pd.DataFrame(values, index=calendar.to_index()[start:stop], columns=panel.instruments)


def measure_decay(
    panel: SignalPanel,
    prices: pd.DataFrame,
    *,
    horizons: Sequence[int] = HORIZONS,
    delay: int = 1,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the mean IC and Rank IC of the scores with the returns over 1, 2, … sessions after them.

    A score of session ``t`` is traded at the price of ``t + delay``. The *cumulative* label of horizon ``h`` is the
    return from there over ``h`` sessions, ``P[t+delay+h] / P[t+delay] − 1``; the *marginal* one that of the h-th
    session alone, ``P[t+delay+h] / P[t+delay+h−1] − 1``. With the default delay and horizon 1 both are the default
    label.

    Cumulative labels of neighbouring sessions share returns. *Overlapping* sampling takes every session, and its
    interval has blocks of at least two horizons; *disjoint* sampling takes every h-th session from the first of the
    panel, whose labels share nothing. Marginal labels never overlap: their one row takes every session and is called
    disjoint.

    .. warning:: **Look-ahead.** These are labels: they read ``delay + h`` sessions ahead of the score.

    Parameters
    ----------
    panel : SignalPanel
        Its label is not used.
    prices : DataFrame [sessions, instruments]
        Every session from the first day of the panel on; a price that is missing leaves its returns unknown.
    horizons : sequence of int
        From 1, each once.
    delay : int, default 1
        Sessions from the score to the trade, from 0.
    level : float, default 0.95
        Of the intervals, which are those of `estimate_mean`.

    Returns
    -------
    DataFrame
        One row for each horizon, kind and sampling, with ``horizon, kind, sampling, ic, low, high, rank_ic, rank_low,
        rank_high, sessions``: means over the ``sessions`` that have an IC, NaN where there is none; an interval is
        NaN where so few sessions do not tell one.

    Raises
    ------
    DataError
        When a day of the panel is no session of `prices`, or `horizons` or `delay` are not as said.
    """
    chosen = _check_horizons(horizons, delay)
    if not (prices.index.is_monotonic_increasing and prices.index.is_unique and prices.columns.is_unique):
        raise DataError("the sessions of the prices are not in order, or a session or an instrument is there twice")
    session = np.asarray(prices.index.get_indexer(panel.days), dtype=np.intp)
    if (session < 0).any():
        raise DataError(f"{panel.days[session < 0][0]} is no session of the prices, and has scores")
    column = np.asarray(prices.columns.get_indexer(panel.instruments), dtype=np.intp)
    matrix = np.full((len(prices) + delay + max(chosen), len(prices.columns) + 1), np.nan)
    matrix[: len(prices), :-1] = prices.to_numpy(dtype=np.float64, na_value=np.nan)
    scored = panel.select(~np.isnan(panel.score))
    at = (session[scored.day] + delay, column[scored.instrument])  # an unknown instrument has the last column: NaN
    spans = sorted({span for horizon in chosen for span in ((0, horizon), (horizon - 1, horizon))})
    daily = {span: np.full((2, len(panel.days)), np.nan) for span in spans}
    for rows in _split_days(scored.day):
        pairs = _Pairs(scored.day[rows], scored.score[rows], (at[0][rows], at[1][rows]), matrix)
        for span in spans:
            daily[span][:, pairs.days] = pairs.correlate(*span)
    table = []
    for horizon in chosen:
        whole, one = daily[0, horizon], daily[horizon - 1, horizon]
        kept = (session - session[0]) % horizon == 0 if len(session) else np.zeros(0, dtype=np.bool_)
        table += [
            _describe(horizon, "cumulative", "overlapping", whole, horizon, level),
            _describe(horizon, "cumulative", "disjoint", whole[:, kept], 1, level),
            _describe(horizon, "marginal", "disjoint", one, 1, level),
        ]
    return pd.DataFrame(table)


class _Pairs:
    """Scores with the return between two sessions after each; the scores are sorted once for all returns."""

    def __init__(
        self,
        day: NDArray[np.intp],
        score: NDArray[np.float64],
        at: tuple[NDArray[np.intp], NDArray[np.intp]],
        matrix: NDArray[np.float64],
    ) -> None:
        first, self._day = number_days(day)
        self.days = day[first]
        self._score = score
        self._at = at
        self._matrix = matrix
        low, high = find_places(day, score)
        self._first = first[self._day]
        self._low, self._high = self._first + low, self._first + high
        self._order = np.argsort(self._low, kind="stable")

    def correlate(self, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the daily IC and Rank IC with the return from `start` to `stop` sessions after the trade."""
        row, column = self._at
        with np.errstate(divide="ignore", invalid="ignore"):
            label = self._matrix[row + stop, column] / self._matrix[row + start, column] - 1
        known = ~np.isnan(label)
        day, label, days = self._day[known], label[known], len(self.days)
        return (
            correlate_rows(day, self._score[known], label, days),
            correlate_rows(day, self._rank(known), rank_by_day(day, label), days),
        )

    def _rank(self, known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the ranks of the known scores among those of their day: by counting them in the order of all."""
        count = np.concatenate([[0], known[self._order].cumsum()])
        low, high = count[self._low[known]], count[self._high[known]]
        ranks: NDArray[np.float64] = (low + high + 1) / 2.0 - count[self._first[known]]
        return ranks


def _split_days(day: NDArray[np.intp]) -> list[slice]:
    """Return the rows in parts of whole days that stay in the cache of a core: half of the time of all at once."""
    first = np.append(find_first_rows(day), len(day))
    cuts = first[np.searchsorted(first, np.arange(0, len(day), _ROWS))]
    cuts = np.unique(np.append(cuts, len(day)))
    return [slice(start, stop) for start, stop in itertools.pairwise(cuts.tolist())]


def _describe(
    horizon: int,
    kind: str,
    sampling: str,
    daily: NDArray[np.float64],
    span: int,
    level: float,
) -> dict[str, object]:
    row: dict[str, object] = {"horizon": horizon, "kind": kind, "sampling": sampling}
    for values, prefix in zip(daily, ("", "rank_"), strict=True):
        mean, low, high = bound_mean(values, label_span=span, level=level)
        row |= {f"{prefix}ic": mean, f"{prefix}low": low, f"{prefix}high": high}
    return {**row, "sessions": int((~np.isnan(daily[0])).sum())}


def _check_horizons(horizons: Sequence[int], delay: int) -> tuple[int, ...]:
    chosen = tuple(horizons)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 1:
        raise DataError(f"horizons {list(chosen)}: different numbers from 1 are needed")
    if delay < 0:
        raise DataError(f"a delay of {delay} sessions: a number from 0 is needed")
    return chosen
