"""Scores and labels as arrays of rows sorted by day and instrument, and how other columns are brought to these rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.panel import DayPanel, Frame, take_column
from rollwright.errors import DataError

__all__ = ["SignalPanel", "build_signal_panel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPanel:
    """Rows of (day, instrument, score, label), sorted by day and by instrument within it.

    The order of the rows that it was built from is gone, so that no figure can depend on it.

    Attributes
    ----------
    days, instruments : Index
        Each once, in order.
    day, instrument : int [rows]
        Place of the row's day in ``days`` and of its instrument in ``instruments``.
    score, label : float64 [rows]
        NaN where unknown.
    """

    days: pd.Index
    instruments: pd.Index
    day: NDArray[np.intp]
    instrument: NDArray[np.intp]
    score: NDArray[np.float64]
    label: NDArray[np.float64]

    def select(self, keep: NDArray[np.bool_]) -> SignalPanel:
        """Return the rows that `keep` marks; days and instruments stay, also those left without a row."""
        return replace(
            self,
            day=self.day[keep],
            instrument=self.instrument[keep],
            score=self.score[keep],
            label=self.label[keep],
        )

    def with_values(
        self, *, score: NDArray[np.float64] | None = None, label: NDArray[np.float64] | None = None
    ) -> SignalPanel:
        """Return the same rows with another score, another label, or both."""
        return replace(self, score=self.score if score is None else score, label=self.label if label is None else label)

    def to_day_panel(self) -> DayPanel:
        """Return the rows without their instruments."""
        return DayPanel(days=self.days, day=self.day, score=self.score, label=self.label)

    def find_spoilt_days(self) -> NDArray[np.bool_]:
        """Return which days have an infinite value in a row with both a score and a label: they have no IC either."""
        both = ~(np.isnan(self.score) | np.isnan(self.label))
        infinite = both & (np.isinf(self.score) | np.isinf(self.label))
        return np.bincount(self.day[infinite], minlength=len(self.days)) > 0

    def locate(self, index: pd.Index, *, what: str) -> NDArray[np.intp]:
        """Return for each row its place in `index`, -1 where it is not there.

        Parameters
        ----------
        index : Index
            By instrument, which stands for all days, or by (datetime, instrument) in either order.
        what : str
            What it indexes, for errors.

        Raises
        ------
        DataError
            When it has other levels, or names a row twice.
        """
        if not isinstance(index, pd.MultiIndex):
            if not index.is_unique:
                raise DataError(f"the {what} has the instrument {index[index.duplicated()][0]!r} more than once")
            return np.asarray(index.get_indexer(self.instruments), dtype=np.intp)[self.instrument]
        first, second = self.days.name, self.instruments.name
        if set(index.names) != {first, second}:
            raise DataError(
                f"the index of the {what} has the levels {list(index.names)}",
                hint=f"index it by `{second}`, or by `{first}` and `{second}`",
            )
        day, _ = _find_codes(index, str(first), self.days)
        instrument, _ = _find_codes(index, str(second), self.instruments)
        width = max(len(self.instruments), 1)
        rows = np.flatnonzero((day >= 0) & (instrument >= 0))
        keys = day[rows] * width + instrument[rows]
        if len(keys) > 1 and not (np.diff(keys) > 0).all():
            order = np.argsort(keys, kind="stable")
            rows, keys = rows[order], keys[order]
            same = np.flatnonzero(np.diff(keys) == 0)
            if len(same):
                raise DataError(f"the {what} has the row {index[rows[same[0]]]} more than once")
        wanted = self.day * width + self.instrument
        if len(keys) == len(wanted) and np.array_equal(keys, wanted):
            return rows
        place = np.searchsorted(keys, wanted)
        found = np.full(len(wanted), -1, dtype=np.intp)
        if len(keys):
            place = np.minimum(place, len(keys) - 1)
            hit = keys[place] == wanted
            found[hit] = rows[place[hit]]
        return found

    def take(self, values: Frame, *, what: str) -> NDArray[np.float64]:
        """Return the value of each row, NaN where `values` have none; `values` are indexed as `locate` says.

        Raises
        ------
        DataError
            As `locate` says, and when the values are no numbers.
        """
        column = take_column(values, what=what)
        found = self.locate(column.index, what=what)
        try:
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise DataError(f"the {what} holds values that are no numbers", hint="give numbers, or NaN") from error
        if not len(numbers):
            return np.full(len(found), np.nan)
        taken: NDArray[np.float64] = np.where(found >= 0, numbers[found], np.nan)
        return taken


def build_signal_panel(
    pred: Frame, label: Frame | None = None, *, date_col: str = "datetime", inst_col: str = "instrument"
) -> SignalPanel:
    """Return the rows of `pred` with the `label` of each, NaN where there is none; other labels are left out.

    .. warning:: **Look-ahead.** A label lies in the future of its day: what is computed of this panel judges a signal
       afterwards and must never become an input of the model it judges.

    Raises
    ------
    DataError
        When an index has other levels than `date_col` and `inst_col`, names a row twice or has one without a date.
    """
    scores = take_column(pred, what="prediction")
    index = scores.index
    if not isinstance(index, pd.MultiIndex) or set(index.names) != {date_col, inst_col}:
        raise DataError(
            f"the index of the prediction has the levels {list(index.names)}",
            hint=f"index it by `{date_col}` and `{inst_col}`",
        )
    day, days = _find_codes(index, date_col)
    instrument, instruments = _find_codes(index, inst_col)
    if (day < 0).any() or (instrument < 0).any():
        raise DataError("the prediction has rows without a date or without an instrument")
    values: NDArray[np.float64] = scores.to_numpy(dtype=np.float64, na_value=np.nan)
    keys = day * max(len(instruments), 1) + instrument
    if not (np.diff(keys) > 0).all():
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(np.diff(keys[order]) == 0)
        if len(same):
            raise DataError(f"the prediction has the row {index[order[same[0]]]} more than once")
        day, instrument, values = day[order], instrument[order], values[order]
    panel = SignalPanel(
        days=days,
        instruments=instruments,
        day=day,
        instrument=instrument,
        score=values,
        label=np.full(len(values), np.nan),
    )
    return panel if label is None else panel.with_values(label=panel.take(label, what="label"))


def _find_codes(index: pd.MultiIndex, name: str, known: pd.Index | None = None) -> tuple[NDArray[np.intp], pd.Index]:
    """Return for each row the place of its level `name` in `known`, or in its own sorted values; -1 if none."""
    level = index.names.index(name)
    codes = np.asarray(index.codes[level], dtype=np.intp)
    values = index.levels[level]
    if known is None:
        used = values[np.bincount(codes[codes >= 0], minlength=len(values)) > 0]
        known = used.unique().sort_values().rename(name)
    place = np.append(np.asarray(known.get_indexer(values), dtype=np.intp), -1)  # a row without a value has the code -1
    return place[codes], known
