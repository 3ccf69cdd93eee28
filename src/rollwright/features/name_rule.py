"""Regular expressions that select instruments by their code: compiled only when matching one stays cheap.

Python's `re` tries every way to match. A pattern in which a repeated part can itself be matched in several ways takes
time that doubles with each character of the code, and a configuration may come from somebody else. Codes have at most
100 characters, so two rules bound the work:

1. What is repeated neither repeats, nor is optional, nor has alternatives, nor refers back: matching is no longer
   exponential, but polynomial in the number of open repeats.
2. There are at most `MAX_REPEATS` repeats of a number that is not fixed, and `MAX_LENGTH` characters.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rollwright.errors import ConfigError

__all__ = ["MAX_LENGTH", "MAX_REPEATS", "compile_name_rule"]

MAX_LENGTH: Final = 500
MAX_REPEATS: Final = 3
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_REFERENCES: Final = ("GROUPREF", "GROUPREF_IGNORE", "GROUPREF_LOC_IGNORE", "GROUPREF_UNI_IGNORE", "GROUPREF_EXISTS")


def compile_name_rule(text: str) -> re.Pattern[str]:
    """Return the compiled pattern.

    Raises
    ------
    ConfigError
        When it is no regular expression, or one whose matching may take too long.
    """
    if len(text) > MAX_LENGTH:
        raise ConfigError(
            f"a name_rule_re of {len(text)} characters; at most {MAX_LENGTH} are read",
            hint="list the codes, or write a universe's file",
        )
    try:
        compiled = re.compile(text)
        parsed = importlib.import_module("re._parser").parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"{text!r} is not a regular expression: {error}") from error
    found = list(_repeats(parsed, within=False))
    if "nested" in found:
        raise ConfigError(
            f"{text!r} repeats a part that can be matched in several ways, which may take for ever",
            hint="repeat single characters or sets of them, as [A-Z0-9]+ for ([A-Z]|[0-9])+",
        )
    if len(found) > MAX_REPEATS:
        raise ConfigError(
            f"{text!r} has {len(found)} repeats of an open number, and at most {MAX_REPEATS} are matched",
            hint="say how many, as [0-9]{6}, or give several filters",
        )
    return compiled


def _repeats(parsed: Any, *, within: bool) -> Iterator[str]:
    """Yield ``open`` for each repeat of a number that is not fixed, ``nested`` for a choice within a repeat."""
    for operation, argument in parsed:
        name = str(operation)
        is_open = name in _REPEATS and argument[0] != argument[1]
        is_many = name in _REPEATS and int(argument[1]) > 1
        if within and (is_open or name == "BRANCH" or name in _REFERENCES):
            yield "nested"
        elif (is_open and is_many) or name in _REFERENCES:
            yield "open"
        for part in _parts(name, argument):
            yield from _repeats(part, within=within or is_many)


def _parts(name: str, argument: Any) -> Sequence[Any]:
    """Return what a part of a pattern holds."""
    match name:
        case "BRANCH":
            return list(argument[1])
        case "SUBPATTERN" | "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT" | "ASSERT" | "ASSERT_NOT":
            return [argument[-1]]
        case "ATOMIC_GROUP":
            return [argument]
        case "GROUPREF_EXISTS":
            return [part for part in argument[1:] if part is not None]
    return []
