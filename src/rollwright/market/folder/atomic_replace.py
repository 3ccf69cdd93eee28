"""Replacing a data folder as a whole: readers see the old one or the new one, and a failed change leaves nothing.

A new version is built in a hidden folder beside the old one, sharing by hard link every file that did not change, made
durable, and put in its place by one exchange of names. A reader that opened the old version keeps reading old bytes,
and can tell that its folder was replaced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from rollwright.core.atomic import sync_file, sync_folder
from rollwright.core.canonical import sha256_hex
from rollwright.core.posix import exchange_names, sync_filesystem
from rollwright.errors import DataError, DataStorageError

__all__ = ["replace_folder", "write_file"]

_MANY: Final = 256  # files, above which one call for the file system costs less than one for each


@contextmanager
def replace_folder(target: Path, *, keep: Callable[[str], bool] = lambda path: True) -> Iterator[Path]:  # noqa: ARG005
    """Give a folder that becomes `target` when the block ends well, and vanishes when it does not.

    The folder begins as a copy of `target`, files shared by hard link: replace a file with `write_file`, never write
    into it.

    Parameters
    ----------
    target : Path
    keep : callable
        Whether the file at a path relative to `target` is taken over; those that are written anew need not be.

    Raises
    ------
    DataStorageError
        When the disk refuses.
    DataError
        When `target` is a file, or when somebody else replaced it meanwhile.
    """
    target = target.resolve()
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file, and market data needs a folder")
    if os.path.ismount(target) or target in (here := Path.cwd(), *here.parents):
        reason = "is a mount point" if os.path.ismount(target) else "holds the working directory"
        raise DataError(f"{target} {reason}, so it cannot be replaced as a whole", hint="name a folder inside it")
    prefix = f".{target.name}.staging-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent, prefix)
        before = _identity(target)
        staging = _new_folder(target.parent, prefix)
    except OSError as error:
        raise DataStorageError(
            f"nothing can be written beside {target}: {error.strerror}", hint="is it a folder of yours?"
        ) from error
    try:
        if before is not None:
            _link_tree(target, staging, keep)
        yield staging
        _make_durable(staging)
        _put_in_place(staging, target, before)
    except OSError as error:
        raise DataStorageError(
            f"{target} was left as it was: {error}", hint="free some room, or name a folder on a larger disk"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a file under a new inode, so that no link to an older version of it changes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags, 0o666)
    except FileExistsError:
        path.unlink()
        handle = os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, flags, 0o666)
    with os.fdopen(handle, "wb", buffering=0) as stream:
        view = memoryview(data)
        while view:
            view = view[stream.write(view) :]


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        state = os.stat(folder)
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _new_folder(parent: Path, prefix: str) -> Path:
    for attempt in range(1000):
        staging = parent / f"{prefix}{os.getpid()}-{sha256_hex(os.urandom(8))[:6]}{attempt or ''}"
        try:
            staging.mkdir(mode=0o777)
        except FileExistsError:
            continue
        return staging
    raise FileExistsError(17, "no free name for a folder", str(parent))


def _sweep(parent: Path, prefix: str) -> None:
    """Remove what killed imports left behind."""
    for left in parent.glob(f"{prefix}*"):
        owner = left.name.removeprefix(prefix).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _link_tree(source: Path, target: Path, keep: Callable[[str], bool]) -> None:
    shutil.copymode(source, target)
    _link_folder(str(source), str(target), "", keep)


def _link_folder(source: str, target: str, part: str, keep: Callable[[str], bool]) -> None:
    """Link the files of a folder and of those in it; `part` is its path from the root, with a stroke at its end.

    A data folder has tens of thousands of files: their names are looked up in their own folder, not from the root on.
    """
    folders, kept = [], []
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_dir():
                folders += [] if entry.is_symlink() else [entry.name]
            elif keep(part + entry.name):
                kept.append(entry.name)
    if kept:
        os.makedirs(target, exist_ok=True)
        with _open_folders(source, target) as handles:
            for name in kept:
                _link(source, target, name, handles)
    for name in folders:
        _link_folder(f"{source}{os.sep}{name}", f"{target}{os.sep}{name}", f"{part}{name}/", keep)


@contextmanager
def _open_folders(source: str, target: str) -> Iterator[tuple[int, int] | None]:
    """Give descriptors of two folders; None where the system does not link by them."""
    if os.link not in os.supports_dir_fd:
        yield None
        return
    handles: list[int] = []
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY
        handles += [os.open(source, flags), os.open(target, flags)]
        yield handles[0], handles[1]
    finally:
        for handle in handles:
            os.close(handle)


def _link(source: str, target: str, name: str, handles: tuple[int, int] | None) -> None:
    try:
        if handles is not None:
            os.link(name, name, src_dir_fd=handles[0], dst_dir_fd=handles[1], follow_symlinks=False)
        else:
            os.link(os.path.join(source, name), os.path.join(target, name), follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(os.path.join(source, name), os.path.join(target, name), follow_symlinks=False)


def _make_durable(folder: Path) -> None:
    """Bring files written anew, and all folders, to the disk; linked files are there already."""
    found = list(os.walk(folder))
    folders = [parent for parent, _, _ in found]
    if len(folders) > _MANY and sync_filesystem(folder):
        return
    paths = [os.path.join(parent, name) for parent, _, names in found for name in names]
    files = [path for path in paths if os.lstat(path).st_nlink == 1]
    if len(folders) + len(files) > _MANY and sync_filesystem(folder):
        return
    for path in files:
        sync_file(Path(path))
    for path in reversed(folders):  # a folder after what is in it
        sync_folder(Path(path))


def _put_in_place(staging: Path, target: Path, before: tuple[int, int] | None) -> None:
    if _identity(target) != before:
        raise _replaced_meanwhile(target)
    if before is None:
        os.rename(staging, target)  # refuses when another import has just put a filled folder there
    elif exchange_names(staging, target):
        if _identity(staging) != before:
            exchange_names(staging, target)
            raise _replaced_meanwhile(target)
    else:
        aside = staging.with_name(f"{staging.name}.old")
        os.rename(target, aside)
        try:
            os.rename(staging, target)
        except OSError:
            os.rename(aside, target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(target.parent)


def _replaced_meanwhile(target: Path) -> DataError:
    return DataError(
        f"{target} was replaced by another import while this one ran; this one changed nothing", hint="run it again"
    )
