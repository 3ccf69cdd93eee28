"""The query language in SQLite's words: conditions over columns and JSON paths."""

# ruff: noqa: S608 - put together from texts of this file; every value is bound
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from rollwright.core.canonical import JSON, canonical_json
from rollwright.core.stored_text import MARK, VALUE
from rollwright.pool.query import Query, is_position
from rollwright.pool.stores.sql_query import is_number, render
from rollwright.pool.stores.sqlite.statements import DEFINITION

__all__ = ["where"]

_COLUMNS: Final[Mapping[str, str]] = {"_id": "id"}
# A definition that somebody made unreadable in the database is none; it must not end the query of all others.
_READABLE: Final = f"{DEFINITION.removesuffix(')')} AND json_valid(definition))"
# A text that says its types holds the JSON that is asked beneath its value (`rollwright.core.stored_text`).
_JSON: Final[Mapping[str, str]] = {
    root: f"""(SELECT iif(json_type(text, '$."{MARK}"') IS NULL, text, text -> '$."{VALUE}"')
        FROM (SELECT {text} AS text))"""
    for root, text in (("def", _READABLE), ("res", "result"), ("validity", "validity"))
}
_LISTED: Final = "SELECT value FROM json_each(?)"


def where(query: Query | None) -> tuple[str, list[object]]:
    """Return `` AND …`` for `query` and its parameters; nothing for None."""
    if query is None:
        return "", []
    dialect = _SqliteDialect()
    text = render(query, dialect)
    return f" AND {text}", dialect.values


class _SqliteDialect:
    """SQLite's conditions are 0 and 1; `values` are their parameters, by position."""

    true: Final = "1"
    false: Final = "0"

    def __init__(self) -> None:
        self.values: list[object] = []

    def has_id(self, ids: Sequence[int]) -> str:
        if len(ids) == 1:
            self.values.append(ids[0])
            return "(id = ?)"
        self.values.append(json.dumps(ids))
        return f"(id IN ({_LISTED}))"

    def has_fingerprint(self, fingerprints: Sequence[str]) -> str:
        self.values.append(json.dumps(fingerprints))
        return f"(fingerprint IN ({_LISTED}))"

    def column_in(self, name: str, values: Sequence[JSON], *, null: bool) -> str:
        self.values.append(json.dumps(values))
        or_null = f" OR ({name} IS NULL)" if null else ""
        return f"(COALESCE({name} IN ({_LISTED}), 0){or_null})"

    def column_compares(self, name: str, order: str, value: float | str) -> str:
        self.values.append(value)
        return f"COALESCE({_COLUMNS.get(name, name)} {order} ?, 0)"

    def json_exists(self, path: tuple[str, ...]) -> str:
        self.values.append(_json_path(path))
        return f"(json_type({_JSON[path[0]]}, ?) IS NOT NULL)"

    def json_in(self, path: tuple[str, ...], values: Sequence[JSON]) -> str:
        column, place = _JSON[path[0]], _json_path(path)
        parts: list[str] = ["0"]
        if None in values:
            parts.append(f"COALESCE(json_type({column}, ?) = 'null', 1)")
            self.values.append(place)
        for truth in (True, False):
            if any(value is truth for value in values):
                parts.append(f"json_type({column}, ?) IS '{str(truth).lower()}'")
                self.values.append(place)
        for types, chosen in _by_type(values):
            if chosen:
                parts.append(
                    f"(COALESCE(json_type({column}, ?) IN ({types}), 0) AND json_extract({column}, ?) IN ({_LISTED}))"
                )
                self.values += [place, place, json.dumps(chosen, ensure_ascii=False)]
        return f"({' OR '.join(parts)})"

    def json_compares(self, path: tuple[str, ...], order: str, value: float | str) -> str:
        column, place = _JSON[path[0]], _json_path(path)
        types = "'text'" if isinstance(value, str) else "'integer', 'real'"
        self.values += [place, place, value]
        return f"(COALESCE(json_type({column}, ?) IN ({types}), 0) AND json_extract({column}, ?) {order} ?)"


def _json_path(path: tuple[str, ...]) -> str:
    return "$" + "".join(f"[{int(part)}]" if is_position(part) else f'."{part}"' for part in path[1:])


def _by_type(values: Sequence[JSON]) -> list[tuple[str, list[JSON]]]:
    return [
        ("'text'", [value for value in values if isinstance(value, str)]),
        ("'integer', 'real'", [value for value in values if is_number(value)]),
        # json_extract gives an object or a list as its text, which is canonical as stored.
        ("'object', 'array'", [canonical_json(value) for value in values if isinstance(value, dict | list)]),
    ]
