"""Processors: what is done to the data between the store and a model; names, parameters and values are Qlib's.

None changes its input. The ready-made ones work on tables (see `matrix_table`), so that columns they leave alone are
never copied; a processor of a user's own works on frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.core.construct import get_callable, init_instance_by_config
from rollwright.data.codecs_description import Described
from rollwright.data.matrix_table import Group, Table, Values
from rollwright.data.processors_inst import InstProcessor, TimeRangeFlt
from rollwright.errors import ConfigError, DataError, UnsupportedArtifactError, nearest

__all__ = [
    "CSRankNorm",
    "CSZFillna",
    "CSZScoreNorm",
    "DropCol",
    "DropnaLabel",
    "DropnaProcessor",
    "Fillna",
    "FilterCol",
    "HashStockFormat",
    "InstProcessor",
    "MinMaxNorm",
    "ProcessInf",
    "Processor",
    "RobustZScoreNorm",
    "TableProcessor",
    "TanhProcess",
    "TimeRangeFlt",
    "ZScoreNorm",
    "build_processor",
    "get_group_columns",
    "with_fit_range",
]

MODULE: Final = "rollwright.data.processors"
EPS: Final = 1e-12
CLIP: Final = 3.0
TO_SIGMA: Final = 1.4826  # the median absolute deviation of a normal distribution, turned into its deviation
TO_UNIT: Final = 3.46  # about 1 over the deviation of a uniform distribution


def get_group_columns(df: pd.DataFrame, group: str | None) -> pd.Index[Any]:
    """Return the columns of one group (the first column level), or all of them."""
    if group is None:
        return df.columns
    return pd.Index(df.columns[df.columns.get_loc(group)])


def build_processor(config: object) -> Processor:
    """Return the processor that a name, a configuration or an instance means.

    Raises
    ------
    ConstructError, UntrustedModuleError
    """
    return cast("Processor", init_instance_by_config(config, MODULE, accept_types=Processor))


def with_fit_range(processors: Sequence[Any], start: object, end: object) -> list[Any]:
    """Return the configurations with the fit range given to each processor that takes one and has none of its own.

    Raises
    ------
    ConfigError
        When a processor needs a fit range and there is none.
    """
    prepared: list[Any] = []
    for config in processors:
        if isinstance(config, Processor):
            prepared.append(config)
            continue
        target, kwargs = get_callable(config, MODULE)
        if isinstance(target, type) and issubclass(target, FittedProcessor):
            given = {"fit_start_time": start, "fit_end_time": end}
            kwargs = {**kwargs, **{name: value for name, value in given.items() if value is not None}}
            missing = [name for name in given if kwargs.get(name) is None]
            if missing:
                raise ConfigError(
                    f"{target.__name__} learns from data and has no {' and no '.join(missing)}",
                    hint="give the handler fit_start_time and fit_end_time: the train segment, nothing later",
                )
        module = config.get("module_path") if isinstance(config, Mapping) else None
        prepared.append({"class": target.__name__, "module_path": module or target.__module__, "kwargs": kwargs})
    return prepared


class Processor(Described, ABC):
    """Turns a frame into another one, after learning from a frame where it has something to learn.

    A subclass of a user's own overrides `__call__` and, where it learns, `fit`; it may then also override `state` and
    `load_state`, so that what it learnt can be saved.
    """

    local: ClassVar[bool] = False
    """Whether the rows of a session depend on that session alone, given what was learnt: then a window needs no more
    than its own rows."""
    keeps_rows: ClassVar[bool] = False
    """Whether no row is ever dropped or added."""

    def fit(self, df: pd.DataFrame | None = None) -> None:
        """Learn from `df`; nothing by default."""

    @abstractmethod
    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the processed frame, leaving `df` as it is."""

    def is_for_infer(self) -> bool:
        """Tell whether it may be used for inference, where labels are not known."""
        return True

    def readonly(self) -> bool:
        """Tell whether it leaves its input as it is; the ready-made ones always do."""
        return False

    def config(self, **kwargs: Any) -> None:
        """Change the fit range; other names are left to others."""
        for name in ("fit_start_time", "fit_end_time"):
            if name in kwargs and hasattr(self, name):
                setattr(self, name, kwargs[name])

    def fit_range(self) -> tuple[Any, Any] | None:
        """Return the closed range it learns from; None when it names none."""
        return None

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt, as plain arrays.

        Raises
        ------
        UnsupportedArtifactError
            When a subclass learns and does not say what.
        """
        if type(self).fit is not Processor.fit:
            raise UnsupportedArtifactError(
                f"{type(self).__name__} learns from data and does not say what it learnt",
                hint="give it the methods `state() -> dict of arrays` and `load_state(state)`",
            )
        return {}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` returned."""

    # Tables are how the pipeline runs; a processor that knows only frames is called through these two.

    def fit_table(self, table: Table) -> None:
        """Learn from `table`."""
        if type(self).fit is not Processor.fit:
            self.fit(table.to_frame())

    def transform(self, table: Table) -> Table:
        """Return the processed table."""
        return Table.of_frame(self(table.to_frame()))


