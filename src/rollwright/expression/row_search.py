"""Finding the rows of every term of a plan (`term_rows`) from what a source says of its fields; no value is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

from rollwright.expression.planner import Plan, operator_of
from rollwright.expression.term import Term
from rollwright.expression.term_rows import Bounds, TermRows, hull
from rollwright.market.source import DataSource

__all__ = ["find_rows"]


def find_rows(plan: Plan, source: DataSource, instruments: Sequence[str]) -> TermRows:
    """Return the rows of every term of `plan` for `instruments`; no value is read.

    Raises
    ------
    UnknownInstrumentError
        For an instrument without a series, also one that an expression names.
    """
    own = np.ascontiguousarray(source.bounds(instruments), np.int64)
    distinct = _Distinct(own)
    number: dict[Term, int] = {}
    loaded = dict(zip(plan.loaded, source.field_bounds(plan.loaded, instruments), strict=True)) if plan.loaded else {}
    for term in plan.nodes:
        if term.kind == "field":
            number[term] = distinct.number_of(loaded[term.name])
        elif term in plan.stages:
            number[term] = distinct.number_of(_stage_rows(term, plan.stages[term], source, instruments))
        elif term.kind == "call":
            series = [number[part] for part in term.inputs if part in number]
            number[term] = distinct.join(set(series[:1] if operator_of(term).has_first_rows else series))
    return TermRows(bounds=tuple(distinct.found), number=number)


def _stage_rows(term: Term, plan: Plan, source: DataSource, instruments: Sequence[str]) -> Bounds:
    """Return the rows of a term that needs other instruments: those of its inputs, for the instruments it reads."""
    stage = operator_of(term).stage
    assert stage is not None  # noqa: S101 - the planner stages only such operators
    if stage.is_per_column:
        return _joined(find_rows(plan, source, instruments), term.inputs)
    names = stage.columns(term, source.instruments())
    rows = _joined(find_rows(plan, source, names), term.inputs)
    return np.repeat(rows, len(instruments), axis=0)


def _joined(rows: TermRows, inputs: Iterable[Term]) -> Bounds:
    found = [rows.of(part) for part in inputs if part.kind != "number"]
    return reduce(hull, found) if found else rows.bounds[0]


class _Distinct:
    """Sets of rows, each once, so that equal ones are told by their number."""

    def __init__(self, own: Bounds) -> None:
        self.found: list[Bounds] = [own]
        self._known = {own.tobytes(): 0}
        self._joined: dict[frozenset[int], int] = {}

    def number_of(self, bounds: Bounds) -> int:
        """Return the number of these rows."""
        plain = np.ascontiguousarray(bounds, np.int64)
        key = plain.tobytes()
        if key not in self._known:
            self._known[key] = len(self.found)
            self.found.append(plain)
        return self._known[key]

    def join(self, numbers: set[int]) -> int:
        """Return the number of the rows from the first of any of `numbers` to the last; 0 without one."""
        if len(numbers) < 2:
            return next(iter(numbers), 0)
        key = frozenset(numbers)
        if key not in self._joined:
            self._joined[key] = self.number_of(reduce(hull, (self.found[number] for number in sorted(key))))
        return self._joined[key]
