"""Quantiles and medians of sliding windows: sorted windows, merged from sorted windows by a sorting network.

All windows of a block are sorted at the same time. The sorted windows of ``w`` rows are a list of ``w`` arrays
("wires"): array ``i`` holds the i-th smallest value of every window.

1. A window of ``w`` rows is cut into an older part of ``a`` and a newer part of ``b`` rows (`ladder.split`). The sorted
   windows of both widths come from the same procedure; a window of one row is sorted.
2. `_network` plans how two sorted lists of ``a`` and ``b`` values are merged: Batcher's odd-even merge (1968), a fixed
   sequence of comparators, each of which puts the smaller of two values on one wire and the larger on the other. Which
   comparators there are depends on ``a`` and ``b`` only, never on the data.
3. A quantile needs one or two ranks of the window. The comparators are visited from the last to the first, and those
   whose outputs lead to no wanted rank are left out; of the others, outputs that nobody reads are left out.
4. Each comparator runs as one ``np.minimum`` and one ``np.maximum`` over whole arrays, for all windows and columns.
5. The quantile is interpolated between the two wanted wires.
6. Windows that lack values hold infinities, which are sorted to the end, and need other ranks than a full window. They
   are few: each is sorted by itself and its result replaces that of step 5.

Cost: a complete merge to ``w`` values takes about ``w log2(w) / 2`` comparators, two operations each. For the median of
60 rows step 3 leaves 60 operations of 298. Minima and maxima never round, so the result equals that of sorting. Windows
wider than `WIDEST_NETWORK` are sorted one by one (step 6 for all).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.ladder import split

__all__ = ["MEDIAN", "WIDEST_NETWORK", "Quantile", "SortedWindows"]

_Values: TypeAlias = NDArray[Any]
_Wires: TypeAlias = list[_Values]
WIDEST_NETWORK: Final = 128
"""Wider windows are sorted one by one: a network of so many wires would hold too many arrays in memory."""


class _Comparator(NamedTuple):
    """Two wires to compare: the smaller value goes to `low`, the larger to `high`, unless nobody reads it there."""

    low: int
    high: int
    low_is_used: bool
    high_is_used: bool


class _Network(NamedTuple):
    """A merge of two sorted lists, as the comparators to run in order."""

    comparators: tuple[_Comparator, ...]
    order: tuple[int, ...]  # wire of the i-th smallest value


def _merge_wires(first: list[int], second: list[int], pairs: list[tuple[int, int]]) -> list[int]:
    """Append the comparisons that merge two sorted lists of wires (odd-even merge), and return the wires in order.

    1. Nothing is to do when one list is empty, and one comparison merges two single wires.
    2. The wires at even places of both lists are merged, and those at odd places, by the same procedure.
    3. Of the two merged lists, each odd wire is compared with the even wire that follows it; the first even wire is
       the smallest of all and a wire without a partner is already in its place.
    """
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
    """Return the network that merges sorted lists of `a` and `b` values, without comparators no wanted rank needs.

    1. Plan the complete merge.
    2. Mark the wires on which the wanted ranks come out, all of them if `wanted` is None.
    3. From the last comparison to the first: one that writes to a marked wire stays, and marks both its wires, since
       it reads both; of its outputs only those to wires that were marked are computed.
    """
    pairs: list[tuple[int, int]] = []
    order = _merge_wires(list(range(a)), list(range(a, a + b)), pairs)
    live = set(order) if wanted is None else {order[rank] for rank in wanted}
    comparators: list[_Comparator] = []
    for low, high in reversed(pairs):
        if low in live or high in live:
            comparators.append(_Comparator(low, high, low in live, high in live))
            live |= {low, high}
    return _Network(tuple(reversed(comparators)), tuple(order))


class Quantile(NamedTuple):
    """Which order statistic: the quantile at `at`, interpolated linearly between ranks (pandas' default)."""

    at: float

    def ranks(self, size: Any) -> tuple[Any, Any, Any]:
        """Return, for windows of `size` valid rows, the ranks below and above the quantile and its distance between."""
        place = self.at * (size - 1.0)
        low = np.floor(place).astype(np.int64)
        return low, np.minimum(low + 1, size - 1.0).astype(np.int64), place - low

    def between(self, low: Any, high: Any, part: Any) -> Any:
        """Return the value `part` of the way from `low` to `high`."""
        return low + (high - low) * part


class _Median(Quantile):
    """The middle value, or the mean of the two middle ones."""

    def between(self, low: Any, high: Any, part: Any) -> Any:
        return np.where(part > 0, (low + high) / 2.0, low)


MEDIAN: Final = _Median(0.5)


class _SortedCells(NamedTuple):
    """Some windows, each sorted by itself; infinities, which stand for "no value", come last."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    cells: _Values
    size: NDArray[np.float64]

    @classmethod
    def sort(
        cls, values: _Values, window: int, places: tuple[NDArray[np.intp], ...], size: NDArray[np.float64]
    ) -> _SortedCells:
        """Return the windows whose first rows and columns are `places`, sorted."""
        rows, columns = places
        starts = rows * values.shape[1] + columns
        steps = np.arange(window) * values.shape[1]
        cells = values.ravel()[starts[:, None] + steps]
        cells.sort(axis=1)
        return cls(rows, columns, cells, size[rows, columns])

    def pick(self, quantile: Quantile) -> NDArray[np.float64]:
        """Return the quantile of each window; NaN for windows without any value."""
        low, high, part = quantile.ranks(np.maximum(self.size, 1.0))
        each = np.arange(len(self.rows))
        below, above = (self.cells[each, ranks].astype(np.float64) for ranks in (low, high))
        return np.where(self.size > 0, quantile.between(below, above, part), np.nan)


class SortedWindows:
    """The sorted windows of one input, and their quantiles.

    Parameters
    ----------
    values : float [rows, columns]
        NaN where there is no value.
    ranks : mapping of int to ranks
        For each window width that will be used, the ranks (from 0) that its quantiles need of a full window.
    """

    def __init__(self, values: _Values, ranks: Mapping[int, tuple[int, ...]]) -> None:
        self._missing = bool(np.isnan(values).any())
        self._values = np.where(np.isnan(values), values.dtype.type(np.inf), values) if self._missing else values
        self._ranks = ranks
        self._levels: dict[int, _Wires] = {1: [self._values]}
        self._short: dict[int, _SortedCells] = {}
        self._parts = _levels_below(ranks)

    def pick(self, window: int, size: NDArray[np.float64] | np.float64, quantile: Quantile) -> NDArray[np.float64]:
        """Return a quantile of each window; NaN for windows without any value.

        Parameters
        ----------
        size : float64 [rows - window + 1, columns] or scalar
            Valid rows of each window.
        """
        shape = len(self._values) - window + 1, self._values.shape[1]
        if window > WIDEST_NETWORK:
            return self._sort_each(window, np.broadcast_to(size, shape), quantile)
        low, high, part = quantile.ranks(np.float64(window))
        wires = self._level(window)
        result: NDArray[np.float64] = quantile.between(
            wires[low].astype(np.float64), wires[high].astype(np.float64), part
        )
        if self._missing and isinstance(size, np.ndarray):
            short = self._short.get(window)
            if short is None:
                short = _SortedCells.sort(self._values, window, np.nonzero(size < window), size)
                self._short[window] = short
            result[short.rows, short.columns] = short.pick(quantile)
        return result

    def _sort_each(self, window: int, size: NDArray[np.float64], quantile: Quantile) -> NDArray[np.float64]:
        """Return the quantile of windows that are sorted one by one, some rows at a time to bound the memory."""
        result = np.empty(size.shape)
        step = max(1, (1 << 20) // (window * size.shape[1]))
        for first in range(0, len(size), step):
            part = size[first : first + step]
            every = np.nonzero(np.ones(part.shape, np.bool_))
            found = _SortedCells.sort(self._values[first : first + step + window - 1], window, every, part)
            result[first : first + step] = found.pick(quantile).reshape(part.shape)
        return result

    def _level(self, window: int) -> _Wires:
        wires = self._levels.get(window)
        if wires is None:
            a, b = split(window)
            wires = self._merge(self._level(a), self._level(b), a, b)
            self._levels[window] = wires
        return wires

    def _merge(self, first: _Wires, second: _Wires, a: int, b: int) -> _Wires:
        window = a + b
        # a width that others are built from needs all its ranks; any other only those of its quantiles
        network = _network(a, b, None if window in self._parts else self._ranks.get(window))
        wires = [wire[: len(wire) - b] for wire in first] + [wire[a:] for wire in second]
        for low, high, low_is_used, high_is_used in network.comparators:
            one, two = wires[low], wires[high]
            if low_is_used:
                wires[low] = np.minimum(one, two)
            if high_is_used:
                wires[high] = np.maximum(one, two)
        return [wires[wire] for wire in network.order]


def _levels_below(windows: Iterable[int]) -> frozenset[int]:
    """Return the widths of all parts from which `windows` are merged."""
    below: set[int] = set()
    stack = [window for window in windows if window <= WIDEST_NETWORK]
    while stack:
        window = stack.pop()
        if window > 1:
            fresh = set(split(window)) - below
            below |= fresh
            stack.extend(fresh)
    return frozenset(below)
