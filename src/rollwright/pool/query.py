"""The pool's one query language: parsed once into a small tree that every store runs by itself.

A query is a dictionary in MongoDB's manner. Names are ``_id``, ``status``, ``priority``, ``attempts``, ``owner``,
``created`` and ``ended``, and dotted paths beneath ``def`` (``filter`` is the same), ``res`` and ``validity``; a path
part of digits is a position in a list, and any other part of a list is that of its dictionaries. Conditions are
equality and ``$eq``, ``$in``, ``$nin``, ``$ne``, ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$exists``, ``$regex`` with
``$options: "i"``, and ``$not`` of such; ``$and``, ``$or`` and ``$nor`` join queries. Everything else is refused.

Guarantees: the same answers on every store, and MongoDB's. A condition is about each value that the path leads to, and,
where that is a list, about each of its elements too: one that satisfies it is enough. Numbers compare with numbers,
text with text, anything else is not comparable and does not match; a boolean is no number; null equals what is absent;
``$ne``, ``$nin`` and ``$not`` are the opposites; a list equals a list as a whole, and ``def`` a definition that means
the same task (`rollwright.tasks.identity.task_fingerprint`). Patterns are those of `rollwright.pool.patterns`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from rollwright.core.canonical import JSON, canonical_json, normalise
from rollwright.errors import QueryError, TaskValueError, nearest
from rollwright.pool.patterns import Pattern
from rollwright.pool.states import parse_status
from rollwright.tasks.identity import task_fingerprint

__all__ = [
    "COLUMNS",
    "FINGERPRINT",
    "JSON_ROOTS",
    "TEXT_COLUMNS",
    "And",
    "Compare",
    "Exists",
    "In",
    "Matches",
    "Not",
    "Or",
    "Query",
    "among",
    "both",
    "is_by_status",
    "is_position",
    "matches",
    "parse",
    "selection",
    "split_ids",
]

TEXT_COLUMNS: Final = ("status", "owner", "needs")
FINGERPRINT: Final = "$fingerprint"
"""The name of what tells whether two definitions are of one task; no query can write it."""
COLUMNS: Final = ("_id", "status", "priority", "attempts", "owner", "created", "ended", "needs")
JSON_ROOTS: Final[Mapping[str, str]] = {"def": "def", "filter": "def", "res": "res", "validity": "validity"}

_ID_DIGITS: Final = 19
"""Digits that no id reaches: 2**63 has as many."""

_FEW_IDS: Final = 32
"""Ids that are asked for one by one; more of them as ranges, where they are some."""

_IDS_IN_RANGE: Final = 16
"""How many ids a range must hold on average to be worth it."""

_MOST_RANGES: Final = 64

Order: TypeAlias = Literal["gt", "gte", "lt", "lte"]

_MAX_DEPTH: Final = 16
_MAX_VALUES: Final = 1_000_000
_BAD_PART: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_OPERATORS: Final = ("$eq", "$in", "$nin", "$ne", "$gt", "$gte", "$lt", "$lte", "$exists", "$regex", "$options", "$not")


@dataclass(frozen=True, slots=True, kw_only=True)
class In:
    """The value at `path` equals one of `values`."""

    path: tuple[str, ...]
    values: tuple[JSON, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """The value at `path` is greater or less than `value`."""

    path: tuple[str, ...]
    order: Order
    value: int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exists:
    """There is a value, null included, at `path`."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The text at `path` matches `pattern`."""

    path: tuple[str, ...]
    pattern: Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """The condition does not hold."""

    part: Query


@dataclass(frozen=True, slots=True, kw_only=True)
class And:
    """All conditions hold; no condition at all always holds."""

    parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Or:
    """One of the conditions holds."""

    parts: tuple[Query, ...]


Query: TypeAlias = In | Compare | Exists | Matches | Not | And | Or


def both(*queries: Query | None) -> Query | None:
    """Return the query that demands all of `queries`; None demands nothing."""
    parts = tuple(query for query in queries if query is not None)
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(parts=parts)


