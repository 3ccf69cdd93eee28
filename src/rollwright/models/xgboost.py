"""XGBoost on the feature store: features are binned where they lie, and the same model comes out every time."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.registry import Codec
from rollwright.core.optional import require
from rollwright.errors import ConfigError, CorruptArtifactError, ModelError, nearest
from rollwright.models.boosted import BoostedTrees
from rollwright.models.folds import TrainingFold, sample_weights
from rollwright.models.state import is_exactly, refuse_strangers
from rollwright.models.tabular import each_value, first_given, take_aliases
from rollwright.models.xgboost_json import join_model_json, split_model_json
from rollwright.models.xgboost_names import PARAMETERS

__all__ = ["XGBModel", "XGBoostJsonCodec"]

_LOG: Final = logging.getLogger("rollwright.models")
_ROUNDS: Final = ("n_estimators", "num_round", "num_rounds", "num_boosting_rounds")
_THREADS: Final = ("nthread", "n_jobs")
_SEEDS: Final = ("random_state", "seed")
_PLACE: Final = re.compile(r"^\[[\d:]+\] \S+:\d+: ")
_BINNED: Final = (None, "auto", "hist")


class XGBModel(BoostedTrees):
    """Gradient boosted trees by XGBoost, with the constructor of Qlib's ``XGBModel``.

    Guarantees: the same dataset and parameters give the same bytes of model and the same scores, on one host and one
    version of XGBoost. For that the number of threads is one and the seed is zero, unless they are given. What the
    model predicts with is exactly what is saved: the trees up to the best iteration. With the method ``hist``, which is
    the default, the features are binned straight from the fold, without a copy of their values.

    Parameters
    ----------
    num_boost_round : int
        Rounds at most. Its other names, such as ``n_estimators``, mean the same; in Qlib they have no effect.
    early_stopping_rounds : int or None
        Stop when the ``valid`` segment has not improved for so many rounds. Without a ``valid`` segment nothing stops
        early. None or 0 switches it off.
    seed : int, optional
        Of whatever is drawn at random; a trainer gives one when the configuration does not.
    **kwargs
        Parameters of XGBoost, passed on as they are.

    Attributes
    ----------
    params : dict
        What XGBoost is given.
    model : xgboost.Booster or None
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
        *,
        num_boost_round: int = 1000,
        early_stopping_rounds: int | None = 50,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        num_boost_round = take_aliases(kwargs, _ROUNDS, num_boost_round)
        if str(kwargs.get("objective", "")).startswith(("multi:", "rank:", "survival:")):
            raise ConfigError(
                f"objective `{kwargs['objective']}` does not give one score per sample learnt from one label",
                hint="take one that begins with reg:, binary: or count:",
            )
        params = {"verbosity": 0, **kwargs}
        if not any(name in kwargs for name in _THREADS):
            params["nthread"] = 1
        if "random_state" not in kwargs:
            params["seed"] = 0 if seed is None else seed
        super().__init__(num_boost_round=num_boost_round, early_stopping_rounds=early_stopping_rounds, params=params)

    @staticmethod
    def unknown_parameters(names: Iterable[str]) -> dict[str, str | None]:
        """Return those of the further parameters `names` that XGBoost has not, each with the nearest it has."""
        return {name: nearest(name, PARAMETERS) for name in names if name not in PARAMETERS}

    def __repr__(self) -> str:
        return f"XGBModel({self._fit_state()})"

    def get_feature_importance(self, importance_type: str = "weight") -> pd.Series:
        """Return the importance of every feature, largest first; 0 for one that no tree uses.

        Parameters
        ----------
        importance_type : {"weight", "gain", "cover", "total_gain", "total_cover"}
        """
        found = self._fitted().get_score(importance_type=importance_type)
        values = [float(np.sum(found.get(f"f{place}", 0.0))) for place in range(len(self.feature_names_))]
        return self._importance_series(values, importance_type)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        xgb, booster = _xgboost(), self._fitted()
        try:
            if self.params.get("booster") == "gblinear":  # which cannot read features where they lie
                matrix = xgb.DMatrix(features, nthread=first_given(self.params, _THREADS, 1))
                return np.asarray(booster.predict(matrix))
            return np.asarray(booster.inplace_predict(features))
        except (xgb.core.XGBoostError, ValueError) as error:
            raise ModelError(f"XGBoost cannot score segment `{segment}`: {_first_line(error)}") from error

    @staticmethod
    def _library() -> ModuleType:
        return _xgboost()

    def _take(self, text: str) -> None:
        self.model = self._booster_of(text)

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
        xgb = _xgboost()
        history: dict[str, dict[str, list[float]]] = {}
        options: dict[str, Any] = {"evals_result": history, "callbacks": _talk(xgb, period), "xgb_model": start}
        if patience:
            options["early_stopping_rounds"] = patience
        sets = self._matrices(xgb, dataset, folds, reweighter)
        self._keep(self._train(xgb, sets, rounds, options), folds["train"].names)
        self.evals_result_ = each_value(history, float)

    def _booster_of(self, text: str) -> Any:
        booster = _xgboost().Booster()
        booster.load_model(bytearray(text.encode()))
        booster.set_param({"nthread": first_given(self.params, _THREADS, 1), "verbosity": 0})
        return booster

    def _matrices(
        self, xgb: ModuleType, dataset: Any, folds: Mapping[str, TrainingFold], reweighter: Any
    ) -> dict[str, Any]:
        threads = first_given(self.params, _THREADS, 1)
        binned = self.params.get("tree_method") in _BINNED and self.params.get("booster") != "gblinear"
        sets: dict[str, Any] = {}
        for key, fold in folds.items():
            weight = sample_weights(dataset, reweighter, fold, segment=key)
            given = {"data": fold.features, "label": fold.label, "weight": weight, "nthread": threads}
            try:
                if binned:
                    bins = self.params.get("max_bin")
                    sets[key] = xgb.QuantileDMatrix(**given, max_bin=bins, ref=sets.get("train"))
                else:
                    sets[key] = xgb.DMatrix(**given)
            except (xgb.core.XGBoostError, TypeError, ValueError) as error:
                raise ModelError(f"XGBoost refuses the data: {_first_line(error)}") from error
        return sets

    def _train(self, xgb: ModuleType, sets: Mapping[str, Any], rounds: int, options: Mapping[str, Any]) -> Any:
        try:
            # XGBoost draws from one source per thread, which a booster that goes on learning does not set anew: what
            # ran before would decide. Configuring a new booster sets it.
            xgb.Booster(self.params, [sets["train"]]).save_config()
            booster = xgb.train(
                self.params,
                sets["train"],
                num_boost_round=rounds,
                evals=[(matrix, key) for key, matrix in sets.items()],
                verbose_eval=False,
                **options,
            )
            stopped = "early_stopping_rounds" in options and self.params.get("booster") != "gblinear"
            return booster[: booster.best_iteration + 1] if stopped else booster
        except (xgb.core.XGBoostError, TypeError, ValueError) as error:
            raise ModelError(f"XGBoost refuses to learn: {_first_line(error)}") from error

    def _keep(self, booster: Any, names: tuple[str, ...]) -> None:
        # Reading the model back drops the training data and what XGBoost notes beside the trees, so that a model in
        # memory and the same model from a file predict, go on learning and save alike.
        booster.set_attr(best_iteration=None, best_score=None)
        self.best_iteration_ = int(booster.num_boosted_rounds())
        self._take(_text_of(booster))
        self.feature_names_ = tuple(names)


