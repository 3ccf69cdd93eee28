"""What the feature store asks of the system: a lock between processes, and room on the disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollwright.errors import DataError

__all__ = ["allocate", "folder_lock"]

if sys.platform == "win32":  # pragma: no cover - untested there
    import msvcrt
else:
    import fcntl

LOCK_NAME = "lock"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Make `folder` and hold its lock inside the block, waiting for whoever holds it.

    Nothing has to be cleaned up after a crash: the lock belongs to an open file, so it is never stale. Threads of one
    process exclude each other too, since each call opens the file anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        if sys.platform == "win32":  # pragma: no cover - untested there
            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # closing releases it


def allocate(path: Path, size: int) -> None:
    """Make `path` at least `size` bytes long, with room on the disk for all of them.

    Raises
    ------
    DataError
        When there is no room. A full disk met later, while writing through a memory map, would kill the process.
    """
    try:
        with path.open("ab") as file:
            file.truncate(max(size, file.tell()))
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise DataError(
            f"{path} cannot be made {size:,} bytes long: {error.strerror}",
            hint="free some room, or set store.path to a larger disk",
        ) from error
