"""How long a signal stays the same: autocorrelation of its ranks, and how much of its ends is replaced each day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.panel import correlate_rows, find_places, rank_by_day, share_found_places, share_replaced
from rollwright.analysis.signal_tables.signal_panel import SignalPanel
from rollwright.analysis.stages.table import ColumnUnit
from rollwright.errors import DataError

__all__ = ["AUTOCORRELATION_UNITS", "LAGS", "TURNOVER_UNITS", "measure_autocorrelation", "measure_turnover"]

LAGS: Final = (1, 2, 3, 5, 10, 20)
AUTOCORRELATION_UNITS: Final[dict[str, ColumnUnit]] = {
    "lag": "sessions",
    "rank_autocorrelation": "correlation",
    "sessions": "sessions",
}
TURNOVER_UNITS: Final[dict[str, ColumnUnit]] = {"top": "fraction_per_session", "bottom": "fraction_per_session"}


def measure_autocorrelation(panel: SignalPanel, *, lags: Sequence[int] = LAGS) -> pd.DataFrame:
    """Return the mean rank correlation of each day's scores with those some days before.

    Correlated is over the instruments that have a score on both days; ranks are taken among them. Days are those of the
    panel: a session that it lacks is stepped over.

    Returns
    -------
    DataFrame
        ``lag, rank_autocorrelation, sessions``; NaN where no day has a value so many days before.

    Raises
    ------
    DataError
        For a lag below 1, or one that is there twice.
    """
    if len(set(lags)) < len(lags) or any(lag < 1 for lag in lags):
        raise DataError(f"lags {list(lags)}: different numbers from 1 are needed")
    scored = panel.select(~np.isnan(panel.score))
    size = len(panel.days)
    scores, ranks = np.full((2, size, len(panel.instruments)), np.nan)
    scores[scored.day, scored.instrument] = scored.score
    ranks[scored.day, scored.instrument] = rank_by_day(scored.day, scored.score)
    known = ~np.isnan(scores)
    rows = []
    for lag in lags:
        values = np.full(0, np.nan)
        if lag < size:
            both = known[:-lag] & known[lag:]
            day, column = np.nonzero(both)
            early, late = (
                _rank_shared(part[day, column], whole[day, column], day, (both == scored_then).all(axis=1))
                for part, whole, scored_then in (
                    (scores[:-lag], ranks[:-lag], known[:-lag]),
                    (scores[lag:], ranks[lag:], known[lag:]),
                )
            )
            values = correlate_rows(day, early, late, size - lag)
        found = values[~np.isnan(values)]
        mean = float(found.mean()) if len(found) else np.nan
        rows.append({"lag": lag, "rank_autocorrelation": mean, "sessions": len(found)})
    return pd.DataFrame(rows, columns=["lag", "rank_autocorrelation", "sessions"])


def _rank_shared(
    scores: NDArray[np.float64], ranks: NDArray[np.float64], day: NDArray[np.intp], is_whole: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the ranks among these rows: those that are known where all of a day's rows are here, `is_whole`."""
    missing = ~is_whole[day]
    if missing.any():
        ranks[missing] = rank_by_day(day[missing], scores[missing])
    return ranks


def measure_turnover(panel: SignalPanel, *, groups: int = 5) -> pd.DataFrame:
    """Return the share of the best, and of the worst, group of each day that was not in it the day before.

    A group has the ``floor(n / groups)`` highest or lowest of a day's ``n`` scores. Equal scores at its edge share the
    places that are left; what counts is by how much an instrument's share rose.

    Returns
    -------
    DataFrame
        ``top, bottom`` by day; NaN on the first day, and where the group is empty.

    Raises
    ------
    DataError
        For fewer than two groups.
    """
    if groups < 2:
        raise DataError(f"{groups} groups: at least two are needed")
    scored = panel.select(~np.isnan(panel.score))
    legs = np.bincount(scored.day, minlength=len(panel.days)) // groups
    low, high = find_places(scored.day, scored.score)
    counts = np.bincount(scored.day, minlength=len(panel.days))[scored.day]
    descending = (counts - high, counts - low)
    return pd.DataFrame(
        {"top": _replace_shares(scored, descending, legs), "bottom": _replace_shares(scored, (low, high), legs)},
        index=panel.days,
    )


def _replace_shares(
    scored: SignalPanel, places: tuple[NDArray[np.intp], NDArray[np.intp]], legs: NDArray[np.intp]
) -> NDArray[np.float64]:
    held = np.zeros((len(scored.days), len(scored.instruments)))
    held[scored.day, scored.instrument] = share_found_places(scored.day, places, 0 * legs, legs)
    return share_replaced(held)
