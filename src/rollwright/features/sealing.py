"""Tables of a user's own up to the last moment that is seen: rows are cut, and labels that read further are blanked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.trading import Session
from rollwright.features.panel import LABEL_GROUP
from rollwright.features.table import ColumnBlock, Table

__all__ = ["seal_table"]


def seal_table(table: Table, end: Session | None, *, label_lookahead: int) -> Table:
    """Return the rows of `table` up to `end`; labels that read later sessions are NaN, as at the end of history.

    .. warning:: **Look-ahead.** Whether a label reads beyond `end` is told by `label_lookahead` and the sessions of the
       table itself. Of one that ends before nothing can be told: it is returned as it is.

    Parameters
    ----------
    table : Table
        Its group ``label`` holds the labels.
    end : Session or None
        The last moment that is seen: the eve of a sealed holdout, or the moment of ``point_in_time.as_of``, whichever
        is earlier. None returns `table` itself.
    label_lookahead : int
        Sessions after its own that a label reads.
    """
    dates = table.rows.dates
    if end is None or not len(dates) or dates[-1] <= end:
        return table
    seen = int(dates.searchsorted(end, side="right"))
    kept = table.take(table.rows.date_codes < seen)
    rows = replace(kept.rows, dates=dates[:seen])
    reads_on = rows.date_codes >= seen - label_lookahead
    return Table(rows=rows, blocks=tuple(_blank(block, reads_on) for block in kept.blocks))


def _blank(block: ColumnBlock, where: NDArray[np.bool_]) -> ColumnBlock:
    """Return a block of labels with NaN in some rows, any other as it is."""
    if block.group != LABEL_GROUP or not where.any():
        return block
    values = np.array(block.values)
    values[where] = np.nan
    return ColumnBlock(group=block.group, names=block.names, values=values)
