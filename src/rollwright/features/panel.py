"""Panels: the data of a loader over sessions, from which a handler takes tables."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from rollwright.calendar.trading import TradingCalendar, to_range_end
from rollwright.config.construct import init_instance_by_config
from rollwright.config.slots import find_default_module
from rollwright.core.canonical import sha256_hex
from rollwright.errors import ConfigError, DataError
from rollwright.expression.planner import compile_plan
from rollwright.expression.vintages import check_vintages
from rollwright.features.field_rows import find_field_rows
from rollwright.features.generations import generation_of
from rollwright.features.row_layout import RowLayout
from rollwright.features.store.feature_store import FeatureStore
from rollwright.features.store.file import Matrix
from rollwright.features.table import ColumnBlock, RowLabels, StoredColumnBlock, Table
from rollwright.features.universe import universe_of
from rollwright.features.vintage_digest import VintageDigest
from rollwright.market.source import DataSource
from rollwright.market.view import view

__all__ = [
    "FieldGroup",
    "FramePanel",
    "Panel",
    "StorePanel",
    "open_panel",
    "per_instrument",
    "session_range",
]

_DAY: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SECONDS: Final = np.dtype("datetime64[s]")
_logger: Final = logging.getLogger("rollwright.features")
LABEL_GROUP: Final = "label"


class Panel(Protocol):
    """Data over sessions, in (datetime, instrument) order.

    Guarantees: tables are views where that is possible, and nobody writes to them.
    """

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Every session that is covered, also those without rows."""
        ...

    @property
    def limits(self) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """The first and last session of the market's calendar; None when no calendar is known."""
        ...

    @property
    def generation(self) -> str:
        """Identity of the data it shows."""
        ...

    @property
    def label_lookahead(self) -> int:
        """How many sessions after its own a label reads."""
        ...

    def columns(self) -> tuple[tuple[str | None, str], ...]:
        """Return (group, name) of every column."""
        ...

    def table(self, low: int, high: int) -> Table:
        """Return the rows of ``dates[low:high]``."""
        ...

    def rows(self, low: int, high: int) -> RowLabels:
        """Return the labels of those rows, without reading any value."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldGroup:
    """The expressions of one column group and the names of their columns."""

    group: str | None
    expressions: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"the group `{self.group}`" if self.group else "the configuration"
        if not self.expressions:
            raise ConfigError(f"{where} has no expressions")
        if len(self.expressions) != len(self.names):
            raise ConfigError(f"{where} has {len(self.expressions)} expressions and {len(self.names)} names")
        duplicates = sorted({name for name in self.names if self.names.count(name) > 1})
        if duplicates:
            raise ConfigError(f"{where} has several columns called {', '.join(duplicates[:10])}")

    @property
    def is_label(self) -> bool:
        """Whether it may read later sessions."""
        return self.group == LABEL_GROUP


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePanel:
    """A range of sessions of some matrices of the feature store.

    `vintages` tells what was known of the fields by period that they read; None when they read none.
    """

    groups: tuple[FieldGroup, ...]
    matrices: tuple[Matrix, ...]
    calendar: TradingCalendar
    sessions: range
    generation: str
    label_lookahead: int
    vintages: VintageDigest | None = None
    open_with_labels: Callable[[FieldGroup], Matrix] | None = None
    _last_rows: dict[tuple[int, int], RowLabels] = field(init=False, repr=False, compare=False, default_factory=dict)
    """The labels that were asked for last: a model and a record ask for those of one segment, one after the other."""

    @property
    def layout(self) -> RowLayout:
        """The rows, which all matrices share."""
        return self.matrices[0].layout

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Every session that is covered."""
        return self.calendar.to_index()[self.sessions.start : self.sessions.stop]

    @property
    def limits(self) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """The first and last session of the calendar, known future ones included."""
        return self.calendar.first, self.calendar.last

    def columns(self) -> tuple[tuple[str | None, str], ...]:
        """Return (group, name) of every column."""
        return tuple((group.group, name) for group in self.groups for name in group.names)

    def table(self, low: int, high: int) -> Table:
        """Return the rows of ``dates[low:high]``: views of the memory maps."""
        first, last = self.sessions.start + low, self.sessions.start + high
        blocks = tuple(
            _read_block(group, matrix, first, last) for group, matrix in zip(self.groups, self.matrices, strict=True)
        )
        return Table(rows=self.rows(low, high), blocks=blocks)

    def table_with_labels(self, low: int, high: int) -> Table | None:
        """Return the rows of ``dates[low:high]`` that have labels; the features are views, as in `table`.

        None when there is no group of labels, or all rows or none have them: use `table` then.
        """
        labels = [matrix for group, matrix in zip(self.groups, self.matrices, strict=True) if group.is_label]
        first, last = self.sessions.start + low, self.sessions.start + high
        if len(labels) != 1 or len(self.groups) == 1 or self.open_with_labels is None:
            return None
        known = ~np.isnan(labels[0].view(first, last)).any(axis=1)
        if known.all() or not known.any():
            return None
        blocks: list[ColumnBlock] = []
        rows: RowLabels | None = None
        for group, matrix in zip(self.groups, self.matrices, strict=True):
            if group.is_label:
                blocks.append(ColumnBlock(group=group.group, names=group.names, values=matrix.view(first, last)[known]))
                continue
            matrix_here = self.open_with_labels(group)
            blocks.append(_read_block(group, matrix_here, first, last))
            rows = rows or RowLabels.from_layout(matrix_here.layout, self.calendar.to_index(), first, last)
        return None if rows is None else Table(rows=rows, blocks=tuple(blocks))

    def rows(self, low: int, high: int) -> RowLabels:
        """Return the labels of those rows."""
        known = self._last_rows.get((low, high))
        if known is None:
            first, last = self.sessions.start + low, self.sessions.start + high
            known = RowLabels.from_layout(self.layout, self.calendar.to_index(), first, last)
            self._last_rows.clear()
            self._last_rows[low, high] = known
        return known


