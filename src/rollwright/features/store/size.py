"""The disk space of the feature store, and removing files from it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from rollwright.core.locks import probe_lock, try_file_lock
from rollwright.errors import CorruptFileError
from rollwright.features.store.file import LOCK_NAME, Header

__all__ = ["StoreEntry", "entries", "prune", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEntry:
    """One data file of the store.

    Attributes
    ----------
    path : Path
    headers : tuple of Path
        The headers that refer to it: several when it grew, or when a universe contains every instrument; none when a
        crash left the file behind.
    freq : str
    generations : frozenset of str
        Those of which it holds all rows that it has; empty without headers.
    periods : tuple of str
        The fields by period that it reads, without ``$$``.
    columns, rows : int
        Of the largest matrix in it.
    size : int
        Bytes.
    used : float
        When it was last opened, in seconds since 1970.
    """

    path: Path
    headers: tuple[Path, ...]
    freq: str
    generations: frozenset[str]
    periods: tuple[str, ...]
    columns: int
    rows: int
    size: int
    used: float


def entries(root: Path) -> list[StoreEntry]:
    """Return the data files of the store in `root`, the least recently used first."""
    referring: dict[Path, list[tuple[Path, Header]]] = {}
    for path in root.glob("*/*/*/*.json"):
        try:
            header = Header.read(path)
        except (CorruptFileError, FileNotFoundError):
            continue
        referring.setdefault(Path(os.path.normpath(path.parent / header.data)), []).append((path, header))
    found = []
    for data in [*root.glob("*/*/*/*.f32"), *root.glob("*/*/*/*.tmp")]:
        try:
            state = data.stat()
        except FileNotFoundError:
            continue
        headers = sorted(referring.get(data, ()), key=lambda pair: pair[1].layout.rows)
        last = headers[-1][1] if headers else None
        found.append(
            StoreEntry(
                path=data,
                headers=tuple(path for path, _ in headers),
                freq=data.relative_to(root).parts[0],
                generations=frozenset(one.generation for _, one in headers if last and one.shape == last.shape),
                periods=last.periods if last else (),
                columns=len(last.expressions) if last else 0,
                rows=last.layout.rows if last else 0,
                size=state.st_size,
                used=max((_read_mtime(path) for path, _ in headers), default=0.0),
            )
        )
    return sorted(found, key=lambda entry: (entry.used, str(entry.path)))


def prune(root: Path, *, max_bytes: int, keep: Collection[Path] = ()) -> list[StoreEntry]:
    """Remove the least recently used files until the store takes at most `max_bytes`, and return what was removed.

    Guarantees: those of `remove`. Not guaranteed: the limit, when the files in use exceed it.

    Parameters
    ----------
    root : Path
    max_bytes : int
        0 removes everything but `keep`.
    keep : collection of Path
        Data files that stay.
    """
    present = entries(root)
    total = sum(entry.size for entry in present)
    removed: list[StoreEntry] = []
    for entry in present:
        if total <= max_bytes:
            break
        if entry.path not in keep and remove([entry]):
            total -= entry.size
            removed.append(entry)
    return removed


def remove(chosen: Iterable[StoreEntry]) -> list[StoreEntry]:
    """Remove data files with the headers that refer to them, and return those that were removed.

    Guarantees: a file that any process has open stays, with its headers, and so does one in whose folder a process is
    building; this process counts, too, and no lock is waited for. The headers are removed first, so no reader sees a
    file that is half removed. A matrix that is needed again is built again.
    """
    removed = []
    for entry in chosen:
        with try_file_lock(entry.path.parent / LOCK_NAME) as free:
            if not free or probe_lock(entry.path):
                continue
            for header in entry.headers:
                header.unlink(missing_ok=True)
            entry.path.unlink(missing_ok=True)
        removed.append(entry)
    return removed


def _read_mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