class TableProcessor(Processor):
    """A processor that works on tables; on frames through them, in the row order given."""

    local = True
    keeps_rows = True

    def fit(self, df: pd.DataFrame | None = None) -> None:
        """Learn from `df`."""
        if df is not None:
            self.fit_table(Table.of_frame(df))

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the processed frame, leaving `df` as it is."""
        table = self.transform(Table.of_frame(df))
        return table.to_frame(df.index if self.keeps_rows else df.index[self._kept(Table.of_frame(df))])

    def _kept(self, table: Table) -> NDArray[np.bool_]:
        return np.ones(len(table), dtype=np.bool_)

    def fit_table(self, table: Table) -> None:
        """Learn from `table`; nothing by default."""

    @abstractmethod
    def transform(self, table: Table) -> Table:
        """Return the processed table."""

    def readonly(self) -> bool:
        """Tell that the input stays as it is."""
        return True

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learnt, as plain arrays."""
        return {}


class DropnaProcessor(TableProcessor):
    """Drops rows with a NaN in any column of the group."""

    keeps_rows = False

    def __init__(self, fields_group: Group = None) -> None:
        self.fields_group = fields_group

    def transform(self, table: Table) -> Table:
        """Return the rows that are complete."""
        return table.take(self._kept(table))

    def _kept(self, table: Table) -> NDArray[np.bool_]:
        keep = np.ones(len(table), dtype=np.bool_)

        def look(values: Values, _: slice) -> Values:
            for low in range(0, len(values), 1 << 16):
                keep[low : low + (1 << 16)] &= ~np.isnan(values[low : low + (1 << 16)]).any(axis=1)
            return values

        table.map(self.fields_group, look)
        return keep


class DropnaLabel(DropnaProcessor):
    """Drops rows without a label; never for inference, where the label is not known."""

    def __init__(self, fields_group: Group = "label") -> None:
        super().__init__(fields_group)

    def is_for_infer(self) -> bool:
        """Tell that it looks at labels."""
        return False


class DropCol(TableProcessor):
    """Drops columns by name, in whatever group."""

    def __init__(self, col_list: Sequence[str] = ()) -> None:
        self.col_list = list(col_list)

    def transform(self, table: Table) -> Table:
        """Return the other columns."""
        return table.keep_columns(lambda _, name: name not in self.col_list)


class FilterCol(TableProcessor):
    """Keeps the named columns of one group, and every column whose name the group does not have."""

    def __init__(self, fields_group: Group = "feature", col_list: Sequence[str] = ()) -> None:
        self.fields_group = fields_group
        self.col_list = list(col_list)

    def transform(self, table: Table) -> Table:
        """Return the chosen columns."""
        inside = {name for _, name in table.columns(self.fields_group)}
        for name in self.col_list:
            if name not in inside:
                suggestion = nearest(name, inside)
                raise ConfigError(
                    f"FilterCol keeps `{name}`, which no column is called",
                    hint=f"did you mean `{suggestion}`?" if suggestion else None,
                )
        return table.keep_columns(lambda _, name: name not in inside or name in self.col_list)


class TanhProcess(TableProcessor):
    """Squeezes every column that is no label into tanh(x - 1)."""

    def transform(self, table: Table) -> Table:
        """Return the squeezed table."""
        groups = [run.group for run in table.runs if not any("LABEL" in name for name in run.names)]
        mixed = [run for run in table.runs if run.group not in groups]
        for run in mixed:
            if not all("LABEL" in name for name in run.names):
                raise DataError(f"the group `{run.group}` mixes labels with other columns, which TanhProcess cannot")
        names = [name for name in groups if name is not None]
        return table.map(names if table.grouped else None, lambda values, _: np.tanh(values - values.dtype.type(1)))


class ProcessInf(TableProcessor):
    """Replaces each infinity by the mean of its column over that session's other values."""

    def transform(self, table: Table) -> Table:
        """Return the table without infinities, but where a session has nothing else."""

        def replaced(values: Values, starts: NDArray[np.intp]) -> Values:
            infinite = np.isinf(values)
            if not infinite.any():
                return values
            means = _spread(_means(np.where(infinite, np.nan, values), starts), starts, len(values))
            return np.where(infinite, means, values)

        return table.map_sessions(None, replaced)


