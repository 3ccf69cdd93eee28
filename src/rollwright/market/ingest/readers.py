"""Market data as users hold it (CSV, Parquet, frames), read into checked rows.

Nothing is guessed: a code that was read as a number, a date with a time zone, a price that is no number and a row that
is there twice are errors that say where.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from rollwright.codecs.external_parquet import read_table
from rollwright.core.bounded_read import open_regular
from rollwright.errors import ConfigError, DataError, DataNotFoundError, RollwrightError, UnknownFieldError, nearest
from rollwright.market.folder.layout import check_code, check_field, code_of_folder, refuse_case_twins

__all__ = ["Rows", "read_rows"]

_logger: Final = logging.getLogger("rollwright.market")

SYMBOL_NAMES: Final = ("symbol", "instrument", "code", "ticker", "stock_code", "ts_code", "name")
DATE_NAMES: Final = ("date", "datetime", "timestamp", "trade_date", "time", "day")
# Spellings of the base fields; a column of any other name becomes a field of that name.
FIELD_NAMES: Final[Mapping[str, str]] = {
    "adj_close": "adjclose", "adj close": "adjclose", "adjusted_close": "adjclose", "vol": "volume",
    "turnover_value": "amount", "adj_factor": "factor", "adjfactor": "factor",
}  # fmt: skip
_TEXT_SUFFIXES: Final = (".csv", ".csv.gz", ".txt", ".tsv")
_PARQUET_SUFFIXES: Final = (".parquet", ".pq")
_DATE_FORMS: Final = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y%m%d", "%Y/%m/%d")
_NO_VALUE: Final = ["", "nan", "NaN", "NA", "N/A", "null", "NULL", "None"]
_DAY_SECONDS: Final = 86_400
# What a compressed text may unpack to: so many bytes, or so many times its size.
_ALWAYS_ALLOWED: Final = 128 << 20
_MAX_RATIO: Final = 100
_LOOK: Final = 1 << 16


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
        Columns that hold text and were left out.
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
    infinite: int
    unsorted: bool

    def __len__(self) -> int:
        return len(self.sessions)


def read_rows(
    source: pd.DataFrame | Path | str,
    *,
    symbol_column: str | None = None,
    date_column: str | None = None,
    timezone: str | None = None,
    daily: bool = True,
) -> Rows:
    """Read a frame, a CSV or Parquet file, or a folder of them.

    Parameters
    ----------
    source : DataFrame, Path or str
        With the columns symbol, date and any number of fields, in any case and under the usual aliases; a frame may
        have them as its index. In a folder, a file without a symbol column is one instrument, named after the file.
    symbol_column, date_column : str, optional
        The columns to take, where the names are not the usual ones.
    timezone : str, optional
        The market's time zone, to which dates with a zone are converted before the zone is dropped; without it they
        are refused.
    daily : bool
        Whether the sessions are days, which have no time of day.

    Raises
    ------
    DataNotFoundError
        When there is nothing at the path.
    DataError
        When a row cannot be taken as it stands; nothing is dropped or repaired.
    """
    names = _Names(symbol=symbol_column, date=date_column)
    if isinstance(source, pd.DataFrame):
        pieces = [_piece(source, names, "the frame", None)]
    else:
        path = Path(source).expanduser()
        if not path.exists():
            raise DataNotFoundError(path, "there is no such file or folder", hint="give a CSV or Parquet file")
        pieces = _from_folder(path, names) if path.is_dir() else [_from_file(path, names, None)]
    return _join(pieces, timezone, daily)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    symbol: str | None
    date: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One file's columns, not yet joined with the others."""

    where: str
    symbols: pd.Series
    dates: pd.Series
    fields: Mapping[str, pd.Series]
    first_row: int  # the number a reader of the source gives to row 0


def _from_folder(folder: Path, names: _Names) -> list[_Piece]:
    files = [path for path in sorted(folder.iterdir()) if _kind(path) and not path.name.startswith(".")]
    if not files:
        raise DataNotFoundError(folder, "it holds no CSV or Parquet files")
    return [_from_file(path, names, code_of_folder(path.name.partition(".csv")[0].partition(".parq")[0]))
            for path in files]  # fmt: skip


