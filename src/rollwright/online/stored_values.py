"""Reading values out of a ledger's JSON: whatever stands there is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rollwright.core.text import is_name
from rollwright.errors import LedgerError

__all__ = ["take_count", "take_fields", "take_list", "take_name", "take_one_of", "take_text"]


def take_fields(value: object, names: Sequence[str], what: str) -> dict[str, Any]:
    """Return the members of a JSON object that has exactly these.

    Raises
    ------
    LedgerError
        When it is none.
    """
    if not isinstance(value, Mapping) or value.keys() != {*names}:
        raise LedgerError(f"{what} is not what a ledger holds of one")
    return {name: value[name] for name in names}


def take_text(value: object, what: str) -> str:
    """Return a text.

    Raises
    ------
    LedgerError
        When it is none.
    """
    if not isinstance(value, str):
        raise LedgerError(f"{what} is no text")
    return value


def take_count(value: object, what: str) -> int:
    """Return a whole number from 0 on.

    Raises
    ------
    LedgerError
        When it is none.
    """
    if type(value) is not int or value < 0:
        raise LedgerError(f"{what}: {str(value)[:80]} is no count")
    return value


def take_name(value: object) -> str:
    """Return the name of a strategy: that of a campaign's member, which may hold ``=``.

    Raises
    ------
    LedgerError
        When it is none.
    """
    if not isinstance(value, str) or not is_name(value.replace("=", "-")):
        raise LedgerError(f"{str(value)[:80]!r} is no name of a strategy")
    return value


def take_one_of(value: object, known: Sequence[Any], what: str) -> Any:
    """Return one of a few texts.

    Raises
    ------
    LedgerError
        When it is none.
    """
    if value not in known:
        raise LedgerError(f"{what} is {str(value)[:80]!r}, not {', '.join(known[:-1])} or {known[-1]}")
    return value


def take_list(value: object, read: Callable[[object], Any], what: str) -> tuple[Any, ...]:
    """Return a JSON list, each item read by `read`.

    Raises
    ------
    LedgerError
        When it is none.
    """
    if not isinstance(value, list):
        raise LedgerError(f"{what} are no list")
    return tuple(read(item) for item in value)
