"""The trading calendar: which sessions there are, and the arithmetic of dates over them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.calendar.date_text import explain_no_date, parse_date
from rollwright.errors import CalendarError, CalendarRangeError, SegmentError

if TYPE_CHECKING:
    from rollwright.calendar.holdout import Holdout

__all__ = ["Session", "SessionLike", "TradingCalendar", "to_range_end", "to_session"]

Session: TypeAlias = pd.Timestamp
"""The label of a session: a naive timestamp, midnight for a daily calendar."""

SessionLike: TypeAlias = str | date | np.datetime64
"""What names a date: text, `date`, `datetime`, `pandas.Timestamp` or `numpy.datetime64`, without a time zone."""

_UNIT: Final = "datetime64[s]"
_PLAIN: Final = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d{1,9})?)?", re.ASCII)
_PERIOD: Final = re.compile(r"\d{4}(?:-\d\d)?", re.ASCII)
_WRITE_IT: Final = "write it as YYYY-MM-DD, or pass a date"


def to_session(value: SessionLike) -> Session:
    """Return `value` as a naive timestamp; it need not be a session of any calendar.

    A text is read by what it shows (`rollwright.calendar.date_text`), so ``04/01/2010`` and ``today`` are no dates.

    Raises
    ------
    CalendarError
        For anything that is no date, for NaT, and for a date with a time zone: a session is a label, and which
        label an instant belongs to is the market's business, not a conversion.
    """
    if isinstance(value, str):
        return _read_text(value)
    if not isinstance(value, date | np.datetime64):
        raise CalendarError(f"{value!r} is {type(value).__name__}, not a date", hint=_WRITE_IT)
    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise CalendarError(f"{value!r} is not a date", hint=_WRITE_IT) from error
    if pd.isna(stamp):
        raise CalendarError(f"{value!r} is not a date: it is NaT", hint=_WRITE_IT)
    if stamp.tzinfo is not None:
        raise _zoned(str(value))
    return stamp


def to_range_end(value: SessionLike | None) -> Session | str | None:
    """Return an end of a range for pandas' `slice_indexer`: as `to_session`, or the text of a whole period.

    ``2020-01-06`` is the whole day, ``2020-01`` the whole month and ``2020`` the whole year, as pandas reads them.

    Raises
    ------
    CalendarError
        As `to_session`.
    """
    if not isinstance(value, str):
        return None if value is None else to_session(value)
    plain = value.strip()
    if _PERIOD.fullmatch(plain):
        return plain
    stamp = _read_text(value)
    return stamp.strftime("%Y-%m-%d") if ":" not in plain and stamp == stamp.normalize() else stamp


@lru_cache(maxsize=4096)
def _read_text(text: str) -> Session:
    if _PLAIN.fullmatch(text):  # by far the most, and pandas reads them to the nanosecond
        try:
            return pd.Timestamp(text)
        except ValueError as error:
            raise CalendarError(f"{text!r} {explain_no_date(text)}", hint=_WRITE_IT) from error
    stamp, zoned = parse_date(text)
    if stamp is None:
        raise CalendarError(f"{text!r} {explain_no_date(text)}", hint=_WRITE_IT)
    if zoned:
        raise _zoned(text)
    return stamp


def _zoned(shown: str) -> CalendarError:
    return CalendarError(
        f"{shown} has a time zone; sessions are naive labels",
        hint="convert it to the market's time zone and drop the zone: t.tz_convert(market).tz_localize(None)",
    )


class TradingCalendar:
    """The sessions of one market at one frequency, in order.

    Guarantees: at least one session; strictly increasing; naive; never changed after construction. Positions count
    from 0 and never from the end: a position outside the calendar is an error, so no arithmetic can wrap around to
    the other end of history. Searches take O(log n). Of a calendar before a sealed holdout (`before`), a date that lies
    in the holdout or later is refused wherever it is asked for by name, and never cut.

    Parameters
    ----------
    sessions : iterable of dates
        Strictly increasing, without time zone, to the second.
    freq : str
        As ``day`` or ``5min``; a label, the sessions need not be equally spaced.
    known : int, optional
        How many of the sessions, from the first, have happened. The rest are known future sessions: dates may be
        counted over them, data is not expected there. All of them if not given.
    holdout : Holdout, optional
        The sealed holdout that the sessions end before, see `before`.

    Raises
    ------
    CalendarError
        For no sessions, a duplicate, a step backwards (each with its position), a time zone, or `known` outside
        ``[1, len(sessions)]``.
    HoldoutSealedError
        When a session lies in `holdout` or later.
    """

    __slots__ = ("_freq", "_holdout", "_index", "_known", "_values")

    def __init__(
        self,
        sessions: Iterable[SessionLike],
        *,
        freq: str = "day",
        known: int | None = None,
        holdout: Holdout | None = None,
    ) -> None:
        values = _to_array(sessions)
        values.flags.writeable = False
        if known is not None and not 1 <= known <= len(values):
            raise CalendarError(f"known = {known} for a calendar of {len(values)} sessions")
        self._values = values
        self._index: pd.DatetimeIndex | None = None
        self._freq = freq
        self._known = len(values) if known is None else int(known)
        self._holdout = holdout
        self.refuse_sealed(values[-1])

    @property
    def freq(self) -> str:
        """Frequency, as ``day`` or ``5min``."""
        return self._freq

    @property
    def known(self) -> int:
        """How many sessions, from the first, have happened."""
        return self._known

    @property
    def values(self) -> NDArray[np.datetime64]:
        """The sessions as a read-only ``datetime64[s]`` array."""
        return self._values

    @property
    def first(self) -> Session:
        """The first session."""
        return self[0]

    @property
    def last(self) -> Session:
        """The last session, future ones included."""
        return self[len(self) - 1]

    @property
    def last_known(self) -> Session:
        """The last session that has happened."""
        return self[self._known - 1]

    def known_part(self) -> TradingCalendar:
        """Return the calendar of the sessions that have happened."""
        return self if self._known == len(self) else self.take(np.arange(self._known))

    @property
    def holdout(self) -> Holdout | None:
        """The sealed holdout that it ends before; None without one."""
        return self._holdout

    def before(self, holdout: Holdout) -> TradingCalendar:
        """Return the sessions before `holdout`, as if the market had ended there.

        Raises
        ------
        HoldoutSealedError
            When there are none.
        """
        size = self._search(holdout.start, "left")
        if not size:
            raise holdout.error(f"the whole calendar, {self._span()},")
        known = min(size, self._known)
        return TradingCalendar(self._values[:size], freq=self._freq, known=known, holdout=holdout)

    def take(self, positions: NDArray[np.int64]) -> TradingCalendar:
        """Return the calendar of the sessions at some `positions`, increasing; sealed as this one is.

        Raises
        ------
        CalendarError
            When they do not increase, or none of them has happened.
        """
        known = int(np.searchsorted(positions, self._known))
        return TradingCalendar(self._values[positions], freq=self._freq, known=known, holdout=self._holdout)

    def known_until(self, known: int) -> TradingCalendar:
        """Return the same sessions, of which only the first `known` have happened; sealed as this one is."""
        return TradingCalendar(self._values, freq=self._freq, known=known, holdout=self._holdout)

    def refuse_sealed(self, start: Any = None, end: Any = None) -> None:
        """Refuse a range that names a day of the sealed holdout or a later one; None is open, and ends before it.

        For what reads dates by itself; `index`, `at_or_after`, `at_or_before`, `positions` and `sessions` do it too.

        Raises
        ------
        HoldoutSealedError
        """
        if self._holdout is not None:
            self._holdout.refuse_range(start, end)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, position: int) -> Session:
        """Return the session at `position`.

        Raises
        ------
        CalendarRangeError
            Unless ``0 <= position < len(self)``.
        """
        if not 0 <= position < len(self._values):
            raise CalendarRangeError(f"position {position} is outside the calendar: {self._span()}")
        return pd.Timestamp(self._values[position])

    def __iter__(self) -> Iterator[Session]:
        return iter(self.to_index())

    def __contains__(self, session: object) -> bool:
        if not isinstance(session, str | date | np.datetime64):
            return False
        place = self._search(to_session(session), "left")
        return place < len(self) and self[place] == to_session(session)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TradingCalendar):
            return NotImplemented
        same = (self._freq, self._known, self._holdout) == (other._freq, other._known, other._holdout)
        return same and np.array_equal(self._values, other._values)

    def __hash__(self) -> int:
        return hash((self._freq, self._known, self._values.tobytes()))

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self._values, self._freq, self._known, self._holdout)

    def __repr__(self) -> str:
        return f"TradingCalendar({self._span()}, freq={self._freq!r}, known={self._known})"

    def index(self, session: SessionLike) -> int:
        """Return the position of `session`, which must be one.

        Raises
        ------
        CalendarRangeError
            When `session` is no session of this calendar.
        """
        stamp = self._read(session)
        place = self._search(stamp, "left")
        if place == len(self) or self[place] != stamp:
            raise CalendarRangeError(f"{_label(stamp)} is not a session: {self._span()}")
        return place

    def at_or_after(self, moment: SessionLike) -> int:
        """Return the position of the first session at or after `moment`.

        Raises
        ------
        CalendarRangeError
            When the calendar ends before `moment`.
        """
        stamp = self._read(moment)
        place = self._search(stamp, "left")
        if place == len(self):
            raise CalendarRangeError(
                f"there is no session at or after {_label(stamp)}: {self._span()}",
                hint="choose an earlier date, or extend the data or its calendar of future sessions",
            )
        return place

    def at_or_before(self, moment: SessionLike) -> int:
        """Return the position of the last session at or before `moment`.

        Raises
        ------
        CalendarRangeError
            When the calendar begins after `moment`.
        """
        stamp = self._read(moment)
        place = self._search(stamp, "right") - 1
        if place < 0:
            raise CalendarRangeError(
                f"there is no session at or before {_label(stamp)}: {self._span()}",
                hint="choose a later date, or import earlier data",
            )
        return place

    def offset(self, session: SessionLike, steps: int) -> Session:
        """Return the session `steps` after `session` (before it when negative).

        Raises
        ------
        CalendarRangeError
            When `session` is none, or the answer would leave the calendar.
        """
        place = self.index(session) + steps
        if not 0 <= place < len(self):
            raise CalendarRangeError(
                f"{_label(to_session(session))} moved by {steps} sessions leaves the calendar: {self._span()}"
            )
        return self[place]

    def distance(self, start: SessionLike, end: SessionLike) -> int:
        """Return how many sessions `end` lies after `start`; both must be sessions.

        Raises
        ------
        CalendarRangeError
            When one of them is no session.
        """
        return self.index(end) - self.index(start)

    def positions(self, start: SessionLike | None = None, end: SessionLike | None = None) -> range:
        """Return the positions of the sessions in the closed range from `start` to `end`.

        The range is cut at the ends of the calendar and may be empty: this asks which sessions there are, it aligns
        nothing. None leaves a side open.

        Raises
        ------
        SegmentError
            When `end` lies before `start`.
        """
        low = None if start is None else self._read(start)
        high = None if end is None else self._read(end)
        if low is not None and high is not None and high < low:
            raise SegmentError(start=_label(low), end=_label(high), reason="it ends before it starts")
        return range(
            0 if low is None else self._search(low, "left"),
            len(self) if high is None else self._search(high, "right"),
        )

    def sessions(self, start: SessionLike | None = None, end: SessionLike | None = None) -> pd.DatetimeIndex:
        """Return the sessions of the closed range from `start` to `end`, as `positions` finds them."""
        found = self.positions(start, end)
        return pd.DatetimeIndex(self._values[found.start : found.stop])

    def to_index(self) -> pd.DatetimeIndex:
        """Return all sessions."""
        if self._index is None:
            self._index = pd.DatetimeIndex(self._values)
        return self._index.view()  # a name that somebody gives it is not everybody's

    def _read(self, moment: SessionLike) -> Session:
        stamp = to_session(moment)
        if self._holdout is not None:
            self._holdout.refuse(stamp)
        return stamp

    def _search(self, stamp: Session, side: Literal["left", "right"]) -> int:
        # Sessions are whole seconds, so a fraction lies behind every session of its second.
        fraction = stamp.microsecond or stamp.nanosecond
        key: Any = stamp.asm8.astype(_UNIT)
        return int(self._values.searchsorted(key, "right" if fraction else side))

    def _span(self) -> str:
        return f"{len(self)} sessions from {_label(self.first)} to {_label(self.last)}"


def _restore(values: NDArray[np.datetime64], freq: str, known: int, holdout: Holdout | None = None) -> TradingCalendar:
    """Return a calendar that was copied or sent to another process, checked and read-only again."""
    return TradingCalendar(values, freq=freq, known=known, holdout=holdout)


def _to_array(sessions: Iterable[SessionLike]) -> NDArray[np.datetime64]:
    """Return the checked sessions as a new ``datetime64[s]`` array."""
    if isinstance(sessions, pd.Index | pd.Series):
        zone = getattr(sessions.dtype, "tz", None)
        if zone is not None:
            raise CalendarError(f"the sessions have the time zone {zone}; sessions are naive labels")
        sessions = sessions.to_numpy()
    if isinstance(sessions, np.ndarray) and sessions.dtype.kind == "M":
        exact: NDArray[np.datetime64] = sessions
    else:
        exact = np.array([to_session(item).asm8 for item in sessions], dtype="datetime64[us]")
    values: NDArray[np.datetime64] = exact.astype(_UNIT, copy=True)
    if len(values) == 0:
        raise CalendarError("a calendar without sessions")
    if np.isnat(values).any():
        raise CalendarError(f"the calendar holds NaT at position {int(np.isnat(values).argmax())}")
    if (values != exact).any():
        raise CalendarError(f"session {exact[int((values != exact).argmax())]} is not a whole second")
    steps = np.diff(values).astype(np.int64)
    if (steps <= 0).any():
        place = int((steps <= 0).argmax()) + 1
        what = "is there twice" if steps[place - 1] == 0 else "comes after a later one"
        raise CalendarError(f"session {_label(pd.Timestamp(values[place]))} at position {place} {what}")
    return values


def _label(stamp: Session) -> str:
    """Return a session as a reader would write it."""
    return stamp.strftime("%Y-%m-%d") if stamp == stamp.normalize() else stamp.strftime("%Y-%m-%d %H:%M:%S")