class Fillna(TableProcessor):
    """Replaces NaN by one value."""

    def __init__(self, fields_group: Group = None, fill_value: float = 0) -> None:
        self.fields_group = fields_group
        self.fill_value = fill_value

    def transform(self, table: Table) -> Table:
        """Return the filled table."""
        return table.map(
            self.fields_group, lambda values, _: np.where(np.isnan(values), values.dtype.type(self.fill_value), values)
        )


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
        part = table.take(table.rows.between(self.fit_start_time, self.fit_end_time))
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

        def normalised(values: Values, place: slice) -> Values:
            out = np.empty(values.shape, dtype=values.dtype)
            for low in range(0, len(values), 1 << 14):
                part = slice(low, low + (1 << 14))
                out[part] = self.finished((values[part] - shift[place]) / scale[place])
            return out

        return table.map(self.fields_group, normalised)

    def finished(self, values: Values) -> Values:
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

    def finished(self, values: Values) -> Values:
        """Return the values, cut at ±3."""
        return np.clip(values, -CLIP, CLIP) if self.clip_outlier else values


class CSZScoreNorm(TableProcessor):
    """Normalises each column across the instruments of a session.

    Parameters
    ----------
    fields_group : str, sequence of str or None
    method : str
        ``zscore``: mean and deviation (ddof 1); ``robust``: median and median absolute deviation, cut at ±3.
    """

    def __init__(self, fields_group: Group = None, method: str = "zscore") -> None:
        if method not in ("zscore", "robust"):
            suggestion = nearest(method, ("zscore", "robust"))
            raise ConfigError(
                f"CSZScoreNorm knows no method `{method}`",
                hint=f"did you mean `{suggestion}`?" if suggestion else "use zscore or robust",
            )
        self.fields_group = fields_group
        self.method = method

    def transform(self, table: Table) -> Table:
        """Return the normalised table."""
        return table.map_sessions(self.fields_group, _robust if self.method == "robust" else _zscore)


class CSRankNorm(TableProcessor):
    """Replaces each value by its rank across the instruments of a session, centred and scaled to unit deviation."""

    def __init__(self, fields_group: Group = None) -> None:
        self.fields_group = fields_group

    def transform(self, table: Table) -> Table:
        """Return the ranked table."""

        def ranked(values: Values, starts: NDArray[np.intp]) -> Values:
            session = _spread(np.arange(len(starts)), starts, len(values))
            shares = pd.DataFrame(values).groupby(session).rank(pct=True).to_numpy()
            return cast("Values", (shares - 0.5) * TO_UNIT)

        return table.map_sessions(self.fields_group, ranked)


class CSZFillna(TableProcessor):
    """Replaces NaN by the mean of the column over the session."""

    def __init__(self, fields_group: Group = None) -> None:
        self.fields_group = fields_group

    def transform(self, table: Table) -> Table:
        """Return the filled table."""

        def filled(values: Values, starts: NDArray[np.intp]) -> Values:
            missing = np.isnan(values)
            return np.where(missing, _spread(_means(values, starts), starts, len(values)), values)

        return table.map_sessions(self.fields_group, filled)


class HashStockFormat(TableProcessor):
    """Leaves the table as it is: the feature store already finds an instrument's rows without a scan."""

    def transform(self, table: Table) -> Table:
        """Return `table`."""
        return table


def _spread(values: Values, starts: NDArray[np.intp], rows: int) -> Values:
    return np.repeat(values, np.diff(np.append(starts, rows)), axis=0)


def _means(values: Values, starts: NDArray[np.intp]) -> Values:
    valid = ~np.isnan(values)
    sums = np.add.reduceat(np.where(valid, values, 0.0), starts, axis=0)
    counts = np.add.reduceat(valid.astype(np.int64), starts, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return cast("Values", sums / counts)


def _zscore(values: Values, starts: NDArray[np.intp]) -> Values:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        centred = values - _spread(_means(values, starts), starts, len(values))
        valid = ~np.isnan(centred)
        squares = np.add.reduceat(np.where(valid, centred, 0.0) ** 2, starts, axis=0)
        counts = np.add.reduceat(valid.astype(np.int64), starts, axis=0)
        deviation = np.sqrt(squares / np.where(counts > 1, counts - 1, np.nan))
        return cast("Values", centred / _spread(deviation, starts, len(values)))


def _robust(values: Values, starts: NDArray[np.intp]) -> Values:
    session = _spread(np.arange(len(starts)), starts, len(values))

    def medians(part: Values) -> Values:
        return _spread(pd.DataFrame(part).groupby(session).median().to_numpy(), starts, len(values))

    with np.errstate(invalid="ignore", divide="ignore"):
        centred = values - medians(values)
        return np.clip(centred / medians(np.abs(centred)) / TO_SIGMA, -CLIP, CLIP)
