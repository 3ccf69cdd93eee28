"""Linear models that read the features in blocks of rows, without a copy of them.

`fit` works in these steps:

1. Sums of products of features and label (``XᵀX``, ``Xᵀy``) are accumulated in float64, block by block, around the
   mean of the first block, so that large means do not cancel.
2. `linear_solvers` computes the coefficients from these sums alone.
3. For ``ols`` and ``ridge`` a second pass computes the gradient at the solution from the data themselves, and one more
   solve corrects it: this restores the digits that squaring the data had lost (iterative refinement).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import ConfigError, ModelError
from rollwright.models.folds import ModelDataset, SampleWeighter, TrainingFold, sample_weights
from rollwright.models.learning import Learning
from rollwright.models.linear_solvers import lasso, least_squares, non_negative, ridge
from rollwright.models.tabular import (
    TabularModel,
    join_names,
    names_all_missing,
    names_with_missing,
    read_training_folds,
    row_blocks,
)

__all__ = ["LinearModel"]

_logger: Final = logging.getLogger("rollwright.models")
_BLOCK: Final = 1 << 13  # rows turned to float64 together: 10 MB at 158 features

Floats = NDArray[np.float64]


class LinearModel(TabularModel):
    """Linear regression, with the constructor and the meaning of Qlib's ``LinearModel``.

    Guarantees: the same dataset gives the same bytes of coefficients, on one host with one number of BLAS threads; the
    features are read in blocks of float64, so that learning takes a few dozen MB beside the fold; sums are kept in
    float64 around the features' own means and refined once, which agrees with an orthogonal factorisation of the whole
    matrix to about ten digits. Where features depend on each other, the solution of ``ols`` is the shortest one.

    Rows with a NaN feature are skipped in learning, as in Qlib, and their number is logged; they cannot be scored.

    Parameters
    ----------
    estimator : {"ols", "ridge", "lasso", "nnls"}
        Minimised over the coefficients ``w`` is ``Σ v (y − Xw)²`` for ``ols``; that plus ``alpha Σ w²`` for ``ridge``;
        ``Σ v (y − Xw)² / (2 Σ v) + alpha Σ |w|`` for ``lasso``; the first with no negative ``w``, and no negative
        intercept, for ``nnls``. ``v`` are the weights of the samples, 1 without a reweighter.
    alpha : float
        Of ``ridge`` and ``lasso`` only; 0 or more.
    fit_intercept : bool
        Learn a constant too; it is not penalised.
    include_valid : bool
        Learn from the segment ``valid`` as well, where there is one.

        .. warning:: **Look-ahead.** What is learnt from ``valid`` cannot be judged on it; and a label of ``valid`` that
           reads sessions of the test segment leaks as one of ``train`` does: purge both.

    Attributes
    ----------
    coef_ : float64 array or None
        One coefficient per feature; None before `fit`.
    intercept_ : float
        0.0 without `fit_intercept`.
    feature_names_ : tuple of str
        Names of the features in column order.
    """

    OLS: Final = "ols"
    NNLS: Final = "nnls"
    RIDGE: Final = "ridge"
    LASSO: Final = "lasso"

    def __init__(
        self,
        estimator: str = "ols",
        alpha: float = 0.0,
        fit_intercept: bool = False,  # noqa: FBT001, FBT002 - the place it has in Qlib's constructor
        include_valid: bool = False,  # noqa: FBT001, FBT002 - the place it has in Qlib's constructor
    ) -> None:
        known = (self.OLS, self.RIDGE, self.LASSO, self.NNLS)
        if estimator not in known:
            raise ConfigError(f"estimator `{estimator}` is none of {', '.join(known)}")
        if not np.isfinite(alpha) or alpha < 0:
            raise ConfigError(f"alpha is {alpha}: it is 0 or more")
        if alpha and estimator not in (self.RIDGE, self.LASSO):
            raise ConfigError(f"alpha is {alpha} and `{estimator}` has none", hint="only ridge and lasso take one")
        self.estimator = estimator
        self.alpha = float(alpha)
        self.fit_intercept = bool(fit_intercept)
        self.include_valid = bool(include_valid)
        self.coef_: Floats | None = None
        self.intercept_ = 0.0
        self.feature_names_ = ()

    @property
    def params(self) -> dict[str, Any]:
        """What the constructor was given."""
        names = ("estimator", "alpha", "fit_intercept", "include_valid")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        state = "not fitted" if self.coef_ is None else f"fitted, {len(self.coef_)} features"
        return f"LinearModel(estimator={self.estimator!r}, alpha={self.alpha!r}, {state})"

    def fit(self, dataset: ModelDataset, reweighter: SampleWeighter | None = None) -> None:
        """Learn from the segment ``train``, and from ``valid`` when `include_valid` says so.

        Parameters
        ----------
        dataset : DatasetH
            Gives ``segments`` and ``fold(segment, data_key="learn")``.
        reweighter : object, optional
            Has ``reweight(frame)``: one weight per row of the segment.

        Raises
        ------
        ModelError
            When a segment has no rows, only NaN labels or infinite values, and when no row has all its features: those
            to blame are named.
        """
        wanted = ("train", "valid") if self.include_valid else ("train",)
        folds = read_training_folds(dataset, wanted)
        if self.include_valid and "valid" not in folds:
            _logger.info("model.segment_absent segment=valid include_valid=True")
        weights = {key: sample_weights(dataset, reweighter, fold, segment=key) for key, fold in folds.items()}
        parts = _Parts([(fold, weights[key]) for key, fold in folds.items()])
        if self.estimator == self.NNLS:
            found, constant = self._fit_nnls(parts)
        else:
            found, constant = self._fit_squares(parts)
        if not np.isfinite(found).all() or not np.isfinite(constant):
            raise ModelError("the coefficients are not finite", hint="features or labels may be too large to square")
        self.coef_, self.intercept_ = found + 0.0, float(constant) + 0.0  # no negative zeros
        self.feature_names_ = folds["train"].names

    def _fit_squares(self, parts: _Parts) -> tuple[Floats, float]:
        sums = parts.sums(centred=self.fit_intercept)
        if self.estimator == self.LASSO and self.alpha:
            found = lasso(sums.gram, sums.cross, penalty=self.alpha * sums.weight, scale=sums.square)
        else:
            solve = least_squares(sums.gram) if not self.alpha else ridge(sums.gram, self.alpha)
            found = solve(sums.cross)
            # step 3: one refinement on the data themselves
            found = found + solve(parts.gradient(found, sums) - self.alpha * found)
        return found, float(sums.label_mean - sums.means @ found)

    def _fit_nnls(self, parts: _Parts) -> tuple[Floats, float]:
        sums = parts.sums(centred=False, ones=self.fit_intercept)
        found = non_negative(sums.gram, sums.cross)
        return (found[:-1], float(found[-1])) if self.fit_intercept else (found, 0.0)

    def _require_fitted(self) -> Floats:
        if self.coef_ is None:
            raise ModelError("the model is not fitted", hint="call fit(dataset) first")
        return self.coef_

    def tell_learning(self) -> Learning | None:
        """Return the share of each coefficient in the sum of their sizes; None before `fit`."""
        if self.coef_ is None:
            return None
        weights = zip(self.feature_names_, self.coef_.tolist(), strict=True)
        return Learning.of({}, basis="coefficient", weights=weights)

    def contributions(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return for each row every coefficient times its value, and last the constant."""
        found = features.astype(np.float64) * self._require_fitted()
        return np.column_stack([found, np.full(len(found), self.intercept_)])

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        coefficients = self._require_fitted()
        scores = np.empty(len(features))
        for part in row_blocks(len(features), _BLOCK):
            # not by BLAS, in whose products the last bits of a row depend on how many rows there are
            scores[part] = np.einsum("ij,j->i", features[part].astype(np.float64), coefficients) + self.intercept_
        if np.isnan(scores).any():
            names = names_with_missing(features, self.feature_names_)
            raise ModelError(
                f"{int(np.isnan(scores).sum())} rows of segment `{segment}` cannot be scored: a linear model needs "
                f"all features, and there is NaN, in {join_names(names)}",
                hint="add the processor Fillna to the handler's infer_processors",
            )
        return scores