def among(ids: Iterable[str]) -> Query:
    """Return the condition that a task has one of `ids`, as ranges where there are many and they follow one another.

    A million tasks that were put at once are asked for by two numbers, and not by a million.
    """
    values = tuple(ids)
    if len(values) <= _FEW_IDS:
        return In(path=("_id",), values=values)
    ranges: list[list[int]] = []
    for number in sorted({int(value) for value in values if is_position(value) and len(value) < _ID_DIGITS}):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    if not ranges or len(ranges) > min(_MOST_RANGES, len(values) // _IDS_IN_RANGE):
        return In(path=("_id",), values=values)
    within = _within(ranges[0][0], ranges[-1][1])  # by which a store finds the place in its index
    parts = tuple(_within(first, last) for first, last in ranges)
    return within if len(parts) == 1 else And(parts=(within, Or(parts=parts)))


def _within(first: int, last: int) -> And:
    return And(
        parts=(Compare(path=("_id",), order="gte", value=first), Compare(path=("_id",), order="lte", value=last))
    )


def split_ids(query: Query | None, size: int) -> Iterator[Query | None]:
    """Yield queries whose answers, one after another, are those of `query`, the oldest first, none with more ids.

    Only a list of ids that must be one of is split; another query is yielded as it is.
    """
    parts = query.parts if isinstance(query, And) else (query,)
    listed = next((part for part in parts if isinstance(part, In) and part.path == ("_id",)), None)
    if listed is None or len(listed.values) <= size:
        yield query
        return
    others = [part for part in parts if part is not listed]
    ids = sorted({str(value) for value in listed.values}, key=lambda value: (len(value), value))
    for start in range(0, len(ids), size):
        yield both(In(path=("_id",), values=tuple(ids[start : start + size])), *others)


def parse(query: Mapping[str, Any] | None) -> Query | None:
    """Return the tree of `query`, or None when it demands nothing. `query` itself is not changed or kept.

    Raises
    ------
    QueryError
        For anything outside the language, naming it.
    """
    if query is not None and not isinstance(query, Mapping):
        raise QueryError(f"a query is a dictionary, not {type(query).__name__}", hint='write {"status": "waiting"}')
    if not query:
        return None
    return _mapping(query, 0)


def selection(
    query: Mapping[str, Any] | None, only: Sequence[str] | None, tags: Sequence[str], also: Sequence[str] = ()
) -> Query | None:
    """Return the tree of what matches `query`, has one of the ids `only` and all of `tags`; None where none is asked.

    A task that has one of the fingerprints `also` counts as one of `only`. Of tasks that say what they
    need, an offer decides instead of `tags`.

    Raises
    ------
    QueryError
    """
    chosen: Query | None = None
    if only is not None:
        chosen = among(str(task_id) for task_id in only)
        if also:
            chosen = Or(parts=(chosen, In(path=(FINGERPRINT,), values=tuple(also))))
    tagged = both(*[parse({f"def.tags.{tag}": {"$exists": True, "$ne": False}}) for tag in tags])
    needing = Not(part=In(path=("needs",), values=("",)))
    return both(parse(query), chosen, None if tagged is None else Or(parts=(tagged, needing)))


def _mapping(query: Mapping[str, Any], depth: int) -> Query:
    if depth > _MAX_DEPTH:
        raise QueryError(f"a query is nested deeper than {_MAX_DEPTH}")
    parts: list[Query] = []
    for key, condition in query.items():
        if not isinstance(key, str):
            raise QueryError(f"{key!r} is no name in a query")
        if key in ("$and", "$or", "$nor"):
            parts.append(_joined(key, condition, depth))
        elif key.startswith("$"):
            raise QueryError(f"`{key}` is not part of the query language", hint="$and, $or and $nor join conditions")
        else:
            parts += _conditions(_path(key), condition)
    return parts[0] if len(parts) == 1 else And(parts=tuple(parts))


def _joined(key: str, condition: Any, depth: int) -> Query:
    if not isinstance(condition, list | tuple) or not condition:
        raise QueryError(f"`{key}` takes a list of queries, not {condition!r}")
    for part in condition:
        if not isinstance(part, Mapping):
            raise QueryError(f"`{key}` takes a list of queries, and {part!r} is none")
    parts = tuple(_mapping(part, depth + 1) for part in condition)
    if key == "$and":
        return And(parts=parts)
    return Or(parts=parts) if key == "$or" else Not(part=Or(parts=parts))


def _path(name: str) -> tuple[str, ...]:
    parts = tuple(name.split("."))
    if parts[0] in COLUMNS and len(parts) == 1:
        return parts
    if parts[0] in JSON_ROOTS:
        for part in parts[1:]:
            if not part or len(part) > (9 if is_position(part) else 200) or _BAD_PART.search(part):
                raise QueryError(f"{part!r} in the path `{name[:200]}` cannot be asked for")
        return (JSON_ROOTS[parts[0]], *parts[1:])
    known = (*COLUMNS, *JSON_ROOTS)
    suggestion = nearest(parts[0], known)
    hint = f"did you mean `{suggestion}`?" if suggestion else f"names are: {', '.join(known)}; write def.{name[:80]}?"
    raise QueryError(f"a task has nothing called `{name[:200]}`", hint=hint)


def _conditions(path: tuple[str, ...], condition: Any) -> list[Query]:
    if isinstance(condition, re.Pattern):
        return [_pattern(path, condition, "")]
    if isinstance(condition, Mapping) and any(isinstance(key, str) and key.startswith("$") for key in condition):
        if "$options" in condition and "$regex" not in condition:
            raise QueryError("`$options` stands beside `$regex`")
        options = condition.get("$options", "")
        return [
            _pattern(path, value, options) if key == "$regex" else _operator(path, key, value)
            for key, value in condition.items()
            if key != "$options"
        ]
    return [_equals(path, [condition])]


def _operator(path: tuple[str, ...], key: Any, value: Any) -> Query:  # noqa: C901, PLR0911 - one for each operator
    match key:
        case "$eq":
            return _equals(path, [value])
        case "$nin":
            return Not(part=_operator(path, "$in", value))
        case "$not":
            named = isinstance(value, Mapping) and value and all(str(one).startswith("$") for one in value)
            if not named and not isinstance(value, re.Pattern):
                raise QueryError(f"`$not` takes conditions, not {value!r}", hint="`$ne` is for values")
            return Not(part=And(parts=tuple(_conditions(path, value))))
        case "$in":
            if not isinstance(value, list | tuple | set | frozenset):
                raise QueryError(f"`$in` takes a list, not {value!r}")
            if len(value) > _MAX_VALUES:
                raise QueryError(f"`$in` with {len(value):,} values; {_MAX_VALUES:,} is the most")
            return _equals(path, value)
        case "$ne":
            return Not(part=_equals(path, [value]))
        case "$exists":
            if not isinstance(value, bool):
                raise QueryError(f"`$exists` takes true or false, not {value!r}")
            return Exists(path=path) if value else Not(part=Exists(path=path))
        case "$gt" | "$gte" | "$lt" | "$lte":
            return Compare(path=path, order=key[1:], value=_comparable(path, key, value))
    suggestion = nearest(str(key), _OPERATORS)
    hint = f"did you mean `{suggestion}`?" if suggestion else f"operators are: {', '.join(_OPERATORS)}"
    raise QueryError(f"`{key}` is not part of the query language", hint=hint)


def _pattern(path: tuple[str, ...], value: Any, options: Any) -> Matches:
    if path[0] in COLUMNS and path[0] not in TEXT_COLUMNS:
        raise QueryError(f"`$regex` looks at text, and `{path[0]}` is none")
    if isinstance(value, re.Pattern):
        if value.flags & ~(re.IGNORECASE | re.UNICODE):
            raise QueryError(f"the flags of {value!r} are not part of the query language", hint="re.IGNORECASE is")
        options = "i" if value.flags & re.IGNORECASE else options
        value = value.pattern
    if not isinstance(value, str) or not isinstance(options, str):
        raise QueryError(f"`$regex` takes a text, not {value!r}")
    return Matches(path=path, pattern=Pattern.parse(value, options=options))


def _equals(path: tuple[str, ...], values: Iterable[Any]) -> Query:
    """Return the condition that the value at `path` is one of `values`; a definition is one when it means the same."""
    if path == ("_id",):
        return among(str(_value(path, value)) for value in values)
    if path != ("def",):
        return In(path=path, values=tuple(_value(path, value) for value in values))
    try:
        prints = tuple(task_fingerprint(value) for value in values if isinstance(value, Mapping))
    except TaskValueError as error:
        raise QueryError(f"a query asks for a value that no task can have: {error.message}") from error
    return In(path=(FINGERPRINT,), values=prints)


def _value(path: tuple[str, ...], value: Any) -> JSON:
    if path == ("status",):
        return parse_status(value).value
    if path == ("_id",):
        text = str(value)
        return (
            str(int(text))
            if is_position(text[:1]) and is_position(text) and len(text) < _ID_DIGITS
            else f"no id: {text}"
        )
    try:
        return normalise(value, path=f"$.{'.'.join(path)}", typed=True)
    except TaskValueError as error:
        raise QueryError(f"a query asks for a value that no task can have: {error.message}") from error


def _comparable(path: tuple[str, ...], key: str, value: Any) -> int | float | str:
    plain = _value(path, value)
    if path == ("_id",):
        if not is_position(str(plain)):
            raise QueryError(f"`{key}` needs the id of a task, and {value!r} is none")
        return int(str(plain))
    if isinstance(plain, bool) or not isinstance(plain, int | float | str):
        raise QueryError(f"`{key}` compares numbers or text, not {value!r}")
    return plain


_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ABSENT: Final = object()


def matches(query: Query | None, document: Mapping[str, Any]) -> bool:  # noqa: C901, PLR0911 - one for each kind of node
    """Tell whether a task's document (``_id``, ``status``, ``def`` …, all plain JSON) satisfies `query`."""
    match query:
        case None:
            return True
        case And(parts=parts):
            return all(matches(part, document) for part in parts)
        case Or(parts=parts):
            return any(matches(part, document) for part in parts)
        case Not(part=part):
            return not matches(part, document)
        case Exists(path=path):
            return any(found is not _ABSENT for found in _candidates(document, path))
        case Matches(path=path, pattern=pattern):
            return any(isinstance(found, str) and pattern.matches(found) for found in _candidates(document, path))
        case In(path=(path,), values=values) if path == FINGERPRINT:
            return document[FINGERPRINT] in values
        case In(path=path, values=values):
            return any(_equal(found, value) for found in _candidates(document, path) for value in values)
        case Compare(path=("_id",), order=order, value=value):
            return _ORDERS[order](int(str(document["_id"])), value)
        case Compare(path=path, order=order, value=value):
            return any(
                _kind(found) == _kind(value) and _ORDERS[order](found, value) for found in _candidates(document, path)
            )


def is_by_status(query: Query) -> bool:
    """Tell whether nothing but the state of a task decides whether it matches."""
    match query:
        case And(parts=parts) | Or(parts=parts):
            return all(is_by_status(part) for part in parts)
        case Not(part=part):
            return is_by_status(part)
        case _:
            return query.path == ("status",)


def is_position(part: str) -> bool:
    """Tell whether a part of a path is a position in a list."""
    return part.isascii() and part.isdecimal()


def _candidates(document: Mapping[str, Any], path: Sequence[str]) -> Iterator[Any]:
    """Yield each value that a path leads to, and the elements of one that is a list; `_ABSENT` where a key is not."""
    for found in _reach(document, path):
        yield found
        if isinstance(found, list):
            yield from found


def _reach(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    part, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        yield from _reach(value[part], rest) if part in value and not is_position(part) else [_ABSENT]
    elif not isinstance(value, list):
        yield _ABSENT
    elif is_position(part):
        yield from _reach(value[int(part)], rest) if int(part) < len(value) else []
    else:  # a list within a list is not opened
        for item in value:
            if isinstance(item, Mapping):
                yield from _reach(item, path)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"


def _equal(found: Any, value: JSON) -> bool:
    if value is None:
        return found is None or found is _ABSENT
    if isinstance(value, dict | list):  # as a whole, in the one spelling that every store keeps
        return isinstance(found, type(value)) and canonical_json(found) == canonical_json(value)
    return _kind(found) == _kind(value) and bool(found == value)
