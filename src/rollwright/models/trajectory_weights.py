"""Sample weights by learning trajectory: the first half of DoubleEnsemble (Zhang et al., 2020).

A sample is easy when the ensemble's loss on it is small, and noise when its loss does not fall while a sub-model
learns. Either makes its h-value large and its weight small, so the next sub-model learns from the hard samples that can
be learnt:

1. A loss is replaced by its rank among all samples, as a share of them.
2. ``h = alpha1 · rank(−loss) + alpha2 · rank(end / start)``, where ``start`` and ``end`` are the mean ranks of the loss
   in the first and the last tenth of the rounds of the sub-model learnt last.
3. The range of h is divided into bins of equal width; a sample weighs ``1 / (decay^k · mean h of its bin + 0.1)`` after
   ``k`` sub-models.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["bin_equally", "rank_share", "trajectory_rounds", "trajectory_weights"]

Floats: TypeAlias = NDArray[np.float64]

_SHARE: Final = 0.1
_LEAST: Final = 0.1
"""Added to the denominator of a weight, so that none is above ten."""


def trajectory_rounds(rounds: int) -> tuple[range, range]:
    """Return the rounds, counted from 1, whose losses are the start and the end of a trajectory: a tenth each."""
    part = max(int(rounds * _SHARE), 1)
    return range(1, part + 1), range(rounds - part + 1, rounds + 1)


def rank_share(values: Floats) -> Floats:
    """Return the rank of each value as a share of their number, in (0, 1]; equal values share their mean rank."""
    return np.asarray(pd.Series(values).rank(pct=True), dtype=np.float64)


def trajectory_weights(
    start: Floats, end: Floats, losses: Floats, *, alpha1: float, alpha2: float, bins: int, decay: float
) -> Floats:
    """Return the weight of each sample for the next sub-model; it is above 0 and at most 10.

    Parameters
    ----------
    start, end : array [samples]
        Mean `rank_share` of the losses over the rounds that `trajectory_rounds` tells.
    losses : array [samples]
        Of the ensemble so far.
    alpha1, alpha2 : float
        How much a small loss counts, and how much a loss that did not fall; neither negative.
    bins : int
    decay : float
        Above 0; already to the power of the number of sub-models.
    """
    h = alpha1 * rank_share(-losses) + alpha2 * rank_share(end / start)
    place = bin_equally(h, bins)
    count = np.bincount(place, minlength=bins)
    mean = np.bincount(place, weights=h, minlength=bins) / np.maximum(count, 1)
    weights: Floats = (1.0 / (decay * mean + _LEAST))[place]
    return weights


def bin_equally(values: Floats, bins: int) -> NDArray[np.intp]:
    """Return the bin of each value, 0 the lowest: `bins` bins of equal width, each closed above.

    Equal values are all in the highest bin.
    """
    low, high = values.min(), values.max()
    if not high > low:
        return np.full(len(values), bins - 1, dtype=np.intp)
    return np.searchsorted(np.linspace(low, high, bins + 1)[1:-1], values, side="left")
