"""The query language in PostgreSQL's words: conditions over columns and JSON paths, every value bound."""

# ruff: noqa: S608 - put together from texts of this file; every value is bound
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from rollwright.core.canonical import JSON, canonical_json
from rollwright.errors import QueryError
from rollwright.pool.query import And, Compare, Exists, In, Not, Or, Query, is_position
from rollwright.tasks.identity import task_fingerprint

__all__ = ["where"]

Values = dict[str, object]

# Every condition is true or false, never NULL, so that NOT means its opposite.
_COLUMNS: Final[Mapping[str, str]] = {
    "_id": "id",
    "status": "status",
    "priority": "priority::double precision",
    "attempts": "attempts::double precision",
    "owner": "owner",
    "created": "created",
    "ended": "ended",
}
_TEXT_COLUMNS: Final = ("status", "owner")
_JSON: Final[Mapping[str, str]] = {"def": "definition", "res": "result", "validity": "validity"}
_ORDERS: Final[Mapping[str, str]] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NOWHERE: Final = re.compile("[\ud800-\udfff]")
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
    rendering = _Rendering()
    text = rendering.render(query)
    if len(rendering.values) > _MOST_VALUES:
        raise QueryError(f"a query of more than {_MOST_VALUES:,} conditions", hint="use `$in` for many values")
    return f" AND {text}", rendering.values


class _Rendering:
    """One query on its way into SQL; `values` are its parameters."""

    def __init__(self) -> None:
        self.values: Values = {}

    def _bind(self, value: object, kind: str) -> str:
        name = f"q{len(self.values)}"
        self.values[name] = value
        return f"%({name})s::{kind}"

    def render(self, query: Query) -> str:
        match query:
            case And(parts=parts):
                return self._join(parts, " AND ", "true")
            case Or(parts=parts):
                return self._join(parts, " OR ", "false")
            case Not(part=part):
                return f"(NOT {self.render(part)})"
            case Exists(path=path):
                return "true" if path[0] in _COLUMNS else self._at(path, "v IS NOT NULL")
            case In(path=path, values=wanted):
                return self._in_column(path[0], wanted) if path[0] in _COLUMNS else self._in_json(path, wanted)
            case Compare(path=path, order=order, value=value):
                return self._compare(path, _ORDERS[order], value)

    def _join(self, parts: Sequence[Query], word: str, empty: str) -> str:
        return f"({word.join(self.render(part) for part in parts)})" if parts else empty

    def _at(self, path: tuple[str, ...], condition: str) -> str:
        """Return a condition over ``v``, the JSON value at a path, NULL where there is none.

        Strict, or a list would be opened without being asked; and apart, so that the text is parsed once for each row.
        """
        if any(_NOWHERE.search(part) for part in path):  # no stored key has a lone surrogate
            return f"(SELECT {condition} FROM (SELECT NULL::jsonb AS v OFFSET 0) AS at)"
        steps = "".join(f"[{int(part)}]" if is_position(part) else f'."{part}"' for part in path[1:])
        place = self._bind(f"strict ${steps}", "jsonpath")
        found = f"jsonb_path_query_first({_JSON[path[0]]}::jsonb, {place}, '{{}}', true)"
        return f"(SELECT {condition} FROM (SELECT {found} AS v OFFSET 0) AS at)"

    def _in_column(self, name: str, wanted: Sequence[JSON]) -> str:
        column = _COLUMNS[name]
        if name == "_id":
            ids = [int(str(value)) for value in wanted if is_position(str(value)) and len(str(value)) < 19]
            return f"(id = ANY({self._bind(ids, 'bigint[]')}))"
        if name in _TEXT_COLUMNS:
            listed = self._bind([value for value in wanted if isinstance(value, str)], "text[]")
        else:
            listed = self._bind([float(value) for value in wanted if _is_number(value)], "double precision[]")  # type: ignore[arg-type]  # numbers, as asked
        absent = f" OR {column} IS NULL" if None in wanted else ""
        return f"(COALESCE({column} = ANY({listed}), false){absent})"

    def _in_json(self, path: tuple[str, ...], wanted: Sequence[JSON]) -> str:
        if path == ("def",):
            prints = [task_fingerprint(value) for value in wanted if isinstance(value, dict)]
            return f"(encode(fingerprint, 'hex') = ANY({self._bind(prints, 'text[]')}))"
        null = "true" if None in wanted else "false"
        cases = [f"WHEN v IS NULL OR v = 'null' THEN {null}"]
        texts = [value for value in wanted if isinstance(value, str)]
        if texts:
            listed = self._bind(texts, "text[]")
            cases.append(f"""WHEN jsonb_typeof(v) = 'string' THEN (v #>> '{{}}') = ANY({listed})""")
        numbers = [_spelled(value) for value in wanted if _is_number(value)]
        if numbers:
            listed = self._bind(numbers, "text[]")
            cases.append(f"WHEN jsonb_typeof(v) = 'number' THEN v::numeric = ANY({listed}::numeric[])")
        truths = [value for value in wanted if isinstance(value, bool)]
        if truths:
            cases.append(f"WHEN jsonb_typeof(v) = 'boolean' THEN v::boolean = ANY({self._bind(truths, 'boolean[]')})")
        wholes = [canonical_json(value) for value in wanted if isinstance(value, dict | list)]
        if wholes:
            # Compared as texts: there 1 and 1.0 are two values, as they are in the canonical spelling.
            listed = self._bind(wholes, "text[]")
            cases.append(
                f"""WHEN jsonb_typeof(v) IN ('object', 'array')
                THEN v::text = ANY(ARRAY(SELECT one::jsonb::text FROM unnest({listed}) AS one))"""
            )
        return self._at(path, f"CASE {' '.join(cases)} ELSE false END")

    def _compare(self, path: tuple[str, ...], order: str, value: float | str) -> str:
        name = path[0]
        if name == "_id":
            return f"(id {order} {self._bind(value, 'bigint')})"
        if name in _COLUMNS:
            if isinstance(value, str) is not (name in _TEXT_COLUMNS):
                return "false"
            kind = "text" if isinstance(value, str) else "double precision"
            return f"COALESCE({_COLUMNS[name]} {order} {self._bind(value, kind)}, false)"
        if isinstance(value, str):
            test = f"""WHEN jsonb_typeof(v) = 'string'
                THEN (v #>> '{{}}') COLLATE "C" {order} {self._bind(value, "text")}"""
        else:
            test = f"WHEN jsonb_typeof(v) = 'number' THEN v::numeric {order} {self._bind(_spelled(value), 'numeric')}"
        return self._at(path, f"CASE {test} ELSE false END")


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _spelled(value: JSON) -> str:
    # As in the stored text: two numbers are equal there exactly when they are in Python.
    return repr(value)
