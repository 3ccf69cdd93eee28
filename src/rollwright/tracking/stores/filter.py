"""The part of MLflow's filter language that every adapter knows: comparisons joined by ``and``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from rollwright.errors import RecordError
from rollwright.tracking.store import RunRecord

__all__ = ["compile_filter", "sort_runs"]

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
_ATTRIBUTES: Final[dict[str, Callable[[RunRecord], Any]]] = {
    "status": lambda run: run.status,
    "run_name": lambda run: run.name,
    "run_id": lambda run: run.id,
    "start_time": lambda run: run.start.timestamp() * 1000,
    "end_time": lambda run: None if run.end is None else run.end.timestamp() * 1000,
}


def compile_filter(where: str) -> Callable[[RunRecord], bool]:
    """Return the test that `where` spells; an empty text passes every run.

    Raises
    ------
    RecordError
        With the offset of what is no comparison.
    """
    tests: list[Callable[[RunRecord], bool]] = []
    offset = 0
    while where.strip():
        found = _CONDITION.match(where, offset)
        if found is None:
            raise RecordError(
                f"the filter {where!r} is not understood at offset {offset}",
                hint="join comparisons by `and`: metrics.ic > 0.02 and attributes.status = 'FINISHED'",
            )
        tests.append(_comparison(found))
        offset = found.end()
        if offset == len(where):
            break
        joined = _AND.match(where, offset)
        if joined is None:
            raise RecordError(f"the filter {where!r} is not understood at offset {offset}", hint="only `and` joins")
        offset = joined.end()
    return lambda run: all(test(run) for test in tests)


def sort_runs(runs: Sequence[RunRecord], order_by: Sequence[str]) -> list[RunRecord]:
    """Return `runs` in the order that `order_by` spells, newest first among equals, runs without the value last."""
    result = sorted(runs, key=lambda run: (-run.start.timestamp(), run.id))
    for clause in reversed(order_by):
        found = _ORDER.fullmatch(clause)
        if found is None:
            raise RecordError(f"the order {clause!r} is not understood", hint="as in: metrics.ic DESC")
        read = _reader(found["kind"], found["key"].strip('`"'))
        down = (found["way"] or "ASC").upper() == "DESC"
        held = [run for run in result if read(run) is not None]
        held.sort(key=read, reverse=down)
        result = held + [run for run in result if read(run) is None]
    return result


def _comparison(found: re.Match[str]) -> Callable[[RunRecord], bool]:
    kind, key, text = found["kind"], found["key"].strip('`"'), found["value"]
    read = _reader(kind, key)
    quoted = text[0] in "'\""
    if (kind == "metrics") == quoted:
        raise RecordError(f"{kind}.{key} is compared with {text}", hint="text is quoted, numbers are not")
    return partial(_holds, read, _COMPARE[found["operator"]], text[1:-1] if quoted else float(text))


def _holds(
    read: Callable[[RunRecord], Any], compare: Callable[[Any, Any], bool], value: str | float, run: RunRecord
) -> bool:
    held = read(run)
    return held is not None and compare(held, value)


def _reader(kind: str, key: str) -> Callable[[RunRecord], Any]:
    if kind == "attributes":
        if key not in _ATTRIBUTES:
            raise RecordError(f"runs have no attribute {key!r}", hint=f"they have {', '.join(_ATTRIBUTES)}")
        return _ATTRIBUTES[key]
    return lambda run: _values_of(run, kind).get(key)


def _values_of(run: RunRecord, kind: str) -> Mapping[str, Any]:
    return {"params": run.params, "metrics": run.metrics, "tags": run.tags}[kind]
