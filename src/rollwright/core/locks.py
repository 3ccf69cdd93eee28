"""Locks between processes, held by an open file: the system frees them when their holder dies.

From that comes liveness too: a process that keeps a file locked for as long as it lives is known to be dead once the
lock is free. The files stay behind, empty: removing one would let two holders lock two different files of one name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from rollwright.core import posix
from rollwright.core.bounded_read import READ_FLAGS

__all__ = ["FileLock", "HeldLock", "file_lock", "probe_lock", "share_file_lock", "try_file_lock"]


@contextmanager
def file_lock(path: Path) -> Iterator[int]:
    """Hold the lock of `path` inside the block, waiting for whoever holds it.

    Threads of one process exclude each other too, since each call opens the file anew. Yields the open file: a program
    that inherits it keeps the lock until it ends, though this process was killed before.
    """
    handle = _open(path)
    try:
        posix.lock_exclusive(handle)
        yield handle
    finally:
        os.close(handle)  # closing releases it


@contextmanager
def try_file_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` inside the block when it is free; yield False, without waiting, when somebody has it."""
    handle = _open(path)
    try:
        try:
            posix.lock_exclusive(handle, wait=False)
        except OSError:
            free = False
        else:
            free = True
        yield free
    finally:
        os.close(handle)


class FileLock:
    """A lock that is taken again and again: its file stays open between. For one thread at a time.

    Where the system has no file locks, nobody is kept out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def hold(self) -> AbstractContextManager[None]:
        """Hold the lock inside the block, waiting for those who asked before."""
        if self._handle is None:
            if not posix.has_file_locks():
                return nullcontext()
            self._handle = posix.open_for_locking(self._path)
        return _Held(self._handle)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class _Held:
    """Holds the lock of an open file inside a block."""

    __slots__ = ("_handle",)

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __enter__(self) -> None:
        posix.lock_exclusive(self._handle)

    def __exit__(self, *_error: object) -> None:
        posix.unlock(self._handle)


class HeldLock:
    """The lock of a new file, held until `release` or the end of this process: the sign that it lives.

    Guarantees: a forked child closes its copy, so that the lock does not outlive the process that took it.

    Parameters
    ----------
    path : Path
        A file that nobody else knows yet; its folder is made.

    Raises
    ------
    OSError
        When the file is there already, or cannot be made or locked.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._pid = os.getpid()
        self._handle = posix.open_for_locking(path, new=True)
        try:
            posix.lock_exclusive(self._handle, wait=False)
        except OSError:
            os.close(self._handle)
            raise
        _HeldInThisProcess.add(self._handle)

    def write(self, content: bytes) -> None:
        """Write into the file what others may read about the holder."""
        os.write(self._handle, content)

    @property
    def is_held(self) -> bool:
        """Whether this process holds it: False in a forked child, and once it was released."""
        return self._handle >= 0 and self._pid == os.getpid()

    def release(self) -> None:
        """Remove the file and free its lock; nothing is done where it is not held."""
        if self.is_held:
            self.path.unlink(missing_ok=True)
            _HeldInThisProcess.handles.discard(self._handle)
            os.close(self._handle)
        self._handle = -1


class _HeldInThisProcess:
    """The descriptors of all locks held; a forked child closes its copies."""

    handles: Final[set[int]] = set()
    registered: bool = False

    @classmethod
    def add(cls, handle: int) -> None:
        if not cls.registered:
            posix.call_in_forked_child(cls.close_in_child)
            cls.registered = True
        cls.handles.add(handle)

    @classmethod
    def close_in_child(cls) -> None:
        for handle in cls.handles:
            os.close(handle)
        cls.handles.clear()


def probe_lock(path: Path, *, shared: bool = False) -> bool | None:
    """Tell whether any process, this one too, holds the lock of `path`, without waiting.

    With `shared`, only a holder that excludes others counts, and two who ask at once do not take each other for one.
    None when it cannot be known: there is no such file, or there are no locks.
    """
    if not posix.has_shared_locks():
        return None
    try:
        handle = os.open(path, READ_FLAGS)
    except OSError:
        return None
    try:
        (posix.lock_shared if shared else posix.lock_exclusive)(handle, wait=False)
    except BlockingIOError:
        return True
    except OSError:  # a filesystem without locks
        return None
    finally:
        os.close(handle)
    return False


def share_file_lock(path: Path) -> int | None:
    """Open `path` and share its lock until the returned descriptor is closed, or this process ends.

    None where there are no shared locks: then nobody is known to have the file open.
    """
    if not posix.has_shared_locks():
        return None
    handle = os.open(path, READ_FLAGS)
    try:
        posix.lock_shared(handle)  # waits for whoever probes it, which takes no time
    except OSError:  # a filesystem without locks
        os.close(handle)
        return None
    return handle


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return posix.open_for_locking(path)
