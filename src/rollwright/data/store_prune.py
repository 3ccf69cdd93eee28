"""Removing files of the feature store that nobody has open."""

from __future__ import annotations

from collections.abc import Iterable

from rollwright.data.store_hold import is_held
from rollwright.data.store_lock import folder_lock
from rollwright.data.store_size import StoreEntry

__all__ = ["remove"]


def remove(entries: Iterable[StoreEntry]) -> list[StoreEntry]:
    """Remove data files with the headers that refer to them, and return those that went.

    Guarantees: a file that some process has open stays, headers and all; builds under way are waited for; what is
    removed is never half there, since a file without headers does not exist for a reader.
    """
    removed = []
    for entry in entries:
        with folder_lock(entry.path.parent):
            if is_held(entry.path):
                continue
            for header in entry.headers:
                header.unlink(missing_ok=True)
            entry.path.unlink(missing_ok=True)
        removed.append(entry)
    return removed
