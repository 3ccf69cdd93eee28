"""Checks of a task's dates (segments, ranges of handlers) before any market data is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rollwright.campaign.yaml.document import KeyPath
from rollwright.errors import CalendarError, nearest

__all__ = ["check_handler", "check_segments"]

Problem = tuple[KeyPath, str]

ROLES: Final = ("train", "valid", "test")
RANGES: Final = (("start_time", "end_time"), ("fit_start_time", "fit_end_time"))


def check_segments(target: Any, kwargs: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a dataset's ``segments``: the path within its arguments, and the message.

    A segment is a pair of dates, an open side is null; train, valid and test do not overlap unless ``allow_overlap``
    is set; none begins before the handler's data do.
    """
    from rollwright.dataset.dataset import DatasetH  # noqa: PLC0415 - only tasks with a dataset pay for it

    segments = kwargs.get("segments")
    if not (isinstance(target, type) and issubclass(target, DatasetH)) or segments is None:
        return
    if not isinstance(segments, Mapping):
        yield ("segments",), "`segments` is a mapping of names to pairs of dates"
        return
    spans: dict[str, tuple[Any, Any]] = {}
    for name, pair in segments.items():
        near = nearest(name, [role for role in ROLES if role not in segments])
        if name not in ROLES and near:
            yield ("segments", name), f"segment `{name}`; did you mean `{near}`?"
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            yield ("segments", name), f"segment `{name}` is not a pair of dates: {_format_value(pair)}"
            continue
        found = list(_check_range(pair[0], pair[1], ("segments", name, 0), ("segments", name, 1), name))
        yield from found
        if not found:
            spans[name] = (pair[0], pair[1])
    if not kwargs.get("allow_overlap"):
        yield from _check_overlaps(spans)
    yield from _check_handler_start(spans, kwargs.get("handler"))


def _check_handler_start(spans: Mapping[str, tuple[Any, Any]], handler: Any) -> Iterator[Problem]:
    """Yield the segments that begin before the data of the configured handler start: those rows would never exist.

    An end beyond the handler's is no problem yet: rolling windows move the handler's end along.
    """
    from rollwright.calendar.trading import to_session  # noqa: PLC0415 - pandas comes with it

    given = handler.get("kwargs") if isinstance(handler, Mapping) else None
    first = given.get("start_time") if isinstance(given, Mapping) else None
    if first is None or (isinstance(first, str) and first.startswith("<")) or _check_date(first):
        return
    for name, (start, _) in spans.items():
        if start is None or (isinstance(start, str) and start.startswith("<")):
            continue
        if to_session(start) < to_session(first):
            said = f"`{name}` begins {_format_value(start)}, before the handler's start_time {_format_value(first)}"
            yield ("segments", name, 0), said + "; widen the handler, or cut the segment"


def check_handler(target: Any, kwargs: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the dates and codes in a handler's arguments."""
    from rollwright.dataset.handler import DataHandler  # noqa: PLC0415 - only tasks with a handler pay for it

    if not (isinstance(target, type) and issubclass(target, DataHandler)):
        return
    for first, last in RANGES:
        yield from _check_range(kwargs.get(first), kwargs.get(last), (first,), (last,), first.removesuffix("_time"))
    codes = kwargs.get("instruments")
    for position, code in enumerate(codes if isinstance(codes, list) else []):
        if not isinstance(code, str):
            said = f"{_format_value(code)} is {type(code).__name__}, and codes are texts: write it in quotes"
            yield ("instruments", position), said
    if codes is not None and not isinstance(codes, str | list | Mapping):
        yield ("instruments",), f"{_format_value(codes)} is {type(codes).__name__}, no universe, and no list of codes"


def _check_date(value: object) -> str | None:
    """Return why `value` is not a date, or None."""
    from rollwright.calendar.trading import to_session  # noqa: PLC0415 - pandas comes with it

    try:
        to_session(value)  # type: ignore[arg-type]  # whether it is one is the question
    except CalendarError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return None


def _check_range(start: Any, end: Any, at: KeyPath, until: KeyPath, name: str) -> Iterator[Problem]:
    from rollwright.calendar.trading import to_session  # noqa: PLC0415 - pandas comes with it

    if any(isinstance(value, str) and value.startswith("<") for value in (start, end)):
        return  # a placeholder that could not be filled has been told
    bad = False
    for keys, value in ((at, start), (until, end)):
        said = _check_date(value) if value is not None else None
        if said:
            bad = True
            yield keys, said
    if not bad and start is not None and end is not None and to_session(end) < to_session(start):
        yield until, f"`{name}` ends {_format_value(end)}, before it starts {_format_value(start)}"


def _check_overlaps(spans: Mapping[str, tuple[Any, Any]]) -> Iterator[Problem]:
    import pandas as pd  # noqa: PLC0415 - what checks dates needs it, what reads a file does not

    from rollwright.calendar.trading import to_session  # noqa: PLC0415 - pandas comes with it

    roles = [role for role in ROLES if role in spans]
    for number, one in enumerate(roles):
        for other in roles[number + 1 :]:
            (start, end), (begin, stop) = spans[one], spans[other]
            low = max(pd.Timestamp.min if side is None else to_session(side) for side in (start, begin))
            high = min(pd.Timestamp.max if side is None else to_session(side) for side in (end, stop))
            is_boundary = low == high and None not in (end, begin) and to_session(end) == to_session(begin)
            if low <= high and not is_boundary:  # that session goes to the later segment
                shown = [
                    f"[{_format_value(first)}, {_format_value(last)}]" for first, last in (spans[other], spans[one])
                ]
                said = f"`{other}` {shown[0]} overlaps `{one}` {shown[1]}"
                yield ("segments", other), said + "; write `allow_overlap: true` in the dataset's kwargs if it is meant"


def _format_value(value: object) -> str:
    return "…" if value is None else str(value)
