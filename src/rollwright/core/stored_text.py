"""The text that stands in a database for a definition or a result.

It is canonical JSON, which every store can ask for its parts. Where that alone would not give the value back (a tuple
is a list in it, a timestamp text), the text is ``{"$stored": 1, "value": …, "types": …}``: the same canonical JSON, and
beside it the parts that are something else, by their paths, as typed JSON. Queries see ``value`` only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from rollwright.core.allowance import ARTIFACT, MAX_BYTES
from rollwright.core.canonical import JSON, canonical_json, dump_canonical, normalise, parse_json, with_segment_tuples
from rollwright.core.typed import TAG, from_typed, to_typed
from rollwright.errors import TaskValueError

__all__ = [
    "MARK",
    "VALUE",
    "plain_of",
    "read_stored",
    "restore",
    "restore_definition",
    "write_definition",
    "write_stored",
]

MARK: Final = "$stored"
VALUE: Final = "value"
_TYPES: Final = "types"
_FORMAT: Final = 1


def write_stored(value: object, *, bare: Callable[[JSON], Any] | None = None) -> str:
    """Return the text of `value`.

    Parameters
    ----------
    value : object
    bare : callable, optional
        What `restore` makes of canonical JSON that stands alone; the JSON itself if not given.

    Raises
    ------
    TaskValueError
        When a part has neither a JSON form nor a typed one, with its path; for more than 1 MiB of JSON.
    """
    text = canonical_json(value, typed=True)
    plain = parse_json(text)
    if not (isinstance(plain, dict) and MARK in plain) and _is_same(bare(plain) if bare else plain, value):
        return text
    types: list[JSON] = [[list(path), found] for path, found in _list_types(value, plain, ())]
    return dump_canonical({MARK: _FORMAT, VALUE: plain, _TYPES: types})  # as it is: types know a negative zero


def write_definition(definition: Mapping[str, Any]) -> str:
    """Return the text of a task definition, as `write_stored`."""
    return write_stored(definition, bare=with_segment_tuples)


def restore_definition(parsed: JSON) -> Any:
    """Return the definition of a parsed text, as `restore`; canonical JSON that stands alone has tuples as segments."""
    return restore(parsed, bare=with_segment_tuples)


def read_stored(text: str, *, bare: Callable[[JSON], Any] | None = None) -> Any:
    """Return the value of a stored text, as `restore`.

    Raises
    ------
    TaskValueError
        When it is no such text, or a newer rollwright wrote it.
    """
    return restore(parse_json(text), bare=bare)


def plain_of(parsed: JSON) -> JSON:
    """Return the canonical JSON in a parsed text: what queries see."""
    return parsed.get(VALUE) if isinstance(parsed, dict) and MARK in parsed else parsed


def restore(parsed: JSON, *, bare: Callable[[JSON], Any] | None = None) -> Any:
    """Return the value of a parsed text.

    Raises
    ------
    TaskValueError
    """
    if not isinstance(parsed, dict) or MARK not in parsed:
        return bare(parsed) if bare is not None else parsed
    types = parsed.get(_TYPES)
    if parsed[MARK] != _FORMAT or VALUE not in parsed or not isinstance(types, list):
        raise TaskValueError(
            "$", f"it is stored in format {str(parsed[MARK])[:20]}, which is not known here", hint="update rollwright"
        )
    root: dict[str, Any] = {VALUE: json.loads(json.dumps(parsed[VALUE]))}  # a copy, which is changed below
    for entry in types:
        _put_back(root, entry)
    return root[VALUE]


def _put_back(root: dict[str, Any], entry: Any) -> None:
    try:
        path, found = entry
        holder: Any = root
        for part in [VALUE, *path][:-1]:
            holder = holder[part]
        holder[[VALUE, *path][-1]] = from_typed(found)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise TaskValueError("$", f"the type of a part cannot be read: {type(error).__name__}: {error}") from error


def _list_types(value: Any, plain: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], JSON]]:
    """Yield each largest part that its canonical form would not give back, with its path and its typed form."""
    if isinstance(value, list) and type(plain) is list:
        for place, item in enumerate(value):
            yield from _list_types(item, plain[place], (*path, place))
    elif isinstance(value, Mapping) and type(plain) is dict and TAG not in value and all(key in plain for key in value):
        for key, item in value.items():
            yield from _list_types(item, plain[key], (*path, key))
    elif not _is_same(plain, value):
        yield path, _describe(value)


def _describe(value: Any) -> Any:
    """Return the typed form of a part that has a canonical one."""
    try:
        return to_typed(value, limit=ARTIFACT, widen=True)
    except TaskValueError:
        return normalise(value, limit=MAX_BYTES, typed=True)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of the same types in every part; only what JSON has is ever the same."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is list or kind is tuple:
        return len(one) == len(other) and all(map(_is_same, one, other))
    if kind is dict:
        return (
            one.keys() == other.keys()
            and all(type(key) is str for key in other)
            and all(_is_same(item, other[key]) for key, item in one.items())
        )
    if kind is float:
        return one == other and math.copysign(1.0, one) == math.copysign(1.0, other)
    return kind in (str, int, bool, type(None)) and bool(one == other)
