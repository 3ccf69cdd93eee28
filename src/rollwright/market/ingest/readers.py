"""Market data as users hold it (CSV, Parquet, frames), read into checked rows.

Nothing is guessed: a code that was read as a number, a date that does not show which number is its month, a price that
is no number and a row that is there twice are errors that say where. What is taken otherwise than it stands (a column
left out, a symbol rewritten, an encoding seen in the bytes) is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.errors import DataError
from rollwright.market.folder.layout import refuse_case_twins
from rollwright.market.ingest.adjustment import adjust_prices
from rollwright.market.ingest.headings import (
    DATE_NAMES,
    SYMBOL_NAMES,
    FieldColumn,
    Headings,
    is_known_field,
    is_unnamed,
    lacks_column,
    read_headings,
    role_names,
)
from rollwright.market.ingest.numbers import find_decimal_sign, read_numbers
from rollwright.market.ingest.options import ReadOptions
from rollwright.market.ingest.presets import PRESETS, guess_preset
from rollwright.market.ingest.sessions import holds_dates, read_sessions
from rollwright.market.ingest.symbols import describe_rewritten, read_codes
from rollwright.market.ingest.tables import SourceTable, read_tables, with_plain_columns
from rollwright.market.ingest.wide_table import from_wide, looks_wide

__all__ = ["Rows", "read_rows"]

_FOOT: Final = ("数据来源", "来源", "source:")
_FOOT_ROWS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Checked rows, sorted by code and session, each pair once.

    Attributes
    ----------
    codes : tuple of str
        Sorted, no two alike but for case.
    offsets : ndarray of int64
        Rows of ``codes[i]`` are ``offsets[i]:offsets[i + 1]``.
    sessions : ndarray of datetime64[s]
        Of each row.
    values : dict of str to ndarray of float32
        Of each field, a value a row.
    skipped : tuple of str
        Columns that hold text, or whose names cannot be fields, and were left out.
    notes : tuple of str
        What was taken otherwise than it stands in the source.
    infinite : int
        Values that are infinite in the source.
    unsorted : bool
        Whether the source was in another order.
    """

    codes: tuple[str, ...]
    offsets: NDArray[np.int64]
    sessions: NDArray[np.datetime64]
    values: Mapping[str, NDArray[np.float32]]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    infinite: int
    unsorted: bool

    def __len__(self) -> int:
        return len(self.sessions)


