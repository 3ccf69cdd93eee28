"""Errors of meaning get their place: the value of the file that an error speaks of is found in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from rollwright.campaign.yaml.document import KeyPath, YamlDocument
from rollwright.errors import ExpressionError, RollwrightError, TaskFailedError

__all__ = ["located", "put_place"]

_NAMED: Final = re.compile(r"`([^`\n]+)`|'([^'\n]+)'|([0-9]{4}-[0-9]{2}-[0-9]{2})")


@contextmanager
def located(document: YamlDocument) -> Iterator[None]:
    """Give an error that leaves the block the file, line and column of the value it names, if one does.

    What a message puts into backquotes or quotes, and the dates in it, are looked for among the values of the task and
    of what varies in it, the first first: as a whole value, and else within one, as a field within an expression. Of an
    expression that cannot be read it is the expression. The class, the exit code and the hint of the error stay.
    """
    try:
        yield
    except TaskFailedError:
        raise  # names windows
    except RollwrightError as error:
        named = f"`{error.expression}`" if isinstance(error, ExpressionError) else error.message
        place = None if _is_located(error, document) else find_place(named, document)
        if place is not None:
            put_place(error, place)
        raise


def put_place(error: RollwrightError, place: str) -> None:
    """Put file, line and column before the message of an error."""
    error.message = f"{place}: {error.message}"
    error.args = (error.message, *error.args[1:])


def _is_located(error: RollwrightError, document: YamlDocument) -> bool:
    return re.search(rf"{re.escape(document.path.name)}:[0-9]+", error.message) is not None


def find_place(message: str, document: YamlDocument) -> str | None:
    """Return file, line and column of the value that `message` names; None when it names none of the file's."""
    values = [
        (keys, _squeeze(str(value)))
        for section in ("task", "rolling", "qlib_init", "backtest", "vary")
        for keys, value in _walk(document.data.get(section), (section,))
    ]
    for found in _NAMED.finditer(message):
        wanted = _squeeze(next(part for part in found.groups() if part))
        for keys, value in values:
            if value == wanted:
                return document.locate(keys)
        within = re.compile(rf"(?<![\w$.]){re.escape(wanted)}(?!\w)")
        for keys, value in values:
            if within.search(value):
                return document.locate(keys)
    return None


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _walk(value: Any, keys: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value that is no mapping and no list, with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, (*keys, key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _walk(item, (*keys, place))
    elif value is not None:
        yield keys, value
