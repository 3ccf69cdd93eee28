"""Any estimator of scikit-learn as a model."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.config.construct import init_instance_by_config
from rollwright.core.optional import require
from rollwright.errors import ConfigError, ModelError
from rollwright.models.folds import ModelDataset, SampleWeighter, sample_weights
from rollwright.models.parameters import check_parameters
from rollwright.models.tabular import (
    TabularModel,
    join_names,
    names_all_missing,
    names_with_missing,
    read_training_folds,
)

__all__ = ["SklearnModel", "as_model", "is_estimator"]

# What an estimator raises when it does not fit the data, or when its file was inconsistent.
_FAILURES: Final = (
    ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, MemoryError, RuntimeError,
)  # fmt: skip
_MAX_SEED: Final = 2**32 - 1
_TREES: Final = frozenset(
    f"{name}{kind}"
    for name in ("DecisionTree", "ExtraTree", "ExtraTrees", "HistGradientBoosting", "RandomForest")
    for kind in ("Classifier", "Regressor")
)


class SklearnModel(TabularModel):
    """An estimator of scikit-learn that learns from a dataset's segment ``train`` and scores any of its segments.

    Guarantees: the same dataset, estimator and seed give the same scores and the same file, on one host and one version
    of scikit-learn: every ``random_state`` that is not set, of the estimator and of those inside it, gets the seed. The
    estimator given is not changed; what learns is a copy. Learning takes one copy of the features in memory.

    A regressor scores by its predictions; a classifier of two classes by the probability of the larger one, which is
    what its decision function says where it knows no probabilities.

    Parameters
    ----------
    estimator : estimator, str or mapping
        As built, or by name: ``sklearn.linear_model.Ridge`` or ``{class, module_path, kwargs}``.
    seed : int, optional
        A trainer gives one when the configuration does not.
    threads : int
        Of the linear algebra and of OpenMP beneath the estimator; its own ``n_jobs`` counts as it says.

    Attributes
    ----------
    estimator : estimator
        Unfitted, as given.
    model : estimator or None
        The fitted copy; None before `fit`.
    feature_names_ : tuple of str
        Names of the features in column order.
    """

    def __init__(self, estimator: Any, *, seed: int | None = None, threads: int = 1) -> None:
        _sklearn()
        named = isinstance(estimator, str | Mapping)
        built = init_instance_by_config(estimator, slot="model") if named else estimator
        if not is_estimator(built):
            raise ConfigError(
                f"{type(built).__name__} is not an estimator of scikit-learn",
                hint="name a class with fit(X, y) and predict(X), such as sklearn.linear_model.Ridge",
            )
        given = built.get_params(deep=True)
        texts = {name: value for name, value in given.items() if isinstance(value, str | os.PathLike)}
        caches = {name: value for name, value in given.items() if name == "memory" or name.endswith("__memory")}
        check_parameters("scikit-learn", {**texts, **caches})  # `fit_path` and its like are switches
        self.estimator = built
        self.seed = 0 if seed is None else int(seed)
        self.threads = threads
        self.model: Any = None
        self.feature_names_ = ()

    @property
    def params(self) -> dict[str, Any]:
        """Everything that decides what is learnt: class and parameters of the estimator, seed and threads."""
        kind = f"{type(self.estimator).__module__}.{type(self.estimator).__qualname__}"
        given = self.estimator.get_params(deep=False)
        return {"estimator": kind, **given, "seed": self.seed, "num_threads": self.threads}

    def __repr__(self) -> str:
        return f"SklearnModel({self.estimator!r}, {'fitted' if self.model is not None else 'not fitted'})"

    def fit(self, dataset: ModelDataset, reweighter: SampleWeighter | None = None) -> None:
        """Learn from the segment ``train``.

        Parameters
        ----------
        dataset : DatasetH
            Gives ``segments`` and ``fold(segment, data_key="learn")``.
        reweighter : object, optional
            Has ``reweight(frame)``: one weight per row of the segment, given as ``sample_weight``.

        Raises
        ------
        ModelError
            When the segment has no rows, only NaN labels or infinite values; when a feature has NaN and the estimator
            takes none; when it takes no weights and there are some; and when the estimator refuses the data.
        """
        fold = read_training_folds(dataset, ("train",))["train"]
        self._refuse_missing(fold.features, fold.names, "train", processors="learn_processors and infer_processors")
        fresh = set_seeds(_sklearn("base").clone(self.estimator), self.seed)
        label: NDArray[Any] = fold.label
        if _is_classifier(fresh):
            label = _as_classes(label)
        given: dict[str, Any] = {}
        weights = sample_weights(dataset, reweighter, fold, segment="train")
        if weights is not None:
            given[self._weight_name(fresh)] = weights.astype(np.float64)
        features = fold.features.copy()  # some estimators refuse an array that is read-only
        empty = np.isin(fold.names, names_all_missing(fold))
        features[:, empty] = 0.0  # a feature without values is a constant: some estimators fail on NaN columns
        try:
            with self._threads():
                fresh.fit(features, label, **given)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{type(fresh).__name__} refuses to learn: {error}") from error
        self.model, self.feature_names_ = fresh, tuple(fold.names)

    def _scores_by_row(self) -> bool:
        """Trees score each row alone; what multiplies matrices has last bits that depend on how many rows there are."""
        fitted = self._require_fitted()
        return type(fitted).__name__ in _TREES and type(fitted).__module__.startswith("sklearn.")

    def _score_sessions(self, features: NDArray[Any], index: pd.MultiIndex, segment: str) -> NDArray[Any]:
        with self._threads():  # once, since it looks through the libraries of the process
            return super()._score_sessions(features, index, segment)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        fitted = self._require_fitted()
        self._refuse_missing(features, self.feature_names_, segment, processors="infer_processors")
        try:
            if not _is_classifier(fitted):
                found = np.asarray(fitted.predict(features))
                return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
            if hasattr(fitted, "predict_proba"):
                return np.asarray(fitted.predict_proba(features))[:, 1]
            return np.asarray(fitted.decision_function(features))
        except _FAILURES as error:
            raise ModelError(f"{type(fitted).__name__} cannot score segment `{segment}`: {error}") from error

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Limit the threads inside the block, and let joblib start no processes."""
        limits = require("threadpoolctl", extra="sklearn").threadpool_limits
        config = require("joblib", extra="sklearn").parallel_config
        with limits(limits=self.threads), config(backend="threading"):
            yield

    def _refuse_missing(self, features: NDArray[Any], names: tuple[str, ...], segment: str, *, processors: str) -> None:
        if _tags(self.estimator).input_tags.allow_nan:
            return
        missing = names_with_missing(features, names)
        if missing:
            name = type(self.estimator).__name__
            raise ModelError(
                f"{name} does not support NaN, and segment `{segment}` has some in {join_names(missing)}",
                hint=f"add the processor Fillna to the handler's {processors}",
            )

    @staticmethod
    def _weight_name(estimator: Any) -> str:
        """Return the argument of `fit` that takes the weights; in a pipeline that of its last step."""
        if _sklearn("utils.validation").has_fit_parameter(estimator, "sample_weight"):
            return "sample_weight"
        steps = getattr(estimator, "steps", None)
        if steps and _sklearn("utils.validation").has_fit_parameter(steps[-1][1], "sample_weight"):
            return f"{steps[-1][0]}__sample_weight"
        raise ModelError(
            f"{type(estimator).__name__} does not support sample weights, and the task has a reweighter",
            hint="remove the reweighter, or use another estimator",
        )