def _kind(path: Path) -> str:
    lowered = path.name.lower()
    if lowered.endswith(_TEXT_SUFFIXES):
        return "csv"
    return "parquet" if lowered.endswith(_PARQUET_SUFFIXES) else ""


def _from_file(path: Path, names: _Names, code: str | None) -> _Piece:
    kind = _kind(path)
    if not kind:
        raise DataError(f"{path} is neither CSV nor Parquet by its name", hint="rename it to .csv or .parquet")
    try:
        _refuse_holes(path)
        frame = _read_csv(path, names) if kind == "csv" else read_table(path)
    except RollwrightError:
        raise
    except (ValueError, OSError, MemoryError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as {kind}: {error}") from error
    return _piece(frame, names, str(path), code, first_row=2 if kind == "csv" else 0)


def _refuse_holes(path: Path) -> None:
    """Refuse a pipe, which would be waited for, and a text with holes, which may be of any size without its disk."""
    with open_regular(path) as file:
        start = file.read(_LOOK)
        file.seek(max(0, path.stat().st_size - _LOOK))
        if _kind(path) == "csv" and not path.name.lower().endswith(".gz") and b"\0" in start + file.read(_LOOK):
            raise DataError(f"{path} holds zero bytes, so it is not text")


def _read_csv(path: Path, names: _Names) -> pd.DataFrame:
    """Read a CSV file strictly: a row with a column too many or too few is an error, and codes and dates stay text."""
    parse = pa_csv.ParseOptions(delimiter="\t" if path.name.lower().endswith(".tsv") else ",")
    with pa.input_stream(str(path)) as stream:
        first_line = stream.read(1 << 16).partition(b"\n")[0]
    header = pa_csv.read_csv(pa.BufferReader(first_line + b"\n"), parse_options=parse).column_names
    twins = sorted({column for column in header if header.count(column) > 1})
    if twins:
        raise DataError(f"{path} names the column `{twins[0]}` twice")
    text = {_find(header, names.symbol, SYMBOL_NAMES), _find(header, names.date, DATE_NAMES)} - {None}
    # Types are inferred from the first block: one block is the whole file, so that a volume of whole numbers in its
    # first half does not decide about the second.
    packed = _unpack(path) if path.name.lower().endswith(".gz") else None
    size = path.stat().st_size if packed is None else len(packed)
    whole = min(size + (1 << 16), (1 << 31) - 1)
    with pa.input_stream(str(path)) if packed is None else pa.BufferReader(packed) as stream:
        table = pa_csv.read_csv(
            stream,
            read_options=pa_csv.ReadOptions(block_size=whole),
            parse_options=parse,
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(text, pa.string()), null_values=_NO_VALUE, strings_can_be_null=False
            ),
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _unpack(path: Path) -> bytes:
    """Return the text of a compressed file, up to its decompression limit."""
    limit = max(_ALWAYS_ALLOWED, _MAX_RATIO * path.stat().st_size)
    parts: list[bytes] = []
    with pa.input_stream(str(path)) as stream:
        while part := stream.read(1 << 24):
            parts.append(part)
            if sum(map(len, parts)) > limit:
                raise DataError(f"{path} exceeds its decompression limit of {limit:,} bytes")
    return b"".join(parts)


def _find(columns: Iterable[str], wanted: str | None, aliases: tuple[str, ...]) -> str | None:
    """Return the column meant by `wanted`, or the first alias there is, in any case."""
    lowered = {column.strip().lower(): column for column in reversed(list(columns))}
    for name in (wanted,) if wanted else aliases:
        if name.lower() in lowered:
            return lowered[name.lower()]
    return None


def _piece(frame: pd.DataFrame, names: _Names, where: str, code: str | None, first_row: int = 0) -> _Piece:
    if isinstance(frame.columns, pd.MultiIndex):
        frame = frame.droplevel(list(range(frame.columns.nlevels - 1)), axis=1)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    columns = list(frame.columns)
    twins = sorted({column for column in columns if columns.count(column) > 1})
    if twins:
        raise DataError(f"{where} has the column `{twins[0]}` twice")
    symbol = _find(columns, names.symbol, SYMBOL_NAMES)
    date = _find(columns, names.date, DATE_NAMES)
    if date is None:
        raise _lacks(where, "date", names.date or DATE_NAMES[0], columns)
    if symbol is None and (code is None or names.symbol):
        raise _lacks(where, "symbol", names.symbol or SYMBOL_NAMES[0], columns)
    symbols = frame[symbol] if symbol is not None else pd.Series([code] * len(frame), dtype="str", index=frame.index)
    fields: dict[str, pd.Series] = {}
    for column in columns:
        if column not in (symbol, date):
            name = _field_name(column, where)
            if name in fields:
                raise DataError(f"{where} has two columns for the field `{name}`, one of them `{column}`")
            fields[name] = frame[column]
    return _Piece(where=where, symbols=symbols, dates=frame[date], fields=fields, first_row=first_row)


def _lacks(where: str, role: str, wanted: str, columns: list[str]) -> DataError:
    close = nearest(wanted, columns)
    also = f"; did you mean `{close}`?" if close else ""
    return DataError(
        f"{where} has no {role} column `{wanted}` (it has: {', '.join(columns)})",
        hint=f"name it with --{role}-column{also}",
    )


def _field_name(column: str, where: str) -> str:
    name = column.strip().lower().removeprefix("$")
    name = FIELD_NAMES.get(name, name).replace(" ", "_").replace("-", "_").replace(".", "_")
    try:
        return check_field(name)
    except UnknownFieldError as error:
        raise DataError(f"{where}: column {column!r} cannot be a field", hint=error.hint) from error


def _join(pieces: list[_Piece], timezone: str | None, daily: bool) -> Rows:  # noqa: FBT001 - private
    skipped: set[str] = set()
    names = sorted({name for piece in pieces for name in piece.fields})
    symbols = np.concatenate([_codes(piece) for piece in pieces])
    sessions = np.concatenate([_sessions(piece, timezone, daily) for piece in pieces])
    if not len(sessions):
        raise DataError("there are no rows", hint="the source holds a header at most")
    values: dict[str, NDArray[np.float32]] = {}
    infinite = 0
    for name in names:
        parts: list[NDArray[np.float32]] = []
        for piece in pieces:
            part, infinities = _numbers(piece, name)
            if part is None:
                skipped.add(name)
                break
            parts.append(part)
            infinite += infinities
        else:
            values[name] = np.concatenate(parts)
    if not values:
        raise DataError("there is no column of numbers", hint="prices and volumes are expected beside symbol and date")
    return _sort(symbols, sessions, values, tuple(sorted(skipped)), infinite)


def _codes(piece: _Piece) -> NDArray[np.object_]:
    """Return the codes of a piece, each distinct one checked."""
    column = piece.symbols
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object):
        raise DataError(
            f"{piece.where}: the symbol column holds {column.dtype}, and codes of instruments are text",
            hint="a code read as a number has lost its leading zeros (000001 became 1): read it as text",
        )
    codes = column.to_numpy(dtype=object)
    missing = np.flatnonzero(pd.isna(codes))
    if len(missing):
        raise DataError(f"{piece.where}, row {missing[0] + piece.first_row}: there is no symbol")
    places, unique = pd.factorize(codes)
    for at, code in enumerate(unique):
        try:
            check_code(code)
        except RollwrightError as error:
            row = int(np.flatnonzero(places == at)[0]) + piece.first_row
            raise DataError(f"{piece.where}, row {row}: {error.message}", hint=error.hint) from error
    return codes


