"""The setting ``data.holdout``: two days, or a day and an open end."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

from rollwright.core.bounded_read import SMALL, read_whole
from rollwright.core.canonical import sha256_hex

__all__ = ["OPEN_END", "RECORD_FILE", "digest_openings", "read_holdout"]

RECORD_FILE: Final = "holdout.jsonl"
"""In the project's ``.rollwright``: what was sealed and opened, see `rollwright.market.seal_record`."""

OPEN_END: Final = "open"
"""The end of a holdout that has none: whatever is imported later belongs to it too."""
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SIDES: Final = 2
_FORM: Final = 'write ["2017-01-03", "2017-12-29"], or ["2017-01-03", "open"]'


def read_holdout(value: object) -> tuple[str, str] | None:
    """Return the first and the last day of a holdout, as ``YYYY-MM-DD``; the last may be `OPEN_END`.

    Parameters
    ----------
    value : pair of dates or texts, text or None
        A text is what an environment variable can hold: ``2017-01-03,open``, or the pair as JSON. The second of the
        pair may be empty, which is open. None, an empty text and an empty pair are no holdout.

    Raises
    ------
    ValueError
        For anything else, a day that is none, and an end before the start.
    """
    pair = _split(value) if isinstance(value, str) else value
    if pair is None or (isinstance(pair, Sequence) and not pair):
        return None
    if not isinstance(pair, Sequence) or len(pair) != _SIDES:
        raise ValueError(f"it is a pair of days; {_FORM}")
    start, end = (_read_day(side) for side in pair)
    if start == OPEN_END:
        raise ValueError(f"a holdout has a first day; {_FORM}")
    if end < start:  # `open` comes after every day, as texts do
        raise ValueError(f"it ends on {end}, before it starts on {start}")
    return start, end


def digest_openings(state_dir: Path) -> str:
    """Return a text that differs whenever other holdouts were opened; empty where none was.

    It checks nothing and imports nothing that computes: who reads data is told what is wrong with the record.
    """
    try:
        lines = read_whole(state_dir / RECORD_FILE, limit=SMALL).splitlines()
    except OSError:
        return ""
    opened = [line for line in lines if b'"kind":"opened"' in line]
    return f" {sha256_hex(b''.join(opened))[:16]}" if opened else ""


def _split(text: str) -> object:
    if not text.strip():
        return None
    if not text.lstrip().startswith("["):
        return text.split(",")
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no pair; {_FORM}") from error
    return found


def _read_day(side: object) -> str:
    if isinstance(side, date) and not isinstance(side, datetime):
        return side.isoformat()
    text = side.strip() if isinstance(side, str) else None
    if text in ("", OPEN_END):
        return OPEN_END
    if text is None or not _DAY.fullmatch(text):
        raise ValueError(f"{side!r} is no day; {_FORM}")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ValueError(f"{side!r} is no day: {error}") from error
