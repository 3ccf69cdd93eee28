"""CatBoost, silent and repeatable: the model is what its file says, to the last bit."""

from __future__ import annotations

import inspect
import io
import logging
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.registry import Codec
from rollwright.core.optional import require
from rollwright.errors import ConfigError, CorruptArtifactError, ModelError, UnsupportedArtifactError, nearest
from rollwright.models.boosted import BoostedTrees
from rollwright.models.catboost_json import bare_model, join_model_json, split_model_json
from rollwright.models.folds import TrainingFold, sample_weights
from rollwright.models.state import is_exactly, refuse_strangers
from rollwright.models.tabular import each_value, first_given, take_aliases

__all__ = ["CatBoostJsonCodec", "CatBoostModel"]

_LOG: Final = logging.getLogger("rollwright.models")
_LOSSES: Final = ("RMSE", "Logloss")
_LOSS_NAMES: Final = ("loss_function", "objective")
_ROUNDS: Final = ("iterations", "n_estimators", "num_trees")
_SEEDS: Final = ("random_seed", "random_state")
_TALK: Final = ("verbose", "verbose_eval", "logging_level", "silent", "metric_period")
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
        Of whatever is drawn at random; a trainer gives one when the configuration does not.
    **kwargs
        Parameters of CatBoost, passed on as they are, but: ``bootstrap_type: Poisson``, which only a GPU can, is
        ``Bernoulli`` on a CPU, and the log says so; those of its printing have no effect.

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
        for name in _TALK:
            kwargs.pop(name, None)
        params = {"loss_function": found, "task_type": "CPU", "thread_count": 1, **kwargs}
        if not any(name in kwargs for name in _SEEDS):
            params["random_seed"] = 0 if seed is None else seed
        super().__init__(num_boost_round=num_boost_round, early_stopping_rounds=early_stopping_rounds, params=params)
        self.text_ = ""

    @staticmethod
    def unknown_parameters(names: Iterable[str]) -> dict[str, str | None]:
        """Return those of the further parameters `names` that CatBoost has not, each with the nearest it has.

        Raises
        ------
        MissingExtraError
            When CatBoost, which could tell, is not installed.
        """
        wanted = list(names)
        known = set(inspect.signature(_catboost().CatBoostRegressor.__init__).parameters) if wanted else set()
        known |= set(inspect.signature(_catboost().CatBoostClassifier.__init__).parameters) if wanted else set()
        known -= {"self", "kwargs"}
        return {name: nearest(name, known) for name in wanted if name not in known and name not in _TALK}

    def __repr__(self) -> str:
        return f"CatBoostModel(loss={self.params['loss_function']!r}, {self._fit_state()})"

    def get_feature_importance(self, importance_type: str = "PredictionValuesChange") -> pd.Series:
        """Return the importance of every feature, largest first."""
        try:
            values = self._fitted().get_feature_importance(type=importance_type)
        except _catboost().CatBoostError as error:
            raise ModelError(f"CatBoost cannot tell the importance `{importance_type}`: {error}") from error
        return self._importance_series(values, importance_type)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        threads = int(self.params.get("thread_count", 1))
        booster = self._fitted()
        try:
            return np.asarray(booster.predict(features, prediction_type="RawFormulaVal", thread_count=threads))
        except _catboost().CatBoostError as error:
            raise ModelError(f"CatBoost cannot score segment `{segment}`: {error}") from error

    @staticmethod
    def _library() -> ModuleType:
        return _catboost()

    def _take(self, text: str) -> None:
        self.text_, self.model = text, _read_text(text)

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
        catboost = _catboost()
        given = {**self._parameters(), "iterations": rounds, "use_best_model": patience is not None}
        given |= {"early_stopping_rounds": patience} if patience else {}
        given |= {"logging_level": "Silent", "allow_writing_files": False}
        callbacks = [_Talk(period)] if period and given["task_type"] == "CPU" else None
        try:
            pools = {
                key: catboost.Pool(
                    fold.features,
                    label=fold.label,
                    weight=sample_weights(dataset, reweighter, fold, segment=key),
                    thread_count=int(first_given(self.params, ("thread_count",), 1)),
                )
                for key, fold in folds.items()
            }
            booster = catboost.CatBoost(given)
            booster.fit(
                pools["train"],
                eval_set=pools.get("valid"),
                init_model=start,
                callbacks=callbacks,
                log_cout=io.StringIO(),  # some of its warnings are printed even when it is silent
                log_cerr=io.StringIO(),
            )
            history = {_SETS.get(key, key): found for key, found in booster.get_evals_result().items()}
            text = bare_model(_text_of(booster))
        except (catboost.CatBoostError, UnsupportedArtifactError, TypeError) as error:
            raise ModelError(f"CatBoost refuses to learn: {error}") from error
        # The file keeps sixteen digits of a leaf: reading it back makes the model in memory the one in the file.
        self._take(text)
        self.best_iteration_ = int(self.model.tree_count_)
        self.evals_result_ = each_value(history, float)
        self.feature_names_ = tuple(folds["train"].names)

    def _parameters(self) -> dict[str, Any]:
        params = dict(self.params)
        if params.get("bootstrap_type") == "Poisson" and params["task_type"] == "CPU":
            _LOG.warning("parameter_replaced name=bootstrap_type given=Poisson used=Bernoulli reason=needs_a_gpu")
            params["bootstrap_type"] = "Bernoulli"
        return params


