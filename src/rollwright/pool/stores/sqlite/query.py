"""The query language in SQLite's words: conditions over columns and JSON paths, every value bound."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from rollwright.core.canonical import JSON, canonical_json
from rollwright.pool.query import And, Compare, Exists, In, Not, Or, Query, is_position
from rollwright.pool.stores.sqlite.statements import DEFINITION
from rollwright.tasks.identity import task_fingerprint

__all__ = ["where"]

# Every condition is 0 or 1, never NULL, so that NOT means its opposite.
_COLUMNS: Final[Mapping[str, str]] = {
    "_id": "id",
    "status": "status",
    "priority": "priority",
    "attempts": "attempts",
    "owner": "owner",
    "created": "created",
    "ended": "ended",
}
_JSON: Final[Mapping[str, str]] = {"def": DEFINITION, "res": "result", "validity": "validity"}
_ORDERS: Final[Mapping[str, str]] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def where(query: Query | None) -> tuple[str, list[object]]:
    """Return `` AND …`` for `query` and its parameters; nothing for None."""
    if query is None:
        return "", []
    text, values = _render(query)
    return f" AND {text}", values


def _render(query: Query) -> tuple[str, list[object]]:  # noqa: PLR0911 - one for each kind of node
    match query:
        case And(parts=parts):
            return _join(parts, " AND ", "1")
        case Or(parts=parts):
            return _join(parts, " OR ", "0")
        case Not(part=part):
            text, values = _render(part)
            return f"(NOT {text})", values
        case Exists(path=path):
            if path[0] in _COLUMNS:
                return "1", []
            return _typed(path, "IS NOT NULL")
        case In(path=path, values=wanted):
            return _in_column(path[0], wanted) if path[0] in _COLUMNS else _in_json(path, wanted)
        case Compare(path=path, order=order, value=value):
            return _compare(path, _ORDERS[order], value)


def _join(parts: Sequence[Query], word: str, empty: str) -> tuple[str, list[object]]:
    rendered = [_render(part) for part in parts]
    if not rendered:
        return empty, []
    return f"({word.join(text for text, _ in rendered)})", [value for _, values in rendered for value in values]


def _json_path(path: tuple[str, ...]) -> str:
    return "$" + "".join(f"[{int(part)}]" if is_position(part) else f'."{part}"' for part in path[1:])


def _typed(path: tuple[str, ...], test: str) -> tuple[str, list[object]]:
    return f"(json_type({_JSON[path[0]]}, ?) {test})", [_json_path(path)]


def _in_column(name: str, wanted: Sequence[JSON]) -> tuple[str, list[object]]:
    column = _COLUMNS[name]
    if name == "_id":
        ids = [int(str(value)) for value in wanted if is_position(str(value)) and len(str(value)) < 19]
        if len(ids) == 1:
            return "(id = ?)", [ids[0]]
        return "(id IN (SELECT value FROM json_each(?)))", [json.dumps(ids)]
    kind = str if name in ("status", "owner") else (int, float)
    plain = [value for value in wanted if isinstance(value, kind) and not isinstance(value, bool)]
    listed = "SELECT value FROM json_each(?)"
    parts, values = [f"COALESCE({column} IN ({listed}), 0)"], [json.dumps(plain)]
    if None in wanted:
        parts.append(f"({column} IS NULL)")
    return f"({' OR '.join(parts)})", [*values]


def _in_json(path: tuple[str, ...], wanted: Sequence[JSON]) -> tuple[str, list[object]]:
    if path == ("def",):
        prints = [task_fingerprint(value) for value in wanted if isinstance(value, dict)]
        return "(fingerprint IN (SELECT value FROM json_each(?)))", [json.dumps(prints)]
    column, place = _JSON[path[0]], _json_path(path)
    parts: list[str] = ["0"]
    values: list[object] = []
    if None in wanted:
        parts.append(f"COALESCE(json_type({column}, ?) = 'null', 1)")
        values.append(place)
    for truth in (True, False):
        if any(value is truth for value in wanted):
            parts.append(f"json_type({column}, ?) IS '{str(truth).lower()}'")
            values.append(place)
    for types, chosen in _by_type(wanted):
        if chosen:
            listed = "SELECT value FROM json_each(?)"
            parts.append(
                f"(COALESCE(json_type({column}, ?) IN ({types}), 0) AND json_extract({column}, ?) IN ({listed}))"
            )
            values += [place, place, json.dumps(chosen, ensure_ascii=False)]
    return f"({' OR '.join(parts)})", values


def _by_type(wanted: Sequence[JSON]) -> list[tuple[str, list[JSON]]]:
    return [
        ("'text'", [value for value in wanted if isinstance(value, str)]),
        (
            "'integer', 'real'",
            [value for value in wanted if isinstance(value, int | float) and not isinstance(value, bool)],
        ),
        # json_extract gives an object or a list as its text, which is canonical as stored.
        ("'object', 'array'", [canonical_json(value) for value in wanted if isinstance(value, dict | list)]),
    ]


def _compare(path: tuple[str, ...], order: str, value: float | str) -> tuple[str, list[object]]:
    name = path[0]
    if name in _COLUMNS:
        text_column = name in ("status", "owner")
        if isinstance(value, str) is not text_column:
            return "0", []
        return f"COALESCE({_COLUMNS[name]} {order} ?, 0)", [value]
    column, place = _JSON[name], _json_path(path)
    types = "'text'" if isinstance(value, str) else "'integer', 'real'"
    return (
        f"(COALESCE(json_type({column}, ?) IN ({types}), 0) AND json_extract({column}, ?) {order} ?)",
        [place, place, value],
    )
