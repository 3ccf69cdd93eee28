"""Writing the rows of a matrix: computed from market data, copied from another matrix, or gathered from a larger one.

Computing (`compute_rows`) means transposing: the engine returns tiles ``[expressions, sessions, instruments]``, and a
row of the matrix has all expressions of one session and instrument.

1. The engine evaluates the plan in tiles, on several threads; each thread writes its own tiles.
2. The row number of each cell of a tile is looked up, for `SESSIONS` sessions at a time (`_RowNumbers`).
3. Strips of `STRIP` cells are transposed in the CPU cache and written to their rows.
4. When tiles of later sessions begin, the pages of the band before are dropped from memory (`_BandPages`): the file may
   be larger than the memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.expression.engine import Tile, evaluate_each
from rollwright.expression.planner import Plan
from rollwright.features.row_layout import RowLayout
from rollwright.features.store.file import Matrix
from rollwright.features.store.pages import drop_pages
from rollwright.market.source import DataSource

__all__ = ["compute_rows", "copy_columns", "gather_rows", "scatter"]

STRIP: Final = 128
"""Cells transposed at a time: small enough that both sides stay in the CPU cache (1,024 was slower)."""

SESSIONS: Final = 256
KEPT_CELLS: Final = 1 << 24
BAND_BYTES: Final = 1 << 30
"""Size of the band of rows that is written at a time; pages that are written repeatedly may be synced repeatedly."""


def compute_rows(
    values: NDArray[np.float32],
    plan: Plan,
    source: DataSource,
    layout: RowLayout,
    *,
    columns: Sequence[int],
    first: int,
    threads: int,
    memory: int,
) -> None:
    """Evaluate `plan` from session `first` on and write its expressions into `columns` of `values`.

    Every cell of those rows and columns is written exactly once. At most `BAND_BYTES` of the mapped file are in memory,
    besides some tiles and the fields.
    """
    whole = list(columns) == list(range(values.shape[1]))
    where = None if whole else np.array(columns, dtype=np.intp)
    numbers = _RowNumbers(layout)
    band_rows = max(1, BAND_BYTES // (values.itemsize * values.shape[1] * max(1, len(layout.instruments))))
    bands = _BandPages(values, layout)

    def write(tile: Tile) -> None:
        bands.enter(tile.rows)
        for low in range(tile.rows.start, tile.rows.stop):
            if low > tile.rows.start and low % SESSIONS:
                continue
            high = min(low - low % SESSIONS + SESSIONS, tile.rows.stop)
            target = numbers.block(low, high)[:, tile.columns].reshape(-1)
            cells = tile.values[:, low - tile.rows.start : high - tile.rows.start]
            scatter(values, target, cells.reshape(len(cells), -1), where)

    evaluate_each(
        plan, source, write, instruments=layout.instruments, start=first, stop=layout.sessions, threads=threads,
        memory=memory, by_series=False, most_rows=band_rows,
    )  # fmt: skip


class _BandPages:
    """Drops the pages of a band of sessions when tiles of a later band begin; late writes map their page again."""

    def __init__(self, values: NDArray[np.float32], layout: RowLayout) -> None:
        self._values = values
        self._layout = layout
        self._last = slice(0, 0)
        self._lock = threading.Lock()

    def enter(self, rows: slice) -> None:
        """Drop the pages of the band before, if a tile of the sessions `rows` begins a new one."""
        with self._lock:
            if rows.start > self._last.start:
                _drop_sessions(self._values, self._layout, self._last)
                self._last = rows


def _drop_sessions(values: NDArray[np.float32], layout: RowLayout, sessions: slice) -> None:
    drop_pages(values, int(layout.offsets[sessions.start]), int(layout.offsets[sessions.stop]))


class _RowNumbers:
    """The row numbers of blocks of sessions; some blocks are cached, since the tiles of a block come one by one."""

    def __init__(self, layout: RowLayout) -> None:
        self._layout = layout
        self._blocks: dict[int, NDArray[np.int64]] = {}
        self._lock = threading.Lock()
        self._room = max(4, KEPT_CELLS // (SESSIONS * max(1, len(layout.instruments))))

    def block(self, low: int, high: int) -> NDArray[np.int64]:
        """Return the row numbers of the sessions ``[low, high)``, which must lie in one block."""
        start = low - low % SESSIONS
        with self._lock:
            found = self._blocks.get(start)
            if found is None:
                while len(self._blocks) >= self._room:
                    del self._blocks[next(iter(self._blocks))]
                found = self._blocks[start] = self._layout.row_numbers(
                    start, min(start + SESSIONS, self._layout.sessions)
                )
        return found[low - start : high - start]


def scatter(
    values: NDArray[np.float32], target: NDArray[np.int64], cells: NDArray[np.float32], where: NDArray[np.intp] | None
) -> None:
    """Write cells into rows.

    Parameters
    ----------
    values : float32 ``[rows, columns]``
    target : int ``[cells]``
        The row of each cell, negative where it has none.
    cells : float32 ``[expressions, cells]``
    where : int ``[expressions]`` or None
        The column of each expression; None for all columns in order.
    """
    for low in range(0, len(target), STRIP):
        rows = target[low : low + STRIP]
        strip = np.ascontiguousarray(cells[:, low : low + STRIP].T)
        inside = rows >= 0
        if not inside.all():
            rows, strip = rows[inside], strip[inside]
        if where is None:
            values[rows] = strip
        else:
            values[rows[:, None], where] = strip


def copy_columns(values: NDArray[np.float32], matrix: Matrix, pairs: Sequence[tuple[int, int]]) -> None:
    """Copy columns of `matrix`, which has the same rows, into `values`; `pairs` are (column here, column there)."""
    here = [one for one, _ in pairs]
    there = [other for _, other in pairs]
    for low in range(0, matrix.layout.sessions, SESSIONS):
        high = min(low + SESSIONS, matrix.layout.sessions)
        rows = slice(int(matrix.layout.offsets[low]), int(matrix.layout.offsets[high]))
        values[rows, here] = matrix.view(low, high)[:, there]
        drop_pages(values, rows.start, rows.stop)
        drop_pages(matrix.values, rows.start, rows.stop)


def gather_rows(values: NDArray[np.float32], layout: RowLayout, whole: Matrix, *, first: int) -> None:
    """Copy the rows of `layout` from session `first` on from `whole`, which has all of them."""
    for low in range(first, layout.sessions, SESSIONS):
        high = min(low + SESSIONS, layout.sessions)
        begin, end = int(layout.offsets[low]), int(layout.offsets[high])
        wanted = whole.layout.row_numbers(low, high)[layout.has_row(low, high)] - int(whole.layout.offsets[low])
        np.take(whole.view(low, high), wanted, axis=0, out=values[begin:end])
        _drop_sessions(values, layout, slice(low, high))
        _drop_sessions(whole.values, whole.layout, slice(low, high))
