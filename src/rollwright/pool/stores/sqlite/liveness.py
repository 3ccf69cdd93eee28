"""Which processes hold tasks of a pool file and still live, by the locks that die with them.

Where there are no file locks, leases alone tell who died.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from typing import Final

from rollwright.core.locks import HeldLock, probe_lock
from rollwright.core.posix import has_shared_locks

__all__ = ["find_dead_processes", "register_process", "remove_process"]

_mutex: Final = threading.Lock()
_held: Final[dict[Path, tuple[str, HeldLock]]] = {}
"""The names and locks by which this process shows that it lives, one for each folder."""


def register_process(folder: Path) -> str | None:
    """Return the name by which this process is known to be alive in `folder`, locking a file of that name there.

    The lock is held until the process ends, however it ends; a forked child registers itself anew. None where there
    are no locks.
    """
    held = _held.get(folder)
    if held is not None and held[1].is_held:
        return held[0]
    if not has_shared_locks():
        return None
    with _mutex:
        held = _held.get(folder)
        if held is None or not held[1].is_held:
            name = f"{os.getpid()}-{secrets.token_hex(8)}"
            try:
                held = name, HeldLock(folder / name)
            except OSError:  # leases alone must do
                return None
            _held[folder] = held
        return held[0]


def find_dead_processes(folder: Path, names: list[str]) -> list[str]:
    """Return those of `names` whose process has certainly ended; a file that is not there proves nothing."""
    return [
        name
        for name in names
        if not name.startswith(".") and os.sep not in name and probe_lock(folder / name, shared=True) is False
    ]


def remove_process(folder: Path, name: str) -> None:
    """Remove the file of a process that ended and holds no task any more."""
    (folder / name).unlink(missing_ok=True)
