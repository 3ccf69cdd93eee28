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
5. A job computes the expressions of its tile (`tile_job`).
6. The tiles are yielded in order, earlier sessions first (`evaluate`), or given to a function on the thread that
   computed them (`evaluate_each`).

Every value depends only on its instrument's rows within the expression's reach (and, for cross-sections, on those of
all instruments of the source), through a fixed tree of operations. So results have the same bits for every range, every
choice of instruments, every size of tiles and every number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from rollwright.config.context import bind_context
from rollwright.core.memory import keep_heap
from rollwright.errors import CalendarRangeError
from rollwright.expression.block import Cells, Margin, Values
from rollwright.expression.footprint import estimate
from rollwright.expression.planner import Plan, operator_of
from rollwright.expression.row_search import find_rows
from rollwright.expression.term import UNBOUNDED, Term
from rollwright.expression.term_rows import TermRows
from rollwright.expression.tile_job import Inputs, Tile, TileBuffer, TileJob, write
from rollwright.expression.vintages import ColumnVintages, check_vintages
from rollwright.market.source import DataSource, FieldKind

__all__ = ["THREAD_MEMORY", "Tile", "evaluate", "evaluate_each"]

TILE_ROWS: Final = 1024
SERIES_ROWS: Final = 4096
"""The most sessions of a tile in which the rows of an instrument lie together. What is looked back is computed anew for
each tile, so long tiles have less work; but rows by session are written in runs of instruments, and want wide ones."""
TILE_CELLS: Final = 1 << 15
"""The most cells of one node in a tile: three arrays of so many fit the cache of a core."""
FEWEST_CELLS: Final = 4096
"""Cells of a tile however little memory there is: with fewer, the calls cost more than the work."""
UNCUT_CELLS: Final = 8192
"""A request of so few is one tile, whatever its plan takes: an estimate would cost more than it spares."""
FEWEST_ROWS: Final = 256
FEWEST_COLUMNS: Final = 4
"""A tile has fewer sessions before it has fewer columns than this."""
THREAD_MEMORY: Final = 28 << 20
"""Bytes of working memory of each thread, unless another number is given."""
MOST_COLUMNS: Final = 512
LOADED_CELLS: Final = 1 << 26
STAGED_ROWS: Final = 1024

T = TypeVar("T")


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
    return _run_in_order(request.jobs(start, stop), TileJob.__call__, threads=threads)


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
    most_rows: int = SERIES_ROWS,
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
    buffer = TileBuffer()
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
        kinds=check_vintages(plan.terms, source),
        by_series=by_series, most_rows=min(most_rows, SERIES_ROWS if by_series else TILE_ROWS),
    )  # fmt: skip


