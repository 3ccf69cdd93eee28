"""Scores and labels as arrays grouped by day, and computations over all days at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import DataError

__all__ = [
    "DayPanel",
    "Frame",
    "Places",
    "average_by_day",
    "build_day_panel",
    "correlate_rows",
    "find_first_rows",
    "find_places",
    "find_varied_days",
    "number_days",
    "rank_by_day",
    "share_found_places",
    "share_places",
    "share_replaced",
    "standardise_by_day",
    "take_column",
]

_CELLS: Final = 1 << 15  # of a matrix that is sorted at once: what stays in the cache of a core
Frame: TypeAlias = "pd.Series | pd.DataFrame"
_Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]
"""First place of each row and its equals, and one past the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPanel:
    """Rows of (day, score, label), sorted by day; within a day they keep the order they came in.

    Attributes
    ----------
    days : DatetimeIndex
        The days in order, each once.
    day : int [rows]
        Place of the row's day in ``days``.
    score, label : float64 [rows]
        NaN where unknown.
    """

    days: pd.Index
    day: NDArray[np.intp]
    score: _Floats
    label: _Floats

    def select(self, keep: NDArray[np.bool_]) -> DayPanel:
        """Return the rows that `keep` marks; the days stay, also those left without a row."""
        return DayPanel(days=self.days, day=self.day[keep], score=self.score[keep], label=self.label[keep])

    def count_rows(self) -> NDArray[np.intp]:
        """Return the number of rows of each day."""
        return np.bincount(self.day, minlength=len(self.days))

    def to_series(self, values: _Floats, name: str) -> pd.Series:
        """Return one value per day as a Series."""
        return pd.Series(values, index=self.days, name=name)


def take_column(frame: Frame, *, what: str, column: int = 0) -> pd.Series:
    """Return a column of `frame` as it stands, or `frame` itself when it is a Series already.

    Raises
    ------
    DataError
        When it is neither, or has no such column.
    """
    if isinstance(frame, pd.DataFrame):
        if not -frame.shape[1] <= column < frame.shape[1]:
            raise DataError(f"the {what} has {frame.shape[1]} columns, so there is none numbered {column}")
        return frame.iloc[:, column]
    if not isinstance(frame, pd.Series):
        raise DataError(f"the {what} is of type {type(frame).__name__}, and neither a DataFrame nor a Series")
    return frame


def build_day_panel(pred: Frame, label: Frame, *, date_col: str = "datetime") -> DayPanel:
    """Return `pred` with the `label` of each of its rows, NaN where there is none; other labels are left out.

    Raises
    ------
    DataError
        When an index has no level `date_col`, or names a row twice.
    """
    scores = take_column(pred, what="prediction")
    labels = take_column(label, what="label")
    for what, series in (("prediction", scores), ("label", labels)):
        if date_col not in series.index.names:
            raise DataError(f"the index of the {what} has the levels {list(series.index.names)} and no `{date_col}`")
        if not series.index.is_unique:
            twice = series.index[series.index.duplicated()][0]
            raise DataError(f"the {what} has the row {twice} more than once")
    if not labels.index.equals(scores.index):
        if set(labels.index.names) != set(scores.index.names):
            raise DataError(
                f"prediction and label are indexed by {list(scores.index.names)} and {list(labels.index.names)}"
            )
        if isinstance(labels.index, pd.MultiIndex) and labels.index.names != scores.index.names:
            labels = labels.reorder_levels([labels.index.names.index(name) for name in scores.index.names])
        labels = labels.reindex(scores.index)
    day, days = _codes(scores.index.get_level_values(date_col))
    order = np.argsort(day, kind="stable")
    return DayPanel(days=days, day=day[order], score=_floats(scores)[order], label=_floats(labels)[order])


def rank_by_day(day: NDArray[np.intp], values: _Floats) -> _Floats:
    """Return the rank of each value within its day, from 1; equal values share the mean of their ranks.

    `day` must be sorted and `values` without NaN. Equal to ``scipy.stats.rankdata`` of every day on its own.
    """
    low, high = find_places(day, values)
    return (low + high - 1) / 2.0 + 1.0


