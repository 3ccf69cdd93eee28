"""What is left of values after what columns explain of them within each day, by least squares over all days at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.analysis.panel import number_days

__all__ = ["take_residuals"]

_Floats = NDArray[np.float64]
_CELLS: Final = 1 << 18  # of the matrices that are decomposed at once
_SINGULAR: Final = 1e-8  # of the largest singular value: what is below it is a combination of the other columns
_NOTHING: Final = 1e-8  # of a day's deviation: a smaller remainder is rounding, and no signal
_GRAIN: Final = 1e-13  # of a day's deviation: what residuals are rounded to


def take_residuals(
    day: NDArray[np.intp], values: _Floats, columns: _Floats, *, group: NDArray[np.intp] | None = None
) -> _Floats:
    """Return the residuals of the regression, on each day, of `values` on a constant and `columns`.

    Columns that are combinations of others change nothing (the solution of least norm), and a day that the columns
    explain wholly has residuals of exactly 0, not of rounding errors that would look like a signal. Residuals are
    rounded to 1e-13 of the day's deviation, so that no rounding error tells equal ones apart in a rank.

    Parameters
    ----------
    day : int [rows]
        Sorted.
    values : float64 [rows]
        Finite.
    columns : float64 [rows, K]
        Finite.
    group : int [rows], optional
        A constant of its own for each group of a day, in place of one for the day: as a dummy variable for each, which
        takes the mean of the group on that day from all (Frisch and Waugh, 1933; Lovell, 1963).

    Returns
    -------
    float64 [rows]
    """
    if not len(values):
        return values.copy()
    first, cell = number_days(day)
    sizes = np.diff(first, append=len(day))
    spread = _measure(_demean(cell, values), first)
    if group is not None:
        cell = cell * (int(group.max()) + 1) + group
    left = _demean(cell, values)
    if columns.shape[1]:
        left = _project_out(left, np.column_stack([_demean(cell, column) for column in columns.T]), first, sizes)
    left[np.repeat(_measure(left, first) <= _NOTHING * spread, sizes)] = 0.0
    unit = np.repeat(_GRAIN * np.where(spread > 0, spread, 1.0), sizes)
    rounded: _Floats = np.round(left / unit) * unit
    return rounded


def _project_out(left: _Floats, columns: _Floats, first: NDArray[np.intp], sizes: NDArray[np.intp]) -> _Floats:
    """Return `left` less its projection on the columns of each day.

    Days are decomposed side by side, padded with rows of zeros: ``A = QR``, and ``R = U S V'`` tells which directions
    of ``QU`` there are.
    """
    width = columns.shape[1]
    lengths = np.sqrt(np.add.reduceat(columns * columns, first, axis=0))
    scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    columns = columns * np.repeat(scale, sizes, axis=0)
    result = left.copy()
    order = np.argsort(sizes, kind="stable")  # days of a like size are padded together
    begin = 0
    while begin < len(order):
        step = max(1, _CELLS // (int(sizes[order[begin]]) * width + 1))
        days = order[begin : begin + step]
        begin += step
        tall = max(int(sizes[days].max()), width)
        inside = np.arange(tall) < sizes[days][:, None]
        rows = (first[days][:, None] + np.arange(tall))[inside]
        matrix = np.zeros((len(days), tall, width))
        matrix[inside] = columns[rows]
        target = np.zeros((len(days), tall, 1))
        target[inside, 0] = left[rows]
        q, r = np.linalg.qr(matrix)
        u, singular, _ = np.linalg.svd(r)
        kept = singular > _SINGULAR * np.maximum(singular[:, :1], np.finfo(np.float64).tiny)
        basis = (q @ u) * kept[:, None, :]
        result[rows] = (target - basis @ (np.swapaxes(basis, 1, 2) @ target))[inside, 0]
    return result


def _demean(cell: NDArray[np.intp], values: _Floats) -> _Floats:
    counts = np.bincount(cell)
    sums = np.bincount(cell, weights=values)
    centred: _Floats = values - (sums / np.maximum(counts, 1))[cell]
    # Equal values may differ from their mean by a bit: what is only that is nothing.
    centred[np.abs(centred) <= 1e-14 * np.abs(values)] = 0.0
    return centred


def _measure(values: _Floats, first: NDArray[np.intp]) -> _Floats:
    squares: _Floats = np.sqrt(np.add.reduceat(values * values, first))
    return squares
