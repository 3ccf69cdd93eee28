"""The query language in PostgreSQL's words: conditions over columns and JSON paths."""

# ruff: noqa: S608 - put together from texts of this file; every value is bound
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from rollwright.core.canonical import JSON, canonical_json
from rollwright.core.stored_text import MARK, VALUE
from rollwright.errors import QueryError
from rollwright.pool.patterns import Pattern
from rollwright.pool.query import TEXT_COLUMNS, Compare, Exists, In, Matches, Query, is_position
from rollwright.pool.stores.sql_query import ORDERS, JsonNode, asks_for_states, is_number, render

__all__ = ["narrowed", "where"]

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
_ENDED: Final = ("done", "failed", "cancelled")
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


def narrowed(query: Query | None) -> str:
    """Return the words of the index that holds all tasks that can match, or nothing; they change no answer.

    They stand in the statement itself: of a parameter the server does not know that it is in the index.
    """
    states = asks_for_states(query)
    if states == {"running"}:
        return " AND status = 'running'"
    ended = [f"'{status}'" for status in _ENDED if status in states]
    return f" AND status IN ({', '.join(ended)})" if ended and len(ended) == len(states) else ""


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
        return f"(fingerprint = ANY({self._bind([bytes.fromhex(one) for one in fingerprints], 'bytea[]')}))"

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

    def column_matches(self, name: str, pattern: Pattern) -> str:
        return f"COALESCE({_COLUMNS.get(name, name)} ~ {self._bind(pattern.written(), 'text')}, false)"

    def json_holds(self, node: JsonNode) -> str:
        match node:
            case Exists(path=path):
                return self._any(path, "v IS NOT NULL")
            case In(path=path, values=values):
                return self._any(path, self._equals(values))
            case Compare(path=path, order=order, value=value):
                return self._any(path, self._compares(ORDERS[order], value))
            case Matches(path=path, pattern=pattern):
                found = f"(v #>> '{{}}') ~ {self._bind(pattern.written(), 'text')}"
                return self._any(path, f"CASE WHEN jsonb_typeof(v) = 'string' THEN {found} ELSE false END")

    def _equals(self, values: Sequence[JSON]) -> str:
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
        return f"CASE {' '.join(cases)} ELSE false END"

    def _compares(self, order: str, value: float | str) -> str:
        if isinstance(value, str):
            test = f"""WHEN jsonb_typeof(v) = 'string'
                THEN (v #>> '{{}}') COLLATE "C" {order} {self._bind(value, "text")}"""
        else:
            test = f"WHEN jsonb_typeof(v) = 'number' THEN v::numeric {order} {self._bind(repr(value), 'numeric')}"
        return f"CASE {test} ELSE false END"

    def _any(self, path: tuple[str, ...], condition: str) -> str:
        """Return that `condition` holds for a value ``v`` that a path leads to, or an element of it.

        It is NULL where there is no such key. Step by step: a key of a dictionary, or of the dictionaries in a list; a
        position in a list, which leads nowhere beyond its end. In subqueries, so that a text is parsed once for a row.
        """
        steps = [f"(SELECT {_JSON[path[0]]} AS v OFFSET 0) AS s0"]
        for number, part in enumerate(path[1:]):
            before = f"s{number}.v"
            is_list = f"jsonb_typeof({before}) = 'array'"
            if is_position(part):
                step = f"""SELECT NULL::jsonb WHERE jsonb_typeof({before}) IS DISTINCT FROM 'array'
                    UNION ALL SELECT {before} -> {int(part)} WHERE CASE WHEN {is_list}
                    THEN {int(part)} < jsonb_array_length({before}) ELSE false END"""
            else:
                # No stored key has a lone surrogate, which cannot be sent either.
                key = "NULL::text" if _SURROGATES.search(part) else self._bind(part, "text")
                step = f"""SELECT {before} -> {key} WHERE jsonb_typeof({before}) IS DISTINCT FROM 'array'
                    UNION ALL SELECT item -> {key} FROM {_elements(before)} AS item
                    WHERE jsonb_typeof(item) = 'object'"""
            steps.append(f"LATERAL ({step}) AS s{number + 1}(v)")
        last = f"s{len(path) - 1}.v"
        steps.append(f"LATERAL (SELECT {last} UNION ALL SELECT item FROM {_elements(last)} AS item) AS found(v)")
        return f"EXISTS(SELECT 1 FROM (SELECT found.v FROM {', '.join(steps)}) AS one WHERE {condition})"


def _elements(value: str) -> str:
    return f"jsonb_array_elements(CASE WHEN jsonb_typeof({value}) = 'array' THEN {value} ELSE '[]' END)"
