"""Window ladders: wide windows as sums of narrow ones, so that a handful of vector operations serves them all.

A window of ``w`` rows is an older part of ``a`` rows and a newer one of ``b``. `split` fixes ``a`` and ``b`` for each
``w`` once and for all, so a value is always the same tree of operations over the same rows: it depends neither on the
rows or columns beside it nor on which other windows are asked for. There are no running sums, hence no drift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ladder", "newer", "older", "split"]

Rung = TypeVar("Rung")
_Scalar = TypeVar("_Scalar", bound=np.generic)


def split(window: int) -> tuple[int, int]:
    """Return the widths of the older and the newer part of a window of at least two rows.

    Halves, but for twice an odd multiple of three and odd multiples of three themselves: so 5, 10, 20, 30 and 60
    share seven rungs.
    """
    half, odd = divmod(window, 2)
    if window % 3 == 0 and (odd or half % 2):
        return 2 * window // 3, window // 3
    return half + odd, half


class Ladder(Generic[Rung]):
    """The rungs built so far over one input.

    A rung of width ``w`` over ``n`` rows holds ``n - w + 1`` rows: its row ``i`` is the window that ends at row
    ``i + w - 1`` of the input.

    Parameters
    ----------
    unit : Rung
        The windows of one row.
    """

    __slots__ = ("_rungs",)

    def __init__(self, unit: Rung) -> None:
        self._rungs: dict[int, Rung] = {1: unit}

    def at(self, window: int, merge: Callable[[Rung, Rung, int, int], Rung]) -> Rung:
        """Return the rung of width `window`, building what it lacks.

        Parameters
        ----------
        merge : callable
            From the rungs of the older and the newer part and their widths to their union's, usually by `older` and
            `newer`. It is not kept: a method kept here would tie its owner, and all the rungs, into a cycle that
            lives until the garbage collector comes by.
        """
        rung = self._rungs.get(window)
        if rung is None:
            a, b = split(window)
            rung = merge(self.at(a, merge), self.at(b, merge), a, b)
            self._rungs[window] = rung
        return rung


@overload
def older(values: NDArray[_Scalar], b: int) -> NDArray[_Scalar]: ...
@overload
def older(values: np.float64, b: int) -> np.float64: ...
def older(values: Any, b: int) -> Any:
    """Return the part of a rung that stands `b` rows before the end of the wider windows; scalars stand for all."""
    return values[: len(values) - b] if isinstance(values, np.ndarray) else values


@overload
def newer(values: NDArray[_Scalar], a: int) -> NDArray[_Scalar]: ...
@overload
def newer(values: np.float64, a: int) -> np.float64: ...
def newer(values: Any, a: int) -> Any:
    """Return the part of a rung that stands at the end of windows that are `a` rows wider."""
    return values[a:] if isinstance(values, np.ndarray) else values
