"""Noticing that a data folder was replaced since it was opened."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from rollwright.core.posix import open_folder
from rollwright.errors import DataError

__all__ = ["FolderIdentity"]


class FolderIdentity:
    """The folder that was opened, so that its replacement cannot go unnoticed.

    The descriptor keeps the folder's inode in use; a new folder of the same name therefore has another number.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._state: tuple[int, int] | None = None
        try:
            handle = open_folder(root)
        except OSError:  # it may be read, and not opened
            return
        if handle is None:
            return
        weakref.finalize(self, os.close, handle)
        state = os.fstat(handle)
        self._state = (state.st_dev, state.st_ino)

    def holds(self) -> bool:
        """Say whether the name still means the folder that was opened."""
        if self._state is None:
            return True
        try:
            state = os.stat(self._root)
        except FileNotFoundError:
            return False
        return (state.st_dev, state.st_ino) == self._state

    def check(self) -> None:
        """Raise when it does not."""
        if not self.holds():
            raise DataError(f"{self._root} was replaced by an import since it was opened", hint="open it again")
