"""Largest and smallest value of sliding windows, and where in the window it stands (Max, Min, IdxMax, IdxMin).

1. Rows without a value become minus infinity (for a minimum: plus infinity), so that they never win.
2. The extreme value of a window is the larger (smaller) of those of its older and newer part: a ladder of vector
   maxima. About ``log2(w)`` operations per window width, none of which rounds.
3. For the place a second ladder carries the row number beside the value. Of equal values the older row wins, as in
   NumPy's ``argmax``.
4. Where a window holds a row of the series without a value, its place is that of the first such row: NumPy's ``argmax``
   finds the first NaN, and so Qlib's IdxMax and IdxMin do.
5. The row number becomes a place counted from 1 at the first row of the window, or of the series if that is later.
"""

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
        Which of the missing rows lie within the series (step 4).
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
        left, right = older(first.value, b), newer(second.value, a)
        keep = left >= right if self._largest else left <= right  # of equal values the older row is the place
        return _Placed(
            self._pick(first.value, second.value, a, b), np.where(keep, older(first.row, b), newer(second.row, a))
        )

    def value(self, window: int, skipped: int) -> NDArray[np.float64]:
        """Return the extreme value of each window but the first `skipped`; NaN for windows without any value."""
        values = self._values.at(window, self._pick)[skipped:].astype(np.float64)
        if self._missing:
            np.copyto(values, np.nan, where=np.isinf(values))
        return values

    def place(self, window: int, skipped: int, first_rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the place of the extreme value, counted from 1 at the window's first row of the series.

        Parameters
        ----------
        window : int
        skipped : int
            How many of the first windows are left out.
        first_rows : int64 [columns]
            The row at which each series starts.
        """
        placed = self._placed.at(window, self._merge)
        stop = len(placed.row)
        rows = placed.row[skipped:]
        starts = np.arange(skipped, stop)[:, None]
        if self._missing and self._gaps.any():
            gap = self._gap_after()[skipped:stop]
            rows = np.where(gap < starts + window, gap, rows)
        if first_rows.max(initial=0) > 0:
            starts = np.maximum(starts, first_rows[None, :])
        places = (rows - starts + 1).astype(np.float64)
        if self._missing:
            np.copyto(places, np.nan, where=np.isinf(placed.value[skipped:]))
        return places

    def _gap_after(self) -> NDArray[np.int32]:
        """Return for each row the first row at or after it that is a gap."""
        if self._next_gap is None:
            count = len(self._gaps)
            rows = np.arange(count, dtype=np.int32)[:, None]
            nearest = np.where(self._gaps, rows, np.int32(np.iinfo(np.int32).max))
            self._next_gap = np.minimum.accumulate(nearest[::-1], axis=0)[::-1]
        return self._next_gap
