"""Tables inside the page, so that it can save them as CSV or JSON without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.analysis.report.drawing import format_days, round_numbers
from rollwright.analysis.stages.locations import STAGE_FOLDERS
from rollwright.analysis.stages.table import ResultTable, StageResult

__all__ = ["EmbeddedTable", "embed_tables", "escape_json"]

_MOST_ROWS: Final = 20_000
_MOST_TEXT: Final = 1_200_000
"""Characters of all tables in a page; tables that are larger lie in files beside it only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedTable:
    """A table as the page lists it.

    Attributes
    ----------
    name, stage : str
    rows : int
    columns : sequence of (str, str)
        Each column and its unit; levels of the index have the unit "".
    path : str
        Of its file, beside the page.
    text : str
        Its JSON; "" when it is too large for the page.
    """

    name: str
    stage: str
    rows: int
    columns: Sequence[tuple[str, str]]
    path: str
    text: str


def embed_tables(stages: Sequence[StageResult], *, room: int = _MOST_TEXT) -> list[EmbeddedTable]:
    """Return all tables of `stages`, the small ones with their content, as far as there is `room` for it."""
    tables = [(stage.stage, table) for stage in stages for table in stage.tables.values()]
    texts: dict[str, str] = {}
    for _, table in sorted(tables, key=lambda one: (one[1].frame.size, one[1].name)):
        if len(table.frame) > _MOST_ROWS:
            continue
        text = _to_text(table)
        if len(text) > room:
            break
        room -= len(text)
        texts[table.name] = text
    return [
        EmbeddedTable(
            name=table.name,
            stage=stage,
            rows=len(table.frame),
            columns=_list_columns(table),
            path=f"{STAGE_FOLDERS[stage]}/{table.name}.parquet",
            text=texts.get(table.name, ""),
        )
        for stage, table in tables
    ]


def _list_columns(table: ResultTable) -> list[tuple[str, str]]:
    levels = [str(name) for name in table.frame.index.names if name is not None]
    return [*((name, "") for name in levels), *((str(name), str(table.units[name])) for name in table.frame.columns)]


def _to_text(table: ResultTable) -> str:
    frame = table.frame
    levels = [_to_level_values(frame.index, place) for place, name in enumerate(frame.index.names) if name is not None]
    data = [*levels, *(_to_values(frame[name]) for name in frame.columns)]
    return escape_json({"columns": _list_columns(table), "data": data})


def _to_level_values(index: pd.Index, place: int) -> list[Any]:
    """Return a level of an index as JSON values; of one that repeats its values each is told once."""
    if not isinstance(index, pd.MultiIndex):
        return _to_values(pd.Series(index))
    values = [*_to_values(pd.Series(index.levels[place])), None]  # a row without a value has the code -1
    return [values[code] for code in index.codes[place].tolist()]


def _to_values(column: pd.Series) -> list[Any]:
    """Return a column as JSON values: numbers to eight digits, days as ISO text, None where there is none."""
    if pd.api.types.is_bool_dtype(column):
        return [bool(value) for value in column]
    if pd.api.types.is_float_dtype(column):
        return list(round_numbers(column.to_numpy(dtype=np.float64, na_value=np.nan), digits=8))
    missing = column.isna().tolist()
    if pd.api.types.is_datetime64_any_dtype(column):
        told: Iterator[Any] = iter(format_days(pd.Index(column.dropna())))
    else:
        form = int if pd.api.types.is_integer_dtype(column) else str
        told = map(form, column.dropna().to_numpy(dtype=object).tolist())
    return [None if is_missing else next(told) for is_missing in missing]


def escape_json(value: Mapping[str, Any]) -> str:
    """Return JSON that can stand inside a script element: no character in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
