"""Processors that learn two numbers for each column from a range of sessions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.dataset.processor_base import TableProcessor
from rollwright.errors import DataError
from rollwright.features.table import Group, Table, Values

__all__ = ["FittedProcessor", "MinMaxNorm", "RobustZScoreNorm", "ZScoreNorm"]

EPS: Final = 1e-12
CLIP: Final = 3.0
TO_SIGMA: Final = 1.4826  # the median absolute deviation of a normal distribution, turned into its deviation


class FittedProcessor(TableProcessor):
    """A processor that learns two numbers for each column, from a closed range of sessions and nothing else.

    .. warning:: **Look-ahead.** `fit_end_time` must lie before the test segment: what is learnt from the range is used
       on every row.

    Parameters
    ----------
    fit_start_time, fit_end_time : date or None
        None is open.
    fields_group : str, sequence of str or None
        Every column, labels too, if not given.
    """

    def __init__(self, fit_start_time: Any, fit_end_time: Any, fields_group: Group = None) -> None:
        self.fit_start_time = fit_start_time
        self.fit_end_time = fit_end_time
        self.fields_group = fields_group
        self.shift: NDArray[np.float64] | None = None
        self.scale: NDArray[np.float64] | None = None

    def fit_range(self) -> tuple[Any, Any] | None:
        """Return the closed range it learns from."""
        return self.fit_start_time, self.fit_end_time

    def fit_table(self, table: Table) -> None:
        """Learn from the rows of `table` inside the fit range.

        Raises
        ------
        DataError
            When there are none.
        """
        part = table.take(table.rows.select_range(self.fit_start_time, self.fit_end_time))
        if not len(part):
            raise DataError(
                f"{type(self).__name__} has no rows to learn from in [{self.fit_start_time}, {self.fit_end_time}]",
                hint="the fit range must lie inside the handler's start_time and end_time",
            )
        width = len(part.columns(self.fields_group))
        shift, scale = np.empty(width), np.empty(width)
        for place, values in part.column_chunks(self.fields_group):
            for column in range(values.shape[1]):
                valid = values[:, column]
                shift[place.start + column], scale[place.start + column] = self.learn(valid[~np.isnan(valid)])
        self.shift, self.scale = shift, scale

    @abstractmethod
    def learn(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Return what to subtract and what to divide by, for the values of a column that are not NaN."""

    def transform(self, table: Table) -> Table:
        """Return the normalised table."""
        shift, scale = self.shift, self.scale
        if shift is None or scale is None:
            raise DataError(f"{type(self).__name__} is used before it learnt anything", hint="call fit first")
        if len(table.columns(self.fields_group)) != len(shift):
            raise DataError(
                f"{type(self).__name__} learnt {len(shift)} columns and is given "
                f"{len(table.columns(self.fields_group))}"
            )

        def normalise(values: Values, place: slice) -> Values:
            out = np.empty(values.shape, dtype=values.dtype)
            for low in range(0, len(values), 1 << 14):
                part = slice(low, low + (1 << 14))
                with np.errstate(invalid="ignore"):  # an infinity in the fit range makes its column NaN
                    out[part] = self.finish((values[part] - shift[place]) / scale[place])
            return out

        return table.map(self.fields_group, normalise)

    def finish(self, values: Values) -> Values:
        """Return the normalised values as they are handed out."""
        return values

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt."""
        return {} if self.shift is None or self.scale is None else {"shift": self.shift, "scale": self.scale}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` returned."""
        if state:
            self.shift, self.scale = np.asarray(state["shift"]), np.asarray(state["scale"])


class MinMaxNorm(FittedProcessor):
    """Maps the fit range's minimum to 0 and its maximum to 1; a constant column stays as it is."""

    def learn(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Return the minimum and the span."""
        if not len(values):
            return float("nan"), float("nan")
        low, high = float(values.min()), float(values.max())
        return (0.0, 1.0) if low == high else (low, high - low)


class ZScoreNorm(FittedProcessor):
    """Subtracts the fit range's mean and divides by its deviation (ddof 0); a constant column stays as it is."""

    def learn(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Return the mean and the deviation."""
        if not len(values):
            return float("nan"), float("nan")
        with np.errstate(invalid="ignore"):  # infinities give NaN, as in Qlib
            mean, deviation = float(values.mean()), float(values.std())
        return (0.0, 1.0) if deviation == 0 else (mean, deviation)


class RobustZScoreNorm(FittedProcessor):
    """Subtracts the fit range's median, divides by its median absolute deviation, and cuts at ±3 unless told not to.

    Parameters
    ----------
    fit_start_time, fit_end_time, fields_group
        As `FittedProcessor`.
    clip_outlier : bool
    """

    def __init__(
        self,
        fit_start_time: Any,
        fit_end_time: Any,
        fields_group: Group = None,
        clip_outlier: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> None:
        super().__init__(fit_start_time, fit_end_time, fields_group)
        self.clip_outlier = clip_outlier

    def learn(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Return the median and the scaled deviation from it."""
        if not len(values):
            return float("nan"), float("nan")
        middle = float(np.median(values))
        with np.errstate(invalid="ignore"):
            return middle, (float(np.median(np.abs(values - middle))) + EPS) * TO_SIGMA

    def finish(self, values: Values) -> Values:
        """Return the values, cut at ±3."""
        return np.clip(values, -CLIP, CLIP) if self.clip_outlier else values
