"""Processors: what is done to the data between the store and a model; names, parameters and values are Qlib's.

None changes its input. The ready-made ones work on tables (see `rollwright.features.table`), so that columns
they leave alone are never copied; a processor of a user's own works on frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.codecs.described import Described
from rollwright.config.construct import get_class, init_instance_by_config
from rollwright.dataset.processor_base import Processor, TableProcessor, get_group_columns
from rollwright.dataset.processor_fit import CLIP, TO_SIGMA, FittedProcessor, MinMaxNorm, RobustZScoreNorm, ZScoreNorm
from rollwright.errors import ConfigError, DataError, nearest
from rollwright.features.table import Group, Table, Values

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

MODULE: Final = "rollwright.dataset.processors"
TO_UNIT: Final = 3.46  # about 1 over the deviation of a uniform distribution


def build_processor(config: object) -> Processor:
    """Return the processor that a name, a configuration or an instance means.

    Raises
    ------
    ConstructError, UntrustedModuleError
    """
    return cast("Processor", init_instance_by_config(config, MODULE, accept_types=Processor, slot="processor"))


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
        target, kwargs = get_class(config, MODULE, slot="processor")
        if isinstance(target, type) and issubclass(target, FittedProcessor):
            given = {"fit_start_time": start, "fit_end_time": end}
            kwargs = {**kwargs, **{name: value for name, value in given.items() if value is not None}}
            missing = [name for name in given if kwargs.get(name) is None]
            if missing:
                raise ConfigError(
                    f"{target.__name__} learns from data and has no {' and no '.join(missing)}",
                    hint="give the handler fit_start_time and fit_end_time: the train segment, nothing later",
                )
        named = dict(config) if isinstance(config, Mapping) else {"class": config}
        prepared.append({**named, "kwargs": kwargs})
    return prepared


check_transform_proc: Final = with_fit_range
"""Qlib's name of `with_fit_range`."""


class InstProcessor(Described, ABC):
    """Turns one instrument's frame, indexed by datetime, into another one."""

    @abstractmethod
    def __call__(self, df: pd.DataFrame, instrument: str, *args: Any, **kwargs: Any) -> pd.DataFrame:
        """Return the processed frame, leaving `df` as it is; an empty one leaves the instrument out."""


class TimeRangeFlt(InstProcessor):
    """Keeps an instrument only when its data reach from `start_time` or earlier to `end_time` or later.

    .. warning:: **Look-ahead.** Whether an instrument survives until `end_time` is not known before: a training set
       filtered so knows the future.

    Parameters
    ----------
    start_time, end_time : date, optional
        None asks for nothing on that side. A date that is no session means the first one after, the last one before.
    freq : str
    """

    def __init__(self, start_time: Any = None, end_time: Any = None, freq: str = "day") -> None:
        from rollwright.market.current import current_market  # noqa: PLC0415 - loaders know processors

        sessions = current_market(freq).calendar().known_part().sessions(start_time, end_time)
        self.start_time = None if start_time is None else sessions[0]
        self.end_time = None if end_time is None else sessions[-1]

    def __call__(self, df: pd.DataFrame, instrument: str, *args: Any, **kwargs: Any) -> pd.DataFrame:  # noqa: ARG002 - Qlib's signature
        """Return `df`, or none of its rows."""
        if df.empty:
            return df
        early = self.start_time is None or df.index.min() <= self.start_time
        late = self.end_time is None or df.index.max() >= self.end_time
        return df if early and late else df.head(0)


class DropnaProcessor(TableProcessor):
    """Drops rows with a NaN in any column of the group."""

    keeps_rows = False

    def __init__(self, fields_group: Group = None) -> None:
        self.fields_group = fields_group

    def transform(self, table: Table) -> Table:
        """Return the rows that are complete."""
        return table.take(self._select_rows(table))

    def _select_rows(self, table: Table) -> NDArray[np.bool_]:
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
        groups = [block.group for block in table.blocks if not any("LABEL" in name for name in block.names)]
        mixed = [block for block in table.blocks if block.group not in groups]
        for run in mixed:
            if not all("LABEL" in name for name in run.names):
                raise DataError(f"the group `{run.group}` mixes labels with other columns, which TanhProcess cannot")
        names = [name for name in groups if name is not None]
        return table.map(names if table.grouped else None, lambda values, _: np.tanh(values - values.dtype.type(1)))


class ProcessInf(TableProcessor):
    """Replaces each infinity by the mean of its column over that session's other values."""

    def transform(self, table: Table) -> Table:
        """Return the table without infinities, but where a session has nothing else."""

        def replace_infinities(values: Values, starts: NDArray[np.intp]) -> Values:
            infinite = np.isinf(values)
            if not infinite.any():
                return values
            means = _spread(_means(np.where(infinite, np.nan, values), starts), starts, len(values))
            return np.where(infinite, means, values)

        return table.map_sessions(None, replace_infinities)


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

        def rank(values: Values, starts: NDArray[np.intp]) -> Values:
            session = _spread(np.arange(len(starts)), starts, len(values))
            shares = pd.DataFrame(values).groupby(session).rank(pct=True).to_numpy()
            return cast("Values", (shares - 0.5) * TO_UNIT)

        return table.map_sessions(self.fields_group, rank)


class CSZFillna(TableProcessor):
    """Replaces NaN by the mean of the column over the session."""

    def __init__(self, fields_group: Group = None) -> None:
        self.fields_group = fields_group

    def transform(self, table: Table) -> Table:
        """Return the filled table."""

        def fill_missing(values: Values, starts: NDArray[np.intp]) -> Values:
            missing = np.isnan(values)
            return np.where(missing, _spread(_means(values, starts), starts, len(values)), values)

        return table.map_sessions(self.fields_group, fill_missing)


class HashStockFormat(TableProcessor):
    """Lets the handler give rows instrument by instrument, and those of one without looking at the others.

    It has this effect as the last processor of a data key, on what the handler fetches; what a model reads of a dataset
    as arrays stays in order of time. Qlib gives every session whatever range is asked for; here the range counts.
    """

    def transform(self, table: Table) -> Table:
        """Return `table`: the values stay as they are."""
        return table


def _spread(values: Values, starts: NDArray[np.intp], rows: int) -> Values:
    return np.repeat(values, np.diff(np.append(starts, rows)), axis=0)


def _means(values: Values, starts: NDArray[np.intp]) -> Values:
    valid = ~np.isnan(values)
    counts = np.add.reduceat(valid.astype(np.int64), starts, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # a day of both infinities has no mean
        return cast("Values", np.add.reduceat(np.where(valid, values, 0.0), starts, axis=0) / counts)


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
