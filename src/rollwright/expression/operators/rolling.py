"""Operators over a window of one input.

A window of ``N`` sessions ends at the session itself and starts at the listing day at the earliest. Sessions without a
value are left out (infinities are no values), and one value is enough, but for what needs two by nature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.block import Block, Values
from rollwright.expression.operators.registry import Operator, Parameter
from rollwright.expression.quantiles import MEDIAN, Level, SortedWindows
from rollwright.expression.ranks import rank_scores
from rollwright.expression.term import UNBOUNDED, Argument, Term

__all__ = ["FLAT", "ROLLING"]

FLAT: Final = 2e-5
"""A window with a standard deviation up to this is flat: it correlates with nothing and no line explains it."""

_Floats = NDArray[np.float64]


def window_of(term: Term) -> int:
    """Return the window of a call: its first literal."""
    return int(term.literals[0])


def window_reach(arguments: tuple[Argument, ...]) -> tuple[int, int]:
    """Return the reach of a call with a window among its arguments."""
    window = next(argument for argument in arguments if not isinstance(argument, Term))
    return (UNBOUNDED if isinstance(window, float) or window == 0 else int(window) - 1), 0


def _shift_reach(arguments: tuple[Argument, ...]) -> tuple[int, int]:
    shift = arguments[1]
    if not isinstance(shift, int) or shift == 0:
        return UNBOUNDED, 0
    return max(shift, 0), max(-shift, 0)


def whole_window(arguments: tuple[Argument, ...]) -> None:
    """Refuse exponential windows, for operators that have none."""
    if any(isinstance(argument, float) and 0 < argument < 1 for argument in arguments[1:2]):
        raise ValueError("a fraction as window means exponential weights, which only Mean and EMA have")


def _at_least(least: int) -> Callable[[tuple[Argument, ...]], None]:
    def check(arguments: tuple[Argument, ...]) -> None:
        whole_window(arguments)
        window = arguments[1]
        if isinstance(window, int) and 0 < window < least:
            raise ValueError(f"a window of {window} is too short, it needs {least}")

    return check


def _rolling(
    name: str,
    compute: Callable[[Block, Term, Term, int], _Floats],
    *,
    family: str | None = None,
    least: int = 1,
    more: tuple[Parameter, ...] = (),
) -> Operator:
    """Return an operator of one input and a window; `compute` gives the rungs, `since_listing` the case ``N = 0``."""

    def either(block: Block, term: Term) -> Values:
        window = term.literals[0]
        if window == 0 or isinstance(window, float):
            raise NotImplementedError(name)
        source = term.inputs[0]
        return block.cut(compute(block, term, source, int(window)), block.after(source), term)

    return Operator(
        name=name,
        signature=("series", "window", *more),
        compute=either,
        reach=window_reach,
        family=family,
        check=_at_least(least),
    )


def _sum(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    sums = block.sums(source)
    return _blank_empty(sums.total(window), sums.counts.size(window))


def _blank_empty(values: _Floats, size: Any) -> _Floats:
    if isinstance(size, np.ndarray):
        return np.where(size > 0, values, np.nan)
    return values


def _mean(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    if block.is_single(source):  # sums of float32 are exact here, so flat windows have exact means
        sums = block.sums(source)
        mean: _Floats = sums.total(window) / sums.counts.size(window)
        return mean
    moments = block.moments(source)
    return _blank_empty(moments.mean(window), moments.counts.size(window))


def _std(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    return block.moments(source).deviation(window)


def _slope(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    slope: _Floats = moments.trend(window) / moments.counts.position(window).spread
    return slope


def _rsquare(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    trend = moments.trend(window)
    explained = trend * trend
    explained /= moments.counts.position(window).spread * moments.square(window)
    np.copyto(explained, np.nan, where=moments.deviation(window) <= FLAT)
    return explained


def _residual(block: Block, term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    now = moments.values[window - 1 :]
    residual: _Floats = now - moments.mean(window)
    residual += _slope(block, term, source, window) * moments.counts.position(window).mean
    if moments.counts.mask is not None:
        np.copyto(residual, np.nan, where=~moments.counts.mask[window - 1 :])
    return residual


def _largest(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    return block.extrema(source, largest=True).value(window)


def _smallest(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    return block.extrema(source, largest=False).value(window)


def _place_of_largest(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    return block.extrema(source, largest=True).place(window, block.first_rows(source))


def _place_of_smallest(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    return block.extrema(source, largest=False).place(window, block.first_rows(source))


def _rank(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    values = block.selectable(source)
    windows = [int(literals[0]) for literals in block.calls(("rank", (source,)))]
    scores = block.shared(source, "ranks", lambda: rank_scores(values, windows))
    size = block.counts(block.clean(source).mask).size(window)
    # half the score plus a half is the average rank among ties
    rank: _Floats = (scores[window] + np.float64(1.0)) / 2.0
    rank /= size
    np.copyto(rank, np.nan, where=np.isnan(values[window - 1 :]))
    return rank


def _quantile(block: Block, term: Term, source: Term, window: int) -> _Floats:
    level = float(term.literals[1])
    return _order_statistic(block, source, window, Level(level))


def _median(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    return _order_statistic(block, source, window, MEDIAN)


def _order_statistic(block: Block, source: Term, window: int, level: Level) -> _Floats:
    size = block.counts(block.clean(source).mask).size(window)
    return block.shared(source, "sorted", lambda: _sorted_windows(block, source)).pick(window, size, level)


def _sorted_windows(block: Block, source: Term) -> SortedWindows:
    ranks: dict[int, set[int]] = {}
    for window, *levels in block.calls(("sorted", (source,))):
        level = Level(float(levels[0])) if levels else MEDIAN
        low, high, _ = level.ranks(np.float64(window))
        ranks.setdefault(int(window), set()).update((int(low), int(high)))
    return SortedWindows(block.selectable(source), {window: tuple(sorted(found)) for window, found in ranks.items()})


def _reference(block: Block, term: Term) -> Values:
    source = term.inputs[0]
    shift = int(term.literals[0])
    if shift == 0:
        raise NotImplementedError
    return block.cut(block.series(source), block.after(source), term, shift=shift)


def _delta(block: Block, term: Term) -> Values:
    difference: Values = block.cut(block.series(term.inputs[0]), block.after(term.inputs[0]), term) - _reference(
        block, term
    )
    return difference


ROLLING: Final = (
    Operator(name="Ref", signature=("series", "shift"), compute=_reference, reach=_shift_reach),
    Operator(name="Delta", signature=("series", "shift"), compute=_delta, reach=_shift_reach),
    _rolling("Sum", _sum),
    _rolling("Mean", _mean),
    _rolling("Std", _std),
    _rolling("Slope", _slope),
    _rolling("Rsquare", _rsquare),
    _rolling("Resi", _residual),
    _rolling("Max", _largest),
    _rolling("Min", _smallest),
    _rolling("IdxMax", _place_of_largest),
    _rolling("IdxMin", _place_of_smallest),
    _rolling("Rank", _rank, family="rank"),
    _rolling("Med", _median, family="sorted"),
    _rolling("Quantile", _quantile, family="sorted", more=("level",)),
)
