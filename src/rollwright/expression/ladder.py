"""Window ladders: every sliding window is merged from two narrower windows, which all wider windows share.

How a statistic (a sum, a maximum, a variance, a sorted list) of all windows of ``w`` rows is computed:

1. `split` cuts ``w`` into an older part of ``a`` rows and a newer part of ``b`` rows, ``a + b == w``.
2. The statistic of all windows of ``a`` rows and of all windows of ``b`` rows comes from the ladder; a width that is
   missing is computed in the same way, down to windows of one row, which are the input itself.
3. The two arrays are shifted against each other, so that each element of the one stands beside the element of the
   other that continues it (`older`, `newer`), and merged by one vector operation on whole arrays.
4. The result is stored under ``w``, for every other window that is built from it.

Cost: a window needs about ``log2(w)`` levels of ``rows x columns`` elements, and windows share them: 5, 10, 20, 30 and
60 together need seven. Row by row the same work would cost ``w`` operations an element.

Why not running sums (add the newest row, subtract the oldest): they collect rounding errors over the rows, an infinity
never leaves them, and a result would depend on the row at which the computation began. Here a value is always the same
tree of operations over its own rows. It does not depend on the rows or columns beside it, nor on which other windows
are computed. The idea is that of a sparse table for range queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ladder", "after", "levels_of", "newer", "older", "split"]

Level = TypeVar("Level")
_Scalar = TypeVar("_Scalar", bound=np.generic)


def split(window: int) -> tuple[int, int]:
    """Return the widths of the older and the newer part of a window of at least two rows.

    A window is cut in halves; a multiple of three whose half is odd, or that is odd itself, is cut into two thirds and
    one third. So 5, 10, 20, 30 and 60 together need seven levels.
    """
    half, odd = divmod(window, 2)
    if window % 3 == 0 and (odd or half % 2):
        return 2 * window // 3, window // 3
    return half + odd, half


def levels_of(windows: Iterable[int]) -> set[int]:
    """Return the widths above one row of all levels from which `windows` are merged, themselves included."""
    found: set[int] = set()
    stack = list(windows)
    while stack:
        window = stack.pop()
        if window > 1 and window not in found:
            found.add(window)
            stack.extend(split(window))
    return found


class Ladder(Generic[Level]):
    """The levels computed so far over one input; a level holds one statistic of all windows of one width.

    A level of width ``w`` over ``n`` rows has ``n - w + 1`` rows: its row ``i`` is the window that ends at row
    ``i + w - 1`` of the input.

    Parameters
    ----------
    unit : Level
        The windows of one row.
    """

    __slots__ = ("_levels",)

    def __init__(self, unit: Level) -> None:
        self._levels: dict[int, Level] = {1: unit}

    def at(self, window: int, merge: Callable[[Level, Level, int, int], Level]) -> Level:
        """Return the level of width `window`; levels that are missing are computed and stored.

        Parameters
        ----------
        merge : callable
            ``merge(older_level, newer_level, a, b)`` returns the level of the windows of ``a + b`` rows, usually by
            `older` and `newer`. The ladder does not store it: a stored method would form a reference cycle with its
            owner, and the arrays would stay in memory until the garbage collector runs.
        """
        level = self._levels.get(window)
        if level is None:
            a, b = split(window)
            level = merge(self.at(a, merge), self.at(b, merge), a, b)
            self._levels[window] = level
        return level


@overload
def older(values: NDArray[_Scalar], b: int) -> NDArray[_Scalar]: ...
@overload
def older(values: np.float64, b: int) -> np.float64: ...
def older(values: Any, b: int) -> Any:
    """Return the rows of a level that are the older parts of windows which end `b` rows later; a scalar as it is."""
    return values[: len(values) - b] if isinstance(values, np.ndarray) else values


@overload
def newer(values: NDArray[_Scalar], a: int) -> NDArray[_Scalar]: ...
@overload
def newer(values: np.float64, a: int) -> np.float64: ...
def newer(values: Any, a: int) -> Any:
    """Return the rows of a level that are the newer parts of windows that begin `a` rows earlier; a scalar as it is."""
    return values[a:] if isinstance(values, np.ndarray) else values


@overload
def after(values: NDArray[_Scalar], skipped: int) -> NDArray[_Scalar]: ...
@overload
def after(values: np.float64, skipped: int) -> np.float64: ...
def after(values: Any, skipped: int) -> Any:
    """Return a level without its first windows, which nobody reads; a scalar as it is."""
    return values[skipped:] if isinstance(values, np.ndarray) else values
