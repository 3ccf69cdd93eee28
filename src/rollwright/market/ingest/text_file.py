"""Text files of rows (CSV and its relatives): encoding, delimiter, headings, and cells read strictly."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from rollwright.core.bounded_read import open_regular
from rollwright.errors import DataError

__all__ = ["TEXT_SUFFIXES", "TextTable", "read_text_table"]

TEXT_SUFFIXES: Final = (".csv", ".csv.gz", ".txt", ".tsv")
# What a source writes where it has no value.
_NO_VALUE: Final = ["", "nan", "NaN", "NA", "N/A", "#N/A", "<NA>", "NaT", "null", "NULL", "None", "-", "--"]
# What a compressed text may unpack to: so many bytes, or so many times its size.
_ALWAYS_ALLOWED: Final = 128 << 20
_MAX_RATIO: Final = 100
_LOOK: Final = 1 << 16
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHINESE: Final = re.compile(r"[　-〿一-鿿＀-￯]+")
_USUAL: Final = 0.9
_NAME_ENCODING: Final = "name it with --encoding, as --encoding gb18030"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """The rows of a text file.

    Attributes
    ----------
    frame : DataFrame
    first_row : int
        The number of the line that row 0 is.
    notes : tuple of str
        What was taken from the bytes rather than from what was declared.
    """

    frame: pd.DataFrame
    first_row: int
    notes: tuple[str, ...]


def read_text_table(path: Path, *, encoding: str | None, as_text: Collection[str]) -> TextTable:
    """Read a text file strictly: a row with a column too many or too few is an error.

    Parameters
    ----------
    path : Path
    encoding : str or None
        None for what the bytes show: a byte-order mark, UTF-8, or Chinese text in GB18030.
    as_text : collection of str
        Lower-case names of columns whose cells stay text, so that no zero in front is lost.

    Raises
    ------
    DataError
        For bytes that are no text of the encoding, or whose encoding they do not show.
    """
    data = _read_bytes(path, wide_letters=encoding is not None and b"\0" in "a".encode(encoding))
    raw, used = _to_utf8(data, path, encoding)
    notes = () if used == encoding or used.startswith("utf") else (f"read as {used}, which the bytes show",)
    if raw.startswith(b"Price,") and raw[: 1 << 20].partition(b"\n")[2].startswith(b"Ticker,"):
        return TextTable(frame=_read_two_headings(raw.decode(), path), first_row=4, notes=notes)
    frame = _read_cells(raw, path, as_text)
    return TextTable(frame=frame, first_row=2, notes=notes)


def _read_bytes(path: Path, *, wide_letters: bool) -> bytes:
    """Return the bytes; refuse a pipe, which would be waited for, and a file of holes, which is of any size."""
    packed = path.name.lower().endswith(".gz")
    with open_regular(path) as file:
        start = file.read(_LOOK)
        file.seek(max(0, path.stat().st_size - _LOOK))
        holes = b"\0" in start + file.read(_LOOK) and not packed
        if holes and not wide_letters and not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(
                f"{path} holds zero bytes, so it is not text",
                hint="unless it is UTF-16 without a byte-order mark: --encoding utf-16-le",
            )
        if not packed:
            file.seek(0)
            return file.read()
    limit = max(_ALWAYS_ALLOWED, _MAX_RATIO * path.stat().st_size)
    parts: list[bytes] = []
    with pa.input_stream(str(path)) as stream:
        while part := stream.read(1 << 24):
            parts.append(part)
            if sum(map(len, parts)) > limit:
                raise DataError(f"{path} exceeds its decompression limit of {limit:,} bytes")
    return b"".join(parts)


def _to_utf8(data: bytes, path: Path, encoding: str | None) -> tuple[bytes, str]:
    """Return the bytes of the text in UTF-8, without a mark, and the encoding it was read in."""
    mark = next((name for start, name in _MARKS if data.startswith(start)), None)
    chosen = mark if encoding is None or mark == "utf-8-sig" else encoding
    try:
        if chosen in (None, "utf-8-sig"):
            plain = data.removeprefix(codecs.BOM_UTF8)
            if not plain.isascii():
                plain.decode()
            return plain, chosen or "utf-8"
        return data.decode(chosen).encode(), chosen
    except UnicodeDecodeError as error:
        if chosen is not None:
            raise DataError(
                f"{path} cannot be read as {chosen}: {error.reason} at byte {error.start}", hint=_NAME_ENCODING
            ) from error
        at, reason = error.start, error.reason
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    beyond = "".join(letter for letter in text[: 1 << 16] if not letter.isascii())
    usual = len(beyond.encode("gb2312", errors="ignore").decode("gb2312"))  # Big5 read as GB18030 is full of rare ones
    if not beyond or not _CHINESE.fullmatch(beyond) or usual < _USUAL * len(beyond):
        raise DataError(f"{path} cannot be read as UTF-8: {reason} at byte {at}", hint=_NAME_ENCODING)
    return text.encode(), "gb18030"


def _read_cells(raw: bytes, path: Path, as_text: Collection[str]) -> pd.DataFrame:
    end = raw.find(b"\n")
    head, body = (raw[:end], memoryview(raw)[end + 1 :]) if end >= 0 else (raw, memoryview(b""))
    names, delimiter = _read_header(head.decode().rstrip("\r"), path)
    stay = {name: pa.string() for name in names if name.strip().lower() in as_text or name.startswith("Unnamed: ")}
    if len(body) < _LOOK and not bytes(body).strip():
        return pd.DataFrame({name: pd.Series([], dtype="str") for name in names})
    # Types are inferred from the first block: one block is the whole file, so that a volume of whole numbers in its
    # first half does not decide about the second.
    table = pa_csv.read_csv(
        pa.BufferReader(pa.py_buffer(body)),
        read_options=pa_csv.ReadOptions(block_size=min(len(body) + (1 << 16), (1 << 31) - 1), column_names=names),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=pa_csv.ConvertOptions(column_types=stay, null_values=_NO_VALUE, strings_can_be_null=False),
    )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _read_header(line: str, path: Path) -> tuple[list[str], str]:
    delimiter = "\t" if path.name.lower().endswith(".tsv") else next((sign for sign in ",\t;|" if sign in line), ",")
    if not line.strip():
        raise DataError(f"{path} cannot be read as csv: its first line is empty", hint="headings are due there")
    names = next(csv.reader([line], delimiter=delimiter))
    named = [name if name.strip() else f"Unnamed: {place}" for place, name in enumerate(names)]
    twins = sorted({name for name in named if named.count(name) > 1})
    if twins:
        raise DataError(f"{path} names the column `{twins[0]}` twice")
    return named, delimiter


def _read_two_headings(text: str, path: Path) -> pd.DataFrame:
    """Read what yfinance writes: a line of prices, a line of tickers, a line that names the date."""
    lines = text.split("\n", 3)
    prices, tickers = (next(csv.reader([line.rstrip("\r")]))[1:] for line in lines[:2])
    if len(lines) < 4 or len(prices) != len(tickers) or not lines[2].startswith(("Date", "Datetime")):
        raise DataError(f"{path} begins as a table of yfinance and is none", hint="two lines of headings, then `Date`")
    columns = [f"{ticker}|{price}" for price, ticker in zip(prices, tickers, strict=True)]
    head = ",".join(["Date", *(f'"{name}"' for name in columns)])
    wide = _read_cells(f"{head}\n{lines[3]}".encode(), path, {"date"})
    parts = []
    for ticker in dict.fromkeys(tickers):
        own = [name for name in columns if name.startswith(f"{ticker}|")]
        part = wide[["Date", *own]].rename(columns={name: name.partition("|")[2] for name in own})
        part.insert(0, "symbol", ticker)
        parts.append(part[part.iloc[:, 2:].notna().any(axis=1)])
    return pd.concat(parts, ignore_index=True)
