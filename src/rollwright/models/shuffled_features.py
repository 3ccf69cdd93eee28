"""Features by what shuffling them costs: the second half of DoubleEnsemble (Zhang et al., 2020).

1. The values of one feature are shuffled among the samples; ``g = mean(d) / std(d)``, where ``d`` is how much the loss
   of each sample grew. A feature that no sub-model asks has 0, which needs no shuffling.
2. The range of g is divided into bins of equal width. From each bin a share of its features is drawn, a larger one from
   a bin of larger g, so that a feature that looks useless by chance may stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.models.mapped_reading import drop_while_copied
from rollwright.models.tabular import row_blocks
from rollwright.models.trajectory_weights import Floats, bin_equally

__all__ = ["draw_features", "shuffle_gains"]

_ROWS: Final = 1 << 14  # scored at a time, so that a copy of 158 features takes 10 MB
_COLUMNS: Final = 16  # read from the fold in one pass: a column of a file by rows is spread over all of it
_LEAST: Final = 1e-7


@dataclass(slots=True)
class _Moments:
    """Mean and sum of squared deviations of values that come in parts."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Floats) -> None:
        count, mean = len(values), float(values.mean())
        both = self.count + count
        gap = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + gap * gap * self.count * count / both
        self.mean += gap * count / both
        self.count = both

    def ratio(self) -> float:
        """Return the mean over the standard deviation."""
        return self.mean / (math.sqrt(self.squares / self.count) + _LEAST)


def shuffle_gains(
    features: NDArray[Any],
    asked: Sequence[int],
    loss_of: Callable[[NDArray[Any], int, slice], Floats],
    losses: Floats,
    *,
    rng: np.random.Generator,
) -> Floats:
    """Return g of each feature: the mean over the standard deviation of what shuffling it adds to the losses.

    Takes memory for `_COLUMNS` columns of the fold and a copy of `_ROWS` rows; the fold is not changed.

    Parameters
    ----------
    features : array [samples, features]
        C-contiguous; may be a read-only map.
    asked : sequence of int
        The features to be shuffled, rising; the others have 0.
    loss_of : callable
        ``loss_of(block, feature, rows)`` returns the loss of each sample of `block`, which are the samples `rows` with
        that one feature shuffled.
    losses : array [samples]
        Without shuffling.
    rng : Generator
        Draws one permutation for each feature of `asked`, in their order.
    """
    gains = np.zeros(features.shape[1])
    with drop_while_copied([features]):
        for first in range(0, len(asked), _COLUMNS):
            group = list(asked[first : first + _COLUMNS])
            columns = np.take(features, group, axis=1)
            shuffled = [rng.permutation(columns[:, place]) for place in range(len(group))]
            del columns
            moments = [_Moments() for _ in group]
            for rows in row_blocks(len(features), _ROWS):
                block = features[rows].copy()
                for feature, values, found in zip(group, shuffled, moments, strict=True):
                    kept = block[:, feature].copy()
                    block[:, feature] = values[rows]
                    found.add(loss_of(block, feature, rows) - losses[rows])
                    block[:, feature] = kept
            gains[group] = [found.ratio() for found in moments]
    return gains


def draw_features(gains: Floats, *, ratios: Sequence[float], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the features for the next sub-model, rising; at least one.

    Parameters
    ----------
    gains : array [features]
    ratios : sequence of float
        The share drawn from each of as many bins, that of the largest gains first; the first one is above 0.
    rng : Generator
        Draws from each bin that is not empty, without replacement, from the largest gains on.
    """
    place = bin_equally(gains, len(ratios))
    drawn: list[NDArray[np.intp]] = []
    for number, ratio in enumerate(ratios):
        members = np.flatnonzero(place == len(ratios) - 1 - number)
        size = math.ceil(round(ratio * len(members), 9))  # 0.55 of 100 is 55, not 56
        drawn.append(rng.choice(members, size=size, replace=False) if size else members[:0])
    return np.sort(np.concatenate(drawn))
