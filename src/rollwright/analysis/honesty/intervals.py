"""Intervals for the mean of a daily series whose days are not independent, by the circular block bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.analysis.honesty.student import student_quantile, student_tails
from rollwright.errors import DataError

__all__ = ["MeanInterval", "bound_mean", "choose_block", "estimate_mean", "optimal_block_length"]

_LEAST_DAYS: Final = 16
_LEAST_BLOCKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanInterval:
    """A mean with its interval.

    Attributes
    ----------
    mean, lower, upper : float
        In the units of the series.
    error : float
        Standard error of the mean.
    level : float
        Probability that the interval covers the true mean, nominally.
    days : int
        Values it was taken from.
    block : int
        Days of a block.
    """

    mean: float
    lower: float
    upper: float
    error: float
    level: float
    days: int
    block: int

    @property
    def p_value(self) -> float:
        """How probable a mean at least as far from 0 is where the true one is 0; NaN for a series of zeros.

        Below ``1 − level`` when, and only when, the interval does not hold 0.
        """
        if self.error == 0:
            return 0.0 if self.mean else math.nan
        return student_tails(abs(self.mean) / self.error, self.days / self.block - 1)


def estimate_mean(values: ArrayLike, *, label_span: int = 1, level: float = 0.95) -> MeanInterval | None:
    """Return the mean of a daily series with an interval that allows for the dependence of its days.

    The circular block bootstrap (Politis and Romano, 1992) draws whole blocks of days. The variance of its means needs
    no drawing: it is the mean square of the sums over all blocks, so the result is the same each time. Blocks are twice
    as long as `optimal_block_length` says and as `label_span`, since blocks just long enough cut half of the
    dependence between neighbours off; and the interval is Student's with one degree of freedom less than there are
    blocks, since so few are known of. How often such intervals cover the truth is measured in docs/honest-numbers.md.

    Parameters
    ----------
    values : array-like, shape (T,)
        Values of the days in order, such as daily coefficients; NaN where a day has none, which is left out.
    label_span : int, default 1
        Sessions of future that the label reads: days nearer than that share returns.
    level : float, default 0.95

    Returns
    -------
    MeanInterval or None
        None where the values are fewer than 16 or than four blocks: too few to say how much they vary.

    Raises
    ------
    DataError
        For an infinite value, a `label_span` below 1, or a `level` that is no probability.
    """
    if not 0 < level < 1:
        raise DataError(f"level {level}: a number between 0 and 1 is needed")
    known = _take_known(values)
    days = len(known)
    block = choose_block(known, label_span=label_span)
    if block is None:
        return None
    blocks = days / block
    # The variance of the mean of days/block blocks, each drawn from all that start at one of the days of a circle.
    centred = known - known.mean()
    total = np.concatenate([[0.0], np.concatenate([centred, centred[:block]]).cumsum()])
    sums = total[block : block + days] - total[:days]
    variance = float(sums @ sums) / days / block / days * blocks / (blocks - 1)
    error = math.sqrt(variance)
    reach = student_quantile((1 + level) / 2, blocks - 1) * error
    mean = float(known.mean())
    return MeanInterval(
        mean=mean, lower=mean - reach, upper=mean + reach, error=error, level=level, days=days, block=block
    )


def choose_block(values: ArrayLike, *, label_span: int = 1) -> int | None:
    """Return how many days a block of the bootstrap has: twice what `optimal_block_length` and `label_span` say.

    None where the values are fewer than 16 or than four blocks. Arguments and errors are those of `estimate_mean`.
    """
    if label_span < 1:
        raise DataError(f"a label that reads {label_span} sessions: 1 or more is needed")
    known = _take_known(values)
    if len(known) < _LEAST_DAYS:
        return None
    block = math.ceil(2 * max(optimal_block_length(known), float(label_span)))
    block = min(block, max(len(known) // _LEAST_BLOCKS, 2 * label_span))
    return block if len(known) / block >= _LEAST_BLOCKS else None


def bound_mean(values: ArrayLike, *, label_span: int = 1, level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of a daily series and both ends of the interval that `estimate_mean` gives it.

    The mean is NaN where no day has a value, the ends are where so few do not tell an interval. Arguments and errors
    are those of `estimate_mean`.
    """
    found = estimate_mean(values, label_span=label_span, level=level)
    if found is not None:
        return found.mean, found.lower, found.upper
    known = _take_known(values)
    return float(known.mean()) if len(known) else math.nan, math.nan, math.nan


def optimal_block_length(values: ArrayLike) -> float:
    """Return the block length that the circular bootstrap of the mean needs, in values; 1 for independent ones.

    Politis and White (2004) with the correction of Patton, Politis and White (2009): ``(2 G² / D)^(1/3) T^(1/3)`` with
    ``G = Σ λ(k/M) |k| R(k)``, ``D = 4/3 (Σ λ(k/M) R(k))²``, autocovariances R and the flat-top window λ. M is twice the
    smallest lag after which five autocorrelations in a row are within
    ``2 √(log₁₀ T / T)``. At most ``min(3 √T, T / 3)``.

    Raises
    ------
    DataError
        For fewer than 16 values or one that is infinite.
    """
    known = _take_known(values)
    days = len(known)
    if days < _LEAST_DAYS:
        raise DataError(f"{days} values: a block length needs at least {_LEAST_DAYS}")
    centred = known - known.mean()
    variance = float(centred @ centred) / days
    if variance == 0:
        return 1.0
    run = max(5, math.ceil(math.sqrt(math.log10(days))))
    most = min(math.ceil(math.sqrt(days)) + run, days - 1)
    covariances = np.array([float(centred[lag:] @ centred[: days - lag]) / days for lag in range(most + 1)])
    small = np.abs(covariances / variance) < 2 * math.sqrt(math.log10(days) / days)
    last = next((lag for lag in range(most - run + 1) if small[lag + 1 : lag + 1 + run].all()), None)
    width = most if last is None else min(2 * max(last, 1), most)
    lags = np.arange(1, width + 1)
    weights = np.minimum(1.0, 2 * (1 - lags / width))
    slope = 2 * float((weights * lags) @ covariances[1 : width + 1])
    spectrum = variance + 2 * float(weights @ covariances[1 : width + 1])
    longest = float(math.ceil(min(3 * math.sqrt(days), days / 3)))
    if spectrum <= 0:
        return longest
    length: float = (2 * slope * slope / (4 / 3 * spectrum * spectrum) * days) ** (1 / 3)
    return min(max(length, 1.0), longest)


def _take_known(values: ArrayLike) -> NDArray[np.float64]:
    """Return the values that are not NaN, as float64 in order."""
    known = np.asarray(values, dtype=np.float64)
    if known.ndim != 1:
        raise DataError(f"values of shape {known.shape}: one series is needed")
    known = known[~np.isnan(known)]
    bad = np.flatnonzero(np.isinf(known))
    if len(bad):
        raise DataError(f"{len(bad)} of {len(known)} values are infinite")
    return known
