"""Operators over a sliding window of one input (Mean, Std, Rank, Quantile, Slope and others).

A window of ``N`` sessions ends at the session itself and starts at the listing day at the earliest. Sessions without a
value are left out; infinities are no values. One value in the window is enough, two for variances and slopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.block import Block, Values
from rollwright.expression.ladder import after
from rollwright.expression.moments import Counts, Mask, kurtosis, skewness
from rollwright.expression.operators import since
from rollwright.expression.operators.loaded_code import digest_of_code
from rollwright.expression.operators.registry import Operator, Parameter
from rollwright.expression.quantiles import MEDIAN, Quantile, window_quantiles
from rollwright.expression.ranks import rank_scores
from rollwright.expression.term import UNBOUNDED, Argument, Constant, Term

__all__ = ["FLAT", "ROLLING", "whole_window", "window_of", "window_reach", "windowed"]

FLAT: Final = 2e-5
"""A window with a standard deviation up to this is treated as constant: its correlation and R-squared are NaN."""

_Floats: TypeAlias = NDArray[np.float64]


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


def _whole_past(_arguments: tuple[Argument, ...]) -> tuple[int, int]:
    return UNBOUNDED, 0


def whole_window(arguments: tuple[Argument, ...]) -> None:
    """Refuse exponential windows, for operators that have none."""
    window = next(argument for argument in arguments if not isinstance(argument, Term))
    if isinstance(window, float):
        raise ValueError("a fraction as window means exponential weights, which only Mean and EMA have")


def _require_window(arguments: tuple[Argument, ...]) -> None:
    whole_window(arguments)
    if arguments[1] == 0:
        raise ValueError("this operator needs a window of at least one session")


def _long_enough(least: int) -> Callable[[tuple[Argument, ...]], None]:
    def check(arguments: tuple[Argument, ...]) -> None:
        whole_window(arguments)
        window = arguments[1]
        if isinstance(window, int) and 0 < window < least:
            raise ValueError(f"a window of {window} is too short, it needs {least}")

    return check


Level: TypeAlias = Callable[[Block, Term, Term, int], _Floats]
"""``function(block, call, input, window)`` returns values whose last row is that of the input.

