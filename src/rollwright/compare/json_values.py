"""Reading values out of JSON that anybody may have written: whatever stands there is checked before it is used."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from rollwright.core.canonical import JSON

__all__ = [
    "take_count",
    "take_digest",
    "take_fields",
    "take_json",
    "take_list",
    "take_number",
    "take_one_of",
    "take_optional_number",
    "take_text",
    "write_number",
]

T = TypeVar("T")

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MOST_ITEMS: Final = 100_000
_LONGEST: Final = 10_000
_DEEPEST: Final = 8


def take_fields(value: object, names: Sequence[str], what: str) -> dict[str, Any]:
    """Return the members of a JSON object that has exactly these.

    Raises
    ------
    ValueError
        When it has others: as all functions of this module for what they do not take.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} is no JSON object")
    if value.keys() != {*names}:
        odd = sorted(str(name)[:80] for name in value.keys() ^ {*names})
        raise ValueError(f"{what} lacks, or should not have, {', '.join(odd[:5])}")
    return {name: value[name] for name in names}


def take_text(value: object, what: str) -> str:
    """Return a text of at most 10,000 characters."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError(f"{what} is no text of at most {_LONGEST:,} characters")
    return value


def take_digest(value: object, what: str) -> str:
    """Return a SHA-256 in hexadecimal digits, or ""."""
    if value == "" or (isinstance(value, str) and _DIGEST.fullmatch(value)):
        return str(value)
    raise ValueError(f"{what} is no digest")


def take_count(value: object, what: str) -> int:
    """Return a whole number from 0 to 2 ** 53."""
    if type(value) is not int or not 0 <= value <= 2**53:
        raise ValueError(f"{what}: {str(value)[:80]} is no count")
    return value


def take_number(value: object, what: str) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{what}: {str(value)[:80]} is no number")
    return float(value)


def take_optional_number(value: object, what: str) -> float:
    """Return a finite number, or NaN where there is null."""
    return math.nan if value is None else take_number(value, what)


def write_number(value: float) -> float | None:
    """Return a number as JSON has it: null where it is not finite."""
    return float(value) if math.isfinite(value) else None


def take_one_of(value: object, known: Sequence[T], what: str) -> T:
    """Return one of a few values."""
    for one in known:
        if type(value) is type(one) and value == one:
            return one
    raise ValueError(f"{what} is {str(value)[:80]!r}, not one of {', '.join(map(str, known))}")


def take_json(value: object, what: str, *, depth: int = 0) -> JSON:
    """Return a JSON value of finite numbers, texts as `take_text` takes them, and at most eight levels."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return take_text(value, what)
    if isinstance(value, int | float):
        take_number(value, what)
        return value
    if depth < _DEEPEST and isinstance(value, list) and len(value) <= _MOST_ITEMS:
        return [take_json(one, what, depth=depth + 1) for one in value]
    if depth < _DEEPEST and isinstance(value, dict) and len(value) <= _MOST_ITEMS:
        return {take_text(name, what): take_json(one, what, depth=depth + 1) for name, one in value.items()}
    raise ValueError(f"{what} has a value of another kind, is too deep, or too long")


def take_list(value: object, read: Callable[[Any], T], what: str) -> tuple[T, ...]:
    """Return a list of at most 100,000 items, each read by `read`."""
    if not isinstance(value, list) or len(value) > _MOST_ITEMS:
        raise ValueError(f"{what} is no list of at most {_MOST_ITEMS:,} items")
    return tuple(read(one) for one in value)
