"""A handler's processed rows without a copy of the columns that no processor touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
from rollwright.errors import UnknownSettingError
from rollwright.features.store.pages import copy_rows
from rollwright.features.table import ColumnBlock, RowLabels, Table

__all__ = ["PickedColumnBlock", "StockTable", "located", "of_stocks", "picked_table", "stock_table"]

# Those that change or look at the columns of their group alone, and drop rows or keep them.
INDEX_LEVELS: Final = ("datetime", "instrument")
_OF_A_GROUP: Final = (
    CSRankNorm, CSZFillna, CSZScoreNorm, DropnaLabel, DropnaProcessor, Fillna, MinMaxNorm, RobustZScoreNorm, ZScoreNorm,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedColumnBlock(ColumnBlock):
    """Columns that lie elsewhere: row `i` of the table is ``values[where[i]]``."""

    where: NDArray[np.intp]

    def copy_values(self, *, original: bool = False) -> NDArray[Any]:  # noqa: ARG002 - rows that are left out force a copy
        """Return the rows of the table as an array of its own: the only copy that is made of them."""
        return copy_rows(self.values, self.where)


def picked_table(chain: Sequence[Processor], raw: Table) -> Table | None:
    """Return what `chain` makes of `raw`; column groups that no processor touches become `PickedColumnBlock`.

    So DropnaLabel, which drops rows by their label, does not copy the features of those that stay. None when one of
    the processors may look at any column, or there is nothing to spare.
    """
    touched = _touched(chain)
    if not chain or not raw.grouped or touched is None or all(block.group in touched for block in raw.blocks):
        return None
    worked = Table(rows=raw.rows, blocks=tuple(block for block in raw.blocks if block.group in touched))
    for processor in chain:
        worked = processor.transform(worked)
    if worked.rows is raw.rows or len(worked) == len(raw):
        blocks = _merged(raw, worked, None)
    else:
        blocks = _merged(raw, worked, _positions(raw.rows, worked.rows))
    return Table(rows=worked.rows, blocks=blocks)


def _touched(chain: Sequence[Processor]) -> frozenset[str] | None:
    """Return the groups that the processors look at or change; None when that cannot be known."""
    groups: set[str] = set()
    for processor in chain:
        group = getattr(processor, "fields_group", None)
        if type(processor) not in _OF_A_GROUP or group is None:
            return None
        groups.update([group] if isinstance(group, str) else group)
    return frozenset(groups)


def _merged(raw: Table, worked: Table, where: NDArray[np.intp] | None) -> tuple[ColumnBlock, ...]:
    """Return the worked blocks, and the others of `raw`, in the order of `raw`."""
    own = iter(worked.blocks)
    groups = {block.group for block in worked.blocks}
    return tuple(
        next(own)
        if block.group in groups
        else block
        if where is None
        else PickedColumnBlock(group=block.group, names=block.names, values=block.values, where=where)
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
    blocks = tuple(_ordered(block, order) for block in table.blocks)
    offsets = np.searchsorted(codes[order], np.arange(len(table.rows.instruments) + 1))
    return StockTable(table=Table(rows=table.rows.take(order), blocks=blocks), offsets=offsets)


def _ordered(block: ColumnBlock, order: NDArray[np.intp]) -> ColumnBlock:
    if isinstance(block, PickedColumnBlock):
        return replace(block, where=block.where[order])
    return ColumnBlock(group=block.group, names=block.names, values=block.values[order])


def of_stocks(table: Table, codes: Sequence[str]) -> Table:
    """Return the rows of some instruments, in the order of `table`; unknown codes have none."""
    wanted = table.rows.instruments.isin(list(codes))
    return table.take(wanted[table.rows.instrument_codes])


def located(frame: pd.DataFrame, selector: Any, level: str | int | None) -> pd.DataFrame:
    """Return the rows of a frame that a selector means at one index level; None hands it to ``loc``."""
    if level is None or isinstance(selector, pd.MultiIndex):
        found = frame.loc[selector]
        return found if isinstance(found, pd.DataFrame) else found.to_frame().T
    place = INDEX_LEVELS.index(level) if isinstance(level, str) and level in INDEX_LEVELS else level
    if place not in (0, 1):
        raise UnknownSettingError(str(level), INDEX_LEVELS, where="the index levels")
    if isinstance(selector, slice):
        values = frame.index.levels[place]  # type: ignore[attr-defined]  # always a MultiIndex
        keep = values[values.slice_indexer(selector.start, selector.stop)]
    else:
        keep = selector if pd.api.types.is_list_like(selector) else [selector]
    return frame[np.asarray(frame.index.get_level_values(place).isin(keep))]
