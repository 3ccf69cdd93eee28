"""Between which ranks each of several models lies, by the bootstrap distribution of its rank."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rollwright.analysis.honesty.student import student_quantile
from rollwright.analysis.honesty.trial_count import check_return_matrix
from rollwright.errors import DataError

__all__ = ["RankInterval", "bound_ranks"]


_NORMAL: Final = NormalDist()
_LEAST_BLOCKS: Final = 4


class RankInterval(NamedTuple):
    """The rank of a model, 1 being the best, and its interval.

    Attributes
    ----------
    rank : int
        One more than the number of models that are better.
    lower, upper : int
        Ranks of the ends; models that are alike in a draw share all their ranks.
    """

    rank: int
    lower: int
    upper: int


def bound_ranks(
    means: ArrayLike, draws: ArrayLike, *, level: float = 0.95, blocks: float | None = None
) -> list[RankInterval]:
    """Return the rank of each model, with the narrowest ranks that hold all but ``1 − level`` of its draws.

    Of the draws at most ``(1 − level) / 2`` lie beyond either end. How often such intervals hold the true rank is
    measured in docs/honest-numbers.md.

    Parameters
    ----------
    means : array-like, shape (N,)
        Mean of each model, more being better.
    draws : array-like, shape (draws, N)
        The means of the same models in each draw of a bootstrap, as `BlockDraws.means` returns them.
    level : float, default 0.95
    blocks : float, optional
        How many blocks the days are, 4 or more: the draws are spread to the width of an interval by Student's
        distribution with one degree less, as `estimate_mean` makes it.

    Raises
    ------
    DataError
        For means and draws of different models, one that is not finite, a `level` that is no probability, or fewer
        than 4 blocks.
    """
    if blocks is not None and not blocks >= _LEAST_BLOCKS:
        raise DataError(f"{blocks} blocks: an interval needs at least {_LEAST_BLOCKS}")
    if not 0 < level < 1:
        raise DataError(f"level {level}: a number between 0 and 1 is needed")
    drawn = check_return_matrix(draws, periods=1, trials=1)
    known = np.asarray(means, dtype=np.float64)
    if known.shape != drawn.shape[1:] or not np.isfinite(known).all():
        raise DataError(f"means of shape {known.shape}: one finite mean is needed for each of {drawn.shape[1]} models")
    if blocks is not None:
        wanted = student_quantile((1 + level) / 2, blocks - 1) * math.sqrt(blocks / (blocks - 1))
        drawn = known + (drawn - known) * (wanted / _NORMAL.inv_cdf((1 + level) / 2))
    ordered = np.sort(-drawn, axis=1)
    pairs = list(zip(ordered, -drawn, strict=True))
    first = np.sort([np.searchsorted(row, values, side="left") + 1 for row, values in pairs], axis=0)
    last = np.sort([np.searchsorted(row, values, side="right") for row, values in pairs], axis=0)
    beyond = math.floor((1 - level) / 2 * len(drawn) + 1e-9)  # 0.05 of 1,000 are 50, not 49.999…
    lower, upper = first[beyond], last[len(drawn) - 1 - beyond]
    ranks = 1 + (known[None, :] > known[:, None]).sum(axis=1)
    return [RankInterval(*map(int, each)) for each in zip(ranks, lower, upper, strict=True)]
