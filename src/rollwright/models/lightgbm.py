"""LightGBM on the feature store: no copy of the features, and the same model every time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.registry import Codec
from rollwright.core.optional import require
from rollwright.errors import ConfigError, CorruptArtifactError, ModelError
from rollwright.models.boosted import BoostedTrees
from rollwright.models.folds import TrainingFold, sample_weights
from rollwright.models.lightgbm_names import unknown_parameters
from rollwright.models.lightgbm_text import join_model_text, split_model_text
from rollwright.models.state import is_exactly, refuse_strangers
from rollwright.models.tabular import each_value, first_given

__all__ = ["LGBModel", "LightGBMTextCodec"]

_LOG: Final = logging.getLogger("rollwright.models")
_LOSSES: Final = ("mse", "binary")
_THREADS: Final = ("num_threads", "num_thread", "nthread", "nthreads", "n_jobs")
_SEEDS: Final = ("random_seed", "random_state")
_VERBOSITIES: Final = ("verbosity", "verbose")
_ROUNDS: Final = (
    "num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds", "nrounds",
    "n_estimators", "max_iter",
)  # fmt: skip
_CATEGORIES: Final = ("categorical_feature", "cat_feature", "categorical_column", "cat_column", "categorical_features")
_LAYOUTS: Final = ("force_row_wise", "force_col_wise")
_UNSAFE: Final = frozenset(' ",:[]{}')  # LightGBM's text refuses these in the name of a feature


class LGBModel(BoostedTrees):
    """Gradient boosted trees by LightGBM, with the constructor and the defaults of Qlib's ``LGBModel``.

    Guarantees: the same dataset and parameters give the same bytes of model text and the same scores, on one host and
    one version of LightGBM, whatever ran before. For that ``deterministic`` and ``force_row_wise`` are on, the number
    of threads is one and the seed is `seed`, unless they are given. What the model predicts with is exactly what is
    saved: the trees up to the best iteration.

    Parameters
    ----------
    loss : {"mse", "binary"}
        The objective; an ``objective`` among `kwargs` replaces it.
    early_stopping_rounds : int or None
        Stop when the ``valid`` segment has not improved for so many rounds. Without a ``valid`` segment nothing stops
        early. None or 0 switches it off.
    num_boost_round : int
        Rounds at most.
    seed : int, optional
        What bagging and feature sampling draw with; a trainer gives the task's own, 0 if nobody does.
    **kwargs
        Parameters of LightGBM, passed on as they are.

    Attributes
    ----------
    params : dict
        What LightGBM is given.
    model : lightgbm.Booster or None
        The trees; None before `fit`.
    best_iteration_ : int
        Number of rounds kept, 0 before `fit`.
    evals_result_ : dict
        ``{segment: {metric: [one value per round]}}``.
    feature_names_ : tuple of str
        Names of the features in column order.
    """

    def __init__(
        self,
        loss: str = "mse",
        early_stopping_rounds: int | None = 50,
        num_boost_round: int = 1000,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if loss not in _LOSSES:
            raise ConfigError(f"loss `{loss}` is none of {', '.join(_LOSSES)}", hint="give LightGBM's own `objective`")
        for alias in _ROUNDS:
            num_boost_round = kwargs.pop(alias, num_boost_round)
        super().__init__(
            num_boost_round=num_boost_round,
            early_stopping_rounds=early_stopping_rounds,
            params={"objective": loss, **_defaults(kwargs, seed=seed or 0), **kwargs},
        )
        self.loss = loss

    @staticmethod
    def unknown_parameters(names: Iterable[str]) -> dict[str, str | None]:
        """Return those of the further parameters `names` that LightGBM has not, each with the nearest it has."""
        return unknown_parameters(names)

    def __repr__(self) -> str:
        return f"LGBModel(loss={self.loss!r}, {self._fit_state()})"

    def get_feature_importance(self, importance_type: str = "split") -> pd.Series:
        """Return the importance of every feature, largest first; by number of splits or by their gain."""
        return self._importance_series(
            self._fitted().feature_importance(importance_type=importance_type), importance_type
        )

    def state(self) -> dict[str, Any]:
        """Return everything but the trees that a saved model must bring back, as JSON values."""
        return {"loss": self.loss, **super().state()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], text: str) -> Self:
        """Return the model that `state` and LightGBM's model `text` describe."""
        model = super().from_state(state, text)
        model.loss = cls(loss=state["loss"]).loss  # the constructor knows which there are
        return model

    @staticmethod
    def _library() -> ModuleType:
        return _lightgbm()

    def _take(self, text: str) -> None:
        self.model = _lightgbm().Booster(model_str=text)

    def _learn(
        self,
        dataset: Any,
        folds: Mapping[str, TrainingFold],
        reweighter: Any,
        *,
        rounds: int,
        patience: int | None,
        period: int | None,
        start: Any = None,
    ) -> None:
        lgb = _lightgbm()
        history: dict[str, dict[str, list[float]]] = {}
        callbacks = [lgb.record_evaluation(history), *_talk(period)]
        if patience:
            callbacks.append(lgb.early_stopping(patience, verbose=False))
        sets = self._datasets(lgb, dataset, folds, reweighter)
        booster = self._train(lgb, sets, rounds=rounds, callbacks=callbacks, start=start)
        self._keep(booster, history, folds["train"].names)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:  # noqa: ARG002 - the port's signature
        return np.asarray(self._fitted().predict(features, num_threads=int(first_given(self.params, _THREADS, 1))))

    def _datasets(
        self, lgb: ModuleType, dataset: Any, folds: Mapping[str, TrainingFold], reweighter: Any
    ) -> dict[str, Any]:
        sets: dict[str, Any] = {}
        categories = first_given(self.params, _CATEGORIES, "auto")
        for key, fold in folds.items():
            weight = sample_weights(dataset, reweighter, fold, segment=key)
            sets[key] = lgb.Dataset(
                fold.features,
                label=fold.label,
                weight=weight,
                feature_name=_safe_names(fold.names),
                categorical_feature=categories,
                reference=sets.get("train"),
            )
        return sets

    def _train(
        self, lgb: ModuleType, sets: Mapping[str, Any], *, rounds: int, callbacks: list[Any], start: Any = None
    ) -> Any:
        try:
            return lgb.train(
                {name: value for name, value in self.params.items() if name not in _CATEGORIES},
                sets["train"],
                num_boost_round=rounds,
                valid_sets=list(sets.values()),
                valid_names=list(sets),
                init_model=start,
                callbacks=callbacks,
            )
        except (lgb.basic.LightGBMError, TypeError, ValueError) as error:
            raise ModelError(f"LightGBM refuses to learn: {error}") from error

    def _keep(self, booster: Any, history: dict[str, dict[str, list[float]]], names: Any) -> None:
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        # Reading the text back drops the training data and the trees after the best round, so that a model in memory
        # and the same model from a file predict, go on learning and save alike.
        self._take(booster.model_to_string(num_iteration=best))
        self.best_iteration_ = int(best)
        self.evals_result_ = each_value(history, float)
        self.feature_names_ = tuple(names)


