"""Periods as sources write them: as numbers, by their last day, or in words."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.date_text import parse_dates
from rollwright.calendar.periods import Interval, are_periods, to_period_ends
from rollwright.errors import DataError

__all__ = ["PERIOD_NAMES", "read_period", "read_periods"]

PERIOD_NAMES: Final[dict[Interval, str]] = {"q": "quarter", "a": "year", "m": "month", "d": "day"}
_EXAMPLES: Final[dict[Interval, str]] = {
    "q": "201903, 2019Q3 or 2019-09-30",
    "a": "2019 or 2019-12-31",
    "m": "201911, 2019-11 or 2019-11-30",
    "d": "20190617 or 2019-06-17",
}
_DIGITS: Final[dict[Interval, int]] = {"q": 6, "a": 4, "m": 6, "d": 8}
_QUARTER: Final = re.compile(r"(\d{4})\s*[-_年]?\s*[Qq]([1-4])")
_MONTH: Final = re.compile(r"(\d{4})(?:[-/.]|年)(\d{1,2})月?")
_REPORTS: Final = {
    "一季报": 1, "一季度": 1, "中报": 2, "半年报": 2, "半年度": 2, "二季度": 2, "三季报": 3, "三季度": 3, "四季度": 4,
    "年报": 4, "年度": 4,
}  # fmt: skip
_ANNUAL: Final = ("年报", "年度")
_REPORT: Final = re.compile(rf"(\d{{4}})年?(?:度|第)?({'|'.join(_REPORTS)})(?:报告)?")


def read_periods(column: pd.Series, intervals: NDArray[np.str_], where: str, first_row: int) -> NDArray[np.int64]:
    """Return the period of each row, as the number it is kept under.

    A date stands for the period that ends with it, and for no other.

    Parameters
    ----------
    column : Series
    intervals : ndarray of str
        Of each row, what its field's periods are.
    where : str
        The source, for messages.
    first_row : int
        The number a reader of the source gives to row 0.

    Raises
    ------
    DataError
        For what is no such period; names the row.
    """
    places, texts = _to_texts(column)
    found = np.empty(len(column), np.int64)
    for interval in PERIOD_NAMES:
        rows = np.flatnonzero(intervals == interval)
        if not len(rows):
            continue
        used = np.unique(places[rows])
        table = np.full(len(texts) + 1, -1, np.int64)  # the last one is what is missing, which factorize numbers -1
        for place in used[used >= 0].tolist():
            table[place] = _read(texts[place], interval)
        found[rows] = table[places[rows]]
        wrong = np.flatnonzero(~are_periods(found[rows], interval))
        if len(wrong):
            raise _no_period(rows[wrong], places, texts, interval, where, first_row)
    return found


def read_period(text: str, interval: Interval) -> int:
    """Return the period that `text` shows.

    Raises
    ------
    DataError
        When it shows none of `interval`.
    """
    found = _read(text.strip(), interval)
    if not are_periods([found], interval)[0]:
        raise DataError(f"{text!r} is no {PERIOD_NAMES[interval]}", hint=_suggest(text.strip(), interval))
    return found


def _to_texts(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Return for each row which text it has, -1 where it is missing, and the texts."""
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp(how="end").dt.normalize()
    places, unique = pd.factorize(column)
    return places, [_to_text(value) for value in unique]


def _to_text(value: object) -> str:
    if isinstance(value, pd.Timestamp | np.datetime64):
        stamp = pd.Timestamp(value)
        return str(stamp.date()) if stamp == stamp.normalize() else str(stamp)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _read(text: str, interval: Interval) -> int:
    """Return the period that a text shows; -1 when it shows none of `interval`."""
    if text.isascii() and text.isdigit() and len(text) == _DIGITS[interval]:
        return int(text)
    quarter, month, report = _QUARTER.fullmatch(text), _MONTH.fullmatch(text), _REPORT.fullmatch(text)
    if interval == "q" and quarter is not None:
        return int(quarter[1]) * 100 + int(quarter[2])
    if interval in ("q", "a") and report is not None:
        year, part = int(report[1]), _REPORTS[report[2]]
        return year * 100 + part if interval == "q" else year if report[2] in _ANNUAL else -1
    if interval == "m" and month is not None:
        return int(month[1]) * 100 + int(month[2])
    shown = parse_dates([text])
    if np.isnat(shown.clock[0]) or shown.timed[0]:
        return -1
    return _ending_with(shown.clock[0].astype("datetime64[D]"), interval)


def _ending_with(day: np.datetime64, interval: Interval) -> int:
    """Return the period of which `day` is the last; -1 when it is in the middle of one."""
    stamp = pd.Timestamp(day)
    number = {
        "q": stamp.year * 100 + stamp.quarter,
        "a": stamp.year,
        "m": stamp.year * 100 + stamp.month,
        "d": stamp.year * 10_000 + stamp.month * 100 + stamp.day,
    }[interval]
    return int(number) if to_period_ends([number], interval)[0] == day else -1


def _no_period(
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    texts: list[str],
    interval: Interval,
    where: str,
    first_row: int,
) -> DataError:
    at = int(rows[0])
    more = f"; and so are {len(rows) - 1} more" if len(rows) > 1 else ""
    place = f"{where}, row {at + first_row}"
    if places[at] < 0:
        return DataError(f"{place}: there is no period{more}")
    text = texts[places[at]]
    return DataError(
        f"{place}: the period {text!r} is no {PERIOD_NAMES[interval]}{more}", hint=_suggest(text, interval)
    )


def _suggest(text: str, interval: Interval) -> str:
    if interval == "q" and are_periods([_read(text, "m")], "m")[0]:
        return (
            "months belong to a field that ends with _m (--interval monthly); a day stands for the quarter that it ends"
        )
    return f"as {_EXAMPLES[interval]}"
