"""What the feature store asks of the system: a lock between processes, and room on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rollwright.core.locks import file_lock, try_file_lock
from rollwright.errors import DataStorageError

__all__ = ["allocate", "folder_lock", "try_folder_lock"]

LOCK_NAME = "lock"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Make `folder` and hold its lock inside the block, waiting for whoever holds it."""
    with file_lock(folder / LOCK_NAME):
        yield


@contextmanager
def try_folder_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of `folder` inside the block when it is free; yield False when somebody builds there."""
    with try_file_lock(folder / LOCK_NAME) as free:
        yield free


def allocate(path: Path, size: int) -> None:
    """Make `path` at least `size` bytes long, with room on the disk for all of them.

    Raises
    ------
    DataStorageError
        When there is no room; then the file is as long as it was, or absent as it was. A full disk met later, while
        writing through a memory map, would kill the process.
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
            hint="free some room, or set store.path to a larger disk",
        ) from error
