"""What models read, as it comes out of a market: the raw columns, and those after the processors.

An `Observation` is a set of parts. Each is a matrix whose rows are (session, instrument) and whose values are compared
bit by bit with those of another observation of the same part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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

__all__ = [
    "Floats", "Moved", "Observation", "Part", "PartName", "align", "compare", "find_moved_columns", "observe",
    "observe_handler",
]  # fmt: skip

PartName: TypeAlias = Literal["raw", "infer", "train", "valid", "test", "refused"]
LABEL_GROUP: Final = "label"
ROLES: Final[tuple[Literal["train", "valid", "test"], ...]] = ("train", "valid", "test")
Floats: TypeAlias = "NDArray[np.floating[Any]]"
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
    values : float32 or float64 ``[n, columns]``
        As they were computed.
    """

    columns: tuple[tuple[str | None, str], ...]
    is_label: NDArray[np.bool_]
    rows: NDArray[np.int64]
    codes: NDArray[Any]
    values: Floats

    @classmethod
    def of_table(cls, table: Table, calendar: TradingCalendar) -> Part:
        """Return the part that a table is, without rows of sessions that the calendar lacks, as a file may have."""
        rows = _rows_of(table.rows, calendar)
        if (rows < 0).any():
            table, rows = table.take(np.flatnonzero(rows >= 0)), rows[rows >= 0]
        values = [np.asarray(block.values).reshape(len(table), -1) for block in table.blocks]
        is_single = all(block.dtype == np.float32 for block in values)
        columns = tuple((block.group, name) for block in table.blocks for name in block.names)
        return cls(
            columns=columns,
            is_label=np.array([group == LABEL_GROUP for group, _ in columns], np.bool_),
            rows=rows,
            codes=np.asarray(table.rows.instruments, dtype=object)[table.rows.instrument_codes],
            values=np.concatenate(
                values or [np.empty((len(table), 0))], axis=1, dtype=np.float32 if is_single else np.float64
            ),
        )

    @classmethod
    def of_sampler(
        cls, sampler: TSDataSampler, calendar: TradingCalendar, columns: Sequence[tuple[str | None, str]]
    ) -> Part:
        """Return the part that the samples of a sampler are: a row for each, its sessions side by side."""
        labels = RowLabels.from_index(sampler.get_index())
        samples = np.asarray(sampler[np.arange(len(sampler))])
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

    def take(self, keep: slice | NDArray[Any]) -> Part:
        """Return the rows that a slice, a mask or positions choose."""
        return replace(self, rows=self.rows[keep], codes=self.codes[keep], values=self.values[keep])

    def before(self, row: int) -> Part:
        """Return the rows before a row of the calendar; a view where they are sorted by session."""
        is_sorted = bool((self.rows[1:] >= self.rows[:-1]).all())
        return self.take(slice(int(np.searchsorted(self.rows, row))) if is_sorted else self.rows < row)


