"""One tile: its computation on a thread, and its way to the consumer.

1. A job computes the nodes of the plan in order, each once. A node's values are dropped after its last reader.
2. An expression is written to the tile as soon as it is computed, in the width of the tile (float32). This is the only
   copy before the consumer's own.
3. Cells outside the expression's series (`term_rows`) are then set to NaN, where they lie: whole runs of rows.
4. Where the consumer wants the rows of an instrument together, it gets a few expressions at a time, while they are in
   the CPU cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.block import Block, Cells, Margin, PeriodColumns, Values
from rollwright.expression.planner import Plan, operator_of
from rollwright.expression.term import Term
from rollwright.expression.term_rows import TermRows

__all__ = ["Inputs", "Tile", "TileBuffer", "TileJob", "write"]

EXPRESSIONS_TOGETHER: Final = 16
"""How many expressions of a tile are given to the consumer at a time, where the rows of an instrument lie together."""

Inputs: TypeAlias = Mapping[Term, Values]
"""The inputs of a block: fields and staged terms, each on the rows of its margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Values of expressions on some sessions and instruments.

    Attributes
    ----------
    expressions : intp [expressions]
        Positions in the plan's expressions.
    rows : slice
        Positions of the calendar.
    columns : intp [columns]
        Positions in the list of instruments of the request.
    values : float32 [expressions, rows, columns]
        NaN outside the series of each expression. In memory the last axis runs fastest; from `evaluate_each` the rows
        of each instrument lie together.
    """

    expressions: NDArray[np.intp]
    rows: slice
    columns: NDArray[np.intp]
    values: NDArray[Any]


class SessionValues(Protocol):
    """Where a tile finds calls that are not computed on sessions."""

    def values(self, call: Term, first: int, last: int) -> NDArray[np.float32]:
        """Return the values of a call on the calendar positions ``[first, last)``: ``[sessions, instruments]``."""
        ...


class TileBuffer(threading.local):
    """The memory for the tiles of a thread: one buffer, replaced when a tile is larger than all before it."""

    def __init__(self) -> None:
        self._memory: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def take(self, size: int) -> NDArray[np.float32]:
        """Return `size` cells with undefined content."""
        if self._memory.size < size:
            self._memory = np.empty(size, dtype=np.float32)
        return self._memory[:size]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileJob:
    """The computation of one tile.

    Of an expression within ``P`` the rows are periods and the columns vintages (`periods`); elsewhere they are sessions
    and instruments, and calls of ``P`` are looked up in what was computed for `vintages`.
    """

    plan: Plan
    rows: slice
    columns: slice
    series: TermRows
    margins: Mapping[Term, Margin]
    inputs: Inputs
    calendar: NDArray[np.datetime64]
    instruments: tuple[str, ...]
    freq: str
    by_series: bool
    vintages: SessionValues | None = None
    periods: PeriodColumns | None = None

    def __call__(self) -> Tile:
        """Return the tile, in memory of its own."""
        rows, columns = self._shape
        values = np.empty((len(self.plan.terms), rows, columns), np.float32)
        self._fill(lambda place: values[place], lambda _place: None)
        return self._tile(np.arange(len(values)), values)

    def give(self, take: Callable[[Tile], None], buffer: TileBuffer) -> None:
        """Compute the tile in `buffer` and give it to `take`, all of it or in parts."""
        if not self.by_series:
            rows, columns = self._shape
            count = len(self.plan.terms)
            values = buffer.take(count * rows * columns).reshape(count, rows, columns)
            self._fill(lambda place: values[place], lambda _place: None)
            take(self._tile(np.arange(count), values))
            return
        part = _TilePart(self, take, buffer)
        self._fill(part.room, part.done)
        part.flush()

    @property
    def _shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def _tile(self, expressions: NDArray[np.intp], values: NDArray[np.float32]) -> Tile:
        columns = np.arange(self.columns.start, self.columns.stop, dtype=np.intp)
        return Tile(expressions=expressions, rows=self.rows, columns=columns, values=values)

    def _fill(self, room: Callable[[int], NDArray[np.float32]], done: Callable[[int], None]) -> None:
        """Write each expression to ``room(place)``, in any order, and call ``done(place)``."""

        def take(place: int, found: Any, outside: Cells) -> None:
            write(room(place), found, outside)
            done(place)

        if self.series.any_within(self.rows.start, self.rows.stop):
            self.compute(take)
        else:
            for place in range(len(self.plan.terms)):
                take(place, np.float32(np.nan), ())

    def compute(self, take: Callable[[int, Values, Cells], None]) -> None:
        """Call ``take(place, values, outside)`` for each expression, with the width it was computed in.

        1. Compute the next node of the plan from the values of its inputs.
        2. Give it to `take`, once for each expression that is this term, and the cells outside its series, in which
           `values` holds anything.
        3. Drop inputs whose last reader this was, and the node itself if nothing else reads it.
        4. Drop the shared work that no later node reads.
        """
        with np.errstate(all="ignore"):  # 0/0 and the like are values here, as they are in pandas
            self._compute(take)

    def _compute(self, take: Callable[[int, Values, Cells], None]) -> None:
        block = Block(
            start=self.rows.start,
            stop=self.rows.stop,
            rows=self.series,
            margins=self.margins,
            calls=self.plan.calls,
            calendar=self.calendar,
            instruments=self.instruments,
            freq=self.freq,
            allows_lookahead=self.plan.allows_lookahead,
            periods=self.periods,
        )
        places = _places(self.plan.terms)
        left = dict(self.plan.uses)
        for node, term in enumerate(self.plan.nodes):
            if term.kind != "number":
                block.put(term, self._values(block, term))
            for place in places.get(term, ()):
                take(place, _own_rows(block, term), block.outside(term))
            for source in () if term in self.inputs else term.inputs:
                left[source] -= 1
                if left[source] == 0:
                    block.drop(source)
            left[term] -= len(places.get(term, ()))
            if left[term] == 0:
                block.drop(term)
            block.drop_shared(self.plan.last_reads[node])

    def _values(self, block: Block, term: Term) -> Values:
        given = self.inputs.get(term)
        if given is not None:
            # contiguous: NumPy's vector code rounds logarithms and powers differently from its loop for strided data
            return np.ascontiguousarray(np.broadcast_to(given, (block.length(term), block.columns)))
        if term.inner is not None:
            assert self.vintages is not None  # noqa: S101 - the engine reads them for plans that have such calls
            before, after = block.margin(term)
            found = self.vintages.values(term, block.start - before, block.stop + after)
            inside = block.in_series(term)
            return found if inside.all() else _blank_outside(found, inside)
        operator = operator_of(term)
        values = operator.compute(block, term)
        if self.periods is not None and operator.is_windowed:
            values = np.where(block.has_whole_windows(term), values, values.dtype.type(np.nan))
        # An operator that only looks back yields NaN before the listing by itself. What looks ahead may fill those
        # rows, and another term may have rows after the last of this one.
        may_leave = operator.makes_values or term.ahead > 0 or self.margins[term].after > 0 or not self.series.are_equal
        if values.dtype == np.bool_ or not may_leave:
            return values
        inside = block.in_series(term)
        return values if inside.all() else _blank_outside(values, inside)


class _TilePart:
    """Some expressions of a tile, the rows of each instrument together, on their way to the consumer."""

    def __init__(self, job: TileJob, take: Callable[[Tile], None], buffer: TileBuffer) -> None:
        rows, columns = job._shape  # noqa: SLF001 - a part of the job
        most = min(EXPRESSIONS_TOGETHER, len(job.plan.terms))
        self._job = job
        self._take = take
        self._values = buffer.take(most * rows * columns).reshape(most, columns, rows).swapaxes(1, 2)
        self._places: list[int] = []

    def room(self, _place: int) -> NDArray[np.float32]:
        """Return where the next expression is written."""
        room: NDArray[np.float32] = self._values[len(self._places)]
        return room

    def done(self, place: int) -> None:
        """Say that the expression `place` is written."""
        self._places.append(place)
        if len(self._places) == len(self._values):
            self.flush()

    def flush(self) -> None:
        """Give what is written to the consumer."""
        if self._places:
            written = self._values[: len(self._places)]
            self._take(self._job._tile(np.array(self._places, np.intp), written))  # noqa: SLF001 - as above
            self._places.clear()


def _places(terms: tuple[Term, ...]) -> dict[Term, list[int]]:
    places: dict[Term, list[int]] = {}
    for place, term in enumerate(terms):
        places.setdefault(term, []).append(place)
    return places


def _own_rows(block: Block, term: Term) -> Values:
    """Return the values of `term` on the block's own rows."""
    values = block.series(term)
    before, after = block.margin(term)
    return values[before : len(values) - after]


def write(room: Values, values: Any, outside: Cells) -> None:
    """Write the values of an expression, and NaN to the cells outside its series."""
    np.copyto(room, values, casting="same_kind")
    for rows, column in outside:
        room[rows, column] = np.nan


def _blank_outside(values: Values, inside: NDArray[np.bool_]) -> Values:
    blanked = values.copy()
    np.copyto(blanked, np.nan, where=~inside)
    return blanked
