"""One matrix of the feature store on disk: a headless float32 file and the sealed header that tells what is in it."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.atomic import draft_of, put
from rollwright.core.canonical import parse_json, sha256_hex
from rollwright.core.locks import share_file_lock
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.features.row_layout import RowLayout

__all__ = ["BLOCK_SESSIONS", "Header", "Matrix", "checksums", "copy_rows", "drop_pages", "empty_columns", "header_name"]

FORMAT: Final = 1
COPIED_BYTES: Final = 1 << 25
MAPPED_BYTES: Final = 1 << 22
"""Of rows that are mapped anew rather than copied: a mapping takes a file descriptor, and small copies cost nothing."""
_WORD: Final = 0xFFFFFFFF
BLOCK_SESSIONS: Final = 256
"""Sessions of a block, on a grid fixed to the calendar: the unit of verification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a matrix holds, written last and atomically: without it the data file does not exist for a reader.

    Attributes
    ----------
    generation : str
        Of the market data it was computed from.
    freq : str
    expressions : tuple of str
        In canonical spelling, one column each.
    lookahead : int
        Sessions of future the columns read; so many rows before the first changed session change too.
    layout : RowLayout
    calendar : str
        Hash of the sessions covered.
    data : str
        Name of the data file beside the header; headers of several generations may share one.
    sums : tuple of int
        Of each block, the sum of its 32-bit words modulo 2**32.
    empty : tuple of int
        Columns without any value.
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

    @property
    def size(self) -> int:
        """Bytes of the data file that belong to this header."""
        return self.layout.rows * len(self.expressions) * 4

    def to_bytes(self) -> bytes:
        """Return the sealed text."""
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
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return f"{sha256_hex(text.encode())}\n{text}\n".encode()

    @classmethod
    def read(cls, path: Path) -> Header:
        """Return the header in `path`.

        Raises
        ------
        FileNotFoundError
        CorruptFileError
            When its seal is broken or it has another format.
        """
        seal, _, text = path.read_bytes().partition(b"\n")
        text = text.removesuffix(b"\n")
        if sha256_hex(text).encode() != seal:
            raise CorruptFileError(path, "its seal is broken", hint="delete it: the store builds it anew")
        try:
            body = parse_json(text.decode())
        except (ValueError, RollwrightError) as error:  # pragma: no cover - the seal holds
            raise CorruptFileError(path, str(error)) from error
        if not isinstance(body, dict) or (body.get("format"), body.get("block_sessions")) != (FORMAT, BLOCK_SESSIONS):
            raise CorruptFileError(path, "it has another format", hint="delete it: the store builds it anew")
        return cls._of(body)

    @classmethod
    def _of(cls, body: Mapping[str, Any]) -> Header:
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
        )

    def write(self, folder: Path) -> None:
        """Write it beside its data, whole or not at all; a power cut may lose it, or leave it with a broken seal."""
        path = folder / header_name(self.generation)
        with draft_of(
            path
        ) as draft:  # not flushed: what is lost is built again, and a flush costs as much as an append
            draft.write_bytes(self.to_bytes())
            put(draft, path)

    def sealed(self, values: NDArray[np.float32], *, known: Sequence[int] = (), rows: int = 0) -> Header:
        """Return the header with the sums and empty columns of `values`.

        Parameters
        ----------
        values : float32 ``[rows, expressions]``
        known : sequence of int
            The sums of the first blocks, as far as they reach. They are kept, not taken anew: damage to rows written
            earlier stays visible.
        rows : int
            How many rows `known` are the sums of; the last of them may lie in the middle of a block.
        """
        return replace(self, sums=checksums(values, self.layout, known=known, rows=rows), empty=empty_columns(values))


def header_name(generation: str) -> str:
    """Return the file name of the header for `generation`."""
    return f"{sha256_hex(generation.encode())[:16]}.json"


def checksums(
    values: NDArray[np.float32], layout: RowLayout, *, known: Sequence[int] = (), rows: int = 0
) -> tuple[int, ...]:
    """Return the sum of the 32-bit words of each block, modulo 2**32: a changed word changes it.

    `known` are the sums of the first `rows` rows, which are not read.
    """
    sums = []
    for block, (low, high) in enumerate(itertools.pairwise(_block_rows(layout))):
        before = known[block] if block < len(known) else 0
        fresh = values[max(low, rows) : high]
        sums.append((before + _sum(fresh)) & _WORD)
        drop_pages(values, max(low, rows), high)
    return tuple(sums)


