"""Tables as users hold them (a frame, a CSV or Parquet file, a folder of those), read as they stand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa

from rollwright.codecs.external_parquet import read_table
from rollwright.core.file_uris import read_path
from rollwright.errors import DataError, DataNotFoundError, RollwrightError
from rollwright.market.folder.layout import code_of_folder
from rollwright.market.ingest.text_file import TEXT_SUFFIXES, read_text_table

__all__ = ["SourceTable", "read_tables", "with_plain_columns"]

_PARQUET_SUFFIXES: Final = (".parquet", ".pq")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """One file's table, or a frame.

    Attributes
    ----------
    where : str
        What it is, for messages.
    frame : DataFrame
    code : str or None
        The instrument that the file is named after; None of a frame.
    alone : bool
        Whether it was given by its own name, and not in a folder.
    first_row : int
        The number a reader of the source gives to row 0.
    decimal : str or None
        The sign before the decimals of numbers that are text; None where they do not show it.
    notes : tuple of str
        What was taken from the bytes rather than from what was declared.
    """

    where: str
    frame: pd.DataFrame
    code: str | None = None
    alone: bool = True
    first_row: int = 0
    decimal: str | None = None
    notes: tuple[str, ...] = ()


def read_tables(
    source: pd.DataFrame | Path | str, *, encoding: str | None, as_text: Collection[str]
) -> list[SourceTable]:
    """Return the tables of a source; of a folder one for each of its files, by name.

    Parameters
    ----------
    source : DataFrame, Path or str
    encoding : str or None
        Of text files; None when the bytes show it.
    as_text : collection of str
        Lower-case names of columns whose cells stay text, so that no zero in front is lost.

    Raises
    ------
    DataNotFoundError
        When there is nothing at the path, or no such file in the folder.
    DataError
        When a file cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return [SourceTable(where="the frame", frame=source)]
    if not isinstance(source, Path | str):
        raise DataError(
            f"a {type(source).__name__} is no source of rows",
            hint="give a pandas DataFrame or a path; a Series as `series.to_frame(field)`, frames of several "
            "instruments as `pandas.concat(frames, names=['symbol', 'date'])`",
        )
    path = read_path(source)
    if not path.exists():
        raise DataNotFoundError(path, "there is no such file or folder", hint="give a CSV or Parquet file")
    if path.is_dir():
        return _from_folder(path, encoding, as_text)
    return [_from_file(path, encoding, as_text, alone=True)]


def with_plain_columns(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a frame whose index is among its columns, each of which has another text for a name.

    An index of dates without a name is the date.

    Raises
    ------
    DataError
        When two columns have one name.
    """
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None:
        frame = frame.rename_axis("date")
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    columns = list(frame.columns)
    twins = sorted({column for column in columns if columns.count(column) > 1})
    if twins:
        raise DataError(f"{where} has the column `{twins[0]}` twice")
    return frame


def _from_folder(folder: Path, encoding: str | None, as_text: Collection[str]) -> list[SourceTable]:
    found = [path for path in sorted(folder.iterdir()) if _kind(path)]
    files = [path for path in found if not path.name.startswith(".")]
    deeper = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/**/*")) if _kind(path)]
    if not files:
        raise DataNotFoundError(
            folder, f"it holds no CSV or Parquet files{' itself' if deeper else ''}",
            hint=f"there are {len(deeper)} in folders beneath it, as {deeper[0]}: give the folder they lie in"
            if deeper else None,
        )  # fmt: skip
    tables = [_from_file(path, encoding, as_text, alone=False) for path in files]
    hidden = [path.name for path in found if path.name.startswith(".") and not path.name.startswith("._")]
    for what, names in (("hidden files", hidden), ("files in folders beneath", deeper)):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            note = f"{what} were not read: {', '.join(names[:5])}{more}"
            tables[0] = replace(tables[0], notes=(*tables[0].notes, note))
    return tables


def _kind(path: Path) -> str:
    lowered = path.name.lower()
    if lowered.endswith(TEXT_SUFFIXES):
        return "csv"
    return "parquet" if lowered.endswith(_PARQUET_SUFFIXES) else ""


def _from_file(path: Path, encoding: str | None, as_text: Collection[str], *, alone: bool) -> SourceTable:
    kind = _kind(path)
    if not kind:
        raise DataError(
            f"{path} is neither CSV nor Parquet by its name",
            hint="if it is one, rename it to .csv or .parquet; if pandas reads it, give the frame: "
            "import_market(pandas.read_excel(…), out)",
        )
    notes: tuple[str, ...] = ()
    first_row, decimal = 0, None
    try:
        if kind == "csv":
            table = read_text_table(path, encoding=encoding, as_text=as_text)
            frame, first_row, decimal, notes = table.frame, table.first_row, table.decimal, table.notes
        else:
            frame = read_table(path)
    except RollwrightError:
        raise
    except (ValueError, OSError, MemoryError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as {kind}: {error}") from error
    stem = path.name
    for suffix in (*TEXT_SUFFIXES, *_PARQUET_SUFFIXES):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) else stem
    code = code_of_folder(stem)
    if not len(frame) and not alone:
        notes = (*notes, "there are no rows in it")
    return SourceTable(
        where=str(path), frame=frame, code=code, alone=alone, first_row=first_row, decimal=decimal, notes=notes
    )
