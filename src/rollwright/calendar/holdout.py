"""Sealed holdouts: sessions that a project promised itself not to look at, and the refusal of what names them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.calendar.segment import OPEN, Open
from rollwright.calendar.trading import Session, SessionLike, to_range_end, to_session
from rollwright.config.holdout_setting import OPEN_END
from rollwright.errors import CalendarError, HoldoutSealedError

__all__ = ["Holdout"]

_UNIT: Final = "datetime64[s]"
_SECOND: Final = np.timedelta64(1, "s")
_BEGINS_WITH_YEAR: Final = re.compile(r"\s*\d{4}", re.ASCII)
_SINGLE: Final = (str, bytes, date, np.datetime64)
_DEPTH: Final = 4  # of lists in a selector: it is a date, a slice, pairs, or a list of pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """A closed range of days that are sealed. Two are equal when their days are, whoever sealed them.

    While it is sealed everything from `start` on is unseen, also what comes after `end`: prices and lifetimes after a
    holdout tell what happened in it. `end` says what the promise is about.

    Attributes
    ----------
    start : Session
        A day, at midnight.
    end : Session or OPEN
    origin : str
        Who sealed it, for people to read.
    """

    start: Session
    end: Session | Open = OPEN
    origin: str = field(default="the project", compare=False)

    def __post_init__(self) -> None:
        if self.end is not OPEN and self.end < self.start:
            raise CalendarError(f"a holdout ends on {self.end_text}, before it starts on {self.start_text}")

    @classmethod
    def from_setting(cls, pair: tuple[str, str], *, origin: str) -> Holdout:
        """Return the holdout that a setting names, as `rollwright.config.holdout_setting.read_holdout` reads it."""
        start, end = pair
        return cls(start=to_session(start), end=OPEN if end == OPEN_END else to_session(end), origin=origin)

    @property
    def start_text(self) -> str:
        """The first day, as ``2017-01-03``."""
        return f"{self.start:%Y-%m-%d}"

    @property
    def end_text(self) -> str:
        """The last day, or ``open``."""
        return OPEN_END if self.end is OPEN else f"{self.end:%Y-%m-%d}"

    @property
    def pair(self) -> tuple[str, str]:
        """Both as text, as the setting has them."""
        return self.start_text, self.end_text

    @property
    def eve(self) -> Session:
        """The last moment that is seen: a second before the first day."""
        return self.start - pd.Timedelta(seconds=1)

    def covers(self, other: Holdout) -> bool:
        """Tell whether every day of `other` belongs to it."""
        return self.start <= other.start and (self.end is OPEN or (other.end is not OPEN and self.end >= other.end))

    def error(self, asked: str) -> HoldoutSealedError:
        """Return the error that refuses `asked`."""
        return HoldoutSealedError(asked, start=self.start_text, end=self.end_text, origin=self.origin)

    def refuse(self, *moments: SessionLike | None) -> None:
        """Refuse each moment that lies at or after the first day; None is none.

        Raises
        ------
        HoldoutSealedError
        CalendarError
            For what is no date.
        """
        for moment in moments:
            if moment is not None and (stamp := to_session(moment)) >= self.start:
                raise self.error(_label(stamp))

    def refuse_range(self, start: Any = None, end: Any = None) -> None:
        """Refuse a range with an end at or after the first day; None is open, and ends before the holdout.

        A text stands for all of its period, as pandas reads it: ``2017`` as an end is the last day of 2017.

        Raises
        ------
        HoldoutSealedError
        CalendarError
            For what is no date.
        """
        for side in (to_range_end(start), _last_moment(to_range_end(end))):
            if isinstance(side, str):  # a start: the first day of its period
                side = pd.Timestamp(_read_period(side).astype(_UNIT))  # noqa: PLW2901 - read once
            if side is not None and side >= self.start:
                raise self.error(_label(pd.Timestamp(side)))

    def refuse_selector(self, selector: Any) -> None:
        """Refuse a selector of rows (a date, a slice, a list, pairs) that names a date at or after the first day.

        What is no date in it is left to who reads the selector.
        """
        for low, high in _find_ranges(selector, _DEPTH):
            try:
                self.refuse_range(low, high)
            except CalendarError:
                continue


def _find_ranges(selector: Any, depth: int) -> Iterable[tuple[Any, Any]]:
    """Yield every slice, and every single value that may be a date as a range of its own."""
    if isinstance(selector, slice):
        yield _find_date(selector.start), _find_date(selector.stop)
    elif isinstance(selector, _SINGLE):
        one = _find_date(selector)
        yield one, one
    elif isinstance(selector, Iterable) and not isinstance(selector, Mapping) and depth:
        for item in _list_distinct(selector):
            yield from _find_ranges(item, depth - 1)


def _list_distinct(items: Iterable[Any]) -> Iterable[Any]:
    """Return the distinct items of what may be long; of rows with two levels those of each level."""
    if isinstance(items, pd.MultiIndex):
        return [items.get_level_values(number).unique() for number in range(items.nlevels)]
    if not isinstance(items, pd.Index | pd.Series | np.ndarray):
        return items
    values = pd.Index(items).unique()
    return [] if pd.api.types.is_numeric_dtype(values.dtype) else values


def _find_date(value: Any) -> Any:
    """Return what may be a date, and None else; of texts only those that begin with a year may be one."""
    if isinstance(value, tuple):
        return next((item for item in map(_find_date, value) if item is not None), None)
    if isinstance(value, str):
        return value if _BEGINS_WITH_YEAR.match(value) else None
    return value if isinstance(value, date | np.datetime64) else None


def _last_moment(side: Session | str | None) -> Session | np.datetime64 | None:
    """Return the last second of a text's period, and anything else as it is."""
    return (_read_period(side) + 1).astype(_UNIT) - _SECOND if isinstance(side, str) else side


def _read_period(text: str) -> np.datetime64:
    try:
        return np.datetime64(text)
    except ValueError as error:
        raise CalendarError(f"{text!r} is no year, month or day") from error


def _label(stamp: Session) -> str:
    return f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else f"{stamp:%Y-%m-%d %H:%M:%S}"
