"""The rank of the last value within each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rank_scores"]


def rank_scores(values: NDArray[Any], windows: Sequence[int]) -> dict[int, NDArray[np.unsignedinteger]]:
    """Return for each window the number of values below the last one plus that of values not above it.

    Half of that plus one half is the average rank among ties. NaN compares false, so it counts nowhere; where the
    last value is NaN the score is 0.

    Parameters
    ----------
    values : float [rows, columns]
    windows : sequence of int
        Ascending; each is answered from the comparisons of the ones before it.

    Returns
    -------
    dict
        Window to ``[rows - window + 1, columns]``.
    """
    widest = windows[-1]
    count = len(values)
    dtype = np.min_scalar_type(2 * widest)
    score = np.zeros(values.shape, dtype)
    seen = np.empty(values.shape, np.bool_)
    scores: dict[int, NDArray[np.unsignedinteger]] = {}
    for back in range(widest):
        past, now = values[: count - back], values[back:]
        part, flags = score[back:], seen[back:]
        np.add(part, np.less(past, now, out=flags), out=part)
        np.add(part, np.less_equal(past, now, out=flags), out=part)
        if back + 1 in windows:
            scores[back + 1] = part.copy()
    return scores
