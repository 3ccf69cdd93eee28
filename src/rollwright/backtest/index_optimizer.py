"""EnhancedIndexingOptimizer: the weights that beat an index most for the risk they take against it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.optional import require
from rollwright.errors import ConfigError, nearest

__all__ = ["EnhancedIndexingOptimizer"]

_logger: Final = logging.getLogger("rollwright.backtest")

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class EnhancedIndexingOptimizer:
    """A convex program in the weights `w`, solved by Clarabel's interior points.

    With ``d = w - wb`` and ``v = d @ F``, of all `w` above zero that make 1, the one is taken that has the greatest
    ``d @ r - lamb * (v @ cov_b @ v + var_u @ d**2)``, under ``sum(|w - w0|) <= delta``, ``|d| <= b_dev`` and
    ``|v| <= f_dev``. Where there is none within the turnover, that limit is dropped; where there is none even so, the
    present weights are kept, and the log says so.

    Needs ``pip install "rollwright[optimizer]"``.

    Parameters
    ----------
    lamb : float
        Aversion to risk.
    delta : float or None
        Turnover at most, both sides together; None, and a start from cash, have no limit.
    b_dev : float or None
        Deviation of each weight from the index.
    f_dev : float or sequence of float, optional
        Deviation of each exposure.
    scale_return : bool
        Scale `r` to the mean volatility of the risk model, so that scores of any size may be given.
    epsilon : float
        Smaller weights become 0, and the others are scaled to make 1 again.
    solver_kwargs : mapping, optional
        Settings of Clarabel: ``max_iter``, ``tol_gap_abs``, …

    Raises
    ------
    ConfigError
        For limits below zero and settings that Clarabel does not have.
    MissingExtraError
        Without Clarabel.
    """

    def __init__(
        self,
        lamb: float = 1.0,
        delta: float | None = 0.2,
        b_dev: float | None = 0.01,
        f_dev: float | Sequence[float] | None = None,
        scale_return: bool = True,  # noqa: FBT001, FBT002 - Qlib's argument
        epsilon: float = 5e-5,
        solver_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        limits = {"lamb": lamb, "delta": delta, "b_dev": b_dev, "f_dev": f_dev, "epsilon": epsilon}
        for name, value in limits.items():
            if value is not None and not (np.asarray(value, dtype=np.float64) >= 0).all():
                raise ConfigError(f"{name} = {value} is below zero", hint="give a limit of 0 or more, or None for none")
        self._solver: Final[Any] = require("clarabel", extra="optimizer")
        self._sparse: Final[Any] = require("scipy.sparse", extra="optimizer")
        known = [name for name in dir(self._solver.DefaultSettings()) if not name.startswith("_")]
        for name in solver_kwargs or {}:
            if name not in known:
                near = nearest(name, known)
                raise ConfigError(
                    f"solver_kwargs: Clarabel has no setting `{name}`", hint=f"did you mean `{near}`?" if near else ""
                )
        self.lamb, self.delta, self.b_dev, self.epsilon = lamb, delta, b_dev, epsilon
        self.f_dev = None if f_dev is None else np.asarray(f_dev, dtype=np.float64)
        self.scale_return = scale_return
        self.solver_kwargs = dict(solver_kwargs or {})

    def __call__(
        self,
        r: Floats,
        F: Floats,  # noqa: N803 - Qlib's name
        cov_b: Floats,
        var_u: Floats,
        w0: Floats,
        wb: Floats,
        mfh: Flags | None = None,
        mfs: Flags | None = None,
    ) -> Floats:
        """Return the weights, which make 1.

        Parameters
        ----------
        r : ndarray [n]
            Expected returns, or scores.
        F : ndarray [n, k]
            Exposures to the factors.
        cov_b : ndarray [k, k]
            Covariance of the factors.
        var_u : ndarray [n]
            Variance that they do not explain.
        w0, wb : ndarray [n]
            Present weights, and those of the index.
        mfh, mfs : ndarray of bool [n], optional
            What must be held as it is, and what must go; what is both goes.
        """
        if self.scale_return:
            r = r / r.std() * np.sqrt(np.mean(np.einsum("ij,jk,ik->i", F, cov_b, F) + var_u))
        low, high = np.zeros_like(wb), np.ones_like(wb)
        if self.b_dev is not None:
            low, high = np.maximum(low, wb - self.b_dev), np.minimum(high, wb + self.b_dev)
        if mfh is not None:
            low, high = np.where(mfh, w0, low), np.where(mfh, w0, high)
        if mfs is not None:
            low, high = np.where(mfs, 0.0, low), np.where(mfs, 0.0, high)
        turnovers = [None] if self.delta is None or w0.sum() <= 0 else [self.delta, None]
        for turnover in turnovers:
            found = self._solve(r, F, cov_b, var_u, w0, wb, low, high, turnover)
            if found is not None:
                kept: Floats = np.where(found < self.epsilon, 0.0, found)
                return kept / float(kept.sum())
            what = "turnover_dropped" if turnover is not None else "weights_kept"
            _logger.warning("backtest.optimizer_failed instruments=%d action=%s", len(wb), what)
        return w0

    def _solve(
        self,
        r: Floats,
        F: Floats,  # noqa: N803
        cov_b: Floats,
        var_u: Floats,
        w0: Floats,
        wb: Floats,
        low: Floats,
        high: Floats,
        turnover: float | None,
    ) -> Floats | None:
        """Return the solution, None where there is none."""
        # The variables are [w, v, t]: t bounds |w - w0| from above, and is left out without a limit of turnover. Rows
        # are A x + s = b, with s = 0 for equations and s >= 0 for what follows them.
        sparse, (n, k) = self._sparse, F.shape
        m = n if turnover is not None else 0
        one, cut, none = sparse.eye_array(n), sparse.eye_array(k), sparse.csc_array((n, k))
        blank = sparse.csc_array((n, m)) if m else None
        sums = sparse.csc_array(np.ones((1, n)))
        parts: list[tuple[list[Any], Any]] = [
            ([sums, sparse.csc_array((1, k)), sparse.csc_array((1, m)) if m else None], [1.0]),
            ([sparse.csc_array(F.T), -cut, sparse.csc_array((k, m)) if m else None], F.T @ wb),
            ([one, none, blank], high),
            ([-one, none, blank], -low),
        ]
        if self.f_dev is not None:
            bound = np.broadcast_to(self.f_dev, (k,))
            wide = sparse.csc_array((k, m)) if m else None
            parts += [([sparse.csc_array((k, n)), sign * cut, wide], bound) for sign in (1, -1)]
        if turnover is not None:
            parts += [([sign * one, none, -one], sign * w0) for sign in (1, -1)]
            parts.append(([sparse.csc_array((1, n)), sparse.csc_array((1, k)), sums], [turnover]))
        rows = [sparse.hstack([block for block in blocks if block is not None]) for blocks, _ in parts]
        bounds = np.concatenate([np.asarray(bound, dtype=np.float64) for _, bound in parts])
        square = sparse.block_diag(
            [sparse.diags_array(2 * self.lamb * var_u), 2 * self.lamb * cov_b, sparse.csc_array((m, m))][
                : 3 if m else 2
            ]
        )
        linear = np.concatenate([-r - 2 * self.lamb * var_u * wb, np.zeros(k + m)])
        settings = self._solver.DefaultSettings()
        settings.verbose = False
        for name, value in self.solver_kwargs.items():
            setattr(settings, name, value)
        cones = [self._solver.ZeroConeT(1 + k), self._solver.NonnegativeConeT(len(bounds) - 1 - k)]
        matrix = sparse.csc_matrix(sparse.vstack(rows))
        solver = self._solver.DefaultSolver(
            sparse.csc_matrix(sparse.triu(square)), linear, matrix, bounds, cones, settings
        )
        solution = solver.solve()
        if str(solution.status) not in ("Solved", "AlmostSolved"):
            return None
        return np.asarray(solution.x[:n], dtype=np.float64)
