"""Large files that are memory-mapped: disk space for them, and the memory that their pages take."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.errors import DataStorageError

__all__ = ["allocate", "copy_rows", "drop_array_pages", "drop_pages", "map_file"]

COPIED_BYTES: Final = 1 << 25
"""How many bytes `copy_rows` copies before it drops their pages."""


def map_file(path: Path, shape: tuple[int, int], *, mode: str) -> NDArray[np.float32]:
    """Return the float32 file `path` as a memory-mapped array ``[rows, columns]``; `mode` is ``r`` or ``r+``."""
    if not shape[0] * shape[1]:
        return np.empty(shape, dtype=np.float32)  # an empty file cannot be mapped
    return np.memmap(path, dtype=np.float32, mode=mode, shape=shape)  # type: ignore[call-overload,no-any-return,unused-ignore]  # the stubs know literal modes only


def allocate(path: Path, size: int) -> None:
    """Make `path` at least `size` bytes long and reserve the disk space for all of them.

    Without that, a disk that is full while a process writes through a memory map would kill the process (SIGBUS).

    Raises
    ------
    DataStorageError
        When there is not enough space; then the file has its former length, or is absent if it was.
    """
    before = path.stat().st_size if path.exists() else None
    try:
        with path.open("ab") as file:
            file.truncate(max(size, before or 0))
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        with suppress(OSError):
            if before is None:
                path.unlink(missing_ok=True)
            else:
                os.truncate(path, before)
        raise DataStorageError(
            f"{path} cannot be made {size:,} bytes long: {error.strerror}",
            hint="free some space, or set store.path to a larger disk",
        ) from error


def drop_pages(values: NDArray[np.float32], low: int, high: int) -> None:
    """Remove the rows ``[low, high)`` of a mapped file from this process's memory; no byte changes.

    They stay in the cache of the operating system and are mapped again when they are read. So a process that goes
    through a large file once does not grow with it.
    """
    file = getattr(values, "_mmap", None)
    if file is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    size, page = values.strides[0], mmap.PAGESIZE
    start, stop = -(-low * size // page) * page, high * size // page * page
    if start < stop:
        file.madvise(mmap.MADV_DONTNEED, start, stop - start)


def copy_rows(values: NDArray[Any], where: NDArray[np.intp] | None = None) -> NDArray[Any]:
    """Return a copy of the rows `where` of an array, all if not given, and drop the pages of a mapped file on the way.

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
            drop_array_pages(values[low:high])
        elif low < high:
            np.take(plain, where[low:high], axis=0, out=copy[low:high])
            drop_array_pages(values[where[low] : where[high - 1] + 1])
    return copy


def drop_array_pages(part: NDArray[Any]) -> bool:
    """Drop the pages of adjacent rows of a read-only mapped file; return False, and do nothing, for any other array."""
    file = _find_mapping(part)
    if file is None or not part.flags.c_contiguous or part.flags.writeable or not hasattr(mmap, "MADV_DONTNEED"):
        return False
    begin = np.frombuffer(file, np.uint8).ctypes.data
    low, page = part.ctypes.data - begin, mmap.PAGESIZE
    start, stop = -(-low // page) * page, (low + part.nbytes) // page * page
    if start < stop:
        file.madvise(mmap.MADV_DONTNEED, start, stop - start)
    return True


def _find_mapping(part: NDArray[Any]) -> mmap.mmap | None:
    """Return the mapped file that an array is a view of, as whatever class of array."""
    base: Any = part
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
