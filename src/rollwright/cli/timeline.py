"""The windows of a campaign on a calendar, drawn with characters."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

__all__ = ["Bar", "BarPart", "draw_axis", "draw_bar", "draw_legend"]

_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "train": ("━", "="),
    "valid": ("─", "-"),
    "test": ("█", "#"),
    "purge": ("×", "x"),
    "embargo": ("○", "o"),
}
"""The sign of each part, and the one for terminals that know ASCII alone; another segment has its first letter."""

_STEPS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 600, 6_000)
"""Months between two marks of an axis."""
_MARK: Final = 8
"""Characters that a mark takes, with the room around it."""


class BarPart(NamedTuple):
    """A part of a window, from a day to a day, both included."""

    kind: str
    start: date
    end: date


class Bar(NamedTuple):
    """A window: its spans."""

    spans: tuple[BarPart, ...]

    @property
    def start(self) -> date:
        """The first day."""
        return min(span.start for span in self.spans)

    @property
    def end(self) -> date:
        """The last day."""
        return max(span.end for span in self.spans)


def draw_bar(bar: Bar, *, start: date, end: date, width: int) -> str:
    """Return a window as `width` characters, of which the first stands for `start` and the last for `end`.

    Every part that it has is seen, however short it is beside the whole: one sign at least.
    """
    cells = [" "] * width
    limit = width  # from the right, so that a part gives way to the one after it
    for span in sorted(bar.spans, key=lambda span: span.start, reverse=True):
        last = min(_place(span.end, start, end, width), limit - 1)
        first = min(_place(span.start, start, end, width), last)
        if last >= 0:
            cells[first : last + 1] = [_sign(span.kind)] * (last + 1 - first)
            limit = first
    return "".join(cells).rstrip()


def _place(day: date, start: date, end: date, width: int) -> int:
    length = max(1, (end - start).days)
    return min(width - 1, max(0, (day - start).days * width // (length + 1)))


def draw_axis(start: date, end: date, width: int) -> str:
    """Return the years, or where the whole is short the months, each where it begins."""
    cells = [" "] * width
    months = (end.year - start.year) * 12 + end.month - start.month + 1
    step = next((step for step in _STEPS if months / step <= width / _MARK), _STEPS[-1])
    free = 0
    for number in range(months):
        year, month = divmod(start.year * 12 + start.month - 1 + number, 12)
        if number and (year * 12 + month) % step:
            continue
        text = f"{year}" if step >= 12 else f"{year}-{month + 1:02}"
        place = _place(max(start, date(year, month + 1, 1)), start, end, width)
        if place >= free and place + len(text) <= width:
            cells[place : place + len(text)] = text
            free = place + len(text) + 1
    return "".join(cells).rstrip()


def draw_legend(kinds: Sequence[str]) -> str:
    """Return what the signs mean, of those that occur."""
    known = [*_SIGNS, *(kind for kind in kinds if kind not in _SIGNS)]
    return "  ".join(f"{_sign(kind)} {kind}" for kind in known if kind in kinds)


def _sign(kind: str) -> str:
    drawn, plain = _SIGNS.get(kind, (kind[:1], kind[:1]))
    return drawn if _can_draw() else plain


def _can_draw() -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "".join(sign for sign, _ in _SIGNS.values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
