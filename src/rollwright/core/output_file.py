"""What is written to standard output and error, by Python, by libraries and by child processes, into a file."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["MOST_BYTES", "collect_output"]

MOST_BYTES: Final = 4 << 20
"""Above so many bytes a file loses its middle."""
_HEAD: Final = 1 << 18
_TAIL: Final = 1 << 20
_CHECK: Final = 0.5
"""Seconds between two looks at the size of a file that is written."""


@contextmanager
def collect_output(path: Path, *, head: str) -> Iterator[None]:
    """Let what is written to descriptors 1 and 2 go to the end of the file `path` for the length of the block.

    Guarantees: bounded, a file above `MOST_BYTES` loses its middle and says so; where the file cannot be written the
    output goes where it went before; nothing raises.

    Parameters
    ----------
    path : Path
        Its folder is made.
    head : str
        A line that stands before it.
    """
    handle = _open(path)
    if handle is None:
        yield
        return
    kept: list[int] = []
    over = threading.Event()
    try:
        _flush()
        kept = [os.dup(1), os.dup(2)]
        with suppress(OSError):
            os.write(handle, f"{head}\n".encode())
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        threading.Thread(target=_watch, args=(path, over), name="output", daemon=True).start()
        yield
    finally:
        over.set()
        _flush()
        for target, descriptor in zip((1, 2), kept, strict=False):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.close(handle)
        _shorten(path)


def _open(path: Path) -> int | None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)
    except OSError:
        return None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _watch(path: Path, over: threading.Event) -> None:
    while not over.wait(_CHECK):
        _shorten(path)


def _shorten(path: Path) -> None:
    """Cut the middle out of a file that is too long; whoever appends to it goes on behind what is left."""
    with suppress(OSError):
        size = path.stat().st_size
        if size <= MOST_BYTES:
            return
        with path.open("r+b") as file:
            head = file.read(_HEAD)
            file.seek(size - _TAIL)
            tail = file.read(_TAIL)
            note = f"\n… {size - len(head) - len(tail):,} bytes left out …\n".encode()
            file.seek(0)
            file.truncate()
            file.write(head + note + tail)
