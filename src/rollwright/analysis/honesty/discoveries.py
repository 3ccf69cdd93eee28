"""Many tests at once: p-values that keep the share of false discoveries in hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.errors import DataError

__all__ = ["adjust_benjamini_hochberg"]


def adjust_benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for their number, in the order given.

    Rejecting those at or below q keeps the expected share of false discoveries at or below q, for tests that are
    independent or positively dependent (Benjamini and Hochberg, 1995).

    Parameters
    ----------
    p_values : array-like, shape (N,)
        In [0, 1].

    Returns
    -------
    ndarray of float64, shape (N,)

    Raises
    ------
    DataError
        For a value that is no probability.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"p-values of shape {values.shape}: one row of them is needed")
    bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(bad):
        raise DataError(f"a p-value of {values[bad[0]]} at place {bad[0]}: it must lie between 0 and 1")
    order = values.argsort(kind="stable")
    scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    return adjusted
