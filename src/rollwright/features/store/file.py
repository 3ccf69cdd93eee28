"""The files of one matrix of the feature store: a raw float32 file, and a JSON header that describes it.

The header begins with the SHA-256 of its own text. The rows of the data file are covered by a checksum per block of
`BLOCK_SESSIONS` sessions: the sum of its 32-bit words modulo 2**32, computed at memory speed. One changed word
always changes the sum; several changes cancel out with a chance of 1 in 2**32.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.atomic import draft_of, put
from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.core.canonical import parse_json, sha256_hex
from rollwright.core.locks import share_file_lock
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.features.row_layout import RowLayout
from rollwright.features.store.pages import drop_pages, map_file

__all__ = [
    "BLOCK_SESSIONS",
    "LOCK_NAME",
    "Header",
    "Matrix",
    "block_edges",
    "checksums",
    "empty_columns",
    "header_name",
]

FORMAT: Final = 1
LOCK_NAME: Final = "lock"
"""File in the folder of a matrix whose lock a process holds while it builds or removes there."""
MAPPED_BYTES: Final = 1 << 22
"""Ranges of at least so many bytes are mapped privately, smaller ones copied: each mapping takes a descriptor."""
_WORD: Final = 0xFFFFFFFF
BLOCK_SESSIONS: Final = 256
"""Sessions of a block, on a grid fixed to the calendar: the unit of verification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The description of a matrix, written last and atomically: without it no reader sees the data file.

    Attributes
    ----------
    generation : str
        Identity of the market data that it was computed from.
    freq : str
    expressions : tuple of str
        In canonical form, one column each.
    lookahead : int
        Sessions after its own that a value reads; so many sessions before the first changed one change too.
    layout : RowLayout
    calendar : str
        Hash of the sessions covered.
    data : str
        Name of the data file beside the header; headers of several generations may share one.
    sums : tuple of int
        The checksum of each block.
    empty : tuple of int
        Columns without any value.
    periods : tuple of str
        The fields by period that are read, without ``$$``.
    vintages : tuple of str
        Digests of what was known of them, up to the last session of each block.
    """

    generation: str
    freq: str
    expressions: tuple[str, ...]
    lookahead: int
    layout: RowLayout
    calendar: str
    data: str
    sums: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    periods: tuple[str, ...] = ()
    vintages: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.rows, len(self.expressions)

    @property
    def size(self) -> int:
        """Bytes of the data file that belong to this header."""
        return self.layout.rows * len(self.expressions) * 4

    def to_bytes(self) -> bytes:
        """Return the text of the file: the checksum of the header, then the header as JSON."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "generation": self.generation,
            "freq": self.freq,
            "lookahead": self.lookahead,
            "calendar": self.calendar,
            "data": self.data,
            "block_sessions": BLOCK_SESSIONS,
            "sums": list(self.sums),
            "empty": list(self.empty),
            "expressions": list(self.expressions),
            "layout": self.layout.to_json(),
        }
        if self.periods:
            body |= {"periods": list(self.periods), "vintages": list(self.vintages)}
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return f"{sha256_hex(text.encode())}\n{text}\n".encode()

    @classmethod
    def read(cls, path: Path) -> Header:
        """Return the header in `path`.

        Raises
        ------
        FileNotFoundError
        CorruptFileError
            When its checksum is wrong or it has another format.
        """
        checksum, _, text = read_whole(path, limit=MEDIUM).partition(b"\n")
        text = text.removesuffix(b"\n")
        if sha256_hex(text).encode() != checksum:
            raise CorruptFileError(path, "its checksum is wrong", hint="delete it: the store builds it again")
        try:
            body = parse_json(text.decode())
        except (ValueError, RollwrightError) as error:  # pragma: no cover - its checksum is right
            raise CorruptFileError(path, str(error)) from error
        if not isinstance(body, dict) or (body.get("format"), body.get("block_sessions")) != (FORMAT, BLOCK_SESSIONS):
            raise CorruptFileError(path, "it has another format", hint="delete it: the store builds it again")
        return cls._from_json(body)

    @classmethod
    def _from_json(cls, body: Mapping[str, Any]) -> Header:
        return cls(
            generation=body["generation"],
            freq=body["freq"],
            expressions=tuple(body["expressions"]),
            lookahead=body["lookahead"],
            layout=RowLayout.from_json(body["layout"]),
            calendar=body["calendar"],
            data=body["data"],
            sums=tuple(int(value) for value in body["sums"]),
            empty=tuple(body["empty"]),
            periods=tuple(body.get("periods", ())),
            vintages=tuple(body.get("vintages", ())),
        )

    def write(self, folder: Path) -> None:
        """Write the header beside its data by an atomic replace; a power cut may lose or damage it, not a crash."""
        path = folder / header_name(self.generation)
        # not flushed to disk: a lost header costs a new build, and a flush costs as much as appending a day
        with draft_of(path) as draft:
            draft.write_bytes(self.to_bytes())
            put(draft, path)

    def with_checksums(self, values: NDArray[np.float32], *, known: Sequence[int] = (), rows: int = 0) -> Header:
        """Return the header with the checksums and empty columns of `values`.

        Parameters
        ----------
        values : float32 ``[rows, expressions]``
        known : sequence of int
            The sums of the first blocks. They are not computed again, so that damage to rows written earlier stays
            visible.
        rows : int
            How many rows `known` covers; its last block may be cut by them.
        """
        return replace(self, sums=checksums(values, self.layout, known=known, rows=rows), empty=empty_columns(values))


