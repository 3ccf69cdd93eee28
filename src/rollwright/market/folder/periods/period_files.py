"""Which files of fields by period a data folder has: by its manifest's table, or found by looking."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from rollwright.calendar.periods import interval_of
from rollwright.errors import CorruptFileError
from rollwright.market.folder.layout import FINANCIAL, is_field
from rollwright.market.folder.manifest import FileEntry

__all__ = ["DATA", "INDEX", "PeriodFile", "PeriodFiles", "list_period_files", "period_path", "tabled_period_files"]

DATA: Final = ".data"
INDEX: Final = ".index"


@dataclass(frozen=True, slots=True)
class PeriodFile:
    """The files of one field of one instrument.

    Attributes
    ----------
    stem : str
        Path of both without their endings.
    digest : str or None
        What the bytes of the records must have, where it is known.
    twin : str or None
        Another path that differs only in case, so that which is meant depends on the file system.
    """

    stem: str
    digest: str | None = None
    twin: str | None = None

    @property
    def data(self) -> str:
        """Path of the records."""
        if self.twin is not None:
            raise CorruptFileError(self.stem + DATA, f"`{self.twin}` differs from it only in case")
        return self.stem + DATA

    @property
    def index(self) -> str:
        """Path of their index."""
        return self.stem + INDEX


PeriodFiles: TypeAlias = Mapping[str, Mapping[str, PeriodFile]]
"""By field (without ``$$``), then by the lower-case name of the instrument's folder, both sorted."""


def period_path(folder: str, field: str, ending: str) -> str:
    """Return the path, from the data folder, of a field by period of one instrument."""
    return f"{FINANCIAL}/{folder}/{field}{ending}"


def tabled_period_files(root: Path, table: Mapping[str, FileEntry]) -> PeriodFiles:
    """Return the files that a manifest's table lists; what else lies in the folder is not seen."""
    found: dict[str, dict[str, PeriodFile]] = {}
    for path, entry in table.items():
        if not path.startswith(f"{FINANCIAL}/") or not path.endswith(DATA):
            continue
        parts = path.split("/")
        name = parts[-1].removesuffix(DATA).lower()
        if len(parts) == 3 and _is_period_field(name):
            stem = f"{root}{os.sep}{path.removesuffix(DATA)}"
            _add(found, name, parts[1].lower(), PeriodFile(stem, entry.digest))
    return _sorted(found)


def list_period_files(root: Path) -> PeriodFiles:
    """Return the files that lie in a folder of other tools.

    Raises
    ------
    CorruptFileError
        When a folder cannot be read.
    """
    found: dict[str, dict[str, PeriodFile]] = {}
    place = root / FINANCIAL
    try:
        folders = sorted(entry.name for entry in os.scandir(place) if entry.is_dir()) if place.is_dir() else []
        for folder in folders:
            for name in sorted(os.listdir(place / folder)):
                field = name.removesuffix(DATA).lower()
                if name.endswith(DATA) and _is_period_field(field):
                    stem = f"{place}{os.sep}{folder}{os.sep}{name.removesuffix(DATA)}"
                    _add(found, field, folder.lower(), PeriodFile(stem))
    except OSError as error:
        raise CorruptFileError(error.filename or place, f"it cannot be read: {error.strerror}") from error
    return _sorted(found)


def _is_period_field(name: str) -> bool:
    return is_field(name) and interval_of(name) is not None


def _add(found: dict[str, dict[str, PeriodFile]], field: str, folder: str, file: PeriodFile) -> None:
    own = found.setdefault(field, {})
    twin = own.get(folder)
    own[folder] = file if twin is None else PeriodFile(file.stem, file.digest, twin.stem + DATA)


def _sorted(found: dict[str, dict[str, PeriodFile]]) -> PeriodFiles:
    return {field: dict(sorted(own.items())) for field, own in sorted(found.items())}
