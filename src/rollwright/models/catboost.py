"""CatBoost: prints nothing, writes no folder, and gives the same model every time."""

from __future__ import annotations

import inspect
import io
import logging
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.bounded_read import LARGE, read_text
from rollwright.core.fit_rounds import is_listened, tell_round
from rollwright.core.optional import require
from rollwright.errors import ConfigError, ModelError, UnsupportedArtifactError, nearest
from rollwright.models.boosted import BoostedTrees, BoostedTreesCodec, GrownTrees, log_evaluation
from rollwright.models.catboost_json import JSON_FORMAT, bare_model
from rollwright.models.folds import TrainingFold
from rollwright.models.tabular import first_given, take_aliases

__all__ = ["CatBoostJsonCodec", "CatBoostModel"]

_logger: Final = logging.getLogger("rollwright.models")
_LOSSES: Final = ("RMSE", "Logloss")
_LOSS_NAMES: Final = ("loss_function", "objective")
_ROUNDS: Final = ("iterations", "n_estimators", "num_trees")
_SEEDS: Final = ("random_seed", "random_state")
_PRINTING: Final = ("verbose", "verbose_eval", "logging_level", "silent", "metric_period")
_SHRINKING: Final = ("model_shrink_rate", "langevin", "posterior_sampling")  # each round shrinks the trees before it
_NOT_NUMBERS: Final = ("cat_features", "text_features", "embedding_features")
_SETS: Final = {"learn": "train", "validation": "valid"}


