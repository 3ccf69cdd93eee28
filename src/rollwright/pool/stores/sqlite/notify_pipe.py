"""Named pipes beside a pool file: how a process wakes those of other processes who wait for the pool."""

from __future__ import annotations

import errno
import os
import secrets
import select
import threading
from pathlib import Path

from rollwright.core.posix import make_named_pipe

__all__ = ["NotifyPipe", "notify_listeners"]


class NotifyPipe:
    """A named pipe in a folder: whoever writes to it wakes the one who listens. Made by `create`.

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
    def create(cls, folder: Path, name: str) -> NotifyPipe | None:
        """Return a new one that `notify_listeners(folder, name)` writes to, or None where there are no named pipes."""
        unique = f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
        hidden = folder / f".{unique}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            make_named_pipe(hidden)
            handle = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        hidden.rename(folder / unique)  # whoever finds a pipe that nobody has open removes it: open it first
        return cls(folder / unique, handle)

    def wait(self, timeout: float) -> bool:
        """Wait until somebody writes, for at most `timeout` seconds; return whether one did."""
        with self._mutex:
            if self._closed:
                return False
            self._waiting = True
        try:
            poll = select.poll()
            for handle in (self._handle, self._closing[0]):
                poll.register(handle, select.POLLIN)
            readable = {handle for handle, _ in poll.poll(max(0.0, timeout) * 1000)}
            if self._handle in readable:
                os.read(self._handle, 4096)
            return self._handle in readable and self._closing[0] not in readable
        finally:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        with self._mutex:
            self._waiting = False
            if self._closed:
                self._release()

    def close(self) -> None:
        """Remove it; a thread in `wait` returns."""
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


def notify_listeners(folder: Path, name: str) -> None:
    """Write to all pipes of `name` in `folder`; those whose listener is dead are removed."""
    try:
        found = os.listdir(folder)
    except OSError:  # nobody ever listened here
        return
    for pipe in found:
        if pipe.startswith(f"{name}-"):
            _write(folder / pipe)


def _write(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody has it open
            path.unlink(missing_ok=True)
        return
    try:
        os.write(handle, b"!")
    except BlockingIOError:  # full of what its listener has not read yet
        pass
    finally:
        os.close(handle)
