"""RollingGen: walk-forward windows from one template."""

from __future__ import annotations

import itertools
import logging
import operator
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from rollwright.calendar.adjuster import ShiftType, TimeAdjuster
from rollwright.calendar.segment import Segment
from rollwright.calendar.trading import SessionLike, TradingCalendar, to_session
from rollwright.errors import ConfigError, SegmentError
from rollwright.tasks.definition import SegmentTuple, Task, segments_of, set_segments
from rollwright.tasks.generate import TaskGen
from rollwright.tasks.handler import handler_mod

__all__ = ["RollingGen", "handler_mod"]

_logger: Final = logging.getLogger("rollwright.tasks")

VALID: Final = "valid"
_OPEN_ENDS: Final = (None, -1, "-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A segment by calendar positions, both inclusive; `last` is None when it outlasts the calendar."""

    first: int
    last: int | None


_Window: TypeAlias = dict[str, _Span]


class RollingGen(TaskGen):
    """Roll a template's windows over the calendar, `step` sessions at a time.

    The first test window begins with the template's test segment. Each next window lies `step` sessions later in
    all its segments, except that train keeps its start when expanding. Windows go on while their test begins within
    the template's test segment, so the test windows tile it: no session between two of them, none in two.

    Guarantees: the template is never changed; the same template, arguments and calendar give the same tasks; the
    distance between what is learnt and what is tested is the same in every window.

    Parameters
    ----------
    step : int
        Sessions a window moves, and the length of each test window.
    rtype : {"expanding", "sliding"}
        Whether train keeps its start or its length.
    ds_extra_mod_func : callable or None
        Called as ``f(task, self)`` for each task after its segments are set; `handler_mod` moves the handler's dates.
    test_key, train_key : str
        Names of the segments.
    trunc_days : int, optional
        Every segment but test ends at least so many sessions before test begins:
        ``label span + 1 + embargo``, see `rollwright.calendar.purge.purge_days`.
    task_copy_func : callable
        Makes a task from the template; one that shares parts is fine, shared dictionaries are not changed.
    calendar : TradingCalendar, optional
        The sessions; if not given, the current market's as they stand at each call.
    clip_last : bool
        The last test window ends where the template's test segment ends. If False, it is `step` long like the
        others, as in Qlib, and open (None) where it would outlast the calendar.

    .. warning:: **Look-ahead.** Without `trunc_days` the last samples of train and valid have labels that read prices
       of the test window, if they end close to it.

    .. warning:: **Look-ahead.** With ``clip_last=False`` the last window asks for sessions behind the test end you
       wrote; do not use its scores as if they were inside it.
    """

    ROLL_EX: ClassVar[ShiftType] = TimeAdjuster.SHIFT_EX
    ROLL_SD: ClassVar[ShiftType] = TimeAdjuster.SHIFT_SD

    def __init__(
        self,
        step: int = 40,
        rtype: ShiftType = ROLL_EX,
        ds_extra_mod_func: Callable[[Task, Any], None] | None = handler_mod,
        test_key: str = "test",
        train_key: str = "train",
        trunc_days: int | None = None,
        task_copy_func: Callable[[Task], Task] = deepcopy,
        *,
        calendar: TradingCalendar | None = None,
        clip_last: bool = True,
    ) -> None:
        if rtype not in (self.ROLL_EX, self.ROLL_SD):
            raise ConfigError(f"rtype = {rtype!r} is neither `{self.ROLL_EX}` nor `{self.ROLL_SD}`")
        self.step = _whole("step", step, least=1)
        self.rtype = rtype
        self.ds_extra_mod_func = ds_extra_mod_func
        self.test_key = test_key
        self.train_key = train_key
        self.trunc_days = None if trunc_days is None else _whole("trunc_days", trunc_days, least=0)
        self.task_copy_func = task_copy_func
        self.clip_last = clip_last
        self.ta = TimeAdjuster(future=True, calendar=calendar)

    def generate(self, task: Task) -> list[Task]:
        """Return one task per window, in order of time; at least one.

        The segments of the tasks are tuples of timestamps. A test segment of the template without end (None), or
        with an end behind the last session that has data, ends at that session; the latter is logged, and so is a
        segment that begins before the calendar does.

        Raises
        ------
        ConfigError
            When the template has no segments, or none named `test_key`.
        CalendarRangeError
            When a segment lies outside the calendar.
        SegmentError
            When a segment holds no session, `trunc_days` leaves nothing of one (defect G5), test begins after the
            last session that has data, or the handler cannot reach the end of test (defect G6).
        """
        calendar = self.ta.calendar
        window = self._aligned(task, calendar)
        _tell_early(segments_of(task, test_key=self.test_key), calendar)
        first = window[self.test_key].first
        test_end = self._test_end(task, calendar)
        window[self.test_key] = self._test_window(first, test_end, calendar)
        self._cut_shared_sessions(window, calendar)
        self._cut(window, calendar)
        tasks = [self._made(task, window, calendar)]
        tasks += (self._made(task, later, calendar) for later in self._following(window, test_end, calendar))
        return tasks

    def gen_following_tasks(self, task: Task, test_end: SessionLike | None) -> Iterator[Task]:
        """Yield the tasks of the windows after that of `task`, while test begins at or before `test_end`.

        A window that was cut short by the end of the calendar or of the template is not made whole: what follows
        begins `step` sessions after its test began. Generate it anew, or roll with ``clip_last=False``, when the
        calendar has grown.

        Parameters
        ----------
        task : dict
            A task with segments; it is not among those yielded, and not changed.
        test_end : date or None
            None is the last session that has data.

        Raises
        ------
        ConfigError, CalendarRangeError, SegmentError
            As `generate`.
        """
        calendar = self.ta.calendar
        window = self._aligned(task, calendar)
        last = calendar.known - 1 if test_end is None else calendar.at_or_before(to_session(test_end))
        for later in self._following(window, last, calendar):
            yield self._made(task, later, calendar)

    def _aligned(self, task: Task, calendar: TradingCalendar) -> _Window:
        window: _Window = {}
        for key, value in segments_of(task, test_key=self.test_key).items():
            pair = (value[0], None) if key == self.test_key and _is_open(value) else value
            segment = Segment.aligned(pair, calendar, open_end=key == self.test_key)
            first, last = segment.as_tuple()
            window[key] = _Span(first=calendar.index(first), last=None if last is None else calendar.index(last))
        return window

    def _test_end(self, task: Task, calendar: TradingCalendar) -> int:
        """Return the position of the template's last test session, which has data."""
        segment = segments_of(task, test_key=self.test_key)[self.test_key]
        last = calendar.known - 1
        if _is_open(segment):
            return last
        if to_session(segment[1]) > calendar.last_known:
            _logger.warning(
                "rolling.segment_cut segment=%s end=%s last_session=%s", self.test_key, segment[1], calendar.last_known
            )
            return last
        return calendar.at_or_before(segment[1])

    def _test_window(self, first: int, test_end: int, calendar: TradingCalendar) -> _Span:
        last = first + self.step - 1
        if self.clip_last:
            if test_end < first:
                raise SegmentError(
                    start=calendar[first],
                    end=calendar[test_end],
                    reason=f"test begins after its last session that has data, {calendar[test_end]}",
                )
            return _Span(first=first, last=min(last, test_end))
        return _Span(first=first, last=last if last < len(calendar) else None)

    def _cut_shared_sessions(self, window: _Window, calendar: TradingCalendar) -> None:
        """End a segment before the session that the next one begins with, in place, and say so once for all windows."""
        names = [name for name in (self.train_key, VALID, self.test_key) if name in window]
        for one, other in itertools.pairwise(names):
            span, start = window[one], window[other].first
            if span.last == start and span.first < start:
                window[one] = _Span(first=span.first, last=start - 1)
                _logger.warning(
                    "rolling.segment_shared segment=%s end=%s shared_with=%s", one, calendar[start - 1], other
                )

    def _cut(self, window: _Window, calendar: TradingCalendar) -> None:
        """Cut every segment but test `trunc_days` before test, in place."""
        first = window[self.test_key].first
        for key, span in window.items():
            if key == self.test_key or span.last is None:
                continue
            limit = span.last if self.trunc_days is None else min(span.last, first - self.trunc_days)
            if limit < span.first:
                raise SegmentError(
                    start=calendar[span.first],
                    end=calendar[span.last],
                    reason=f"cutting `{key}` {self.trunc_days} sessions before {calendar[first]} leaves nothing of it",
                    hint="begin it earlier, begin test later, or purge less",
                )
            if key == self.train_key and limit >= first:
                _logger.warning("rolling.train_overlaps_test segment=%s test_start=%s", key, calendar[first])
            window[key] = _Span(first=span.first, last=limit)

    def _following(self, window: _Window, test_end: int, calendar: TradingCalendar) -> Iterator[_Window]:
        while window[self.test_key].first + self.step <= min(test_end, len(calendar) - 1):
            window = {key: self._shifted(key, span, test_end, calendar) for key, span in window.items()}
            yield window

    def _shifted(self, key: str, span: _Span, test_end: int, calendar: TradingCalendar) -> _Span:
        if key == self.test_key:
            return self._test_window(span.first + self.step, test_end, calendar)
        expands = key == self.train_key and self.rtype == self.ROLL_EX
        last = None if span.last is None else span.last + self.step
        return _Span(first=span.first if expands else span.first + self.step, last=last)

    def _made(self, template: Task, window: Mapping[str, _Span], calendar: TradingCalendar) -> Task:
        task = {**self.task_copy_func(template)}
        segments: dict[str, SegmentTuple] = {
            key: (calendar[span.first], None if span.last is None else calendar[span.last])
            for key, span in window.items()
        }
        set_segments(task, segments)
        if self.ds_extra_mod_func is not None:
            self.ds_extra_mod_func(task, self)
        return task


def _tell_early(segments: Mapping[str, Any], calendar: TradingCalendar) -> None:
    """Say which segments are shorter than what was written, because the calendar begins later."""
    for key, (start, _) in segments.items():
        if to_session(start) < calendar.first:
            _logger.warning("rolling.segment_cut segment=%s start=%s first_session=%s", key, start, calendar.first)


def _is_open(segment: Any) -> bool:
    """Return whether the end of a template's test segment leaves it open, in one of Qlib's spellings."""
    if not isinstance(segment, tuple | list) or len(segment) != 2:
        return False
    return segment[1] is None or (isinstance(segment[1], int | str) and segment[1] in _OPEN_ENDS)


def _whole(name: str, value: int, *, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise ConfigError(f"{name} = {value!r} is not a whole number of sessions") from error
    if number < least:
        raise ConfigError(f"{name} = {number} must be at least {least}")
    return number