Observation: TypeAlias = Mapping[PartName, Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How one part differs from another.

    Attributes
    ----------
    part : Part
        The rows that both have.
    after : float ``[n, columns]``
        Their values on the other side.
    cells : bool ``[n, columns]``
        Which differ, by more than rounding.
    columns : bool ``[columns]``
        Which columns have such a cell.
    lost, gained : sequence of (row, code)
        Rows that only one side has.
    """

    part: Part
    after: Floats
    cells: NDArray[np.bool_]
    columns: NDArray[np.bool_]
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
    here, there, lost, gained = align(one.before(before), other.before(before))
    cells = np.zeros(here.values.shape, np.bool_)
    odd = find_moved_columns(here.values, there.values)
    if len(odd):
        was, now = here.values[:, odd].astype(np.float64), there.values[:, odd].astype(np.float64)
        differ = ~((was == now) | (np.isnan(was) & np.isnan(now)))
        with np.errstate(invalid="ignore"):
            size = np.maximum(np.abs(was), _find_typical(one.values[:, odd]))
            close = np.abs(was - now) <= ROUNDING * size
        cells[:, odd] = differ & ~close
    return Moved(
        part=here,
        after=there.values,
        cells=cells,
        columns=np.asarray(cells.any(axis=0), np.bool_),
        lost=lost,
        gained=gained,
    )


def align(one: Part, other: Part) -> tuple[Part, Part, tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]]:
    """Return both with the rows that both have, and the (row, code) that the one has alone, and the other."""
    if np.array_equal(one.rows, other.rows) and np.array_equal(one.codes, other.codes):
        return one, other, (), ()
    mine, theirs = _keys(one), _keys(other)
    common = sorted(mine.keys() & theirs.keys())
    return (
        one.take(np.array([mine[key] for key in common], np.intp)),
        other.take(np.array([theirs[key] for key in common], np.intp)),
        tuple(sorted(mine.keys() - theirs.keys())),
        tuple(sorted(theirs.keys() - mine.keys())),
    )


def find_moved_columns(one: Floats, other: Floats) -> NDArray[np.intp]:
    """Return the columns of two matrices of one shape in which a value is not the same, or missing on one side only."""
    if one.dtype != other.dtype:
        one, other = one.astype(np.float64), other.astype(np.float64)
    bits = np.uint32 if one.dtype == np.float32 else np.uint64
    odd = np.flatnonzero((one.view(bits) != other.view(bits)).any(axis=0))
    was, now = one[:, odd], other[:, odd]  # of other bits, yet equal, are zeros with a sign, and missing values
    return np.asarray(odd[(~((was == now) | (np.isnan(was) & np.isnan(now)))).any(axis=0)], np.intp)


def observe(
    definition: Mapping[str, Any],
    source: DataSource,
    *,
    store: FeatureStore,
    segments: Mapping[str, Any],
    parts: Collection[PartName],
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
    parts : collection of str
        Which to return, where the dataset has them; the raw columns come with any.
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
        found.update(observe_handler(dataset.handler, calendar, segments, parts))
        if type(dataset) is DatasetH and type(dataset.handler).fetch is DataHandler.fetch:
            return found
    for role in ROLES:
        if role in segments and role in parts:
            key = "infer" if role == "test" else "learn"
            part = _prepare(dataset, role, key, calendar)
            if part is not None:
                found[role] = part
    return found


def observe_handler(
    handler: DataHandler, calendar: TradingCalendar, segments: Mapping[str, Any], parts: Collection[PartName]
) -> dict[PartName, Part]:
    """Return what a handler gives: its raw columns, those for inference, and those that models learn from."""
    panel = handler.panel
    every = range(len(panel.dates))
    raw = panel.table(0, len(panel.dates))
    found: dict[PartName, Part] = {"raw": Part.of_table(raw, calendar)}
    if "infer" in parts:
        table = handler.table(every, "infer")
        found["infer"] = found["raw"] if _show_same(table, raw) else Part.of_table(table, calendar)
    for role in ROLES[:2]:
        if role in segments and role in parts:
            found[role] = Part.of_table(handler.table(handler.places(*segments[role]), "learn"), calendar)
    return found


def _show_same(one: Table, other: Table) -> bool:
    """Say whether two tables are views of the same values: no processor made others of them."""
    return len(one.blocks) == len(other.blocks) and all(
        here.group == there.group
        and here.names == there.names
        and here.values.__array_interface__ == there.values.__array_interface__
        for here, there in zip(one.blocks, other.blocks, strict=True)
    )


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


def _find_typical(values: Floats) -> NDArray[np.float64]:
    """Return the typical size of each column: the median of what is not zero."""
    size = np.where(np.isfinite(values) & (values != 0), np.abs(values), np.nan)
    made = np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        known = size[:, column][~np.isnan(size[:, column])]
        made[column] = np.median(known) if len(known) else 0.0
    return made
