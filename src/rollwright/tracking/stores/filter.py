"""The part of MLflow's filter language that every adapter knows: comparisons joined by ``and``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from rollwright.errors import RecordError
from rollwright.tracking.store import RunRecord

__all__ = ["Condition", "Ordering", "compile_filter", "is_common", "parse_filter", "parse_order", "sort_runs"]

_NAME: Final = r"(?P<kind>params|metrics|tags|attributes)\.(?P<key>[\w.]+|`[^`]+`|\"[^\"]+\")"
_CONDITION: Final = re.compile(
    rf"\s*{_NAME}\s*(?P<operator>!=|>=|<=|=|>|<)\s*(?P<value>'[^']*'|\"[^\"]*\"|[-+0-9.eE]+)\s*"
)
_AND: Final = re.compile(r"and\b", re.IGNORECASE)
_ORDER: Final = re.compile(rf"\s*{_NAME}\s*(?P<way>ASC|DESC)?\s*", re.IGNORECASE)
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_TIMES: Final = ("start_time", "end_time")
_ATTRIBUTES: Final[dict[str, Callable[[RunRecord], Any]]] = {
    "status": lambda run: run.status,
    "run_name": lambda run: run.name,
    "run_id": lambda run: run.id,
    "start_time": lambda run: run.start.timestamp() * 1000,
    "end_time": lambda run: None if run.end is None else run.end.timestamp() * 1000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison: of which values, under which key, how, with what. A run without the value does not match."""

    kind: str
    key: str
    operator: str
    value: str | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """By which value runs are put in order; those without it, or with NaN, come last."""

    kind: str
    key: str
    descending: bool


def parse_filter(where: str) -> list[Condition]:
    """Return the comparisons that `where` spells; none for an empty text.

    Raises
    ------
    RecordError
        With the offset of what is no comparison.
    """
    conditions: list[Condition] = []
    offset = 0
    while where.strip():
        found = _CONDITION.match(where, offset)
        if found is None:
            raise RecordError(
                f"the filter {where!r} is not understood at offset {offset}",
                hint="join comparisons by `and`: metrics.ic > 0.02 and attributes.status = 'FINISHED'",
            )
        conditions.append(_condition(found))
        offset = found.end()
        if offset == len(where):
            break
        joined = _AND.match(where, offset)
        if joined is None:
            raise RecordError(f"the filter {where!r} is not understood at offset {offset}", hint="only `and` joins")
        offset = joined.end()
    return conditions


def parse_order(order_by: Sequence[str]) -> list[Ordering]:
    """Return the orders that `order_by` spells.

    Raises
    ------
    RecordError
        For what is none.
    """
    orders: list[Ordering] = []
    for clause in order_by:
        found = _ORDER.fullmatch(clause)
        if found is None:
            raise RecordError(f"the order {clause!r} is not understood", hint="as in: metrics.ic DESC")
        kind, key = found["kind"], found["key"].strip('`"')
        _check_attribute(kind, key)
        orders.append(Ordering(kind=kind, key=key, descending=(found["way"] or "ASC").upper() == "DESC"))
    return orders


def is_common(where: str, order_by: Sequence[str]) -> bool:
    """Tell whether `where` and `order_by` are of the part of the language that every adapter knows."""
    try:
        parse_filter(where)
        parse_order(order_by)
    except RecordError:
        return False
    return True


def compile_filter(where: str) -> Callable[[RunRecord], bool]:
    """Return the test that `where` spells; an empty text passes every run."""
    tests = [partial(_holds, one) for one in parse_filter(where)]
    return lambda run: all(test(run) for test in tests)


def sort_runs(runs: Sequence[RunRecord], order_by: Sequence[str]) -> list[RunRecord]:
    """Return `runs` in the order that `order_by` spells, newest first among equals."""
    result = sorted(runs, key=lambda run: (-run.start.timestamp(), run.id))
    for order in reversed(parse_order(order_by)):
        keyed = [(_read(order.kind, order.key, run), run) for run in result]
        held = [(value, run) for value, run in keyed if _is_ordered(value)]
        held.sort(key=operator.itemgetter(0), reverse=order.descending)
        result = [run for _, run in held] + [run for value, run in keyed if not _is_ordered(value)]
    return result


def _condition(found: re.Match[str]) -> Condition:
    kind, key, text = found["kind"], found["key"].strip('`"'), found["value"]
    _check_attribute(kind, key)
    quoted = text[0] in "'\""
    if (kind == "metrics" or (kind == "attributes" and key in _TIMES)) == quoted:
        raise RecordError(f"{kind}.{key} is compared with {text}", hint="text is quoted, numbers are not")
    try:
        value = text[1:-1] if quoted else float(text)
    except ValueError:
        raise RecordError(f"{kind}.{key} is compared with {text!r}, which is no number") from None
    return Condition(kind=kind, key=key, operator=found["operator"], value=value)


def _check_attribute(kind: str, key: str) -> None:
    if kind == "attributes" and key not in _ATTRIBUTES:
        raise RecordError(f"runs have no attribute {key!r}", hint=f"they have {', '.join(_ATTRIBUTES)}")


def _holds(condition: Condition, run: RunRecord) -> bool:
    held = _read(condition.kind, condition.key, run)
    return held is not None and _COMPARE[condition.operator](held, condition.value)


def _read(kind: str, key: str, run: RunRecord) -> Any:
    if kind == "attributes":
        return _ATTRIBUTES[key](run)
    values: Mapping[str, Any] = {"params": run.params, "metrics": run.metrics, "tags": run.tags}[kind]
    return values.get(key)


def _is_ordered(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
