"""One segment of a dataset as arrays, checked before a model learns from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import ConfigError, ModelError

__all__ = ["FoldView", "ModelDataset", "SampleWeighter", "TrainingFold", "check_training_fold", "sample_weights"]

_logger: Final = logging.getLogger("rollwright.models")
_BLOCK: Final = 1 << 16  # rows checked at a time, so that a check takes little memory beside a large fold


class FoldView(Protocol):
    """One segment of a dataset: row `i` of every member is the same sample."""

    @property
    def features(self) -> NDArray[np.float32]:
        """float32 [rows, features], C order, possibly a read-only memory map."""
        ...

    @property
    def label(self) -> NDArray[np.float32] | None:
        """float32 [rows], or None where the dataset has no label."""
        ...

    @property
    def index(self) -> pd.MultiIndex:
        """(datetime, instrument) of the rows."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in column order."""
        ...


class ModelDataset(Protocol):
    """The part of a dataset that models use; every dataset that a task can be trained on has it."""

    @property
    def segments(self) -> Mapping[str, Any]:
        """The segments by name; a model learns from ``train`` and watches ``valid`` if it is there."""
        ...

    def fold(self, segment: str, *, data_key: Literal["infer", "learn"]) -> FoldView:
        """Return a segment as arrays: processed for learning, or as a prediction reads it."""
        ...

    def inference_index(self, segment: str) -> pd.MultiIndex:
        """Return the (datetime, instrument) of the rows that `predict` must score, in the order of the fold."""
        ...

    def prepare(self, segments: str, /, *, col_set: Any, data_key: Literal["infer", "learn"]) -> Any:
        """Return a segment as a frame; only a reweighter needs it."""
        ...


@runtime_checkable
class SampleWeighter(Protocol):
    """Gives the samples of a segment their weights."""

    def reweight(self, data: Any, /) -> Any:
        """Return one finite, non-negative weight per row of the frame `data`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFold:
    """A segment that a model can learn from: at least one row, finite labels, no infinite feature.

    ``features`` is the array of the dataset, not a copy, unless rows without a label were removed; ``kept`` are the
    positions of the remaining rows, None when all remained; ``every_row`` is the index of all rows.
    """

    features: NDArray[Any]
    label: NDArray[np.float32]
    names: tuple[str, ...]
    rows: int
    kept: NDArray[np.intp] | None
    every_row: pd.MultiIndex

    def index(self) -> pd.MultiIndex:
        """Return the (datetime, instrument) of the remaining rows."""
        return self.every_row if self.kept is None else self.every_row.take(self.kept)


def check_training_fold(fold: FoldView, *, segment: str) -> TrainingFold:
    """Return `fold` as arrays to learn from. Rows with a NaN label are removed, and their number is logged.

    NaN features stay: a model that does not support them raises an error itself.

    Raises
    ------
    ModelError
        When the segment has no rows, no label, only NaN labels, an infinite label or infinite features (named).
    """
    features = np.asarray(fold.features)
    if features.ndim != 2 or not len(features):
        raise ModelError(
            f"segment `{segment}` has no rows to learn from",
            hint="check the dates of the segment against the data, and the processors that drop rows",
        )
    if fold.label is None:
        raise ModelError(f"segment `{segment}` has no label to learn from", hint="give the data handler a label")
    label = np.ascontiguousarray(fold.label, dtype=np.float32)
    if label.shape != (len(features),):
        raise ModelError(
            f"segment `{segment}` has labels of shape {label.shape} for {len(features)} rows: one label per row needed"
        )
    _refuse_infinite(features, label, names=fold.names, segment=segment)
    missing = np.isnan(label)
    count = int(missing.sum())
    if count == len(label):
        raise ModelError(
            f"all {count} labels of segment `{segment}` are NaN",
            hint="the label may read beyond the last session of the data: end the segment earlier",
        )
    kept = None
    if count:
        # LightGBM would silently learn from a NaN label as if it were 0
        _logger.warning("model.rows_without_label segment=%s dropped=%d rows=%d", segment, count, len(label))
        kept = np.flatnonzero(~missing)
        features, label = features[kept], label[kept]
    if not features.flags.c_contiguous or features.dtype not in (np.float32, np.float64):
        features = np.ascontiguousarray(features, dtype=np.float32)
    return TrainingFold(
        features=features, label=label, names=tuple(fold.names), rows=len(label), kept=kept, every_row=fold.index
    )


def sample_weights(
    dataset: ModelDataset, reweighter: SampleWeighter | None, fold: TrainingFold, *, segment: str
) -> NDArray[np.float32] | None:
    """Return the weight of each row of `fold`, None without a `reweighter`.

    Parameters
    ----------
    reweighter : object or None
        Has ``reweight(frame)``, which gets the segment's frame (column groups ``feature`` and ``label``) and returns
        one finite, non-negative weight per row.

    Raises
    ------
    ConfigError
        When `reweighter` has no such method, for example a configuration from which no object was built.
    ModelError
        When the weights do not fit the rows.
    """
    if reweighter is None:
        return None
    if not isinstance(reweighter, SampleWeighter):
        raise ConfigError(
            f"a reweighter needs a method `reweight`, and {type(reweighter).__name__} has none",
            hint="build it first: a dictionary with class and module_path is only its description",
        )
    frame = dataset.prepare(segment, col_set=["feature", "label"], data_key="learn")
    weights = np.asarray(reweighter.reweight(frame), dtype=np.float32).reshape(-1)
    if fold.kept is not None and len(weights) > fold.rows:
        weights = weights[fold.kept]
    if len(weights) != fold.rows or not np.isfinite(weights).all() or bool((weights < 0).any()):
        raise ModelError(
            f"{type(reweighter).__name__} gave {len(weights)} weights for {fold.rows} rows of `{segment}`, "
            "or some that are negative or not finite"
        )
    return weights


def _refuse_infinite(
    features: NDArray[Any], label: NDArray[np.float32], *, names: tuple[str, ...], segment: str
) -> None:
    infinite = np.zeros(features.shape[1], dtype=bool)
    for start in range(0, len(features), _BLOCK):
        infinite |= np.isinf(features[start : start + _BLOCK]).any(axis=0)
    if infinite.any():
        found = [name for name, bad in zip(names, infinite, strict=True) if bad]
        shown = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        raise ModelError(
            f"segment `{segment}` has infinite values in {shown}",
            hint="add the processor ProcessInf to the handler's learn_processors, or correct the expression",
        )
    if np.isinf(label).any():
        raise ModelError(
            f"segment `{segment}` has {int(np.isinf(label).sum())} infinite labels",
            hint="a price of zero gives such a label: remove those rows from the data",
        )
