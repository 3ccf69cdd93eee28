"""What the operating system knows: locks that die with their holder, and which filesystems are far away.

The one module of the pool with calls that only POSIX has; elsewhere each has a fallback (untested on Windows): no lock
but SQLite's own, and leases alone to find out who died.
"""

from __future__ import annotations

import errno
import importlib
import os
import secrets
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = [
    "Doorbell",
    "Gate",
    "dead_processes",
    "forget_process",
    "network_filesystem",
    "ring_doorbells",
    "this_process",
]

fcntl: Final[Any] = importlib.import_module("fcntl") if os.name == "posix" else None

_FAR: Final = ("nfs", "cifs", "smb", "afpfs", "webdav", "davfs", "9p", "glusterfs", "ceph", "lustre", "fuse.")
_NEAR_FUSE: Final = ("fuse.fuse-overlayfs",)


class Gate:
    """Lets one writer through at a time, in the order they came, whatever process or thread they are of.

    A file beside the database is locked for the length of a write transaction. SQLite's own waiting would do for
    correctness; it is unfair, and under load some writers wait for seconds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the gate inside the block."""
        if fcntl is None:
            yield
            return
        if self._handle is None:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; it stays, since removing it would let two writers lock two files of one name."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class _Presence:
    """The locks by which this process shows that it lives, one for each pool file it claims from."""

    mutex: Final = threading.Lock()
    held: Final[dict[Path, tuple[str, int]]] = {}
    watched: bool = False


def _forget_in_child() -> None:
    # A forked child must neither speak for its parent nor keep the parent's locks alive after its death.
    for _, handle in _Presence.held.values():
        os.close(handle)
    _Presence.held.clear()


def this_process(folder: Path) -> str | None:
    """Return the name under which this process is known to be alive in `folder`, locking a file of that name there.

    The lock is held until the process ends, however it ends. None where locks are not to be had.
    """
    if fcntl is None:
        return None
    with _Presence.mutex:
        known = _Presence.held.get(folder)
        if known is not None:
            return known[0]
        try:
            folder.mkdir(exist_ok=True)
            name = f"{os.getpid()}-{secrets.token_hex(8)}"
            handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError:  # leases alone must do
            return None
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not _Presence.watched:
            os.register_at_fork(after_in_child=_forget_in_child)
            _Presence.watched = True
        _Presence.held[folder] = (name, handle)
        return name


def dead_processes(folder: Path, names: list[str]) -> list[str]:
    """Return those of `names` whose process has certainly ended; a file that is not there proves nothing."""
    return [name for name in names if not name.startswith(".") and os.sep not in name and _is_dead(folder / name)]


def _is_dead(path: Path) -> bool:
    if fcntl is None:
        return False
    known = _Presence.held.get(path.parent)
    if known is not None and known[0] == path.name:
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two who look do not mislead each other
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def forget_process(folder: Path, name: str) -> None:
    """Remove the file of a process that ended and holds no task any more."""
    (folder / name).unlink(missing_ok=True)


class Doorbell:
    """A named pipe in a folder: whoever writes to it wakes the one who listens. Made by `hung`.

    A pipe's name in the file system may be of any length, which a socket's may not.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle
        self._closing = os.pipe()
        self._mutex = threading.Lock()
        self._waiting = False
        self._closed = False

    @classmethod
    def hung(cls, folder: Path, name: str) -> Doorbell | None:
        """Return a new one that `ring_doorbells(folder, name)` rings, or None where there are no named pipes."""
        if fcntl is None:
            return None
        unique = f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
        hidden = folder / f".{unique}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.mkfifo(hidden, 0o622)
            handle = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        hidden.rename(folder / unique)  # whoever finds a bell that nobody holds open takes it down: open it first
        return cls(folder / unique, handle)

    def wait(self, timeout: float) -> bool:
        """Wait until it rings, for at most `timeout` seconds; return whether it rang."""
        with self._mutex:
            if self._closed:
                return False
            self._waiting = True
        try:
            looking = select.poll()
            for handle in (self._handle, self._closing[0]):
                looking.register(handle, select.POLLIN)
            rung = {handle for handle, _ in looking.poll(max(0.0, timeout) * 1000)}
            if self._handle in rung:
                os.read(self._handle, 4096)
            return self._handle in rung and self._closing[0] not in rung
        finally:
            self._come_back()

    def _come_back(self) -> None:
        with self._mutex:
            self._waiting = False
            if self._closed:
                self._release()

    def close(self) -> None:
        """Take it down; a thread in `wait` comes back."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            self._path.unlink(missing_ok=True)
            if self._waiting:
                os.write(self._closing[1], b"!")
            else:
                self._release()

    def _release(self) -> None:
        for handle in (self._handle, *self._closing):
            os.close(handle)


def ring_doorbells(folder: Path, name: str) -> None:
    """Ring all doorbells of `name` in `folder`; those whose listener is dead are taken down."""
    try:
        found = os.listdir(folder)
    except OSError:  # nobody ever listened here
        return
    for bell in found:
        if bell.startswith(f"{name}-"):
            _ring(folder / bell)


def _ring(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody holds it open
            path.unlink(missing_ok=True)
        return
    try:
        os.write(handle, b"!")
    except BlockingIOError:  # full of rings that were not heard yet
        pass
    finally:
        os.close(handle)


def network_filesystem(path: Path) -> str | None:
    """Return the kind of the network filesystem that `path` lies on, or None when it is a local one or unknown."""
    import psutil  # noqa: PLC0415 - only opening a pool needs it

    try:
        mounts = psutil.disk_partitions(all=True)
        place = path.resolve()
    except (OSError, NotImplementedError):
        return None
    best = max(
        (mount for mount in mounts if place.is_relative_to(mount.mountpoint)),
        key=lambda mount: len(mount.mountpoint),
        default=None,
    )
    if best is None or best.fstype in _NEAR_FUSE:
        return None
    return best.fstype if best.fstype.startswith(_FAR) else None