class CatBoostModel(BoostedTrees):
    """Gradient boosted trees by CatBoost, with the constructor of Qlib's ``CatBoostModel``.

    Guarantees: the same dataset and parameters give the same bytes of model and the same scores, on one host and one
    version of CatBoost. For that the number of threads is one, the seed zero and the device the CPU, unless they are
    given. CatBoost's own JSON keeps sixteen digits of a leaf, so what is learnt is read back from it once: the model in
    memory is the model in the file. CatBoost never prints and writes no folder of its own.

    Parameters
    ----------
    loss : {"RMSE", "Logloss"}
        The loss; a ``loss_function`` or ``objective`` among `kwargs` replaces it. The scores are CatBoost's raw values,
        log-odds for ``Logloss``.
    num_boost_round : int
        Rounds at most. Its other names, such as ``iterations``, mean the same.
    early_stopping_rounds : int or None
        Stop when the ``valid`` segment has not improved for so many rounds, and keep the best ones. Without a ``valid``
        segment nothing stops early. None or 0 switches it off.
    seed : int, optional
        Seed of all random draws; a trainer sets it when the configuration does not.
    **kwargs
        Parameters of CatBoost, passed on as they are, with two exceptions: ``bootstrap_type: Poisson``, which only a
        GPU has, becomes ``Bernoulli`` on a CPU, and the log says so; parameters about printing have no effect.

    Attributes
    ----------
    params : dict
        What CatBoost is given, beside the rounds.
    model : catboost.CatBoost or None
        The trees; None before `fit`.
    text_ : str
        The trees as JSON, which `model` was read from; empty before `fit`.
    best_iteration_ : int
        Number of rounds kept, 0 before `fit`.
    evals_result_ : dict
        ``{segment: {metric: [one value per round]}}``.
    feature_names_ : tuple of str
        Names of the features in column order.
    """

    def __init__(
        self,
        loss: str = "RMSE",
        *,
        num_boost_round: int = 1000,
        early_stopping_rounds: int | None = 50,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if loss not in _LOSSES:
            raise ConfigError(
                f"loss `{loss}` is none of {', '.join(_LOSSES)}", hint="give CatBoost's own `loss_function`"
            )
        found = take_aliases(kwargs, _LOSS_NAMES, loss)
        if str(found).startswith("Multi") or str(found) == "RMSEWithUncertainty":
            raise ConfigError(f"loss `{found}` does not give one score per sample learnt from one label")
        for name in _NOT_NUMBERS:
            if kwargs.get(name):
                raise ConfigError(f"`{name}` is given and every feature of a dataset is a number", hint="leave it out")
        num_boost_round = take_aliases(kwargs, _ROUNDS, num_boost_round)
        for name in _PRINTING:
            kwargs.pop(name, None)
        params = {"loss_function": found, "task_type": "CPU", "thread_count": 1, **kwargs}
        if not any(name in kwargs for name in _SEEDS):
            params["random_seed"] = 0 if seed is None else seed
        super().__init__(num_boost_round=num_boost_round, early_stopping_rounds=early_stopping_rounds, params=params)
        self.text_ = ""

    library: ClassVar[str] = "CatBoost"
    telling_importance = ("PredictionValuesChange", "prediction_change")

    @staticmethod
    def unknown_parameters(names: Iterable[str]) -> dict[str, str | None]:
        """Return those of `names` that are not parameters of CatBoost, each with the nearest one that is.

        Raises
        ------
        MissingExtraError
            When CatBoost, which knows its parameters, is not installed.
        """
        wanted = list(names)
        known = set(inspect.signature(_catboost().CatBoostRegressor.__init__).parameters) if wanted else set()
        known |= set(inspect.signature(_catboost().CatBoostClassifier.__init__).parameters) if wanted else set()
        known -= {"self", "kwargs"}
        return {name: nearest(name, known) for name in wanted if name not in known and name not in _PRINTING}

    def __repr__(self) -> str:
        return f"CatBoostModel(loss={self.params['loss_function']!r}, {self._fit_state()})"

    def get_feature_importance(self, importance_type: str = "PredictionValuesChange") -> pd.Series:
        """Return the importance of every feature, largest first."""
        try:
            values = self._require_fitted().get_feature_importance(type=importance_type)
        except _catboost().CatBoostError as error:
            raise ModelError(f"CatBoost cannot tell the importance `{importance_type}`: {error}") from error
        return self._importance_series(values, importance_type)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        threads = int(self.params.get("thread_count", 1))
        booster = self._require_fitted()
        try:
            return np.asarray(booster.predict(features, prediction_type="RawFormulaVal", thread_count=threads))
        except _catboost().CatBoostError as error:
            raise ModelError(f"CatBoost cannot score segment `{segment}`: {error}") from error

    def contributions(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return for each row what each feature adds to its raw score (CatBoost's SHAP values), and last the rest."""
        threads = int(self.params.get("thread_count", 1))
        pool = _catboost().Pool(features)
        found = self._require_fitted().get_feature_importance(data=pool, type="ShapValues", thread_count=threads)
        return np.asarray(found, dtype=np.float64)

    def to_text(self) -> str:
        """Return CatBoost's model as JSON."""
        self._require_fitted()
        return self.text_

    @staticmethod
    def _import_library() -> ModuleType:
        return _catboost()

    @classmethod
    def _failures(cls) -> tuple[type[Exception], ...]:
        return (_catboost().CatBoostError, UnsupportedArtifactError, TypeError)

    def _load_text(self, text: str) -> None:
        self.text_, self.model = text, _read_text(text)

    def _grow(
        self,
        folds: Mapping[str, TrainingFold],
        weights: Mapping[str, NDArray[np.float32] | None],
        *,
        rounds: int,
        patience: int | None,
        period: int | None,
        start: Any,
        like: GrownTrees | None = None,
    ) -> GrownTrees:
        catboost = _catboost()
        shrinks = patience is not None and any(self.params.get(name) for name in _SHRINKING)
        given = {**self._parameters(), "iterations": rounds, "use_best_model": patience is not None and not shrinks}
        if like is not None and like.learning_rate is not None:
            given["learning_rate"] = like.learning_rate
        given |= {"early_stopping_rounds": patience} if patience else {}
        given |= {"logging_level": "Silent", "allow_writing_files": False}
        is_watched = (period or is_listened()) and given["task_type"] == "CPU"  # on a GPU it takes no callbacks
        pools = {
            key: catboost.Pool(
                fold.features,
                label=fold.label,
                weight=weights[key],
                thread_count=int(first_given(self.params, ("thread_count",), 1)),
            )
            for key, fold in folds.items()
        }
        booster = catboost.CatBoost(given)
        booster.fit(
            pools["train"],
            eval_set=pools.get("valid"),
            init_model=start,
            callbacks=[_RoundWatch(rounds, period=period)] if is_watched else None,
            log_cout=io.StringIO(),  # some of its warnings are printed even when it is silent
            log_cerr=io.StringIO(),
        )
        history = {_SETS.get(key, key): found for key, found in booster.get_evals_result().items()}
        return GrownTrees(
            text=bare_model(_text_of(booster)),
            rounds=int(booster.tree_count_),
            history=history,
            best=int(booster.get_best_iteration()) + 1 if shrinks else None,
            learning_rate=float(booster.learning_rate_),
        )

    def _parameters(self) -> dict[str, Any]:
        params = dict(self.params)
        if params.get("bootstrap_type") == "Poisson" and params["task_type"] == "CPU":
            _logger.warning(
                "model.parameter_replaced name=bootstrap_type given=Poisson used=Bernoulli reason=needs_a_gpu"
            )
            params["bootstrap_type"] = "Bernoulli"
        return params


class CatBoostJsonCodec(BoostedTreesCodec):
    """Stores a `CatBoostModel` as CatBoost's JSON; CatBoost ignores the last key, which holds rollwright's state."""

    kind = "catboost"
    suffix = ".json"
    model_class = CatBoostModel
    file_format = JSON_FORMAT


class _RoundWatch:
    """Tells of each round, and logs the evaluation of every one in `period`; CatBoost calls it."""

    def __init__(self, rounds: int, *, period: int | None) -> None:
        self._rounds = rounds
        self._period = period

    def after_iteration(self, info: Any) -> bool:
        """Tell of this round, and log it if it is due; True lets CatBoost go on."""
        tell_round(info.iteration, self._rounds)  # which CatBoost counts from 1
        if self._period and info.iteration % self._period == 0:
            metrics = info.metrics.items()
            latest = {key: {name: values[-1] for name, values in found.items()} for key, found in metrics}
            log_evaluation(info.iteration, latest)
        return True


def _catboost() -> ModuleType:
    return require("catboost", extra="catboost")


def _text_of(booster: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:  # CatBoost writes JSON to files only
        path = Path(folder) / "model.json"
        booster.save_model(str(path), format="json")
        return read_text(path, limit=LARGE)


def _read_text(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        path.write_text(text, encoding="utf-8")
        booster = _catboost().CatBoost()
        booster.load_model(str(path), format="json")
        return booster
