"""Tables with a column for each instrument, or for each date: one field, written in two directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from rollwright.calendar.date_text import parse_dates
from rollwright.errors import DataError
from rollwright.market.folder.layout import check_field
from rollwright.market.ingest.headings import DATE_NAMES, SYMBOL_NAMES, find_column, is_unnamed, lacks_column
from rollwright.market.ingest.numbers import read_numbers
from rollwright.market.ingest.options import ReadOptions

__all__ = ["from_wide", "looks_wide"]

_FEW: Final = 3


def looks_wide(columns: Sequence[str], is_known: Callable[[str], bool]) -> bool:
    """Say whether the columns beside the date are likely instruments: several, and none of them a usual field."""
    return len(columns) >= _FEW and not any(is_known(column) for column in columns)


def from_wide(frame: pd.DataFrame, options: ReadOptions, where: str, decimal: str | None = None) -> pd.DataFrame:
    """Return a row for each instrument and date that has a value, in the columns symbol, date and the field.

    Raises
    ------
    DataError
        When there is neither a column of dates nor one of symbols with a column for each date.
    """
    name = check_field((options.wide or "").strip().removeprefix("$"))
    columns = [column for column in frame.columns if column not in options.drop]
    date = find_column(columns, options.date_column, DATE_NAMES)
    symbol = find_column(columns, options.symbol_column, SYMBOL_NAMES)
    first = columns[0] if columns and is_unnamed(columns[0]) else None
    days = [column for column in columns if not np.isnat(parse_dates([column], form=options.date_form).clock[0])]
    if date is None and len(days) >= len(columns) - 1 and days:
        key = symbol or first or next((column for column in columns if column not in days), None)
        if key is None:
            raise lacks_column(where, "symbol", SYMBOL_NAMES[0], columns)
        long = _melt(frame, key, days, name, decimal)
        return long.rename(columns={"across": "date", key: "symbol"})
    key = date or first
    if key is None:
        raise lacks_column(where, "date", options.date_column or DATE_NAMES[0], columns)
    codes = [column for column in columns if column != key]
    if not codes:
        raise DataError(f"{where} has no column beside `{key}`", hint="--wide reads a column for each instrument")
    return _melt(frame, key, codes, name, decimal).rename(columns={"across": "symbol", key: "date"})


def _melt(frame: pd.DataFrame, key: str, across: Sequence[str], name: str, decimal: str | None) -> pd.DataFrame:
    parts = []
    for column in across:
        part, wrong, _ = read_numbers(frame[column], decimal=decimal, with_units=False)
        if wrong.any():
            text = frame[column].iloc[int(np.flatnonzero(wrong)[0])]
            raise DataError(f"column `{column}`: {text!r} is not a number", hint="leave a column out with --drop")
        parts.append(part)
    values = np.column_stack(parts)
    rows, columns = np.nonzero(~np.isnan(values))
    return pd.DataFrame(
        {
            key: frame[key].to_numpy()[rows],
            "across": np.array(list(across), dtype=object)[columns],
            name: values[rows, columns],
        }
    )