class XGBoostJsonCodec(Codec):
    """Stores an `XGBModel` as XGBoost's JSON; XGBoost itself can open the file too.

    One more key, ``rollwright``, which XGBoost passes over, holds our parameters, the names of the features, the
    evaluation history and the SHA-256 of the rest. Guarantees: a model that was read predicts the same bytes as the one
    written; writing it again gives the same file; XGBoost's parser sees nothing that was not checked before.
    """

    kind = "xgboost"
    suffix = ".json"

    def accepts(self, obj: Any) -> bool:
        """Tell whether reading would bring all of `obj` back."""
        return is_exactly(obj, XGBModel, XGBModel())

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
        refuse_strangers(obj, XGBModel, XGBModel())
        booster = obj._fitted()  # noqa: SLF001 - model and codec are two halves of one thing
        path.write_text(join_model_json(_text_of(booster), obj.state()), encoding="utf-8")

    def read(self, path: Path) -> XGBModel:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When it is not what XGBoost and `write` make: counts that are negative, too large or do not fit their
            lists, trees that are no trees.
        """
        text, state = split_model_json(path.read_bytes(), name=path.name)
        xgb = _xgboost()
        try:
            return XGBModel.from_state(state, text)
        except (xgb.core.XGBoostError, AttributeError, TypeError, ValueError) as error:
            raise CorruptArtifactError(f"{path.name}: XGBoost cannot read it: {_first_line(error)}") from error


def _xgboost() -> ModuleType:
    return require("xgboost", extra="xgboost")


def _text_of(booster: Any) -> str:
    return bytes(booster.save_raw(raw_format="json")).decode("utf-8")


def _first_line(error: Exception) -> str:
    """Return what XGBoost says, without the time and place before it and the stack of C++ frames beneath it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return _PLACE.sub("", lines[0]) if lines else type(error).__name__


def _talk(xgb: ModuleType, period: int | None) -> list[Any]:
    """Return the callback that logs every `period` rounds."""
    if not period:
        return []

    def after_iteration(_: Any, __: Any, epoch: int, history: Any) -> bool:
        if epoch % period == 0:
            last = {key: {name: values[-1] for name, values in found.items()} for key, found in history.items()}
            _LOG.info("round round=%d evaluation=%s", epoch, json.dumps(last))
        return False

    base = xgb.callback.TrainingCallback  # made here, since the library is imported only when it is used
    return [type("Talk", (base,), {"after_iteration": after_iteration})()]
