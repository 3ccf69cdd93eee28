"""The rows of a panel whose fields begin later, or end earlier, than the series of their instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rollwright.calendar.trading import TradingCalendar
from rollwright.core.canonical import canonical_json, sha256_hex
from rollwright.expression.planner import compile_plan
from rollwright.expression.row_search import find_rows
from rollwright.expression.term_rows import Bounds
from rollwright.features.row_layout import Spans, join_spans, spans_of_bounds, spans_of_lifetimes
from rollwright.features.universe import Universe
from rollwright.market.source import DataSource

__all__ = ["FieldRows", "find_field_rows", "layout_spans"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRows:
    """Rows that some expressions have together: those that any of them has.

    Attributes
    ----------
    name : str
        Of the expressions, for the name of a folder.
    bounds : tuple of int64 ``[instruments, 2]``
        One for each set of rows that an expression has, of every instrument of the source.
    """

    name: str
    bounds: tuple[Bounds, ...]


def find_field_rows(expressions: Sequence[str], fields: Sequence[str], source: DataSource) -> FieldRows | None:
    """Return the rows of `expressions`, which read `fields`; None when they are those of the instruments.

    They are when a field has the rows of the instruments, as every field of a market of prices has. Rows beyond those
    of an instrument, which ``ChangeInstrument`` may give, are left out.
    """
    instruments = source.instruments()
    own = source.bounds(instruments)
    if not fields or any(np.array_equal(source.field_bounds([name], instruments)[0], own) for name in fields):
        return None
    plan = compile_plan(expressions, allow_lookahead=True)
    rows = find_rows(plan, source, instruments)
    wanted = {rows.number_of(term) for term in plan.terms}
    if 0 in wanted:
        return None
    return FieldRows(
        name=sha256_hex(canonical_json(sorted(set(plan.expressions))).encode())[:12],
        bounds=tuple(_within(rows.bounds[number], own) for number in sorted(wanted)),
    )


def _within(bounds: Bounds, own: Bounds) -> Bounds:
    first, stop = np.maximum(bounds[:, 0], own[:, 0]), np.minimum(bounds[:, 1], own[:, 1])
    return np.stack([first, np.maximum(first, stop)], axis=1)


def layout_spans(
    universe: Universe | None, rows: FieldRows | None, source: DataSource, instruments: Sequence[str]
) -> Spans:
    """Return the spans of a layout: the rows of `universe`, or of every instrument, that `rows` has.

    Parameters
    ----------
    universe : Universe or None
        None stands for every instrument.
    rows : FieldRows or None
        None stands for the series of the instruments.
    source : DataSource
    instruments : sequence of str
        Every instrument of the source.
    """
    calendar: TradingCalendar = source.calendar()
    parts = [source.bounds(instruments)] if rows is None else rows.bounds
    spans = [
        spans_of_bounds(bounds, sessions=calendar.known)
        if universe is None
        else spans_of_lifetimes(universe.lifetimes, instruments, bounds, calendar)
        for bounds in parts
    ]
    return spans[0] if len(spans) == 1 else join_spans(spans)
