"""The window operators with a window that starts at the listing day (``N = 0``) or with exponential weights.

Each function takes the block, the call and its input, and returns values on all rows of the input.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression import expanding
from rollwright.expression.block import Block, Values
from rollwright.expression.expanding import Expanding, by_column
from rollwright.expression.moments import kurtosis as sample_kurtosis
from rollwright.expression.moments import skewness as sample_skewness
from rollwright.expression.quantiles import MEDIAN, Quantile
from rollwright.expression.term import Term

_Floats: TypeAlias = NDArray[np.float64]


def _expanding(block: Block, source: Term) -> Expanding:
    return block.share(source, "expanding", lambda: Expanding(*block.clean(source)))


def total(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the sums."""
    past = _expanding(block, source)
    return past.blank(past.total)


def mean(block: Block, term: Term, source: Term, _window: int) -> _Floats:
    """Return the means, with exponential weights when the window is a fraction."""
    if term.literals[0]:
        return expanding.exponential_mean(*block.clean(source), float(term.literals[0]))
    return _expanding(block, source).mean()


def exponential(block: Block, term: Term) -> Values:
    """Return Qlib's EMA: by span from 1, by weight of the newest for a fraction."""
    source, window = term.inputs[0], float(term.literals[0])
    values, mask = block.clean(source)
    if window == 0:
        average = expanding.decaying_mean(values, mask, block.first_rows(source))
    else:
        average = expanding.exponential_mean(values, mask, window if window < 1 else 2.0 / (window + 1.0))
    return block.cut(average, block.after(source), term)


def variance(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the sample variances."""
    past = _expanding(block, source)
    spread: _Floats = past.central(2) / past.freedom()
    return spread


def deviation(block: Block, term: Term, source: Term, window: int) -> _Floats:
    """Return the sample standard deviations."""
    root: _Floats = np.sqrt(variance(block, term, source, window))
    return root


def skewness(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the sample skewness."""
    past = _expanding(block, source)
    return sample_skewness(past.size, past.central(2), past.central(3))


def kurtosis(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the sample excess kurtosis."""
    past = _expanding(block, source)
    return sample_kurtosis(past.size, past.central(2), past.central(4))


def largest(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the maxima."""
    return expanding.running_extreme(block.selectable(source), largest=True)


def smallest(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the minima."""
    return expanding.running_extreme(block.selectable(source), largest=False)


def place_of_largest(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the places of the maxima."""
    return _place(block, source, is_largest=True)


def place_of_smallest(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the places of the minima."""
    return _place(block, source, is_largest=False)


def _place(block: Block, source: Term, *, is_largest: bool) -> _Floats:
    values = block.selectable(source)
    gaps = np.isnan(values) & block.in_series(source)
    return expanding.running_place(values, gaps, block.first_rows(source), largest=is_largest)


def quantile(block: Block, term: Term, source: Term, _window: int) -> _Floats:
    """Return the quantiles."""
    chosen = Quantile(float(term.literals[1]))
    return by_column(block.selectable(source), expanding.order_statistic(chosen))


def median(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the medians."""
    return by_column(block.selectable(source), expanding.order_statistic(MEDIAN))


def mean_distance(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the mean absolute distances from the mean."""
    return by_column(block.selectable(source), expanding.mean_distance)


def rank(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the ranks of the latest values, as shares."""
    return by_column(block.selectable(source), expanding.rank_so_far)


def count(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return how many values there were."""
    present = ~np.isnan(block.series(source)) & block.in_series(source)
    return np.cumsum(present, axis=0, dtype=np.float64)


def slope(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the slopes over time."""
    products, spread, _ = _expanding(block, source).trend()
    tilt: _Floats = products / spread
    return tilt


def rsquare(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return R-squared: the share of the variance that a line over time explains."""
    past = _expanding(block, source)
    products, spread, _ = past.trend()
    explained: _Floats = products * products / (spread * past.central(2))
    return explained


def residual(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return the distances of the latest values from the line."""
    past = _expanding(block, source)
    products, spread, now = past.trend()
    distance: Any = past.centred + past.anchor - past.mean() - products / spread * now
    return np.where(past.valid, distance, np.nan)


def linear_weighted_mean(block: Block, _term: Term, source: Term, _window: int) -> _Floats:
    """Return Qlib's WMA over all rows so far."""
    values, _ = block.clean(source)
    length = np.maximum(np.arange(len(values))[:, None] - block.first_rows(source) + 1, 1).astype(np.float64)
    past = _expanding(block, source)
    average: _Floats = np.cumsum(length * values, axis=0) / (length * (length + 1) / 2) / past.size
    return past.blank(average)
