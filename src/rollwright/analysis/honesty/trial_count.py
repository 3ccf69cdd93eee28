"""How many independent trials a set of correlated ones amounts to: three answers, for there is no single one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.backtest.risk import standard_deviation
from rollwright.errors import DataError

__all__ = ["TrialCount", "check_return_matrix", "correlate_trials", "count_trials"]

_NEAR_INTEGER: Final = 1e-9
_TOLERANCE: Final = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCount:
    """The number of trials, as counted and as it amounts to.

    Attributes
    ----------
    raw : int
        How many there are, N.
    by_average : float
        ``r + (1 − r) N`` with the mean correlation r, not below 0 (Bailey and López de Prado). Blind to structure: two
        sets of five copies count as 6.
    by_eigenvalues : float
        ``Σ [λ ≥ 1] + (λ − ⌊λ⌋)`` over the eigenvalues of the correlations (Li and Ji, 2005). Sets of copies count as
        one each; jumps where an eigenvalue passes an integer.
    by_participation : float
        ``N² / Σ λ²``. Steady; small free groups beside a large one count for too little.
    """

    raw: int
    by_average: float
    by_eigenvalues: float
    by_participation: float


def correlate_trials(returns: ArrayLike) -> NDArray[np.float64]:
    """Return the correlations of the trials' returns.

    Parameters
    ----------
    returns : array-like, shape (T, N)
        A column for each trial, all on one calendar.

    Returns
    -------
    ndarray of float64, shape (N, N)

    Raises
    ------
    DataError
        For fewer than three periods, a value that is not finite, or a trial whose returns are all equal.
    """
    values = check_return_matrix(returns, periods=3, trials=1)
    for column in range(values.shape[1]):
        if standard_deviation(np.ascontiguousarray(values[:, column])) == 0:
            raise DataError(f"all returns of trial {column} are {values[0, column]}: it correlates with nothing")
    return np.atleast_2d(np.corrcoef(values, rowvar=False))


def count_trials(correlations: ArrayLike) -> TrialCount:
    """Return how many independent trials there are by each of three published ways, from their correlations.

    Raises
    ------
    DataError
        When `correlations` is no correlation matrix: not square, not symmetric, with another diagonal than 1, a value
        beyond 1 or an eigenvalue below 0.
    """
    matrix = np.asarray(correlations, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise DataError(f"correlations of shape {matrix.shape}: a square matrix is needed")
    if not np.isfinite(matrix).all():
        raise DataError(f"{int((~np.isfinite(matrix)).sum())} correlations are not finite")
    if np.abs(matrix - matrix.T).max() > _TOLERANCE or np.abs(np.diag(matrix) - 1).max() > _TOLERANCE:
        raise DataError("correlations that are not symmetric with 1 on the diagonal")
    if np.abs(matrix).max() > 1 + _TOLERANCE:
        raise DataError(f"a correlation of {matrix.flat[np.abs(matrix).argmax()]}: none may lie beyond 1")
    count = len(matrix)
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    if values[0] < -_TOLERANCE * count:
        raise DataError(
            f"the smallest eigenvalue of the correlations is {values[0]:.3g}: no set of series has such correlations",
            hint="take all of them over the same periods",
        )
    between = (matrix.sum() - count) / (count * (count - 1)) if count > 1 else 0.0
    average = min(max(float(between), 0.0), 1.0)
    nearest = np.round(values)
    values = np.where(np.abs(values - nearest) < _NEAR_INTEGER, nearest, np.abs(values))
    by_eigenvalues = float(((values >= 1) + (values - np.floor(values))).sum())
    return TrialCount(
        raw=count,
        by_average=average + (1 - average) * count,
        by_eigenvalues=min(max(by_eigenvalues, 1.0), float(count)),
        by_participation=float(count * count / (values @ values)),
    )


def check_return_matrix(returns: ArrayLike, *, periods: int, trials: int) -> NDArray[np.float64]:
    """Return `returns` as a matrix of finite float64 of at least so many periods (rows) and trials (columns)."""
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < periods or values.shape[1] < trials:
        raise DataError(
            f"returns of shape {values.shape}: a row for each of at least {periods} periods "
            f"and a column for each of at least {trials} trials are needed"
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"{len(bad)} returns are not finite, the first of trial {column} in period {row}: {values[row, column]}",
            hint="compare the trials over the periods that all of them have",
        )
    return values
