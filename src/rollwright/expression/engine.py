"""Evaluation: a plan over a data source, tile by tile, on as many threads as wanted.

Every value depends only on its instrument's rows within the expression's reach (and, for cross-sections, on those of
all instruments of the source), through a fixed tree of operations. So results have the same bits whatever the range,
the instruments beside it, the size of the tiles and the number of threads.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rollwright.errors import CalendarRangeError
from rollwright.expression.block import Block, LastReads, Span, Values
from rollwright.expression.planner import Plan, operator_of
from rollwright.expression.term import UNBOUNDED, Term
from rollwright.market.source import DataSource

__all__ = ["Tile", "evaluate", "evaluate_each"]

TILE_ROWS: Final = 1024
TILE_CELLS: Final = 32 * TILE_ROWS
"""What a thread holds of 158 expressions at once is some 80 MiB; with half the cells it takes a quarter more time."""
MOST_COLUMNS: Final = 512
LOADED_CELLS: Final = 1 << 26
STAGED_ROWS: Final = TILE_ROWS

T = TypeVar("T")
Panels: TypeAlias = Mapping[Term, Values]
"""What a block starts from: fields and staged terms, on the rows around it that are wanted of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Values of all expressions on some sessions and instruments.

    Attributes
    ----------
    rows : slice
        Positions of the calendar.
    columns : intp [columns]
        Which of the instruments asked for.
    values : float32 [expressions, rows, columns]
        NaN outside each instrument's series. In memory the last axis runs fastest; from `evaluate_each` the rows of
        each instrument lie together.
    """

    rows: slice
    columns: NDArray[np.intp]
    values: NDArray[Any]


def evaluate(
    plan: Plan,
    source: DataSource,
    *,
    instruments: Sequence[str],
    start: int,
    stop: int,
    threads: int = 1,
    most_rows: int = TILE_ROWS,
) -> Iterator[Tile]:
    """Yield tiles that cover the sessions ``[start, stop)`` and `instruments` exactly once, earlier sessions first.

    Lazy: a tile is computed when it is asked for, or at most a few ahead of it when there are threads, so memory does
    not grow with the range. Only the rows asked for and those the expressions look back to are read.

    Parameters
    ----------
    plan : Plan
    source : DataSource
    instruments : sequence of str
    start, stop : int
        Positions of the source's calendar, half open.
    threads : int, default 1
    most_rows : int
        Sessions of a tile at most, but for plans that read the whole past, whose tiles have all of the range.

    Raises
    ------
    CalendarRangeError
        When the range leaves the calendar.
    """
    request = _request(plan, source, instruments, start, stop, most_rows=most_rows)
    return _in_order(request.jobs(start, stop), _Job.__call__, threads=threads)


def evaluate_each(
    plan: Plan,
    source: DataSource,
    take: Callable[[Tile], None],
    *,
    instruments: Sequence[str],
    start: int,
    stop: int,
    threads: int = 1,
    by_series: bool = True,
    most_rows: int = TILE_ROWS,
) -> None:
    """Give every tile of `evaluate` to `take`, in any order, on the thread that computed it.

    So what a consumer does with the tiles is shared by the threads, its first writes to fresh memory among it; and the
    tiles of a thread are one buffer, filled again and again.

    Parameters
    ----------
    plan, source, instruments, start, stop, threads, most_rows
        As in `evaluate`.
    take : callable
        Called by several threads at once. A tile's values hold only until it returns.
    by_series : bool, default True
        Whether the rows of an instrument lie together in a tile, or the instruments of a session.

    Raises
    ------
    CalendarRangeError
        When the range leaves the calendar.
    """
    request = _request(plan, source, instruments, start, stop, by_series=by_series, most_rows=most_rows)
    room = _Room()
    for _ in _in_order(request.jobs(start, stop), lambda job: take(job(room)), threads=threads):
        pass


def _request(
    plan: Plan,
    source: DataSource,
    instruments: Sequence[str],
    start: int,
    stop: int,
    *,
    by_series: bool = False,
    most_rows: int = TILE_ROWS,
) -> _Request:
    length = len(source.calendar())
    if not 0 <= start <= stop <= length:
        raise CalendarRangeError(
            f"sessions [{start}, {stop}) are not within the calendar of {length}",
            hint="positions count from 0, and the range is half open",
        )
    return _Request(
        plan=plan, source=source, instruments=tuple(instruments), dtype=np.float32, by_series=by_series,
        most_rows=min(most_rows, TILE_ROWS),
    )  # fmt: skip


def _in_order(jobs: Iterator[_Job], run: Callable[[_Job], T], *, threads: int) -> Iterator[T]:
    """Yield what `run` makes of each job, in order, with at most two a thread under way.

    A single thread is one beside the caller's, too: the allocator gives the pages of the main thread's heap back to the
    system after each tile, and would ask for them again for the next (measured: half as much time again).
    """
    most = 2 * threads if threads > 1 else 1
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="rollwright-expression")
    pending: deque[Future[T]] = deque()
    try:
        for job in jobs:
            pending.append(pool.submit(run, job))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # also when the consumer stops early
        pool.shutdown(wait=True, cancel_futures=True)


class _Room(threading.local):
    """The memory of a thread's tiles: one buffer, taken anew only when a tile is larger than all before it."""

    def __init__(self) -> None:
        self._memory: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def of(self, size: int) -> NDArray[np.float32]:
        """Return `size` cells, whatever is in them."""
        if self._memory.size < size:
            self._memory = np.empty(size, dtype=np.float32)
        return self._memory[:size]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A plan over some instruments of a source."""

    plan: Plan
    source: DataSource
    instruments: tuple[str, ...]
    dtype: DTypeLike
    by_series: bool = False
    most_rows: int = TILE_ROWS
    last_reads: LastReads = field(default_factory=LastReads)

    def jobs(self, start: int, stop: int) -> Iterator[_Job]:
        """Yield one job a tile; what a job needs is read when it is made, in the caller's thread."""
        if not self.instruments or start == stop:
            return
        bounds = self.source.bounds(self.instruments).astype(np.int64, copy=False)
        is_whole = self.plan.lookback >= UNBOUNDED
        load_rows = stop - start if is_whole else self._load_rows()
        tile_rows = load_rows if is_whole else min(self.most_rows, stop - start)
        width = _width(stop if is_whole else tile_rows + self.plan.lookback + self.plan.lookahead)
        spans_at = self._spans_at()
        for first in range(start, stop, load_rows):
            last = min(first + load_rows, stop)
            around = spans_at(first)
            staged = self._staged(around, first, last)
            groups = [
                slice(left, min(left + width, len(self.instruments))) for left in range(0, len(self.instruments), width)
            ]
            panels: dict[int, Panels] = {}
            for row in range(first, last, tile_rows):
                rows = slice(row, min(row + tile_rows, last))
                for columns in groups:
                    if row == first:
                        panels[columns.start] = self._panels_of(columns, around, staged, first, last)
                    is_last = rows.stop == last
                    given = panels.pop(columns.start) if is_last else panels[columns.start]
                    spans = spans_at(row)
                    inputs = {
                        term: _rows_around(panel, rows, spans[term], first - around[term].before)
                        for term, panel in given.items()
                    }
                    yield self._job(rows, columns, bounds[columns], spans, inputs)

    def _load_rows(self) -> int:
        """Return how many sessions are read at once: all the fields of so many are kept until they are evaluated."""
        if self.plan.stages:
            return STAGED_ROWS
        fields = sum(term.kind == "field" for term in self.plan.nodes)
        tiles = LOADED_CELLS // (max(1, fields * len(self.instruments)) * self.most_rows)
        return max(1, tiles) * self.most_rows

    def _spans_at(self) -> Callable[[int], Mapping[Term, Span]]:
        """Return the plan's spans by the first row of a block; only whole-past plans depend on it."""
        if self.plan.lookback >= UNBOUNDED:
            return cache(self.plan.spans)
        spans = self.plan.spans(0)
        return lambda _row: spans

    def _panels_of(
        self, columns: slice, around: Mapping[Term, Span], staged: Panels, first: int, last: int
    ) -> dict[Term, Values]:
        """Return what tiles of some columns and the sessions ``[first, last)`` start from."""
        # a staged panel of one column is another instrument's, and stands beside every column
        panels = {term: panel[:, columns] if panel.shape[1] > 1 else panel for term, panel in staged.items()}
        return panels | self._fields(around, first, last, columns)

    def _job(
        self, rows: slice, columns: slice, bounds: NDArray[np.int64], spans: Mapping[Term, Span], inputs: Panels
    ) -> _Job:
        return _Job(
            plan=self.plan,
            rows=rows,
            columns=columns,
            bounds=bounds,
            spans=spans,
            inputs=inputs,
            calendar=self.source.calendar().values,
            dtype=self.dtype,
            by_series=self.by_series,
            last_reads=self.last_reads,
        )

    def _fields(self, around: Mapping[Term, Span], first: int, last: int, columns: slice) -> dict[Term, Values]:
        """Read every field once, on the widest span any of them is wanted on."""
        terms = [term for term in self.plan.nodes if term.kind == "field"]
        if not terms:
            return {}
        before = max(around[term].before for term in terms)
        after = max(around[term].after for term in terms)
        names = [term.name for term in terms]
        loaded = _padded(
            lambda start, stop: self.source.load(names, self.instruments[columns], start, stop),
            first - before,
            last + after,
            len(self.source.calendar()),
        )
        rows = loaded.shape[1]
        return {
            term: loaded[index, before - around[term].before : rows - (after - around[term].after)]
            for index, term in enumerate(terms)
        }

    def _staged(self, around: Mapping[Term, Span], first: int, last: int) -> dict[Term, Values]:
        """Compute the terms that need other columns, on all rows that the tiles of ``[first, last)`` want of them."""
        return {
            term: self._stage(term, plan, first - around[term].before, last + around[term].after)
            for term, plan in self.plan.stages.items()
        }

    def _stage(self, term: Term, plan: Plan, start: int, stop: int) -> Values:
        stage = operator_of(term).stage
        assert stage is not None  # noqa: S101 - the planner stages only such operators
        names = stage.columns(term, self.source.instruments())
        inner = _Request(plan=plan, source=self.source, instruments=names, dtype=np.float64)
        panels = _padded(inner.panels, start, stop, len(self.source.calendar()))
        with np.errstate(all="ignore"):
            values = stage.combine(panels)
        if len(names) == 1 and not stage.is_per_column:
            return values
        place = {name: index for index, name in enumerate(names)}
        return values[:, [place[name] for name in self.instruments]]

    def panels(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return all tiles of ``[start, stop)`` as one array ``[expressions, rows, instruments]``."""
        result = np.full((len(self.plan.terms), stop - start, len(self.instruments)), np.nan)
        for job in self.jobs(start, stop):
            tile = job()
            result[:, tile.rows.start - start : tile.rows.stop - start, tile.columns] = tile.values
        return result


def _width(rows: int) -> int:
    """Return how many columns beside `rows` rows make a block of a good size: many for a short range."""
    return max(1, min(MOST_COLUMNS, TILE_CELLS // rows))


def _padded(load: Callable[[int, int], NDArray[Any]], start: int, stop: int, length: int) -> NDArray[Any]:
    """Return what `load` gives for ``[start, stop)``, with NaN for rows outside the calendar."""
    low, high = min(max(start, 0), length), max(min(stop, length), 0)
    loaded = load(low, max(low, high))
    if low == start and high == stop:
        return loaded
    padded = np.full((loaded.shape[0], stop - start, loaded.shape[2]), np.nan, loaded.dtype)
    padded[:, low - start : low - start + loaded.shape[1]] = loaded
    return padded


def _rows_around(panel: Values, rows: slice, span: Span, origin: int) -> Values:
    """Return the rows wanted of a panel whose first row is at the calendar position `origin`."""
    return panel[rows.start - span.before - origin : rows.stop + span.after - origin]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """The computation of one tile."""

    plan: Plan
    rows: slice
    columns: slice
    bounds: NDArray[np.int64]
    spans: Mapping[Term, Span]
    inputs: Panels
    calendar: NDArray[np.datetime64]
    dtype: DTypeLike
    by_series: bool
    last_reads: LastReads

    def __call__(self, room: _Room | None = None) -> Tile:
        """Compute the tile, in memory of its own if no `room` is given."""
        values = self._values_in(room)
        if self._is_empty():
            values.fill(np.nan)
        else:
            with np.errstate(all="ignore"):  # 0/0 and the like are values here, as they are in pandas
                self._compute(values)
        return Tile(
            rows=self.rows, columns=np.arange(self.columns.start, self.columns.stop, dtype=np.intp), values=values
        )

    def _values_in(self, room: _Room | None) -> NDArray[Any]:
        rows, columns = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        shape = (len(self.plan.terms), columns, rows) if self.by_series else (len(self.plan.terms), rows, columns)
        values = np.empty(shape, self.dtype) if room is None else room.of(math.prod(shape)).reshape(shape)
        return values.swapaxes(1, 2) if self.by_series else values

    def _is_empty(self) -> bool:
        return not ((self.bounds[:, 0] < self.rows.stop) & (self.bounds[:, 1] > self.rows.start)).any()

    def _compute(self, out: NDArray[Any]) -> None:
        block = Block(
            start=self.rows.start,
            stop=self.rows.stop,
            bounds=self.bounds,
            spans=self.spans,
            calls=self.plan.calls,
            calendar=self.calendar,
        )
        places = _places(self.plan.terms)
        left = dict(self.plan.uses)
        for node, term in enumerate(self.plan.nodes):
            block.begin(node)
            if term.kind != "number":
                block.put(term, self._values(block, term))
            for place in places.get(term, ()):
                _write(block, term, out[place])
            for source in () if term in self.inputs else term.inputs:
                left[source] -= 1
                if left[source] == 0:
                    block.drop(source)
            left[term] -= len(places.get(term, ()))
            if left[term] == 0:
                block.drop(term)
            block.forget(self.last_reads.of(node))
        self.last_reads.learn(block.reads)

    def _values(self, block: Block, term: Term) -> Values:
        given = self.inputs.get(term)
        if given is not None:
            # contiguous, since the vector units round logarithms and powers otherwise than the loop for strided data
            return np.ascontiguousarray(np.broadcast_to(given, (block.length(term), block.columns)))
        operator = operator_of(term)
        values = operator.compute(block, term)
        # rows before the listing can come by values only from later ones, rows after the end only from earlier ones
        may_leave = operator.makes_values or term.ahead > 0 or self.spans[term].after > 0
        if operator.is_logical or not may_leave:
            return values
        listed = block.listed(term)
        return values if listed.all() else np.where(listed, values, values.dtype.type(np.nan))


def _places(terms: tuple[Term, ...]) -> dict[Term, list[int]]:
    places: dict[Term, list[int]] = {}
    for place, term in enumerate(terms):
        places.setdefault(term, []).append(place)
    return places


def _write(block: Block, term: Term, out: NDArray[Any]) -> None:
    """Write the values of `term` on the block's own rows."""
    values = block.series(term)
    before, after = block.span(term)
    out[...] = values[before : len(values) - after]
    listed = block.listed(term)[before : len(values) - after]
    if not listed.all():
        np.copyto(out, np.nan, where=~listed)
