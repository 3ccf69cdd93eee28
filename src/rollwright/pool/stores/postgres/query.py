"""The query language in PostgreSQL's words: conditions over columns and JSON paths."""

# ruff: noqa: S608 - put together from texts of this file; every value is bound
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from rollwright.core.canonical import JSON, canonical_json
from rollwright.core.stored_text import MARK, VALUE
from rollwright.errors import QueryError
from rollwright.pool.query import Query, is_position
from rollwright.pool.stores.sql_query import TEXT_COLUMNS, is_number, render

__all__ = ["where"]

Values = dict[str, object]

_COLUMNS: Final[Mapping[str, str]] = {
    "_id": "id",
    "priority": "priority::double precision",
    "attempts": "attempts::double precision",
}
# A text that says its types holds the JSON that is asked beneath its value (`rollwright.core.stored_text`).
_JSON: Final[Mapping[str, str]] = {
    root: f"""(SELECT CASE WHEN j ->> '{MARK}' IS NULL THEN j ELSE j -> '{VALUE}' END
        FROM (SELECT {column}::jsonb AS j OFFSET 0) AS stored)"""
    for root, column in (("def", "definition"), ("res", "result"), ("validity", "validity"))
}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_MOST_VALUES: Final = 60_000
"""Parameters of one statement; the protocol counts them in 16 bits, and the store adds its own."""


def where(query: Query | None) -> tuple[str, Values]:
    """Return `` AND …`` for `query` and its parameters by name; nothing for None.

    Raises
    ------
    QueryError
        When it has more conditions than a statement can have.
    """
    if query is None:
        return "", {}
    dialect = _PostgresDialect()
    text = render(query, dialect)
    if len(dialect.values) > _MOST_VALUES:
        raise QueryError(f"a query of more than {_MOST_VALUES:,} conditions", hint="use `$in` for many values")
    return f" AND {text}", dialect.values


class _PostgresDialect:
    """PostgreSQL's conditions; `values` are their parameters, by name."""

    true: Final = "true"
    false: Final = "false"

    def __init__(self) -> None:
        self.values: Values = {}

    def _bind(self, value: object, kind: str) -> str:
        name = f"q{len(self.values)}"
        self.values[name] = value
        return f"%({name})s::{kind}"

    def has_id(self, ids: Sequence[int]) -> str:
        return f"(id = ANY({self._bind(ids, 'bigint[]')}))"

    def has_fingerprint(self, fingerprints: Sequence[str]) -> str:
        return f"(encode(fingerprint, 'hex') = ANY({self._bind(fingerprints, 'text[]')}))"

    def column_in(self, name: str, values: Sequence[JSON], *, null: bool) -> str:
        column = _COLUMNS.get(name, name)
        if name in TEXT_COLUMNS:
            listed = self._bind(values, "text[]")
        else:
            listed = self._bind([float(value) for value in values], "double precision[]")  # type: ignore[arg-type]  # numbers, as asked
        or_null = f" OR {column} IS NULL" if null else ""
        return f"(COALESCE({column} = ANY({listed}), false){or_null})"

    def column_compares(self, name: str, order: str, value: float | str) -> str:
        if name == "_id":
            return f"(id {order} {self._bind(value, 'bigint')})"
        kind = "text" if isinstance(value, str) else "double precision"
        return f"COALESCE({_COLUMNS.get(name, name)} {order} {self._bind(value, kind)}, false)"

    def json_exists(self, path: tuple[str, ...]) -> str:
        return self._at(path, "v IS NOT NULL")

    def json_in(self, path: tuple[str, ...], values: Sequence[JSON]) -> str:
        null = "true" if None in values else "false"
        cases = [f"WHEN v IS NULL OR v = 'null' THEN {null}"]
        texts = [value for value in values if isinstance(value, str)]
        if texts:
            listed = self._bind(texts, "text[]")
            cases.append(f"""WHEN jsonb_typeof(v) = 'string' THEN (v #>> '{{}}') = ANY({listed})""")
        numbers = [repr(value) for value in values if is_number(value)]
        if numbers:
            # As in the stored text: two numbers are equal there exactly when they are in Python.
            listed = self._bind(numbers, "text[]")
            cases.append(f"WHEN jsonb_typeof(v) = 'number' THEN v::numeric = ANY({listed}::numeric[])")
        truths = [value for value in values if isinstance(value, bool)]
        if truths:
            cases.append(f"WHEN jsonb_typeof(v) = 'boolean' THEN v::boolean = ANY({self._bind(truths, 'boolean[]')})")
        wholes = [canonical_json(value) for value in values if isinstance(value, dict | list)]
        if wholes:
            # Compared as texts: there 1 and 1.0 are two values, as they are in the canonical spelling.
            listed = self._bind(wholes, "text[]")
            cases.append(
                f"""WHEN jsonb_typeof(v) IN ('object', 'array')
                THEN v::text = ANY(ARRAY(SELECT one::jsonb::text FROM unnest({listed}) AS one))"""
            )
        return self._at(path, f"CASE {' '.join(cases)} ELSE false END")

    def json_compares(self, path: tuple[str, ...], order: str, value: float | str) -> str:
        if isinstance(value, str):
            test = f"""WHEN jsonb_typeof(v) = 'string'
                THEN (v #>> '{{}}') COLLATE "C" {order} {self._bind(value, "text")}"""
        else:
            test = f"WHEN jsonb_typeof(v) = 'number' THEN v::numeric {order} {self._bind(repr(value), 'numeric')}"
        return self._at(path, f"CASE {test} ELSE false END")

    def _at(self, path: tuple[str, ...], condition: str) -> str:
        """Return a condition over ``v``, the JSON value at a path, NULL where there is none.

        Strict, or a list would be opened without being asked; and in a subquery, so that the text is parsed once for
        each row.
        """
        if any(_SURROGATES.search(part) for part in path):  # no stored key has a lone surrogate
            return f"(SELECT {condition} FROM (SELECT NULL::jsonb AS v OFFSET 0) AS at)"
        steps = "".join(f"[{int(part)}]" if is_position(part) else f'."{part}"' for part in path[1:])
        place = self._bind(f"strict ${steps}", "jsonpath")
        found = f"jsonb_path_query_first({_JSON[path[0]]}, {place}, '{{}}', true)"
        return f"(SELECT {condition} FROM (SELECT {found} AS v OFFSET 0) AS at)"