Those of the first windows, which the call does not read, may be left out (`Block.unread`).
"""


def _rolling(
    name: str,
    compute: Level,
    since_listing: Level,
    *,
    family: str | None = None,
    check: Callable[[tuple[Argument, ...]], None] | None = whole_window,
    shares: tuple[str, ...] = ("clean",),
    more: tuple[Parameter, ...] = (),
    makes_values: bool = False,
    is_windowed: bool = True,
) -> Operator:
    """Return an operator of one input and a window.

    `compute` returns the values for a window of ``N`` rows; `since_listing` those for ``N = 0`` and for fractions,
    which mean exponential weights.
    """

    def either(block: Block, term: Term) -> Values:
        window = term.literals[0]
        source = term.inputs[0]
        level = compute if isinstance(window, int) and window > 0 else since_listing
        return block.cut(level(block, term, source, int(window)), block.after(source), term)

    return Operator(
        name=name,
        signature=("series", "window", *more),
        compute=either,
        reach=window_reach,
        family=family,
        shares=shares,
        makes_values=makes_values,
        check=check,
        is_windowed=is_windowed,
    )


def windowed(name: str, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Operator:
    """Return an operator ``name(series, window)`` of your own.

    Parameters
    ----------
    name : str
    function : callable
        Takes ``[rows, columns, window]``, oldest first, NaN where there is no value or no row yet, and returns
        ``[rows, columns]``. Each value may depend on its own window only.
    """

    def compute(block: Block, _term: Term, source: Term, window: int) -> _Floats:
        values, mask = block.clean(source)
        known = values if mask is None else np.where(mask, values, np.nan)
        return function(np.lib.stride_tricks.sliding_window_view(known, window, axis=0))

    made = _rolling(name, compute, compute, check=_require_window, makes_values=True)
    return replace(made, code=digest_of_code(function))


def _sum(block: Block, term: Term, source: Term, window: int) -> _Floats:
    sums = block.sums(source)
    return _blank_empty(sums.total(window), sums.counts, window, block.unread(source, term, window))


def _blank_empty(values: _Floats, counts: Counts, window: int, skipped: int) -> _Floats:
    empty = counts.empty(window)
    if empty is None:
        return values[skipped:]
    blanked = values[skipped:].copy()  # a level of a ladder, which wider windows read
    np.copyto(blanked, np.nan, where=empty[skipped:])
    return blanked


def _mean(block: Block, term: Term, source: Term, window: int) -> _Floats:
    skipped = block.unread(source, term, window)
    if block.is_single(source):  # sums of float32 are exact here, so flat windows have exact means
        sums = block.sums(source)
        mean: _Floats = sums.total(window)[skipped:] / after(sums.counts.size(window), skipped)
        return mean
    moments = block.moments(source)
    return _blank_empty(moments.mean(window), moments.counts, window, skipped)


def _std(block: Block, term: Term, source: Term, window: int) -> _Floats:
    return block.moments(source).deviation(window, block.unread(source, term, window))


def _slope(block: Block, term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    skipped = block.unread(source, term, window)
    slope: _Floats = moments.trend(window)[skipped:] / after(moments.counts.position(window).spread, skipped)
    return slope


def _rsquare(block: Block, term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    skipped = block.unread(source, term, window)
    trend = moments.trend(window)[skipped:]
    explained = trend * trend
    explained /= after(moments.counts.position(window).spread, skipped) * moments.square(window)[skipped:]
    np.copyto(explained, np.nan, where=moments.deviation(window, skipped) <= FLAT)
    return explained


def _residual(block: Block, term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    skipped = block.unread(source, term, window)
    rows = slice(window - 1 + skipped, None)
    residual: _Floats = moments.values[rows] - moments.mean(window)[skipped:]
    residual += _slope(block, term, source, window) * after(moments.counts.position(window).mean, skipped)
    if moments.counts.mask is not None:
        np.copyto(residual, np.nan, where=~moments.counts.mask[rows])
    return residual


def _largest(block: Block, term: Term, source: Term, window: int) -> _Floats:
    return block.extrema(source, largest=True).value(window, block.unread(source, term, window))


def _smallest(block: Block, term: Term, source: Term, window: int) -> _Floats:
    return block.extrema(source, largest=False).value(window, block.unread(source, term, window))


def _place_of_largest(block: Block, term: Term, source: Term, window: int) -> _Floats:
    return _place(block, term, source, window, largest=True)


def _place_of_smallest(block: Block, term: Term, source: Term, window: int) -> _Floats:
    return _place(block, term, source, window, largest=False)


def _place(block: Block, term: Term, source: Term, window: int, *, largest: bool) -> _Floats:
    extrema = block.extrema(source, largest=largest)
    return extrema.place(window, block.unread(source, term, window), block.first_rows(source))


def _rank(block: Block, term: Term, source: Term, window: int) -> _Floats:
    values = block.selectable(source)
    windows = [int(literals[0]) for literals in block.calls(("ranks", (source,))) if literals[0]]
    scores = block.share(source, "ranks", lambda: rank_scores(values, windows))
    skipped = block.unread(source, term, window)
    # half the score plus a half is the average rank among ties
    rank: _Floats = (scores[window][skipped:] + np.float64(1.0)) / 2.0
    rank /= after(block.counts_of(source).size(window), skipped)
    np.copyto(rank, np.nan, where=np.isnan(values[window - 1 + skipped :]))
    return rank


def _order_statistic(block: Block, term: Term, source: Term, _window: int) -> _Floats:
    return block.share(source, "quantiles", lambda: _all_quantiles(block, source))[term.literals]


def _all_quantiles(block: Block, source: Term) -> dict[tuple[Constant, ...], _Floats]:
    """Return the quantiles and medians of all calls on `source`, by the literals of the call."""
    calls = [literals for literals in block.calls(("quantiles", (source,))) if literals[0]]
    wanted = [(int(window), Quantile(float(levels[0])) if levels else MEDIAN) for window, *levels in calls]
    found = window_quantiles(block.selectable(source), wanted, block.counts_of(source).size)
    return dict(zip(calls, found, strict=True))


def _reference(block: Block, term: Term) -> Values:
    source = term.inputs[0]
    shift = int(term.literals[0])
    values = block.series(source)
    if shift:
        return block.cut(values, block.after(source), term, shift=shift)
    listing = np.clip(block.first_rows(source), 0, len(values) - 1)
    first = np.take_along_axis(values, listing[None, :], axis=0)
    return np.where(block.in_series(term), first, values.dtype.type(np.nan))


def _delta(block: Block, term: Term) -> Values:
    source = term.inputs[0]
    now = block.cut(block.series(source), block.after(source), term)
    difference: Values = now - _reference(block, term)
    return difference


def _power_sum(block: Block, source: Term, window: int, function: Callable[[_Floats], _Floats]) -> _Floats:
    """Return the sums over each window of a function of the distances from the window's mean."""
    values, mask = block.clean(source)
    mean = block.moments(source).mean(window)
    total = np.zeros(mean.shape)
    for back in range(window):
        rows = slice(window - 1 - back, len(values) - back)
        part = function(values[rows] - mean)
        total += part if mask is None else np.where(mask[rows], part, 0.0)
    return total


