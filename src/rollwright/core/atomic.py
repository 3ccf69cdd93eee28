"""Atomic replace: a reader finds a file complete or not at all (promise I17). The one module that does it.

A file is written as a draft, under a temporary name in its own folder:

1. fill the draft and flush it to the disk;
2. rename it to its final name, which replaces a file of that name in one step;
3. flush the folder, so that the new name survives a power failure.

A killed writer leaves a draft, which is known by its name and removed by the next writer that holds the folder's lock.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.core.bounded_read import open_regular
from rollwright.core.posix import sync_filesystem

__all__ = [
    "DRAFT_MARK",
    "FileDigest",
    "draft_of",
    "drafts_in",
    "make_folder",
    "measure_file",
    "name_in_errors",
    "put",
    "put_new",
    "remove_drafts",
    "sync_file",
    "sync_folder",
    "sync_tree",
    "write_atomically",
    "write_by_content",
    "write_text",
]

DRAFT_MARK: Final = ".tmp-"
"""The beginning of every draft's name, and of no other file's."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)
"""What a file system without hard links says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """What a file holds: its SHA-256 and its length in bytes."""

    sha256: str
    length: int


def write_atomically(path: Path, write: Callable[[Path], None], *, durable: bool = True) -> None:
    """Let `write` fill a draft beside `path`, then replace `path` by it.

    Without `durable` nothing is flushed: the guarantees below are for kills then, and a power failure may take or tear
    what was not flushed by `sync_tree` yet.

    Guarantees: a reader of `path`, at any moment and after any crash, finds the complete old file or the complete new
    one; when `write` raises, the old one stays and no draft is left; an error of the system names `path`.
    """
    with name_in_errors(path):
        make_folder(path.parent, durable=durable)
        with draft_of(path) as draft:
            write(draft)
            if durable:
                sync_file(draft)
            put(draft, path)
        if durable:
            sync_folder(path.parent)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write `text` as UTF-8, atomically; a lone surrogate as an escape, which in JSON means itself.

    `durable` as in `write_atomically`.
    """
    write_atomically(path, lambda draft: _write(draft, text), durable=durable)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_by_content(
    folder: Path, write: Callable[[Path], object], choose: Callable[[FileDigest], Path], *, durable: bool = True
) -> tuple[Path, FileDigest]:
    """Let `write` fill a draft in `folder`, then rename it to the path that `choose` returns for its content.

    Not guaranteed: that the name survives a power failure before `sync_folder` of the path's folder, which one call
    does for many files.
    """
    with name_in_errors(folder), draft_of(folder / "file") as draft:
        write(draft)
        if durable:
            sync_file(draft)
        digest = measure_file(draft)
        path = choose(digest)
        put(draft, path)
    return path, digest


@contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Let an error of the system in the block name `path`: of a full disk it names nothing, else perhaps a draft."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or DRAFT_MARK in str(error.filename)):
            error.filename = str(path)
            if error.filename2 is not None:
                del error.filename2  # with None in its place the text would end with "-> None"
        raise


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Yield an unused draft name beside `path`, to be filled, synced and `put`; a draft that is left is removed."""
    draft = path.with_name(f"{DRAFT_MARK}{secrets.token_hex(8)}")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def put(draft: Path, path: Path) -> None:
    """Rename the finished, synced draft; the name is durable once its folder is synced."""
    draft.replace(path)


def put_new(draft: Path, path: Path) -> bool:
    """Give the finished, synced draft the name `path` too, which no file has yet; False when one has it.

    Guarantees: of several processes exactly one succeeds, and no file is replaced. The draft's own name stays, to be
    removed. Not guaranteed: the former, on a file system without hard links.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            return False
        draft.rename(path)
    return True


def drafts_in(folder: Path) -> list[Path]:
    """Return the drafts in `folder`: of killed writers, and of running ones unless the caller holds their lock."""
    try:
        with os.scandir(folder) as found:
            return sorted(folder / entry.name for entry in found if entry.name.startswith(DRAFT_MARK))
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove_drafts(folder: Path) -> None:
    """Remove the drafts of killed writers; the caller holds the lock of all who write to `folder`."""
    for draft in drafts_in(folder):
        draft.unlink(missing_ok=True)


def measure_file(path: Path) -> FileDigest:
    """Return the SHA-256 and the length of a file."""
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        return FileDigest(sha256=hashlib.file_digest(file, "sha256").hexdigest(), length=length)


def make_folder(folder: Path, *, durable: bool = True) -> None:
    """Make a folder and its parents, each durable in its own parent unless somebody flushes them later."""
    if not folder.is_dir():
        make_folder(folder.parent, durable=durable)
        folder.mkdir(exist_ok=True)
        if durable:
            sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    with open_regular(path) as file:
        os.fsync(file.fileno())


def sync_tree(folder: Path, *, above: Path) -> None:
    """Make durable what was written beneath `folder` without being flushed, and its name in every folder up to `above`.

    One call where the system can flush a whole file system, else one for each file and folder. The one call takes what
    other programs wrote along, and is the faster way beside them too (measured in decision 118).
    """
    if sync_filesystem(folder):
        return
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            if not Path(place, name).is_symlink():
                sync_file(Path(place, name))
        sync_folder(Path(place))
    for parent in folder.parents:
        if not parent.is_relative_to(above):
            break
        sync_folder(parent)


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
