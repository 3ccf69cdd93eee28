"""Scores and labels as arrays grouped by day, and computations over all days at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import DataError

__all__ = ["DayPanel", "Frame", "average_by_day", "build_day_panel", "rank_by_day", "take_column"]

Frame: TypeAlias = "pd.Series | pd.DataFrame"
_Floats: TypeAlias = NDArray[np.float64]


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
    """Return a column of `frame` as it stands, or `frame` itself when it is a Series already."""
    if isinstance(frame, pd.DataFrame):
        if not -frame.shape[1] <= column < frame.shape[1]:
            raise DataError(f"the {what} has {frame.shape[1]} columns, so there is none numbered {column}")
        return frame.iloc[:, column]
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
    count = len(values)
    if not count:
        return np.empty(0)
    order = np.lexsort((values, day))
    sorted_day, sorted_values = day[order], values[order]
    starts_day = np.concatenate([[True], sorted_day[1:] != sorted_day[:-1]])
    starts_tie = starts_day | np.concatenate([[True], sorted_values[1:] != sorted_values[:-1]])
    first_of_day = np.maximum.accumulate(np.where(starts_day, np.arange(count), 0))
    tie = np.cumsum(starts_tie) - 1
    first_of_tie = np.flatnonzero(starts_tie)
    last_of_tie = np.concatenate([first_of_tie[1:], [count]]) - 1
    mean_place = (first_of_tie + last_of_tie)[tie] / 2.0
    ranks = np.empty(count)
    ranks[order] = mean_place - first_of_day + 1.0
    return ranks


def average_by_day(day: NDArray[np.intp], values: _Floats, days: int) -> _Floats:
    """Return the mean of each day's values that are not NaN; NaN for a day without one."""
    known = ~np.isnan(values)
    sums = np.bincount(day[known], weights=values[known], minlength=days)
    counts = np.bincount(day[known], minlength=days)
    means = np.full(days, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _codes(dates: pd.Index) -> tuple[NDArray[np.intp], pd.Index]:
    codes, days = pd.factorize(dates, sort=True)
    if (codes < 0).any():
        raise DataError("the prediction has rows without a date")
    return np.asarray(codes, dtype=np.intp), pd.Index(days, name=dates.name)


def _floats(series: pd.Series) -> _Floats:
    values: NDArray[Any] = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
