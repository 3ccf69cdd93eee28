"""The query language in SQLite's words: conditions over columns and JSON paths.

What a JSON path leads to is decided by the query language itself, in Python, at some 14 microseconds a row. Rows that
cannot match are left out before, by the text: stored JSON is canonical, so a text that leads to 3 by a path that ends
with ``seed`` contains ``"seed":3`` or ``"seed":[``. (Asking SQLite for the value, by ``json_extract``, takes twice as
long as Python does, and SQLite rounds the digits of a number as it likes.)
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from rollwright.core.canonical import JSON, dump_canonical
from rollwright.core.stored_text import plain_of
from rollwright.pool.patterns import Pattern
from rollwright.pool.query import Compare, Exists, In, Matches, Query, is_position, matches
from rollwright.pool.stores.sql_query import JsonNode, asks_for_states, render
from rollwright.pool.stores.sqlite.statements import DEFINITION

__all__ = ["add_functions", "where"]

_FAILED: Final = ("failed", "cancelled")
_COLUMNS: Final[Mapping[str, str]] = {"_id": "id"}
_JSON: Final[Mapping[str, str]] = {"def": DEFINITION, "res": "result", "validity": "validity"}
_LISTED: Final = "SELECT value FROM json_each(?)"
_MOST_SPELLINGS: Final = 8
_EXACT: Final = 1e15
"""Whole numbers below begin with the same digits, whatever their type."""


def add_functions(connection: sqlite3.Connection) -> None:
    """Let conditions ask what the query language itself says of a stored text, and of a text and a pattern."""
    connection.create_function("json_holds", 2, _json_holds, deterministic=True)
    connection.create_function("text_matches", 2, _text_matches, deterministic=True)


def _json_holds(text: str | None, condition: str) -> int:
    node = _parse_node(condition)
    return int(matches(node, _document(node.path[0], text)))


@lru_cache(maxsize=256)
def _parse_node(condition: str) -> JsonNode:
    kind, path, *terms = json.loads(condition)
    match kind:
        case "exists":
            return Exists(path=tuple(path))
        case "in":
            return In(path=tuple(path), values=tuple(terms[0]))
        case "compare":
            return Compare(path=tuple(path), order=terms[0], value=terms[1])
    return Matches(path=tuple(path), pattern=Pattern.parse(terms[0], options=terms[1]))


@lru_cache(maxsize=4)  # several conditions of one row
def _document(root: str, text: str | None) -> dict[str, Any]:
    # A definition that somebody made unreadable in the database is none; it must not end the query of all others.
    try:
        return {root: plain_of(json.loads(text))} if text is not None else {}
    except (ValueError, RecursionError):
        return {}


def _text_matches(text: str | None, condition: str) -> int:
    node = _parse_node(condition)
    return int(isinstance(node, Matches) and text is not None and node.pattern.matches(text))


def where(query: Query | None) -> tuple[str, list[object]]:
    """Return `` AND …`` for `query` and its parameters; nothing for None."""
    if query is None:
        return "", []
    dialect = _SqliteDialect()
    text = render(query, dialect)
    return f" AND {text}", dialect.values


def narrowed(query: Query | None) -> str:
    """Return the words of the index that holds all tasks that can match, or nothing; they change no answer."""
    states = asks_for_states(query)
    if states and states <= {*_FAILED}:
        return f" AND status IN {_FAILED}"
    return " AND status = 'running' AND ended IS NULL AND run_at IS NULL" if states == {"running"} else ""


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
        if name == "_id":  # never NULL, and found by the table's own order
            return f"(id {order} ?)"
        return f"COALESCE({_COLUMNS.get(name, name)} {order} ?, 0)"

    def column_matches(self, name: str, pattern: Pattern) -> str:
        self.values.append(_spell(Matches(path=(name,), pattern=pattern)))
        return f"text_matches({_COLUMNS.get(name, name)}, ?)"

    def json_holds(self, node: JsonNode) -> str:
        column = _JSON[node.path[0]]
        parts = _texts_of(node)
        self.values += [*parts, _spell(node)]
        asked = f"json_holds({column}, ?)"
        if not parts:
            return asked
        contains = " OR ".join([f"instr({column}, ?)"] * len(parts))
        return f"(COALESCE({contains}, 0) AND {asked})"


def _texts_of(node: JsonNode) -> list[str]:
    """Return texts of which everything that satisfies `node` contains one; none where that cannot be said.

    1. The last part of a path is a key, or a position, before which anything may stand.
    2. Something exists there: the text has the key.
    3. Something there equals a value: the text has the key and then the value, or the key and a list.
    """
    last = node.path[-1]
    has_key = len(node.path) > 1 and last.isascii() and not is_position(last)
    key = f"{dump_canonical(last)}:" if has_key else ""
    if isinstance(node, Exists):
        return [key] if key else []
    if not isinstance(node, In) or len(node.values) > _MOST_SPELLINGS:
        return []
    spellings = [_spelling(value) for value in node.values]
    if not spellings or None in spellings:
        return []
    return [f"{key}{spelling}" for spelling in spellings] + ([f"{key}["] if key else [])


def _spelling(value: JSON) -> str | None:
    """Return what the text of everything that equals `value` begins with; None where there is nothing of the kind."""
    if isinstance(value, str):
        return dump_canonical(value) if value.isascii() else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _EXACT:
        return None
    return str(int(value)) if value == int(value) else dump_canonical(value)


def _spell(node: JsonNode) -> str:
    match node:
        case Exists(path=path):
            terms: list[Any] = ["exists", path]
        case In(path=path, values=values):
            terms = ["in", path, values]
        case Compare(path=path, order=order, value=value):
            terms = ["compare", path, order, value]
        case Matches(path=path, pattern=pattern):
            terms = ["matches", path, pattern.source, "i" if pattern.ignore_case else ""]
    return json.dumps(terms)
