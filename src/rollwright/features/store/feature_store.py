"""The feature store: expressions computed once and memory-mapped by every window, model, seed and process.

A *matrix* holds one ordered list of expressions over all instruments: float32, rows in (session, instrument) order,
only rows inside a series. The matrix of a universe is gathered from it once. Both are keyed by canonical expressions,
frequency and data generation; when data is appended, only new and changed rows are computed. The reasons are in
docs/decisions/0001-feature-store-layout.md.

What happens when a matrix is requested:

1. The texts of the expressions are mapped to a key (`keys`); they are parsed only if the store has not seen them.
2. The matrix may be open in this process already: it is returned if its header still exists.
3. Otherwise its header is read and its file is memory-mapped (`file`).
4. If there is none, the folder is locked, step 3 is tried again (another process may have built it meanwhile), and the
   matrix is built (`build`).
5. After a build the files that were unused for the longest time are removed, if the store has a size limit (`size`).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.locks import file_lock
from rollwright.core.memory import trim_heap
from rollwright.errors import CorruptFileError, DataError, DataStorageError
from rollwright.expression.engine import THREAD_MEMORY
from rollwright.expression.operators.catalogue import OPERATORS, known_operators
from rollwright.expression.planner import Plan, compile_plan, plan_terms
from rollwright.features.field_rows import FieldRows
from rollwright.features.generations import generation_of
from rollwright.features.store.build import MatrixBuild, remove_damaged, remove_unfinished, try_open
from rollwright.features.store.file import LOCK_NAME, Matrix, header_name
from rollwright.features.store.keys import ExpressionKey, make_key, read_key, read_terms, write_key
from rollwright.features.store.pages import drop_pages
from rollwright.features.store.size import prune
from rollwright.features.universe import Universe
from rollwright.market.source import DataSource
from rollwright.market.view import view

__all__ = ["FeatureStore"]

_logger: Final = logging.getLogger("rollwright.features")
SKIP: Final = 0
REPLACE: Final = 2
TRIMMED_BYTES: Final = 32 << 20
"""Below this size of a matrix, what its build leaves on the heap is kept: many small ones use it again."""
_REBUILDING: Final = threading.RLock()
Build: TypeAlias = Callable[[MatrixBuild, Path], None]
"""Builds the matrix of a folder, as a request says."""
Again: TypeAlias = "Callable[[FeatureStore], Matrix]"
"""Asks a store for the same matrix once more."""


class FeatureStore:
    """Computed expressions under one folder, shared by every process on the machine.

    Guarantees: the same key is computed once, however many processes request it at the same time; a crash in the
    middle leaves nothing that a reader would take for data; a damaged file is built again, also one that is in use;
    an opened matrix keeps its bytes while newer generations are built beside it. Not guaranteed: that
    two hosts can share the folder over a network file system.

    Parameters
    ----------
    root : Path
    threads : int
        Number of threads for computing; results do not depend on it.
    thread_memory : int
        Bytes of working memory of each thread, as `evaluate` has it; nor on this.
    replace : bool
        Build each matrix again at its first use through this object, even if the store has it.
    max_bytes : int, optional
        After a build the files that were unused for the longest time are removed until the store is not larger.
    """

    def __init__(
        self,
        root: Path,
        *,
        threads: int = 1,
        thread_memory: int = THREAD_MEMORY,
        replace: bool = False,
        max_bytes: int | None = None,
    ) -> None:
        self._root = root
        self._threads = threads
        self._thread_memory = thread_memory
        self._replace = replace
        self._max_bytes = max_bytes
        self._reuse = True
        self._opened: dict[tuple[Path, str], Matrix] = {}
        self._keys: dict[tuple[str, ...], ExpressionKey] = {}
        self._plans: dict[tuple[int, str, bool], Plan] = {}

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> FeatureStore:
        """Return the store that the settings name; those of the current context if not given."""
        present = current_settings() if settings is None else settings
        mode, limit = present.store.default_disk_cache, present.store.max_size
        if mode == SKIP:
            return cls.temporary(threads=present.data.kernels, thread_memory=present.data.kernel_bytes)
        return cls(
            present.resolve(present.store.path),
            threads=present.data.kernels,
            thread_memory=present.data.kernel_bytes,
            replace=mode == REPLACE,
            max_bytes=None if limit is None else int(limit * 1e9),
        )

    @classmethod
    def temporary(cls, *, threads: int = 1, thread_memory: int = THREAD_MEMORY) -> FeatureStore:
        """Return a store in a new temporary folder, which is removed together with the object."""
        root = Path(tempfile.mkdtemp(prefix="rollwright-features-"))
        store = cls(root, threads=threads, thread_memory=thread_memory)
        weakref.finalize(store, shutil.rmtree, store.root, ignore_errors=True)
        return store

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the opened matrices: the copy maps them again."""
        return {**self.__dict__, "_opened": {}, "_keys": {}, "_plans": {}}

    @property
    def root(self) -> Path:
        """The folder of the store."""
        return self._root

    def matrix(
        self,
        expressions: Sequence[str],
        source: DataSource,
        *,
        universe: Universe | None = None,
        allow_lookahead: bool = False,
        rows: FieldRows | None = None,
    ) -> Matrix:
        """Return the matrix of `expressions`; what the store does not have is computed.

        .. warning:: **Look-ahead.** `allow_lookahead` admits expressions that read later sessions. Use it for labels
           only.

        Parameters
        ----------
        expressions : sequence of str
            One column each, in this order.
        source : DataSource
        universe : Universe, optional
            Every instrument that has a series if not given.
        allow_lookahead : bool
        rows : FieldRows, optional
            Those of the instruments if not given.

        Raises
        ------
        ExpressionError, LookAheadError, UnknownFieldError
            For an expression that cannot be computed.
        """
        request = self._request(expressions, source, allow_lookahead=allow_lookahead)

        def again(store: FeatureStore) -> Matrix:  # it must not know this store, which knows its matrices
            return store.matrix(expressions, source, universe=universe, allow_lookahead=allow_lookahead, rows=rows)

        if universe is None and rows is None:
            return self._open_or_build(request.series_folder, request, MatrixBuild.build_series, again)

        def build_universe(asked: MatrixBuild, folder: Path) -> None:
            whole = self.matrix(expressions, source, allow_lookahead=allow_lookahead)
            if not self._reuse:  # the damage may be that of a file they share
                whole.verify(0, whole.layout.sessions)
            asked.build_universe(folder, whole, universe, rows)

        place = ("every" if universe is None else universe.folder) + ("" if rows is None else f"~{rows.name}")
        return self._open_or_build(request.folder / place, request, build_universe, again)

    def matrix_with_labels(
        self,
        expressions: Sequence[str],
        label: Sequence[str],
        source: DataSource,
        *,
        universe: Universe | None = None,
        rows: FieldRows | None = None,
    ) -> Matrix:
        """Return the rows of the matrix of `expressions` whose `label` has all its values: those a model learns from.

        The rows are gathered once, so that every window of sessions is a slice of the result.

        .. warning:: **Look-ahead.** Whether a row exists here reveals whether its label will be known. Use it for
           fitting only.
        """
        whole = self.matrix(expressions, source, universe=universe, rows=rows)
        known = self.matrix(label, source, universe=universe, allow_lookahead=True, rows=rows)
        label_key = self.find_key(label, source.freq, allow_lookahead=True).name
        request = self._request(expressions, source, allow_lookahead=False)

        def build(asked: MatrixBuild, folder: Path) -> None:
            present: NDArray[np.bool_] = np.logical_not(np.isnan(known.view(0, known.layout.sessions)).any(axis=1))
            drop_pages(known.values, 0, known.layout.rows)
            asked.build_with_labels(folder, whole, present, ahead=known.header.lookahead)

        folder = request.folder / f"{whole.folder.name}+{label_key[:12]}"
        return self._open_or_build(
            folder,
            request,
            build,
            lambda store: store.matrix_with_labels(expressions, label, source, universe=universe, rows=rows),
        )

    def _request(self, expressions: Sequence[str], source: DataSource, *, allow_lookahead: bool) -> MatrixBuild:
        source = view(source)
        key = self.find_key(expressions, source.freq, allow_lookahead=allow_lookahead)
        return MatrixBuild(
            root=self._root,
            key=key,
            plan_of=partial(self._find_plan, source.freq, expressions, key, allow_lookahead=allow_lookahead),
            source=source,
            generation=generation_of(source, key.periods),
            threads=self._threads,
            thread_memory=self._thread_memory,
            replace=self._replace or not self._reuse,
        )

    def find_key(self, expressions: Sequence[str], freq: str, *, allow_lookahead: bool = False) -> ExpressionKey:
        """Return the key of a list of expressions; texts that the store has not seen before are parsed.

        .. warning:: **Look-ahead.** As `matrix`.

        Raises
        ------
        ExpressionError, LookAheadError
            For an expression that cannot be computed.
        """
        known_operators()  # those that the settings name may have changed
        texts = (freq, str(OPERATORS.version), *expressions)
        found = self._keys.get(texts) or read_key(self._root, freq, expressions)
        if found is None or (found.lookahead and not allow_lookahead):
            plan = compile_plan(expressions, allow_lookahead=allow_lookahead)
            found = make_key(plan, freq)
            write_key(self._root, freq, expressions, found, plan)
            self._plans[OPERATORS.version, found.name, allow_lookahead] = plan
        self._keys[texts] = found
        return found

    def _find_plan(self, freq: str, expressions: Sequence[str], key: ExpressionKey, *, allow_lookahead: bool) -> Plan:
        """Return the plan of expressions, made when this object first computes them."""
        asked = (OPERATORS.version, key.name, allow_lookahead)
        if asked not in self._plans:
            self._plans[asked] = _plan_of(self._root, freq, expressions, key, allow_lookahead=allow_lookahead)
        return self._plans[asked]

    def _open_or_build(self, folder: Path, request: MatrixBuild, build: Build, again: Again) -> Matrix:
        generation = request.generation
        found = self._opened.get((folder, generation))
        if found is not None and (folder / header_name(generation)).exists():
            found.is_new = False
            return found
        is_replaced = self._replace and found is None
        matrix = None if is_replaced else try_open(folder, generation)
        if matrix is None:
            matrix = self._build_locked(folder, request, build, is_replaced=is_replaced)
            if matrix is not None and self._max_bytes is not None:
                keep = {Path(os.path.normpath(other.folder / other.header.data)) for other in self._opened.values()}
                keep.add(Path(os.path.normpath(folder / matrix.header.data)))
                for entry in prune(self._root, max_bytes=self._max_bytes, keep=keep):
                    _logger.info("features.pruned path=%s bytes=%d", entry.path, entry.size)
        if matrix is None:
            raise DataError(f"{folder} was removed while it was being built")
        # Without this store itself: it holds the matrix, and two that hold each other stay open until they are
        # collected.
        make = partial(FeatureStore, self._root, threads=self._threads, thread_memory=self._thread_memory)
        matrix.rebuild = partial(_rebuild, make, again)
        with suppress(OSError):  # removed meanwhile, or in a store that this user may only read
            os.utime(folder / header_name(generation))  # the time of last use, for pruning
        self._opened[folder, generation] = matrix
        return matrix

    def _build_locked(self, folder: Path, request: MatrixBuild, build: Build, *, is_replaced: bool) -> Matrix | None:
        """Return the matrix of `folder`, built under its lock unless another process has built it meanwhile."""
        generation = request.generation
        try:
            with file_lock(folder / LOCK_NAME):
                matrix = None if is_replaced else try_open(folder, generation)
                if matrix is None:
                    self._build(folder, request, build)
                    matrix = Matrix.open(folder, generation)
                    if matrix is not None:
                        matrix.is_new = True
                        if matrix.header.size >= TRIMMED_BYTES:
                            trim_heap()
                return matrix
        except OSError as error:
            raise DataStorageError(
                f"features cannot be stored in {folder}: {error}",
                hint="free some space, or set store.path to a folder of yours on a larger disk",
            ) from error

    def _build(self, folder: Path, request: MatrixBuild, build: Build) -> None:
        """Build what is missing; once more, without earlier matrices, when one that is reused proves damaged."""
        remove_unfinished(folder)
        try:
            build(request, folder)
        except CorruptFileError as error:
            remove_unfinished(folder)
            if request.replace or not error.path.is_relative_to(self._root):  # market data, which nothing rebuilds
                raise
            _logger.warning("features.damaged path=%s reason=%s action=rebuild", error.path, error.reason)
            self._build(folder, request.afresh(), build)
        except BaseException:
            remove_unfinished(folder)  # an unfinished file is as large as a whole one
            raise


def _plan_of(root: Path, freq: str, expressions: Sequence[str], key: ExpressionKey, *, allow_lookahead: bool) -> Plan:
    """Return the plan of expressions, from what the store knows of them if that has their key."""
    known = read_terms(root, freq, expressions)
    if known is not None:
        terms, order = known
        plan = plan_terms(terms, order=order, allow_lookahead=allow_lookahead)
        if make_key(plan, freq).name == key.name:
            return plan
    return compile_plan(expressions, allow_lookahead=allow_lookahead)


def _rebuild(make: Callable[[], FeatureStore], again: Again, matrix: Matrix, error: CorruptFileError) -> Matrix:
    """Return a damaged matrix as it was built again, without reusing anything that may hold the same damage."""
    _logger.warning("features.damaged path=%s reason=%s action=rebuild", error.path, error.reason)
    store = make()
    store._reuse = False  # noqa: SLF001 - a store of this module, for this one matrix
    with _REBUILDING:
        remove_damaged(store.root, matrix)
        fresh = again(store)
    _logger.warning("features.healed path=%s rows=%d", fresh.folder / fresh.header.data, fresh.layout.rows)
    return fresh
