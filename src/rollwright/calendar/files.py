"""Calendar files: ``calendars/<freq>.txt`` of Qlib's provider layout, and the calendar of the current market.

A file holds one session a line, in order. ``<freq>_future.txt`` beside it holds the same sessions and then those that
are known to come.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pandas as pd

from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import open_part
from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.errors import CorruptFileError, DataNotFoundError

__all__ = ["calendar_path", "current_calendar", "format_sessions", "read_calendar", "read_sessions"]

_logger: Final = logging.getLogger("rollwright.calendar")

_BOM: Final = b"\xef\xbb\xbf"
_HINT: Final = "write one session a line, as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, in order and each once"


def calendar_path(provider: Path, freq: str, *, future: bool = False) -> Path:
    """Return where the calendar of `freq` lies under the provider folder."""
    return provider / "calendars" / f"{freq.lower()}{'_future' if future else ''}.txt"


def read_calendar(provider: Path, freq: str = "day", *, future: bool = True) -> TradingCalendar:
    """Return the calendar of `freq` from a provider folder.

    Parameters
    ----------
    provider : Path
        The folder that holds ``calendars/``.
    freq : str
        As ``day`` or ``5min``.
    future : bool
        Add the known future sessions of ``<freq>_future.txt``, where there is such a file; they count as not known.

    Raises
    ------
    DataNotFoundError
        When there is no calendar of `freq`.
    CorruptFileError
        For a file `read_sessions` refuses.

    Notes
    -----
    What happened is the authority on the past: a future file that foresaw a session which was then cancelled, or
    missed one, is logged as a warning and counts only after the last session that happened.
    """
    path = calendar_path(provider, freq)
    if not path.is_file():
        raise DataNotFoundError(
            provider, f"there is no calendars/{path.name}", hint="import or make data first: rollwright data --help"
        )
    happened = read_sessions(path)
    ahead = calendar_path(provider, freq, future=True)
    if not future or not ahead.is_file():
        return TradingCalendar(happened, freq=freq)
    expected = read_sessions(ahead)
    _warn_of_disagreement(happened, expected, ahead)
    coming = expected[expected > happened[-1]]
    return TradingCalendar(happened.append(coming), freq=freq, known=len(happened))


def read_sessions(path: Path) -> pd.DatetimeIndex:
    """Return the sessions of one calendar file, ``datetime64[s]``, naive, strictly increasing, never empty.

    A byte-order mark, CRLF line ends, spaces around a session and empty lines at the end are accepted.

    Raises
    ------
    CorruptFileError
        For a line that is no date, repeats or precedes the one before, for an empty line between
        sessions, a file without sessions, and bytes that are not text; with the number of the line.
    """
    try:
        text = read_whole(path, limit=MEDIUM).removeprefix(_BOM).decode("ascii")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CorruptFileError(path, f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CorruptFileError(path, f"byte {error.start} is not text", hint=_HINT) from error
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not any(lines):
        raise CorruptFileError(path, "it holds no sessions", hint=_HINT)
    index = _parse(path, lines)
    wrong = np.flatnonzero(index[1:] <= index[:-1])
    if len(wrong):
        place = int(wrong[0]) + 1
        word = "repeats" if index[place] == index[place - 1] else "comes after a later session:"
        raise CorruptFileError(path, f"line {place + 1} {word} {lines[place]}", hint=_HINT)
    return index


def format_sessions(sessions: TradingCalendar | pd.DatetimeIndex) -> str:
    """Return the text of a calendar file: dates for a calendar of days, dates and times otherwise."""
    index = sessions.to_index() if isinstance(sessions, TradingCalendar) else sessions
    daily = bool((index == index.normalize()).all())
    return "".join(f"{line}\n" for line in index.strftime("%Y-%m-%d" if daily else "%Y-%m-%d %H:%M:%S"))


class HasCalendar(Protocol):
    """What is needed of a market here."""

    def calendar(self) -> TradingCalendar:
        """Return the sessions, future ones included where they are known."""
        ...


def current_calendar(*, future: bool = True) -> TradingCalendar:
    """Return the calendar of the current market as it stands at this moment.

    The market is asked in every call, so that a process which lives for months sees each new day (defect G7).

    Raises
    ------
    DataNotFoundError
        When the context has no market and no ``data.provider_uri`` is set, or nothing lies there.
    CorruptFileError
        As `read_calendar`.
    """
    market: HasCalendar = open_part("market")
    calendar = market.calendar()
    return calendar if future else calendar.known_part()


def _parse(path: Path, lines: list[str]) -> pd.DatetimeIndex:
    best = None
    for spelling in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S"):
        index = pd.DatetimeIndex(pd.to_datetime(lines, format=spelling, errors="coerce"))
        if not index.hasnans:
            return index.as_unit("s")
        wrong = int(np.asarray(index.isna()).argmax())
        best = wrong if best is None else max(best, wrong)
    place = best or 0
    raise CorruptFileError(path, f"line {place + 1} is not a date: {lines[place][:40]!r}", hint=_HINT)


def _warn_of_disagreement(happened: pd.DatetimeIndex, expected: pd.DatetimeIndex, path: Path) -> None:
    low = max(happened[0], expected[0])
    high = min(happened[-1], expected[-1])
    one, other = (index[(index >= low) & (index <= high)] for index in (happened, expected))
    odd = one.symmetric_difference(other)
    if len(odd):
        _logger.warning(
            "calendar.files_differ path=%s sessions=%d first=%s action=use_past_calendar",
            path,
            len(odd),
            odd[0].strftime("%Y-%m-%d"),
        )
