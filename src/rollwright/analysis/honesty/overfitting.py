"""Probability of back-test overfitting: how often the best in one half of history is below the middle in the other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.analysis.honesty.trial_count import check_return_matrix
from rollwright.errors import DataError

__all__ = ["OverfittingResult", "probability_of_backtest_overfitting"]

_MOST_BLOCKS: Final = 20
_FLAT: Final = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OverfittingResult:
    """What every split of the history into two halves showed.

    Attributes
    ----------
    probability : float
        Share of splits whose winner in sample ranks at or below the middle out of sample (PBO).
    logits : ndarray of float64, shape (splits,)
        ``log(w / (1 − w))`` of the winner's relative rank w out of sample, 1 being the best.
    winners : ndarray of int, shape (splits,)
        Column of the winner in sample.
    in_sample, out_of_sample : ndarray of float64, shape (splits,)
        The winner's Sharpe ratio, per period, in either half.
    """

    probability: float
    logits: NDArray[np.float64]
    winners: NDArray[np.intp]
    in_sample: NDArray[np.float64]
    out_of_sample: NDArray[np.float64]

    @property
    def probability_of_loss(self) -> float:
        """Share of splits whose winner in sample loses money out of sample."""
        return float((self.out_of_sample < 0).mean())


def probability_of_backtest_overfitting(returns: ArrayLike, *, blocks: int = 16) -> OverfittingResult:
    """Return how often the strategy that is best in one half of the periods is below the middle in the other half.

    Combinatorially symmetric cross-validation (Bailey, Borwein, López de Prado and Zhu, 2017): the periods are cut into
    contiguous blocks, and each way of taking half of them is a sample whose best strategy, by Sharpe ratio, is ranked
    in the rest. Worthless strategies give about 0.5, one with a true edge nearly 0; columns whose means over the whole
    sample are equal, exactly 1.

    Parameters
    ----------
    returns : array-like, shape (T, N)
        A column for each strategy that was tried, all on one calendar; N is 2 or more, T twice `blocks` or more.
    blocks : int, default 16
        Even, from 2 to 20. Where T is no multiple of it, the first blocks have a period more.

    Raises
    ------
    DataError
        For another number of blocks, too few returns, one that is not finite, or a strategy that returns the same in
        every period of a half.
    """
    if blocks % 2 or not 2 <= blocks <= _MOST_BLOCKS:
        raise DataError(f"{blocks} blocks: an even number from 2 to {_MOST_BLOCKS} is needed")
    values = check_return_matrix(returns, periods=2 * blocks, trials=2)
    # 1. Sums of each block: a half is judged from them, so that no return is read twice. Taking the mean off first
    #    keeps the variance from being a small difference of large sums.
    middle = values.mean(axis=0)
    centred = values - middle
    sizes = np.full(blocks, len(values) // blocks)
    sizes[: len(values) % blocks] += 1
    starts = np.concatenate([[0], sizes.cumsum()[:-1]])
    sums = np.add.reduceat(centred, starts, axis=0)
    squares = np.add.reduceat(centred * centred, starts, axis=0)
    # 2. Every half, in the order of itertools: the rest of the half at place i is the half at place -1 - i.
    halves = np.zeros((math.comb(blocks, blocks // 2), blocks))
    chosen = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    np.put_along_axis(halves, chosen, 1.0, axis=1)
    inside = _sharpe_ratios(halves @ sizes, halves @ sums, halves @ squares, middle)
    outside = inside[::-1]
    # 3. The winner of each half, and its rank in the rest; equal ratios share the mean of their ranks.
    winners = inside.argmax(axis=1)
    rows = np.arange(len(inside))
    reached = outside[rows, winners]
    below = (outside < reached[:, None]).sum(axis=1)
    equal = (outside == reached[:, None]).sum(axis=1)
    share = (below + (equal + 1) / 2) / (values.shape[1] + 1)
    logits = np.log(share / (1 - share))
    return OverfittingResult(
        probability=float((logits <= 0).mean()),
        logits=logits,
        winners=winners,
        in_sample=inside[rows, winners],
        out_of_sample=reached,
    )


def _sharpe_ratios(
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    middle: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the Sharpe ratio of each strategy in each half, from sums of returns less `middle`."""
    count = counts[:, None]
    means = sums / count
    variance = (squares - count * means * means) / (count - 1)
    flat = np.argwhere(variance <= _FLAT * squares / count)
    if len(flat):
        raise DataError(
            f"strategy {flat[0][1]} returns the same in every period of a half of the history: "
            "its Sharpe ratio is not defined there",
            hint="leave out strategies that did not trade, or take fewer blocks",
        )
    ratios: NDArray[np.float64] = (means + middle) / np.sqrt(variance)
    return ratios
