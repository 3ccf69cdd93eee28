"""Windows that start at the listing day: ``N = 0``, and exponential weights.

Sums run from a series' first value on, around that value: it lies within every window, so the squares never cancel,
and a value depends on nothing but its own past.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.moments import Mask
from rollwright.expression.quantiles import Level

__all__ = ["Expanding", "by_column", "exponential_mean"]

_Floats: TypeAlias = NDArray[np.float64]


class Expanding:
    """Moments of one input, or of two, from the first valid row on.

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
        """Return one less than the number of values; 0 also when there is none, so that 0 / 0 follows."""
        return np.maximum(self.size - 1.0, 0.0)

    def mean(self) -> _Floats:
        """Return the means."""
        mean: _Floats = self.anchor + np.cumsum(self.centred, axis=0) / self.size
        return mean

    def central(self, power: int) -> _Floats:
        """Return the sums of the second, third or fourth power of the distances from the mean."""
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
        """Return the products with time, the spread of time, and today's distance from the mean time."""
        place, size = self.place, self.size
        places = np.cumsum(place, axis=0)
        products = np.cumsum(place * self.centred, axis=0) - places * np.cumsum(self.centred, axis=0) / size
        spread = np.cumsum(place * place, axis=0) - places * places / size
        return products, spread, place - places / size

    def product(self, other: Expanding) -> _Floats:
        """Return the sums of products of the central distances of two inputs valid on the same rows."""
        cross = np.cumsum(self.centred * other.centred, axis=0)
        product: _Floats = cross - np.cumsum(self.centred, axis=0) * np.cumsum(other.centred, axis=0) / self.size
        return product


def exponential_mean(values: _Floats, mask: Mask, alpha: float) -> _Floats:
    """Return the mean with weights that fall by ``1 - alpha`` a row, missing rows included, from the first value on."""
    valid = np.ones(values.shape, np.bool_) if mask is None else mask
    result = np.full(values.shape, np.nan)
    mean = np.zeros(values.shape[1])
    weight = np.zeros(values.shape[1])
    seen = np.zeros(values.shape[1], np.bool_)
    for row in range(len(values)):
        now = valid[row]
        weight = weight * (1.0 - alpha)
        # equal values stay equal: their weighted mean would be off by a rounding
        moved = (weight * mean + values[row]) / (weight + 1.0)
        mean = np.where(now & (values[row] != mean), moved, mean)
        weight = np.where(now, weight + 1.0, weight)
        seen |= now
        result[row] = np.where(seen, mean, np.nan)
    return result


def running_extreme(values: NDArray[Any], *, largest: bool) -> _Floats:
    """Return the largest or smallest value so far of `values`, NaN being none."""
    worst = -np.inf if largest else np.inf
    pick = np.maximum if largest else np.minimum
    extreme = pick.accumulate(np.where(np.isnan(values), worst, values).astype(np.float64), axis=0)
    return np.where(np.isinf(extreme), np.nan, extreme)


def running_place(
    values: NDArray[Any], gaps: NDArray[np.bool_], first_rows: NDArray[np.int64], *, largest: bool
) -> _Floats:
    """Return where since the listing day, from 1, the extreme value stands; the first gap's place once there is one."""
    extreme = running_extreme(values, largest=largest)
    rows = np.arange(len(values))[:, None]
    before = np.vstack([np.full((1, values.shape[1]), np.nan), extreme[:-1]])
    is_new = np.isfinite(extreme) & ~(extreme == before)
    place = np.maximum.accumulate(np.where(is_new, rows, -1), axis=0)
    gap = np.maximum.accumulate(gaps, axis=0)
    place = np.where(gap, np.where(gaps.any(axis=0), gaps.argmax(axis=0), 0), place)
    return np.where(np.isnan(extreme), np.nan, place - first_rows + 1)


def by_column(values: NDArray[Any], answer: Callable[[list[float], float], float]) -> _Floats:
    """Return what `answer` says of the sorted values so far and the latest, row by row; NaN being no value."""
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
    """Return the average rank of `value` among the sorted `past`, as a share; NaN when it is no value."""
    if value != value:  # noqa: PLR0124 - NaN is what differs from itself
        return float("nan")
    return (bisect.bisect_left(past, value) + bisect.bisect_right(past, value) + 1) / 2 / len(past)


def order_statistic(level: Level) -> Callable[[list[float], float], float]:
    """Return the answer for `by_column` that is the order statistic `level`."""

    def answer(past: list[float], _value: float) -> float:
        low, high, part = level.ranks(np.float64(len(past)))
        return float(level.between(np.float64(past[low]), np.float64(past[high]), part))

    return answer


def mean_distance(past: list[float], _value: float) -> float:
    """Return the mean absolute distance of the values so far from their mean."""
    values = np.array(past)
    return float(np.abs(values - values.mean()).mean())


def decaying_mean(values: _Floats, mask: Mask, first_rows: NDArray[np.int64]) -> _Floats:
    """Return Qlib's ``EMA`` over all rows so far: the decay follows the number of rows, missing ones weigh zero."""
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
