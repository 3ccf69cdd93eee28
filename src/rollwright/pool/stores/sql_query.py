"""The pool's query language in SQL, as far as SQLite and PostgreSQL say it alike; a `Dialect` says the rest.

Every condition is true or false, never NULL, so that NOT means its opposite. Every value is bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

from rollwright.core.canonical import JSON
from rollwright.pool.patterns import Pattern
from rollwright.pool.query import (
    COLUMNS,
    FINGERPRINT,
    TEXT_COLUMNS,
    And,
    Compare,
    Exists,
    In,
    Matches,
    Not,
    Or,
    Query,
    is_position,
)

__all__ = [
    "ORDERS",
    "Dialect",
    "JsonNode",
    "asks_for_fingerprints",
    "asks_for_ids",
    "asks_for_states",
    "is_number",
    "render",
]

JsonNode: TypeAlias = "In | Compare | Exists | Matches"
ORDERS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Dialect(Protocol):
    """How one database says the conditions. It binds values in the order in which its methods are called."""

    @property
    def true(self) -> str:
        """The condition that always holds."""
        ...

    @property
    def false(self) -> str:
        """The condition that never holds."""
        ...

    def has_id(self, ids: Sequence[int]) -> str:
        """Return the condition that the task has one of the ids."""
        ...

    def has_fingerprint(self, fingerprints: Sequence[str]) -> str:
        """Return the condition that the definition has one of the fingerprints."""
        ...

    def column_in(self, name: str, values: Sequence[JSON], *, null: bool) -> str:
        """Return the condition that a column equals one of the values, or, with `null`, is NULL."""
        ...

    def column_compares(self, name: str, order: str, value: float | str) -> str:
        """Return the condition that a column is greater or less than a value of its own kind."""
        ...

    def column_matches(self, name: str, pattern: Pattern) -> str:
        """Return the condition that a column of text matches a pattern."""
        ...

    def json_holds(self, node: JsonNode) -> str:
        """Return the condition that one of the values that a JSON path leads to satisfies `node`."""
        ...


def render(query: Query, dialect: Dialect) -> str:  # noqa: PLR0911 - one for each kind of node
    """Return the condition of a query; `dialect` has its values then."""
    match query:
        case And(parts=parts):
            return _join([render(part, dialect) for part in parts], " AND ", dialect.true)
        case Or(parts=parts):
            return _join([render(part, dialect) for part in parts], " OR ", dialect.false)
        case Not(part=part):
            return f"(NOT {render(part, dialect)})"
        case Exists(path=path):
            return dialect.true if path[0] in COLUMNS else dialect.json_holds(query)
        case In():
            return _render_in(query, dialect)
        case Matches(path=path, pattern=pattern):
            return dialect.column_matches(path[0], pattern) if path[0] in COLUMNS else dialect.json_holds(query)
        case Compare(path=path, order=order, value=value):
            if path[0] not in COLUMNS:
                return dialect.json_holds(query)
            if isinstance(value, str) is not (path[0] in TEXT_COLUMNS):
                return dialect.false
            return dialect.column_compares(path[0], ORDERS[order], value)


def _join(conditions: list[str], word: str, empty: str) -> str:
    return f"({word.join(conditions)})" if conditions else empty


def _render_in(query: In, dialect: Dialect) -> str:
    path, values = query.path, query.values
    if path == ("_id",):
        return dialect.has_id([int(str(value)) for value in values if is_position(str(value)) and len(str(value)) < 19])
    if path == (FINGERPRINT,):
        return dialect.has_fingerprint([str(value) for value in values])
    if path[0] not in COLUMNS:
        return dialect.json_holds(query)
    comparable = [
        value for value in values if (isinstance(value, str) if path[0] in TEXT_COLUMNS else is_number(value))
    ]
    return dialect.column_in(path[0], comparable, null=None in values)


def is_number(value: JSON) -> bool:
    """Tell whether a JSON value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def asks_for_ids(query: Query | None) -> bool:
    """Tell whether only tasks of certain ids can match, so that they are found by them."""
    return _asks_for(query, "_id")


def asks_for_fingerprints(query: Query | None) -> bool:
    """Tell whether only tasks of certain fingerprints can match, so that they are found by them."""
    return _asks_for(query, FINGERPRINT)


def asks_for_states(query: Query | None) -> frozenset[str]:
    """Return the states one of which a task must have to match, if one of several conditions names them; or none."""
    for part in query.parts if isinstance(query, And) else (query,):
        if isinstance(part, In) and part.path == ("status",):
            return frozenset(value for value in part.values if isinstance(value, str))
    return frozenset()


def _asks_for(query: Query | None, name: str) -> bool:
    match query:
        case And(parts=parts):
            return any(_asks_for(part, name) for part in parts)
        case In(path=(path,)) | Compare(path=(path,)):
            return path == name
        case _:
            return False
