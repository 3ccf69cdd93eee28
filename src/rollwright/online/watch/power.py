"""How soon a sequence would find a loss: measured on drawn values, since no formula tells it for so few of them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from rollwright.online.watch.sequence import BET_SIZES, FallTest

__all__ = ["find_median_delay"]

_SERIES: Final = 400
_SEED: Final = 140


def find_median_delay(test: FallTest, *, mean: float, deviation: float, most: int = 1008) -> int | None:
    """Return how many values it takes, half of the time, until a fall to `mean` is an alarm.

    The values are normal and independent, and the sequence begins when the mean has fallen; one that has run for long
    finds it a little sooner. The same arguments give the same number.

    Parameters
    ----------
    test : FallTest
    mean, deviation : float
        Of the values after the fall.
    most : int, default 1008
        Values after which the search ends.

    Returns
    -------
    int or None
        None when it takes more than `most`.
    """
    if not math.isfinite(mean) or not math.isfinite(deviation) or deviation < 0:
        return None
    values = np.random.default_rng(_SEED).normal(mean, deviation, (most, _SERIES))
    below = test.bound - np.clip(values, test.lowest, test.highest)
    sizes = np.asarray(BET_SIZES) / (test.highest - test.bound)
    stakes, found = np.zeros((len(sizes), _SERIES)), np.zeros(_SERIES, dtype=np.bool_)
    for number, row in enumerate(below, start=1):
        stakes = (stakes + 1) * (1 + sizes[:, None] * row)
        found |= stakes.mean(axis=0) >= test.limit
        if found.sum() * 2 >= _SERIES:
            return number
        stakes[:, found] = 0.0
    return None
