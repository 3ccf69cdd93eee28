"""Columns of the user's, from a file: industries, sizes, anything that says something of an instrument."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from rollwright.codecs.external_parquet import read_table
from rollwright.core.bounded_read import open_regular
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError

__all__ = ["read_columns"]

_SUFFIXES: Final = (".csv", ".parquet", ".pq")
_CODE: Final = "instrument"
_DATE: Final = "datetime"


def read_columns(path: Path) -> pd.DataFrame:
    """Return the columns in a table of other programs, by instrument, or by (datetime, instrument).

    .. warning:: **Look-ahead.** Values without a date hold for all dates, and so say what is known today.

    Parameters
    ----------
    path : Path
        ``.csv`` (UTF-8; codes are read as text) or ``.parquet``, with a column or an index level ``instrument``, and
        one ``datetime`` where values change with the date.

    Returns
    -------
    DataFrame
        Columns of text name groups, columns of numbers are numbers.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    CorruptFileError
        When it cannot be read.
    DataError
        When it has no ``instrument`` or nothing else, a date is none, or a row is there twice.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{path} is no table of columns that is read", hint="give a .csv or a .parquet file")
    if not path.exists():
        raise DataNotFoundError(
            path,
            "there is no such file of columns",
            hint="look at `columns` of the section `analysis`, or at --columns",
        )
    frame = _read(path)
    if not (isinstance(frame.index, pd.RangeIndex) and frame.index.name is None):
        frame = frame.reset_index()
    if _CODE not in frame.columns:
        raise DataError(
            f"{path} has no column `{_CODE}`: it has {', '.join(map(str, frame.columns)) or 'none'}",
            hint=f"call that of the codes `{_CODE}`, and that of dates, if there is one, `{_DATE}`",
        )
    keys = [name for name in (_DATE, _CODE) if name in frame.columns]
    if len(frame.columns) == len(keys):
        raise DataError(f"{path} has no column beside {' and '.join(f'`{key}`' for key in keys)}")
    frame[_CODE] = frame[_CODE].astype("str")
    if _DATE in keys:
        try:
            frame[_DATE] = pd.to_datetime(frame[_DATE]).dt.as_unit("s")
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            raise DataError(
                f"{path} has something in `{_DATE}` that is no date", hint="write dates as 2020-01-31"
            ) from error
    twice = frame.duplicated(keys)
    if twice.any():
        row = ", ".join(str(value) for value in frame.loc[twice, keys].iloc[0])
        raise DataError(f"{path} has the row of {row} more than once")
    return frame.set_index(keys)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix.lower() != ".csv":
        return read_table(path)
    try:
        with open_regular(path) as file:
            return pd.read_csv(file, dtype={_CODE: "str"}, encoding="utf-8", skipinitialspace=True)
    except (OSError, ValueError) as error:  # of pandas, too
        raise CorruptFileError(path, f"it cannot be read as CSV: {str(error).splitlines()[0][:200]}") from error
