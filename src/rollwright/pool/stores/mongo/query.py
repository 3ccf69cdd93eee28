"""The query language in MongoDB's words, and the nodes of a definition or a result that it asks.

No part of a user's data ever becomes the name of a field: each value of a definition or a result, inner ones included,
is kept as one element of an array, with its path, its type and itself as *values*. So keys with dots or dollars, empty
ones and `_id` are all legal, and a dotted query is an ``$elemMatch`` that the server runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from rollwright.core.canonical import JSON, canonical_json, sha256_hex
from rollwright.core.stored_text import plain_of
from rollwright.pool.query import FINGERPRINT, And, Compare, Exists, In, Matches, Not, Or, Query, is_position

__all__ = ["FALSE", "NODES", "Filter", "nodes_of", "where"]

Filter: TypeAlias = dict[str, Any]

FALSE: Final[Filter] = {"_id": {"$in": []}}
NODES: Final[Mapping[str, str]] = {"def": "def_nodes", "res": "res_nodes", "validity": "validity_nodes"}
"""The array of nodes of each text."""

_TEXT_COLUMNS: Final = ("status", "owner", "needs")
_WHOLE: Final = ("object", "list")
_COLUMNS: Final = ("_id", "status", "priority", "attempts", "owner", "created", "ended", "needs")


def nodes_of(text: str) -> list[Filter]:
    """Return the nodes of a stored text: ``p`` the dotted path, ``t`` the type, ``v`` the value.

    An object or a list is kept as the SHA-256 of its canonical text. What no query can name (keys that are empty, are
    digits only or hold a dot, and all beneath them) has no node.
    """
    return [*_walk(plain_of(json.loads(text)), "")]


def _walk(value: JSON, path: str) -> Iterator[Filter]:
    kind = _kind(value)
    keys = {"k": [*value]} if isinstance(value, dict) else {}
    yield {"p": path, "t": kind, "v": _hash(value) if kind in _WHOLE else value, **keys}
    if isinstance(value, dict):
        for key, item in value.items():
            if key and "." not in key and not is_position(key):
                yield from _walk(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _walk(item, f"{path}.{place}" if path else str(place))


def _kind(value: JSON) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, dict) else "list"


def _hash(value: JSON) -> str:
    # What is walked was parsed from canonical text, so its keys are in order already.
    return sha256_hex(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def where(query: Query | None) -> Filter:  # noqa: PLR0911 - one for each kind of node
    """Return MongoDB's filter for `query`; an empty one for None."""
    match query:
        case None:
            return {}
        case And(parts=parts):
            return {"$and": [where(part) for part in parts]} if parts else {}
        case Or(parts=parts):
            return {"$or": [where(part) for part in parts]} if parts else FALSE
        case Not(part=part):
            inner = where(part)
            return {"$nor": [inner]} if inner else FALSE
        case Exists(path=path):
            return {} if path[0] in _COLUMNS else _node(path)
        case Matches(path=path, pattern=pattern):
            found = {"$regex": pattern.written(end="\\z")}
            return {path[0]: found} if path[0] in _COLUMNS else _node(path, t="text", v=found)
        case In(path=path, values=wanted):
            return _in_column(path[0], wanted) if path[0] in _COLUMNS else _in_nodes(path, wanted)
        case Compare(path=path, order=order, value=value):
            return _compare(path, order, value)


def _node(path: tuple[str, ...], **conditions: Any) -> Filter:
    """Return that a value which a path leads to, or an element of it, satisfies `conditions`."""
    return {NODES[path[0]]: {"$elemMatch": {"p": _places(path[1:], elements=True), **conditions}}}


def _places(parts: Sequence[str], *, elements: bool) -> Filter:
    """Return the condition that a place is one where `parts` lead to; with `elements` also those of a list there.

    A key of a list is that of its dictionaries, so a position may stand before each key. A position is written without
    leading zeros, as it is kept.
    """
    pattern = ""
    for part in parts:
        if is_position(part):
            pattern += f"(?:^|\\.){int(part)}"
        else:
            pattern += rf"(?:(?:^|\.)\d+)?(?:^|\.){_escape(part)}"
    return {"$regex": f"^(?:{pattern}){_ELEMENT if elements else ''}\\z"}


_ELEMENT: Final = r"(?:(?:^|\.)\d+)?"


def _escape(text: str) -> str:
    return "".join(f"\\{char}" if char.isascii() and not char.isalnum() and char != " " else char for char in text)


def _absent(path: tuple[str, ...]) -> Filter:
    """Return that a path leads to a dictionary without the next key, or to what is no dictionary and no list."""
    nodes, parts = NODES[path[0]], path[1:]
    found: list[Filter] = [{nodes: {"$in": [None, []]}}]
    for number, part in enumerate(parts):
        there = _places(parts[:number], elements=False)
        found.append({nodes: {"$elemMatch": {"p": there, "t": {"$nin": [*_WHOLE]}}}})
        if is_position(part):
            found.append({nodes: {"$elemMatch": {"p": there, "t": "object"}}})
        else:
            lacking = {"$exists": True, "$nin": [part]}
            around = _places(parts[:number], elements=True)
            found.append({nodes: {"$elemMatch": {"p": around, "t": "object", "k": lacking}}})
    # Rows of before do not tell the keys of dictionaries.
    told = {nodes: {"$elemMatch": {"t": "object", "k": {"$exists": True}}}}
    place = ".".join(str(int(part)) if is_position(part) else part for part in parts)
    found.append({"$nor": [told, {nodes: {"$elemMatch": {"p": place}}}]})
    return {"$or": found}


def _any(parts: Sequence[Filter]) -> Filter:
    if not parts:
        return FALSE
    return parts[0] if len(parts) == 1 else {"$or": [*parts]}


def _in_column(name: str, wanted: Sequence[JSON]) -> Filter:
    if name == "_id":
        ids = [int(str(value)) for value in wanted if is_position(str(value)) and len(str(value)) < 19]
        return {"_id": {"$in": ids}}
    kind = "text" if name in _TEXT_COLUMNS else "number"
    plain = [value for value in wanted if _kind(value) == kind]
    parts: list[Filter] = [{name: {"$in": plain}}] if plain else []
    return _any([*parts, {name: None}] if None in wanted else parts)


def _in_nodes(path: tuple[str, ...], wanted: Sequence[JSON]) -> Filter:
    if path == (FINGERPRINT,):
        return {"fingerprint": {"$in": [*wanted]}}
    parts: list[Filter] = []
    if None in wanted:  # null or absent
        parts += [_node(path, t="null"), _absent(path)]
    for kind in ("boolean", "number", "text", "object", "list"):
        chosen = [value for value in wanted if _kind(value) == kind]
        if chosen:
            plain = [sha256_hex(canonical_json(value).encode()) for value in chosen] if kind in _WHOLE else chosen
            parts.append(_node(path, t=kind, v={"$in": plain}))
    return _any(parts)


def _compare(path: tuple[str, ...], order: str, value: float | str) -> Filter:
    name = path[0]
    kind = _kind(value)
    if name in _COLUMNS:
        return {name: {f"${order}": value}} if (kind == "text") is (name in _TEXT_COLUMNS) else FALSE
    return _node(path, t=kind, v={f"${order}": value})
