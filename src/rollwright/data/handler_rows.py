"""A handler's processed rows without a copy of the columns that no processor touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.data.matrix import Rows
from rollwright.data.matrix_table import Run, Table
from rollwright.data.processors import (
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
from rollwright.data.store_file import taken

__all__ = ["PickedRun", "picked_table"]

# Those that change or look at the columns of their group alone, and drop rows or keep them.
_OF_A_GROUP: Final = (
    CSRankNorm, CSZFillna, CSZScoreNorm, DropnaLabel, DropnaProcessor, Fillna, MinMaxNorm, RobustZScoreNorm, ZScoreNorm,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedRun(Run):
    """Columns that lie elsewhere: row `i` of the table is ``values[where[i]]``."""

    where: NDArray[np.intp]

    def copied(self) -> NDArray[Any]:
        """Return the rows of the table as an array of its own: the only copy that is made of them."""
        return taken(self.values, self.where)


def picked_table(chain: Sequence[Processor], raw: Table) -> Table | None:
    """Return what the processors of `chain` make of `raw`, with the column groups that none touches as `PickedRun`.

    So DropnaLabel, which drops rows by their label, does not copy the features of those that stay. None when one of
    the processors may look at any column, or there is nothing to spare.
    """
    touched = _touched(chain)
    if not chain or not raw.grouped or touched is None or all(run.group in touched for run in raw.runs):
        return None
    worked = Table(rows=raw.rows, runs=tuple(run for run in raw.runs if run.group in touched))
    for processor in chain:
        worked = processor.transform(worked)
    if worked.rows is raw.rows or len(worked) == len(raw):
        runs = _merged(raw, worked, None)
    else:
        runs = _merged(raw, worked, _positions(raw.rows, worked.rows))
    return Table(rows=worked.rows, runs=runs)


def _touched(chain: Sequence[Processor]) -> frozenset[str] | None:
    """Return the groups that the processors look at or change; None when that cannot be known."""
    groups: set[str] = set()
    for processor in chain:
        group = getattr(processor, "fields_group", None)
        if type(processor) not in _OF_A_GROUP or group is None:
            return None
        groups.update([group] if isinstance(group, str) else group)
    return frozenset(groups)


def _merged(raw: Table, worked: Table, where: NDArray[np.intp] | None) -> tuple[Run, ...]:
    """Return the worked runs, and the others of `raw`, in the order of `raw`."""
    own = iter(worked.runs)
    groups = {run.group for run in worked.runs}
    return tuple(
        next(own)
        if run.group in groups
        else run
        if where is None
        else PickedRun(group=run.group, names=run.names, values=run.values, where=where)
        for run in raw.runs
    )


def _positions(whole: Rows, part: Rows) -> NDArray[np.intp]:
    """Return where in `whole` each row of `part` is; both are in (datetime, instrument) order over the same levels."""
    width = len(whole.instruments)
    here = part.date_codes.astype(np.int64) * width + part.instrument_codes
    there = whole.date_codes.astype(np.int64) * width + whole.instrument_codes
    return np.searchsorted(there, here)
