"""Purging a task: its segments are cut so that no label of one reads prices of a later one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.errors import CalendarRangeError, SegmentError
from rollwright.tasks.definition import Task, dataset_kwargs, set_dataset_kwarg
from rollwright.tasks.handler import end_fit_range

__all__ = ["ALL_PAIRS", "SegmentCut", "purge_task", "segment_pairs"]

ALL_PAIRS: Final = (("train", "valid"), ("train", "test"), ("valid", "test"))
"""Which segments have to be clear of which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCut:
    """A segment that was made shorter.

    Attributes
    ----------
    segment, before : str
        The segment, and the one whose prices its last labels would have read.
    written, end : Session
        Its last session as the definition has it, and now.
    sessions : int
        How many sessions it lost.
    """

    segment: str
    before: str
    written: Session
    end: Session
    sessions: int

    @property
    def text(self) -> str:
        """What happened, in words."""
        return (
            f"`{self.segment}` ends {_show(self.end)} instead of {_show(self.written)}: the labels of its last "
            f"{self.sessions} session{'s' * (self.sessions != 1)} read prices of `{self.before}`"
        )


def segment_pairs(
    segments: Mapping[str, Any], calendar: TradingCalendar, pairs: Sequence[tuple[str, str]] = ALL_PAIRS
) -> Iterator[tuple[str, str, int, int]]:
    """Yield each pair that is there, in order of time, with the position where the first ends and the other begins.

    Pairs with an open side between them, with dates outside the calendar, or whose second segment begins first, are
    left to whoever checks segments.
    """
    for one, other in pairs:
        if one not in segments or other not in segments:
            continue
        (begin, end), (start, _) = segments[one], segments[other]
        if end is None or start is None:
            continue
        try:
            last, first = calendar.at_or_before(end), calendar.at_or_after(start)
            ordered = begin is None or calendar.at_or_after(begin) <= first
        except CalendarRangeError:
            continue
        if ordered:
            yield one, other, last, first


def purge_task(
    task: Task, *, days: int, calendar: TradingCalendar, pairs: Sequence[tuple[str, str]] = ALL_PAIRS
) -> tuple[Task, list[SegmentCut]]:
    """Return `task` with every segment ending `days` sessions before the next one begins, and what was cut for it.

    Where the fit range of the handler or of a processor in it ended with the train segment, it still does. `task` is
    not changed. Segments that share more than their boundary session are left as they are: that is no gap too narrow,
    but an overlap.

    Parameters
    ----------
    task : dict
        With its placeholders filled.
    days : int
        ``label span + 1``, see `rollwright.calendar.purge.purge_days`.
    calendar : TradingCalendar
    pairs : sequence of (str, str)
        Which segments have to be clear of which.

    Raises
    ------
    SegmentError
        When nothing of a segment is left.
    """
    made = dict(task)
    cuts: list[SegmentCut] = []
    for pair in pairs:
        segments = dataset_kwargs(made).get("segments")
        if not isinstance(segments, Mapping):
            break
        for one, other, last, first in segment_pairs(segments, calendar, [pair]):
            limit = first - days
            if last > first or last <= limit:
                continue
            begin, end = segments[one]
            if limit < (0 if begin is None else calendar.at_or_after(begin)):
                raise SegmentError(
                    start=begin,
                    end=end,
                    reason=f"purging `{one}` {days} sessions before `{other}` begins on {start_of(segments, other)} "
                    "leaves nothing of it",
                    hint=f"begin `{one}` earlier, or `{other}` later",
                )
            cut = SegmentCut(
                segment=one, before=other, written=calendar[last], end=calendar[limit], sessions=last - limit
            )
            cuts.append(cut)
            shown = _show(cut.end) if isinstance(end, str) else cut.end
            set_dataset_kwarg(made, "segments", {**segments, one: (begin, shown)})
            if one == "train":
                end_fit_range(made, written=cut.written, end=cut.end)
    return made, cuts


def start_of(segments: Mapping[str, Any], name: str) -> str:
    """Return the start of a segment, as text."""
    return str(segments[name][0]).removesuffix(" 00:00:00")


def _show(session: Session) -> str:
    return str(session).removesuffix(" 00:00:00")
