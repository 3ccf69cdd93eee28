"""Regressions solved from sums of products alone: a matrix of features by features, however many rows there were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import ModelError

__all__ = ["lasso", "least_squares", "non_negative", "ridge"]

_SWEEPS: Final = 10_000
_TOLERANCE: Final = 1e-10

Floats = NDArray[np.float64]


def least_squares(gram: Floats) -> Callable[[Floats], Floats]:
    """Return the function that solves ``gram w = cross`` for the shortest ``w``.

    Parameters
    ----------
    gram : float64 [features, features]
        ``XᵀX``, symmetric. Its columns are brought to one scale first; a direction that then has less than the rounding
        of float64 in it counts as not there, which the rounding of float32 features surpasses by far.
    """
    scale, vectors, values = _directions(gram)
    there = values > len(gram) * np.finfo(np.float64).eps * values.max(initial=0.0)
    basis, roots = vectors[:, there], values[there]
    # A direction that is not there may be added to a solution at will; taking it out makes the solution the shortest.
    absent, _ = np.linalg.qr(vectors[:, ~there] / scale[:, None])

    def solve(cross: Floats) -> Floats:
        found = (basis @ ((basis.T @ (cross / scale)) / roots)) / scale
        return np.asarray(found - absent @ (absent.T @ found), dtype=np.float64)

    return solve


def ridge(gram: Floats, alpha: float) -> Callable[[Floats], Floats]:
    """Return the function that solves ``(gram + alpha I) w = cross``; `alpha` is above 0."""
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0) + alpha

    def solve(cross: Floats) -> Floats:
        return np.asarray(vectors @ ((vectors.T @ cross) / values), dtype=np.float64)

    return solve


def lasso(gram: Floats, cross: Floats, *, penalty: float, scale: float) -> Floats:
    """Return the ``w`` that minimises ``wᵀ gram w / 2 − crossᵀ w + penalty Σ|w|``, by coordinate descent.

    Parameters
    ----------
    gram, cross
        ``XᵀX`` [features, features] and ``Xᵀy`` [features].
    penalty : float
        0 or more.
    scale : float
        ``yᵀy``: the gap to the best value is at most ``1e-10`` of it at the end.

    Raises
    ------
    ModelError
        When 10,000 rounds over the coefficients do not come that near, as with features that are copies of each other
        and a penalty near 0.
    """
    found = np.zeros(len(cross))
    residual = cross.copy()  # Xᵀ(y − Xw)
    diagonal = np.diag(gram)
    for sweep in range(_SWEEPS):
        for place in np.flatnonzero(diagonal > 0):
            old = found[place]
            pull = residual[place] + diagonal[place] * old
            new = np.sign(pull) * max(abs(pull) - penalty, 0.0) / diagonal[place]
            if new != old:
                residual -= gram[:, place] * (new - old)
                found[place] = new
        if sweep % 5 == 0:
            residual = cross - gram @ found
        if _gap(found, residual, cross, scale, penalty) <= _TOLERANCE * scale:
            return found
    raise ModelError(
        f"lasso has not settled after {_SWEEPS} rounds", hint="give a larger alpha, or leave out features that repeat"
    )


def non_negative(gram: Floats, cross: Floats) -> Floats:
    """Return the ``w ≥ 0`` that minimises ``wᵀ gram w / 2 − crossᵀ w``, by the active sets of Lawson and Hanson.

    Raises
    ------
    ModelError
        When the sets do not settle.
    """
    count = len(cross)
    found, active, barred = np.zeros(count), np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    limit = 10 * np.finfo(np.float64).eps * count * float(np.abs(cross).max(initial=0.0))
    for _ in range(30 * count + 10):
        pull = np.where(active | barred, -np.inf, cross - gram @ found)
        best = int(np.argmax(pull)) if count else 0
        if not count or pull[best] <= limit:
            return found
        active[best] = True
        settled = _settle(gram, cross, found, active)
        if active[best]:
            barred[:] = False
        barred[best] = not active[best]  # rounding alone made it look useful
        found = settled
    raise ModelError("nnls has not settled", hint="leave out features that repeat")


def _settle(gram: Floats, cross: Floats, found: Floats, active: NDArray[np.bool_]) -> Floats:
    """Return the best solution over the `active` coefficients; those it would make negative are made inactive."""
    found = found.copy()
    while True:
        trial = np.zeros(len(cross))
        trial[active] = least_squares(gram[np.ix_(active, active)])(cross[active])
        below = active & (trial <= 0)
        if not below.any():
            return trial
        places = np.flatnonzero(below)
        way = found[places] - trial[places]
        ratios = np.divide(found[places], way, out=np.zeros(len(places)), where=way > 0)
        found += float(ratios.min()) * (trial - found)
        active[places[ratios <= ratios.min()]] = False
        found[~active] = 0.0


def _directions(gram: Floats) -> tuple[Floats, Floats, Floats]:
    scale = np.sqrt(np.maximum(np.diag(gram), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    return scale, vectors, values


def _gap(found: Floats, residual: Floats, cross: Floats, scale: float, penalty: float) -> float:
    """Return how far the value is from the best one at most (the duality gap)."""
    fitted = float(found @ (cross - residual))  # wᵀ gram w
    loss = max(scale - 2.0 * float(found @ cross) + fitted, 0.0)  # |y − Xw|²
    largest = float(np.abs(residual).max(initial=0.0))
    shrink = 1.0 if largest <= penalty or not largest else penalty / largest
    dual = shrink * (scale - float(found @ cross)) - 0.5 * shrink**2 * loss
    return 0.5 * loss + penalty * float(np.abs(found).sum()) - dual
