"""What handlers do to tables: run processors over them, choose columns and rows, copy no more than must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.trading import to_range_end, to_session
from rollwright.dataset.processors import (
    CSRankNorm,
    CSZFillna,
    CSZScoreNorm,
    DropnaLabel,
    DropnaProcessor,
    Fillna,
    MinMaxNorm,
    Processor,
    RobustZScoreNorm,
    ZScoreNorm,
)
from rollwright.errors import ConfigError, SegmentError, UnknownFieldError, UnknownSettingError, nearest
from rollwright.features.panel import Panel, StorePanel, session_range
from rollwright.features.store.pages import copy_rows
from rollwright.features.table import ColumnBlock, RowLabels, Table

__all__ = [
    "CS_ALL",
    "CS_RAW",
    "ColumnSet",
    "IndexedColumnBlock",
    "StockTable",
    "apply_processors",
    "apply_without_copying",
    "check_key",
    "choose_columns",
    "column_labels",
    "cut",
    "learns",
    "locate_rows",
    "of_stocks",
    "refuse_reversed",
    "segment_range",
    "stock_table",
]


def apply_processors(chain: Sequence[Processor], panel: Panel, places: range) -> Table:
    """Return what the processors make of the rows of ``panel.dates[places]``.

    The rows that a `DropnaLabel` at the head of the chain leaves lie ready in the feature store, features as a view.
    """
    table = _read_labelled(chain, panel, places) or panel.table(places.start, places.stop)
    for processor in chain:
        table = processor.transform(table)
    return table


def _read_labelled(chain: Sequence[Processor], panel: Panel, places: range) -> Table | None:
    first = chain[0] if chain else None
    if type(first) is not DropnaLabel or first.fields_group != "label" or not isinstance(panel, StorePanel):
        return None
    return panel.table_with_labels(places.start, places.stop)


def cut(whole: Table, panel: Panel, places: range) -> Table:
    """Return the rows of ``panel.dates[places]`` out of a table that was made of all sessions."""
    if not places:
        return whole.take(slice(0, 0))
    return whole.take(whole.rows.select_range(panel.dates[places.start], panel.dates[places.stop - 1]))


def check_key(data_key: str) -> None:
    """Raise when there is no such data key."""
    if data_key not in ("raw", "infer", "learn"):
        raise UnknownSettingError(data_key, ("raw", "infer", "learn"), where="the data keys")


def learns(processor: Processor) -> bool:
    """Tell whether a processor has something to learn."""
    return processor.fit_range() is not None or type(processor).fit_table is Processor.fit_table


ColumnSet: TypeAlias = str | Sequence[str]

CS_ALL: Final = "__all"
CS_RAW: Final = "__raw"


def choose_columns(table: Table, col_set: ColumnSet) -> Table:
    """Return the columns of a set, groups in the order asked for.

    Raises
    ------
    UnknownFieldError
        For a group the table has not; carries the nearest.
    """
    if isinstance(col_set, str) and col_set in (CS_ALL, CS_RAW):
        return table
    if not table.grouped:
        return table
    groups = [block.group for block in table.blocks if block.group is not None]
    wanted = [col_set] if isinstance(col_set, str) else list(col_set)
    for name in wanted:
        if name not in groups:
            suggestion = nearest(name, groups)
            raise UnknownFieldError(
                f"there is no column group `{name}`",
                hint=f"did you mean `{suggestion}`?" if suggestion else f"known groups: {', '.join(groups)}",
            )
    blocks = tuple(block for name in wanted for block in table.blocks if block.group == name)
    return Table(rows=table.rows, blocks=blocks)


def column_labels(table: Table, col_set: ColumnSet) -> pd.Index[Any]:
    """Return what a frame calls the columns of a set: with their groups for ``__raw`` and several groups."""
    names = table.columns()
    if not table.grouped or (isinstance(col_set, str) and col_set != CS_RAW):
        return pd.Index([name for _, name in names])
    return pd.MultiIndex.from_tuples([(str(group), name) for group, name in names])


def segment_range(panel: Panel, start: Any, end: Any, *, own: tuple[Any, Any]) -> range:
    """Return the places of a segment in ``panel.dates``; `own` is the handler's range.

    Raises
    ------
    SegmentError
        When the segment is reversed, has no session here, or reaches beyond the handler's range or the calendar.
    """
    refuse_reversed(start, end)
    dates = panel.dates
    found = session_range(dates, start, end)
    covered = f"[{dates[0]:%Y-%m-%d}, {dates[-1]:%Y-%m-%d}]" if len(dates) else "no session"
    if not found:
        raise SegmentError(start=start, end=end, reason=f"the handler covers {covered}, nothing of it inside")
    limits = panel.limits or (None, None)
    for side, value, bound, limit in (
        ("begins before", start, own[0], limits[0]),
        ("ends after", end, own[1], limits[1]),
    ):
        if value is None:
            continue
        bounds = [to_session(edge) for edge in (bound, limit) if edge is not None]
        moment = to_session(value)
        outside = any(moment < edge if side == "begins before" else moment > edge for edge in bounds)
        if outside:
            raise SegmentError(
                start=start,
                end=end,
                reason=f"it {side} the handler does, which covers {covered}",
                hint="widen the handler's start_time and end_time, or cut the segment",
            )
    return found


def refuse_reversed(start: Any, end: Any) -> None:
    """Raise when a range ends before it starts."""
    if start is not None and end is not None and to_session(end) < to_session(start):
        raise SegmentError(start=start, end=end, reason="it ends before it starts")


# Those that change or look at the columns of their group alone, and drop rows or keep them.
INDEX_LEVELS: Final = ("datetime", "instrument")
_OF_A_GROUP: Final = (
    CSRankNorm, CSZFillna, CSZScoreNorm, DropnaLabel, DropnaProcessor, Fillna, MinMaxNorm, RobustZScoreNorm, ZScoreNorm,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedColumnBlock(ColumnBlock):
    """Columns that lie elsewhere: row `i` of the table is ``values[where[i]]``."""

    where: NDArray[np.intp]

    def copy_values(self, *, original: bool = False) -> NDArray[Any]:  # noqa: ARG002 - rows that are left out force a copy
        """Return the rows of the table as an array of its own: the only copy that is made of them."""
        return copy_rows(self.values, self.where)


def apply_without_copying(chain: Sequence[Processor], raw: Table) -> Table | None:
    """Return what `chain` makes of `raw`; column groups that no processor touches become `IndexedColumnBlock`.

    So DropnaLabel, which drops rows by their label, does not copy the features of those that stay. None when one of
    the processors may look at any column, or there is nothing to spare.
    """
    touched = _find_touched_groups(chain)
    if not chain or not raw.grouped or touched is None or all(block.group in touched for block in raw.blocks):
        return None
    worked = Table(rows=raw.rows, blocks=tuple(block for block in raw.blocks if block.group in touched))
    for processor in chain:
        worked = processor.transform(worked)
    if worked.rows is raw.rows or len(worked) == len(raw):
        blocks = _merge_blocks(raw, worked, None)
    else:
        blocks = _merge_blocks(raw, worked, _positions(raw.rows, worked.rows))
    return Table(rows=worked.rows, blocks=blocks)


class _OfAGroup(Protocol):
    """What the processors of `_OF_A_GROUP` have in common."""

    fields_group: str | Sequence[str] | None


def _find_touched_groups(chain: Sequence[Processor]) -> frozenset[str] | None:
    """Return the groups that the processors look at or change; None when that cannot be known."""
    groups: set[str] = set()
    for processor in chain:
        group = cast("_OfAGroup", processor).fields_group if type(processor) in _OF_A_GROUP else None
        if group is None:
            return None
        groups.update([group] if isinstance(group, str) else group)
    return frozenset(groups)


def _merge_blocks(raw: Table, worked: Table, where: NDArray[np.intp] | None) -> tuple[ColumnBlock, ...]:
    """Return the worked blocks, and the others of `raw`, in the order of `raw`."""
    own = iter(worked.blocks)
    groups = {block.group for block in worked.blocks}
    return tuple(
        next(own)
        if block.group in groups
        else block
        if where is None
        else IndexedColumnBlock(group=block.group, names=block.names, values=block.values, where=where)
        for block in raw.blocks
    )


def _positions(whole: RowLabels, part: RowLabels) -> NDArray[np.intp]:
    """Return where in `whole` each row of `part` is; both are in (datetime, instrument) order over the same levels."""
    width = len(whole.instruments)
    here = part.date_codes.astype(np.int64) * width + part.instrument_codes
    there = whole.date_codes.astype(np.int64) * width + whole.instrument_codes
    return np.searchsorted(there, here)


@dataclass(frozen=True, slots=True, kw_only=True)
class StockTable:
    """A table whose rows lie instrument by instrument, so that those of one are found without looking at the others.

    Attributes
    ----------
    table : Table
        Rows by instrument, within one in order of time.
    offsets : int ``[instruments + 1]``
        Where the rows of each of ``table.rows.instruments`` begin.
    """

    table: Table
    offsets: NDArray[np.intp]

    def of(self, codes: Sequence[str]) -> Table:
        """Return the rows of some instruments, in the order of the table; unknown codes have none."""
        known = self.table.rows.instruments.get_indexer(pd.Index(codes))
        parts = [np.arange(self.offsets[n], self.offsets[n + 1]) for n in sorted({int(n) for n in known if n >= 0})]
        if len(parts) == 1:
            return self.table.take(slice(int(parts[0][0]), int(parts[0][-1]) + 1) if len(parts[0]) else slice(0, 0))
        return self.table.take(np.concatenate(parts) if parts else slice(0, 0))


def stock_table(table: Table) -> StockTable:
    """Return the same rows instrument by instrument, as `HashStockFormat` wants them."""
    codes = table.rows.instrument_codes
    order = np.argsort(codes, kind="stable")
    blocks = tuple(_reorder_block(block, order) for block in table.blocks)
    offsets = np.searchsorted(codes[order], np.arange(len(table.rows.instruments) + 1))
    return StockTable(table=Table(rows=table.rows.take(order), blocks=blocks), offsets=offsets)


def _reorder_block(block: ColumnBlock, order: NDArray[np.intp]) -> ColumnBlock:
    if isinstance(block, IndexedColumnBlock):
        return replace(block, where=block.where[order])
    return ColumnBlock(group=block.group, names=block.names, values=block.values[order])


def of_stocks(table: Table, codes: Sequence[str]) -> Table:
    """Return the rows of some instruments, in the order of `table`; unknown codes have none."""
    wanted = table.rows.instruments.isin(list(codes))
    return table.take(wanted[table.rows.instrument_codes])


def locate_rows(frame: pd.DataFrame, selector: Any, level: str | int | None) -> pd.DataFrame:
    """Return the rows of a frame that a selector means at one index level; None hands it to ``loc``."""
    if isinstance(selector, Mapping):
        raise ConfigError(
            f"a selector of rows is a slice, a date, a pair of dates or an index, and this is {selector!r}",
            hint="fetch one range after the other",
        )
    if level is None or isinstance(selector, pd.MultiIndex):
        found = frame.loc[selector]
        return found if isinstance(found, pd.DataFrame) else found.to_frame().T
    place = INDEX_LEVELS.index(level) if isinstance(level, str) and level in INDEX_LEVELS else level
    if place not in (0, 1):
        raise UnknownSettingError(str(level), INDEX_LEVELS, where="the index levels")
    if isinstance(selector, slice):
        values = frame.index.levels[place]  # type: ignore[attr-defined]  # always a MultiIndex
        ends = (selector.start, selector.stop)
        start, stop = map(to_range_end, ends) if place == 0 else ends
        keep = values[values.slice_indexer(start, stop)]
    else:
        keep = selector if pd.api.types.is_list_like(selector) else [selector]
    return frame[np.asarray(frame.index.get_level_values(place).isin(keep))]
