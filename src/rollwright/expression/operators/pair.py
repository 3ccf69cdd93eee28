"""Operators over a sliding window of two inputs (Corr, Cov), on the sessions where both have a value."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.block import Block, Values
from rollwright.expression.expanding import Expanding
from rollwright.expression.operators.registry import Operator
from rollwright.expression.operators.rolling import FLAT, whole_window, window_of, window_reach
from rollwright.expression.term import Term

__all__ = ["PAIR"]


def _correlation(block: Block, term: Term) -> Values:
    left, right = term.inputs
    window = window_of(term)
    if window == 0:
        one, two, after = _since_listing(block, term)
        return block.cut(one.product(two) / np.sqrt(one.central(2) * two.central(2)), after, term)
    cross = block.cross_moments(left, right)
    squares = (block.cut(side.square(window), cross.after, term) for side in (cross.left, cross.right))
    values = np.multiply(*squares)
    np.sqrt(values, out=values)
    np.divide(block.cut(cross.product(window), cross.after, term), values, out=values)
    for source in (left, right):
        np.copyto(values, np.nan, where=_is_flat(block, source, window, term))
    return values


def _is_flat(block: Block, source: Term, window: int, term: Term) -> NDArray[np.bool_]:
    """Return where the source itself is constant over all its values in the window."""
    deviation = block.moments(source).deviation(window, block.unread(source, term, window))
    flat: NDArray[np.bool_] = block.cut(deviation, block.after(source), term) <= FLAT
    return flat


def _covariance(block: Block, term: Term) -> Values:
    window = window_of(term)
    if window == 0:
        one, two, after = _since_listing(block, term)
        return block.cut(one.product(two) / one.freedom(), after, term)
    cross = block.cross_moments(*term.inputs)
    return block.cut(cross.product(window) / cross.counts.freedom(window), cross.after, term)


def _since_listing(block: Block, term: Term) -> tuple[Expanding, Expanding, int]:
    """Return both inputs on their common rows, from the first row with both values, and the rows after the block."""
    (first, second), mask, after = block.pair(*term.inputs)
    return Expanding(first, mask), Expanding(second, mask), after


PAIR: Final = (
    Operator(
        name="Corr",
        signature=("series", "series", "window"),
        compute=_correlation,
        reach=window_reach,
        check=whole_window,
        shares=("moments", "cross"),
        is_windowed=True,
    ),
    Operator(
        name="Cov",
        signature=("series", "series", "window"),
        compute=_covariance,
        reach=window_reach,
        check=whole_window,
        shares=("moments", "cross"),
        is_windowed=True,
    ),
)