class _Sums:
    """Weighted sums of products over all rows; `centred` ones are around the means."""

    def __init__(self, gram: Floats, cross: Floats, square: float, weight: float) -> None:
        self.gram, self.cross, self.square, self.weight = gram, cross, square, weight
        self.means: Floats = np.zeros(len(cross))
        self.label_mean = 0.0


class _Parts:
    """The segments to learn from, read in blocks; rows with a missing feature are skipped."""

    def __init__(self, parts: list[tuple[TrainingFold, NDArray[np.float32] | None]]) -> None:
        self._parts = parts

    def sums(self, *, centred: bool, ones: bool = False) -> _Sums:
        """Return the sums in one pass.

        They are taken around the mean of the first block. It is near the true mean, so nothing cancels when the
        difference is subtracted at the end.
        """
        width = self._parts[0][0].features.shape[1] + int(ones) + 1
        total, first, weight, rows = np.zeros((width, width)), np.zeros(width), 0.0, 0
        shift: Floats | None = None
        for features, label, scale in self._blocks():
            table = np.empty((len(label), width))
            table[:, : features.shape[1]] = features
            table[:, features.shape[1] : -1] = 1.0
            table[:, -1] = label
            if shift is None:
                shift = table.mean(axis=0) if centred else np.zeros(width)
            if centred:
                table -= shift
            first += scale @ table
            weight += float(scale.sum())
            rows += len(label)
            table *= np.sqrt(scale)[:, None]
            total += table.T @ table
        if shift is None or not weight > 0:
            raise self._no_rows_error(weightless=shift is not None)
        self._report_dropped(rows)
        if centred:
            total -= np.outer(first, first) / weight
        found = _Sums(total[:-1, :-1], total[:-1, -1], float(total[-1, -1]), weight)
        if centred:
            means = shift + first / weight
            found.means, found.label_mean = means[:-1], float(means[-1])
        return found

    def gradient(self, coefficients: Floats, sums: _Sums) -> Floats:
        """Return ``Σ v x (y − x w)`` over all rows, around the means of `sums`."""
        found = np.zeros(len(coefficients))
        for features, label, scale in self._blocks():
            table = features.astype(np.float64) - sums.means
            found += table.T @ (scale * (label - sums.label_mean - table @ coefficients))
        return found

    def _blocks(self) -> Iterator[tuple[NDArray[Any], NDArray[np.float32], Floats]]:
        for fold, weights in self._parts:
            for part in row_blocks(fold.rows, _BLOCK):
                features, label = fold.features[part], fold.label[part]
                scale = np.ones(len(label)) if weights is None else weights[part].astype(np.float64)
                keep = ~np.isnan(features).any(axis=1)
                if not keep.all():
                    features, label, scale = features[keep], label[keep], scale[keep]
                if len(label):
                    yield features, label, scale

    def _report_dropped(self, rows: int) -> None:
        given = sum(fold.rows for fold, _ in self._parts)
        if rows < given:
            names = sorted({name for fold, _ in self._parts for name in names_with_missing(fold.features, fold.names)})
            _logger.warning(
                "model.rows_with_missing_features dropped=%d rows=%d names=%s", given - rows, given, join_names(names)
            )

    def _no_rows_error(self, *, weightless: bool) -> ModelError:
        if weightless:
            return ModelError("the weights of all rows are zero, so there is nothing to learn from")
        fold = self._parts[0][0]
        blame = names_all_missing(fold)
        where = (
            f"throughout in {join_names(blame)}"
            if blame
            else f"in {join_names(names_with_missing(fold.features, fold.names))}"
        )
        return ModelError(
            f"none of {fold.rows} rows of segment `train` has all its features: they are NaN {where}",
            hint="add the processor Fillna to the handler's processors, or leave out what has no values",
        )