def _block_rows(layout: RowLayout) -> list[int]:
    sessions = [*range(0, layout.sessions, BLOCK_SESSIONS), layout.sessions]
    return [int(layout.offsets[session]) for session in sessions]


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

    Guarantees: every block is checked against its sum when it is first viewed in this process, so what comes out is
    what was computed, or `CorruptFileError`; views of a range are never copies.

    Attributes
    ----------
    is_new : bool
        Whether the store built it for the very call that returned it last.
    handle : int or None
        The data file's descriptor, open and locked for as long as `values` are there.
    """

    header: Header
    folder: Path
    values: NDArray[np.float32]
    is_new: bool = False
    handle: int | None = None
    _good: set[int] = field(default_factory=set)

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
            When the header's seal is broken, or the data file is missing or shorter than the header says.
        """
        try:
            header = Header.read(folder / header_name(generation))
        except FileNotFoundError:
            return None
        path = folder / header.data
        size = path.stat().st_size if path.is_file() else -1
        if size < header.size:
            raise CorruptFileError(path, f"it has {max(size, 0):,} bytes where its header counts {header.size:,}")
        values = mapped(path, header, mode="r")
        handle = share_file_lock(path)
        if handle is not None:  # held as long as the map itself, which every view keeps alive
            weakref.finalize(values, os.close, handle)
        return cls(header=header, folder=folder, values=values, handle=handle)

    def view(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the rows of the sessions ``[first, last)``, without a copy.

        Raises
        ------
        CorruptFileError
            When a block's bytes are not the ones that were computed. Its header is removed, so that the next use
            builds the matrix anew.
        """
        offsets = self.layout.offsets
        self.verify(first, last)
        return self.values[int(offsets[first]) : int(offsets[last])]

    def private(self, first: int, last: int) -> NDArray[np.float32] | None:
        """Return those rows as an array of the caller's own that takes memory only where it is written to.

        It is mapped anew, so that a page that is written to becomes this array's alone: no other array, process or
        file sees it. None where that cannot be had.
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
        except (OSError, ValueError):  # no more mappings to be had
            return None
        # the array keeps the mapping, and the mapping its own descriptor, and so the lock that tells of its use
        rows = np.frombuffer(file, np.float32, offset=begin - start)
        return rows.reshape(high - low, len(self.header.expressions))

    def verify(self, first: int, last: int) -> None:
        """Check the blocks of the sessions ``[first, last)``, each once in this process; raises as `view` does."""
        edges = _block_rows(self.layout)
        for block in range(first // BLOCK_SESSIONS, min(-(-last // BLOCK_SESSIONS), len(self.header.sums))):
            if block in self._good:
                continue
            if _sum(self.values[edges[block] : edges[block + 1]]) != self.header.sums[block]:
                (self.folder / header_name(self.header.generation)).unlink(missing_ok=True)
                raise CorruptFileError(
                    self.folder / self.header.data,
                    f"block {block} (sessions from {block * BLOCK_SESSIONS}) is not what was computed",
                    hint="run it again: the store builds this matrix anew",
                )
            self._good.add(block)


def drop_pages(values: NDArray[np.float32], low: int, high: int) -> None:
    """Take the rows ``[low, high)`` of a mapped file out of this process's memory; no byte changes.

    They stay in the system's cache, and come back when they are looked at. So memory does not grow with a file that is
    worked through once.
    """
    file = getattr(values, "_mmap", None)
    if file is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    size, page = values.strides[0], mmap.PAGESIZE
    start, stop = -(-low * size // page) * page, high * size // page * page
    if start < stop:
        file.madvise(mmap.MADV_DONTNEED, start, stop - start)


def copy_rows(values: NDArray[Any], where: NDArray[np.intp] | None = None) -> NDArray[Any]:
    """Return a copy of the rows `where` of an array, all if not given, letting go of a mapped file's pages on the way.

    So a window that is copied into a frame is in memory once, not twice.
    """
    rows = len(values) if where is None else len(where)
    copy = np.empty((rows, values.shape[1]), values.dtype)
    step = max(1, COPIED_BYTES // max(1, copy.strides[0]))
    plain = np.asarray(values)
    for low in range(0, rows, step):
        high = min(low + step, rows)
        if where is None:
            copy[low:high] = plain[low:high]
            _drop_pages_of(values[low:high])
        elif low < high:
            np.take(plain, where[low:high], axis=0, out=copy[low:high])
            _drop_pages_of(values[where[low] : where[high - 1] + 1])
    return copy


def _drop_pages_of(part: NDArray[Any]) -> None:
    """Take rows out of this process's memory when they are neighbouring ones of a mapped file that is only read."""
    file = getattr(part, "_mmap", None)
    if file is None or not part.flags.c_contiguous or part.flags.writeable or not hasattr(mmap, "MADV_DONTNEED"):
        return
    begin = np.frombuffer(file, np.uint8).ctypes.data
    low, page = part.ctypes.data - begin, mmap.PAGESIZE
    start, stop = -(-low // page) * page, (low + part.nbytes) // page * page
    if start < stop:
        file.madvise(mmap.MADV_DONTNEED, start, stop - start)


def mapped(path: Path, header: Header, *, mode: str) -> NDArray[np.float32]:
    """Return the data file as ``[rows, expressions]``; `mode` is ``r`` or ``r+``."""
    shape = (header.layout.rows, len(header.expressions))
    if not header.size:
        return np.empty(shape, dtype=np.float32)
    return np.memmap(path, dtype=np.float32, mode=mode, shape=shape)  # type: ignore[call-overload,no-any-return,unused-ignore]  # the stubs know literal modes only
