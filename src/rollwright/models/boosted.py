"""Boosted trees: what LightGBM, XGBoost and CatBoost have in common, and the codec of their files.

A fit goes through these steps; the library's adapter does only the third:

1. The segments ``train`` and ``valid`` are read as arrays and checked (`tabular`, `folds`).
2. The weights of the samples are computed, if there is a reweighter.
3. The library grows trees, watches ``valid`` and stops early; its model becomes text, cut at the best round.
4. The model is parsed from that text. So a model in memory and the same model from a file are equal: they predict,
   go on learning and save alike, and the training data is not kept alive.
"""

from __future__ import annotations

import json
import logging
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.registry import Codec, read_artifact
from rollwright.core.bounded_read import LARGE
from rollwright.errors import ConfigError, CorruptArtifactError, ModelError
from rollwright.models.base import ModelFT
from rollwright.models.boosted_file import ModelFormat
from rollwright.models.folds import (
    ModelDataset,
    SampleWeighter,
    TrainingFold,
    check_training_fold,
    sample_weights,
)
from rollwright.models.learning import Learning
from rollwright.models.parameters import check_parameters
from rollwright.models.state import is_exact_instance, refuse_other_classes
from rollwright.models.tabular import TabularModel, finite_or_none, map_history, nan_if_none, read_training_folds

__all__ = ["BoostedTrees", "BoostedTreesCodec", "GrownTrees", "log_evaluation"]

_logger: Final = logging.getLogger("rollwright.models")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrownTrees:
    """What a library grew in one fit: its best round, or all of them.

    Attributes
    ----------
    text : str
        Its model, cut at the best round unless `best` is given.
    rounds : int
        Number of rounds in `text`.
    history : mapping
        ``{segment: {metric: [one value per round]}}``.
    best : int or None
        The best round, where `text` is not cut there because the first trees of it are not what was evaluated then.
    learning_rate : float or None
        The one that the library chose by the number of rounds, where it does.
    """

    text: str
    rounds: int
    history: Mapping[str, Mapping[str, Any]]
    best: int | None = None
    learning_rate: float | None = None


