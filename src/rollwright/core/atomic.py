"""Files that are whole or absent (promise I17): the one place that knows how.

A file is written under a draft's name in its own folder, flushed to the disk, renamed, and its folder flushed. What a
killed writer leaves is a draft, known by its name and swept by the next writer that holds the folder's lock.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = [
    "DRAFT_MARK",
    "draft_of",
    "drafts_in",
    "make_folder",
    "put",
    "sync_file",
    "sync_folder",
    "write_atomically",
    "write_text",
]

DRAFT_MARK: Final = ".tmp-"
"""Every draft's name begins so, and nothing else may."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in `path`'s place.

    Guarantees: whoever reads `path`, at any moment and after any crash, finds the old file whole or the new one
    whole; when `write` raises, the old one stays and nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft:
        write(draft)
        sync_file(draft)
        put(draft, path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    write_atomically(path, lambda draft: _write(draft, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` that nobody has, for a file to be filled, synced and `put`; leave nothing at it."""
    draft = path.with_name(f"{DRAFT_MARK}{secrets.token_hex(8)}")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def put(draft: Path, path: Path) -> None:
    """Give the finished, synced draft its name; durable once its folder is synced."""
    draft.replace(path)


def drafts_in(folder: Path) -> list[Path]:
    """Return what writers that were killed left in `folder`; of living writers too, unless the caller excludes them."""
    return sorted(folder.glob(f"{DRAFT_MARK}*"))


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each durable in its own parent."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


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
