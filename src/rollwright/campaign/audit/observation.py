"""What models read, as it comes out of a market: the raw columns, and those after the processors.

An `Observation` is a set of parts. Each is a matrix whose rows are (session, instrument) and whose values are compared
bit by bit with those of another observation of the same part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.trading import TradingCalendar
from rollwright.dataset.dataset import Dataset, DatasetH, TSDatasetH, build_dataset
from rollwright.dataset.feature_reach import FeatureReach, narrow_handler
from rollwright.dataset.handler import DataHandler
from rollwright.dataset.sampler import TSDataSampler
from rollwright.errors import ConfigError
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.table import RowLabels, Table
from rollwright.market.source import DataSource

__all__ = ["Moved", "Observation", "Part", "PartName", "compare", "observe", "observe_handler"]

PartName: TypeAlias = Literal["raw", "infer", "train", "valid", "test", "refused"]
LABEL_GROUP: Final = "label"
ROUNDING: Final = 1e-6
"""Changes below this share of a value's size are the order of additions, not the future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One matrix of an observation.

    Attributes
    ----------
    columns : tuple of (group, name)
    is_label : bool ``[columns]``
    rows : int64 ``[n]``
        Row of the market's calendar.
    codes : object ``[n]``
        Instrument.
    values : float64 ``[n, columns]``
    is_single : bool
        Whether they were float32 throughout.
    """

    columns: tuple[tuple[str | None, str], ...]
    is_label: NDArray[np.bool_]
    rows: NDArray[np.int64]
    codes: NDArray[Any]
    values: NDArray[np.float64]
    is_single: bool = True

    @classmethod
    def of_table(cls, table: Table, calendar: TradingCalendar) -> Part:
        """Return the part that a table is, without rows of sessions that the calendar lacks, as a file may have."""
        rows = _rows_of(table.rows, calendar)
        if (rows < 0).any():
            table, rows = table.take(np.flatnonzero(rows >= 0)), rows[rows >= 0]
        values = [np.asarray(block.values, np.float64).reshape(len(table), -1) for block in table.blocks]
        columns = tuple((block.group, name) for block in table.blocks for name in block.names)
        return cls(
            columns=columns,
            is_label=np.array([group == LABEL_GROUP for group, _ in columns], np.bool_),
            rows=rows,
            codes=np.asarray(table.rows.instruments, dtype=object)[table.rows.instrument_codes],
            values=np.concatenate(values, axis=1) if values else np.empty((len(table), 0)),
            is_single=all(block.values.dtype == np.float32 for block in table.blocks),
        )

    @classmethod
    def of_sampler(
        cls, sampler: TSDataSampler, calendar: TradingCalendar, columns: Sequence[tuple[str | None, str]]
    ) -> Part:
        """Return the part that the samples of a sampler are: a row for each, its sessions side by side."""
        labels = RowLabels.from_index(sampler.get_index())
        samples = np.asarray(sampler[np.arange(len(sampler))], np.float64)
        steps, width = samples.shape[1:]
        named = columns if len(columns) == width else [(None, f"column {number}") for number in range(width)]
        spread = tuple((group, f"{name} at step {step}") for step in range(steps) for group, name in named)
        return cls(
            columns=spread,
            is_label=np.array([group == LABEL_GROUP for group, _ in spread], np.bool_),
            rows=_rows_of(labels, calendar),
            codes=np.asarray(labels.instruments, dtype=object)[labels.instrument_codes],
            values=samples.reshape(len(samples), -1),
        )

    def take(self, keep: NDArray[Any]) -> Part:
        """Return the rows that a mask or positions choose."""
        return replace(self, rows=self.rows[keep], codes=self.codes[keep], values=self.values[keep])

    def before(self, row: int) -> Part:
        """Return the rows before a row of the calendar."""
        return self.take(self.rows < row)


Observation: TypeAlias = Mapping[PartName, Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How one part differs from another.

    Attributes
    ----------
    part : Part
        The rows that both have.
    after : float64 ``[n, columns]``
        Their values on the other side.
    cells : bool ``[n, columns]``
        Which differ, by more than rounding.
    columns : bool ``[columns]``
        Which columns have such a cell.
    rounded : bool ``[columns]``
        Which columns differ by rounding alone.
    lost, gained : sequence of (row, code)
        Rows that only one side has.
    """

    part: Part
    after: NDArray[np.float64]
    cells: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    rounded: NDArray[np.bool_]
    lost: tuple[tuple[int, str], ...]
    gained: tuple[tuple[int, str], ...]


