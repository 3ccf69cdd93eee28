"""Student's distribution, for any number of degrees of freedom from 3 on."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["student_quantile", "student_tails", "student_to_normal"]

_NORMAL: Final = NormalDist()
_LEAST_TAIL: Final = 1e-300


@functools.lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's distribution at a `probability` above a half; `freedom` is any number from 3 on.

    With ``t = √ν tan θ`` the density becomes ``cos^(ν−1) θ`` on (−π/2, π/2), smooth enough for Gauss and Legendre; the
    angle is found by halving.
    """
    nodes, weights = _find_nodes()
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        inside = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (freedom - 1))
        low, high = (angle, high) if inside < (probability - 0.5) * whole else (low, angle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def student_tails(size: float, freedom: float) -> float:
    """Return how probable a value of Student's distribution beyond ``±size`` is; `freedom` is any number from 3 on."""
    nodes, weights = _find_nodes()
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    half = math.atan2(math.sqrt(freedom), size) / 2  # of the angle that is left to a right one
    tail = half * float(weights @ np.sin(half * (nodes + 1)) ** (freedom - 1))
    return min(2 * tail / whole, 1.0)


def student_to_normal(size: float, freedom: float) -> float:
    """Return the normal value that is as rare as a value of `size` or more of Student's distribution, from 0 on."""
    tail = student_tails(size, freedom) / 2
    return -_NORMAL.inv_cdf(max(tail, _LEAST_TAIL)) if math.isfinite(size) else size


@functools.cache
def _find_nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of Gauss and Legendre."""
    return np.polynomial.legendre.leggauss(96)
