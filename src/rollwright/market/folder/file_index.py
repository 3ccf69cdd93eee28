"""What files a data folder has: from its manifest's table, or from the folders themselves when other tools made it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rollwright.errors import CorruptFileError
from rollwright.market.folder.bins import read_span
from rollwright.market.folder.layout import FEATURES, bin_path, folder_map, is_field
from rollwright.market.folder.manifest import FileEntry

__all__ = ["FileIndex", "FolderIndex", "TableIndex"]


class FileIndex(Protocol):
    """Which series there are at one frequency."""

    def folders(self) -> Sequence[str]:
        """Return the lower-case names of the instruments' folders that hold a series."""
        ...

    def fields(self) -> frozenset[str]:
        """Return every field that some instrument has."""
        ...

    def has(self, folder: str, field: str) -> bool:
        """Say whether the instrument has the field."""
        ...

    def path(self, folder: str, field: str) -> str:
        """Return where the series lies."""
        ...

    def digest(self, folder: str, field: str) -> str | None:
        """Return the digest its bytes must have, when one is known."""
        ...

    def spans(self, folder: str) -> Mapping[str, tuple[int, int]]:
        """Return for each field that has a row its first position and one past its last."""
        ...

    def bounds(self, folder: str) -> tuple[int, int]:
        """Return the first position of any of its fields, and one past the last."""
        ...


class TableIndex:
    """The files a manifest lists; what else lies in the folder is not seen."""

    def __init__(self, root: Path, files: dict[str, FileEntry], token: str) -> None:
        self._prefix = f"{root}{os.sep}"
        self._token = token
        self._series: dict[str, dict[str, FileEntry]] = {}
        self._spans: dict[str, dict[str, tuple[int, int]]] = {}
        end = f".{token}.bin"
        for path, entry in files.items():
            if path.startswith(f"{FEATURES}/") and path.endswith(end):
                _, folder, name = path.split("/")
                self._series.setdefault(folder, {})[name.removesuffix(end)] = entry
        self._fields = frozenset(field for fields in self._series.values() for field in fields)

    def folders(self) -> Sequence[str]:
        """Return the lower-case names of the instruments' folders that hold a series."""
        return list(self._series)

    def fields(self) -> frozenset[str]:
        """Return every field that some instrument has."""
        return self._fields

    def has(self, folder: str, field: str) -> bool:
        """Say whether the instrument has the field."""
        return field in self._series[folder]

    def path(self, folder: str, field: str) -> str:
        """Return where the series lies."""
        return self._prefix + bin_path(folder, field, self._token)

    def digest(self, folder: str, field: str) -> str | None:
        """Return the digest its bytes must have."""
        return self._series[folder][field].digest

    def spans(self, folder: str) -> Mapping[str, tuple[int, int]]:
        """Return for each field that has a row its first position and one past its last; no file is opened."""
        if folder not in self._spans:
            self._spans[folder] = {
                field: (entry.start, entry.start + entry.length)
                for field, entry in self._series[folder].items()
                if entry.start is not None and entry.length
            }
        return self._spans[folder]

    def bounds(self, folder: str) -> tuple[int, int]:
        """Return the first position of any of its fields, and one past the last; no file is opened."""
        return _hull(self.spans(folder).values())


class FolderIndex:
    """The files found by looking; each folder is listed once, when it is first asked about."""

    def __init__(self, root: Path, token: str, *, sessions: int) -> None:
        self._root = root
        self._token = token
        self._sessions = sessions
        self._names = folder_map(root)
        self._listed: dict[str, dict[str, str]] = {}
        self._spans: dict[str, dict[str, tuple[int, int]]] = {}
        self._fields: frozenset[str] | None = None

    def _list(self, folder: str) -> dict[str, str]:
        if folder not in self._listed:
            end = f".{self._token}.bin".lower()
            found: dict[str, str] = {}
            place = self._place(folder)
            try:
                names = sorted(os.listdir(place))
            except OSError as error:
                raise CorruptFileError(place, f"it cannot be read: {error.strerror}") from error
            for name in names:
                if name.lower().endswith(end) and is_field(name.lower().removesuffix(end)):
                    twin = found.setdefault(name.lower().removesuffix(end), name)
                    if twin != name:
                        raise CorruptFileError(place, f"the files `{twin}` and `{name}` differ only in case")
            self._listed[folder] = found
        return self._listed[folder]

    def folders(self) -> Sequence[str]:
        """Return the lower-case names of the instruments' folders that hold a series, or cannot be told to."""
        return [folder for folder in self._names if self._holds(folder)]

    def _holds(self, folder: str) -> bool:
        try:
            return bool(self._list(folder))
        except CorruptFileError:  # who asks for this instrument is told, nobody else
            return True

    def _place(self, folder: str) -> Path:
        names = self._names[folder]
        if len(names) > 1:
            shown = " and ".join(f"`{name}`" for name in names)
            raise CorruptFileError(self._root / FEATURES, f"the folders {shown} differ only in case")
        return self._root / FEATURES / names[0]

    def fields(self) -> frozenset[str]:
        """Return every field that some instrument has."""
        if self._fields is None:
            listed = [self._listed[folder] for folder in self.folders() if folder in self._listed]
            self._fields = frozenset(field for fields in listed for field in fields)
        return self._fields

    def has(self, folder: str, field: str) -> bool:
        """Say whether the instrument has the field."""
        return field in self._list(folder)

    def path(self, folder: str, field: str) -> str:
        """Return where the series lies."""
        return str(self._place(folder) / self._list(folder)[field])

    def digest(self, folder: str, field: str) -> str | None:  # noqa: ARG002 - the other index knows digests
        """Return None: other tools record no digests."""
        return None

    def spans(self, folder: str) -> Mapping[str, tuple[int, int]]:
        """Return for each field that has a row its first position and one past its last, from the heads of files."""
        if folder not in self._spans:
            heads = {
                field: read_span(self.path(folder, field), 0, 0, sessions=self._sessions)
                for field in self._list(folder)
            }
            self._spans[folder] = {
                field: (head.start, head.stop) for field, head in heads.items() if head.stop > head.start
            }
        return self._spans[folder]

    def bounds(self, folder: str) -> tuple[int, int]:
        """Return the first position of any of its fields, and one past the last, from the heads of its files."""
        return _hull(self.spans(folder).values())


def _hull(spans: Collection[tuple[int, int]]) -> tuple[int, int]:
    if not spans:
        return 0, 0
    return min(start for start, _ in spans), max(stop for _, stop in spans)
