"""The pool's query language in SQL, as far as SQLite and PostgreSQL say it alike; a `Dialect` says the rest.

Every condition is true or false, never NULL, so that NOT means its opposite. Every value is bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from rollwright.core.canonical import JSON
from rollwright.pool.query import COLUMNS, FINGERPRINT, And, Compare, Exists, In, Not, Or, Query, is_position

__all__ = ["TEXT_COLUMNS", "Dialect", "is_number", "render"]

TEXT_COLUMNS: Final = ("status", "owner")
_ORDERS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


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

    def json_exists(self, path: tuple[str, ...]) -> str:
        """Return the condition that there is a JSON value at a path."""
        ...

    def json_in(self, path: tuple[str, ...], values: Sequence[JSON]) -> str:
        """Return the condition that the JSON value at a path equals one of the values; null equals what is absent."""
        ...

    def json_compares(self, path: tuple[str, ...], order: str, value: float | str) -> str:
        """Return the condition that the JSON value at a path is of the value's kind and greater or less than it."""
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
            return dialect.true if path[0] in COLUMNS else dialect.json_exists(path)
        case In(path=path, values=values):
            return _render_in(path, values, dialect)
        case Compare(path=path, order=order, value=value):
            if path[0] not in COLUMNS:
                return dialect.json_compares(path, _ORDERS[order], value)
            if isinstance(value, str) is not (path[0] in TEXT_COLUMNS):
                return dialect.false
            return dialect.column_compares(path[0], _ORDERS[order], value)


def _join(conditions: list[str], word: str, empty: str) -> str:
    return f"({word.join(conditions)})" if conditions else empty


def _render_in(path: tuple[str, ...], values: Sequence[JSON], dialect: Dialect) -> str:
    if path == ("_id",):
        return dialect.has_id([int(str(value)) for value in values if is_position(str(value)) and len(str(value)) < 19])
    if path == (FINGERPRINT,):
        return dialect.has_fingerprint([str(value) for value in values])
    if path[0] not in COLUMNS:
        return dialect.json_in(path, values)
    comparable = [
        value for value in values if (isinstance(value, str) if path[0] in TEXT_COLUMNS else is_number(value))
    ]
    return dialect.column_in(path[0], comparable, null=None in values)


def is_number(value: JSON) -> bool:
    """Tell whether a JSON value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
