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
6. Windows that lack values hold infinities, which are sorted to the end, and need other ranks than a full window. Where
   up to `FEW_MISSING` are missing, those ranks are wanted wires too. The windows with fewer values are sorted one by
   one, and their results replace those of step 5.
7. All quantiles of one input are computed together, for some columns at a time, so that the wires of the widest window
   take a few MiB. Of the wires only the quantiles stay.

Cost: a complete merge to ``w`` values takes about ``w log2(w) / 2`` comparators, two operations each. For the median of
60 rows step 3 leaves 60 operations of 298. Minima and maxima never round, so the result equals that of sorting. Windows
wider than `WIDEST_NETWORK` are sorted one by one (step 6 for all).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.ladder import levels_of, split

__all__ = ["MEDIAN", "WIDEST_NETWORK", "Quantile", "window_quantiles"]

_Values: TypeAlias = NDArray[Any]
_Wires: TypeAlias = list[_Values]
_Sizes: TypeAlias = NDArray[np.float64] | np.float64
WIDEST_NETWORK: Final = 128
"""Wider windows are sorted one by one: a network of so many wires would hold too many arrays in memory."""
FEW_MISSING: Final = 2
"""So many missing values of a window are served by the network: a wire or two more, where sorting costs much more."""
WIRE_BYTES: Final = 1 << 21
"""Size of the wires of the widest window, for the columns that are sorted at a time."""


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

    cells: _Values
    size: NDArray[np.float64]

    @classmethod
    def sort(cls, values: _Values, window: int, places: NDArray[np.intp], size: NDArray[np.float64]) -> _SortedCells:
        """Return the windows that begin at `places`, which number the cells of `values` row by row, sorted."""
        steps = np.arange(window) * values.shape[1]
        cells = values.reshape(-1)[places[:, None] + steps]
        cells.sort(axis=1)
        return cls(cells, size.reshape(-1)[places])

    def pick(self, quantile: Quantile) -> NDArray[np.float64]:
        """Return the quantile of each window; every window has a value."""
        low, high, part = quantile.ranks(self.size)
        each = np.arange(len(self.cells))
        below, above = (self.cells[each, ranks].astype(np.float64) for ranks in (low, high))
        picked: NDArray[np.float64] = quantile.between(below, above, part)
        return picked


class _ShortWindows:
    """The windows of one width that lack values: which lack how many, and the sorted ones of few values (step 6).

    Parameters
    ----------
    values : float [rows, columns]
    window : int
    size : float64 [rows - window + 1, columns]
        Valid rows of each window.
    """

    def __init__(self, values: _Values, window: int, size: NDArray[np.float64]) -> None:
        short = np.flatnonzero(size < window)
        sizes = size.reshape(-1)[short]
        least = max(1, window - FEW_MISSING)
        self.empty = short[sizes == 0]
        self.nearly_full = [(fewer, short[sizes == fewer]) for fewer in range(least, window)]
        self.rest = short[(sizes < least) & (sizes > 0)]
        self.sorted = _SortedCells.sort(values, window, self.rest, size)