def as_model(built: Any, *, seed: int | None = None) -> Any:
    """Return `built`, or a `SklearnModel` around it when it is an estimator of scikit-learn's kind."""
    return SklearnModel(built, seed=seed) if is_estimator(built) else built


def is_estimator(obj: Any) -> bool:
    """Whether `obj` has the interface of scikit-learn's estimators, ``fit(X, y)``; scikit-learn is not imported."""
    if isinstance(obj, type) or not callable(getattr(obj, "get_params", None)):
        return False
    if not callable(getattr(type(obj), "__sklearn_tags__", None)) or not hasattr(type(obj), "predict"):
        return False
    names = list(inspect.signature(obj.fit).parameters)
    return names[:1] == ["X"]


def set_seeds(estimator: Any, seed: int) -> Any:
    """Set every ``random_state`` that is None, of `estimator` and of the estimators inside it."""
    unset = {
        name: seed % _MAX_SEED
        for name, value in estimator.get_params(deep=True).items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return estimator.set_params(**unset)


def _is_classifier(estimator: Any) -> bool:
    return bool(_tags(estimator).estimator_type == "classifier")


def _as_classes(label: NDArray[Any]) -> NDArray[np.int64]:
    found = np.unique(label)
    if len(found) != 2 or not (found == np.round(found)).all():
        shown = ", ".join(f"{value:g}" for value in found[:5])
        raise ModelError(
            f"a classifier learns two classes here, and the labels are {len(found)} values: {shown}, …",
            hint="make the label 0 or 1 in its expression, as `Ref($close, -2) > Ref($close, -1)`, or take a regressor",
        )
    return label.astype(np.int64)


def _tags(estimator: Any) -> Any:
    return _sklearn("utils").get_tags(estimator)


def _sklearn(module: str = "") -> ModuleType:
    return require(f"sklearn.{module}" if module else "sklearn", extra="sklearn")