class BoostedTrees(TabularModel, ModelFT):
    """Base class: learns round by round; a derived class calls the library.

    Attributes
    ----------
    num_boost_round : int
        Rounds at most.
    early_stopping_rounds : int or None
        Stop when the ``valid`` segment has not improved for so many rounds; None or 0 switches it off.
    params : dict
        What the library is given.
    model : object or None
        The trees; None before `fit`.
    best_iteration_ : int
        Number of rounds kept, 0 before `fit`.
    evals_result_ : dict
        ``{segment: {metric: [one value per round]}}``.
    """

    library: ClassVar[str]
    """The name of the library, for messages."""
    telling_importance: ClassVar[tuple[str, str]]
    """The importance that `tell_learning` tells: what the library calls it, and what it is of."""

    def __init__(self, *, num_boost_round: int, early_stopping_rounds: int | None, params: dict[str, Any]) -> None:
        self.check_given(params)
        self.num_boost_round = num_boost_round
        self.early_stopping_rounds = early_stopping_rounds
        self.params = params
        self.model: Any = None
        self.best_iteration_ = 0
        self.evals_result_: dict[str, dict[str, list[float]]] = {}
        self.feature_names_ = ()

    def fit(  # type: ignore[override]  # in Qlib, too, these models and `Model` disagree on the place of reweighter
        self,
        dataset: ModelDataset,
        num_boost_round: int | None = None,
        early_stopping_rounds: int | None = None,
        verbose_eval: int | None = 20,
        evals_result: dict[str, Any] | None = None,
        reweighter: SampleWeighter | None = None,
    ) -> None:
        """Learn from the segment ``train`` and watch the segment ``valid`` where there is one.

        .. warning:: **Look-ahead.** The ``valid`` segment decides how many trees are kept. A label that reads sessions
           of the test segment leaks through it as through ``train``: purge both.

        Parameters
        ----------
        dataset : DatasetH
            Gives ``segments`` and ``fold(segment, data_key="learn")``.
        num_boost_round, early_stopping_rounds : int, optional
            Replace the constructor's for this fit.
        verbose_eval : int or None
            Log the evaluation every so many rounds; None or 0 logs none.
        evals_result : dict, optional
            Gets what `evals_result_` holds, too.
        reweighter : object, optional
            Has ``reweight(frame)``: one weight per row of the segment.

        Raises
        ------
        ModelError
            When a segment has no rows, only NaN labels or infinite values, and when the library refuses the parameters
            or the data.
        """
        self._import_library()
        folds = read_training_folds(dataset)
        patience = self.early_stopping_rounds if early_stopping_rounds is None else early_stopping_rounds
        self._learn(
            dataset,
            folds,
            reweighter,
            rounds=self.num_boost_round if num_boost_round is None else num_boost_round,
            patience=patience if patience and "valid" in folds else None,
            period=verbose_eval,
        )
        if evals_result is not None:
            evals_result.update(self.evals_result_)

    def finetune(
        self,
        dataset: ModelDataset,
        num_boost_round: int = 10,
        verbose_eval: int | None = 20,
        reweighter: SampleWeighter | None = None,
    ) -> None:
        """Grow `num_boost_round` more trees on the segment ``train``, from where the model stands.

        Raises
        ------
        ModelError
            When the model is not fitted, or the features are not those it knows.
        """
        self._import_library()
        fitted = self._require_fitted()
        fold = check_training_fold(dataset.fold("train", data_key="learn"), segment="train")
        self._check_names(fold.names)
        folds = {"train": fold}
        self._learn(
            dataset, folds, reweighter, rounds=num_boost_round, patience=None, period=verbose_eval, start=fitted
        )

    def _learn(
        self,
        dataset: ModelDataset,
        folds: Mapping[str, TrainingFold],
        reweighter: SampleWeighter | None,
        *,
        rounds: int,
        patience: int | None,
        period: int | None,
        start: Any = None,
    ) -> None:
        weights = {key: sample_weights(dataset, reweighter, fold, segment=key) for key, fold in folds.items()}
        self.learn_folds(folds, weights, rounds=rounds, patience=patience, period=period, start=start)

    def learn_folds(
        self,
        folds: Mapping[str, TrainingFold],
        weights: Mapping[str, NDArray[np.float32] | None],
        *,
        rounds: int,
        patience: int | None,
        period: int | None,
        start: Any = None,
    ) -> None:
        """Learn from checked folds and weights: what `fit` does once it has read them.

        Parameters
        ----------
        folds : mapping of str to TrainingFold
            ``train`` and, where there is one, ``valid``.
        weights : mapping of str to array or None
            Of each fold: float32 [rows], or None for equal ones.
        rounds : int
            Rounds at most.
        patience : int or None
            Stop when ``valid`` has not improved for so many rounds.
        period : int or None
            Log the evaluation every so many rounds; None or 0 logs none.
        start : object or None
            The library's trees to go on from.

        Raises
        ------
        ModelError
            When the counts are none, and when the library refuses the parameters or the data.
        """
        self._check_count("num_boost_round", rounds, least=1)
        if patience is not None:
            self._check_count("early_stopping_rounds", patience, least=0)
        if rounds < 1:
            raise ModelError(
                f"{self.library} refuses to learn: it was told to grow {rounds} trees, and a model has one at least",
                hint="set `num_boost_round` to 1 or more",
            )
        try:
            grown = self._grow(folds, weights, rounds=rounds, patience=patience, period=period, start=start)
            if grown.best is not None and grown.best < grown.rounds:
                grown = self._grow_again(grown, folds, weights, rounds=grown.best)
        except self._failures() as error:
            raise ModelError(f"{self.library} refuses to learn: {self._explain(error)}") from error
        self._load_text(grown.text)
        self.best_iteration_ = grown.rounds
        self.evals_result_ = map_history(grown.history, float)
        self.feature_names_ = tuple(folds["train"].names)

    def _check_count(self, name: str, value: object, *, least: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ModelError(
                f"{self.library} cannot learn with {name} = {value!r}", hint=f"give a whole number, {least} at least"
            )

    def _grow_again(
        self,
        first: GrownTrees,
        folds: Mapping[str, TrainingFold],
        weights: Mapping[str, NDArray[np.float32] | None],
        *,
        rounds: int,
    ) -> GrownTrees:
        """Grow the trees that stood after `rounds` rounds, where later rounds change earlier trees.

        The first trees of a finished model are then no model that anybody evaluated; growing is repeatable, so what was
        evaluated in that round can be had again.

        Raises
        ------
        ModelError
            When it comes out otherwise all the same.
        """
        made = self._grow(folds, weights, rounds=rounds, patience=None, period=None, start=None, like=first)
        wanted, found = (
            {(key, metric): values[rounds - 1] for key, told in history.items() for metric, values in told.items()}
            for history in (first.history, made.history)
        )
        if wanted.keys() != found.keys() or any(
            not math.isclose(found[key], wanted[key], rel_tol=1e-9) for key in wanted
        ):
            raise ModelError(
                f"{self.library} did not grow the trees of round {rounds} a second time: its best model is not at hand",
                hint="set early_stopping_rounds: null, or take a booster whose trees stay as they are",
            )
        _logger.info("model.grown_again library=%s rounds=%d of=%d", self.library, rounds, first.rounds)
        return replace(made, history=first.history)

    def state(self) -> dict[str, Any]:
        """Return everything but the trees that a saved model must bring back, as JSON values."""
        return {
            "early_stopping_rounds": self.early_stopping_rounds,
            "num_boost_round": self.num_boost_round,
            "params": dict(self.params),
            "best_iteration": self.best_iteration_,
            "evals_result": map_history(self.evals_result_, finite_or_none),
            "feature_names": list(self.feature_names_),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], text: str) -> Self:
        """Return the model that `state` and the library's model `text` describe."""
        model = cls()  # type: ignore[call-arg]  # each derived constructor has a default for every parameter
        model.early_stopping_rounds = state["early_stopping_rounds"]
        model.num_boost_round = state["num_boost_round"]
        cls.check_given(state["params"])
        model.params = dict(state["params"])
        model.best_iteration_ = int(state["best_iteration"])
        model.evals_result_ = map_history(state["evals_result"], nan_if_none)
        model.feature_names_ = tuple(state["feature_names"])
        model._load_text(text)
        return model

    @abstractmethod
    def get_feature_importance(self, importance_type: str = ...) -> pd.Series:
        """Return the importance of every feature, largest first."""

    def tell_learning(self) -> Learning | None:
        """Return the evaluation by round and the share of each feature; None before `fit`."""
        if self.model is None:
            return None
        called, basis = self.telling_importance
        refusals: tuple[type[Exception], ...] = (ModelError, *self._failures())
        try:
            weights = list(self.get_feature_importance(called).items())
        except refusals:  # a booster of lines has no gain
            weights = []
        return Learning.of(
            self.evals_result_,
            best=self.best_iteration_,
            basis=basis,
            weights=[(str(name), float(value)) for name, value in weights],
        )

    @abstractmethod
    def to_text(self) -> str:
        """Return the trees as the library writes them; ModelError when the model is not fitted."""

    @classmethod
    def check_given(cls, params: Mapping[str, Any]) -> None:
        """Refuse parameters by which the library would open a file or an address.

        Raises
        ------
        ConfigError
        """
        check_parameters(cls.library, params)

    @staticmethod
    @abstractmethod
    def _import_library() -> ModuleType:
        """Return the library; MissingExtraError where it is not installed."""

    @classmethod
    @abstractmethod
    def _failures(cls) -> tuple[type[Exception], ...]:
        """Return the exceptions by which the library refuses parameters, data and files."""

    @staticmethod
    def _explain(error: Exception) -> str:
        """Return what the library says in an exception."""
        return str(error)

    @abstractmethod
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
        """Grow at most `rounds` trees, from the trees `start` if they are given.

        `like` are trees of which the first `rounds` rounds are wanted again.
        `patience`, if given, stops early by the fold ``valid``; every `period` rounds the evaluation is logged.
        """

    @abstractmethod
    def _load_text(self, text: str) -> None:
        """Parse the trees from the library's `text` and keep them as `model`."""

    def _fit_state(self) -> str:
        return f"fitted, {self.best_iteration_} rounds" if self.model is not None else "not fitted"

    def _importance_series(self, values: Any, name: str) -> pd.Series:
        """Return one value per feature as a series, largest first."""
        found = pd.Series(np.asarray(values, dtype=np.float64), index=list(self.feature_names_), name=name)
        return found.sort_values(ascending=False, kind="stable")


