"""Tables of a user's own before a sealed holdout: rows are cut, and labels that read into it are blanked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rollwright.calendar.holdout import Holdout
from rollwright.features.panel import LABEL_GROUP
from rollwright.features.table import ColumnBlock, Table

__all__ = ["seal_table"]


def seal_table(table: Table, holdout: Holdout | None, *, label_lookahead: int) -> Table:
    """Return the rows of `table` before `holdout`; labels that read later sessions are NaN, as at the end of history.

    .. warning:: **Look-ahead.** Whether a label reads into the holdout is told by `label_lookahead` and the sessions of
       the table itself. Of one that ends before the holdout nothing can be told: it is returned as it is.

    Parameters
    ----------
    table : Table
        Its group ``label`` holds the labels.
    holdout : Holdout or None
        None returns `table` itself.
    label_lookahead : int
        Sessions after its own that a label reads.
    """
    dates = table.rows.dates
    if holdout is None or not len(dates) or dates[-1] < holdout.start:
        return table
    seen = int(dates.searchsorted(holdout.start))
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