def read_rows(source: pd.DataFrame | Path | str, options: ReadOptions | None = None) -> Rows:
    """Read a frame, a CSV or Parquet file, or a folder of them.

    Parameters
    ----------
    source : DataFrame, Path or str
        With the columns symbol, date and any number of fields, in any case and under the usual aliases; a frame may
        have them as its index. A file without a symbol column is one instrument, named after the file.
    options : ReadOptions, optional
        What is declared of it.

    Raises
    ------
    DataNotFoundError
        When there is nothing at the path.
    DataError
        When a row cannot be taken as it stands; nothing is dropped or repaired.
    """
    chosen = options if options is not None else ReadOptions()
    tables = read_tables(source, encoding=chosen.encoding, as_text=role_names(chosen))
    pieces = [_piece(table, chosen) for table in tables]
    return _join(pieces, chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One file's columns, not yet joined with the others."""

    where: str
    frame: pd.DataFrame
    headings: Headings
    code: str | None  # of all rows, where there is no symbol column
    first_row: int  # the number a reader of the source gives to row 0
    decimal: str | None  # the sign before the decimals of numbers that are text
    notes: tuple[str, ...]


def _piece(table: SourceTable, options: ReadOptions) -> _Piece:
    frame, where, code, decimal = table.frame, table.where, table.code, table.decimal
    if isinstance(frame.columns, pd.MultiIndex):
        frame = _flatten(frame)
    frame = with_plain_columns(frame, where)
    columns = list(frame.columns)
    if options.wide is not None:
        frame = from_wide(frame, options, where, decimal)
        columns = list(frame.columns)
    headings = read_headings(columns, options, where)
    headings, found = _find_in_unnamed(frame, headings)
    if headings.date is None:
        raise lacks_column(where, "date", options.date_column or DATE_NAMES[0], columns)
    if headings.symbol is None and options.symbol is None:
        if looks_wide([item.column for item in headings.fields], is_known_field):
            raise DataError(
                f"{where} has no symbol column, and {len(headings.fields)} columns of numbers that are no known "
                f"fields ({', '.join(item.column for item in headings.fields[:3])} …): one for each instrument?",
                hint="say which field they hold: --wide FIELD, as --wide close; or name the column: --symbol-column",
            )
        if code is None:
            raise lacks_column(where, "symbol", SYMBOL_NAMES[0], columns)
    frame, cut = _without_foot(frame, headings)
    if code is None and decimal is None:  # a frame, which shows the sign as a file does
        texts = [frame[item.column] for item in headings.fields if _is_text(frame[item.column])]
        decimal = find_decimal_sign(texts, delimiter=None)
    unnamed = table.alone and code is not None and headings.symbol is None and options.symbol is None
    named = (f"no symbol column: the rows are `{code}`, after the file's name",) if unnamed else ()
    return _Piece(
        where=where, frame=frame, headings=headings, code=options.symbol or code, first_row=table.first_row,
        decimal=decimal, notes=(*table.notes, *found, *cut, *named),
    )  # fmt: skip


def _flatten(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of several levels of columns with one: fields, the tickers that yfinance has beneath as rows.

    A frame whose index has the symbols, as Qlib's, has groups of fields above them.
    """
    levels = frame.columns.nlevels
    if any(str(name).lower() in SYMBOL_NAMES for name in frame.index.names):
        return frame.droplevel(list(range(levels - 1)), axis=1)
    fields = [all(is_known_field(str(name)) for name in frame.columns.unique(level)) for level in range(levels)]
    if levels == 2 and any(fields) and not all(fields):
        tickers = fields.index(False)
        long = pd.DataFrame(frame.stack(level=tickers, future_stack=True))
        long.index = long.index.set_names("symbol", level=-1)
        return long.dropna(how="all")
    return frame.droplevel(list(range(levels - 1)), axis=1)


def _find_in_unnamed(frame: pd.DataFrame, headings: Headings) -> tuple[Headings, tuple[str, ...]]:
    """Take an index that was written without a name for the date, or the symbol, that is lacking."""
    notes: list[str] = []
    for column in [name for name in headings.left_out if is_unnamed(name)]:
        role = ""
        if headings.date is None and holds_dates(frame[column]):
            headings, role = replace(headings, date=column), "date"
        elif headings.symbol is None and headings.date is not None and _holds_symbols(frame[column]):
            headings, role = replace(headings, symbol=column), "symbol"
        if role:
            headings = replace(headings, left_out=tuple(name for name in headings.left_out if name != column))
            notes.append(f"the column without a name was taken for the {role}")
    return headings, tuple(notes)


def _holds_symbols(column: pd.Series) -> bool:
    if not _is_text(column) or not len(column):
        return False
    unique = [text for text in column.drop_duplicates() if isinstance(text, str)]
    return bool(unique) and not any(text.isdigit() and len(text) != 6 for text in unique)


def _without_foot(frame: pd.DataFrame, headings: Headings) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Cut off the last lines when they name the source of the data, as Wind's do, and hold nothing else."""
    names = [name for name in (headings.symbol, headings.date) if name is not None]
    size = len(frame)
    for at in range(len(frame) - 1, max(-1, len(frame) - 1 - _FOOT_ROWS), -1):
        texts = [str(frame[name].iloc[at] or "").strip() for name in names]
        blank = not any(texts) or "".join(texts).lower().startswith(_FOOT)
        cells = frame[[item.column for item in headings.fields]].iloc[at]
        if not blank or not all(pd.isna(cell) or not str(cell).strip() for cell in cells):
            break
        size = at
    if size == len(frame):
        return frame, ()
    return frame.iloc[:size], (f"{len(frame) - size} last lines, which hold no data, were left out",)


def _join(pieces: list[_Piece], options: ReadOptions) -> Rows:
    symbols, sessions = [], []
    rewritten: dict[str, str] = {}
    for piece in pieces:
        codes, changed = _codes(piece, options)
        symbols.append(codes)
        rewritten.update(changed)
        times = piece.frame[piece.headings.time] if piece.headings.time is not None else None
        dates = piece.frame[piece.headings.date]
        sessions.append(read_sessions(dates, times, options, piece.where, piece.first_row))
    stamps = np.concatenate(sessions)
    if not len(stamps):
        raise DataError("there are no rows", hint="the source holds a header at most")
    values, infinite, texts, percentages = _gather_values(pieces)
    if not values:
        raise DataError("there is no column of numbers", hint="prices and volumes are expected beside symbol and date")
    unfit = {name for piece in pieces for name in piece.headings.left_out}
    values, said = adjust_prices(values, options)
    notes = [
        *([f"preset {options.preset}: {options.layout.says}"] if options.preset else []),
        *_gather_notes(pieces),
        *([describe_rewritten(rewritten)] if rewritten else []),
        *_describe_scales(pieces, percentages),
        *said,
        *_suggest_preset(pieces, options),
    ]
    return _sort(np.concatenate(symbols), stamps, values, tuple(sorted(texts | unfit)), tuple(notes), infinite)


def _gather_notes(pieces: list[_Piece]) -> list[str]:
    """Return each note once, with the first of the files it is about."""
    files: dict[str, list[str]] = {}
    for piece in pieces:
        for note in piece.notes:
            files.setdefault(note, []).append(Path(piece.where).name)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {note}" for note, names in files.items()
    ]


def _gather_values(pieces: list[_Piece]) -> tuple[dict[str, NDArray[np.float32]], int, set[str], set[str]]:
    """Return the values of each field, how many are infinite, the columns of text and those of percentages."""
    fields = [{item.field: item for item in piece.headings.fields} for piece in pieces]
    values: dict[str, NDArray[np.float32]] = {}
    texts: set[str] = set()
    percentages: set[str] = set()
    infinite = 0
    for name in sorted({name for own in fields for name in own}):
        parts: list[NDArray[np.float32]] = []
        for piece, own in zip(pieces, fields, strict=True):
            part, infinities, is_percent = _numbers(piece, own.get(name))
            if part is None:
                texts.add(name)
                break
            parts.append(part)
            infinite += infinities
            percentages.update({own[name].column} if is_percent else ())
        else:
            values[name] = np.concatenate(parts)
    return values, infinite, texts, percentages


def _describe_scales(pieces: list[_Piece], percentages: set[str]) -> list[str]:
    scaled = {(item.column, item.field, item.scale) for piece in pieces for item in piece.headings.fields}
    return [
        *(f"`{column}` is in percent, and 1% was stored as 0.01" for column in sorted(percentages)),
        *(
            f"`{column}` times {scale:g} is {name}" for column, name, scale in sorted(scaled)
            if scale != 1 and column not in percentages
        ),
    ]  # fmt: skip


def _suggest_preset(pieces: list[_Piece], options: ReadOptions) -> list[str]:
    """Name the preset that the headings are known from, when none was given: what it would assume is not assumed."""
    if options.preset is not None:
        return []
    names = {guess_preset(piece.frame.columns) for piece in pieces} - {None}
    return [
        f"the headings are those of {name}, and nothing was assumed of it; with --preset {name}: {PRESETS[name].says}"
        for name in sorted(filter(None, names))
    ]


def _codes(piece: _Piece, options: ReadOptions) -> tuple[NDArray[np.object_], dict[str, str]]:
    name = piece.headings.symbol
    if name is not None:
        return read_codes(piece.frame[name], name, options, piece.where, piece.first_row)
    if not len(piece.frame):
        return np.empty(0, object), {}
    alone = pd.Series([piece.code], dtype=object)
    codes, changed = read_codes(alone, "the file's name", options, piece.where, piece.first_row)
    return np.repeat(codes, len(piece.frame)), changed


def _numbers(piece: _Piece, item: FieldColumn | None) -> tuple[NDArray[np.float32] | None, int, bool]:
    """Return a field's values, how many are infinite, and whether they are percentages.

    There are no values in a column of text that is no known field.
    """
    if item is None:
        return np.full(len(piece.frame), np.nan, np.float32), 0, False
    name, column = item.field, piece.frame[item.column]
    is_known = name in _MUST_BE_NUMBERS
    scale: float | NDArray[np.float64] = item.scale
    is_percent = False
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        wide = column.to_numpy(dtype=np.float64, na_value=np.nan)
    elif _is_text(column):
        wide, wrong, percent = read_numbers(column, decimal=piece.decimal, with_units=is_known)
        is_percent = bool(percent.any())
        wrong |= is_percent & ~percent & ~np.isnan(wide) & (wide != 0)  # a ratio among percentages, or the other way
        if wrong.any():
            if not is_known:
                return None, 0, False
            raise _no_number(piece, name, column, int(np.flatnonzero(wrong)[0]))
        scale = np.where(percent, 1.0, item.scale)
    elif is_known:
        raise DataError(f"{piece.where}: {name} holds {column.dtype}, not numbers")
    else:
        return None, 0, False
    wide = wide * scale
    with np.errstate(over="ignore"):
        values = wide.astype(np.float32)
    lost = np.flatnonzero(np.isinf(values) & np.isfinite(wide))
    if len(lost):
        at = int(lost[0])
        raise DataError(f"{piece.where}, row {at + piece.first_row}: {name} is {wide[at]}, beyond float32")
    return values, int(np.isinf(values).sum()), is_percent


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype) or column.dtype == object


