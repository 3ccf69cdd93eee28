"""Calls that only POSIX has: file locks, named pipes, folders, resource limits, forks, the machine's last start.

The one module that imports `fcntl` and `resource`, and that calls the C library. Where the system has no such call,
the function says what is done instead; what Windows does is untested.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = [
    "call_in_forked_child",
    "exchange_names",
    "has_file_locks",
    "has_shared_locks",
    "kill_group",
    "kill_when_closed",
    "lock_exclusive",
    "lock_shared",
    "make_named_pipe",
    "open_folder",
    "open_for_locking",
    "read_boot_id",
    "read_user_name",
    "set_resource_limit",
    "sync_filesystem",
    "unlock",
]

fcntl: Final[Any] = importlib.import_module("fcntl") if os.name == "posix" else None
resource: Final[Any] = importlib.import_module("resource") if os.name == "posix" else None
msvcrt: Final[Any] = importlib.import_module("msvcrt") if sys.platform == "win32" else None

_RENAME_EXCHANGE: Final = 2  # of renameat2(2)
_AT_CWD: Final = -100
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def has_file_locks() -> bool:
    """Tell whether `lock_exclusive` works here: on POSIX and on Windows."""
    return fcntl is not None or msvcrt is not None


def has_shared_locks() -> bool:
    """Tell whether `lock_shared` works here: on POSIX only."""
    return fcntl is not None


def open_for_locking(path: Path, *, new: bool = False) -> int:
    """Open the file `path`, made if it is not there, and return its descriptor, which no program started later gets.

    Raises
    ------
    FileExistsError
        When it has to be `new` and is there.
    OSError
    """
    flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if new else 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o644)


def lock_exclusive(handle: int, *, wait: bool = True) -> None:
    """Lock an open file so that nobody else has its lock; released when the file is closed or its process ends.

    Raises
    ------
    BlockingIOError
        When somebody has the lock and it is not to be waited for.
    OSError
        When the filesystem, or the system, has no locks.
    """
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        _lock_on_windows(handle, wait=wait)
    else:
        raise OSError(errno.ENOLCK, "this system has no file locks")


def _lock_on_windows(handle: int, *, wait: bool) -> None:
    while True:
        try:
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if not wait:
                raise BlockingIOError(errno.EAGAIN, "the file is locked") from error
            if error.errno != errno.EDEADLK:  # it gives up by itself after ten seconds: ask again
                raise
        else:
            return


def lock_shared(handle: int, *, wait: bool = True) -> None:
    """Lock an open file together with others who share its lock; released when it is closed or its process ends.

    Raises
    ------
    BlockingIOError
        When somebody has the lock alone and it is not to be waited for.
    OSError
        When the filesystem, or the system, has no shared locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, "this system has no shared file locks")
    fcntl.flock(handle, fcntl.LOCK_SH if wait else fcntl.LOCK_SH | fcntl.LOCK_NB)


def unlock(handle: int) -> None:
    """Release the lock of a file that stays open."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)
    elif msvcrt is not None:
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)


def call_in_forked_child(function: Callable[[], None]) -> None:
    """Let every process that is forked from this one call `function` first; where nothing forks, nothing is done."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def make_named_pipe(path: Path) -> None:
    """Make a named pipe that its owner reads and everybody may write to.

    Raises
    ------
    OSError
        When the system, or the filesystem, has none.
    """
    if not hasattr(os, "mkfifo"):
        raise OSError(errno.ENOSYS, "this system has no named pipes")
    os.mkfifo(path, 0o622)


def open_folder(folder: Path) -> int | None:
    """Return the descriptor of a folder, which keeps it in use; None where the system opens none.

    Raises
    ------
    OSError
        When there is no such folder.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return None
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def exchange_names(one: Path, other: Path) -> bool:
    """Swap two files or folders in one step where the system can (Linux); return whether it did."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(swap(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def sync_filesystem(folder: Path) -> bool:
    """Flush the whole file system of `folder` to the disk where one call does (Linux); return whether it did."""
    try:
        sync = ctypes.CDLL(None, use_errno=True).syncfs
        handle = os.open(folder, os.O_RDONLY)
    except (AttributeError, OSError, TypeError):
        return False
    try:
        return bool(sync(handle) == 0)
    finally:
        os.close(handle)


def kill_when_closed(descriptor: int) -> None:
    """Let the kernel end this process when the other end of the pipe `descriptor` is closed.

    Its signal comes even while a long call holds the interpreter's lock. Where there is no such signal nothing is
    done: the caller reads the pipe in a thread too.
    """
    if fcntl is None:
        return
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


def kill_group(process_id: int) -> None:
    """Kill a process that was started in a session of its own, and what it started; on Windows the process alone.

    One that has ended is none.
    """
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            os.kill(process_id, signal.SIGTERM)
        else:
            os.killpg(process_id, signal.SIGKILL)


def set_resource_limit(name: str, value: int) -> bool:
    """Limit this process, for good, to `value` of the resource ``RLIMIT_…``; return whether it is limited now."""
    if resource is None or not hasattr(resource, name):
        return False
    try:
        resource.setrlimit(getattr(resource, name), (value, value))
    except (ValueError, OSError):  # above what is allowed already, or not to be limited here
        return False
    return True


def read_boot_id() -> str | None:
    """Return what names this start of the machine and no other, on Linux and macOS; None where nothing does."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        pass
    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(text))
    try:
        failed = ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, 0)
    except (AttributeError, OSError, TypeError):
        return None
    return None if failed else text.value.decode("ascii", "replace") or None


def read_user_name() -> str:
    """Return the name of the user this process runs as; their number where they have none, "user" on Windows."""
    if os.name != "posix":
        return "user"
    accounts: Any = importlib.import_module("pwd")  # few ask, and all import this module
    try:
        return str(accounts.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return str(os.getuid())
