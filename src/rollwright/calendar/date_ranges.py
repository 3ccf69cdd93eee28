"""Cutting a range of dates into shorter ones that follow each other."""

from __future__ import annotations

import re
from typing import Final

import pandas as pd

from rollwright.calendar.trading import Session, SessionLike, to_session
from rollwright.errors import CalendarError

__all__ = ["cut_range", "read_months"]

_LENGTH: Final = re.compile(r"([1-9][0-9]{0,2})([MY])")


def read_months(text: object) -> int:
    """Return how many months a length such as ``3M`` or ``1Y`` has.

    Raises
    ------
    CalendarError
        When it is none.
    """
    found = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise CalendarError(f"{text!r} is no length of dates", hint="write months or years, such as 3M or 1Y")
    return int(found[1]) * (12 if found[2] == "Y" else 1)


def cut_range(start: SessionLike, end: SessionLike, *, months: int) -> tuple[tuple[Session, Session], ...]:
    """Return the ranges of `months` months, the last maybe shorter, that `start` and `end` are cut into.

    Guarantees: both ends of each belong to it; each begins on the day after the one before it ends; together they are
    the whole.

    Raises
    ------
    CalendarError
        When an end is no date, or the range is empty.
    """
    first, last = to_session(start), to_session(end)
    if last < first:
        raise CalendarError(f"the range from {first:%Y-%m-%d} to {last:%Y-%m-%d} is empty")
    starts = [first]
    while (following := first + pd.DateOffset(months=months * len(starts))) <= last:
        starts.append(following)
    day = pd.Timedelta(days=1)
    ends = [*(begin - day for begin in starts[1:]), last]
    return tuple(zip(starts, ends, strict=True))
