"""What a network learns from and scores: rows of features, or windows of the last sessions, by their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import ModelError
from rollwright.models.tabular import join_names

__all__ = ["RowSamples", "Samples", "TrainingSet", "WindowDataset", "WindowSamples", "read_windows"]


class Samples(Protocol):
    """Features of samples by number."""

    def __len__(self) -> int: ...

    def take(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        """Return features by number: ``[samples, features]`` or ``[samples, sessions, features]``."""
        ...


class RowSamples:
    """Rows of an array, which is not copied."""

    def __init__(self, features: NDArray[Any]) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features)

    def take(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        """Return rows by their numbers, ``[rows, features]``."""
        return self._features[numbers]


class _Sampler(Protocol):
    """Windows by number, as `rollwright.dataset.sampler.TSDataSampler`."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        ...

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Return windows ``[samples, sessions, columns]`` by their numbers."""
        ...

    def get_index(self) -> pd.MultiIndex:
        """Return the (datetime, instrument) of each window."""
        ...

    def config(self, **kwargs: Any) -> None:
        """Say how missing sessions are filled."""
        ...


@runtime_checkable
class WindowDataset(Protocol):
    """A dataset whose `prepare` gives windows of `step_len` sessions instead of rows."""

    @property
    def step_len(self) -> int:
        """Sessions of a window."""
        ...

    def prepare(self, segments: str, /, *, col_set: Any, data_key: Literal["infer", "learn"]) -> Any:
        """Return the windows of a segment."""
        ...


class WindowSamples:
    """Windows of a sampler in an order of our own; only those that are asked for are gathered.

    A session without a row is filled by the last row before it in the same window, and at a window's beginning by the
    first row after it, as Qlib's models do.
    """

    def __init__(self, sampler: _Sampler, numbers: NDArray[np.intp], *, segment: str) -> None:
        self._sampler = sampler
        self._numbers = numbers
        self._segment = segment

    def __len__(self) -> int:
        return len(self._numbers)

    def take(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        """Return windows by their numbers, ``[windows, sessions, features]``.

        Raises
        ------
        ModelError
            When one has a NaN: of a row before the segment, since those of the segment were looked at before.
        """
        found = self._sampler[self._numbers[numbers]]
        missing = np.isnan(found).any(axis=(0, 1))
        if missing.any():
            names = [name for name, bad in zip(self._sampler.columns, missing, strict=True) if bad]
            raise ModelError(
                f"a network does not support NaN, and windows of segment `{self._segment}` have some in "
                f"{join_names(names)}",
                hint="add the processor Fillna to the handler's processors",
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """One segment to learn from, or to watch.

    Attributes
    ----------
    samples : Samples
    label : float32 ``[samples]``
    weights : float32 ``[samples]`` or None
    days : int ``[samples]``
        Number of the session of each sample.
    """

    samples: Samples
    label: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    days: NDArray[np.intp]

    def digest(self) -> str:
        """Return a hash over labels, weights and days, which tells it from other samples of the same market."""
        found = hashlib.sha256(self.label.tobytes())
        for part in (self.weights, self.days):
            found.update(b"|" if part is None else np.ascontiguousarray(part).tobytes())
        return found.hexdigest()


def read_windows(
    dataset: WindowDataset,
    segment: str,
    index: pd.MultiIndex,
    names: Sequence[str],
    *,
    data_key: Literal["infer", "learn"],
) -> WindowSamples:
    """Return the windows that end with the rows of `index`, in their order.

    Raises
    ------
    ModelError
        When the windows have other columns than `names`, or a row has no window.
    """
    sampler: _Sampler = dataset.prepare(segment, col_set="feature", data_key=data_key)
    sampler.config(fillna_type="ffill+bfill")
    if tuple(sampler.columns) != tuple(names):
        raise ModelError(
            f"the windows of segment `{segment}` have the columns {join_names(list(sampler.columns))} and its rows "
            f"have {join_names(list(names))}"
        )
    numbers = sampler.get_index().get_indexer(index)
    absent = int((numbers < 0).sum())
    if absent:
        raise ModelError(
            f"{absent} of {len(index)} rows of segment `{segment}` have no window, the first is "
            f"{index[int(np.flatnonzero(numbers < 0)[0])]}",
            hint="rows and windows of a dataset must be of the same (datetime, instrument)",
        )
    return WindowSamples(sampler, numbers.astype(np.intp), segment=segment)
