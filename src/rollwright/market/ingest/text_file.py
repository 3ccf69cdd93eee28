"""Text files of rows (CSV and its relatives): encoding, delimiter, headings, and cells read strictly."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from rollwright.core.bounded_read import open_regular
from rollwright.errors import DataError
from rollwright.market.ingest.headings import DATE_NAMES, is_known_field
from rollwright.market.ingest.numbers import find_decimal_sign

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
_OTHER_FORMATS: Final = {b"PK\x03\x04": "a spreadsheet or an archive", b"\xd0\xcf\x11\xe0": "a spreadsheet"}
_PAGES: Final = ("<!doctype", "<html", "<?xml", "{", "[{")
_SEPARATOR: Final = re.compile(r"sep=(.)")  # the first line that spreadsheets write for one another
_WRONG_COLUMNS: Final = re.compile(r".*Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """The rows of a text file.

    Attributes
    ----------
    frame : DataFrame
    first_row : int
        The number of the line that row 0 is.
    decimal : str or None
        The sign before the decimals of numbers that are text; None where they do not show it.
    notes : tuple of str
        What was taken from the bytes rather than from what was declared.
    """

    frame: pd.DataFrame
    first_row: int
    decimal: str | None
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
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    lines = raw[: 1 << 20].decode(errors="replace").split("\n", 3)
    if lines[0].lstrip().lower().startswith(_PAGES):
        raise DataError(f"{path} is a page or JSON, not rows: it begins with {lines[0].strip()[:40]!r}")
    if _heads_twice(lines):
        return TextTable(frame=_read_two_headings(raw.decode(), path), first_row=4, decimal=".", notes=notes)
    separator = _SEPARATOR.fullmatch(lines[0].strip('\r "'))
    if separator is not None:
        raw = raw.partition(b"\n")[2]
    table = _Cells(raw, path, separator[1] if separator is not None else None)
    frame = table.read(as_text)
    texts = [frame[name] for name in frame.columns if isinstance(frame[name].dtype, pd.StringDtype)]
    decimal = find_decimal_sign(texts, delimiter=table.delimiter)
    if decimal == ",":  # a point stands between thousands, so that `1.234` is not what the reader takes it for
        frame = table.read(None)
        notes = (*notes, "its numbers have a decimal comma")
    return TextTable(frame=frame, first_row=3 if separator is not None else 2, decimal=decimal, notes=notes)


def _read_bytes(path: Path, *, wide_letters: bool) -> bytes:
    """Return the bytes; refuse a pipe, which would be waited for, and a file of holes, which is of any size."""
    packed = path.name.lower().endswith(".gz")
    with open_regular(path) as file:
        start = file.read(_LOOK)
        kind = next((kind for mark, kind in _OTHER_FORMATS.items() if start.startswith(mark)), None)
        if kind is not None:
            raise DataError(
                f"{path} is {kind}, not text",
                hint="save it as CSV; or give the frame of `pandas.read_excel` to `import_market`",
            )
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


class _Cells:
    """The cells of a text beneath its line of headings."""

    def __init__(self, raw: bytes, path: Path, delimiter: str | None = None) -> None:
        end = raw.find(b"\n")
        head, self._body = (raw[:end], memoryview(raw)[end + 1 :]) if end >= 0 else (raw, memoryview(b""))
        self._path = path
        self._names, self.delimiter = _read_header(head.decode().rstrip("\r"), path, delimiter)

    def read(self, as_text: Collection[str] | None) -> pd.DataFrame:
        """Return the cells; those of the columns `as_text` as text, of every column when it is None."""
        names, body = self._names, self._body
        stay = {
            name: pa.string() for name in names
            if as_text is None or name.strip().lower() in as_text or name.startswith("Unnamed: ")
        }  # fmt: skip
        if len(body) < _LOOK and not bytes(body).strip():
            return pd.DataFrame({name: pd.Series([], dtype="str") for name in names})
        # Types are inferred from the first block: one block is the whole file, so that a volume of whole numbers in
        # its first half does not decide about the second.
        block = min(len(body) + (1 << 16), (1 << 31) - 1)
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(pa.py_buffer(body)),
                read_options=pa_csv.ReadOptions(block_size=block, column_names=names),
                parse_options=pa_csv.ParseOptions(delimiter=self.delimiter),
                convert_options=pa_csv.ConvertOptions(
                    column_types=stay, null_values=_NO_VALUE, strings_can_be_null=as_text is None
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._explain(error) from error
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def _explain(self, error: pa.ArrowInvalid) -> DataError:
        found = _WRONG_COLUMNS.fullmatch(str(error))
        if found is None:
            return DataError(f"{self._path} cannot be read as csv: {error}")
        due, got, row = int(found[1]), int(found[2]), found[3].strip()
        hint = f"a text that holds the delimiter {self.delimiter!r} is to stand in quotes"
        if got > due and not any(is_known_field(name) for name in self._names):
            hint = "the first line is to hold the headings: take out what stands above them"
        return DataError(
            f"{self._path} cannot be read as csv: a row has {got} columns and its first line {due}: {row[:60]!r}",
            hint=hint,
        )


def _read_header(line: str, path: Path, delimiter: str | None) -> tuple[list[str], str]:
    if delimiter is None:
        given = "\t" if path.name.lower().endswith(".tsv") else None
        delimiter = given or next((sign for sign in ",\t;|" if sign in line), ",")
    if not line.strip():
        raise DataError(f"{path} cannot be read as csv: its first line is empty", hint="headings are due there")
    names = _split_line(line, delimiter)
    if all(name.strip().startswith("<") and name.strip().endswith(">") for name in names):  # MetaTrader's, Stooq's
        names = [name.strip()[1:-1] for name in names]
    named = [name if name.strip() else f"Unnamed: {place}" for place, name in enumerate(names)]
    twins = sorted({name for name in named if named.count(name) > 1})
    if twins:
        raise DataError(f"{path} names the column `{twins[0]}` twice")
    return named, delimiter


def _split_line(line: str, delimiter: str = ",") -> list[str]:
    return next(csv.reader([line.replace("\r", "")], delimiter=delimiter), [])


def _heads_twice(lines: Sequence[str]) -> bool:
    """Say whether a text begins as yfinance's tables: fields and tickers in two lines, then one that names the date."""
    if len(lines) < 3:
        return False
    first, second, third = (_split_line(line) for line in lines[:3])
    same = len(first) == len(second) > 1
    named = bool(third) and third[0].strip().lower() in DATE_NAMES and not any(cell.strip() for cell in third[1:])
    return same and named and any(all(map(is_known_field, cells[1:])) for cells in (first, second))


def _read_two_headings(text: str, path: Path) -> pd.DataFrame:
    """Read what yfinance writes: a line of prices, a line of tickers, a line that names the date."""
    lines = text.split("\n", 3)
    first, second = (_split_line(line)[1:] for line in lines[:2])
    prices, tickers = (first, second) if all(map(is_known_field, first)) else (second, first)
    columns = [f"{ticker}|{price}" for price, ticker in zip(prices, tickers, strict=True)]
    head = ",".join(["Date", *(f'"{name}"' for name in columns)])
    wide = _Cells(f"{head}\n{lines[3] if len(lines) > 3 else ''}".encode(), path).read({"date"})
    parts = []
    for ticker in dict.fromkeys(tickers):
        own = [name for name in columns if name.startswith(f"{ticker}|")]
        part = wide[["Date", *own]].rename(columns={name: name.partition("|")[2] for name in own})
        part.insert(0, "symbol", ticker)
        parts.append(part[part.iloc[:, 2:].notna().any(axis=1)])
    return pd.concat(parts, ignore_index=True)
