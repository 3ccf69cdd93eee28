"""Differences of two strategies on the same days, with intervals: of their means, and of their information ratios."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.analysis.honesty.intervals import MeanInterval, estimate_mean
from rollwright.errors import DataError

__all__ = ["PairedDifference", "compare_information_ratios", "compare_means"]


class PairedDifference(NamedTuple):
    """A difference with its interval.

    Attributes
    ----------
    difference : float
        The one less the baseline; NaN where there is none.
    lower, upper : float
        NaN where the days are too few to tell an interval.
    p_value : float
        How probable a difference at least as far from 0 is where there is none; NaN where that cannot be told, as for
        two series that are the same.
    """

    difference: float
    lower: float
    upper: float
    p_value: float


def compare_means(
    values: ArrayLike, baseline: ArrayLike, *, label_span: int = 1, level: float = 0.95, scale: float = 1.0
) -> PairedDifference:
    """Return the difference of two means, by the block bootstrap of the daily differences (`estimate_mean`).

    Parameters
    ----------
    values, baseline : array-like, shape (T,)
        Values of the same days in order; a day on which one is NaN is left out.
    label_span : int, default 1
        Sessions of future that the label reads.
    level : float, default 0.95
    scale : float, default 1.0
        What the difference is multiplied by: the sessions of a year for annual returns.

    Raises
    ------
    DataError
        For series of different lengths, and as `estimate_mean`.
    """
    own, other = _pair(values, baseline)
    if not len(own):
        return PairedDifference(math.nan, math.nan, math.nan, math.nan)
    differences = (own - other) * scale
    return _tell(float(differences.mean()), estimate_mean(differences, label_span=label_span, level=level))


def compare_information_ratios(
    values: ArrayLike, baseline: ArrayLike, *, periods: float, label_span: int = 1, level: float = 0.95
) -> PairedDifference:
    """Return the difference of two annual information ratios, mean over deviation (``ddof=1``) of daily excess returns.

    Each ratio varies with the days as the mean of its influence function does: ``(x − m)/s − m/2s³ ((x − m)² − s²)``,
    so the interval is that of the mean of a daily series (Ledoit and Wolf, 2008, with the block bootstrap of
    `estimate_mean` for the variance). Parameters and errors are those of `compare_means`; a series of equal values has
    no ratio, nor a difference.
    """
    own, other = _pair(values, baseline)
    if len(own) < 2 or np.ptp(own) == 0 or np.ptp(other) == 0:
        return PairedDifference(math.nan, math.nan, math.nan, math.nan)
    year = math.sqrt(periods)
    (first, influence), (second, other_influence) = _influence(own), _influence(other)
    difference = (first - second) * year
    found = estimate_mean((influence - other_influence) * year + difference, label_span=label_span, level=level)
    return _tell(difference, found)


def _pair(values: ArrayLike, baseline: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values of the days on which both are known."""
    own, other = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if own.ndim != 1 or own.shape != other.shape:
        raise DataError(f"series of shapes {own.shape} and {other.shape}: two of the same days are needed")
    known = ~(np.isnan(own) | np.isnan(other))
    return own[known], other[known]


def _influence(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the ratio of mean and deviation, and how each day moves it."""
    centred = values - values.mean()
    variance = float(np.square(centred).mean())
    deviation = math.sqrt(variance)
    ratio = float(values.mean()) / math.sqrt(variance * len(values) / (len(values) - 1))
    slope = float(values.mean()) / (2 * variance * deviation)
    return ratio, centred / deviation - slope * (np.square(centred) - variance)


def _tell(difference: float, found: MeanInterval | None) -> PairedDifference:
    if found is None:
        return PairedDifference(difference, math.nan, math.nan, math.nan)
    return PairedDifference(difference, found.lower, found.upper, found.p_value)
