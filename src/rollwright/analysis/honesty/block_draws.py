"""Draws of the circular block bootstrap that several series share, so that they stay compared day by day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.analysis.honesty.intervals import choose_block
from rollwright.analysis.honesty.trial_count import check_return_matrix
from rollwright.errors import DataError

__all__ = ["BlockDraws", "choose_common_block"]

_AT_ONCE: Final = 1 << 21
"""Values that are gathered at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockDraws:
    """Ways to draw so many days, with replacement and in blocks; the first days follow the last.

    Attributes
    ----------
    days, block : int
        How many days there are, and how many a block has; the last block of a draw is cut to make up the days.
    starts : ndarray of int, shape (draws, blocks)
        The day at which each block begins.
    """

    days: int
    block: int
    starts: NDArray[np.intp]

    @classmethod
    def make(cls, days: int, block: int, *, draws: int, rng: np.random.Generator) -> Self:
        """Return `draws` draws.

        Raises
        ------
        DataError
            For a block of no day or of more days than there are, or for no draw.
        """
        if not 1 <= block <= days or draws < 1:
            raise DataError(f"{draws} draws of blocks of {block} of {days} days: a block has from 1 to all days")
        starts = rng.integers(0, days, size=(draws, math.ceil(days / block)), dtype=np.intp)
        return cls(days=days, block=block, starts=starts)

    def indices(self) -> NDArray[np.intp]:
        """Return the days of each draw, of shape (draws, days)."""
        places = (self.starts[:, :, None] + np.arange(self.block)) % self.days
        return np.ascontiguousarray(places.reshape(len(self.starts), -1)[:, : self.days])

    def means(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the mean of each column in each draw.

        Parameters
        ----------
        values : array-like, shape (days, N)

        Returns
        -------
        ndarray of float64, shape (draws, N)

        Raises
        ------
        DataError
            For another number of days, or a value that is not finite.
        """
        # The order of additions follows the layout in memory: one layout makes a column's means its own.
        known = np.ascontiguousarray(check_return_matrix(values, periods=1, trials=1))
        if len(known) != self.days:
            raise DataError(f"values of {len(known)} days: the draws are of {self.days}")
        middle = known.mean(axis=0)
        centred = known - middle
        last = self.days - self.block * (self.starts.shape[1] - 1)
        total = np.concatenate(
            [np.zeros((1, known.shape[1])), np.vstack([centred, centred[: self.block]]).cumsum(axis=0)]
        )
        whole = total[self.block : self.block + self.days] - total[: self.days]
        rest = total[last : last + self.days] - total[: self.days]
        sums = rest[self.starts[:, -1]]
        step = max(1, _AT_ONCE // max(1, (self.starts.shape[1] - 1) * known.shape[1]))
        for first in range(0, len(sums), step):
            part = slice(first, first + step)
            sums[part] += whole[self.starts[part, :-1]].sum(axis=1)
        found: NDArray[np.float64] = sums / self.days + middle
        return found


def choose_common_block(values: ArrayLike, *, label_span: int = 1) -> int | None:
    """Return how many days a block has that several series share.

    It is the median of the blocks (`choose_block`) that the series need, each less the mean of all: what all share of a
    day plays no part in a comparison of them.

    Parameters
    ----------
    values : array-like, shape (T, N)
        Finite.
    label_span : int, default 1
        Sessions of future that the label reads.

    Returns
    -------
    int or None
        None where the days are fewer than 16 or than four blocks.

    Raises
    ------
    DataError
        For a value that is not finite, or a `label_span` below 1.
    """
    known = check_return_matrix(values, periods=1, trials=1)
    relative = known - known.mean(axis=1, keepdims=True) if known.shape[1] > 1 else known
    found = [choose_block(np.ascontiguousarray(column), label_span=label_span) for column in relative.T]
    blocks = [block for block in found if block is not None]
    return int(np.median(blocks)) if len(blocks) == len(found) else None