def standardise_by_day(day: NDArray[np.intp], values: _Floats) -> _Floats:
    """Return the z-score of each value within its day (``ddof=1``), 0 on a day without two different ones; NaN stays.

    `day` must be sorted.
    """
    if not len(values):
        return values
    first = find_first_rows(day)
    sizes = np.diff(first, append=len(day))
    known = ~np.isnan(values)
    counts = np.add.reduceat(known, first, dtype=np.intp)
    means = np.add.reduceat(np.where(known, values, 0.0), first) / np.maximum(counts, 1)
    centred = values - np.repeat(means, sizes)
    squares = np.add.reduceat(np.where(known, centred * centred, 0.0), first)
    # A mean of equal values may be off by a bit, which must not look like a difference.
    varied = np.fmax.reduceat(values, first) > np.fmin.reduceat(values, first)
    deviation = np.sqrt(squares / np.maximum(counts - 1, 1))
    scale = np.divide(1.0, deviation, out=np.zeros(len(first)), where=varied & (deviation > 0))
    centred *= np.repeat(scale, sizes)
    return centred


def share_places(day: NDArray[np.intp], values: _Floats, start: NDArray[np.intp], stop: NDArray[np.intp]) -> _Floats:
    """Return how much of each row falls on the places from `start` to before `stop` of its day, ascending, from 0.

    A value that no other equals has a place of its own: the answer is 1 or 0. Values that are equal share the places
    they take up between them: of three on the places 1 to 3, a third of each falls on place 2. So nothing depends on
    the order of the rows. `day` must be sorted and `values` without NaN; `start` and `stop` are given for each day.
    """
    return share_found_places(day, find_places(day, values), start, stop)


def share_found_places(
    day: NDArray[np.intp], places: Places, start: NDArray[np.intp], stop: NDArray[np.intp]
) -> _Floats:
    """Return what `share_places` does of rows whose `places` are known: they are the costly part of it."""
    low, high = places
    overlap = np.minimum(high, stop[day]) - np.maximum(low, start[day])
    shares: _Floats = np.maximum(overlap, 0) / np.maximum(high - low, 1)
    return shares


def find_places(day: NDArray[np.intp], values: _Floats) -> Places:
    """Return the first place that a row and its equals take up within their day, from 0, and one past the last.

    `day` must be sorted and `values` without NaN.

    Days are sorted side by side, as lines of a matrix: ten times faster than sorting all rows by day and value. Days
    of very different length do not share a matrix, so that at most half of one is padding.
    """
    low, high = np.empty(len(values), dtype=np.intp), np.empty(len(values), dtype=np.intp)
    first = find_first_rows(day)
    counts = np.diff(first, append=len(values))
    powers = np.frexp(counts)[1]
    for power in np.unique(powers):
        lines = np.flatnonzero(powers == power)
        size = max(1, _CELLS >> int(power))
        for begin in range(0, len(lines), size):
            part = lines[begin : begin + size]
            rows = _find_rows(first, counts, part)
            low[rows], high[rows] = _find_places_beside(values[rows], counts[part])
    return low, high


