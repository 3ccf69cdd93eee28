"""Base class of the boosted-tree models: early stopping, finetuning and the state saved beside the trees."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Self

import numpy as np
import pandas as pd

from rollwright.models.base import ModelFT
from rollwright.models.folds import TrainingFold, learning_fold
from rollwright.models.tabular import TabularModel, each_value, finite_or_none, learning_folds, nan_if_none

__all__ = ["BoostedTrees"]


class BoostedTrees(TabularModel, ModelFT):
    """Learns round by round; a derived class gives the library's call for it.

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

    def __init__(self, *, num_boost_round: int, early_stopping_rounds: int | None, params: dict[str, Any]) -> None:
        self.num_boost_round = num_boost_round
        self.early_stopping_rounds = early_stopping_rounds
        self.params = params
        self.model: Any = None
        self.best_iteration_ = 0
        self.evals_result_: dict[str, dict[str, list[float]]] = {}
        self.feature_names_ = ()

    def fit(  # type: ignore[override]  # in Qlib, too, these models and `Model` disagree on the place of reweighter
        self,
        dataset: Any,
        num_boost_round: int | None = None,
        early_stopping_rounds: int | None = None,
        verbose_eval: int | None = 20,
        evals_result: dict[str, Any] | None = None,
        reweighter: Any = None,
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
        self._library()
        folds = learning_folds(dataset)
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
        self, dataset: Any, num_boost_round: int = 10, verbose_eval: int | None = 20, reweighter: Any = None
    ) -> None:
        """Grow `num_boost_round` more trees on the segment ``train``, from where the model stands.

        Raises
        ------
        ModelError
            When the model is not fitted, or the features are not those it knows.
        """
        self._library()
        fitted = self._fitted()
        fold = learning_fold(dataset.fold("train", data_key="learn"), segment="train")
        self._check_names(fold.names)
        folds = {"train": fold}
        self._learn(
            dataset, folds, reweighter, rounds=num_boost_round, patience=None, period=verbose_eval, start=fitted
        )

    def state(self) -> dict[str, Any]:
        """Return everything but the trees that a saved model must bring back, as JSON values."""
        return {
            "early_stopping_rounds": self.early_stopping_rounds,
            "num_boost_round": self.num_boost_round,
            "params": dict(self.params),
            "best_iteration": self.best_iteration_,
            "evals_result": each_value(self.evals_result_, finite_or_none),
            "feature_names": list(self.feature_names_),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], text: str) -> Self:
        """Return the model that `state` and the library's model `text` describe."""
        model = cls()  # type: ignore[call-arg]  # each derived constructor has a default for every parameter
        model.early_stopping_rounds = state["early_stopping_rounds"]
        model.num_boost_round = state["num_boost_round"]
        model.params = dict(state["params"])
        model.best_iteration_ = int(state["best_iteration"])
        model.evals_result_ = each_value(state["evals_result"], nan_if_none)
        model.feature_names_ = tuple(state["feature_names"])
        model._take(text)
        return model

    @staticmethod
    @abstractmethod
    def _library() -> ModuleType:
        """Return the library; MissingExtraError where it is not installed."""

    @abstractmethod
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
        """Grow at most `rounds` trees, from `start` if given, and keep them with their history and names.

        `patience`, if given, stops early by the fold ``valid``; every `period` rounds the evaluation is logged.
        """

    @abstractmethod
    def _take(self, text: str) -> None:
        """Read the trees from the library's `text`."""

    def _fit_state(self) -> str:
        return f"fitted, {self.best_iteration_} rounds" if self.model is not None else "not fitted"

    def _importance_series(self, values: Any, name: str) -> pd.Series:
        """Return one value per feature as a series, largest first."""
        found = pd.Series(np.asarray(values, dtype=np.float64), index=list(self.feature_names_), name=name)
        return found.sort_values(ascending=False, kind="stable")
