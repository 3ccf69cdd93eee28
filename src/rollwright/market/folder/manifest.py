"""The manifest of a data folder: what it is, how often it changed, and from which session on.

`rollwright.json` counts the imports; `rollwright.files` lists every file with the digest of its bytes and, for a
series, its place in the calendar. Both are functions of the data alone, so that the same imports give the same
generation on every machine. A folder without a manifest (made by other tools) is identified by the names, sizes, times
and inodes of its files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.calendar.trading import Session
from rollwright.core.bounded_read import MEDIUM, read_whole
from rollwright.core.canonical import JSON, canonical_json, parse_json, sha256_hex
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.market.folder.bins import FLOAT, MAX_START, content_digest
from rollwright.market.folder.layout import CALENDARS, FEATURES, FINANCIAL, INSTRUMENTS, list_series, text_files

__all__ = [
    "DEMO_NAME",
    "FILES_NAME",
    "MANIFEST_NAME",
    "PERIODS",
    "FileEntry",
    "ImportEntry",
    "Manifest",
    "external_generation",
    "file_table",
    "first_manifest",
    "format_files",
    "hash_whole_files",
    "read_files",
    "read_manifest",
    "text_stamps",
]

MANIFEST_NAME: Final = "rollwright.json"
FILES_NAME: Final = "rollwright.files"
DEMO_NAME: Final = "demo.json"
"""States what was planted in a synthetic market; an import into it removes the file."""
PERIODS: Final = "periods"
"""The kind of an import of fields by period, which leaves calendars, instruments and series as they are."""
FORMAT: Final = "rollwright market data"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportEntry:
    """One import.

    Attributes
    ----------
    counter : int
        1 for the first.
    digest : str
        64 hex digits: the chain of all file tables up to this import.
    kind : str
        ``create``, ``append``, ``revise``, ``accept``, or ``periods`` for one of fields by period alone.
    freq : str
    first_changed : str or None
        ISO session from which values may differ from the state before; None when no value did.
    rows, instruments, sessions, cells : int
        Rows read, instruments and sessions added, existing cells whose value changed.
    fields : tuple of str
        Fields the import brought.
    """

    counter: int
    digest: str
    kind: str
    freq: str
    first_changed: str | None
    rows: int
    instruments: int
    sessions: int
    cells: int
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file: the digest of its bytes and, for a series, its first row's calendar position and number of rows."""

    digest: str
    start: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The state of a data folder that rollwright wrote.

    Attributes
    ----------
    dataset : str
        16 hex digits that stay the same over all imports.
    imports : tuple of ImportEntry
        In order, never empty.
    """

    dataset: str
    imports: tuple[ImportEntry, ...]

    @property
    def counter(self) -> int:
        """The number of imports so far."""
        return self.imports[-1].counter

    @property
    def generation(self) -> str:
        """The identity of the present state."""
        return self._generation(self.imports[-1])

    @property
    def series_generation(self) -> str:
        """The identity of calendars, instruments and series: that after the last import of any of them."""
        last = next((entry for entry in reversed(self.imports) if entry.kind != PERIODS), None)
        return self._unchanged if last is None else self._generation(last)

    @property
    def _unchanged(self) -> str:
        """The identity of the series that another tool wrote and no import has changed."""
        return f"{self.dataset}-0"

    def _generation(self, entry: ImportEntry) -> str:
        return f"{self.dataset}-{entry.counter}-{entry.digest[:12]}"

    def first_changed_since(self, generation: str, *, freq: str) -> Session | None:
        """Return the first session whose values may differ from those under an older `generation`.

        Returns
        -------
        Session or None
            None when no value of this frequency changed.

        Raises
        ------
        LookupError
            When `generation` is no earlier state of this folder; then everything may differ.
        """
        known = [self._unchanged, *map(self._generation, self.imports)]
        if generation not in known:
            raise LookupError(generation)
        later = [item.first_changed for item in self.imports[known.index(generation) :] if item.freq == freq]
        return min((pd.Timestamp(text) for text in later if text is not None), default=None)

    def after(
        self,
        files: Mapping[str, FileEntry],
        *,
        kind: str,
        freq: str,
        first_changed: str | None,
        rows: int = 0,
        instruments: int = 0,
        sessions: int = 0,
        cells: int = 0,
        fields: tuple[str, ...] = (),
    ) -> Manifest:
        """Return the manifest after one more import that left the folder with `files`."""
        last = self.imports[-1] if self.imports else None
        digest = sha256_hex((last.digest if last else self.dataset).encode() + format_files(files))
        entry = ImportEntry(
            counter=last.counter + 1 if last else 1,
            digest=digest,
            kind=kind,
            freq=freq,
            first_changed=first_changed,
            rows=rows,
            instruments=instruments,
            sessions=sessions,
            cells=cells,
            fields=fields,
        )
        return Manifest(dataset=self.dataset or digest[:16], imports=(*self.imports, entry))

    def to_bytes(self, files: Mapping[str, FileEntry]) -> bytes:
        """Return the bytes of `rollwright.json` for a folder with `files`."""
        body: dict[str, JSON] = {
            "format": FORMAT,
            "version": VERSION,
            "dataset": self.dataset,
            "generation": self.generation,
            "files": sha256_hex(format_files(files)),
            "imports": [{**asdict(entry), "fields": list(entry.fields)} for entry in self.imports],
        }
        body["seal"] = sha256_hex(canonical_json(body).encode())
        return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def first_manifest(seed: str = "") -> Manifest:
    """Return a manifest without imports; `seed` names the dataset that a folder of other tools becomes."""
    return Manifest(dataset=sha256_hex(seed.encode())[:16] if seed else "", imports=())


def read_manifest(root: Path) -> tuple[Manifest, str] | None:
    """Return the manifest of a folder and the digest of its file table; None for a folder of other tools.

    Raises
    ------
    CorruptFileError
        When the file is not a manifest, or its seal is broken.
    """
    path = root / MANIFEST_NAME
    try:
        data = read_whole(path, limit=MEDIUM)
    except FileNotFoundError as error:
        if (root / FILES_NAME).exists():
            raise CorruptFileError(path, f"it is missing, and {FILES_NAME} is there") from error
        return None
    except OSError as error:
        raise CorruptFileError(path, f"it cannot be read: {error.strerror}") from error
    try:
        body = parse_json(data.decode("utf-8"))
    except (ValueError, RecursionError, RollwrightError) as error:
        raise CorruptFileError(path, f"it is not JSON: {error}") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise CorruptFileError(path, "it is no manifest of market data")
    if body.get("version") != VERSION:
        raise CorruptFileError(path, f"it has version {body.get('version')!r}, and this program knows {VERSION}")
    seal = body.pop("seal", None)
    if seal != sha256_hex(canonical_json(body).encode()):
        raise CorruptFileError(path, "its seal is broken: it was changed by hand or damaged")
    entries: Any = body["imports"]  # the seal says that `to_bytes` wrote it
    imports = tuple(ImportEntry(**{**entry, "fields": tuple(entry["fields"])}) for entry in entries)
    return Manifest(dataset=str(body["dataset"]), imports=imports), str(body["files"])


def format_files(files: Mapping[str, FileEntry]) -> bytes:
    """Return the bytes of the file table, sorted by path."""
    lines = []
    for path in sorted(files):
        entry = files[path]
        place = "-\t-" if entry.start is None else f"{entry.start}\t{entry.length}"
        lines.append(f"{entry.digest}\t{place}\t{path}\n")
    return "".join(lines).encode()


def read_files(root: Path, digest: str) -> dict[str, FileEntry]:
    """Return the file table of a folder, whose bytes must have the SHA-256 `digest`.

    Raises
    ------
    CorruptFileError
        When it is missing or other than the manifest says.
    """
    path = root / FILES_NAME
    try:
        data = read_whole(path, limit=MEDIUM)
    except FileNotFoundError as error:
        raise CorruptFileError(path, "it is missing, and the manifest needs it") from error
    except OSError as error:
        raise CorruptFileError(path, f"it cannot be read: {error.strerror}") from error
    if sha256_hex(data) != digest:
        raise CorruptFileError(path, "its bytes are not the ones the manifest was written for")
    files: dict[str, FileEntry] = {}
    for line in data.decode().splitlines():
        content, start, length, name = line.split("\t")
        placed = start != "-"
        files[name] = FileEntry(
            digest=content, start=int(start) if placed else None, length=int(length) if placed else None
        )
    return files


def hash_whole_files(root: Path, *, known: Mapping[str, FileEntry] | None = None) -> dict[str, FileEntry]:
    """Return the digests of the files of a folder that are no daily series: calendars, instruments, fields by period.

    Parameters
    ----------
    root : Path
    known : mapping, optional
        Files that are left out, and not read.
    """
    names = [f"{part}/{path.name}" for part in (CALENDARS, INSTRUMENTS) for path in text_files(root, part)]
    names += _list_below(root, FINANCIAL)
    return {
        name: FileEntry(digest=content_digest(read_whole(f"{root}/{name}", limit=MEDIUM)))
        for name in sorted(names)
        if name not in (known or {})
    }


def _list_below(root: Path, part: str) -> Iterator[str]:
    """Yield the files below a part of a folder that are not hidden, as paths from the folder; a part may be absent."""
    try:
        with os.scandir(f"{root}/{part}") as listed:
            entries = [*listed]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _list_below(root, f"{part}/{entry.name}")
        elif entry.is_file() and not entry.name.startswith("."):
            yield f"{part}/{entry.name}"


def file_table(root: Path) -> dict[str, FileEntry]:
    """Return the table of a folder's files by reading each of them; series are placed by their heads as they stand."""
    found = hash_whole_files(root)
    for name in list_series(root):
        data = read_whole(f"{root}/{name}", limit=MEDIUM)
        if len(data) < FLOAT.itemsize or len(data) % FLOAT.itemsize:
            raise CorruptFileError(root / name, f"{len(data)} bytes are no whole number of float32 values with a head")
        start = float(np.frombuffer(data[: FLOAT.itemsize], FLOAT)[0])
        if not 0 <= start <= MAX_START or start != int(start):
            raise CorruptFileError(root / name, f"the start index is {start}")
        found[name] = FileEntry(digest=content_digest(data), start=int(start), length=len(data) // FLOAT.itemsize - 1)
    return found


def text_stamps(root: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return name, size, time and inode of the calendar and instruments files of a folder."""
    stamps = []
    for part in (CALENDARS, INSTRUMENTS):
        for path in text_files(root, part):
            with suppress(FileNotFoundError):
                state = path.stat()
                stamps.append((f"{part}/{path.name}", state.st_size, state.st_mtime_ns, state.st_ino))
    return tuple(sorted(stamps))


def external_generation(root: Path) -> str:
    """Return the identity of a folder without a manifest: a hash over the state of its files, not over their bytes.

    Fields by period have identities of their own.
    """
    digest = hashlib.sha256()
    for part in (CALENDARS, INSTRUMENTS, FEATURES):
        for line in sorted(_states(root / part, part)):
            digest.update(line.encode())
    return f"files-{digest.hexdigest()[:24]}"


def _states(folder: Path, name: str) -> list[str]:
    if not folder.is_dir():
        return []
    lines: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                lines.extend(_states(Path(entry.path), f"{name}/{entry.name}"))
            elif entry.is_file():
                state = entry.stat()
                lines.append(f"{name}/{entry.name}\t{state.st_size}\t{state.st_mtime_ns}\t{state.st_ino}\n")
    return lines
