"""Whether a score says how large a return will be: realised labels on predicted scores."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.metrics import Metric
from rollwright.analysis.panel import average_by_day, number_days
from rollwright.analysis.signal import newey_west_sum
from rollwright.analysis.signal_tables.signal_panel import SignalPanel
from rollwright.analysis.stages.table import ColumnUnit
from rollwright.errors import DataError

__all__ = ["CALIBRATION_UNITS", "RAW", "WITHIN_DAY", "Line", "fit_line", "measure_calibration"]

WITHIN_DAY: Final = "within_day"
RAW: Final = "raw"
CALIBRATION_UNITS: Final[dict[str, ColumnUnit]] = {
    "kind": "text",
    "bin": "rank",
    "score": "score",
    "label": "label",
    "error": "label",
    "rows": "count",
}
_Floats = NDArray[np.float64]


class Line(NamedTuple):
    """A least-squares line of labels on scores: slope and intercept with their standard errors; NaN if not defined."""

    slope: float
    slope_error: float
    intercept: float
    intercept_error: float


def measure_calibration(
    panel: SignalPanel, *, bins: int = 10, label_span: int = 1
) -> tuple[pd.DataFrame, tuple[Metric, ...]]:
    """Return the mean label of bins of equal scores, and the slope of labels on scores.

    Twice: ``within_day``, where score and label count from their mean of the day, which asks whether differences
    between instruments are as large as predicted; and ``raw``, which asks of the market's moves, too. A slope of 1 says
    that they are; below 1 that scores promise too much. That is so only of scores in the unit of the label: those of a
    model that learns ranks or standardised labels have another slope, whatever they are worth.

    .. warning:: **Look-ahead.** It is fitted on the labels it describes. Scores multiplied by this slope know them.

    Parameters
    ----------
    panel : SignalPanel
        Rows without score or label do not count, nor do days with an infinite one.
    bins : int, default 10
        Cut at quantiles of the scores of all days. Equal scores share a bin, so that bins may be unequal or missing.
    label_span : int, default 1
        Sessions of future that the label reads: errors allow for days nearer than that.

    Returns
    -------
    DataFrame
        ``kind, bin, score, label, error, rows``, lowest scores first, bins from 1: means, and the standard error of the
        mean label by days, as `fit_line` has it.
    tuple of Metric
        ``calibration_slope`` (within day), ``calibration_raw_slope`` and ``calibration_intercept`` (raw; in the unit
        of the label), each with its ``_error``.

    Raises
    ------
    DataError
        For fewer than two bins, or a `label_span` below 1.
    """
    if bins < 2:
        raise DataError(f"{bins} bins: at least two are needed")
    if label_span < 1:
        raise DataError(f"a label that reads {label_span} sessions: 1 or more is needed")
    known = ~(np.isnan(panel.score) | np.isnan(panel.label)) & ~panel.find_spoilt_days()[panel.day]
    rows = panel.select(known)
    day, days = rows.day, len(rows.days)
    score = rows.score - average_by_day(day, rows.score, days)[day]
    label = rows.label - average_by_day(day, rows.label, days)[day]
    within = fit_line(day, score, label, lags=label_span - 1, through_zero=True)
    raw = fit_line(day, rows.score, rows.label, lags=label_span - 1)
    table = pd.concat(
        [
            _cut_bins(WITHIN_DAY, day, score, label, bins, label_span - 1),
            _cut_bins(RAW, day, rows.score, rows.label, bins, label_span - 1),
        ],
        ignore_index=True,
    )
    values = {
        "calibration_slope": within.slope,
        "calibration_slope_error": within.slope_error,
        "calibration_raw_slope": raw.slope,
        "calibration_raw_slope_error": raw.slope_error,
        "calibration_intercept": raw.intercept,
        "calibration_intercept_error": raw.intercept_error,
    }
    return table, tuple(Metric(key=key, value=value, unit="ratio") for key, value in values.items())


def fit_line(day: NDArray[np.intp], x: _Floats, y: _Floats, *, lags: int = 0, through_zero: bool = False) -> Line:
    """Return the least-squares line of `y` on `x` with errors that allow for what the rows of a day have in common.

    The rows of one day are one observation (clusters by day): ``V = (X'X)⁻¹ S (X'X)⁻¹`` with
    ``S = Σ_t g_t g_t' + Σ_{j=1..lags} (1 − j/(lags+1)) Σ_t (g_t g_{t−j}' + g_{t−j} g_t')`` and ``g_t`` the sum of
    ``x_i e_i`` over the rows of day t (Driscoll and Kraay, 1998), times ``G/(G−1) · (N−1)/(N−K)`` for G days, N rows
    and K coefficients, the customary correction of clustered errors.

    Parameters
    ----------
    day : int [rows]
        Sorted.
    x, y : float64 [rows]
        Finite.
    lags : int, default 0
        Days before a day that may have something in common with it.
    through_zero : bool
        Leave the intercept out: it is 0 and has no error.

    Returns
    -------
    Line
        All NaN where `x` does not vary or there are fewer than two rows; errors NaN with fewer days than two or than
        ``lags + 1``.
    """
    nothing = Line(math.nan, math.nan, math.nan, math.nan)
    rows, width = len(x), 1 if through_zero else 2
    if rows < 2 or not x.max() > x.min():
        return nothing
    centre = 0.0 if through_zero else float(x.mean())
    level = 0.0 if through_zero else float(y.mean())
    away = x - centre  # with the mean taken out, slope and level do not disturb each other
    square = float(away @ away)
    slope = float(away @ (y - level)) / square
    residual = y - level - slope * away
    first, group = number_days(day)
    count = len(first)
    intercept = level - slope * centre
    if count < max(2, lags + 1) or rows <= width:
        return Line(slope, math.nan, intercept, math.nan)
    # Influence of each day on slope and intercept: the sums of a scalar series have the variance wanted.
    factor = count / (count - 1) * (rows - 1) / (rows - width)
    on_slope = np.bincount(group, weights=away * residual, minlength=count) / square
    slope_error = math.sqrt(factor * newey_west_sum(on_slope, lags))
    if through_zero:
        return Line(slope, slope_error, 0.0, 0.0)
    on_level = np.bincount(group, weights=residual, minlength=count) / rows - centre * on_slope
    return Line(slope, slope_error, intercept, math.sqrt(factor * newey_west_sum(on_level, lags)))


def _cut_bins(kind: str, day: NDArray[np.intp], score: _Floats, label: _Floats, bins: int, lags: int) -> pd.DataFrame:
    columns = ["kind", "bin", "score", "label", "error", "rows"]
    if not len(score):
        return pd.DataFrame(columns=columns)
    edges = np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(edges, score, side="right")
    rows = np.bincount(place, minlength=bins)
    means = np.bincount(place, weights=label, minlength=bins) / np.maximum(rows, 1)
    scores = np.bincount(place, weights=score, minlength=bins) / np.maximum(rows, 1)
    first, group = number_days(day)
    count = len(first)
    sums = np.bincount(place * count + group, weights=label - means[place], minlength=bins * count)
    errors = np.full(bins, np.nan)
    if count >= max(2, lags + 1):
        for one in np.flatnonzero(rows):
            spread = newey_west_sum(sums.reshape(bins, count)[one] / rows[one], lags)
            errors[one] = math.sqrt(count / (count - 1) * spread)
    table = pd.DataFrame(
        {"kind": kind, "bin": np.arange(1, bins + 1), "score": scores, "label": means, "error": errors, "rows": rows}
    )
    return table[rows > 0].reset_index(drop=True)
