"""TimeAdjuster: Qlib's methods for dates on a calendar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, TypeAlias, overload

import numpy as np
import pandas as pd

from rollwright.calendar.files import current_calendar
from rollwright.calendar.trading import Session, SessionLike, TradingCalendar
from rollwright.errors import CalendarError, CalendarRangeError, SegmentError

__all__ = ["ShiftType", "TimeAdjuster"]

Side: TypeAlias = Literal["start", "end"]
ShiftType: TypeAlias = Literal["sliding", "expanding"]
Pair: TypeAlias = tuple[SessionLike | None, SessionLike | None] | list[SessionLike | None]
SessionPair: TypeAlias = tuple[Session | None, Session | None]

_SIDES: Final = ("start", "end")


class TimeAdjuster:
    """Find sessions, and align, shift and cut pairs of them.

    It has Qlib's forms: a segment is a pair, given as tuple or list and returned as tuple; None at an end
    means "open"; positions are integers. Unlike there, nothing ever wraps around to the other end of the calendar:
    what leaves it is a `CalendarRangeError`, except that the *end* of a shifted segment opens (None) when it outlasts
    the calendar.

    Parameters
    ----------
    future : bool
        Count over the known future sessions too.
    end_time : date, optional
        Ignore the sessions after it.
    calendar : TradingCalendar, optional
        The sessions. If not given, the current market is asked at every use, so an adjuster that lives for
        months, or is carried to another process, sees the days that were added meanwhile (defect G7).

    .. warning:: **Look-ahead.** With `future`, dates are known ahead, values are not: a segment that ends after the
       last session with data has no labels and no prices there.
    """

    SHIFT_SD: ClassVar[ShiftType] = "sliding"
    SHIFT_EX: ClassVar[ShiftType] = "expanding"

    def __init__(
        self,
        future: bool = True,  # noqa: FBT001, FBT002 - Qlib passes it by position
        end_time: SessionLike | None = None,
        *,
        calendar: TradingCalendar | None = None,
    ) -> None:
        self._future = future
        self._end_time = end_time
        self._calendar = calendar

    @property
    def calendar(self) -> TradingCalendar:
        """The sessions as they stand now.

        Raises
        ------
        CalendarRangeError
            When the calendar begins after `end_time`.
        DataNotFoundError
            When no calendar was given and there is no current market.
        """
        whole = self._whole()
        if self._end_time is None:
            return whole
        size = whole.at_or_before(self._end_time) + 1
        if size == len(whole):
            return whole
        return whole.take(np.arange(size))

    @property
    def cals(self) -> pd.DatetimeIndex:
        """The sessions as an index."""
        return self.calendar.to_index()

    def set_end_time(self, end_time: SessionLike | None = None) -> None:
        """Ignore the sessions after `end_time`; None ignores none."""
        self._end_time = end_time

    def max(self) -> Session:
        """Return the last session."""
        return self.calendar.last

    def get(self, idx: int | None) -> Session | None:
        """Return the session at position `idx`; None for None and for a position behind the calendar.

        Raises
        ------
        CalendarRangeError
            For a negative position.
        """
        calendar = self.calendar
        return None if idx is None or idx >= len(calendar) else calendar[idx]

    @overload
    def align_idx(self, time_point: None, tp_type: Side = "start") -> None: ...
    @overload
    def align_idx(self, time_point: SessionLike, tp_type: Side = "start") -> int: ...
    def align_idx(self, time_point: SessionLike | None, tp_type: Side = "start") -> int | None:
        """Return the position of the session `time_point` stands for.

        Parameters
        ----------
        time_point : date or None
            None stays None.
        tp_type : {"start", "end"}
            The first session at or after it, or the last at or before it.

        Raises
        ------
        CalendarRangeError
            When there is none.
        """
        if tp_type not in _SIDES:
            raise CalendarError(f"a date aligns as `start` or `end`, not as {tp_type!r}")
        if time_point is None:
            return None
        calendar = self.calendar
        return calendar.at_or_after(time_point) if tp_type == "start" else calendar.at_or_before(time_point)

    @overload
    def align_time(self, time_point: None, tp_type: Side = "start") -> None: ...
    @overload
    def align_time(self, time_point: SessionLike, tp_type: Side = "start") -> Session: ...
    def align_time(self, time_point: SessionLike | None, tp_type: Side = "start") -> Session | None:
        """Return the session `time_point` stands for, as `align_idx` finds it."""
        place = self.align_idx(time_point, tp_type)
        return None if place is None else self.calendar[place]

    def cal_interval(
        self,
        time_point_A: SessionLike,  # noqa: N803 - Qlib's name
        time_point_B: SessionLike,  # noqa: N803 - Qlib's name
    ) -> int:
        """Return how many sessions `time_point_A` lies after `time_point_B`, both aligned as starts.

        Raises
        ------
        CalendarError
            For an open end.
        """
        if time_point_A is None or time_point_B is None:
            raise CalendarError(f"there is no interval between {time_point_A} and {time_point_B}: one end is open")
        return self.align_idx(time_point_A) - self.align_idx(time_point_B)

    @overload
    def align_seg(self, segment: Mapping[str, Pair]) -> dict[str, SessionPair]: ...
    @overload
    def align_seg(self, segment: Pair) -> SessionPair: ...
    def align_seg(self, segment: Mapping[str, Pair] | Pair) -> dict[str, SessionPair] | SessionPair:
        """Return the sessions a pair of dates, or each pair of a dictionary, stands for; None stays None.

        Raises
        ------
        CalendarRangeError
            When a pair begins after the calendar or ends before it.
        SegmentError
            When no session lies between the dates.
        """
        if isinstance(segment, Mapping):
            return {key: self.align_seg(pair) for key, pair in segment.items()}
        start, end = _pair(segment)
        first, last = self.align_idx(start, "start"), self.align_idx(end, "end")
        if first is not None and last is not None and last < first:
            raise SegmentError(start=start, end=end, reason="it holds no session")
        return self.get(first), self.get(last)

    def truncate(self, segment: Pair, test_start: SessionLike, days: int) -> tuple[Session | None, Session]:
        """Return the part of `segment` that ends at least `days` sessions before `test_start`.

        An open end counts as the last session that is left; an open start stays open.

        .. warning:: **Look-ahead.** `days` is ``label span + 1`` at least; see `rollwright.calendar.purge`.

        Raises
        ------
        SegmentError
            When nothing of it is left; Qlib's version shrank it to one session that might belong to another
            segment (defect G5).
        """
        calendar = self.calendar
        start, end = _pair(segment)
        limit = calendar.at_or_after(test_start) - days
        first = None if start is None else calendar.at_or_after(start)
        last = limit if end is None else min(calendar.at_or_before(end), limit)
        if last < (first or 0):
            reason = f"cutting {days} sessions before {test_start} leaves nothing of it"
            raise SegmentError(start=start, end=end, reason=reason, hint="begin it earlier, or begin test later")
        return (None if first is None else calendar[first]), calendar[last]

    def shift(self, seg: Pair, step: int, rtype: ShiftType = SHIFT_SD) -> SessionPair:
        """Return `seg` moved by `step` sessions: both ends when sliding, the end alone when expanding.

        Dates that are no sessions are aligned first. An open end stays open, and an end that outlasts the calendar
        becomes open.

        Raises
        ------
        CalendarRangeError
            When the start leaves the calendar, or the end leaves it backwards.
        SegmentError
            When the end would come to lie before the start.
        """
        if rtype not in (self.SHIFT_SD, self.SHIFT_EX):
            raise CalendarError(f"a segment shifts `{self.SHIFT_SD}` or `{self.SHIFT_EX}`, not {rtype!r}")
        calendar = self.calendar
        start, end = self.align_seg(seg)
        first = None if start is None else calendar.index(start) + (step if rtype == self.SHIFT_SD else 0)
        last = None if end is None else calendar.index(end) + step
        if first is not None and first >= len(calendar):
            raise CalendarRangeError(f"a segment from {start} moved by {step} sessions begins after {calendar!r}")
        if first is not None and last is not None and last < first:
            raise SegmentError(start=start, end=end, reason=f"moving its end by {step} sessions leaves nothing of it")
        return self.get(first), self.get(last)

    def _whole(self) -> TradingCalendar:
        if self._calendar is None:
            return current_calendar(future=self._future)
        return self._calendar if self._future else self._calendar.known_part()


def _pair(segment: Pair) -> tuple[SessionLike | None, SessionLike | None]:
    if not isinstance(segment, tuple | list) or len(segment) != 2:
        raise SegmentError(start=segment, end=None, reason="it is no pair of dates", hint="write [start, end]")
    return segment[0], segment[1]
