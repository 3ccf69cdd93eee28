"""The last sessions of every series in one file, so that an append is read in one go instead of series by series.

A copy, written by an import beside the series: `rollwright.<freq>.tail`. It names the generation it was made for and
carries a digest of its bytes; a reader that finds another generation, or damage, reads the series themselves.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.bounded_read import LARGE, read_whole
from rollwright.core.canonical import parse_json
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.market.folder.bins import FLOAT, Span, content_digest, read_span
from rollwright.market.folder.layout import FEATURES
from rollwright.market.folder.manifest import FileEntry

__all__ = [
    "RECENT_SESSIONS",
    "RecentSessions",
    "gather_recent_sessions",
    "read_recent_sessions",
    "recent_sessions_name",
]

_logger: Final = logging.getLogger("rollwright.market")
FORMAT: Final = 1
RECENT_SESSIONS: Final = 160
"""Enough for the windows of 60 sessions that the ready-made features look back, and some weeks of appended ones."""


def recent_sessions_name(token: str) -> str:
    """Return the name of the file for the frequency that the folder's files spell `token`."""
    return f"rollwright.{token}.tail"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentSessions:
    """The last sessions of all series of one frequency.

    Attributes
    ----------
    first : int
        Calendar position of row 0.
    fields, folders : tuple of str
        Of the first and the last axis.
    values : float32 ``[fields, sessions, folders]``
        NaN outside each series and for fields it lacks.
    """

    first: int
    fields: tuple[str, ...]
    folders: tuple[str, ...]
    values: NDArray[np.float32]

    def to_bytes(self, generation: str) -> bytes:
        """Return the bytes of the file for a folder in the state `generation`."""
        head = {
            "format": FORMAT, "generation": generation, "first": self.first, "sessions": self.values.shape[1],
            "fields": list(self.fields), "folders": list(self.folders),
        }  # fmt: skip
        body = json.dumps(head, separators=(",", ":")).encode() + b"\n" + self.values.astype(FLOAT).tobytes()
        return content_digest(body).encode() + b"\n" + body

    def copy_block(self, fields: Sequence[str], folders: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
        """Return ``[fields, stop - start, folders]``, NaN where it has no such field or no such session.

        `start` must not lie before `first`.
        """
        rows = slice(start - self.first, min(stop - self.first, self.values.shape[1]))
        place = {name: number for number, name in enumerate(self.folders)}
        columns = [place[folder] for folder in folders]
        block = np.full((len(fields), stop - start, len(folders)), np.nan, np.float32)
        for number, field in enumerate(fields):
            if field in self.fields and rows.start < rows.stop:
                values = self.values[self.fields.index(field), rows]
                np.take(values, columns, axis=1, out=block[number, : len(values)])
        return block


def gather_recent_sessions(
    root: Path,
    files: Mapping[str, FileEntry],
    token: str,
    *,
    sessions: int,
    given: Callable[[str, str], tuple[int, NDArray[np.float32]] | None],
) -> RecentSessions | None:
    """Return the last sessions of a folder that has `sessions` of them; None when it is short, or cannot be read.

    Parameters
    ----------
    root : Path
    files : mapping
        The folder's file table.
    token : str
    sessions : int
    given : callable
        ``given(folder, field)``: the first position and values of a series that is in memory, else None.
    """
    if sessions <= 2 * RECENT_SESSIONS:  # its series are read in no time
        return None
    end = f".{token}.bin"
    series = [path.split("/")[1:] for path in files if path.startswith(f"{FEATURES}/") and path.endswith(end)]
    fields = tuple(sorted({name.removesuffix(end) for _, name in series}))
    folders = tuple(sorted({folder for folder, _ in series}))
    rows = {name: number for number, name in enumerate(fields)}
    columns = {name: number for number, name in enumerate(folders)}
    first = max(0, sessions - RECENT_SESSIONS)
    values = np.full((len(fields), len(folders), sessions - first), np.nan, np.float32)
    for folder, name in series:
        field = name.removesuffix(end)
        lane = values[rows[field], columns[folder]]
        found = given(folder, field)
        try:
            span = (
                _whole_series(*found) if found else _read(root, f"{FEATURES}/{folder}/{name}", files, first, sessions)
            )
        except (CorruptFileError, FileNotFoundError) as error:
            _logger.warning("data.recent_sessions_unused path=%s reason=%s", root, error)
            return None
        low, high = max(first, span.first), min(sessions, span.first + len(span.values))
        if low < high:
            lane[low - first : high - first] = span.values[low - span.first : high - span.first]
    return RecentSessions(first=first, fields=fields, folders=folders, values=values.transpose(0, 2, 1))


def _whole_series(start: int, values: NDArray[np.float32]) -> Span:
    return Span(start=start, stop=start + len(values), first=start, values=values)


def _read(root: Path, path: str, files: Mapping[str, FileEntry], first: int, sessions: int) -> Span:
    entry = files[path]
    if entry.start is not None and entry.length is not None and entry.start + entry.length <= first:
        return _whole_series(0, np.empty(0, np.float32))
    return read_span(root / path, first, sessions, sessions=sessions, digest=entry.digest)


def read_recent_sessions(root: Path, token: str, generation: str) -> RecentSessions | None:
    """Return the last sessions of a folder in the state `generation`; None without a whole file of them."""
    path = root / recent_sessions_name(token)
    try:
        data = read_whole(path, limit=LARGE)
    except OSError:
        return None
    digest, _, body = data.partition(b"\n")
    if content_digest(body).encode() != digest:
        _logger.warning("data.recent_sessions_damaged path=%s action=read_series", path)
        return None
    head_text, _, cells = body.partition(b"\n")
    try:
        head: Any = parse_json(head_text.decode())
    except (ValueError, RollwrightError):  # pragma: no cover - the digest holds
        return None
    if head["format"] != FORMAT or head["generation"] != generation:
        return None
    fields, folders = tuple(head["fields"]), tuple(head["folders"])
    values = np.frombuffer(cells, FLOAT).reshape(len(fields), head["sessions"], len(folders))
    return RecentSessions(first=head["first"], fields=fields, folders=folders, values=values)
