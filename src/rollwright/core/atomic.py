"""Files that are whole or absent (promise I17)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["sync_folder", "write_atomically", "write_text"]


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in `path`'s place.

    Guarantees: whoever reads `path`, at any moment and after any crash, finds the old file whole or the new one
    whole; when `write` raises, the old one stays and nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    write_atomically(path, lambda partial: _write(partial, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable where the platform can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a platform on which folders cannot be opened has nothing to sync
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some filesystems refuse to sync a folder; the file itself is synced
        pass
    finally:
        os.close(descriptor)
