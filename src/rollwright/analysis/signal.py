"""Signal statistics: daily information coefficients, group returns, and standard errors of their means.

Everything here is a pure function of scores and labels indexed by (datetime, instrument). A *day's* figure uses that
day's rows only, so no figure of a day depends on another day.

.. warning:: **Look-ahead.** A label is a return that lies in the future of its day. These functions judge a signal
   afterwards; their results must never become an input of the model they judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.honesty.intervals import bound_mean
from rollwright.analysis.metrics import Metric
from rollwright.analysis.panel import (
    DayPanel,
    Frame,
    average_by_day,
    build_day_panel,
    correlate_rows,
    find_places,
    rank_by_day,
    share_found_places,
    share_places,
    share_replaced,
    take_column,
)
from rollwright.backtest.risk import standard_deviation
from rollwright.errors import DataError

__all__ = [
    "SignalSummary",
    "calc_ic",
    "calc_long_short_prec",
    "calc_long_short_return",
    "correlate_by_day",
    "daily_ic",
    "group_returns",
    "group_rows",
    "newey_west_lags",
    "newey_west_sum",
    "pred_autocorr",
    "rolling_mean",
    "standard_error",
    "summarise",
    "top_turnover",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSummary:
    """Summary of the daily coefficients.

    Attributes
    ----------
    ic, rank_ic : float
        Mean over the days that have a value.
    icir, rank_icir : float
        That mean over the days' standard deviation (``ddof=1``); per day, not annualised.
    ic_error, rank_ic_error : float
        Newey–West standard error of the mean.
    ic_low, ic_high, rank_ic_low, rank_ic_high : float
        95 % interval of the mean by the block bootstrap, with blocks of twice the label span or more: `estimate_mean`;
        NaN where days are too few.
    days : int
        Days that have an IC.
    """

    ic: float
    icir: float
    rank_ic: float
    rank_icir: float
    ic_error: float
    rank_ic_error: float
    days: int
    ic_low: float = math.nan
    ic_high: float = math.nan
    rank_ic_low: float = math.nan
    rank_ic_high: float = math.nan

    def metrics(self) -> tuple[Metric, ...]:
        """Return the figures as metrics, each under the name of its attribute; `days` is ``ic_days``."""
        return (
            Metric(key="ic", value=self.ic, unit="correlation"),
            Metric(key="ic_error", value=self.ic_error, unit="correlation"),
            Metric(key="ic_low", value=self.ic_low, unit="correlation"),
            Metric(key="ic_high", value=self.ic_high, unit="correlation"),
            Metric(key="icir", value=self.icir, unit="ratio"),
            Metric(key="rank_ic", value=self.rank_ic, unit="correlation"),
            Metric(key="rank_ic_error", value=self.rank_ic_error, unit="correlation"),
            Metric(key="rank_ic_low", value=self.rank_ic_low, unit="correlation"),
            Metric(key="rank_ic_high", value=self.rank_ic_high, unit="correlation"),
            Metric(key="rank_icir", value=self.rank_icir, unit="ratio"),
            Metric(key="ic_days", value=float(self.days), unit="sessions"),
        )


def daily_ic(
    pred: Frame,
    label: Frame,
    *,
    method: Literal["pearson", "spearman"] = "pearson",
    date_col: str = "datetime",
) -> pd.Series:
    """Return the correlation of score and label across the instruments of each day.

    ``IC_t = corr_i(score[t, i], label[t, i])`` over the instruments that have both (Grinold and Kahn, *Active
    Portfolio Management*). With ``spearman`` both are replaced by their ranks within the day, equal values sharing the
    mean of their ranks: the Rank IC.

    Returns
    -------
    Series
        float64, one value for each day of `pred` in order. NaN for a day with fewer than two such instruments, or on
        which all scores or all labels are equal.

    Raises
    ------
    DataError
        When an index has no level `date_col`, or names a row twice.
    """
    panel = build_day_panel(pred, label, date_col=date_col)
    return panel.to_series(correlate_by_day(panel, method), "ic" if method == "pearson" else "ric")


def calc_ic(
    pred: Frame,
    label: Frame,
    date_col: str = "datetime",
    dropna: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
) -> tuple[pd.Series, pd.Series]:
    """Return the daily IC and Rank IC, as `daily_ic` does for each method; `dropna` leaves days without a value out."""
    panel = build_day_panel(pred, label, date_col=date_col)
    ic = panel.to_series(correlate_by_day(panel, "pearson"), "ic")
    ric = panel.to_series(correlate_by_day(panel, "spearman"), "ric")
    return (ic.dropna(), ric.dropna()) if dropna else (ic, ric)


def summarise(
    ic: pd.Series, ric: pd.Series, *, lags: int | None = None, label_span: int | None = None
) -> SignalSummary:
    """Return mean, information ratio, standard error and interval of daily coefficients.

    Days without a value do not count.

    The information ratio is NaN with fewer than two days, or when all days are equal. `lags` and `label_span` are those
    of `standard_error`.
    """
    _, low, high = bound_mean(ic, label_span=label_span or 1)
    _, rank_low, rank_high = bound_mean(ric, label_span=label_span or 1)
    return SignalSummary(
        ic_low=low,
        ic_high=high,
        rank_ic_low=rank_low,
        rank_ic_high=rank_high,
        ic=float(ic.mean()),
        icir=_ratio(ic),
        rank_ic=float(ric.mean()),
        rank_icir=_ratio(ric),
        ic_error=standard_error(ic, lags=lags, label_span=label_span),
        rank_ic_error=standard_error(ric, lags=lags, label_span=label_span),
        days=int(ic.notna().sum()),
    )


def newey_west_lags(days: int) -> int:
    """Return the customary number of lags for `days` values: ``floor(4 (n / 100)^(2/9))`` (Newey and West, 1994)."""
    return math.floor(4 * (days / 100) ** (2 / 9)) if days > 0 else 0


def standard_error(values: pd.Series, *, lags: int | None = None, label_span: int | None = None) -> float:
    """Return the standard error of the mean of a daily series, allowing for its autocorrelation.

    ``se² = (g_0 + 2 Σ_{j=1..L} (1 − j/(L+1)) g_j) / n`` with ``g_j = Σ_t (x_t − m)(x_{t−j} − m) / n`` (Newey and West,
    1987: Bartlett weights keep it non-negative). A label that reads several sessions makes neighbouring days share
    returns, so the plain error would be too small.

    Parameters
    ----------
    lags : int, optional
        L. None takes `newey_west_lags`, and at least ``label_span - 1``; 0 gives the plain error
        ``std(ddof=1) / sqrt(n)``.
    label_span : int, optional
        Sessions of future that the label reads. Labels of sessions that are closer to each other than that may share
        returns, and an error over fewer lags would be too small.

    Returns
    -------
    float
        NaN with fewer than two values, and when `label_span` asks for as many lags as there are values, or more: so few
        labels, which all overlap, say nothing about how much they vary.

    Raises
    ------
    DataError
        For `lags` that are negative, or not fewer than the two or more values there are.
    """
    known = values.to_numpy(dtype=np.float64)
    known = known[~np.isnan(known)]
    count = len(known)
    if lags is not None and lags < 0:
        raise DataError(f"{lags} lags: a number from 0 is needed")
    if count < 2:
        return math.nan
    if lags is not None and lags >= count:
        raise DataError(
            f"{lags} lags and {count} values: there are no pairs so far apart", hint=f"take at most {count - 1}"
        )
    width = max(newey_west_lags(count), (label_span or 1) - 1) if lags is None else lags
    if width >= count:
        return math.nan
    if width == 0:
        return float(known.std(ddof=1) / math.sqrt(count))
    return math.sqrt(newey_west_sum(known - known.mean(), width)) / count


def newey_west_sum(parts: NDArray[np.float64], lags: int) -> float:
    """Return the variance of the sum of `parts`, each with a mean of 0, that depend on those up to `lags` before.

    ``Σ_t x_t² + 2 Σ_{j=1..lags} (1 − j/(lags+1)) Σ_t x_t x_{t−j}``, never below 0 (Newey and West, 1987); `lags` must
    be fewer than the parts.
    """
    total = float(parts @ parts)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(parts[lag:] @ parts[:-lag])
    return max(total, 0.0)


def rolling_mean(values: pd.Series, window: int = 20) -> pd.Series:
    """Return the mean of the last `window` days' values; days without a value are left out of it.

    The first ``window − 1`` days are NaN, as is a window in which fewer than half of the days have a value.
    """
    means = values.rolling(window, min_periods=(window + 1) // 2).mean()
    means.iloc[: window - 1] = np.nan
    return means


def group_returns(pred: Frame, label: Frame, groups: int = 5, *, date_col: str = "datetime") -> pd.DataFrame:
    """Return the mean label of each score group on each day.

    The instruments of a day are ranked by score and cut into `groups` parts of equal size, as near as their number
    allows: instrument of rank ``r`` among ``n``, best first, belongs to group ``floor((r − 1) · groups / n) + 1``.
    Equal scores share their ranks: each counts in a group with the share of them that belongs to it. So on a day on
    which all scores are equal, all groups have the mean of the day.

    Returns
    -------
    DataFrame
        float64 [days, groups], columns ``Group1`` (highest scores) to ``Group{groups}`` (lowest), in the unit of the
        label. NaN on days with fewer scores than groups, and where none of a group's labels is known.
    """
    return group_rows(build_day_panel(pred, label, date_col=date_col), groups)


def group_rows(panel: DayPanel, groups: int) -> pd.DataFrame:
    """Return the mean label of each score group on each day of `panel`: what `group_returns` gives for frames."""
    if groups < 2:
        raise DataError(f"{groups} groups: at least two are needed")
    scored = panel.select(~np.isnan(panel.score))
    counts = scored.count_rows()
    size = len(scored.days)
    cells = np.empty((size, groups))
    places = find_places(scored.day, -scored.score)
    for part in range(groups):
        start, stop = -(-part * counts // groups), -(-(part + 1) * counts // groups)
        shares = share_found_places(scored.day, places, start, stop)
        cells[:, part] = average_by_day(scored.day, scored.label, size, shares)
    cells[counts < groups] = np.nan
    return pd.DataFrame(cells, index=scored.days, columns=[f"Group{place + 1}" for place in range(groups)])


def calc_long_short_return(
    pred: Frame,
    label: Frame,
    date_col: str = "datetime",
    quantile: float = 0.2,
    dropna: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
) -> tuple[pd.Series, pd.Series]:
    """Return the daily return of holding the best and selling the worst scores, and the mean of all.

    With ``k = floor(n · quantile)``: ``(mean label of the k highest − mean label of the k lowest) / 2``, half because
    the capital is split between both legs, as Qlib's function of this name defines it. Equal scores at the edge of a
    leg share the places that are left in it, where Qlib takes the row that comes first. The label must be a plain
    return, not a standardised one.

    Returns
    -------
    (Series, Series)
        The long–short return, and the mean label of the day; NaN on a day too small for one instrument in each leg.
    """
    if not 0 < quantile <= 0.5:
        raise DataError(f"quantile {quantile} is not in (0, 0.5]")
    whole = build_day_panel(pred, label, date_col=date_col)
    panel = whole.select(~np.isnan(whole.score) & ~(dropna & np.isnan(whole.label)))
    legs = np.floor(panel.count_rows() * quantile).astype(np.intp)
    size = len(panel.days)
    long = average_by_day(panel.day, panel.label, size, share_places(panel.day, -panel.score, 0 * legs, legs))
    short = average_by_day(panel.day, panel.label, size, share_places(panel.day, panel.score, 0 * legs, legs))
    every = average_by_day(whole.day, whole.label, size)
    return panel.to_series((long - short) / 2, "long_short"), panel.to_series(every, "long_avg")


def calc_long_short_prec(
    pred: Frame,
    label: Frame,
    date_col: str = "datetime",
    quantile: float = 0.2,
    dropna: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
    is_alpha: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
) -> tuple[pd.Series, pd.Series]:
    """Return the daily share of the best scores whose label is above 0, and of the worst whose label is below it.

    A leg has the ``floor(n · quantile)`` highest or lowest scores of a day; a label that is not known does not count.
    Equal scores at the edge of a leg share the places that are left in it, as in `calc_long_short_return`.

    Parameters
    ----------
    is_alpha : bool
        Count labels from the mean of their day.

    Returns
    -------
    (Series, Series)
        NaN on a day without a known label in the leg.
    """
    if not 0 < quantile <= 0.5:
        raise DataError(f"quantile {quantile} is not in (0, 0.5]")
    whole = build_day_panel(pred, label, date_col=date_col)
    truth = whole.label
    if is_alpha:
        truth = truth - average_by_day(whole.day, truth, len(whole.days))[whole.day]
    kept = ~np.isnan(whole.score) & ~(dropna & np.isnan(truth))
    panel, truth = whole.select(kept), truth[kept]
    legs = np.floor(panel.count_rows() * quantile).astype(np.intp)
    shares = []
    for sign in (1, -1):
        place = share_places(panel.day, -sign * panel.score, 0 * legs, legs)
        hit = np.where(np.isnan(truth), np.nan, sign * truth > 0)
        shares.append(average_by_day(panel.day, hit, len(panel.days), place))
    return panel.to_series(shares[0], "long_precision"), panel.to_series(shares[1], "short_precision")


def pred_autocorr(pred: Frame, lag: int = 1, inst_col: str = "instrument", date_col: str = "datetime") -> pd.Series:
    """Return the correlation of each day's scores with those `lag` days before, over the instruments in both.

    Days are those of `pred`: a day missing from it is stepped over. The first `lag` days are NaN.

    Raises
    ------
    DataError
        When the levels of the index are not `date_col` and `inst_col`, a row is there twice, or `lag` is below 1.
    """
    if lag < 1:
        raise DataError(f"lag {lag}: a number from 1 is needed")
    matrix = _to_matrix(pred, date_col)
    if matrix.columns.name != inst_col:
        raise DataError(f"the index of the prediction has no level {inst_col!r}, but {matrix.columns.name!r}")
    values = matrix.to_numpy(dtype=np.float64)
    earlier = np.full_like(values, np.nan)
    earlier[lag:] = values[:-lag]
    days = np.repeat(np.arange(len(values), dtype=np.intp), values.shape[1])
    panel = DayPanel(days=matrix.index, day=days, score=values.ravel(), label=earlier.ravel())
    return panel.to_series(correlate_by_day(panel, "pearson"), "autocorr")


def top_turnover(pred: Frame, quantile: float = 0.2, *, date_col: str = "datetime") -> pd.Series:
    """Return the share of the best `quantile` of each day that was not among the best the day before; first day NaN.

    Equal scores at the edge share the places that are left; what counts is by how much an instrument's share rose.
    """
    matrix = _to_matrix(pred, date_col)
    values = matrix.to_numpy(dtype=np.float64)
    days, columns = np.nonzero(~np.isnan(values))
    legs = np.floor(np.bincount(days, minlength=len(values)) * quantile).astype(np.intp)
    best = np.zeros(values.shape)
    best[days, columns] = share_places(days, -values[days, columns], 0 * legs, legs)
    return pd.Series(share_replaced(best), index=matrix.index, name="turnover")


def correlate_by_day(panel: DayPanel, method: Literal["pearson", "spearman"]) -> NDArray[np.float64]:
    """Return the correlation of score and label of each day of `panel`: what `daily_ic` gives for frames."""
    missing = np.isnan(panel.score) | np.isnan(panel.label)
    known = panel.select(~missing) if missing.any() else panel
    x, y = known.score, known.label
    if method == "spearman":
        x, y = rank_by_day(known.day, x), rank_by_day(known.day, y)
    elif method != "pearson":
        raise DataError(f"method `{method}` is none of pearson, spearman")
    return correlate_rows(known.day, x, y, len(known.days))


def _to_matrix(pred: Frame, date_col: str) -> pd.DataFrame:
    scores = take_column(pred, what="prediction")
    if date_col not in scores.index.names or scores.index.nlevels != 2:
        raise DataError(f"the index of the prediction has the levels {list(scores.index.names)}")
    if not scores.index.is_unique:
        raise DataError("the prediction has rows more than once")
    other = next(name for name in scores.index.names if name != date_col)
    return scores.unstack(other).sort_index()


def _ratio(values: pd.Series) -> float:
    spread = standard_deviation(values.dropna().to_numpy(dtype=np.float64))
    return float(values.mean()) / spread if spread > 0 else math.nan
