"""Expanding windows, which start at the listing day (``N = 0``), and exponentially weighted means.

Sums, moments and trends (`Expanding`):

1. The first valid value of each series is the anchor. Differences from it replace the values, so that the sums of
   squares do not cancel when prices are large and move little.
2. Row numbers count from the first valid row.
3. Cumulative sums of the powers of the differences, and of their products with the row number, give all moments.
4. The central sums follow from the binomial expansion around the mean.

Since every sum starts at the first valid row of its series, a value depends on its own past only, however the range is
cut: such plans are evaluated on the whole past. Cost: one pass per sum.

Quantiles and ranks insert each value into a sorted list, in a Python loop over rows and columns (`by_column`): slow for
long histories. Mean distances and the EMA with ``N = 0`` look at the whole past again on every row, as Qlib defines
them: their cost is quadratic in the number of sessions.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.moments import Mask
from rollwright.expression.quantiles import Quantile

__all__ = ["Expanding", "by_column", "exponential_mean"]

_Floats: TypeAlias = NDArray[np.float64]
FEW_COLUMNS: Final = 64
"""Up to so many columns a Python loop over cells is faster than a loop over rows with vectors."""


class Expanding:
    """Moments of one input from its first valid row to each row.

    Parameters
    ----------
    values : float64 [rows, columns]
        Zero where `mask` has no value.
    """

    def __init__(self, values: _Floats, mask: Mask) -> None:
        self.valid = np.ones(values.shape, np.bool_) if mask is None else mask
        self.size: _Floats = np.cumsum(self.valid, axis=0, dtype=np.float64)
        first = self.valid.argmax(axis=0)
        self.anchor = np.take_along_axis(values, first[None, :], axis=0)
        self.centred = np.where(self.valid, values - self.anchor, 0.0)
        self.place = np.where(self.valid, np.arange(len(values))[:, None] - first, 0.0)
        self.total = np.cumsum(values, axis=0)

    def blank(self, values: _Floats) -> _Floats:
        """Return `values` with NaN before the first valid row."""
        return np.where(self.size > 0, values, np.nan)

    def freedom(self) -> _Floats:
        """Return the degrees of freedom: the number of values less one, and 0 without values (0 / 0 gives NaN)."""
        return np.maximum(self.size - 1.0, 0.0)

    def mean(self) -> _Floats:
        """Return the means."""
        mean: _Floats = self.anchor + np.cumsum(self.centred, axis=0) / self.size
        return mean

    def central(self, power: int) -> _Floats:
        """Return the sums of the second, third or fourth power of the distances from the mean (binomial expansion)."""
        first, second = (np.cumsum(self.centred**exponent, axis=0) for exponent in (1, 2))
        mean = first / self.size
        if power == 2:
            return np.maximum(second - first * mean, 0.0)
        third = np.cumsum(self.centred**3, axis=0)
        if power == 3:
            cubes: _Floats = third - 3 * mean * second + 2 * self.size * mean**3
            return cubes
        fourth: _Floats = np.cumsum(self.centred**4, axis=0) - 4 * mean * third
        fourth += 6 * mean**2 * second - 3 * self.size * mean**4
        return fourth

    def trend(self) -> tuple[_Floats, _Floats, _Floats]:
        """Return the sums of products with time, of squared time, and the distance of each row from the mean time."""
        place, size = self.place, self.size
        places = np.cumsum(place, axis=0)
        products = np.cumsum(place * self.centred, axis=0) - places * np.cumsum(self.centred, axis=0) / size
        spread = np.cumsum(place * place, axis=0) - places * places / size
        return products, spread, place - places / size

    def product(self, other: Expanding) -> _Floats:
        """Return the sums of products of the distances from the mean of two inputs valid on the same rows."""
        cross = np.cumsum(self.centred * other.centred, axis=0)
        product: _Floats = cross - np.cumsum(self.centred, axis=0) * np.cumsum(other.centred, axis=0) / self.size
        return product


def exponential_mean(values: _Floats, mask: Mask, alpha: float) -> _Floats:
    """Return the exponentially weighted mean: the weight of a value is multiplied by ``1 - alpha`` each row.

    As pandas' ``ewm(alpha, adjust=True, ignore_na=False).mean()``. Row by row, for all columns at a time or, where they
    are few, column by column with the same operations:

    1. The weight of all values so far is multiplied by ``1 - alpha``, also on rows without a value.
    2. A valid value has the weight 1; the mean moves to the weighted mean of old mean and value.
    3. A value that equals the mean leaves it as it is: the weighted mean would differ by a rounding.
    """
    valid = np.ones(values.shape, np.bool_) if mask is None else mask
    if values.shape[1] <= FEW_COLUMNS:
        result = np.empty(values.shape)
        for column in range(values.shape[1]):
            result[:, column] = _exponential_means(values[:, column].tolist(), valid[:, column].tolist(), alpha)
        return result
    result = np.full(values.shape, np.nan)
    mean = np.zeros(values.shape[1])
    weight = np.zeros(values.shape[1])
    seen = np.zeros(values.shape[1], np.bool_)
    for row in range(len(values)):
        now = valid[row]
        weight = weight * (1.0 - alpha)
        moved = (weight * mean + values[row]) / (weight + 1.0)
        mean = np.where(now & (values[row] != mean), moved, mean)
        weight = np.where(now, weight + 1.0, weight)
        seen |= now
        result[row] = np.where(seen, mean, np.nan)
    return result


def _exponential_means(values: list[float], valid: list[bool], alpha: float) -> list[float]:
    result: list[float] = []
    mean = weight = 0.0
    seen = False
    for value, now in zip(values, valid, strict=True):
        weight *= 1.0 - alpha
        if now:
            if value != mean:
                mean = (weight * mean + value) / (weight + 1.0)
            weight += 1.0
            seen = True
        result.append(mean if seen else np.nan)
    return result


def running_extreme(values: NDArray[Any], *, largest: bool) -> _Floats:
    """Return the largest or smallest value so far; NaN is no value."""
    worst = -np.inf if largest else np.inf
    pick = np.maximum if largest else np.minimum
    extreme = pick.accumulate(np.where(np.isnan(values), worst, values).astype(np.float64), axis=0)
    return np.where(np.isinf(extreme), np.nan, extreme)


def running_place(
    values: NDArray[Any], gaps: NDArray[np.bool_], first_rows: NDArray[np.int64], *, largest: bool
) -> _Floats:
    """Return the place of the extreme value so far, from 1 at the listing day.

    1. A row is a new extreme where the running extreme changes; the last such row is its place.
    2. Once the series has a gap, the place is that of its first gap (see `extrema`, step 4).
    3. Row numbers become places counted from the listing day.
    """
    extreme = running_extreme(values, largest=largest)
    rows = np.arange(len(values))[:, None]
    before = np.vstack([np.full((1, values.shape[1]), np.nan), extreme[:-1]])
    is_new = np.isfinite(extreme) & ~(extreme == before)
    place = np.maximum.accumulate(np.where(is_new, rows, -1), axis=0)
    gap = np.maximum.accumulate(gaps, axis=0)
    place = np.where(gap, np.where(gaps.any(axis=0), gaps.argmax(axis=0), 0), place)
    return np.where(np.isnan(extreme), np.nan, place - first_rows + 1)


def by_column(values: NDArray[Any], answer: Callable[[list[float], float], float]) -> _Floats:
    """Return ``answer(sorted values so far, latest value)`` row by row; NaN is no value and is not inserted."""
    result = np.full(values.shape, np.nan)
    for column in range(values.shape[1]):
        past: list[float] = []
        for row, value in enumerate(values[:, column].tolist()):
            is_valid = value == value  # noqa: PLR0124 - NaN is what differs from itself
            if is_valid:
                bisect.insort(past, value)
            if past:
                result[row, column] = answer(past, value)
    return result


def rank_so_far(past: list[float], value: float) -> float:
    """Return the average rank of `value` among the sorted `past`, divided by their number; NaN for NaN."""
    if value != value:  # noqa: PLR0124 - NaN is what differs from itself
        return float("nan")
    return (bisect.bisect_left(past, value) + bisect.bisect_right(past, value) + 1) / 2 / len(past)


def order_statistic(quantile: Quantile) -> Callable[[list[float], float], float]:
    """Return the function for `by_column` that picks a quantile."""

    def answer(past: list[float], _value: float) -> float:
        low, high, part = quantile.ranks(np.float64(len(past)))
        return float(quantile.between(np.float64(past[low]), np.float64(past[high]), part))

    return answer


def mean_distance(past: list[float], _value: float) -> float:
    """Return the mean absolute distance of the values so far from their mean."""
    values = np.array(past)
    return float(np.abs(values - values.mean()).mean())


def decaying_mean(values: _Floats, mask: Mask, first_rows: NDArray[np.int64]) -> _Floats:
    """Return Qlib's ``EMA`` with ``N = 0``: the decay depends on the number of rows so far; missing values are 0."""
    valid = np.ones(values.shape, np.bool_) if mask is None else mask
    result = np.full(values.shape, np.nan)
    for column in range(values.shape[1]):
        first = max(int(first_rows[column]), 0)
        for row in range(first, len(values)):
            length = row - first + 1
            weights = (1.0 - 2.0 / (1.0 + length)) ** np.arange(length)[::-1]
            if valid[first : row + 1, column].any():
                result[row, column] = (weights / weights.sum() * values[first : row + 1, column]).sum()
    return result
