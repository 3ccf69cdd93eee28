"""The feature store: expressions computed once and memory-mapped by every window, model, seed and process.

A *matrix* is one ordered list of expressions over all instruments: float32, rows in (session, instrument) order, only
rows inside a series. The matrix of a universe is gathered from it once. Both are keyed by canonical expressions,
frequency and data generation; when the data grew, only the rows that changed are computed. Why so:
docs/decisions/0001-feature-store-layout.md.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.atomic import drafts_in
from rollwright.core.canonical import sha256_hex
from rollwright.core.heap import give_back
from rollwright.errors import CorruptFileError, DataError, DataStorageError
from rollwright.expression.planner import Plan, compile_plan
from rollwright.features.row_layout import RowLayout, spans_of_bounds, spans_of_lifetimes
from rollwright.features.store.file import BLOCK_SESSIONS, Header, Matrix, drop_pages, header_name, mapped
from rollwright.features.store.fill import compute_rows, copy_columns, gather_rows
from rollwright.features.store.folder_lock import allocate, folder_lock
from rollwright.features.store.keys import Listed, listed_of, recall, remember
from rollwright.features.store.size import prune
from rollwright.features.universe import Universe
from rollwright.market.source import DataSource

__all__ = ["FeatureStore"]

_logger: Final = logging.getLogger("rollwright.features")
_ALL: Final = "series"
COPY_ROWS: Final = 1 << 16
SKIP: Final = 0
REPLACE: Final = 2


class FeatureStore:
    """Computed expressions under one folder, shared by every process on the machine.

    Guarantees: the same key is computed once, however many processes ask for it at the same time; a crash in the
    middle leaves nothing a reader would take for data; a file that is damaged is rebuilt, or reported when it was
    already in use; an opened matrix keeps its bytes while newer generations are built beside it. Not guaranteed: that
    two hosts may share the folder over a network file system.

    Parameters
    ----------
    root : Path
    threads : int
        For computing; results do not depend on it.
    replace : bool
        Compute everything anew at its first use here, whatever is there.
    max_bytes : int, optional
        After a build the longest unused files are removed until the store takes no more.
    """

    def __init__(self, root: Path, *, threads: int = 1, replace: bool = False, max_bytes: int | None = None) -> None:
        self._root = root
        self._threads = threads
        self._replace = replace
        self._max_bytes = max_bytes
        self._opened: dict[tuple[Path, str], Matrix] = {}
        self._listed: dict[tuple[str, ...], Listed] = {}

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> FeatureStore:
        """Return the store the settings name; the ambient ones if not given."""
        present = current_settings() if settings is None else settings
        mode, limit = present.store.default_disk_cache, present.store.max_size
        if mode == SKIP:
            return cls.temporary(threads=present.data.kernels)
        return cls(
            present.resolve(present.store.path),
            threads=present.data.kernels,
            replace=mode == REPLACE,
            max_bytes=None if limit is None else int(limit * 1e9),
        )

    @classmethod
    def temporary(cls, *, threads: int = 1) -> FeatureStore:
        """Return a store of its own that vanishes with the object."""
        made = cls(Path(tempfile.mkdtemp(prefix="rollwright-features-")), threads=threads)
        weakref.finalize(made, shutil.rmtree, made.root, ignore_errors=True)
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened matrices behind: a copy maps them again."""
        return {**self.__dict__, "_opened": {}, "_listed": {}}

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def matrix(
        self,
        expressions: Sequence[str],
        source: DataSource,
        *,
        universe: Universe | None = None,
        allow_lookahead: bool = False,
    ) -> Matrix:
        """Return the matrix of `expressions`, computing what is not there yet.

        .. warning:: **Look-ahead.** `allow_lookahead` admits expressions that read later sessions, which is right for
           labels and for nothing else.

        Parameters
        ----------
        expressions : sequence of str
            One column each, in this order.
        source : DataSource
        universe : Universe, optional
            Every instrument that has a series if not given.
        allow_lookahead : bool

        Raises
        ------
        ExpressionError, LookAheadError, UnknownFieldError
            For an expression that cannot be computed.
        """
        job = self._job(expressions, source, allow_lookahead=allow_lookahead)
        if universe is None:
            return self._get(job.series_folder, job.generation, job.build_series)

        def build_universe(folder: Path) -> None:
            whole = self._get(job.series_folder, job.generation, job.build_series)
            job.build_universe(folder, whole, universe)

        return self._get(job.folder / universe.folder, job.generation, build_universe)

    def labelled(
        self,
        expressions: Sequence[str],
        label: Sequence[str],
        source: DataSource,
        *,
        universe: Universe | None = None,
    ) -> Matrix:
        """Return the matrix of `expressions` without the rows that lack a value of `label`: what a model learns from.

        It is gathered once, from the rows of `matrix`, so that every window of it is a slice too.

        .. warning:: **Look-ahead.** Which rows there are tells which labels will be known: right for learning, and for
           nothing else.
        """
        whole = self.matrix(expressions, source, universe=universe)
        known = self.matrix(label, source, universe=universe, allow_lookahead=True)
        key = self.listed(label, source.freq, allow_lookahead=True).key
        job = self._job(expressions, source, allow_lookahead=False)

        def build(folder: Path) -> None:
            kept: NDArray[np.bool_] = np.logical_not(np.isnan(known.view(0, known.layout.sessions)).any(axis=1))
            drop_pages(known.values, 0, known.layout.rows)
            job.build_labelled(folder, whole, kept, ahead=known.header.lookahead)

        folder = job.folder / f"{whole.folder.name}+{key[:12]}"
        return self._get(folder, job.generation, build)

    def _job(self, expressions: Sequence[str], source: DataSource, *, allow_lookahead: bool) -> _Job:
        return _Job(
            root=self._root,
            listed=self.listed(expressions, source.freq, allow_lookahead=allow_lookahead),
            plan_of=cache(partial(compile_plan, expressions, allow_lookahead=True)),
            source=source,
            generation=source.generation,
            threads=self._threads,
            anew=self._replace,
        )

    def listed(self, expressions: Sequence[str], freq: str, *, allow_lookahead: bool = False) -> Listed:
        """Return what the store calls a list of expressions, which it parses when it sees these texts first.

        .. warning:: **Look-ahead.** As `matrix`.

        Raises
        ------
        ExpressionError, LookAheadError
            For an expression that cannot be computed.
        """
        texts = (freq, *expressions)
        found = self._listed.get(texts) or recall(self._root, freq, expressions)
        if found is None or (found.lookahead and not allow_lookahead):
            found = listed_of(compile_plan(expressions, allow_lookahead=allow_lookahead), freq)
            remember(self._root, freq, expressions, found)
        self._listed[texts] = found
        return found

    def _get(self, folder: Path, generation: str, build: Callable[[Path], None]) -> Matrix:
        found = self._opened.get((folder, generation))
        if found is not None and (folder / header_name(generation)).exists():
            found.is_new = False
            return found
        anew = self._replace and found is None
        matrix = None if anew else _try_open(folder, generation)
        if matrix is None:
            matrix = self._built(folder, generation, build, anew=anew)
            if matrix is not None and self._max_bytes is not None:
                keep = {Path(os.path.normpath(other.folder / other.header.data)) for other in self._opened.values()}
                keep.add(Path(os.path.normpath(folder / matrix.header.data)))
                for entry in prune(self._root, max_bytes=self._max_bytes, keep=keep):
                    _logger.info("features.pruned path=%s bytes=%d", entry.path, entry.size)
        if matrix is None:
            raise DataError(f"{folder} was removed while it was being built")
        with suppress(FileNotFoundError):
            os.utime(folder / header_name(generation))  # the use that pruning goes by
        self._opened[folder, generation] = matrix
        return matrix

    @staticmethod
    def _built(folder: Path, generation: str, build: Callable[[Path], None], *, anew: bool) -> Matrix | None:
        """Return the matrix of `folder`, built under its lock unless somebody else has done so meanwhile."""
        try:
            with folder_lock(folder):
                matrix = None if anew else _try_open(folder, generation)
                if matrix is None:
                    _sweep(folder)
                    try:
                        build(folder)
                    except BaseException:
                        _sweep(folder)  # what is half done is of no use, and as large as the whole
                        raise
                    give_back()
                    matrix = Matrix.open(folder, generation)
                    if matrix is not None:
                        matrix.is_new = True
                return matrix
        except OSError as error:
            raise DataStorageError(
                f"features cannot be kept in {folder}: {error}",
                hint="free some room, or set store.path to a folder of yours on a larger disk",
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One request to the store, and how its files are made. Every method runs under the lock of its folder."""

    root: Path
    listed: Listed
    plan_of: Callable[[], Plan]
    source: DataSource
    generation: str
    threads: int
    anew: bool

    @property
    def plan(self) -> Plan:
        return self.plan_of()

    @property
    def names(self) -> tuple[str, ...]:
        return self.plan.expressions

    @property
    def folder(self) -> Path:
        return self.root / self.source.freq / self.listed.key

    @property
    def series_folder(self) -> Path:
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

        def fill(values: NDArray[np.float32], first: int) -> None:
            there = self._columns_elsewhere(layout) if first == 0 else {}
            for matrix, pairs in there.values():
                copy_columns(values, matrix, pairs)
            done = {column for _, pairs in there.values() for column, _ in pairs}
            todo = [column for column in range(len(self.names)) if column not in done]
            if todo:
                plan = self.plan
                if done:
                    plan = compile_plan([self.names[column] for column in todo], allow_lookahead=True)
                compute_rows(values, plan, self.source, layout, columns=todo, first=first, threads=self.threads)

        self._build(folder, layout, fill)

    def build_universe(self, folder: Path, whole: Matrix, universe: Universe) -> None:
        """Gather the matrix of a universe from the one of every instrument."""
        instruments = whole.layout.instruments
        calendar = self.source.calendar()
        spans = spans_of_lifetimes(universe.lifetimes, instruments, self.source.bounds(instruments), calendar)
        layout = RowLayout(instruments=instruments, spans=spans, sessions=whole.layout.sessions)
        if np.array_equal(layout.spans, whole.layout.spans):
            # the universe is everybody: one file serves both
            header = whole.header
            link = os.path.relpath(whole.folder / header.data, folder)
            replace(header, layout=layout, data=link).write(folder)
            return
        self._build(folder, layout, lambda values, first: gather_rows(values, layout, whole, first=first))

    def build_labelled(self, folder: Path, whole: Matrix, kept: NDArray[np.bool_], *, ahead: int) -> None:
        """Gather the rows of `whole` that are `kept`, which is known of a row `ahead` sessions later."""
        layout = replace(whole.layout, kept=kept)
        self._build(folder, layout, lambda values, first: gather_rows(values, layout, whole, first=first), ahead=ahead)

    def _build(
        self, folder: Path, layout: RowLayout, fill: Callable[[NDArray[np.float32], int], None], *, ahead: int = 0
    ) -> None:
        labels = self.source.calendar().values
        header = Header(
            generation=self.generation,
            freq=self.source.freq,
            expressions=self.names,
            lookahead=self.listed.lookahead + ahead,
            layout=layout,
            calendar=sha256_hex(labels[: layout.sessions].tobytes()),
            data=f"{header_name(self.generation).removesuffix('.json')}.f32",
        )
        old, keep = self._reusable(folder, header)
        if old is None:
            values = _new_file(folder, header)
            fill(values, 0)
            (folder / f"{header.data}.tmp").replace(folder / header.data)
            header.sealed(values).write(folder)
        else:
            header, values = _grown(folder, header, old, keep)
            fill(values, keep)
            _sealed(header, values, old, keep).write(folder)
        _logger.info(
            "features.built folder=%s columns=%d rows=%d from_session=%d", folder, len(self.names), layout.rows, keep
        )

    def _reusable(self, folder: Path, header: Header) -> tuple[Matrix | None, int]:
        """Return the earlier matrix that spares the most rows, and the session from which rows must be computed."""
        best: tuple[Matrix | None, int] = (None, 0)
        labels = self.source.calendar().values
        if self.anew:
            return best
        for old in _earlier(folder):
            if old.header.expressions != header.expressions or os.path.dirname(old.header.data):
                continue
            keep = min(self.source.unchanged_before(old.header.generation), old.layout.sessions) - header.lookahead
            keep = min(keep, header.layout.first_difference(old.layout))
            same_days = sha256_hex(labels[: old.layout.sessions].tobytes()) == old.header.calendar
            if keep > best[1] and same_days:
                best = (old, keep)
        return best

    def _columns_elsewhere(self, layout: RowLayout) -> dict[Path, tuple[Matrix, list[tuple[int, int]]]]:
        """Return the matrices of this generation that have columns asked for: (column here, column there)."""
        found: dict[Path, tuple[Matrix, list[tuple[int, int]]]] = {}
        wanted = {name: column for column, name in reversed(list(enumerate(self.names)))}
        base = self.root / self.source.freq
        shared = len(wanted) == len(self.names) and not self.anew
        for folder in sorted(base.glob(f"*/{_ALL}")) if shared else ():
            matrix = _try_open(folder, self.generation)
            if matrix is None or matrix.layout.first_difference(layout) < layout.sessions:
                continue
            pairs = [(wanted.pop(name), c) for c, name in enumerate(matrix.header.expressions) if name in wanted]
            if pairs:
                found[folder] = (matrix, pairs)
        return found


def _try_open(folder: Path, generation: str) -> Matrix | None:
    try:
        return Matrix.open(folder, generation)
    except CorruptFileError as error:
        _logger.warning("features.damaged path=%s reason=%s: it is built anew", error.path, error.reason)
        (folder / header_name(generation)).unlink(missing_ok=True)
        return None


def _earlier(folder: Path) -> Iterator[Matrix]:
    for path in sorted(folder.glob("*.json")):
        try:
            matrix = Matrix.open(folder, Header.read(path).generation)
        except CorruptFileError as error:
            _logger.warning("features.damaged path=%s reason=%s: it is left out", error.path, error.reason)
            continue
        if matrix is not None:
            yield matrix


def _grown(folder: Path, header: Header, old: Matrix, keep: int) -> tuple[Header, NDArray[np.float32]]:
    """Return the header and values of a file that has the rows before session `keep` from `old`.

    The old file itself grows when only rows behind its last one come; nobody who mapped it sees a changed byte then.
    Otherwise its beginning is copied.
    """
    kept = int(header.layout.offsets[keep])
    longest = max(other.header.size for other in _earlier(folder) if other.header.data == old.header.data)
    if kept * len(header.expressions) * 4 == longest:
        header = replace(header, data=old.header.data)
        allocate(folder / header.data, header.size)
        return header, mapped(folder / header.data, header, mode="r+")
    values = _new_file(folder, header)
    for low in range(0, kept, COPY_ROWS):
        part = slice(low, min(low + COPY_ROWS, kept))
        values[part] = old.values[part]
    (folder / f"{header.data}.tmp").replace(folder / header.data)
    return header, values


def _sealed(header: Header, values: NDArray[np.float32], old: Matrix, keep: int) -> Header:
    """Return the header with its sums, without reading what `old` has sums of."""
    kept = int(header.layout.offsets[keep])
    if kept == old.layout.rows:
        return header.sealed(values, known=old.header.sums, rows=kept)
    whole = keep // BLOCK_SESSIONS
    # rows of one block are left out, so that its sum is taken anew: what stays of it is looked at first
    old.verify(whole * BLOCK_SESSIONS, keep)
    return header.sealed(values, known=old.header.sums[:whole], rows=int(header.layout.offsets[whole * BLOCK_SESSIONS]))


def _new_file(folder: Path, header: Header) -> NDArray[np.float32]:
    staging = folder / f"{header.data}.tmp"
    staging.unlink(missing_ok=True)
    allocate(staging, header.size)
    return mapped(staging, header, mode="r+")


def _sweep(folder: Path) -> None:
    for path in (*folder.glob("*.tmp"), *drafts_in(folder)):
        path.unlink(missing_ok=True)