def compare(one: Part, other: Part, *, before: int) -> Moved:
    """Return how the rows before a row of the calendar differ; columns are the same on both sides.

    Raises
    ------
    ConfigError
        When they are not: what columns there are may not depend on the data.
    """
    if one.columns != other.columns:
        raise ConfigError(
            f"the data have {len(other.columns)} columns on a changed market and {len(one.columns)} on this one",
            hint="let the columns of a handler depend on its configuration alone",
        )
    here, there = one.before(before), other.before(before)
    lost: tuple[tuple[int, str], ...] = ()
    gained: tuple[tuple[int, str], ...] = ()
    if not (np.array_equal(here.rows, there.rows) and np.array_equal(here.codes, there.codes)):
        mine, theirs = _keys(here), _keys(there)
        lost = tuple(sorted(mine.keys() - theirs.keys()))
        gained = tuple(sorted(theirs.keys() - mine.keys()))
        common = sorted(mine.keys() & theirs.keys())
        here = here.take(np.array([mine[key] for key in common], np.intp))
        there = there.take(np.array([theirs[key] for key in common], np.intp))
    same = (here.values == there.values) | (np.isnan(here.values) & np.isnan(there.values))
    cells, rounded = ~same, np.zeros(len(one.columns), np.bool_)
    odd = np.flatnonzero(cells.any(axis=0))
    if len(odd):
        was, now = here.values[:, odd], there.values[:, odd]
        with np.errstate(invalid="ignore"):
            size = np.maximum(np.abs(was), _find_typical(one.values[:, odd]))
            close = np.abs(was - now) <= ROUNDING * size
        cells[:, odd] &= ~close
        rounded[odd] = (~same[:, odd] & close).any(axis=0) & ~cells[:, odd].any(axis=0)
    return Moved(
        part=here,
        after=there.values,
        cells=cells,
        columns=np.asarray(cells.any(axis=0), np.bool_),
        rounded=rounded,
        lost=lost,
        gained=gained,
    )


def observe(
    definition: Mapping[str, Any],
    source: DataSource,
    *,
    store: FeatureStore,
    segments: Mapping[str, Any],
    refused: Sequence[FeatureReach] = (),
    alter: Callable[[DataHandler], None] | None = None,
) -> Observation:
    """Return what the dataset of a task gives on a market.

    Parameters
    ----------
    definition : mapping
    source : DataSource
    store : FeatureStore
    segments : mapping
        Of the dataset, cut to the sessions of `source`.
    refused : sequence of FeatureReach
        Features that may be none, and are left out.
    alter : callable, optional
        Called with the handler before it reads anything.
    """
    kwargs = {**definition["dataset"].get("kwargs", {}), "segments": dict(segments)}
    config = {**definition["dataset"], "kwargs": kwargs}
    dataset = build_dataset(config)
    if isinstance(dataset, Dataset) and type(dataset).over is not Dataset.over:
        dataset = dataset.over(source, store)
    calendar = source.calendar()
    found: dict[PartName, Part] = {}
    if isinstance(dataset, DatasetH):
        narrow_handler(dataset.handler, without=refused, instruments=source.instruments())
        if alter is not None:
            alter(dataset.handler)
        found.update(observe_handler(dataset.handler, calendar, segments))
        if type(dataset) is DatasetH and type(dataset.handler).fetch is DataHandler.fetch:
            return found
    for role in ("train", "valid", "test"):
        if role in segments:
            key = "infer" if role == "test" else "learn"
            part = _prepare(dataset, role, key, calendar)
            if part is not None:
                found[role] = part
    return found


def observe_handler(
    handler: DataHandler, calendar: TradingCalendar, segments: Mapping[str, Any]
) -> dict[PartName, Part]:
    """Return what a handler gives: its raw columns, those for inference, and those that models learn from."""
    panel = handler.panel
    every = range(len(panel.dates))
    found: dict[PartName, Part] = {"raw": Part.of_table(panel.table(0, len(panel.dates)), calendar)}
    found["infer"] = Part.of_table(handler.table(every, "infer"), calendar)
    if "train" in segments:
        found["train"] = Part.of_table(handler.table(handler.places(*segments["train"]), "learn"), calendar)
    if "valid" in segments:
        found["valid"] = Part.of_table(handler.table(handler.places(*segments["valid"]), "learn"), calendar)
    return found


def _prepare(dataset: Any, role: str, key: str, calendar: TradingCalendar) -> Part | None:
    """Return what a dataset of another class prepares for a model; None when it is neither a frame nor samples."""
    groups = ["feature"] if role == "test" else ["feature", LABEL_GROUP]
    made = dataset.prepare(role, col_set=groups, data_key=key)
    if isinstance(made, TSDataSampler):
        every = dataset.handler.panel.columns() if isinstance(dataset, TSDatasetH) else ()
        return Part.of_sampler(made, calendar, [column for group in groups for column in every if column[0] == group])
    if isinstance(made, pd.DataFrame):
        return Part.of_table(Table.from_frame(made), calendar)
    return None


def _rows_of(labels: RowLabels, calendar: TradingCalendar) -> NDArray[np.int64]:
    places = calendar.to_index().get_indexer(labels.dates)  # -1 for a date that is no session
    return np.asarray(places, np.int64)[labels.date_codes]


def _keys(part: Part) -> dict[tuple[int, str], int]:
    pairs = zip(part.rows.tolist(), part.codes.tolist(), strict=True)
    return {key: number for number, key in enumerate(pairs)}


def _find_typical(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the typical size of each column: the median of what is not zero."""
    size = np.where(np.isfinite(values) & (values != 0), np.abs(values), np.nan)
    made = np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        known = size[:, column][~np.isnan(size[:, column])]
        made[column] = np.median(known) if len(known) else 0.0
    return made
