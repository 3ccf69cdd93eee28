"""Counts, means, squares and products of windows, by merging pairs of windows.

The update is the one for the moments of a union of two samples: the parts' central sums plus a term of the difference
of their means. Nothing is subtracted that is nearly equal, so no anchor is needed, a flat window has exactly zero
variance, and a value depends on its own rows only. Rows without a value weigh zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.ladder import Ladder, newer, older

__all__ = ["Counts", "CrossMoments", "Mask", "Moments", "Side", "Sums", "kurtosis", "skewness"]

Mask: TypeAlias = NDArray[np.bool_] | None
"""Which rows have a value; None when all have."""

_Floats: TypeAlias = NDArray[np.float64]
_FloatsOrOne: TypeAlias = NDArray[np.float64] | np.float64


class _Count(NamedTuple):
    size: _FloatsOrOne
    share: _FloatsOrOne  # of the newer part
    joint: _FloatsOrOne  # size of the older part times `share`


class _Position(NamedTuple):
    mean: _FloatsOrOne  # mean row of the valid rows, counted from the window's last
    gap: _FloatsOrOne  # mean of the newer part minus mean of the older
    spread: _FloatsOrOne  # sum of squared distances from the mean


class _Moment(NamedTuple):
    mean: _Floats
    gap: _Floats
    square: _Floats


def weights(mask: Mask) -> _FloatsOrOne:
    """Return the weight of each row: 1 where it has a value."""
    return np.float64(1.0) if mask is None else mask.astype(np.float64)


class Counts:
    """Valid rows of every window under one mask, and where they lie; shared by all inputs with that mask.

    Without a mask every quantity is one scalar, computed by the same operations, so that a full window has the same
    bits either way.
    """

    __slots__ = ("__weakref__", "_positions", "_sizes", "mask")

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        zero = np.float64(0.0)
        self._sizes = Ladder(_Count(weights(mask), zero, zero))
        flat: _FloatsOrOne = zero if mask is None else np.zeros(mask.shape)
        self._positions = Ladder(_Position(flat, flat, flat))

    def size(self, window: int) -> _FloatsOrOne:
        """Return the number of valid rows."""
        return self._sizes.at(window, _merge_counts).size

    def freedom(self, window: int) -> _FloatsOrOne:
        """Return one less than the number of valid rows; 0 also when there is none, so that 0 / 0 follows."""
        return np.maximum(self._sizes.at(window, _merge_counts).size - 1.0, 0.0)

    def share(self, window: int) -> _FloatsOrOne:
        """Return the newer part's share of the valid rows."""
        return self._sizes.at(window, _merge_counts).share

    def joint(self, window: int) -> _FloatsOrOne:
        """Return the weight of the squared difference of the two parts' means."""
        return self._sizes.at(window, _merge_counts).joint

    def position(self, window: int) -> _Position:
        """Return where the valid rows lie."""
        return self._positions.at(window, self._merge_positions)

    def _merge_positions(self, first: _Position, second: _Position, a: int, b: int) -> _Position:
        count = self._sizes.at(a + b, _merge_counts)
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
    """Sums of every window of one input, invalid rows counting zero."""

    __slots__ = ("_sums", "counts")

    def __init__(self, values: _Floats, counts: Counts) -> None:
        self.counts = counts
        self._sums = Ladder(values)

    def total(self, window: int) -> _Floats:
        """Return the sums."""
        return self._sums.at(window, _add)


class Moments:
    """Mean, central squares and the products with time of every window of one input.

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
        self._deviations: dict[int, _Floats] = {}
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

    def deviation(self, window: int) -> _Floats:
        """Return the sample standard deviations (one degree of freedom); NaN below two valid rows."""
        deviation = self._deviations.get(window)
        if deviation is None:
            deviation = np.sqrt(self.square(window) / self.counts.freedom(window))
            self._deviations[window] = deviation
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
    """One input of `CrossMoments`: its moments, and how many of their rows at either end are not common to both."""

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
        """Return the central squares on the common rows."""
        return self._common(self.moments.square(window))

    def _common(self, rung: _Floats) -> _Floats:
        return rung[self.head : len(rung) - self.tail]


class CrossMoments:
    """Products of the central distances of two inputs that are valid on the same rows.

    Attributes
    ----------
    left, right : Side
    counts : Counts
    after : int
        Rows after the block's last that the rungs reach.
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
    """Return the sample skewness, from the central sums; NaN below three values and for flat windows."""
    size = np.where(np.asarray(size) >= 3, size, np.nan)
    value: _Floats = np.sqrt(size * (size - 1)) / (size - 2) * (cubes / size) / (squares / size) ** 1.5
    return value


def kurtosis(size: Any, squares: _Floats, fourths: _Floats) -> _Floats:
    """Return the sample excess kurtosis, from the central sums; NaN below four values and for flat windows."""
    size = np.where(np.asarray(size) >= 4, size, np.nan)
    peak = (size + 1) * size * fourths / squares**2
    value: _Floats = (size - 1) / ((size - 2) * (size - 3)) * (peak - 3 * (size - 1))
    return value
