"""The window of a rolling task: the test segment of its definition, as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["name_window"]

_ENDS = 2


def name_window(definition: Mapping[str, Any]) -> str | None:
    """Return the test segment as ``2016-01-04..2016-03-31``; None when the task has none. An open end is left out."""
    found: Any = definition
    for part in ("dataset", "kwargs", "segments", "test"):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != _ENDS:
        return None
    return "..".join("" if end is None else str(end).removesuffix(" 00:00:00") for end in found)