def _sessions(piece: _Piece, timezone: str | None, daily: bool) -> NDArray[np.datetime64]:  # noqa: FBT001 - private
    stamps = _stamps(piece)
    missing = np.flatnonzero(stamps.isna())
    if len(missing):
        text = piece.dates.iloc[int(missing[0])]
        raise DataError(f"{piece.where}, row {missing[0] + piece.first_row}: {text!r} is no date")
    if stamps.tz is not None:
        if timezone is None:
            raise DataError(
                f"{piece.where}: the dates have the time zone {stamps.tz}, and sessions are labels without one",
                hint="say with --timezone which zone the market's days are in, as Asia/Shanghai",
            )
        try:
            stamps = stamps.tz_convert(timezone).tz_localize(None)
        except (KeyError, ValueError, OSError) as error:
            raise ConfigError(f"{timezone!r} is no time zone", hint="as Asia/Shanghai or America/New_York") from error
    seconds = stamps.as_unit("s")
    if bool((seconds != stamps).any()):
        raise DataError(f"{piece.where}: there are dates with fractions of a second")
    sessions: NDArray[np.datetime64] = seconds.to_numpy()
    timed = np.flatnonzero(sessions.astype(np.int64) % _DAY_SECONDS)
    if daily and len(timed):
        raise DataError(
            f"{piece.where}, row {timed[0] + piece.first_row}: {sessions[timed[0]]} has a time of day in daily data",
            hint="import intraday data with --freq, as --freq 5min",
        )
    return sessions