def _variance(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    variance: _Floats = moments.square(window) / moments.counts.freedom(window)
    return variance


def _skewness(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    cubes = _power_sum(block, source, window, lambda distance: distance * distance * distance)
    return skewness(moments.counts.size(window), moments.square(window), cubes)


def _kurtosis(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    moments = block.moments(source)
    fourths = _power_sum(block, source, window, lambda distance: (distance * distance) ** 2)
    return kurtosis(moments.counts.size(window), moments.square(window), fourths)


def _mean_distance(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    distance: _Floats = _power_sum(block, source, window, np.abs) / block.moments(source).counts.size(window)
    return distance


def _count(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    counts = block.share(source, "present", lambda: block.counts(_present(block, source)))
    count = counts.size(window)
    if isinstance(count, np.ndarray):
        return count
    return np.full((len(block.series(source)) - window + 1, block.columns), count)


def _present(block: Block, source: Term) -> Mask:
    """Return which rows are not NaN: Count, unlike all other operators, counts infinities as values."""
    present = ~np.isnan(block.series(source)) & block.in_series(source)
    return None if present.all() else present


def _linear_weighted_mean(block: Block, _term: Term, source: Term, window: int) -> _Floats:
    """Return Qlib's WMA: linear weights that sum to one, and the weighted sum is divided by the count once more."""
    values = block.clean(source).values
    first = block.first_rows(source)
    length = np.clip(np.arange(window - 1, len(values))[:, None] - first + 1, 1, window).astype(np.float64)
    total = np.zeros((len(values) - window + 1, block.columns))
    for back in range(window):
        total += np.maximum(length - back, 0.0) * values[window - 1 - back : len(values) - back]
    counts = block.counts_of(source)
    return _blank_empty(total / (length * (length + 1) / 2) / counts.size(window), counts, window, 0)


ROLLING: Final = (
    Operator(name="Ref", signature=("series", "shift"), compute=_reference, reach=_shift_reach),
    Operator(name="Delta", signature=("series", "shift"), compute=_delta, reach=_shift_reach),
    _rolling("Sum", _sum, since.total, shares=("sums",)),
    _rolling("Mean", _mean, since.mean, check=None, shares=("sums", "moments")),
    _rolling("Std", _std, since.deviation, shares=("moments",)),
    _rolling("Var", _variance, since.variance, shares=("moments",)),
    _rolling("Skew", _skewness, since.skewness, check=_long_enough(3), shares=("moments",)),
    _rolling("Kurt", _kurtosis, since.kurtosis, check=_long_enough(4), shares=("moments",)),
    _rolling("Max", _largest, since.largest, shares=("maxima",)),
    _rolling("Min", _smallest, since.smallest, shares=("minima",)),
    _rolling("IdxMax", _place_of_largest, since.place_of_largest, shares=("maxima",)),
    _rolling("IdxMin", _place_of_smallest, since.place_of_smallest, shares=("minima",)),
    _rolling("Quantile", _order_statistic, since.quantile, family="quantiles", shares=("quantiles",), more=("level",)),
    _rolling("Med", _order_statistic, since.median, family="quantiles", shares=("quantiles",)),
    _rolling("Mad", _mean_distance, since.mean_distance, shares=("moments",)),
    _rolling("Rank", _rank, since.rank, family="ranks", shares=("ranks",)),
    _rolling("Count", _count, since.count, shares=("present",), makes_values=True, is_windowed=False),
    _rolling("Slope", _slope, since.slope, shares=("moments", "trend")),
    _rolling("Rsquare", _rsquare, since.rsquare, shares=("moments", "trend")),
    _rolling("Resi", _residual, since.residual, shares=("moments", "trend")),
    _rolling("WMA", _linear_weighted_mean, since.linear_weighted_mean),
    Operator(name="EMA", signature=("series", "span"), compute=since.exponential, reach=_whole_past, is_windowed=True),
)