def header_name(generation: str) -> str:
    """Return the file name of the header for `generation`."""
    return f"{sha256_hex(generation.encode())[:16]}.json"


def checksums(
    values: NDArray[np.float32], layout: RowLayout, *, known: Sequence[int] = (), rows: int = 0
) -> tuple[int, ...]:
    """Return the sum of the 32-bit words of each block, modulo 2**32.

    `known` are the sums of the first `rows` rows, which are not read.
    """
    sums = []
    for block, (low, high) in enumerate(itertools.pairwise(_block_rows(layout))):
        before = known[block] if block < len(known) else 0
        fresh = values[max(low, rows) : high]
        sums.append((before + _sum(fresh)) & _WORD)
        drop_pages(values, max(low, rows), high)
    return tuple(sums)


def block_edges(sessions: int) -> list[int]:
    """Return the sessions at which the blocks of so many sessions begin, and one past the last."""
    return [*range(0, sessions, BLOCK_SESSIONS), sessions]


def _block_rows(layout: RowLayout) -> list[int]:
    return [int(layout.offsets[session]) for session in block_edges(layout.sessions)]


def _sum(values: NDArray[np.float32]) -> int:
    words = np.ascontiguousarray(values).view(np.uint32).reshape(-1)
    return int(np.add.reduce(words, dtype=np.uint32)) if len(words) else 0  # without widening: at memory speed