def _stamps(piece: _Piece) -> pd.DatetimeIndex:
    column = piece.dates
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return pd.DatetimeIndex(column)
    if pd.api.types.is_integer_dtype(column.dtype):
        column = column.astype("str")
    elif pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(f"{piece.where}: the date column holds {column.dtype}, not dates")
    texts, places = np.unique(column.to_numpy(dtype=object).astype(str), return_inverse=True)
    stamps = pd.DatetimeIndex([pd.NaT] * len(texts)).as_unit("us")
    for form in _DATE_FORMS:
        stamps = stamps.where(stamps.notna(), pd.DatetimeIndex(pd.to_datetime(texts, format=form, errors="coerce")))
        if not stamps.hasnans:
            return stamps[places]
    # What is left may carry a time zone; without one agreed on, its rows must not become anything.
    zoned = pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True))
    wrong = np.flatnonzero(zoned.isna())
    if len(wrong):
        at = int(np.flatnonzero(places == wrong[0])[0])
        raise DataError(f"{piece.where}, row {at + piece.first_row}: {str(texts[wrong[0]])!r} is no date")
    if stamps.notna().any():
        at = int(np.flatnonzero(places == np.flatnonzero(stamps.isna())[0])[0])
        where = f"{piece.where}, row {at + piece.first_row}"
        raise DataError(f"{where}: {str(texts[places[at]])!r} has a time zone, and other rows have none")
    return zoned[places]


def _numbers(piece: _Piece, name: str) -> tuple[NDArray[np.float32] | None, int]:
    """Return a field's values and how many are infinite; None for a column of text that is no known field."""
    if name not in piece.fields:
        return np.full(len(piece.dates), np.nan, np.float32), 0
    column = piece.fields[name]
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object):
            if name not in _MUST_BE_NUMBERS:
                return None, 0
            raise DataError(f"{piece.where}: {name} holds {column.dtype}, not numbers")
        converted = pd.to_numeric(column, errors="coerce")
        wrong = np.flatnonzero(converted.isna() & column.notna())
        if len(wrong):
            if name not in _MUST_BE_NUMBERS:
                return None, 0
            text = column.iloc[int(wrong[0])]
            raise DataError(f"{piece.where}, row {wrong[0] + piece.first_row}: {name} is {text!r}, not a number")
        column = converted
    wide = column.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        values = wide.astype(np.float32)
    lost = np.flatnonzero(np.isinf(values) & np.isfinite(wide))
    if len(lost):
        at = int(lost[0])
        raise DataError(f"{piece.where}, row {at + piece.first_row}: {name} is {wide[at]}, beyond float32")
    return values, int(np.isinf(values).sum())


_MUST_BE_NUMBERS: Final = frozenset(
    ("open", "high", "low", "close", "volume", "vwap", "factor", "change", "amount", "adjclose")
)


def _sort(
    symbols: NDArray[np.object_],
    sessions: NDArray[np.datetime64],
    values: dict[str, NDArray[np.float32]],
    skipped: tuple[str, ...],
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
        shown = [f"{codes[places[at]]} on {_short(sessions[at])}" for at in twice[:5]]
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise DataError(f"{len(twice)} rows are there twice: {', '.join(shown)}{more}", hint="keep one row of each")
    offsets = np.searchsorted(places, np.arange(len(codes) + 1)).astype(np.int64)
    return Rows(
        codes=tuple(codes),
        offsets=offsets,
        sessions=sessions,
        values={name: column[order] for name, column in values.items()},
        skipped=skipped,
        infinite=infinite,
        unsorted=unsorted,
    )


def _short(session: np.datetime64) -> str:
    text = str(session)
    return text.removesuffix("T00:00:00").replace("T", " ")
