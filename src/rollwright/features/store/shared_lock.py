"""Who has a file of the feature store open: a lock that everybody who maps it shares, and a crash releases."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["is_locked", "shared_lock"]

if sys.platform != "win32":
    import fcntl


def shared_lock(path: Path) -> int | None:
    """Open `path` and share its lock; whoever closes the descriptor, or dies, gives it back.

    None where the system has no such lock: then nobody is known to have the file open.
    """
    if sys.platform == "win32":  # pragma: no cover - there a mapped file cannot be removed anyway
        return None
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)  # waits for whoever looks whether it is held, which takes no time
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle


def is_locked(path: Path) -> bool:
    """Tell whether any process, this one too, holds `path`."""
    if sys.platform == "win32":  # pragma: no cover - untested there
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: nobody can be known
        return False
    finally:
        os.close(handle)
    return False