class CatBoostJsonCodec(Codec):
    """Stores a `CatBoostModel` as CatBoost's JSON; CatBoost itself can open the file too.

    One more key, ``rollwright``, which CatBoost passes over, holds our parameters, the names of the features, the
    evaluation history and the SHA-256 of the rest. Guarantees: a model that was read predicts the same bytes as the one
    written; writing it again gives the same file; CatBoost's parser sees nothing that was not checked before.
    """

    kind = "catboost"
    suffix = ".json"

    def accepts(self, obj: Any) -> bool:
        """Tell whether reading would bring all of `obj` back."""
        return is_exactly(obj, CatBoostModel, CatBoostModel())

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
        refuse_strangers(obj, CatBoostModel, CatBoostModel())
        obj._fitted()  # noqa: SLF001 - model and codec are two halves of one thing
        path.write_text(join_model_json(obj.text_, obj.state()), encoding="utf-8")

    def read(self, path: Path) -> CatBoostModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When it is not what CatBoost and `write` make: lists of a wrong length, splits on what does not exist.
        """
        text, state = split_model_json(path.read_bytes(), name=path.name)
        catboost = _catboost()
        try:
            return CatBoostModel.from_state(state, text)
        except (catboost.CatBoostError, AttributeError, TypeError, ValueError) as error:
            raise CorruptArtifactError(f"{path.name}: CatBoost cannot read it: {error}") from error


class _Talk:
    """Logs the evaluation every so many rounds; CatBoost calls it."""

    def __init__(self, period: int) -> None:
        self._period = period

    def after_iteration(self, info: Any) -> bool:
        """Log this round if it is due; True lets CatBoost go on."""
        if info.iteration % self._period == 0:
            last = {key: {name: values[-1] for name, values in found.items()} for key, found in info.metrics.items()}
            _LOG.info("round round=%d evaluation=%s", info.iteration, last)
        return True


def _catboost() -> ModuleType:
    return require("catboost", extra="catboost")


def _text_of(booster: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:  # CatBoost writes JSON to files only
        path = Path(folder) / "model.json"
        booster.save_model(str(path), format="json")
        return path.read_text(encoding="utf-8")


def _read_text(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        path.write_text(text, encoding="utf-8")
        booster = _catboost().CatBoost()
        booster.load_model(str(path), format="json")
        return booster