def _run_in_order(jobs: Iterator[TileJob], run: Callable[[TileJob], T], *, threads: int) -> Iterator[T]:
    """Yield ``run(job)`` for each job, in order, with at most two jobs per thread waiting or running.

    With one thread the jobs run on a thread of their own, too: it has a heap of its own, in which what a tile leaves is
    not between what others allocated. A single job runs on the caller's.
    """
    keep_heap()
    begin = list(islice(jobs, 2 if threads > 1 else 0))  # with one thread nothing is read before it is asked for
    if threads > 1 and len(begin) < 2:  # for which starting a thread is not worth it
        yield from map(run, begin)
        return
    most = 2 * threads if threads > 1 else 1
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="rollwright-expression")
    pending: deque[Future[T]] = deque()
    run = bind_context(run)  # operators and consumers may read the current settings
    try:
        for job in chain(begin, jobs):
            pending.append(pool.submit(run, job))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # also when the consumer stops early
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A plan, a data source and the instruments to evaluate; makes the jobs (steps 1 to 4 of the module)."""

    plan: Plan
    source: DataSource
    instruments: tuple[str, ...]
    threads: int
    memory: int
    kinds: Mapping[str, FieldKind]
    by_series: bool = False
    most_rows: int = TILE_ROWS

    def jobs(self, start: int, stop: int) -> Iterator[TileJob]:
        """Yield one job per tile; its inputs are read when the job is made, on the caller's thread."""
        if not self.instruments or start == stop:
            return
        series = find_rows(self.plan, self.source, self.instruments)
        is_whole = self.plan.lookback >= UNBOUNDED
        tile_rows, width = self._tile_shape(start, stop)
        load_rows = stop - start if is_whole else max(1, self._load_rows() // tile_rows) * tile_rows
        margins_at = self._margins_at()
        vintages: dict[int, ColumnVintages | None] = {}
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
                    if columns.start not in vintages:
                        vintages[columns.start] = self._read_vintages(columns, margins_at, start, stop)
                    is_last = rows.stop == last  # then no later tile reads them
                    given = loaded.pop(columns.start) if is_last else loaded[columns.start]
                    margins = margins_at(row)
                    inputs = {
                        term: _rows_around(values, rows, margins[term], first - around[term].before)
                        for term, values in given.items()
                    }
                    yield replace(
                        self._job(rows, columns, series.cut(columns), margins, inputs),
                        vintages=vintages[columns.start],
                    )

    def _tile_shape(self, start: int, stop: int) -> tuple[int, int]:
        """Return how many sessions and columns a tile has.

        1. Find how many cells fit in the memory of a thread, from `FEWEST_CELLS` to `TILE_CELLS`; of `UNCUT_CELLS` a
           request is one tile.
        2. Take as many sessions as may be, equally many in each tile, and half as many while the columns would be too
           few.
        3. Take as many columns as fit, or rather fewer, so that all threads end at about the same time (`_even_width`).
        """
        is_whole = self.plan.lookback >= UNBOUNDED
        if is_whole:
            rows = lookaround = stop
        else:
            most = min(self.most_rows, self._load_rows())
            tiles = -(-(stop - start) // most)
            rows = -(-(stop - start) // tiles)
            lookaround = self.plan.lookback + self.plan.lookahead
        every = (rows + lookaround) * len(self.instruments)
        is_short = not is_whole and rows <= lookaround
        cells = UNCUT_CELLS if every <= UNCUT_CELLS else self._most_cells(every, is_short=is_short)
        if is_whole:
            return stop - start, self._even_width(cells // stop)
        while rows > FEWEST_ROWS and cells // (rows + lookaround) < min(FEWEST_COLUMNS, len(self.instruments)):
            rows = max(FEWEST_ROWS, rows // 2)
        return rows, self._even_width(cells // (rows + lookaround))

    def _even_width(self, most: int) -> int:
        """Return a number of columns, at most `most`: equally many in each tile, as many tiles for each thread."""
        width = max(1, min(MOST_COLUMNS, most))
        groups = -(-len(self.instruments) // width)
        if groups > self.threads:
            groups = -(-groups // self.threads) * self.threads
        return -(-len(self.instruments) // groups)

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
        """Return how many sessions may be read at once; all their fields stay in memory until they are evaluated."""
        if self.plan.stages:
            return STAGED_ROWS
        fields = sum(term.kind == "field" for term in self.plan.nodes)
        return max(TILE_ROWS, LOADED_CELLS // max(1, fields * len(self.instruments)))

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
    ) -> TileJob:
        return TileJob(
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

    def _read_vintages(
        self, columns: slice, margins_at: Callable[[int], Mapping[Term, Margin]], start: int, stop: int
    ) -> ColumnVintages | None:
        """Read what the calls of ``P`` need on all rows that tiles of ``[start, stop)`` read; None without any."""
        calls = self.plan.collapsed
        if not calls:
            return None
        margins = margins_at(start)
        return ColumnVintages(
            self.plan, self.source, self.kinds, instruments=self.instruments[columns],
            start=start - max(margins[call].before for call in calls),
            stop=stop + max(margins[call].after for call in calls), memory=self.memory,
        )  # fmt: skip

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
        inner = _Request(
            plan=plan, source=self.source, instruments=names, threads=1, memory=self.memory, kinds=self.kinds
        )
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

            def take(place: int, values: Values, outside: Cells, cells: tuple[slice, slice] = cells) -> None:
                if found[place].dtype != values.dtype:  # the same width in every tile: it follows from the expression
                    found[place] = found[place].astype(values.dtype)
                write(found[place][cells], values, outside)

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
