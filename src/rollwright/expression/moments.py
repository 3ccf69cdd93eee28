"""Count, mean, variance, covariance and slope over time of sliding windows, by merging pairs of windows.

The method is the pairwise update of the moments of two samples (Chan, Golub and LeVeque, 1979), applied to the older
part ``A`` and the newer part ``B`` of a window (see `ladder`). With ``n`` valid rows, mean ``m`` and sum of squared
distances from the mean ``S`` of each part:

1. ``n = n_A + n_B``, and the share of the newer part ``h = n_B / n`` (0 where both are empty).
2. The distance of the two means ``d = m_B - m_A``.
3. The mean ``m = m_A + d h``.
4. The squares ``S = S_A + S_B + d^2 n_A h``: those within the parts, and what the distance of the parts adds.
5. A sum of products of two series, or of a series and the row number, is updated in the same way, with ``d_x d_y`` in
   place of ``d^2``.

Variance, correlation, slope and R-squared are quotients of these sums. Every term of step 4 is positive and no two
nearly equal numbers are subtracted: a window of equal values has a variance of exactly zero, and a value depends on
the rows of its own window only. Rows without a value have weight zero. Cost: a few vector operations per level.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.ladder import Ladder, after, newer, older

__all__ = ["Counts", "CrossMoments", "Mask", "Moments", "Side", "Sums", "kurtosis", "skewness"]

Mask: TypeAlias = NDArray[np.bool_] | None
"""Which rows have a value; None when all have."""

_Floats: TypeAlias = NDArray[np.float64]
_FloatsOrOne: TypeAlias = NDArray[np.float64] | np.float64


class _Count(NamedTuple):
    size: _FloatsOrOne  # valid rows: n
    share: _FloatsOrOne  # share of the newer part: h
    joint: _FloatsOrOne  # weight of the squared distance of the parts' means: n_A h


class _Position(NamedTuple):
    mean: _FloatsOrOne  # mean row number of the valid rows, counted from the last row of the window
    gap: _FloatsOrOne  # mean of the newer part minus mean of the older part
    spread: _FloatsOrOne  # sum of squared distances from the mean


class _Moment(NamedTuple):
    mean: _Floats
    gap: _Floats
    square: _Floats


def weights(mask: Mask) -> _FloatsOrOne:
    """Return the weight of each row: 1 where it has a value."""
    return np.float64(1.0) if mask is None else mask.astype(np.float64)


class Counts:
    """How many rows of every window are valid, and their mean row number; shared by all inputs with the same mask.

    Without a mask every quantity is one scalar. It is computed by the same operations, so that a full window gives the
    same bits with and without a mask.
    """

    __slots__ = ("__weakref__", "_empty", "_freedom", "_positions", "_sizes", "mask")

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        zero = np.float64(0.0)
        self._sizes = Ladder(_Count(weights(mask), zero, zero))
        self._empty: dict[int, Mask] = {}
        self._freedom: dict[tuple[int, int], _FloatsOrOne] = {}
        flat: _FloatsOrOne = zero if mask is None else np.zeros(mask.shape)
        self._positions = Ladder(_Position(flat, flat, flat))

    def size(self, window: int) -> _FloatsOrOne:
        """Return the number of valid rows."""
        return self._sizes.at(window, _merge_counts).size

    def freedom(self, window: int, skipped: int = 0) -> _FloatsOrOne:
        """Return the degrees of freedom: the number of valid rows less one, and 0 without rows (0 / 0 gives NaN)."""
        freedom = self._freedom.get((window, skipped))
        if freedom is None:
            freedom = self._freedom[window, skipped] = np.maximum(after(self.size(window), skipped) - 1.0, 0.0)
        return freedom

    def empty(self, window: int) -> Mask:
        """Return which windows have no valid row; None when all have one."""
        if self.mask is None:
            return None
        if window not in self._empty:
            empty = self.size(window) == 0
            self._empty[window] = empty if empty.any() else None
        return self._empty[window]

    def share(self, window: int) -> _FloatsOrOne:
        """Return the newer part's share of the valid rows."""
        return self._sizes.at(window, _merge_counts).share

    def joint(self, window: int) -> _FloatsOrOne:
        """Return the weight of the squared difference of the two parts' means."""
        return self._sizes.at(window, _merge_counts).joint

    def position(self, window: int) -> _Position:
        """Return the mean row number of the valid rows and its spread."""
        return self._positions.at(window, self._merge_positions)

    def _merge_positions(self, first: _Position, second: _Position, a: int, b: int) -> _Position:
        count = self._sizes.at(a + b, _merge_counts)
        # row numbers count from the last row of the window, which is b rows after that of the older part
        start: Any = older(first.mean, b) - b
        gap = newer(second.mean, a) - start
        mean = start + gap * count.share
        if self.mask is not None:
            np.copyto(mean, 0.0, where=count.size == 0)
        spread = older(first.spread, b) + newer(second.spread, a) + gap * gap * count.joint
        return _Position(mean, gap, spread)


def _merge_counts(first: _Count, second: _Count, a: int, b: int) -> _Count:
    left, right = older(first.size, b), newer(second.size, a)
    size = left + right
    share: _FloatsOrOne = np.divide(right, size)
    if isinstance(share, np.ndarray):
        np.copyto(share, 0.0, where=size == 0)
    return _Count(size, share, left * share)


def _add(first: _Floats, second: _Floats, a: int, b: int) -> _Floats:
    return older(first, b) + newer(second, a)


