"""The text that stands in a database for a definition or a result.

It is canonical JSON, which every store can ask for its parts. Where that alone would not give the value back (a tuple
is a list in it, a timestamp text), the text is ``{"$stored": 1, "value": …, "types": …}``: the same canonical JSON, and
beside it the parts that are something else, by their paths, as typed JSON. Queries see ``value`` only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from rollwright.core.allowance import ARTIFACT, MAX_BYTES
from rollwright.core.canonical import (
    JSON,
    canonical_json,
    dump_canonical,
    dump_leaf,
    normalise,
    parse_json,
    with_segment_tuples,
)
from rollwright.core.part_memo import PartMemo, Parts, is_plain_text
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


def write_definition(definition: Mapping[str, Any], *, parts: Parts | None = None) -> str:
    """Return the text of a task definition, as `write_stored`; quickly where one before it had the same parts.

    Parameters
    ----------
    definition : mapping
    parts : Parts, optional
        Its own, when more is asked of them.
    """
    parts = Parts(definition) if parts is None else parts
    text = _write_quickly(definition, parts) if type(definition) is dict and parts.is_simple else None
    return write_stored(definition, bare=with_segment_tuples) if text is None else text


_Place: TypeAlias = Literal["config", "segments", "raw"]
"""What `with_segment_tuples` does there: look for segments, make tuples of pairs, nothing."""


class _Part(NamedTuple):
    """A part of a definition as canonical JSON.

    Attributes
    ----------
    text : str
    is_bare : bool
        Whether the text alone gives the part back, where it stands.
    """

    text: str
    is_bare: bool


_PARTS: Final[PartMemo[_Part]] = PartMemo()
_KINDS: Final = frozenset({str, int, float, bool, type(None)})


def _write_quickly(definition: dict[Any, Any], within: Parts) -> str | None:
    """Return the text of a definition; None for one that the careful way refuses, or has to look at."""
    if MARK in definition:
        return None
    try:
        text, is_bare = _mapping(definition, "config", within)
        if not is_bare:
            types: Any = [[list(path), _describe(part)] for path, part in _list_others(definition, ())]
            text = f'{{"{MARK}":{_FORMAT},"{_TYPES}":{dump_canonical(types)},"{VALUE}":{text}}}'
    except (TaskValueError, TypeError):  # keys of several types have no order
        return None
    return text if len(text) < MAX_BYTES // 4 else None  # a character has up to four bytes


def _part(value: Any, place: _Place, within: Parts) -> _Part:
    kind = type(value)
    if kind in _KINDS:
        plain = normalise(value)
        return _Part(dump_leaf(plain), kind is not float or _is_same(plain, value))  # a negative zero is not
    if kind is not dict and kind is not list and kind is not tuple:
        return _Part(dump_leaf(normalise(value, typed=True)), is_bare=False)
    content = within.content(value)
    found = _PARTS.get(place, content) if content is not None else None
    if found is None:
        found = _mapping(value, place, within) if kind is dict else _sequence(value, place, within)
        if content is not None:
            _PARTS.put(place, content, found)
    return found


def _mapping(value: dict[Any, Any], place: _Place, within: Parts) -> _Part:
    texts: list[str] = []
    is_bare = True
    for name in sorted(value):
        if type(name) is not str or not is_plain_text(name):
            raise TaskValueError("$", "a key that is no plain text")
        item = value[name]
        if type(item) is str and is_plain_text(item):  # most are, and need nothing else
            texts.append(f"{encode_basestring(name)}:{encode_basestring(item)}")
            continue
        found = _part(item, "segments" if name == "segments" and place == "config" else place, within)
        texts.append(f"{encode_basestring(name)}:{found.text}")
        is_bare = is_bare and found.is_bare
    return _Part(f"{{{','.join(texts)}}}", is_bare)


def _sequence(value: list[Any] | tuple[Any, ...], place: _Place, within: Parts) -> _Part:
    parts = [_part(item, "config" if place == "config" else "raw", within) for item in value]
    text = ",".join([part.text for part in parts])
    comes_back = (type(value) is tuple) == (place == "segments" and len(value) == 2)
    return _Part(f"[{text}]", comes_back and all(part.is_bare for part in parts))


def _list_others(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield each largest part of a simple value that JSON has no form for, with its path, as `_list_types`."""
    for place, item in value.items() if type(value) is dict else enumerate(value):
        kind = type(item)
        if kind is dict or kind is list:
            yield from _list_others(item, (*path, place))
        elif kind not in _KINDS or (kind is float and item == 0.0 and math.copysign(1.0, item) < 0.0):
            yield (*path, place), item


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
