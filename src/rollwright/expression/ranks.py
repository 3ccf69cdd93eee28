"""The rank of the last value within each sliding window.

1. The score of a window starts at 0.
2. For every distance ``k`` from 0 to the widest window less one, each value is compared with the value ``k`` rows
   before it: one is added where that one is smaller, and one more where it is not larger.
3. After ``k + 1`` comparisons the score is that of windows of ``k + 1`` rows; a copy of it is their result. So one pass
   over the widest window serves all windows.

Cost: two vector comparisons for each distance, and sums in the smallest integer type that holds the score; no window is
sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rank_scores"]


def rank_scores(values: NDArray[Any], windows: Sequence[int]) -> dict[int, NDArray[np.unsignedinteger]]:
    """Return for each window the number of values below its last one, plus the number of values not above it.

    Half of that plus one half is the average rank among ties. NaN compares false, so it is never counted; where the
    last value itself is NaN the score is 0.

    Parameters
    ----------
    values : float [rows, columns]
    windows : sequence of int
        Ascending.

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
