"""The largest of several normal values: what the best of N worthless strategies looks like."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from rollwright.errors import DataError

__all__ = ["NormalMaximum", "expected_normal_maximum", "measure_normal_maximum"]

_NORMAL: Final = NormalDist()
_EULER: Final = 0.57721566490153286
_CLOSED_FORM_FROM: Final = 5.0
_REACH: Final = 13.0
_STEPS_PER_UNIT: Final = 64


class NormalMaximum(NamedTuple):
    """Mean and variance of the largest of N independent standard normal values."""

    mean: float
    variance: float


@functools.lru_cache(maxsize=256)
def measure_normal_maximum(count: float) -> NormalMaximum:
    """Return mean and variance of the largest of `count` independent standard normal values, by quadrature.

    The density of the maximum is ``N φ(x) Φ(x)^(N−1)``, which is also taken at an N that is no integer, as an effective
    number of trials is. The trapezoidal rule on a smooth function that vanishes at both ends converges faster than any
    power of its step; with 64 points a unit, twelve digits stand.

    Raises
    ------
    DataError
        For a `count` below 1 or one that is not finite.
    """
    _check_count(count)
    if count == 1:
        return NormalMaximum(0.0, 1.0)
    x = np.linspace(-_REACH, _REACH, int(2 * _REACH * _STEPS_PER_UNIT) + 1)
    log_below = np.array([_log_cdf(value) for value in x])
    density = np.exp(math.log(count) - x * x / 2 - math.log(2 * math.pi) / 2 + (count - 1) * log_below)
    weights = density / density.sum()
    mean = float(weights @ x)
    return NormalMaximum(mean, float(weights @ (x - mean) ** 2))


def expected_normal_maximum(count: float) -> float:
    """Return the mean of the largest of `count` independent standard normal values, as the published tables have it.

    ``(1 − γ) Φ⁻¹(1 − 1/N) + γ Φ⁻¹(1 − 1/(N e))`` with Euler's γ (Bailey and López de Prado, 2014) from five values on,
    where it is 0.1 to 1.1 % above the truth. Below, where it is up to 8 % under it, `measure_normal_maximum`.

    Raises
    ------
    DataError
        For a `count` below 1 or one that is not finite.
    """
    _check_count(count)
    if count < _CLOSED_FORM_FROM:
        return measure_normal_maximum(count).mean
    outer = _NORMAL.inv_cdf(1 - 1 / count)
    inner = _NORMAL.inv_cdf(1 - 1 / (count * math.e))
    return (1 - _EULER) * outer + _EULER * inner


def _log_cdf(value: float) -> float:
    """Return ``log Φ(value)``, which stays finite far to the left and exact far to the right."""
    if value > 0:
        return math.log1p(-math.erfc(value / math.sqrt(2)) / 2)
    return math.log(math.erfc(-value / math.sqrt(2)) / 2)


def _check_count(count: float) -> None:
    if not (math.isfinite(count) and count >= 1):
        raise DataError(f"{count} trials: a finite number from 1 on is needed")
