"""Largest and smallest values of windows, and their places."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.ladder import Ladder, newer, older

__all__ = ["Extrema"]

_Values: TypeAlias = NDArray[Any]


class _Placed(NamedTuple):
    value: _Values
    row: NDArray[np.int32]


class Extrema:
    """Maxima or minima of every window of one input.

    Parameters
    ----------
    values : float [rows, columns]
        NaN where there is no value.
    missing : bool [rows, columns]
        Where `values` is NaN.
    gaps : bool [rows, columns]
        Which of the missing rows belong to the series. A window's place is that of its first gap, when it has one.
    """

    __slots__ = ("_gaps", "_largest", "_missing", "_next_gap", "_placed", "_values")

    def __init__(self, values: _Values, missing: NDArray[np.bool_], *, gaps: NDArray[np.bool_], largest: bool) -> None:
        self._largest = largest
        self._missing = missing.any()
        worst = values.dtype.type(-np.inf if largest else np.inf)
        filled = np.where(missing, worst, values) if self._missing else values
        self._values = Ladder(filled)
        rows = np.broadcast_to(np.arange(len(values), dtype=np.int32)[:, None], values.shape)
        self._placed = Ladder(_Placed(filled, rows))
        self._gaps = gaps
        self._next_gap: NDArray[np.int32] | None = None

    def _pick(self, first: _Values, second: _Values, a: int, b: int) -> _Values:
        left, right = older(first, b), newer(second, a)
        picked: _Values = np.maximum(left, right) if self._largest else np.minimum(left, right)
        return picked

    def _merge(self, first: _Placed, second: _Placed, a: int, b: int) -> _Placed:
        # of equal values the older one is the place
        left, right = older(first.value, b), newer(second.value, a)
        keep = left >= right if self._largest else left <= right
        return _Placed(
            self._pick(first.value, second.value, a, b), np.where(keep, older(first.row, b), newer(second.row, a))
        )

    def value(self, window: int) -> NDArray[np.float64]:
        """Return the extreme values; NaN for windows without any."""
        values = self._values.at(window, self._pick).astype(np.float64)
        if self._missing:
            np.copyto(values, np.nan, where=np.isinf(values))
        return values

    def place(self, window: int, first_rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the place of the extreme value, counted from 1 at the window's first row of the series.

        Parameters
        ----------
        first_rows : int64 [columns]
            The row at which each series starts.
        """
        placed = self._placed.at(window, self._merge)
        rows = placed.row
        starts = np.arange(len(rows))[:, None]
        if self._missing and self._gaps.any():
            gap = self._gap_after()[: len(rows)]
            rows = np.where(gap < starts + window, gap, rows)
        if first_rows.max(initial=0) > 0:
            starts = np.maximum(starts, first_rows[None, :])
        places = (rows - starts + 1).astype(np.float64)
        if self._missing:
            np.copyto(places, np.nan, where=np.isinf(placed.value))
        return places

    def _gap_after(self) -> NDArray[np.int32]:
        """Return for each row the first gap at or after it."""
        if self._next_gap is None:
            count = len(self._gaps)
            rows = np.arange(count, dtype=np.int32)[:, None]
            nearest = np.where(self._gaps, rows, np.int32(np.iinfo(np.int32).max))
            self._next_gap = np.minimum.accumulate(nearest[::-1], axis=0)[::-1]
        return self._next_gap
