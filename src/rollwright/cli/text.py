"""Format tables and times for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from rollwright.core.text import escape_text

__all__ = ["format_duration", "format_time", "list_names", "print_table"]

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


def list_names(names: Sequence[str]) -> str:
    """Return names in one line; of more than three the first two and the last."""
    return ", ".join(names) if len(names) <= _FEW else f"{names[0]}, {names[1]} … {names[-1]}"