def _find_rows(first: NDArray[np.intp], counts: NDArray[np.intp], days: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return the rows of some days in order; of days that follow each other they are one slice."""
    if days[-1] - days[0] + 1 == len(days):
        return slice(first[days[0]], first[days[-1]] + counts[days[-1]])
    own = counts[days]
    ends = np.add.accumulate(own, dtype=np.intp)
    return np.arange(ends[-1], dtype=np.intp) + np.repeat(first[days] - (ends - own), own)


def _find_places_beside(values: _Floats, counts: NDArray[np.intp]) -> Places:
    """Return the places of rows, of which each day has so many as `counts` says, one day after the other."""
    columns = np.arange(counts.max())
    shape = (len(counts), len(columns))
    inside = columns < counts[:, None]
    is_full = len(values) == inside.size
    if is_full:
        matrix = values.reshape(shape)
    else:  # padding stands after every number, and among infinities
        matrix = np.full(shape, np.inf)
        matrix[inside] = values
    cells = np.argsort(matrix, axis=1)
    cells += np.arange(0, inside.size, len(columns))[:, None]
    ranked = matrix.reshape(-1).take(cells)
    is_equal = ranked[:, 1:] == ranked[:, :-1]
    if not is_full:
        is_equal &= inside[:, 1:]
    place = np.empty(shape, dtype=np.intp)
    is_padding_last = is_full or not np.isposinf(ranked[np.arange(len(counts)), counts - 1]).any()
    if is_padding_last and not is_equal.any():
        place.reshape(-1)[cells] = columns
        low = place.reshape(-1) if is_full else place[inside]
        return low, low + 1
    starts = np.ones(
        (len(counts), len(columns) + 1), dtype=np.bool_
    )  # a tie starts at this place; one starts after all
    np.not_equal(ranked[:, 1:], ranked[:, :-1], out=starts[:, 1:-1])
    begin = np.maximum.accumulate(np.where(starts[:, :-1], columns, 0), axis=1)
    end = np.where(starts[:, 1:], columns + 1, len(columns))
    end = np.minimum.accumulate(end[:, ::-1], axis=1)[:, ::-1]
    place.reshape(-1)[cells] = begin
    low = place[inside]
    place.reshape(-1)[cells] = np.minimum(end, counts[:, None])
    return low, place[inside]


def find_first_rows(day: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the row at which each day begins that has one; `day` must be sorted."""
    return np.flatnonzero(np.concatenate([np.ones(min(len(day), 1), dtype=np.bool_), day[1:] != day[:-1]]))


def number_days(day: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row at which each day begins that has one, and for each row the place of its day among these."""
    first = find_first_rows(day)
    return first, np.repeat(np.arange(len(first)), np.diff(first, append=len(day)))


def share_replaced(held: _Floats) -> _Floats:
    """Return the share of what is held on each day that was not held the day before; NaN on the first, and of nothing.

    `held` [days, names] is how much of each name is held; what counts is by how much that rose.
    """
    shares = np.full(len(held), np.nan)
    size = held[1:].sum(axis=1)
    rise = np.maximum(held[1:] - held[:-1], 0.0).sum(axis=1)
    np.divide(rise, size, out=shares[1:], where=size > 0)
    return shares


def find_varied_days(day: NDArray[np.intp], values: _Floats, days: int) -> NDArray[np.bool_]:
    """Return which days have two different values; rounding in a mean must not make equal values look different."""
    first = np.zeros(days)
    first[day[::-1]] = values[::-1]
    return np.bincount(day[values != first[day]], minlength=days) > 0


def correlate_rows(day: NDArray[np.intp], x: _Floats, y: _Floats, days: int) -> _Floats:
    """Return the correlation of `x` and `y` within each of the `days`; NaN where there are no two different values.

    `day` must be sorted, `x` and `y` without NaN. An infinite value makes its day NaN.
    """
    result = np.full(days, np.nan)
    if not len(day):
        return result
    first = find_first_rows(day)
    sizes = np.diff(first, append=len(day))
    with np.errstate(invalid="ignore", over="ignore"):
        x, x_squares, x_varied = _centre(x, first, sizes)
        y, y_squares, y_varied = _centre(y, first, sizes)
        xy = np.add.reduceat(x * y, first)
        scale = np.sqrt(x_squares) * np.sqrt(y_squares)
        known = x_varied & y_varied & (scale > 0)
        found = np.divide(xy, scale, out=np.full(len(first), np.nan), where=known)
    result[day[first]] = np.clip(found, -1.0, 1.0)  # rounding may reach beyond 1 by a bit
    return result


def _centre(
    values: _Floats, first: NDArray[np.intp], sizes: NDArray[np.intp]
) -> tuple[_Floats, _Floats, NDArray[np.bool_]]:
    """Return values from their day's mean on, the sum of their squares by day, and which days have different values.

    A mean of equal values may be off by rounding, which must not look like a difference: where squares are no larger
    than that, values are compared. An infinite value is not found out about.
    """
    means = np.add.reduceat(values, first) / sizes
    centred = values - np.repeat(means, sizes)
    squares = np.add.reduceat(centred * centred, first)
    rounding = 8 * np.finfo(np.float64).eps * sizes * np.abs(means)
    varied = ~(squares <= sizes * rounding * rounding)
    if not varied.all():
        varied = np.maximum.reduceat(values, first) > np.minimum.reduceat(values, first)
    return centred, squares, varied


def average_by_day(day: NDArray[np.intp], values: _Floats, days: int, weights: _Floats | None = None) -> _Floats:
    """Return the mean of each day's values that are not NaN, weighted if asked; NaN for a day without one."""
    known = ~np.isnan(values)
    if weights is not None:
        known &= weights > 0
    weight = np.ones(int(known.sum())) if weights is None else weights[known]
    sums = np.bincount(day[known], weights=values[known] * weight, minlength=days)
    totals = np.bincount(day[known], weights=weight, minlength=days)
    means = np.full(days, np.nan)
    np.divide(sums, totals, out=means, where=totals > 0)
    return means


def _codes(dates: pd.Index) -> tuple[NDArray[np.intp], pd.Index]:
    codes, days = pd.factorize(dates, sort=True)
    if (codes < 0).any():
        raise DataError("the prediction has rows without a date")
    return np.asarray(codes, dtype=np.intp), pd.Index(days, name=dates.name)


def _floats(series: pd.Series) -> _Floats:
    values: NDArray[Any] = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
