"""Segments: closed ranges of sessions with a role in a walk-forward fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeAlias

import pandas as pd

from rollwright.calendar.purge import Purge
from rollwright.calendar.trading import Session, SessionLike, TradingCalendar, to_session
from rollwright.errors import SegmentError

__all__ = ["OPEN", "Open", "Segment", "SegmentLike", "end_before"]


class Open(Enum):
    """The type of `OPEN`."""

    OPEN = "open"

    def __repr__(self) -> str:
        return "OPEN"

    __str__ = __repr__


OPEN: Final = Open.OPEN
"""The end of a segment that lasts as long as there are sessions; ``None`` in Qlib's tuples and in YAML."""

SegmentLike: TypeAlias = "Segment | Sequence[SessionLike | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A closed range of sessions: both ends belong to it, and it is never empty.

    Attributes
    ----------
    start : Session
    end : Session or OPEN
        `OPEN` is meant for test segments, which may outlast the calendar; what is learnt from has an end.

    .. warning:: **Look-ahead.** A train segment that ends the session before test leaks when its label reads
       further ahead. Cut it with `purged_before`.
    """

    start: Session
    end: Session | Open

    def __post_init__(self) -> None:
        if self.end is not OPEN and self.end < self.start:
            raise SegmentError(start=_text(self.start), end=_text(self.end), reason="it ends before it starts")

    @classmethod
    def aligned(cls, value: SegmentLike, calendar: TradingCalendar, *, open_end: bool = False) -> Segment:
        """Return the sessions that a pair of dates spans: from the first at or after it to the last at or before.

        Parameters
        ----------
        value : Segment or pair of dates
            A tuple or a list; None as its second item is `OPEN`.
        calendar : TradingCalendar
        open_end : bool
            Whether `value` may be open.

        Raises
        ------
        CalendarRangeError
            When it begins after the calendar or ends before it.
        SegmentError
            When there is no session between the dates, for an open start, for an open end unless `open_end`, and
            for anything that is no pair.
        """
        start, end = _pair(value)
        if start is None or (end is None and not open_end):
            side = "start" if start is None else "end"
            raise SegmentError(
                start=start, end=end, reason=f"its {side} is open", hint="only the end of a test segment may be open"
            )
        first = calendar.at_or_after(start)
        if end is None:
            return cls(start=calendar[first], end=OPEN)
        last = calendar.at_or_before(end)
        if last < first:
            reason = "it ends before it starts" if to_session(end) < to_session(start) else "it holds no session"
            raise SegmentError(start=start, end=end, reason=reason)
        return cls(start=calendar[first], end=calendar[last])

    def as_tuple(self) -> tuple[Session, Session | None]:
        """Return Qlib's form: a pair of timestamps, None for `OPEN`."""
        return (self.start, None if self.end is OPEN else self.end)

    def positions(self, calendar: TradingCalendar) -> range:
        """Return the calendar positions of its sessions; an open segment lasts to the end of `calendar`.

        Raises
        ------
        CalendarRangeError
            When an end is no session of `calendar`.
        """
        last = len(calendar) - 1 if self.end is OPEN else calendar.index(self.end)
        return range(calendar.index(self.start), last + 1)

    def shifted(self, steps: int, calendar: TradingCalendar) -> Segment:
        """Return this segment moved by `steps` sessions at both ends; never clipped. An open end stays open.

        Raises
        ------
        CalendarRangeError
            When an end would leave `calendar`.
        """
        end = self.end if self.end is OPEN else calendar.offset(self.end, steps)
        return replace(self, start=calendar.offset(self.start, steps), end=end)

    def extended(self, steps: int, calendar: TradingCalendar) -> Segment:
        """Return this segment with its end moved by `steps` sessions and its start kept.

        Raises
        ------
        CalendarRangeError
            When the end would leave `calendar`.
        SegmentError
            When it would come to lie before the start.
        """
        return self if self.end is OPEN else replace(self, end=calendar.offset(self.end, steps))

    def purged_before(self, test: Segment, *, label_span: int, calendar: TradingCalendar, embargo: int = 0) -> Segment:
        """Return the part whose labels are known before `test` starts, less the embargo.

        .. warning:: **Look-ahead.** See `rollwright.calendar.purge.purge_days`.

        Raises
        ------
        SegmentError
            When nothing is left.
        """
        last_clean = Purge(label_span=label_span, embargo=embargo).last_clean(test.start, calendar)
        if last_clean < self.start:
            reason = f"purging before {_text(test.start)} leaves only what ends at {_text(last_clean)}, so nothing"
            raise SegmentError(start=_text(self.start), end=_text(self.end), reason=reason)
        return replace(self, end=last_clean if self.end is OPEN else min(self.end, last_clean))


def _pair(value: SegmentLike) -> tuple[SessionLike | None, SessionLike | None]:
    if isinstance(value, Segment):
        return value.as_tuple()
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise SegmentError(start=value, end=None, reason="it is no pair of dates", hint="write [start, end]")
    return value[0], value[1]


def _text(end: Session | Open) -> str:
    if end is OPEN:
        return "OPEN"
    return end.strftime("%Y-%m-%d" if end == end.normalize() else "%Y-%m-%d %H:%M:%S")


def end_before(start: SessionLike) -> Session:
    """Return the latest end of a segment that does not share the session `start`, without knowing the calendar.

    It is the day before, or the second before where sessions have a time; whoever reads a segment takes the session at
    or before it.
    """
    moment = to_session(start)
    step = pd.Timedelta(days=1) if moment == moment.normalize() else pd.Timedelta(seconds=1)
    return moment - step
