"""Format tables and times for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from rollwright.core.text import escape_text

__all__ = [
    "draw_sign_legend",
    "draw_signs",
    "format_duration",
    "format_size",
    "format_time",
    "list_names",
    "print_table",
]

_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "failed": ("✗", "F"),
    "missing": ("?", "?"),
    "cancelled": ("-", "-"),
    "running": ("▒", ">"),
    "waiting": ("·", "."),
    "part_done": ("▁", "p"),
    "done": ("█", "#"),
}
"""The sign of each state, the one that has to be seen first at the top, and the one where only ASCII can be shown."""
_FEW = 3
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, right: Collection[str] = ()) -> None:
    """Print rows beneath their headings; columns named in `right` are numbers and stand to the right."""
    from rich.cells import cell_len  # noqa: PLC0415 - keeps --help light

    texts = [[escape_text(cell) for cell in row] for row in rows]
    widths = [max(cell_len(cell) for cell in column) for column in zip(head, *texts, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for name, cell, width in zip(head, cells, widths, strict=True):
            gap = " " * (width - cell_len(cell))
            padded.append(gap + cell if name in right else cell + gap)
        return "  ".join(padded).rstrip()

    for cells in (list(head), *texts):
        print(line(cells))


def format_time(moment: float | None) -> str:
    """Return seconds since 1970 as a time in UTC, or nothing."""
    return "" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_duration(seconds: float) -> str:
    """Return a length of time in its largest unit that is not zero."""
    if seconds < _MINUTE:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} d"


def format_size(count: int | None) -> str:
    """Return so many bytes, as people read them."""
    amount, units = float(count or 0), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def list_names(names: Sequence[str]) -> str:
    """Return names in one line; of more than three the first two and the last."""
    return ", ".join(names) if len(names) <= _FEW else f"{names[0]}, {names[1]} … {names[-1]}"


def draw_signs(states: Sequence[str], *, width: int) -> str:
    """Return one sign for each state, in order; where they are more than `width`, each stands for several.

    Of several the state that has to be seen first is shown, as in `_SIGNS`.
    """
    order = [*_SIGNS]
    cells = min(width, len(states))
    bounds = [number * len(states) // cells for number in range(cells + 1)] if cells else [0]
    return "".join(_sign(min(states[start:stop], key=order.index)) for start, stop in pairwise(bounds))


def draw_sign_legend(states: Collection[str]) -> str:
    """Return what the signs mean, of those that occur."""
    return "  ".join(f"{_sign(state)} {state.replace('_', ' ')}" for state in _SIGNS if state in states)


def _sign(state: str) -> str:
    drawn, plain = _SIGNS[state]
    try:
        drawn.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return plain
    return drawn
