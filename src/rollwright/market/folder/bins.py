"""One field of one instrument as a file: little-endian float32, first the calendar position of row 0, then the rows.

Rows are read by position, only as many as asked, and copied once into the caller's block. A positioned read, unlike
a mapping, answers a file that somebody truncates meanwhile with a short count instead of a fatal signal, and a data
set of fifty thousand files does not exhaust the mappings of a process.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.bounded_read import READ_FLAGS
from rollwright.errors import CorruptFileError

__all__ = ["FLOAT", "MAX_START", "Span", "content_digest", "encode_bin", "read_span"]

FLOAT: Final = np.dtype("<f4")
MAX_START: Final = 1 << 24
"""Above it float32 no longer tells neighbouring integers apart, so that no start beyond it can be trusted."""

_TINY, _HUGE = 1e-30, 1e30
_HEAD: Final = struct.Struct("<f")
_SWAPPED_HEAD: Final = struct.Struct(">f")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Part of a series.

    Attributes
    ----------
    start, stop : int
        Calendar positions of the whole series, half open.
    first : int
        Calendar position of ``values[0]``.
    values : ndarray of float32
        The rows asked for, as far as the series has them.
    """

    start: int
    stop: int
    first: int
    values: NDArray[np.float32]


def content_digest(data: bytes) -> str:
    """Return 16 hex digits that differ when the bytes do (64 bits of BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def encode_bin(start: int, values: NDArray[np.floating]) -> bytes:
    """Return the bytes of a series whose row 0 is at calendar position `start`.

    Raises
    ------
    ValueError
        When float32 cannot hold `start`.
    """
    if not 0 <= start <= MAX_START:
        raise ValueError(f"a series cannot start at {start}")
    return np.concatenate([np.array([start], FLOAT), np.asarray(values, FLOAT)]).tobytes()


def read_span(path: Path | str, low: int, high: int, *, sessions: int, digest: str | None = None) -> Span:
    """Read the rows of a file that fall in the calendar positions ``[low, high)``.

    Parameters
    ----------
    path : Path or str
    low, high : int
        Half open; an empty range reads the head alone.
    sessions : int
        Number of sessions of the calendar that have data; no series may reach beyond.
    digest : str, optional
        What `content_digest` must say of the whole file, which is then read whole.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFileError
        When its bytes cannot be such a series, or are not the ones recorded.
    """
    handle = os.open(path, READ_FLAGS)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise CorruptFileError(path, "it is not a regular file")
        size = state.st_size
        if size < FLOAT.itemsize or size % FLOAT.itemsize:
            raise CorruptFileError(path, f"{size} bytes are no whole number of float32 values with a head")
        if digest is not None:
            if size > FLOAT.itemsize * (MAX_START + 1):
                raise CorruptFileError(path, f"it has {size:,} bytes, more than any calendar has sessions")
            return _from_whole(path, _read_exactly(handle, path, 0, size), low, high, sessions, digest)
        length = size // FLOAT.itemsize - 1
        start = _check_start(path, _read_exactly(handle, path, 0, FLOAT.itemsize), length, sessions)
        first, last = max(start, low), min(start + length, high)
        if last <= first:
            return Span(start=start, stop=start + length, first=first, values=np.empty(0, np.float32))
        offset = FLOAT.itemsize * (1 + first - start)
        data = _read_exactly(handle, path, offset, FLOAT.itemsize * (last - first))
    finally:
        os.close(handle)
    values = np.frombuffer(data, FLOAT)
    if start == 0:
        _refuse_swapped(path, values)
    return Span(start=start, stop=start + length, first=first, values=values)


def _from_whole(path: Path | str, data: bytes, low: int, high: int, sessions: int, digest: str) -> Span:
    if content_digest(data) != digest:
        raise CorruptFileError(
            path,
            "its bytes are not the ones that were imported",
            hint="import the data again; if you changed the file on purpose: `rollwright data check DIR --accept`",
        )
    values = np.frombuffer(data, FLOAT)[1:]
    start = _check_start(path, data[: FLOAT.itemsize], len(values), sessions)
    first, last = max(start, low), min(start + len(values), high)
    part = values[first - start : max(first, last) - start]
    return Span(start=start, stop=start + len(values), first=first, values=part)


def _read_exactly(handle: int, path: Path | str, offset: int, count: int) -> bytes:
    if offset:
        os.lseek(handle, offset, os.SEEK_SET)
    data = os.read(handle, count)
    while len(data) < count:
        more = os.read(handle, count - len(data))
        if not more:
            raise CorruptFileError(path, f"it ends after {offset + len(data)} bytes, {count - len(data)} too early")
        data += more
    return data


def _check_start(path: Path | str, head: bytes, length: int, sessions: int) -> int:
    (raw,) = _HEAD.unpack(head)
    if not math.isfinite(raw):
        raise CorruptFileError(path, f"the start index is {raw}")
    if raw < 0 or raw != int(raw):
        (swapped,) = _SWAPPED_HEAD.unpack(head)
        guess = ", so the file may be big-endian" if 0 <= swapped <= MAX_START and swapped == int(swapped) else ""
        raise CorruptFileError(path, f"the start index is {raw!r}, not a calendar position{guess}")
    if raw > MAX_START:
        raise CorruptFileError(path, f"the start index {raw:.0f} is beyond 2**24, which float32 cannot hold")
    start = int(raw)
    if start + length > sessions:
        raise CorruptFileError(
            path, f"{length} rows from position {start} reach {start + length - sessions} beyond the calendar"
        )
    return start


def _refuse_swapped(path: Path | str, values: NDArray[np.float32]) -> None:
    """Refuse big-endian rows, which a start of 0 cannot betray: zero reads alike in both orders."""
    head = values[:16]
    odd = (head != 0) & ((np.abs(head) < _TINY) | (np.abs(head) > _HUGE))
    if len(head) and bool(odd.any()) and bool((odd | (head == 0)).all()):
        other = head.byteswap()
        if bool(((np.abs(other) > 1e-9) & (np.abs(other) < 1e15) | np.isnan(other) | (other == 0)).all()):
            raise CorruptFileError(path, "its values make sense only as big-endian numbers")
