"""The fields by period of a data folder: which there are, what is known of them, and since when."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from rollwright.calendar.periods import Interval
from rollwright.core.bounded_read import MEDIUM, READ_FLAGS
from rollwright.core.canonical import sha256_hex
from rollwright.errors import CorruptFileError, UnknownFieldError, nearest
from rollwright.market.folder.bins import content_digest
from rollwright.market.folder.layout import check_period_field
from rollwright.market.folder.manifest import FileEntry
from rollwright.market.folder.periods.kinds import KINDS_PATH, read_kinds
from rollwright.market.folder.periods.period_files import (
    PeriodFile,
    PeriodFiles,
    list_period_files,
    tabled_period_files,
)
from rollwright.market.folder.periods.records import PeriodRecords, check_index, decode_records, has_index
from rollwright.market.source import UNKNOWN_KIND, FieldKind, Vintages

__all__ = ["PeriodFolder"]

_HINT: Final = "`rollwright pit verify` lists all that is damaged"


class PeriodFolder:
    """The fields by period of a data folder, by the names of the instruments' folders.

    Guarantees: what is returned is what the files hold, or an error. Of a folder that rollwright wrote, the bytes of
    every file are held against the digest of its manifest; of one of other tools, dates, periods, links and the index
    must fit one another, which finds everything but a changed value.

    Parameters
    ----------
    root : Path
    table : mapping, optional
        The file table of the folder's manifest; None for a folder of other tools.
    """

    def __init__(self, root: Path, table: Mapping[str, FileEntry] | None) -> None:
        self._root = root
        self._table = table
        self._files_cache: PeriodFiles | None = None
        self._kinds_cache: dict[str, FieldKind] | None = None

    @property
    def files(self) -> PeriodFiles:
        """Every file, by field and folder."""
        if self._files_cache is None:
            listed = list_period_files(self._root) if self._table is None else None
            self._files_cache = listed if listed is not None else tabled_period_files(self._root, self._table or {})
        return self._files_cache

    @property
    def kinds(self) -> dict[str, FieldKind]:
        """What was declared of fields."""
        if self._kinds_cache is None:
            entry = (self._table or {}).get(KINDS_PATH)
            unlisted = self._table is not None and entry is None
            self._kinds_cache = {} if unlisted else read_kinds(self._root, entry.digest if entry is not None else None)
        return self._kinds_cache

    def check_known(self, field: str) -> tuple[str, Interval]:
        """Return the name and the interval of a field by period that some instrument has.

        Raises
        ------
        UnknownFieldError
        """
        name, interval = check_period_field(field)
        if name not in self.files:
            close = nearest(name, self.files)
            known = ", ".join(f"$${other}" for other in self.files)
            raise UnknownFieldError(
                f"no instrument in {self._root} has the field `$${name}`",
                hint=f"did you mean `$${close}`?" if close else f"known: {known or 'none'}",
            )
        return name, interval

    def kind(self, field: str) -> FieldKind:
        """Return what a field measures.

        Raises
        ------
        UnknownFieldError
        """
        return self.kinds.get(self.check_known(field)[0], UNKNOWN_KIND)

    def generation(self, fields: Sequence[str]) -> str:
        """Return the identity of all that is known of `fields`.

        It is a function of values, dates and kinds alone where a manifest has the digests of the files; else of their
        names, sizes, times and inodes.
        """
        lines: list[str] = []
        for name in sorted({check_period_field(field)[0] for field in fields}):
            kind = self.kinds.get(name, UNKNOWN_KIND)
            lines.append(f"{name}\t{kind.measure}\t{kind.accrual}")
            lines += [f"{folder}\t{file.digest or _state(file)}" for folder, file in self.files.get(name, {}).items()]
        digest = sha256_hex("\n".join(lines).encode())
        return f"periods-{digest[:24]}"

    def read(self, field: str, folders: Sequence[str], *, with_index: bool = False) -> PeriodRecords:
        """Return every record of a field that some instrument has; a folder without it has none.

        Parameters
        ----------
        field : str
        folders : sequence of str
        with_index : bool
            Whether the index is held against the records, too, where their digest has said that they are as written.

        Raises
        ------
        UnknownFieldError
        CorruptFileError
        """
        name, interval = self.check_known(field)
        own = self.files[name]
        files = [own.get(folder) for folder in folders]
        parts = [b"" if file is None else _read_checked(file) for file in files]
        records = decode_records(parts, [f"{file.stem}.data" if file is not None else "" for file in files], interval)
        for number, file in enumerate(files if has_index(interval) else ()):
            if file is not None and (with_index or file.digest is None):
                rows = slice(int(records.offsets[number]), int(records.offsets[number + 1]))
                check_index(_read(file.index), records.period[rows], file.index, interval)
        return records

    def vintages(self, field: str, folders: Sequence[str]) -> Vintages:
        """Return what became known of a field, as `rollwright.market.source.Vintages`; of one day the last.

        Raises
        ------
        UnknownFieldError
        CorruptFileError
        """
        records = self.read(field, folders)
        sizes = np.diff(records.offsets)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        order = np.lexsort((records.period, records.day, owner))
        keys = owner[order], records.day[order].astype(np.int64), records.period[order]
        superseded = np.zeros(len(order), np.bool_)
        if len(order):
            superseded[:-1] = np.logical_and.reduce([np.diff(key) == 0 for key in keys])
        kept = order[~superseded]
        return Vintages(
            offsets=np.searchsorted(owner[kept], np.arange(len(sizes) + 1)).astype(np.int64),
            period=records.period[kept].astype(np.int32),
            known_at=records.day[kept].astype("datetime64[s]"),
            value=records.value[kept],
        )


def _read_checked(file: PeriodFile) -> bytes:
    data = _read(file.data)
    if file.digest is not None and content_digest(data) != file.digest:
        raise CorruptFileError(
            file.data,
            "its bytes are not the ones that were imported",
            hint="import the data again; if you changed the file on purpose: `rollwright data check DIR --accept`",
        )
    if not data:
        raise CorruptFileError(file.data, "it is empty", hint=_HINT)
    return data


def _read(path: str) -> bytes:
    """Return the bytes of a small file; three thousand of them are read for one field."""
    try:
        handle = os.open(path, READ_FLAGS)
    except FileNotFoundError as error:
        raise CorruptFileError(path, "it is missing", hint=_HINT) from error
    except OSError as error:
        raise CorruptFileError(path, f"it cannot be read: {error.strerror}") from error
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > MEDIUM:
            raise CorruptFileError(path, f"it is no file of at most {MEDIUM:,} bytes")
        data = os.read(handle, state.st_size + 1)
        while len(data) < state.st_size and (more := os.read(handle, state.st_size - len(data))):
            data += more
    except OSError as error:
        raise CorruptFileError(path, f"it cannot be read: {error.strerror}") from error
    finally:
        os.close(handle)
    return data


def _state(file: PeriodFile) -> str:
    words = []
    for path in (f"{file.stem}.data", f"{file.stem}.index"):
        try:
            state = os.stat(path)
        except OSError:  # who reads it is told
            words.append(f"{path} -")
            continue
        words.append(f"{state.st_size} {state.st_mtime_ns} {state.st_ino}")
    return " ".join(words)
