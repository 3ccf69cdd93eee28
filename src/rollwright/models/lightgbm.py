"""LightGBM: learns from the arrays of the feature store without a copy, and gives the same model every time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.fit_rounds import is_listened, tell_round
from rollwright.errors import ConfigError, nearest
from rollwright.models.boosted import BoostedTrees, BoostedTreesCodec, GrownTrees, log_evaluation
from rollwright.models.folds import TrainingFold
from rollwright.models.lightgbm_library import load_lightgbm
from rollwright.models.lightgbm_text import TEXT_FORMAT
from rollwright.models.mapped_reading import drop_while_copied
from rollwright.models.parameters import check_words
from rollwright.models.tabular import first_given, take_aliases

__all__ = ["LGBModel", "LightGBMTextCodec"]

_logger: Final = logging.getLogger("rollwright.models")
_LOSSES: Final = ("mse", "binary")
_THREADS: Final = ("num_threads", "num_thread", "nthread", "nthreads", "n_jobs")
_SEEDS: Final = ("random_seed", "random_state")
_VERBOSITIES: Final = ("verbosity", "verbose")
_ROUNDS: Final = (
    "num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds", "nrounds",
    "n_estimators", "max_iter",
)  # fmt: skip
_CATEGORIES: Final = ("categorical_feature", "cat_feature", "categorical_column", "cat_column", "categorical_features")
_BOOSTINGS: Final = ("boosting", "boosting_type", "boost")
_LAYOUTS: Final = ("force_row_wise", "force_col_wise")
# The parameters of nearly every configuration: one that names no others is checked without loading the library.
_COMMON: Final = frozenset((
    "bagging_fraction", "bagging_freq", "bagging_seed", "bin_construct_sample_cnt", "boosting", "boosting_type",
    "colsample_bytree", "data_random_seed", "deterministic", "device_type", "feature_fraction", "feature_fraction_seed",
    "lambda_l1", "lambda_l2", "learning_rate", "max_bin", "max_depth", "metric", "min_child_samples",
    "min_child_weight", "min_data_in_leaf", "min_gain_to_split", "min_sum_hessian_in_leaf", "min_split_gain",
    "n_estimators", "n_jobs", "num_iterations", "num_leaves", "num_threads", "objective", "path_smooth", "random_state",
    "reg_alpha", "reg_lambda", "seed", "subsample", "subsample_freq", "verbose", "verbosity",
))  # fmt: skip
# As LightGBM writes them: the objectives whose scores are the plain sums of the trees.
_PLAIN_OBJECTIVES: Final = frozenset(("regression", "regression_l1", "huber", "fair", "mape"))
_UNSAFE: Final = frozenset(' ",:[]{}')  # LightGBM's text refuses these in the name of a feature


class LGBModel(BoostedTrees):
    """Gradient boosted trees by LightGBM, with the constructor and the defaults of Qlib's ``LGBModel``.

    Guarantees: the same dataset and parameters give the same bytes of model text and the same scores, on one host and
    one version of LightGBM, whatever ran before. For that ``deterministic`` and ``force_row_wise`` are on, the number
    of threads is one, unless they are given. Without a seed LightGBM's own is taken, as with the plain library; a
    trainer gives the task's. What the model predicts with is exactly what is saved: the trees up to the best iteration.
    With ``boosting: dart``, whose later rounds change earlier trees, nothing stops early, and the log says so.

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
        Seed of bagging and feature sampling; a trainer sets the task's own. LightGBM's defaults if not given.
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
        num_boost_round = take_aliases(kwargs, _ROUNDS, num_boost_round)
        super().__init__(
            num_boost_round=num_boost_round,
            early_stopping_rounds=early_stopping_rounds,
            params={"objective": loss, **_defaults(kwargs, seed=seed), **kwargs},
        )
        self.loss = loss

    library: ClassVar[str] = "LightGBM"
    telling_importance = ("gain", "gain")

    @classmethod
    def check_given(cls, params: Mapping[str, Any]) -> None:
        """Refuse what would open a file or an address, by its name or hidden in the value of another parameter."""
        super().check_given(params)
        check_words(cls.library, params)

    @staticmethod
    def unknown_parameters(names: Iterable[str]) -> dict[str, str | None]:
        """Return those of `names` that are not parameters of LightGBM, each with the nearest one that is.

        LightGBM ignores a parameter that it does not know, so a misspelled one would change nothing.

        Raises
        ------
        MissingExtraError
            When a name is not one of the common ones and LightGBM, which knows the others, is not installed.
        """
        rare = [name for name in names if name not in _COMMON]
        known = _library_names() if rare else frozenset()
        return {name: nearest(name, known | _COMMON) for name in rare if known and name not in known}

    def __repr__(self) -> str:
        return f"LGBModel(loss={self.loss!r}, {self._fit_state()})"

    def get_feature_importance(self, importance_type: str = "split") -> pd.Series:
        """Return the importance of every feature, largest first; by number of splits or by their gain."""
        return self._importance_series(
            self._require_fitted().feature_importance(importance_type=importance_type), importance_type
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

    def to_text(self) -> str:
        """Return LightGBM's model text."""
        return f"{self._require_fitted().model_to_string().rstrip()}\n"

    @staticmethod
    def _import_library() -> ModuleType:
        return load_lightgbm()

    @classmethod
    def _failures(cls) -> tuple[type[Exception], ...]:
        return (load_lightgbm().basic.LightGBMError, TypeError, ValueError)

    def _load_text(self, text: str) -> None:
        self.model = load_lightgbm().Booster(model_str=text)

    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:  # noqa: ARG002 - the port's signature
        return self.score(features)

    def score(self, features: NDArray[Any], *, rounds: int | None = None) -> NDArray[np.float64]:
        """Return one score per row of `features`, of the first `rounds` rounds or, if not given, of all.

        Raises
        ------
        ModelError
            When the model is not fitted.
        """
        threads = int(first_given(self.params, _THREADS, 1))
        return np.asarray(
            self._require_fitted().predict(features, num_iteration=rounds, num_threads=threads), dtype=np.float64
        )

    @property
    def has_plain_scores(self) -> bool:
        """Whether a score is the sum of what the trees say, to which the objective adds nothing; False before `fit`."""
        if self.model is None:
            return False
        head = self.model.model_to_string(num_iteration=1).partition("\n\n")[0]
        return any(line.removeprefix("objective=") in _PLAIN_OBJECTIVES for line in head.splitlines())

    def contributions(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Return for each row what each feature adds to its raw score (LightGBM's SHAP values), and last the rest."""
        threads = int(first_given(self.params, _THREADS, 1))
        return np.asarray(
            self._require_fitted().predict(features, pred_contrib=True, num_threads=threads), dtype=np.float64
        )

    def _grow(
        self,
        folds: Mapping[str, TrainingFold],
        weights: Mapping[str, NDArray[np.float32] | None],
        *,
        rounds: int,
        patience: int | None,
        period: int | None,
        start: Any,
        like: GrownTrees | None = None,  # noqa: ARG002 - it cuts where trees stay as they are, and else does not stop
    ) -> GrownTrees:
        lgb = load_lightgbm()
        history: dict[str, dict[str, list[float]]] = {}
        callbacks = [lgb.record_evaluation(history), *_log_every(period), *_tell_rounds()]
        if patience and any(self.params.get(name) == "dart" for name in _BOOSTINGS):
            _logger.warning("model.no_early_stopping library=LightGBM boosting=dart rounds=%d", rounds)
        elif patience:
            callbacks.append(lgb.early_stopping(patience, verbose=False))
        sets = self._datasets(lgb, folds, weights)
        with drop_while_copied([fold.features for fold in folds.values()]) as end_copying:
            booster = lgb.train(
                {name: value for name, value in self.params.items() if name not in _CATEGORIES},
                sets["train"],
                num_boost_round=rounds,
                valid_sets=list(sets.values()),
                valid_names=list(sets),
                init_model=start,
                callbacks=[*callbacks, _before_first(end_copying)],
            )
        best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
        return GrownTrees(text=booster.model_to_string(num_iteration=best), rounds=int(best), history=history)

    def _datasets(
        self, lgb: ModuleType, folds: Mapping[str, TrainingFold], weights: Mapping[str, NDArray[np.float32] | None]
    ) -> dict[str, Any]:
        sets: dict[str, Any] = {}
        for key, fold in folds.items():
            sets[key] = lgb.Dataset(
                fold.features,
                label=fold.label,
                weight=weights[key],
                feature_name=_safe_names(fold.names),
                categorical_feature=first_given(self.params, _CATEGORIES, "auto"),
                reference=sets.get("train"),
            )
        return sets


class LightGBMTextCodec(BoostedTreesCodec):
    """Stores an `LGBModel` as LightGBM's text; LightGBM ignores the last line, which holds rollwright's state."""

    kind = "lightgbm"
    suffix = ".txt"
    model_class = LGBModel
    file_format = TEXT_FORMAT


def _defaults(given: Mapping[str, Any], *, seed: int | None) -> dict[str, Any]:
    """Return the parameters that make a fit repeatable, without those that are `given` under any of their names."""
    wanted: list[tuple[tuple[str, ...], str, Any]] = [
        (_VERBOSITIES, "verbosity", -1),
        (_THREADS, "num_threads", 1),
        *([] if seed is None else [(_SEEDS, "seed", seed)]),
        (("deterministic",), "deterministic", True),
        (_LAYOUTS, "force_row_wise", True),
    ]
    return {name: value for aliases, name, value in wanted if not any(alias in given for alias in aliases)}


def _log_every(period: int | None) -> list[Callable[[Any], None]]:
    """Return the callback that logs the evaluation every `period` rounds."""
    if not period:
        return []

    def log_round(environment: Any) -> None:
        if environment.iteration % period == 0:
            evaluation: dict[str, dict[str, float]] = {}
            for segment, metric, value, *_ in environment.evaluation_result_list or []:
                evaluation.setdefault(segment, {})[metric] = float(value)
            log_evaluation(environment.iteration, evaluation)

    return [log_round]


def _tell_rounds() -> list[Callable[[Any], None]]:
    """Return the callback that tells how far the fit has come, where anybody listens."""
    if not is_listened():
        return []
    return [lambda environment: tell_round(environment.iteration + 1, environment.end_iteration)]


def _before_first(act: Callable[[], None]) -> Callable[[Any], None]:
    """Return the callback that acts once, when the data are binned and no round has begun."""

    def before_round(environment: Any) -> None:
        if environment.iteration == environment.begin_iteration:
            act()

    before_round.before_iteration = True  # type: ignore[attr-defined]  # LightGBM asks callbacks for it
    return before_round


def _safe_names(names: tuple[str, ...]) -> list[str]:
    """Return names that LightGBM's text can hold: those of the features if it can hold them all, else numbers."""
    plain = all(
        name.isascii() and name.isprintable() and not (_UNSAFE & set(name)) and " " not in name for name in names
    )
    if plain and len(set(names)) == len(names) and all(names):
        return list(names)
    width = max(1, math.ceil(math.log10(max(len(names), 2))))
    return [f"f{place:0{width}d}" for place in range(len(names))]


def _library_names() -> frozenset[str]:
    """Return every parameter and alias of the installed LightGBM; nothing when this version has no such table."""
    basic = load_lightgbm().basic
    # Not a public name of it; where it is gone, nothing is refused.
    table: Any = getattr(getattr(basic, "_ConfigAliases", None), "_get_all_param_aliases", dict)()
    return frozenset(name for key, aliases in table.items() for name in (key, *aliases))
