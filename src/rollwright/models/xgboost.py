"""XGBoost: bins the arrays of the feature store without a copy, and gives the same model every time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.fit_rounds import is_listened, tell_round
from rollwright.core.optional import require
from rollwright.errors import ConfigError, ModelError, nearest
from rollwright.models.boosted import BoostedTrees, BoostedTreesCodec, GrownTrees, log_evaluation
from rollwright.models.folds import TrainingFold
from rollwright.models.tabular import first_given, take_aliases
from rollwright.models.xgboost_json import JSON_FORMAT

__all__ = ["XGBModel", "XGBoostJsonCodec"]

_ROUNDS: Final = ("n_estimators", "num_round", "num_rounds", "num_boosting_rounds")
_THREADS: Final = ("nthread", "n_jobs")
_PLACE: Final = re.compile(r"^\[[\d:]+\] \S+:\d+: ")
_BINNED: Final = (None, "auto", "hist")
# XGBoost's parameter reference, without what belongs to ranking, survival and several labels.
_PARAMETERS: Final = frozenset((
    "alpha", "base_score", "booster", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "device",
    "disable_default_eval_metric", "early_stopping_rounds", "eta", "eval_metric", "extmem_single_page",
    "feature_selector", "gamma", "grow_policy", "huber_slope", "interaction_constraints", "lambda", "learning_rate",
    "max_bin", "max_cached_hist_node", "max_cat_threshold", "max_cat_to_onehot", "max_delta_step", "max_depth",
    "max_leaves", "min_child_weight", "min_split_loss", "monotone_constraints", "n_estimators", "n_jobs",
    "normalize_type", "nthread", "num_boost_round", "num_boosting_rounds", "num_parallel_tree", "num_round",
    "num_rounds", "objective", "one_drop", "process_type", "quantile_alpha", "random_state", "rate_drop",
    "refresh_leaf", "reg_alpha", "reg_lambda", "sample_type", "sampling_method", "scale_pos_weight", "seed",
    "seed_per_iteration", "sketch_ratio", "skip_drop", "subsample", "top_k", "tree_method", "tweedie_variance_power",
    "updater", "validate_parameters", "verbosity",
))  # fmt: skip


class XGBModel(BoostedTrees):
    """Gradient boosted trees by XGBoost, with the constructor of Qlib's ``XGBModel``.

    Guarantees: the same dataset and parameters give the same bytes of model and the same scores, on one host and one
    version of XGBoost. For that the number of threads is one and the seed is zero, unless they are given. What the
    model predicts with is exactly what is saved: the trees up to the best iteration. With ``booster: dart``, whose
    later rounds change earlier trees, these are grown a second time, up to there. With the method ``hist``, which is
    the default, the features are binned straight from the fold, without a copy of their values.

    Parameters
    ----------
    num_boost_round : int
        Rounds at most. Its other names, such as ``n_estimators``, mean the same; in Qlib they have no effect.
    early_stopping_rounds : int or None
        Stop when the ``valid`` segment has not improved for so many rounds. Without a ``valid`` segment nothing stops
        early. None or 0 switches it off.
    seed : int, optional
        Seed of all random draws; a trainer sets it when the configuration does not.
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

    library: ClassVar[str] = "XGBoost"
    telling_importance = ("total_gain", "gain")

    @staticmethod
    def unknown_parameters(names: Iterable[str]) -> dict[str, str | None]:
        """Return those of `names` that are not parameters of XGBoost, each with the nearest one that is.

        XGBoost ignores a parameter that it does not know, so a misspelled one would change nothing.
        """
        return {name: nearest(name, _PARAMETERS) for name in names if name not in _PARAMETERS}

    def __repr__(self) -> str:
        return f"XGBModel({self._fit_state()})"

    def get_feature_importance(self, importance_type: str = "weight") -> pd.Series:
        """Return the importance of every feature, largest first; 0 for one that no tree uses.

        Parameters
        ----------
        importance_type : {"weight", "gain", "cover", "total_gain", "total_cover"}
        """
        found = self._require_fitted().get_score(importance_type=importance_type)
        values = [float(np.sum(found.get(f"f{place}", 0.0))) for place in range(len(self.feature_names_))]
        return self._importance_series(values, importance_type)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        xgb, booster = _xgboost(), self._require_fitted()
        try:
            if self.params.get("booster") == "gblinear":  # which has no prediction in place
                matrix = xgb.DMatrix(features, nthread=first_given(self.params, _THREADS, 1))
                return np.asarray(booster.predict(matrix))
            return np.asarray(booster.inplace_predict(features))
        except (xgb.core.XGBoostError, ValueError) as error:
            raise ModelError(f"XGBoost cannot score segment `{segment}`: {_first_line(error)}") from error

    def contributions(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return for each row what each feature adds to its margin (XGBoost's SHAP values), and last the rest."""
        xgb, booster = _xgboost(), self._require_fitted()
        matrix = xgb.DMatrix(features, nthread=first_given(self.params, _THREADS, 1))
        return np.asarray(booster.predict(matrix, pred_contribs=True), dtype=np.float64)

    def to_text(self) -> str:
        """Return XGBoost's model as JSON."""
        return _text_of(self._require_fitted())

    @staticmethod
    def _import_library() -> ModuleType:
        return _xgboost()

    @classmethod
    def _failures(cls) -> tuple[type[Exception], ...]:
        return (_xgboost().core.XGBoostError, TypeError, ValueError)

    @staticmethod
    def _explain(error: Exception) -> str:
        return _first_line(error)

    def _load_text(self, text: str) -> None:
        booster = _xgboost().Booster()
        booster.load_model(bytearray(text.encode()))
        booster.set_param({"nthread": first_given(self.params, _THREADS, 1), "verbosity": 0})
        self.model = booster

    def _grow(
        self,
        folds: Mapping[str, TrainingFold],
        weights: Mapping[str, NDArray[np.float32] | None],
        *,
        rounds: int,
        patience: int | None,
        period: int | None,
        start: Any,
        like: GrownTrees | None = None,  # noqa: ARG002 - its learning rate does not depend on the rounds
    ) -> GrownTrees:
        xgb = _xgboost()
        history: dict[str, dict[str, list[float]]] = {}
        sets = self._matrices(xgb, folds, weights)
        # A booster that goes on learning does not seed XGBoost's generators, one per thread, so what ran before would
        # decide what is drawn. Configuring a new booster seeds them.
        xgb.Booster(self.params, [sets["train"]]).save_config()
        booster = xgb.train(
            self.params,
            sets["train"],
            num_boost_round=rounds,
            evals=[(matrix, key) for key, matrix in sets.items()],
            evals_result=history,
            early_stopping_rounds=patience,
            callbacks=_watch_rounds(xgb, rounds, period=period),
            xgb_model=start,
            verbose_eval=False,
        )
        best = None
        if patience and self.params.get("booster") == "dart":  # later rounds rescale earlier trees
            best = int(booster.best_iteration) + 1
        elif patience and self.params.get("booster") != "gblinear":
            booster = booster[: booster.best_iteration + 1]
        # what XGBoost writes beside the trees is not needed to predict, and would make equal models differ
        booster.set_attr(best_iteration=None, best_score=None)
        rounds = int(booster.num_boosted_rounds())
        return GrownTrees(text=_text_of(booster), rounds=rounds, history=history, best=best)

    def _matrices(
        self, xgb: ModuleType, folds: Mapping[str, TrainingFold], weights: Mapping[str, NDArray[np.float32] | None]
    ) -> dict[str, Any]:
        """Return the folds as XGBoost's matrices, binned where the method allows it: that copies no features."""
        threads = first_given(self.params, _THREADS, 1)
        is_binned = self.params.get("tree_method") in _BINNED and self.params.get("booster") != "gblinear"
        sets: dict[str, Any] = {}
        for key, fold in folds.items():
            given = {"data": fold.features, "label": fold.label, "weight": weights[key], "nthread": threads}
            if is_binned:
                bins = self.params.get("max_bin")
                sets[key] = xgb.QuantileDMatrix(**given, max_bin=bins, ref=sets.get("train"))
            else:
                sets[key] = xgb.DMatrix(**given)
        return sets


class XGBoostJsonCodec(BoostedTreesCodec):
    """Stores an `XGBModel` as XGBoost's JSON; XGBoost ignores the last key, which holds rollwright's state."""

    kind = "xgboost"
    suffix = ".json"
    model_class = XGBModel
    file_format = JSON_FORMAT


def _xgboost() -> ModuleType:
    return require("xgboost", extra="xgboost")


def _text_of(booster: Any) -> str:
    return bytes(booster.save_raw(raw_format="json")).decode("utf-8").strip()


def _first_line(error: Exception) -> str:
    """Return XGBoost's message without the time and source line before it and the C++ stack after it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return _PLACE.sub("", lines[0]) if lines else type(error).__name__


def _watch_rounds(xgb: ModuleType, rounds: int, *, period: int | None) -> list[Any]:
    """Return the callback that logs the evaluation every `period` rounds and tells of each, where anybody listens."""
    if not (period or is_listened()):
        return []

    def after_iteration(_: Any, __: Any, epoch: int, history: Any) -> bool:
        tell_round(epoch + 1, rounds)
        if period and epoch % period == 0:
            latest = {key: {name: values[-1] for name, values in found.items()} for key, found in history.items()}
            log_evaluation(epoch, latest)
        return False

    base = xgb.callback.TrainingCallback  # derived here, since the library is imported only when it is used
    return [type("RoundWatch", (base,), {"after_iteration": after_iteration})()]
