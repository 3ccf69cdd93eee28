"""Universes: which instruments belong, and from when to when (their lifetimes)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rollwright.calendar.date_text import explain_no_date, parse_dates
from rollwright.calendar.trading import Session
from rollwright.errors import CorruptFileError, DataError, UnknownInstrumentError
from rollwright.market.folder.layout import INSTRUMENTS, check_code, refuse_case_twins, text_files
from rollwright.market.source import Lifetimes

__all__ = ["extend_lifetimes", "format_lifetimes", "parse_lifetimes", "universe_names"]


def universe_names(root: Path) -> list[str]:
    """Return the names of the universes in a data folder, sorted."""
    return sorted(path.stem for path in text_files(root, INSTRUMENTS))


def parse_lifetimes(path: Path, data: bytes) -> dict[str, tuple[tuple[Session, Session], ...]]:
    """Return the lifetimes an instruments file tells, codes in the order of the file.

    Ranges of one code are sorted, and those that overlap become one.

    Raises
    ------
    CorruptFileError
        With the line, when a code, a date or the number of columns is wrong, a range ends before it starts, or two
        codes differ only in case.
    """
    rows = [(line.split("\t"), number) for number, line in enumerate(_lines(path, data), 1) if line.strip()]
    for columns, number in rows:
        if len(columns) < 3:
            raise CorruptFileError(
                path,
                f"line {number}: {len(columns)} columns where code, start and end are due, tab separated",
                hint="write the first and the last session of each code, as SH600000<TAB>2010-01-04<TAB>2020-12-31",
            )
        try:
            check_code(columns[0].strip())
        except UnknownInstrumentError as error:
            raise CorruptFileError(path, f"line {number}: {error.message}") from error
    lines = [number for _, number in rows]
    starts = _dates(path, [columns[1].strip() for columns, _ in rows], lines)
    ends = _dates(path, [columns[2].strip() for columns, _ in rows], lines)
    backwards = np.flatnonzero(ends < starts)
    if len(backwards):
        at = int(backwards[0])
        raise CorruptFileError(path, f"line {lines[at]}: {rows[at][0][0]} ends on {ends[at]}, before its start")
    ranges: dict[str, list[tuple[Session, Session]]] = {}
    for (columns, _), start, end in zip(rows, starts, ends, strict=True):
        ranges.setdefault(columns[0].strip(), []).append((start, end))
    try:
        refuse_case_twins(list(ranges), where=str(path))
    except DataError as error:
        raise CorruptFileError(path, error.message, hint=error.hint) from error
    return {code: _merge_ranges(spans) for code, spans in ranges.items()}


def _lines(path: Path, data: bytes) -> list[str]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = data.decode("latin-1")
        if not all("".join(line.split("\t")[:3]).isascii() for line in text.split("\n")):
            raise CorruptFileError(path, f"it is not UTF-8: {error.reason} at byte {error.start}") from error
        # a name in another encoding behind code, start and end
    return text.replace("\r\n", "\n").split("\n")


def _dates(path: Path, texts: list[str], lines: list[int]) -> pd.DatetimeIndex:
    dates = parse_dates(texts)
    wrong = np.flatnonzero(np.isnat(dates.clock) | dates.zoned)
    if len(wrong):
        at = int(wrong[0])
        why = "has a time zone" if dates.zoned[at] else explain_no_date(texts[at])
        raise CorruptFileError(path, f"line {lines[at]}: {texts[at][:40]!r} {why}", hint="write it as YYYY-MM-DD")
    return pd.DatetimeIndex(dates.clock).as_unit("s")


def _merge_ranges(spans: Iterable[tuple[Session, Session]]) -> tuple[tuple[Session, Session], ...]:
    merged: list[tuple[Session, Session]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def format_lifetimes(lifetimes: Lifetimes) -> bytes:
    """Return the bytes of an instruments file, sorted by code."""
    return "".join(
        f"{code}\t{_text(start)}\t{_text(end)}\n" for code in sorted(lifetimes) for start, end in lifetimes[code]
    ).encode()


def _text(session: Session) -> str:
    return session.strftime("%Y-%m-%d" if session == session.normalize() else "%Y-%m-%d %H:%M:%S")


def extend_lifetimes(lifetimes: Lifetimes, added: Mapping[str, tuple[Session, Session]]) -> Lifetimes:
    """Return `lifetimes` grown so that each code of `added` lives from its first to its last session there.

    A known code keeps its gaps: only its first start and its last end move, and only outwards.
    """
    grown = dict(lifetimes)
    for code, (first, last) in added.items():
        spans = list(grown.get(code, ((first, last),)))
        spans[0] = (min(spans[0][0], first), spans[0][1])
        spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        grown[code] = tuple(spans)
    return grown
