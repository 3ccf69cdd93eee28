"""Which sessions of a handler a range means, and which ranges it must refuse."""

from __future__ import annotations

from typing import Any

from rollwright.calendar.trading import to_session
from rollwright.errors import SegmentError
from rollwright.features.panel import Panel, session_range

__all__ = ["refuse_reversed", "segment_range"]


def segment_range(panel: Panel, start: Any, end: Any, *, own: tuple[Any, Any]) -> range:
    """Return the places of a segment in ``panel.dates``; `own` is the handler's range.

    Raises
    ------
    SegmentError
        When the segment is reversed, has no session here, or reaches beyond the handler's range or the calendar.
    """
    refuse_reversed(start, end)
    dates = panel.dates
    found = session_range(dates, start, end)
    covered = f"[{dates[0]:%Y-%m-%d}, {dates[-1]:%Y-%m-%d}]" if len(dates) else "no session"
    if not found:
        raise SegmentError(start=start, end=end, reason=f"the handler covers {covered}, nothing of it inside")
    limits = panel.limits or (None, None)
    for side, value, bound, limit in (
        ("begins before", start, own[0], limits[0]),
        ("ends after", end, own[1], limits[1]),
    ):
        if value is None:
            continue
        bounds = [to_session(edge) for edge in (bound, limit) if edge is not None]
        moment = to_session(value)
        outside = any(moment < edge if side == "begins before" else moment > edge for edge in bounds)
        if outside:
            raise SegmentError(
                start=start,
                end=end,
                reason=f"it {side} the handler does, which covers {covered}",
                hint="widen the handler's start_time and end_time, or cut the segment",
            )
    return found


def refuse_reversed(start: Any, end: Any) -> None:
    """Raise when a range ends before it starts."""
    if start is not None and end is not None and to_session(end) < to_session(start):
        raise SegmentError(start=start, end=end, reason="it ends before it starts")
