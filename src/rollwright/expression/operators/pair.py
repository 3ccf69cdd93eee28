"""Operators over a window of two inputs, on the sessions where both have a value."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.block import Block, Values
from rollwright.expression.operators.registry import Operator
from rollwright.expression.operators.rolling import FLAT, window_of, window_reach
from rollwright.expression.term import Term

__all__ = ["PAIR"]


def _correlation(block: Block, term: Term) -> Values:
    left, right = term.inputs
    window = window_of(term)
    cross = block.cross_moments(left, right)
    product = cross.product(window)
    correlation = product / np.sqrt(cross.left.square(window) * cross.right.square(window))
    values = block.cut(correlation, cross.after, term)
    flat = _is_flat(block, left, window, term) | _is_flat(block, right, window, term)
    return np.where(flat, np.nan, values)


def _is_flat(block: Block, source: Term, window: int, term: Term) -> NDArray[np.bool_]:
    """Return where the source by itself, over all its values in the window, does not move."""
    deviation = block.shared(source, ("deviation", window), lambda: block.moments(source).deviation(window))
    flat: NDArray[np.bool_] = block.cut(deviation, block.after(source), term) <= FLAT
    return flat


def _covariance(block: Block, term: Term) -> Values:
    window = window_of(term)
    cross = block.cross_moments(*term.inputs)
    return block.cut(cross.product(window) / (cross.counts.size(window) - 1.0), cross.after, term)


PAIR: Final = (
    Operator(
        name="Corr",
        signature=("series", "series", "window"),
        compute=_correlation,
        reach=window_reach,
    ),
    Operator(
        name="Cov",
        signature=("series", "series", "window"),
        compute=_covariance,
        reach=window_reach,
    ),
)