class _SortedColumns:
    """The sorted windows of some columns of one input.

    Parameters
    ----------
    values : float [rows, columns]
        Infinite where there is no value.
    sizes : mapping of int to float64 [rows - width + 1, columns] or scalar
        For each window width that will be used, the number of valid rows of each window.
    ranks : mapping of int to set of int
        And the ranks (from 0) that are read of its wires.
    """

    def __init__(self, values: _Values, sizes: Mapping[int, _Sizes], ranks: Mapping[int, set[int]]) -> None:
        self._values = values
        self._sizes = sizes
        self._ranks = {window: tuple(sorted(found)) for window, found in ranks.items()}
        self._levels: dict[int, _Wires] = {1: [values]}
        narrow = [window for window in ranks if window <= WIDEST_NETWORK]
        self._parts = levels_of(part for window in narrow if window > 1 for part in split(window))
        self._short: dict[int, _ShortWindows] = {}

    def pick(self, window: int, quantile: Quantile) -> NDArray[np.float64]:
        """Return a quantile of each window; NaN for windows without any value."""
        size = self._sizes[window]
        if window > WIDEST_NETWORK:
            shape = len(self._values) - window + 1, self._values.shape[1]
            return self._sort_each(window, np.broadcast_to(size, shape), quantile)
        result = self._pick_full(window, window, quantile, ...)
        if isinstance(size, np.ndarray):
            self._pick_short(result.reshape(-1), window, size, quantile)
        return result

    def _pick_short(
        self, result: NDArray[np.float64], window: int, size: NDArray[np.float64], quantile: Quantile
    ) -> None:
        """Replace the results of the windows that lack values."""
        short = self._short.get(window)
        if short is None:
            short = self._short[window] = _ShortWindows(self._values, window, size)
        for fewer, places in short.nearly_full:
            result[places] = self._pick_full(window, fewer, quantile, places)
        result[short.rest] = short.sorted.pick(quantile)
        result[short.empty] = np.nan

    def _pick_full(self, window: int, size: int, quantile: Quantile, places: Any) -> NDArray[np.float64]:
        """Return the quantile of the windows at `places`, which have `size` values."""
        low, high, part = quantile.ranks(np.float64(size))
        wires = self._level(window)
        chosen = (wires[int(rank)] if places is ... else wires[int(rank)].reshape(-1)[places] for rank in (low, high))
        below, above = (wire.astype(np.float64) for wire in chosen)
        picked: NDArray[np.float64] = quantile.between(below, above, part)
        return picked

    def _sort_each(self, window: int, size: NDArray[np.float64], quantile: Quantile) -> NDArray[np.float64]:
        """Return the quantile of windows that are sorted one by one, some rows at a time to bound the memory."""
        result = np.full(size.shape, np.nan)
        step = max(1, (1 << 20) // (window * size.shape[1]))
        for first in range(0, len(size), step):
            part = size[first : first + step]
            places = np.flatnonzero(part > 0)
            found = _SortedCells.sort(self._values[first : first + step + window - 1], window, places, part)
            result[first : first + step].reshape(-1)[places] = found.pick(quantile)
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
        network = _network(a, b, None if window in self._parts else self._ranks[window])
        wires = [wire[: len(wire) - b] for wire in first] + [wire[a:] for wire in second]
        for low, high, low_is_used, high_is_used in network.comparators:
            one, two = wires[low], wires[high]
            if low_is_used:
                wires[low] = np.minimum(one, two)
            if high_is_used:
                wires[high] = np.maximum(one, two)
        return [wires[wire] for wire in network.order]


def window_quantiles(
    values: _Values, wanted: Sequence[tuple[int, Quantile]], size_of: Callable[[int], _Sizes]
) -> list[NDArray[np.float64]]:
    """Return quantiles of every window; NaN for windows without any value.

    Parameters
    ----------
    values : float [rows, columns]
        NaN where there is no value.
    wanted : sequence of (int, Quantile)
        Window widths and what is asked of the windows.
    size_of : callable
        Returns the number of valid rows of each window of a width: float64 [rows - width + 1, columns], or a scalar.

    Returns
    -------
    list
        For each of `wanted` ``[rows - width + 1, columns]``.
    """
    rows, columns = values.shape
    results = [np.empty((rows - window + 1, columns)) for window, _ in wanted]
    sizes = {window: size_of(window) for window, _ in wanted}
    missing = np.isnan(values)
    filled = np.where(missing, values.dtype.type(np.inf), values) if missing.any() else values
    ranks = _ranks_of(wanted, least=FEW_MISSING if filled is not values else 0)
    widest = max((window for window in ranks if window <= WIDEST_NETWORK), default=1)
    step = max(1, WIRE_BYTES // (rows * widest * values.itemsize))
    for first in range(0, columns, step):
        part = slice(first, first + step)
        own = {window: size[:, part] if isinstance(size, np.ndarray) else size for window, size in sizes.items()}
        windows = _SortedColumns(np.ascontiguousarray(filled[:, part]), own, ranks)
        for (window, quantile), result in zip(wanted, results, strict=True):
            result[:, part] = windows.pick(window, quantile)
    return results


def _ranks_of(wanted: Sequence[tuple[int, Quantile]], *, least: int) -> dict[int, set[int]]:
    """Return for each width the ranks that its quantiles read of windows that lack up to `least` values."""
    ranks: dict[int, set[int]] = {}
    for window, quantile in wanted:
        for size in range(max(1, window - least), window + 1):
            low, high, _ = quantile.ranks(np.float64(size))
            ranks.setdefault(window, set()).update((int(low), int(high)))
    return ranks
