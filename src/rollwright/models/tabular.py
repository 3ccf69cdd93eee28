"""Base class of models that learn from arrays: reading and checking segments, and the index of the scores."""

from __future__ import annotations

import itertools
import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import ConfigError, ModelError
from rollwright.models.base import Model
from rollwright.models.folds import ModelDataset, TrainingFold, check_training_fold

__all__ = ["TabularModel", "first_given", "map_history", "read_training_folds", "row_blocks", "take_aliases"]

_logger: Final = logging.getLogger("rollwright.models")
_BLOCK: Final = 1 << 16  # rows checked at a time, so that a check takes little memory beside a large fold
_SHOWN: Final = 10


class TabularModel(Model):
    """Base class: scores the rows of a dataset from their features; a derived class learns and scores one array.

    Guarantees of `predict`: one finite float64 per row of ``dataset.inference_index``, in its order, from the same
    features as in `fit`. A session's scores are the same bits whether it is scored alone or with others.

    Attributes
    ----------
    model : object or None
        The fitted model of the library; None before `fit`.
    feature_names_ : tuple of str
        Names of the features in column order; empty before `fit`.
    """

    model: Any = None
    feature_names_: tuple[str, ...] = ()

    def predict(self, dataset: ModelDataset, segment: str = "test") -> pd.Series:
        """Return the score of every row of the dataset's inference index, in its order.

        Returns
        -------
        Series
            float64 named ``score``; its index (datetime, instrument) is ``dataset.inference_index(segment)``. Every
            score is finite.

        Raises
        ------
        ModelError
            When the model is not fitted, the features are not those it was fitted on, rows and index disagree, or a
            score is NaN or infinite.
        """
        self._require_fitted()
        index = dataset.inference_index(segment)
        fold = dataset.fold(segment, data_key="infer")
        self._check_names(tuple(fold.names))
        if len(fold.features) != len(index) or (fold.index is not index and not fold.index.equals(index)):
            raise ModelError(
                f"segment `{segment}` has {len(fold.features)} rows of features for {len(index)} rows to score",
                hint="the fold and the inference index of a dataset must have the same rows in the same order",
            )
        if not len(index):
            return pd.Series(np.empty(0), index=index, name="score", dtype=np.float64)
        features = np.asarray(fold.features)
        if not features.flags.c_contiguous:
            features = np.ascontiguousarray(features)
        scores = np.asarray(self._score_dataset(dataset, features, index, segment), dtype=np.float64)
        if scores.shape != (len(index),):
            raise ModelError(f"scores of shape {scores.shape} for {len(index)} rows of segment `{segment}`")
        bad = int(len(scores) - np.isfinite(scores).sum())
        if bad:
            raise ModelError(f"{bad} of {len(scores)} scores of segment `{segment}` are NaN or infinite")
        return pd.Series(scores, index=index, name="score")

    def _score_dataset(
        self,
        dataset: ModelDataset,  # noqa: ARG002 - for models that read more of it than rows
        features: NDArray[Any],
        index: pd.MultiIndex,
        segment: str,
    ) -> NDArray[Any]:
        """Return one score per row of `index`, whose features `features` are."""
        return self._score_sessions(features, index, segment)

    def _scores_by_row(self) -> bool:
        """Tell whether the bits of a row's score depend on that row alone, however many are scored at once."""
        return True

    def _score_sessions(self, features: NDArray[Any], index: pd.MultiIndex, segment: str) -> NDArray[Any]:
        """Return the scores, made of one session after another unless those of a row depend on that row alone."""
        if self._scores_by_row():
            return self._score(features, segment)
        days = np.asarray(index.codes[0])
        ends = [*(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        parts = (slice(start, end) for start, end in itertools.pairwise([0, *ends]))
        return np.concatenate([self._score(np.ascontiguousarray(features[part]), segment) for part in parts])

    @abstractmethod
    def _score(self, features: NDArray[Any], segment: str) -> NDArray[Any]:
        """Return one score per row of `features`, a C-contiguous array that may be read-only."""

    def _require_fitted(self) -> Any:
        if self.model is None:
            raise ModelError("the model is not fitted", hint="call fit(dataset) first")
        return self.model

    def _check_names(self, names: tuple[str, ...]) -> None:
        if names != self.feature_names_:
            missing = [name for name in self.feature_names_ if name not in names]
            extra = [name for name in names if name not in self.feature_names_]
            raise ModelError(
                f"the model knows {len(self.feature_names_)} features and the dataset brings {len(names)} "
                f"(missing: {missing[:5]}, unknown: {extra[:5]}, or in another order)"
            )


def read_training_folds(dataset: ModelDataset, segments: Sequence[str] = ("train", "valid")) -> dict[str, TrainingFold]:
    """Return those of `segments` that the dataset has, checked; the first one is required.

    1. Read each segment as arrays and check it (`check_training_fold`).
    2. A feature of the first segment with only NaN values is named in the log; if all are so, that is an error.

    Raises
    ------
    ModelError
        When the first segment is missing, when one has no rows, only NaN labels or infinite values, and when every
        feature has only NaN values.
    """
    folds = {
        key: check_training_fold(dataset.fold(key, data_key="learn"), segment=key)
        for key in segments
        if key in dataset.segments
    }
    if segments[0] not in folds:
        raise ModelError(f"the dataset has no segment `{segments[0]}`", hint="name one in its segments")
    first = folds[segments[0]]
    empty = names_all_missing(first)
    if len(empty) == len(first.names):
        raise ModelError(
            f"every feature of segment `{segments[0]}` has only NaN values: {join_names(empty)}",
            hint="the segment may begin before the data that its windows need, or a processor sets everything to NaN",
        )
    if empty:
        _logger.warning(
            "model.features_without_values segment=%s count=%d names=%s", segments[0], len(empty), join_names(empty)
        )
    return folds


def names_all_missing(fold: TrainingFold) -> list[str]:
    """Return the names of the features that have no value in any row of `fold`."""
    suspects = np.arange(fold.features.shape[1])
    for part in row_blocks(len(fold.features)):
        suspects = suspects[np.isnan(fold.features[part][:, suspects]).all(axis=0)]
        if not len(suspects):
            break
    return [fold.names[place] for place in suspects]


def names_with_missing(features: NDArray[Any], names: Sequence[str]) -> list[str]:
    """Return the names of the features that are NaN in any row."""
    found = np.zeros(features.shape[1], dtype=bool)
    for part in row_blocks(len(features)):
        found |= np.isnan(features[part]).any(axis=0)
    return [name for name, missing in zip(names, found, strict=True) if missing]


def join_names(names: Sequence[str]) -> str:
    """Return the first of `names` for a message, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def row_blocks(rows: int, size: int = _BLOCK) -> Iterator[slice]:
    """Return consecutive slices of `size` rows that cover `rows` rows."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def map_history(history: Mapping[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Return an evaluation history ``{segment: {metric: [value, …]}}`` with every value converted."""
    return {
        segment: {metric: [convert(value) for value in values] for metric, values in metrics.items()}
        for segment, metrics in history.items()
    }


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None when it is NaN or infinite, which JSON does not have."""
    return value if math.isfinite(value) else None


def nan_if_none(value: float | None) -> float:
    """Return `value`, or NaN for None: the reverse of `finite_or_none`, except for infinities."""
    return math.nan if value is None else value


def take_aliases(kwargs: dict[str, Any], aliases: Sequence[str], default: Any) -> Any:
    """Remove from `kwargs` a parameter that has several names, and return its value, `default` when not given."""
    given = [name for name in aliases if name in kwargs]
    if len(given) > 1:
        raise ConfigError(f"`{given[0]}` and `{given[1]}` are names of the same parameter", hint="give one of them")
    return kwargs.pop(given[0]) if given else default


def first_given(params: Mapping[str, Any], aliases: Sequence[str], default: Any) -> Any:
    """Return the value of a parameter that has several names, `default` when none is given."""
    return next((params[name] for name in aliases if name in params), default)
