"""A lock between processes, held by an open file: the system frees it when its holder dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["file_lock", "held_file_lock", "try_file_lock"]

if sys.platform == "win32":  # untested there
    import msvcrt

    def _lock(handle: int, *, wait: bool = True) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int, *, wait: bool = True) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path` inside the block, waiting for whoever holds it.

    Threads of one process exclude each other too, since each call opens the file anew. The file stays behind, empty:
    removing it would let two holders lock two different files of one name.
    """
    handle = _opened(path)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)  # closing releases it


@contextmanager
def try_file_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` inside the block when it is free; yield False, without waiting, when somebody has it."""
    handle = _opened(path)
    try:
        try:
            _lock(handle, wait=False)
        except OSError:
            free = False
        else:
            free = True
        yield free
    finally:
        os.close(handle)


def held_file_lock(path: Path) -> int:
    """Lock `path`, which nobody else knows yet, until the returned descriptor is closed or the process ends.

    A forked child gets a copy of the descriptor, which keeps the lock alive beyond its parent: it has to close it.
    """
    handle = _opened(path)
    try:
        _lock(handle, wait=False)
    except OSError:
        os.close(handle)
        raise
    return handle


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
