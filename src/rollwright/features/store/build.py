"""Building one matrix of the feature store: which rows have to be computed, and where they are written.

A matrix is built under the lock of its folder:

1. `MatrixBuild` lays out the rows: those of every instrument that has a series, of a universe, or of the rows whose
   label is known.
2. `_find_reusable` looks among the matrices of earlier generations for the one that spares the most work. Rows stay
   valid up to the first session that the market data changed, less the look-ahead of the expressions, and up to the
   first session at which the layouts differ. Columns that read fields by period stay valid up to the block of sessions
   in which something else was known of these fields, the others whatever became known (`_Reuse`).
3. Without one, a new file is allocated in full, filled, and renamed to its final name.
4. With one, either its file itself grows at its end (only new rows: readers that have mapped it see no changed byte),
   or its first rows are copied into a new file. Then the missing rows are filled.
5. Filling means: columns that another matrix of this generation has are copied, the others are computed; a universe's
   rows are gathered from the matrix of every instrument (`fill`).
6. The checksums of the new rows are computed and the header is written last. Until then no reader sees the matrix, so
   a crash at any step leaves nothing that could be taken for data.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollwright.core.atomic import drafts_in
from rollwright.core.canonical import sha256_hex
from rollwright.errors import CorruptFileError
from rollwright.expression.planner import Plan, calls_own_code, compile_plan
from rollwright.features.field_rows import FieldRows, layout_spans
from rollwright.features.generations import split_generation
from rollwright.features.row_layout import RowLayout, spans_of_bounds
from rollwright.features.store.file import BLOCK_SESSIONS, Header, Matrix, block_edges, header_name
from rollwright.features.store.fill import compute_rows, copy_columns, gather_rows
from rollwright.features.store.keys import ExpressionKey
from rollwright.features.store.pages import allocate, map_file
from rollwright.features.store.size import entries
from rollwright.features.universe import Universe
from rollwright.features.vintage_digest import VintageDigest
from rollwright.market.source import DataSource

__all__ = ["MatrixBuild", "remove_damaged", "remove_unfinished", "try_open"]

_logger: Final = logging.getLogger("rollwright.features")
_ALL: Final = "series"
COPY_ROWS: Final = 1 << 16
MAPPED_BYTES: Final = 16 << 20
"""From this size on a new file is filled through a memory map: each of its pages is taken once, and can be dropped."""


class _Reuse(NamedTuple):
    """What an earlier matrix spares.

    Attributes
    ----------
    matrix : Matrix or None
    rows : int
        The first session of which a column has to be computed.
    daily : int
        The first session of which a column that reads no field by period has to be computed: `rows` or later.
    """

    matrix: Matrix | None
    rows: int
    daily: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixBuild:
    """One request to the store, and how its files are written. Every ``build_`` method runs under a folder's lock."""

    root: Path
    key: ExpressionKey
    plan_of: Callable[[], Plan]
    source: DataSource
    generation: str
    threads: int
    thread_memory: int
    replace: bool

    @property
    def plan(self) -> Plan:
        """The plan of the expressions, compiled when it is first used."""
        return self.plan_of()

    def afresh(self) -> MatrixBuild:
        """Return the same request, for a matrix that was damaged: nothing earlier is reused."""
        return replace(self, replace=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The canonical expressions, one a column."""
        return self.plan.expressions

    @property
    def folder(self) -> Path:
        """The folder of all matrices of these expressions."""
        return self.root / self.source.freq / self.key.name

    @property
    def series_folder(self) -> Path:
        """The folder of the matrix of every instrument."""
        return self.folder / _ALL

    def build_series(self, folder: Path) -> None:
        """Compute the matrix of every instrument, or the rows of it that an earlier generation lacks."""
        instruments = self.source.instruments()
        known = self.source.calendar().known
        layout = RowLayout(
            instruments=instruments,
            spans=spans_of_bounds(self.source.bounds(instruments), sessions=known),
            sessions=known,
        )

        def fill(values: NDArray[np.float32], reuse: _Reuse) -> None:
            available = self._find_columns(layout) if reuse.daily == 0 else {}
            for matrix, pairs in available.values():
                copy_columns(values, matrix, pairs)
            copied = {column for _, pairs in available.values() for column, _ in pairs}
            missing = [column for column in range(len(self.names)) if column not in copied]
            if reuse.daily > reuse.rows:
                by_period = {column for column in missing if self.plan.terms[column].periods}
                self._compute(values, layout, sorted(by_period), reuse.rows)
                missing = [column for column in missing if column not in by_period]
            self._compute(values, layout, missing, reuse.daily)

        self._build(folder, layout, fill)

    def _compute(self, values: NDArray[np.float32], layout: RowLayout, columns: list[int], first: int) -> None:
        """Compute some columns from session `first` on."""
        if not columns or first == layout.sessions:
            return
        plan = self.plan
        if len(columns) < len(self.names):
            names = [self.names[column] for column in columns]
            plan = compile_plan(names, allow_lookahead=self.plan.allows_lookahead)
        compute_rows(
            values, plan, self.source, layout, columns=columns, first=first, threads=self.threads,
            memory=self.thread_memory,
        )  # fmt: skip

    def build_universe(self, folder: Path, whole: Matrix, universe: Universe | None, rows: FieldRows | None) -> None:
        """Gather the matrix of a universe, or of some rows, from the one of every instrument."""
        instruments = whole.layout.instruments
        spans = layout_spans(universe, rows, self.source, instruments)
        layout = RowLayout(instruments=instruments, spans=spans, sessions=whole.layout.sessions)
        if np.array_equal(layout.spans, whole.layout.spans):
            # every instrument belongs to the universe: one data file serves both
            header = whole.header
            link = os.path.relpath(whole.folder / header.data, folder)
            replace(header, layout=layout, data=link).write(folder)
            return
        self._build(folder, layout, lambda values, reuse: gather_rows(values, layout, whole, first=reuse.rows))

    def build_with_labels(self, folder: Path, whole: Matrix, present: NDArray[np.bool_], *, ahead: int) -> None:
        """Gather the rows of `whole` that are `present`; of a row that is known `ahead` sessions later."""
        layout = replace(whole.layout, present=present)
        self._build(
            folder, layout, lambda values, reuse: gather_rows(values, layout, whole, first=reuse.rows), ahead=ahead
        )

    def _build(
        self, folder: Path, layout: RowLayout, fill: Callable[[NDArray[np.float32], _Reuse], None], *, ahead: int = 0
    ) -> None:
        labels = self.source.calendar().values
        digest = VintageDigest.of(self.source, self.key.periods)
        header = Header(
            generation=self.generation,
            freq=self.source.freq,
            expressions=self.names,
            lookahead=self.key.lookahead + ahead,
            layout=layout,
            calendar=sha256_hex(labels[: layout.sessions].tobytes()),
            data=f"{header_name(self.generation).removesuffix('.json')}.f32",
            periods=self.key.periods,
            vintages=self._find_vintages(digest, layout.sessions),
        )
        earlier = [] if self.replace else list(_open_earlier(folder))
        reuse = self._find_reusable(earlier, header, digest)
        old = reuse.matrix
        if old is None:
            header.with_checksums(_write_file(folder, header, lambda values: fill(values, reuse))).write(folder)
        elif reuse.daily > reuse.rows:
            # some columns of rows that others have already: into a new file, since readers have mapped the old one
            old.verify(reuse.rows, reuse.daily)
            header, values = _copy_file(folder, header, old, reuse.daily)
            fill(values, reuse)
            _add_checksums(header, values, old, reuse.rows).write(folder)
        else:
            header, values = _grow_file(folder, header, old, reuse.rows, earlier)
            fill(values, reuse)
            _add_checksums(header, values, old, reuse.rows).write(folder)
        _logger.info(
            "features.built folder=%s columns=%d rows=%d from_session=%d",
            folder, len(self.names), layout.rows, reuse.rows,
        )  # fmt: skip

    def _find_vintages(self, digest: VintageDigest, sessions: int) -> tuple[str, ...]:
        """Return the digest of what was known up to the last session of each block."""
        if not self.key.periods or not sessions:
            return ()
        labels = self.source.calendar().values
        return tuple(digest.until(labels[edge - 1]) for edge in block_edges(sessions)[1:])

    def _find_reusable(self, earlier: Sequence[Matrix], header: Header, digest: VintageDigest) -> _Reuse:
        """Return the earlier matrix that spares the most rows, and the sessions from which rows must be computed."""
        best = _Reuse(None, 0, 0)
        labels = self.source.calendar().values
        for old in earlier:
            if old.header.expressions != header.expressions or os.path.dirname(old.header.data):
                continue  # other columns, or a universe of every instrument, whose file belongs to another folder
            if sha256_hex(labels[: old.layout.sessions].tobytes()) != old.header.calendar:
                continue  # other sessions, or more than are seen here, as before a holdout was sealed
            daily, _ = split_generation(old.header.generation)
            keep = min(self.source.unchanged_before(daily), old.layout.sessions) - header.lookahead
            keep = min(keep, header.layout.first_difference(old.layout))
            rows = min(keep, self._count_known(old.header, digest) - header.lookahead) if self.key.periods else keep
            has_both = any(not term.periods for term in self.plan.terms) if rows < keep else True
            found = _Reuse(old, max(rows, 0), keep if has_both else max(rows, 0))
            if (found.daily, found.rows) > (best.daily, best.rows):
                best = found
        return best

    def _count_known(self, old: Header, digest: VintageDigest) -> int:
        """Return of how many sessions of an earlier matrix the same is known of fields by period, in whole blocks."""
        edges = block_edges(old.layout.sessions)
        if len(old.vintages) != len(edges) - 1:
            return 0
        labels = self.source.calendar().values
        known = 0
        for edge, then in zip(edges[1:], old.vintages, strict=True):
            if digest.until(labels[edge - 1]) != then:
                break
            known = edge
        return known

    def _find_columns(self, layout: RowLayout) -> dict[Path, tuple[Matrix, list[tuple[int, int]]]]:
        """Return the matrices of this generation that have some of the columns, as (column here, column there)."""
        found: dict[Path, tuple[Matrix, list[tuple[int, int]]]] = {}
        if self.replace or len(set(self.names)) < len(self.names):
            return found
        wanted = {
            term.text: column
            for column, term in reversed(list(enumerate(self.plan.terms)))
            if not calls_own_code(term)  # the same text, computed by other code
        }
        base = self.root / self.source.freq
        daily, _ = split_generation(self.generation)
        for folder in sorted(base.glob(f"*/{_ALL}")):
            found_here = (try_open(folder, name) for name in dict.fromkeys((self.generation, daily)))
            matrix = next((one for one in found_here if one is not None), None)
            if matrix is None or matrix.layout.first_difference(layout) < layout.sessions:
                continue
            pairs = [(wanted.pop(name), c) for c, name in enumerate(matrix.header.expressions) if name in wanted]
            if pairs:
                found[folder] = (matrix, pairs)
        return found


def try_open(folder: Path, generation: str) -> Matrix | None:
    """Open a matrix; None when there is none, or when it is damaged: then its header is removed."""
    try:
        return Matrix.open(folder, generation)
    except CorruptFileError as error:
        _logger.warning("features.damaged path=%s reason=%s action=rebuild", error.path, error.reason)
        (folder / header_name(generation)).unlink(missing_ok=True)
        return None


def _open_earlier(folder: Path) -> Iterator[Matrix]:
    for path in sorted(folder.glob("*.json")):
        try:
            matrix = Matrix.open(folder, Header.read(path).generation)
        except CorruptFileError as error:
            _logger.warning("features.damaged path=%s reason=%s action=ignore", error.path, error.reason)
            continue
        if matrix is not None:
            yield matrix


def _grow_file(
    folder: Path, header: Header, old: Matrix, keep: int, earlier: Sequence[Matrix]
) -> tuple[Header, NDArray[np.float32]]:
    """Return the header and values of a file whose rows before session `keep` are those of `old`.

    The old file itself grows when only rows after its last one are added; readers that have mapped it see no changed
    byte. Otherwise its first rows are copied into a new file.
    """
    kept = int(header.layout.offsets[keep])
    longest = max(other.header.size for other in earlier if other.header.data == old.header.data)
    if kept * len(header.expressions) * 4 == longest:
        header = replace(header, data=old.header.data)
        allocate(folder / header.data, header.size)
        return header, map_file(folder / header.data, header.shape, mode="r+")
    return _copy_file(folder, header, old, keep)


def _copy_file(folder: Path, header: Header, old: Matrix, keep: int) -> tuple[Header, NDArray[np.float32]]:
    """Return the header and values of a new file whose rows before session `keep` are those of `old`."""
    kept = int(header.layout.offsets[keep])
    values = _create_file(folder, header)
    for low in range(0, kept, COPY_ROWS):
        part = slice(low, min(low + COPY_ROWS, kept))
        values[part] = old.values[part]
    (folder / f"{header.data}.tmp").replace(folder / header.data)
    return header, values


def _add_checksums(header: Header, values: NDArray[np.float32], old: Matrix, keep: int) -> Header:
    """Return the header with its checksums, without reading rows again whose checksums `old` has."""
    kept = int(header.layout.offsets[keep])
    if kept == old.layout.rows:
        return header.with_checksums(values, known=old.header.sums, rows=kept)
    whole = keep // BLOCK_SESSIONS
    # `keep` cuts a block: its checksum is computed again from its bytes, so verify the rows that stay in it first
    old.verify(whole * BLOCK_SESSIONS, keep)
    return header.with_checksums(
        values, known=old.header.sums[:whole], rows=int(header.layout.offsets[whole * BLOCK_SESSIONS])
    )


def _write_file(folder: Path, header: Header, fill: Callable[[NDArray[np.float32]], None]) -> NDArray[np.float32]:
    """Return the values of a new file, all of them filled; a small one is filled on the heap, whose pages are there."""
    values = _create_file(folder, header)
    if header.size < MAPPED_BYTES:
        values = np.empty(header.shape, np.float32)
    fill(values)
    staging = folder / f"{header.data}.tmp"
    if header.size < MAPPED_BYTES:
        with staging.open("r+b") as file:
            file.write(values.data)
    staging.replace(folder / header.data)
    return values


def _create_file(folder: Path, header: Header) -> NDArray[np.float32]:
    staging = folder / f"{header.data}.tmp"
    staging.unlink(missing_ok=True)
    allocate(staging, header.size)
    return map_file(staging, header.shape, mode="r+")


def remove_damaged(root: Path, matrix: Matrix) -> None:
    """Remove all headers that refer to the data file of `matrix`, unless that file has been replaced since.

    A file that grew, or that serves a universe too, has several: each would give the damaged rows on.
    """
    path = Path(os.path.normpath(matrix.folder / matrix.header.data))
    if matrix.handle is not None:
        with suppress(FileNotFoundError):
            if path.stat().st_ino != os.fstat(matrix.handle).st_ino:
                return
    for entry in entries(root):
        if entry.path == path:
            for header in entry.headers:
                header.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what an interrupted build left in `folder`."""
    for path in (*folder.glob("*.tmp"), *drafts_in(folder)):
        path.unlink(missing_ok=True)