def _read_block(group: FieldGroup, matrix: Matrix, first: int, last: int) -> StoredColumnBlock:
    view = matrix.view(first, last)
    return StoredColumnBlock(
        group=group.group, names=group.names, values=view, shown=view, private=partial(matrix.private, first, last)
    )


class FramePanel:
    """A frame as a panel: sorted, each (datetime, instrument) once.

    Parameters
    ----------
    frame : DataFrame
        Two index levels, in either order; columns with or without groups.
    generation : str, optional
        The hash of its content if not given.
    label_lookahead : int

    Raises
    ------
    DataError
        For an index without the two levels, duplicate rows (names the first five), or columns that are not numeric.
    """

    def __init__(self, frame: pd.DataFrame, *, generation: str | None = None, label_lookahead: int = 0) -> None:
        table = Table.from_frame(frame)
        rows = table.rows
        order = np.lexsort((rows.instrument_codes, rows.date_codes))
        if not np.array_equal(order, np.arange(len(order))):
            table = table.take(order)
        index = table.rows.to_index()
        if index.has_duplicates:
            duplicates = index[index.duplicated()].unique()[:5]
            raise DataError(f"duplicate rows of one datetime and instrument: {', '.join(map(str, duplicates))}")
        self._table = table
        self._given = generation
        self.label_lookahead = label_lookahead
        self._offsets = np.searchsorted(table.rows.date_codes, np.arange(len(table.rows.dates) + 1))

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Every session that has rows."""
        return self._table.rows.dates

    @property
    def limits(self) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """None: a frame has no calendar."""
        return None

    @property
    def generation(self) -> str:
        """The generation given, or the hash of the content."""
        if self._given is None:
            hashed = pd.util.hash_pandas_object(self._table.to_frame()).to_numpy()
            self._given = f"frame-{sha256_hex(hashed.tobytes() + repr(self.columns()).encode())[:24]}"
        return self._given

    def columns(self) -> tuple[tuple[str | None, str], ...]:
        """Return (group, name) of every column."""
        return self._table.columns()

    def table(self, low: int, high: int) -> Table:
        """Return the rows of ``dates[low:high]``."""
        return self._table.take(slice(int(self._offsets[low]), int(self._offsets[high])))

    def rows(self, low: int, high: int) -> RowLabels:
        """Return the labels of those rows."""
        return self._table.rows.take(slice(int(self._offsets[low]), int(self._offsets[high])))


def open_panel(
    groups: Sequence[FieldGroup],
    source: DataSource,
    store: FeatureStore,
    *,
    instruments: Any,
    start_time: Any = None,
    end_time: Any = None,
) -> StorePanel:
    """Return the panel of `groups`; what the store does not have is computed.

    .. warning:: **Look-ahead.** Only the group ``label`` may read later sessions; in any other such an expression is
       refused.

    Raises
    ------
    LookAheadError
        When an expression outside the group ``label`` reads later sessions.
    UnknownInstrumentError
        For an unknown universe or code.
    DataError
        When no instrument has a row in the range, or no feature has any value.
    HoldoutSealedError
        When the range names a session of the sealed holdout; one without an end is cut before it.
    """
    source = view(source)
    calendar = source.calendar()
    calendar.refuse_sealed(start_time, end_time)
    universe = universe_of(instruments, source)
    # refuse an expression before anything is computed
    keys = [store.find_key(group.expressions, source.freq, allow_lookahead=group.is_label) for group in groups]
    texts = [text for group in groups for text in group.expressions]
    read = {name for key in keys for name in key.periods}
    periods = sorted(read.union(() if universe is None else universe.periods))
    if read:
        check_vintages(compile_plan(texts, allow_lookahead=True).terms, source)
    rows = find_field_rows(texts, sorted({field for key in keys for field in key.fields}), source)
    matrices = tuple(
        store.matrix(group.expressions, source, universe=universe, allow_lookahead=group.is_label, rows=rows)
        for group in groups
    )
    sessions = session_range(calendar.to_index()[: calendar.known], start_time, end_time)
    offsets = matrices[0].layout.offsets
    if offsets[sessions.start] == offsets[max(sessions.start, sessions.stop)]:
        name = universe.name[:60] if universe is not None else "every instrument"
        raise DataError(
            f"universe `{name}` has no rows in [{start_time}, {end_time}]",
            hint=f"the market's sessions go from {calendar.first:%Y-%m-%d} to {calendar.last_known:%Y-%m-%d}",
        )
    _report_empty(groups, matrices)
    label = next((group.expressions for group in groups if group.is_label), ())

    def open_with_labels(group: FieldGroup) -> Matrix:
        return store.matrix_with_labels(group.expressions, label, source, universe=universe, rows=rows)

    ahead = [matrix.header.lookahead for group, matrix in zip(groups, matrices, strict=True) if group.is_label]
    return StorePanel(
        groups=tuple(groups), matrices=matrices, calendar=calendar, sessions=sessions,
        generation=generation_of(source, periods), vintages=VintageDigest.of(source, periods) if periods else None,
        label_lookahead=max(ahead, default=0),
        open_with_labels=open_with_labels if label else None,
    )  # fmt: skip


def session_range(dates: pd.DatetimeIndex, start: Any, end: Any) -> range:
    """Return the positions of the closed range in `dates`; a text without time of day means the whole day."""
    first, last = to_range_end(start), to_range_end(end)
    if isinstance(first, str) and isinstance(last, str) and _DAY.fullmatch(first) and _DAY.fullmatch(last):
        moments = dates.to_numpy().astype(_SECONDS, copy=False)  # of no finer unit, in which 9999-12-31 is no date
        low = int(moments.searchsorted(np.datetime64(first).astype(_SECONDS)))
        high = int(moments.searchsorted((np.datetime64(last) + 1).astype(_SECONDS)))
    else:
        low, high, _ = dates.slice_indexer(first, last).indices(len(dates))
    return range(low, max(low, high))


def _report_empty(groups: Sequence[FieldGroup], matrices: Sequence[Matrix]) -> None:
    for group, matrix in zip(groups, matrices, strict=True):
        names = [group.names[column] for column in matrix.header.empty]
        if not names:
            continue
        if len(names) == len(group.names):
            raise DataError(
                f"every column of the group `{group.group}` has only NaN values: {', '.join(names[:10])}",
                hint="the fields these expressions read have no values",
            )
        # a warning only where they were computed: every window of every process opens them again
        level = logging.WARNING if matrix.is_new else logging.DEBUG
        _logger.log(level, "features.all_nan group=%s columns=%s", group.group, ",".join(names))


def per_instrument(frame: pd.DataFrame, processors: Sequence[Any]) -> pd.DataFrame:
    """Return `frame`, indexed by (datetime, instrument), after applying processors to each instrument's rows.

    Parameters
    ----------
    frame : DataFrame
    processors : sequence
        Functions ``(frame, instrument=code) -> frame``, or configurations of such.
    """
    if not processors:
        return frame
    module = find_default_module("inst_processors")
    built = [
        init_instance_by_config(item, module, slot="instrument_processor") if isinstance(item, Mapping | str) else item
        for item in processors
    ]
    parts = []
    for code, part in frame.groupby(level="instrument", sort=True):
        alone = part.droplevel("instrument")
        for processor in built:
            alone = processor(alone, instrument=code)
        if len(alone):
            parts.append(pd.concat({code: alone}, names=["instrument"]).swaplevel())
    if not parts:
        raise DataError("the instrument processors left no rows")
    return pd.concat(parts).sort_index()
