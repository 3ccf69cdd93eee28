"""Regressions solved from sums of products alone (``XᵀX`` and ``Xᵀy``): their cost does not depend on the rows."""

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
    """Return the function that solves ``gram w = cross``; of several solutions, for the shortest ``w``.

    1. Scale the columns to length one, so that the rank does not depend on units.
    2. Decompose into eigenvectors; those with an eigenvalue below the rounding error of float64 span the null space.
    3. Solve in the remaining directions and undo the scaling.
    4. Subtract the part in the null space, which does not change ``gram w``: the shortest solution is left.

    Parameters
    ----------
    gram : float64 [features, features]
        ``XᵀX``, symmetric.
    """
    scale, vectors, values = _directions(gram)
    present = values > len(gram) * np.finfo(np.float64).eps * values.max(initial=0.0)
    basis, roots = vectors[:, present], values[present]
    absent, _ = np.linalg.qr(vectors[:, ~present] / scale[:, None])

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

    1. For one coefficient at a time, the others fixed, the minimum is known: the soft threshold of its gradient.
    2. The residual ``Xᵀ(y − Xw)`` is updated after each change, and computed again every five rounds against rounding.
    3. After each round over all coefficients, stop if the duality gap shows that the minimum is near.

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
        When 10,000 rounds are not enough, for example for features that are copies of each other and a penalty near 0.
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
        f"lasso did not converge in {_SWEEPS} rounds", hint="give a larger alpha, or remove duplicate features"
    )


def non_negative(gram: Floats, cross: Floats) -> Floats:
    """Return the ``w ≥ 0`` that minimises ``wᵀ gram w / 2 − crossᵀ w`` (Lawson and Hanson's active-set method, 1974).

    1. Start with all coefficients 0 and none active.
    2. Activate the coefficient with the largest gradient; stop when none is above the rounding error.
    3. Solve for the active coefficients. While some would be negative, move from the old solution towards the new
       one until the first becomes 0, deactivate it, and solve again (`_settle`).
    4. A coefficient that is deactivated at once looked useful by rounding alone: bar it until another is used.

    Raises
    ------
    ModelError
        When it does not converge.
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
        barred[best] = not active[best]  # step 4
        found = settled
    raise ModelError("nnls did not converge", hint="remove duplicate features")


def _settle(gram: Floats, cross: Floats, found: Floats, active: NDArray[np.bool_]) -> Floats:
    """Return the best solution over the `active` coefficients; those that would be negative are deactivated."""
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
    """Return the duality gap: an upper bound of the distance of the objective from its minimum."""
    fitted = float(found @ (cross - residual))  # wᵀ gram w
    loss = max(scale - 2.0 * float(found @ cross) + fitted, 0.0)  # |y − Xw|²
    largest = float(np.abs(residual).max(initial=0.0))
    shrink = 1.0 if largest <= penalty or not largest else penalty / largest
    dual = shrink * (scale - float(found @ cross)) - 0.5 * shrink**2 * loss
    return 0.5 * loss + penalty * float(np.abs(found).sum()) - dual
