"""Accepting what other tools, or hands, changed in a data folder."""

from __future__ import annotations

from pathlib import Path

from rollwright.calendar.files import read_sessions
from rollwright.core.file_uris import read_path
from rollwright.errors import CorruptFileError, DataNotFoundError
from rollwright.market.folder.atomic_replace import replace_folder, write_file
from rollwright.market.folder.layout import CALENDARS, FEATURES, FINANCIAL, calendar_stems
from rollwright.market.folder.manifest import (
    FILES_NAME,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    external_generation,
    file_table,
    first_manifest,
    format_files,
    read_files,
    read_manifest,
)
from rollwright.market.folder.recent_sessions import recent_sessions_name

__all__ = ["adopt_changes"]


def adopt_changes(path: Path | str) -> Manifest:
    """Make a manifest of the folder as it stands, so that its present bytes are the ones that count.

    A folder of other tools gets its first manifest. The generation is raised; every session of a frequency counts as
    changed when any of its series or its calendar is not what the manifest said.

    Raises
    ------
    DataNotFoundError
        When there is no calendar in the folder.
    CorruptFileError
        When a file cannot be a series or a calendar whatever was meant.
    """
    root = read_path(path).resolve()
    tokens = calendar_stems(root)
    if not tokens:
        raise DataNotFoundError(root, "it has no calendar")
    manifest, before = _state(root)
    files = file_table(root)
    changed = {name for name in files.keys() | before.keys() if files.get(name) != before.get(name)}
    with replace_folder(root) as staging:
        for token in tokens:
            first = str(read_sessions(root / CALENDARS / f"{token}.txt")[0]).removesuffix(" 00:00:00")
            moved = any(_belongs(name, token) for name in changed)
            manifest = manifest.after(files, kind="accept", freq=token, first_changed=first if moved else None)
        for token in tokens:  # made for another state
            (staging / recent_sessions_name(token)).unlink(missing_ok=True)
        write_file(staging / FILES_NAME, format_files(files))
        write_file(staging / MANIFEST_NAME, manifest.to_bytes(files))
    return manifest


def _state(root: Path) -> tuple[Manifest, dict[str, FileEntry]]:
    try:
        found = read_manifest(root)
        if found is not None:
            return found[0], read_files(root, found[1])
    except CorruptFileError:  # a damaged manifest is replaced by one that begins anew
        pass
    return first_manifest(external_generation(root)), {}


def _belongs(name: str, token: str) -> bool:
    if name.startswith(f"{FINANCIAL}/"):  # expressions of any frequency may read it
        return True
    if name.startswith(f"{FEATURES}/"):
        return name.endswith(f".{token}.bin")
    return name == f"{CALENDARS}/{token}.txt"
