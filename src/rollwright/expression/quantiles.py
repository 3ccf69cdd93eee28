"""Order statistics of windows: sorted windows as merges of sorted windows.

The windows of a block are kept as ``w`` arrays, the i-th holding each window's i-th smallest value. Two such runs are
merged by a fixed network of vector minima and maxima, so that no window is ever sorted by itself, but for the few that
hold rows without a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.ladder import split

__all__ = ["MEDIAN", "WIDEST_NETWORK", "Level", "SortedWindows"]

_Values: TypeAlias = NDArray[Any]
_Wires: TypeAlias = list[_Values]
WIDEST_NETWORK: Final = 128
"""Wider windows are sorted one block of rows at a time: a network would hold too many arrays."""


class _Comparator(NamedTuple):
    low: int
    high: int
    low_is_used: bool
    high_is_used: bool


class _Network(NamedTuple):
    comparators: tuple[_Comparator, ...]
    order: tuple[int, ...]  # wire of the i-th smallest value


def _merge_wires(first: list[int], second: list[int], pairs: list[tuple[int, int]]) -> list[int]:
    """Append the comparisons that merge two sorted runs (Batcher's odd-even merge); return the wires in order."""
    if not first or not second:
        return first or second
    if len(first) == len(second) == 1:
        pairs.append((first[0], second[0]))
        return [first[0], second[0]]
    even = _merge_wires(first[0::2], second[0::2], pairs)
    odd = _merge_wires(first[1::2], second[1::2], pairs)
    order = even[:1]
    for index in range(max(len(even) - 1, len(odd))):
        if index < len(odd) and index + 1 < len(even):
            pairs.append((odd[index], even[index + 1]))
            order += [odd[index], even[index + 1]]
        else:
            order.append(odd[index] if index < len(odd) else even[index + 1])
    return order


@lru_cache(maxsize=1024)
def _network(a: int, b: int, wanted: tuple[int, ...] | None) -> _Network:
    """Return the network that merges runs of `a` and `b`, without what the wanted ranks do not need."""
    pairs: list[tuple[int, int]] = []
    order = _merge_wires(list(range(a)), list(range(a, a + b)), pairs)
    live = set(order) if wanted is None else {order[rank] for rank in wanted}
    comparators: list[_Comparator] = []
    for low, high in reversed(pairs):
        if low in live or high in live:
            comparators.append(_Comparator(low, high, low in live, high in live))
            live |= {low, high}
    return _Network(tuple(reversed(comparators)), tuple(order))


class Level(NamedTuple):
    """Which order statistic: the quantile at `at`, linear between ranks."""

    at: float

    def ranks(self, size: Any) -> tuple[Any, Any, Any]:
        """Return for windows of `size` valid rows the ranks below and above, and how far between them."""
        place = self.at * (size - 1.0)
        low = np.floor(place).astype(np.int64)
        return low, np.minimum(low + 1, size - 1.0).astype(np.int64), place - low

    def between(self, low: Any, high: Any, part: Any) -> Any:
        """Return the value `part` of the way from `low` to `high`."""
        return low + (high - low) * part


class _Median(Level):
    """The middle value, or the mean of the two middle ones."""

    def between(self, low: Any, high: Any, part: Any) -> Any:
        return np.where(part > 0, (low + high) / 2.0, low)


MEDIAN: Final = _Median(0.5)


class _Sorted(NamedTuple):
    """Some windows, each sorted by itself; infinities, which stand for no value, come last."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    cells: _Values
    size: NDArray[np.float64]

    @classmethod
    def of(
        cls, values: _Values, window: int, places: tuple[NDArray[np.intp], ...], size: NDArray[np.float64]
    ) -> _Sorted:
        """Return the windows that start at `places`."""
        rows, columns = places
        starts = rows * values.shape[1] + columns
        steps = np.arange(window) * values.shape[1]
        cells = values.ravel()[starts[:, None] + steps]
        cells.sort(axis=1)
        return cls(rows, columns, cells, size[rows, columns])

    def pick(self, level: Level) -> NDArray[np.float64]:
        """Return an order statistic of each; NaN where there is no value."""
        low, high, part = level.ranks(np.maximum(self.size, 1.0))
        each = np.arange(len(self.rows))
        below, above = (self.cells[each, ranks].astype(np.float64) for ranks in (low, high))
        return np.where(self.size > 0, level.between(below, above, part), np.nan)


class SortedWindows:
    """Order statistics of the windows of one input.

    Parameters
    ----------
    values : float [rows, columns]
        NaN where there is no value.
    ranks : mapping of int to ranks
        For each window that will be asked for, the ranks (from 0) a full one needs.
    """

    def __init__(self, values: _Values, ranks: Mapping[int, tuple[int, ...]]) -> None:
        self._missing = bool(np.isnan(values).any())
        self._values = np.where(np.isnan(values), values.dtype.type(np.inf), values) if self._missing else values
        self._ranks = ranks
        self._rungs: dict[int, _Wires] = {1: [self._values]}
        self._short: dict[int, _Sorted] = {}
        self._parts = _rungs_below(ranks)

    def pick(self, window: int, size: NDArray[np.float64] | np.float64, level: Level) -> NDArray[np.float64]:
        """Return the order statistic `level` of each window; NaN for windows without a value.

        Parameters
        ----------
        size : float64 [rows - window + 1, columns] or scalar
            Valid rows of each window.
        """
        shape = len(self._values) - window + 1, self._values.shape[1]
        if window > WIDEST_NETWORK:
            return self._pick_each(window, np.broadcast_to(size, shape), level)
        low, high, part = level.ranks(np.float64(window))
        wires = self._rung(window)
        result: NDArray[np.float64] = level.between(wires[low].astype(np.float64), wires[high].astype(np.float64), part)
        if self._missing and isinstance(size, np.ndarray):
            short = self._short.get(window)
            if short is None:
                short = _Sorted.of(self._values, window, np.nonzero(size < window), size)
                self._short[window] = short
            result[short.rows, short.columns] = short.pick(level)
        return result

    def _pick_each(self, window: int, size: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
        """Sort every window by itself, some rows at a time."""
        result = np.empty(size.shape)
        step = max(1, (1 << 20) // (window * size.shape[1]))
        for first in range(0, len(size), step):
            part = size[first : first + step]
            every = np.nonzero(np.ones(part.shape, np.bool_))
            found = _Sorted.of(self._values[first : first + step + window - 1], window, every, part)
            result[first : first + step] = found.pick(level).reshape(part.shape)
        return result

    def _rung(self, window: int) -> _Wires:
        wires = self._rungs.get(window)
        if wires is None:
            a, b = split(window)
            wires = self._merged(self._rung(a), self._rung(b), a, b)
            self._rungs[window] = wires
        return wires

    def _merged(self, first: _Wires, second: _Wires, a: int, b: int) -> _Wires:
        window = a + b
        # only a window that no wider one is built from may do without some of its ranks
        network = _network(a, b, None if window in self._parts else self._ranks.get(window))
        wires = [wire[: len(wire) - b] for wire in first] + [wire[a:] for wire in second]
        for low, high, low_is_used, high_is_used in network.comparators:
            one, two = wires[low], wires[high]
            if low_is_used:
                wires[low] = np.minimum(one, two)
            if high_is_used:
                wires[high] = np.maximum(one, two)
        return [wires[wire] for wire in network.order]


def _rungs_below(windows: Iterable[int]) -> frozenset[int]:
    """Return the widths from which those of `windows` are built."""
    below: set[int] = set()
    stack = [window for window in windows if window <= WIDEST_NETWORK]
    while stack:
        window = stack.pop()
        if window > 1:
            fresh = set(split(window)) - below
            below |= fresh
            stack.extend(fresh)
    return frozenset(below)
