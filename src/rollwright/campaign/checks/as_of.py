"""Checks that a task asks for nothing later than the moment from which its campaign is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rollwright.calendar.trading import to_session
from rollwright.errors import CalendarError, ConfigError

__all__ = ["refuse_later"]

_ENDS: Final = ("end_time", "fit_end_time")


def refuse_later(task: Mapping[str, Any], as_of: str | None) -> None:
    """Refuse a task with a segment, or a handler, that ends after `as_of`: it would ask for what nobody knew.

    An end that is open is the last session that was known. None as `as_of` refuses nothing.

    Raises
    ------
    ConfigError
    """
    if as_of is None:
        return
    for what, end in _find_ends(task):
        try:
            is_later = to_session(end) > to_session(as_of)
        except CalendarError:
            continue  # a placeholder, or told by the check of dates
        if is_later:
            raise ConfigError(
                f"{what} ends on {end}, and as of {as_of} nobody knew it",
                hint="end it there or earlier, leave the end open (null), or raise `as_of`",
            )


def _find_ends(task: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every end of a task that is given, with what it is the end of."""
    kwargs = (task.get("dataset") or {}).get("kwargs") or {}
    segments = kwargs.get("segments")
    for name, pair in segments.items() if isinstance(segments, Mapping) else ():
        if isinstance(pair, list | tuple) and len(pair) == 2 and pair[1] is not None:
            yield f"the segment `{name}`", pair[1]
    handler = kwargs.get("handler")
    given = (handler.get("kwargs") or {}) if isinstance(handler, Mapping) else {}
    for name in _ENDS:
        if given.get(name) is not None:
            yield f"the handler's `{name}`", given[name]