def empty_columns(values: NDArray[np.float32]) -> tuple[int, ...]:
    """Return the columns that are NaN in every row."""
    if not len(values):
        return ()
    # a few rows rule out nearly every column before any is read whole
    probe = values[:: max(1, len(values) // 256)]
    suspects = np.flatnonzero(np.isnan(probe).all(axis=0))
    return tuple(int(column) for column in suspects if np.isnan(values[:, column]).all())


@dataclass(slots=True, kw_only=True)
class Matrix:
    """A matrix of the store, opened: float32 ``[rows, expressions]`` in a read-only memory map.

    Guarantees: every block is verified by its checksum when this process first reads it, so the values are those that
    were computed; a matrix with a damaged block is rebuilt at that moment, or `CorruptFileError` is raised where
    nothing rebuilds it. Views of a range are never copies, and views given before stay as they are.

    Attributes
    ----------
    rebuild : callable or None
        Given the matrix and what is wrong with it, removes it from the store and returns it as it was built again.
    is_new : bool
        Whether the store built it in the call that returned it last.
    handle : int or None
        Descriptor of the data file, open and locked (shared) for as long as `values` exist.
    """

    header: Header
    folder: Path
    values: NDArray[np.float32]
    is_new: bool = False
    handle: int | None = None
    rebuild: Callable[[Matrix, CorruptFileError], Matrix] | None = None
    _verified: set[int] = field(default_factory=set)

    @property
    def layout(self) -> RowLayout:
        """Which rows there are."""
        return self.header.layout

    @classmethod
    def open(cls, folder: Path, generation: str) -> Matrix | None:
        """Open the matrix of `generation` in `folder`; None when there is none.

        Raises
        ------
        CorruptFileError
            When the checksum of the header is wrong, or the data file is missing or shorter than the header says.
        """
        try:
            header = Header.read(folder / header_name(generation))
        except FileNotFoundError:
            return None
        path = folder / header.data
        size = path.stat().st_size if path.is_file() else -1
        if size < header.size:
            raise CorruptFileError(path, f"it has {max(size, 0):,} bytes where its header counts {header.size:,}")
        values = map_file(path, header.shape, mode="r")
        handle = share_file_lock(path)
        if handle is not None:  # closed together with the map, which every view keeps alive
            weakref.finalize(values, os.close, handle)
        return cls(header=header, folder=folder, values=values, handle=handle)

    def view(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the rows of the sessions ``[first, last)``, without a copy.

        Raises
        ------
        CorruptFileError
            When a block's checksum is wrong and nothing rebuilds the matrix, or it is wrong again after that. The
            header is removed, so that the next use builds the matrix.
        """
        self.verify(first, last)
        offsets = self.layout.offsets
        return self.values[int(offsets[first]) : int(offsets[last])]

    def private(self, first: int, last: int) -> NDArray[np.float32] | None:
        """Return those rows as a writable array that takes memory only for the pages that are written to.

        The file is mapped once more, copy-on-write: what is written stays in this array, and no other array, process
        or file changes. None for small ranges, and where the system allows no more mappings.
        """
        low, high = int(self.layout.offsets[first]), int(self.layout.offsets[last])
        width = len(self.header.expressions) * 4
        if self.handle is None or (high - low) * width < max(1, MAPPED_BYTES):
            return None
        self.verify(first, last)
        begin = low * width
        start = begin - begin % mmap.ALLOCATIONGRANULARITY
        try:
            file = mmap.mmap(self.handle, high * width - start, access=mmap.ACCESS_COPY, offset=start)
        except (OSError, ValueError):  # too many mappings
            return None
        # the array keeps the mapping alive, and the mapping a descriptor, whose lock says that the file is in use
        rows = np.frombuffer(file, np.float32, offset=begin - start)
        return rows.reshape(high - low, len(self.header.expressions))

    def verify(self, first: int, last: int) -> None:
        """Verify the blocks of the sessions ``[first, last)``, each once in this process; raises as `view` does."""
        error = self._find_damage(first, last)
        if error is None:
            return
        if self.rebuild is None:
            (self.folder / header_name(self.header.generation)).unlink(missing_ok=True)
            raise error
        fresh = self.rebuild(self, error)
        self.header, self.values, self.handle, self._verified = fresh.header, fresh.values, fresh.handle, set()
        error = self._find_damage(first, last)
        if error is not None:  # written a moment ago: the disk or the memory cannot be relied on
            (self.folder / header_name(self.header.generation)).unlink(missing_ok=True)
            raise error

    def _find_damage(self, first: int, last: int) -> CorruptFileError | None:
        edges = _block_rows(self.layout)
        for block in range(first // BLOCK_SESSIONS, min(-(-last // BLOCK_SESSIONS), len(self.header.sums))):
            if block in self._verified:
                continue
            if _sum(self.values[edges[block] : edges[block + 1]]) != self.header.sums[block]:
                return CorruptFileError(
                    self.folder / self.header.data,
                    f"block {block} (sessions from {block * BLOCK_SESSIONS}) is not what was computed",
                    hint="run it again: the store builds this matrix again",
                )
            self._verified.add(block)
        return None
