"""The expression engine: evaluates a plan over a data source in tiles, on one or more threads.

How ``evaluate(plan, source, instruments, start, stop)`` works:

1. The range is cut into loads of sessions, and the instruments into groups of columns, so that what a tile of sessions
   and columns takes (`footprint`) stays within the memory of a thread. Plans that read the whole past have one load,
   the range.
2. Before the tiles of a load, terms that need other instruments (cross-sections, another instrument's values) are
   computed for all their instruments, by the same engine, and combined: a *stage*.
3. The fields of each group of columns are read once for the load, with the rows before and after it that the plan
   looks back and ahead to (`Plan.margins`).
4. For each tile its rows of the fields and stages are cut out, and the tile becomes a job for a thread. At most two
   jobs per thread are waiting, so memory does not grow with the range.
5. A job computes the nodes of the plan in order, each once, and writes the terms that were asked for into the tile. A
   node's values are dropped after its last reader.
6. Cells outside a term's series (`term_rows`) become NaN. The tiles are yielded in order, earlier sessions first
   (`evaluate`), or given to a function on the thread that computed them (`evaluate_each`).

Every value depends only on its instrument's rows within the expression's reach (and, for cross-sections, on those of
all instruments of the source), through a fixed tree of operations. So results have the same bits for every range, every
choice of instruments, every size of tiles and every number of threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from rollwright.config.context import bind_context
from rollwright.errors import CalendarRangeError
from rollwright.expression.block import Block, Margin, Values
from rollwright.expression.footprint import estimate
from rollwright.expression.planner import Plan, operator_of
from rollwright.expression.row_search import find_rows
from rollwright.expression.term import UNBOUNDED, Term
from rollwright.expression.term_rows import TermRows
from rollwright.market.source import DataSource

__all__ = ["THREAD_MEMORY", "Tile", "evaluate", "evaluate_each"]

TILE_ROWS: Final = 1024
TILE_CELLS: Final = 32 * TILE_ROWS
"""The most cells of one node in a tile: three arrays of so many fit the cache of a core."""
FEWEST_CELLS: Final = 8192
"""Cells of a tile however little memory there is: with fewer, the calls cost more than the work."""
FEWEST_ROWS: Final = 256
FEWEST_COLUMNS: Final = 4
"""A tile has fewer sessions before it has fewer columns than this."""
THREAD_MEMORY: Final = 32 << 20
"""Bytes of working memory of each thread, unless another number is given."""
MOST_COLUMNS: Final = 512
EXPRESSIONS_TOGETHER: Final = 16
"""How many expressions of a tile are given to the consumer at a time, where the rows of an instrument lie together."""
LOADED_CELLS: Final = 1 << 26
STAGED_ROWS: Final = TILE_ROWS

T = TypeVar("T")
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


def evaluate(
    plan: Plan,
    source: DataSource,
    *,
    instruments: Sequence[str],
    start: int,
    stop: int,
    threads: int = 1,
    memory: int = THREAD_MEMORY,
    most_rows: int = TILE_ROWS,
) -> Iterator[Tile]:
    """Yield tiles that cover the sessions ``[start, stop)`` and `instruments` exactly once, earlier sessions first.

    Lazy: a tile is computed when the caller takes it, or at most a few tiles earlier when there are threads, so memory
    does not grow with the range. Only the rows of the range and those the expressions look back to are read.

    Parameters
    ----------
    plan : Plan
    source : DataSource
    instruments : sequence of str
    start, stop : int
        Positions of the source's calendar, half open.
    threads : int, default 1
    memory : int
        Bytes of working memory for each thread, besides the fields and the tiles themselves. Tiles are cut so that an
        estimate stays below it. A tile has at least `FEWEST_CELLS` cells and one instrument, and plans that read the
        whole past have all its sessions in a tile.
    most_rows : int
        The most sessions in a tile; plans that read the whole past ignore it and have all sessions in each tile.

    Raises
    ------
    CalendarRangeError
        When the range leaves the calendar.
    """
    request = _request(plan, source, instruments, start, stop, threads=threads, memory=memory, most_rows=most_rows)
    return _run_in_order(request.jobs(start, stop), _TileJob.__call__, threads=threads)


def evaluate_each(
    plan: Plan,
    source: DataSource,
    take: Callable[[Tile], None],
    *,
    instruments: Sequence[str],
    start: int,
    stop: int,
    threads: int = 1,
    memory: int = THREAD_MEMORY,
    by_series: bool = True,
    most_rows: int = TILE_ROWS,
) -> None:
    """Call ``take(tile)`` for the cells of every tile of `evaluate`, in any order, on the thread that computed it.

    So the work of the consumer runs on all threads too, its first writes to fresh memory included, and each thread
    reuses one buffer for its tiles. With `by_series` a tile comes in parts of a few expressions, as soon as they are
    computed: they are still in the CPU cache then, and no memory is needed for the others.

    Parameters
    ----------
    plan, source, instruments, start, stop, threads, memory, most_rows
        As in `evaluate`.
    take : callable
        Called by several threads at once. A tile's values hold only until it returns.
    by_series : bool, default True
        Whether the rows of an instrument lie together in a tile, or the instruments of a session; then all expressions
        are in one tile, in order.

    Raises
    ------
    CalendarRangeError
        When the range leaves the calendar.
    """
    request = _request(
        plan, source, instruments, start, stop, by_series=by_series, threads=threads, memory=memory, most_rows=most_rows
    )
    buffer = _TileBuffer()
    for _ in _run_in_order(request.jobs(start, stop), lambda job: job.give(take, buffer), threads=threads):
        pass


def _request(
    plan: Plan,
    source: DataSource,
    instruments: Sequence[str],
    start: int,
    stop: int,
    *,
    threads: int,
    memory: int,
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
        plan=plan, source=source, instruments=tuple(instruments), threads=threads, memory=memory,
        by_series=by_series, most_rows=min(most_rows, TILE_ROWS),
    )  # fmt: skip


def _run_in_order(jobs: Iterator[_TileJob], run: Callable[[_TileJob], T], *, threads: int) -> Iterator[T]:
    """Yield ``run(job)`` for each job, in order, with at most two jobs per thread waiting or running.

    With one thread the jobs run on a thread of their own, too: on the main thread the allocator returns the pages of
    its heap to the system after each tile and takes them again for the next, which took half as much time again.
    """
    most = 2 * threads if threads > 1 else 1
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="rollwright-expression")
    pending: deque[Future[T]] = deque()
    run = bind_context(run)  # operators and consumers may read the current settings
    try:
        for job in jobs:
            pending.append(pool.submit(run, job))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # also when the consumer stops early
        pool.shutdown(wait=True, cancel_futures=True)


class _TileBuffer(threading.local):
    """The memory for the tiles of a thread: one buffer, replaced when a tile is larger than all before it."""

    def __init__(self) -> None:
        self._memory: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def take(self, size: int) -> NDArray[np.float32]:
        """Return `size` cells with undefined content."""
        if self._memory.size < size:
            self._memory = np.empty(size, dtype=np.float32)
        return self._memory[:size]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A plan, a data source and the instruments to evaluate; makes the jobs (steps 1 to 4 of the module)."""

    plan: Plan
    source: DataSource
    instruments: tuple[str, ...]
    threads: int
    memory: int
    by_series: bool = False
    most_rows: int = TILE_ROWS

    def jobs(self, start: int, stop: int) -> Iterator[_TileJob]:
        """Yield one job per tile; its inputs are read when the job is made, on the caller's thread."""
        if not self.instruments or start == stop:
            return
        series = find_rows(self.plan, self.source, self.instruments)
        is_whole = self.plan.lookback >= UNBOUNDED
        load_rows = stop - start if is_whole else self._load_rows()
        tile_rows, width = self._tile_shape(start, stop)
        margins_at = self._margins_at()
        for first in range(start, stop, load_rows):
            last = min(first + load_rows, stop)
            around = margins_at(first)
            staged = self._compute_stages(around, first, last)
            groups = [
                slice(left, min(left + width, len(self.instruments))) for left in range(0, len(self.instruments), width)
            ]
            loaded: dict[int, Inputs] = {}
            for row in range(first, last, tile_rows):
                rows = slice(row, min(row + tile_rows, last))
                for columns in groups:
                    if row == first:  # fields are read for all rows of the load at the first tile of each group
                        loaded[columns.start] = self._read_inputs(columns, around, staged, first, last)
                    is_last = rows.stop == last  # then no later tile reads them
                    given = loaded.pop(columns.start) if is_last else loaded[columns.start]
                    margins = margins_at(row)
                    inputs = {
                        term: _rows_around(values, rows, margins[term], first - around[term].before)
                        for term, values in given.items()
                    }
                    yield self._job(rows, columns, series.cut(columns), margins, inputs)

    def _tile_shape(self, start: int, stop: int) -> tuple[int, int]:
        """Return how many sessions and columns a tile has.

        1. Find how many cells fit in the memory of a thread, from `FEWEST_CELLS` to `TILE_CELLS`. A request of so few
           is one tile.
        2. Take as many sessions as may be, and half as many while the columns would be too few.
        """
        if self.plan.lookback >= UNBOUNDED:
            rows = lookaround = stop
        else:
            rows = min(self.most_rows, stop - start)
            lookaround = self.plan.lookback + self.plan.lookahead
        every = (rows + lookaround) * len(self.instruments)
        cells = FEWEST_CELLS if every <= FEWEST_CELLS else self._most_cells(every, is_short=rows <= lookaround)
        if self.plan.lookback >= UNBOUNDED:
            return stop - start, max(1, min(MOST_COLUMNS, cells // stop))
        while rows > FEWEST_ROWS and cells // (rows + lookaround) < min(FEWEST_COLUMNS, len(self.instruments)):
            rows = max(FEWEST_ROWS, rows // 2)
        return rows, max(1, min(MOST_COLUMNS, cells // (rows + lookaround)))

    def _most_cells(self, every: int, *, is_short: bool) -> int:
        """Return how many cells a tile may have; all of them where one tile does with the memory of all threads.

        Two tiles for a few sessions would do twice the calls, which are most of the work then. Of a short range the
        windows have about half as many rows as it is looked back.
        """
        needed = estimate(self.plan)
        per_cell = needed.per_cell // 2 if is_short else needed.per_cell
        fits = max(FEWEST_CELLS, (self.memory - needed.fixed) // per_cell)
        return min(TILE_CELLS, every if every <= min(fits * self.threads, TILE_CELLS) else fits)

    def _load_rows(self) -> int:
        """Return how many sessions are read at once; all their fields stay in memory until they are evaluated."""
        if self.plan.stages:
            return STAGED_ROWS
        fields = sum(term.kind == "field" for term in self.plan.nodes)
        tiles = LOADED_CELLS // (max(1, fields * len(self.instruments)) * self.most_rows)
        return max(1, tiles) * self.most_rows

    def _margins_at(self) -> Callable[[int], Mapping[Term, Margin]]:
        """Return a function from the first row of a block to the plan's margins; only whole-past plans depend on it."""
        if self.plan.lookback >= UNBOUNDED:
            return cache(self.plan.margins)
        margins = self.plan.margins(0)
        return lambda _row: margins

    def _read_inputs(
        self, columns: slice, around: Mapping[Term, Margin], staged: Inputs, first: int, last: int
    ) -> dict[Term, Values]:
        """Return the inputs of the tiles of some columns and the sessions ``[first, last)``."""
        # a stage of one column holds another instrument's values, which every column reads
        cut = {term: values[:, columns] if values.shape[1] > 1 else values for term, values in staged.items()}
        return cut | self._read_fields(around, first, last, columns)

    def _job(
        self, rows: slice, columns: slice, series: TermRows, margins: Mapping[Term, Margin], inputs: Inputs
    ) -> _TileJob:
        return _TileJob(
            plan=self.plan,
            rows=rows,
            columns=columns,
            series=series,
            margins=margins,
            inputs=inputs,
            calendar=self.source.calendar().values,
            instruments=self.instruments[columns],
            freq=self.source.freq,
            by_series=self.by_series,
        )

    def _read_fields(self, around: Mapping[Term, Margin], first: int, last: int, columns: slice) -> dict[Term, Values]:
        """Read every field once, with the widest margin of all."""
        terms = [term for term in self.plan.nodes if term.kind == "field"]
        if not terms:
            return {}
        before = max(around[term].before for term in terms)
        after = max(around[term].after for term in terms)
        names = [term.name for term in terms]
        loaded = _pad(
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

    def _compute_stages(self, around: Mapping[Term, Margin], first: int, last: int) -> dict[Term, Values]:
        """Compute the terms that need other columns, on all rows that the tiles of ``[first, last)`` read."""
        return {
            term: self._compute_stage(term, plan, first - around[term].before, last + around[term].after)
            for term, plan in self.plan.stages.items()
        }

    def _compute_stage(self, term: Term, plan: Plan, start: int, stop: int) -> Values:
        stage = operator_of(term).stage
        assert stage is not None  # noqa: S101 - the planner stages only such operators
        names = stage.columns(term, self.source.instruments())
        inner = _Request(plan=plan, source=self.source, instruments=names, threads=1, memory=self.memory)
        inputs = inner.compute_all(start, stop, length=len(self.source.calendar()))
        with np.errstate(all="ignore"):
            values = stage.combine(inputs)
        if len(names) == 1 and not stage.is_per_column:
            return values
        place = {name: index for index, name in enumerate(names)}
        return values[:, [place[name] for name in self.instruments]]

    def compute_all(self, start: int, stop: int, *, length: int) -> list[Values]:
        """Return each expression on all rows of ``[start, stop)``, float32 or float64 as it was computed.

        Rows outside the calendar, which has `length` sessions, are NaN.
        """
        low, high = min(max(start, 0), length), max(min(stop, length), 0)
        shape = (stop - start, len(self.instruments))
        found: list[Values] = [np.full(shape, np.nan, np.float32) for _ in self.plan.terms]
        for job in self.jobs(low, max(low, high)):
            cells = slice(job.rows.start - start, job.rows.stop - start), job.columns

            def take(place: int, values: Values, cells: tuple[slice, slice] = cells) -> None:
                if found[place].dtype != values.dtype:  # the same width in every tile: it follows from the expression
                    found[place] = found[place].astype(values.dtype)
                found[place][cells] = values

            job.compute(take)
        return found


def _pad(load: Callable[[int, int], NDArray[Any]], start: int, stop: int, length: int) -> NDArray[Any]:
    """Return ``load(start, stop)`` with NaN for rows outside the calendar."""
    low, high = min(max(start, 0), length), max(min(stop, length), 0)
    loaded = load(low, max(low, high))
    if low == start and high == stop:
        return loaded
    padded = np.full((loaded.shape[0], stop - start, loaded.shape[2]), np.nan, loaded.dtype)
    padded[:, low - start : low - start + loaded.shape[1]] = loaded
    return padded


def _rows_around(values: Values, rows: slice, margin: Margin, origin: int) -> Values:
    """Return some rows and their margin of an array whose first row is at the calendar position `origin`."""
    return values[rows.start - margin.before - origin : rows.stop + margin.after - origin]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TileJob:
    """The computation of one tile."""

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

    def __call__(self) -> Tile:
        """Return the tile, in memory of its own."""
        rows, columns = self._shape
        values = np.empty((len(self.plan.terms), rows, columns), np.float32)
        self._fill(lambda place: values[place], lambda _place: None)
        return self._tile(np.arange(len(values)), values)

    def give(self, take: Callable[[Tile], None], buffer: _TileBuffer) -> None:
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

        def take(place: int, found: Any) -> None:
            np.copyto(room(place), found, casting="same_kind")
            done(place)

        if self.series.any_within(self.rows.start, self.rows.stop):
            self.compute(take)
        else:
            for place in range(len(self.plan.terms)):
                take(place, np.float32(np.nan))

    def compute(self, take: Callable[[int, Values], None]) -> None:
        """Call ``take(place, values)`` with the values of each expression, in the width they were computed in.

        1. Compute the next node of the plan from the values of its inputs.
        2. Give it to `take`, once for each expression that is this term.
        3. Drop inputs whose last reader this was, and the node itself if nothing else reads it.
        4. Drop the shared work that no later node reads.
        """
        with np.errstate(all="ignore"):  # 0/0 and the like are values here, as they are in pandas
            self._compute(take)

    def _compute(self, take: Callable[[int, Values], None]) -> None:
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
        )
        places = _places(self.plan.terms)
        left = dict(self.plan.uses)
        for node, term in enumerate(self.plan.nodes):
            if term.kind != "number":
                block.put(term, self._values(block, term))
            for place in places.get(term, ()):
                take(place, _own_rows(block, term))
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
        operator = operator_of(term)
        values = operator.compute(block, term)
        # An operator that only looks back yields NaN before the listing by itself. What looks ahead may fill those
        # rows, and another term may have rows after the last of this one.
        may_leave = operator.makes_values or term.ahead > 0 or self.margins[term].after > 0 or not self.series.are_equal
        if values.dtype == np.bool_ or not may_leave:
            return values
        inside = block.in_series(term)
        return values if inside.all() else _blank_outside(values, inside)


class _TilePart:
    """Some expressions of a tile, the rows of each instrument together, on their way to the consumer."""

    def __init__(self, job: _TileJob, take: Callable[[Tile], None], buffer: _TileBuffer) -> None:
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
    own = slice(before, len(values) - after)
    inside = block.in_series(term)[own]
    return values[own] if inside.all() else _blank_outside(values[own], inside)


def _blank_outside(values: Values, inside: NDArray[np.bool_]) -> Values:
    blanked = values.copy()
    np.copyto(blanked, np.nan, where=~inside)
    return blanked
