"""Which columns of a handler's table a column set means, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import pandas as pd

from rollwright.errors import UnknownFieldError, nearest
from rollwright.features.table import Table

__all__ = ["CS_ALL", "CS_RAW", "ColumnSet", "chosen_columns", "column_labels"]

ColumnSet: TypeAlias = str | Sequence[str]

CS_ALL: Final = "__all"
CS_RAW: Final = "__raw"


def chosen_columns(table: Table, col_set: ColumnSet) -> Table:
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