class Sums:
    """Sum of every window of one input; rows without a value count as zero."""

    __slots__ = ("_sums", "counts")

    def __init__(self, values: _Floats, counts: Counts) -> None:
        self.counts = counts
        self._sums = Ladder(values)

    def total(self, window: int) -> _Floats:
        """Return the sums."""
        return self._sums.at(window, _add)


class Moments:
    """Mean, sum of squared distances from it, and sum of products with time, of every window of one input.

    Parameters
    ----------
    values : float64 [rows, columns]
        Zero where `counts.mask` has no value.
    """

    __slots__ = ("_deviations", "_moments", "_trend", "counts", "values")

    def __init__(self, values: _Floats, counts: Counts) -> None:
        self.values = values
        self.counts = counts
        zero = np.zeros(values.shape)
        self._deviations: dict[tuple[int, int], _Floats] = {}
        self._moments = Ladder(_Moment(values, zero, zero))
        self._trend = Ladder(zero)

    def mean(self, window: int) -> _Floats:
        """Return the means; zero where no row is valid."""
        return self._moments.at(window, self._merge).mean

    def gap(self, window: int) -> _Floats:
        """Return the mean of the newer part minus that of the older."""
        return self._moments.at(window, self._merge).gap

    def square(self, window: int) -> _Floats:
        """Return the sums of squared distances from the mean."""
        return self._moments.at(window, self._merge).square

    def trend(self, window: int) -> _Floats:
        """Return the sums of products of the distances from the mean and from the mean row."""
        return self._trend.at(window, self._merge_trend)

    def deviation(self, window: int, skipped: int) -> _Floats:
        """Return the sample standard deviations (one degree of freedom); NaN below two valid rows."""
        deviation = self._deviations.get((window, skipped))
        if deviation is None:
            deviation = after(self.square(window), skipped) / self.counts.freedom(window, skipped)
            np.sqrt(deviation, out=deviation)
            self._deviations[window, skipped] = deviation
        return deviation

    def _merge(self, first: _Moment, second: _Moment, a: int, b: int) -> _Moment:
        window = a + b
        base = older(first.mean, b)
        gap = newer(second.mean, a) - base
        mean = gap * self.counts.share(window)
        mean += base
        square = gap * gap
        square *= self.counts.joint(window)
        square += older(first.square, b)
        square += newer(second.square, a)
        return _Moment(mean, gap, square)

    def _merge_trend(self, first: _Floats, second: _Floats, a: int, b: int) -> _Floats:
        window = a + b
        trend = self.gap(window) * self.counts.position(window).gap
        trend *= self.counts.joint(window)
        trend += older(first, b)
        trend += newer(second, a)
        return trend


class Side(NamedTuple):
    """One input of `CrossMoments`: its moments, and how many of its first and last rows the other input lacks."""

    moments: Moments
    head: int
    tail: int

    def mean(self, window: int) -> _Floats:
        """Return the means on the common rows."""
        return self._common(self.moments.mean(window))

    def gap(self, window: int) -> _Floats:
        """Return the gaps on the common rows."""
        return self._common(self.moments.gap(window))

    def square(self, window: int) -> _Floats:
        """Return the sums of squared distances from the mean on the common rows."""
        return self._common(self.moments.square(window))

    def _common(self, level: _Floats) -> _Floats:
        return level[self.head : len(level) - self.tail]


class CrossMoments:
    """Sums of products of the distances from the mean of two inputs that are valid on the same rows (co-moments).

    Attributes
    ----------
    left, right : Side
    counts : Counts
    after : int
        How many rows after the last row of the block the levels have.
    """

    __slots__ = ("_products", "after", "counts", "left", "right")

    def __init__(self, left: Side, right: Side, counts: Counts, *, after: int) -> None:
        self.left = left
        self.right = right
        self.counts = counts
        self.after = after
        shape = left.moments.values.shape
        self._products = Ladder(np.zeros((shape[0] - left.head - left.tail, shape[1])))

    def product(self, window: int) -> _Floats:
        """Return the sums of products."""
        return self._products.at(window, self._merge)

    def _merge(self, first: _Floats, second: _Floats, a: int, b: int) -> _Floats:
        window = a + b
        product = self.left.gap(window) * self.right.gap(window)
        product *= self.counts.joint(window)
        product += older(first, b)
        product += newer(second, a)
        return product


def skewness(size: Any, squares: _Floats, cubes: _Floats) -> _Floats:
    """Return the sample skewness (bias corrected, as pandas has it); NaN below three values and for constant windows.

    Parameters
    ----------
    size : float or array
        Number of values.
    squares, cubes : array
        Sums of the second and third powers of the distances from the mean.
    """
    size = np.where(np.asarray(size) >= 3, size, np.nan)
    value: _Floats = np.sqrt(size * (size - 1)) / (size - 2) * (cubes / size) / (squares / size) ** 1.5
    return value


def kurtosis(size: Any, squares: _Floats, fourths: _Floats) -> _Floats:
    """Return the sample excess kurtosis (bias corrected, as in pandas); NaN below four values and for constant windows.

    Parameters
    ----------
    size : float or array
        Number of values.
    squares, fourths : array
        Sums of the second and fourth powers of the distances from the mean.
    """
    size = np.where(np.asarray(size) >= 4, size, np.nan)
    peak = (size + 1) * size * fourths / squares**2
    value: _Floats = (size - 1) / ((size - 2) * (size - 3)) * (peak - 3 * (size - 1))
    return value