class LightGBMTextCodec(Codec):
    """Stores an `LGBModel` as LightGBM's text; LightGBM itself can open the file too.

    The last line, which LightGBM ignores, holds our parameters, the names of the features and the evaluation history.
    Guarantees: a model that was read predicts the same bytes as the one written; writing it again gives the same file.
    """

    kind = "lightgbm"
    suffix = ".txt"

    def accepts(self, obj: Any) -> bool:
        """Tell whether the text holds all of `obj`: a derived class, or attributes of its own, it cannot."""
        return is_exactly(obj, LGBModel, LGBModel())

    def write(self, obj: Any, path: Path) -> None:
        """Write the fitted model `obj` to `path`.

        Raises
        ------
        ModelError
            When it is not fitted.
        UnsupportedArtifactError
            When it is of a derived class or has attributes of its own, which reading could not bring back.
        TaskValueError
            When one of its parameters has no JSON form.
        """
        refuse_strangers(obj, LGBModel, LGBModel())
        booster = obj._fitted()  # noqa: SLF001 - model and codec are two halves of one thing
        path.write_bytes(join_model_text(booster.model_to_string(), obj.state()).encode())

    def read(self, path: Path) -> LGBModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When the text is not what LightGBM writes: counts that are negative, too large or do not fit their lists,
            trees that are no trees. The C++ parser never sees such a text.
        """
        try:
            whole = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorruptArtifactError(f"{path.name} is no text: {error}") from error
        text, state = split_model_text(whole, name=path.name)
        try:
            return LGBModel.from_state(state, text)
        except (_lightgbm().basic.LightGBMError, ConfigError, AttributeError, TypeError, ValueError) as error:
            raise CorruptArtifactError(f"{path.name}: LightGBM cannot read it: {error}") from error


def _lightgbm() -> ModuleType:
    return require("lightgbm", extra="lightgbm")


def _defaults(given: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
    """Return the parameters that make a fit repeatable, but those `given` under any of their names."""
    wanted: list[tuple[tuple[str, ...], str, Any]] = [
        (_VERBOSITIES, "verbosity", -1),
        (_THREADS, "num_threads", 1),
        (_SEEDS, "seed", seed),
        (("deterministic",), "deterministic", True),
        (_LAYOUTS, "force_row_wise", True),
    ]
    return {name: value for aliases, name, value in wanted if not any(alias in given for alias in aliases)}


def _talk(period: int | None) -> list[Callable[[Any], None]]:
    """Return the callback that logs the evaluation every `period` rounds."""
    if not period:
        return []

    def tell(environment: Any) -> None:
        if environment.iteration % period == 0:
            last = {f"{found[0]}.{found[1]}": found[2] for found in environment.evaluation_result_list or []}
            _LOG.info("round round=%d evaluation=%s", environment.iteration, last)

    return [tell]


def _safe_names(names: tuple[str, ...]) -> list[str]:
    """Return the names for LightGBM's text: ours when it can hold them all, else one number each."""
    plain = all(
        name.isascii() and name.isprintable() and not (_UNSAFE & set(name)) and " " not in name for name in names
    )
    if plain and len(set(names)) == len(names) and all(names):
        return list(names)
    width = max(1, math.ceil(math.log10(max(len(names), 2))))
    return [f"f{place:0{width}d}" for place in range(len(names))]