def _no_number(piece: _Piece, name: str, column: pd.Series, at: int) -> DataError:
    value = column.iloc[at]
    text = value if isinstance(value, str) else str(value)
    hint = None
    if piece.decimal is None and "," in text:
        hint = "whether its comma stands before decimals or between thousands is not shown: write numbers as 1234.5"
    return DataError(f"{piece.where}, row {at + piece.first_row}: {name} is {text!r}, not a number", hint=hint)


_MUST_BE_NUMBERS: Final = frozenset(
    ("open", "high", "low", "close", "volume", "vwap", "factor", "change", "amount", "adjclose")
)


def _sort(
    symbols: NDArray[np.object_],
    sessions: NDArray[np.datetime64],
    values: Mapping[str, NDArray[np.float32]],
    skipped: tuple[str, ...],
    notes: tuple[str, ...],
    infinite: int,
) -> Rows:
    places, unique = pd.factorize(symbols, sort=True)
    codes = [str(code) for code in unique]
    refuse_case_twins(codes, where="the source")
    order = np.lexsort((sessions, places))
    unsorted = bool((np.diff(order) < 0).any())
    places, sessions = places[order], sessions[order]
    twice = np.flatnonzero((np.diff(places) == 0) & (np.diff(sessions.astype(np.int64)) == 0))
    if len(twice):
        raise _rows_twice([f"{codes[places[at]]} on {_short(sessions[at])}" for at in twice], len(codes), skipped)
    offsets = np.searchsorted(places, np.arange(len(codes) + 1)).astype(np.int64)
    return Rows(
        codes=tuple(codes),
        offsets=offsets,
        sessions=sessions,
        values={name: column[order] for name, column in values.items()},
        skipped=skipped,
        notes=notes,
        infinite=infinite,
        unsorted=unsorted,
    )


def _rows_twice(shown: list[str], codes: int, skipped: tuple[str, ...]) -> DataError:
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    hint = "keep one row of each"
    if skipped:
        hint += f"; or one of the columns left out ({', '.join(skipped[:5])}) tells them apart: a time of day, with "
        hint += "--freq and --time-column" + (", or the symbol, with --symbol-column" if codes == 1 else "")
    return DataError(f"{len(shown)} rows are there twice: {', '.join(shown[:5])}{more}", hint=hint)


def _short(session: np.datetime64) -> str:
    text = str(session)
    return text.removesuffix("T00:00:00").replace("T", " ")