class BoostedTreesCodec(Codec):
    """Base class: stores a boosted model as the library's text with rollwright's state at its end.

    The library itself can open the file, too. Guarantees: a model that was read predicts the same bytes as the one
    written; writing it again gives the same file; the library's parser sees nothing that was not checked before.
    """

    model_class: ClassVar[type[BoostedTrees]]
    file_format: ClassVar[ModelFormat]

    def accepts(self, obj: Any) -> bool:
        """Tell whether the file holds all of `obj`; it cannot for a derived class or an object with more attributes."""
        return is_exact_instance(obj, self.model_class, self._new_model())

    def write(self, obj: Any, path: Path) -> None:
        """Write the fitted model `obj` to `path`.

        Raises
        ------
        ModelError
            When it is not fitted.
        UnsupportedArtifactError
            When it is of a derived class or has attributes of its own, which reading could not bring back, or when
            `read` would refuse its trees.
        TaskValueError
            When one of its parameters has no JSON form.
        """
        path.write_bytes(self.dump(obj))

    def read(self, path: Path) -> Any:
        """Return the model in `path`.

        Raises
        ------
        CorruptArtifactError
            When it is not what the library and `write` make: counts that are negative, too large or do not fit their
            lists, nodes that do not form a tree.
        """
        return self.parse(read_artifact(path, limit=LARGE), name=path.name)

    def dump(self, obj: Any) -> bytes:
        """Return the content of the file that `write` makes; it raises the same errors."""
        refuse_other_classes(obj, self.model_class, self._new_model())
        return self.file_format.join(obj.to_text(), obj.state()).encode()

    def parse(self, content: bytes, *, name: str) -> Any:
        """Return the model of which `content` is the file, called `name` in messages; it raises what `read` does."""
        text, state = self.file_format.split(content, name=name)
        kind = self.model_class  # model and codec are two halves of one thing, so it asks for private parts
        refusals: tuple[type[Exception], ...] = (*kind._failures(), ConfigError, AttributeError, TypeError, ValueError)  # noqa: SLF001
        try:
            return kind.from_state(state, text)
        except refusals as error:
            said = kind._explain(error)  # noqa: SLF001
            raise CorruptArtifactError(f"{name}: {kind.library} cannot read it: {said}") from error

    def _new_model(self) -> BoostedTrees:
        return self.model_class()  # type: ignore[call-arg]  # each derived constructor has a default for every parameter


def log_evaluation(iteration: int, evaluation: Mapping[str, Mapping[str, float]]) -> None:
    """Log the metrics of each segment after a round."""
    _logger.info("model.round round=%d evaluation=%s", iteration, json.dumps(evaluation))
