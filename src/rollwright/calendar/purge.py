"""Purge and embargo: how far before a test segment learning must end so that no label reads into it."""

from __future__ import annotations

from dataclasses import dataclass

from rollwright.calendar.trading import Session, SessionLike, TradingCalendar
from rollwright.errors import CalendarError, SegmentError

__all__ = ["Purge", "purge_days"]


def purge_days(label_span: int, *, embargo: int = 0) -> int:
    """Return how many sessions before test the last sample to learn from lies; Qlib's ``trunc_days``.

    A sample of session `t` whose label reads prices up to ``t + label_span`` is clean when ``t + label_span`` lies
    before the first test session, so ``t`` lies ``label_span + 1`` sessions before it, or more.

    Parameters
    ----------
    label_span : int
        Sessions of future the label reads: 2 for ``Ref($close, -2) / Ref($close, -1) - 1``.
    embargo : int
        Sessions left out beyond that, for whatever else lingers (slow features, overlapping positions).

    .. warning:: **Look-ahead.** A `label_span` below the label's real one lets samples learn from prices of the
       test segment. Take it from the label's expression rather than from memory.

    Raises
    ------
    CalendarError
        For a negative number.
    """
    if label_span < 0 or embargo < 0:
        raise CalendarError(f"label span {label_span} and embargo {embargo} must not be negative")
    return label_span + 1 + embargo


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """A rule that keeps what is learnt clear of what is tested.

    Attributes
    ----------
    label_span : int
        Sessions of future the label reads.
    embargo : int
        Sessions left out beyond that.

    .. warning:: **Look-ahead.** See `purge_days`: a `label_span` that is too small leaks.
    """

    label_span: int
    embargo: int = 0

    def __post_init__(self) -> None:
        purge_days(self.label_span, embargo=self.embargo)

    @property
    def days(self) -> int:
        """Sessions between the last sample to learn from and the first test session, that one included."""
        return purge_days(self.label_span, embargo=self.embargo)

    def last_clean(self, test_start: SessionLike, calendar: TradingCalendar) -> Session:
        """Return the last session that may be learnt from.

        Raises
        ------
        SegmentError
            When the calendar begins after it, so that nothing may.
        CalendarRangeError
            When `test_start` is no session.
        """
        place = calendar.index(test_start) - self.days
        if place < 0:
            raise SegmentError(
                start=calendar.first,
                end=test_start,
                reason=f"test begins less than {self.days} sessions after the calendar, which purging takes away",
            )
        return calendar[place]
