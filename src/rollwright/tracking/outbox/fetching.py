"""Download the files of a run that another project recorded."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from rollwright.core.atomic import make_folder, name_in_errors, sync_file, sync_folder
from rollwright.errors import CorruptArtifactError
from rollwright.tracking.artifacts import MANIFEST as LOCAL_MANIFEST
from rollwright.tracking.artifacts import LocalArtifactStore
from rollwright.tracking.outbox.sending import MANIFEST, FileSender

__all__ = ["fetch_files"]


def fetch_files(files: FileSender, location: str, folder: Path) -> bool:
    """Download a run's files to `folder`, all of them verified or none, and return whether there are any.

    The server is not trusted: names that lead out of the folder and bytes other than those in the manifest are refused,
    and nothing of them is left.

    Raises
    ------
    CorruptArtifactError
        When a file is missing or has other bytes.
    TrackingUnavailableError
        When the server does not answer.
    """
    draft = folder.with_name(f".fetch-{secrets.token_hex(8)}")
    local = LocalArtifactStore(draft)
    try:
        with name_in_errors(folder):
            return _fetch(files, location, folder, local)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fetch(files: FileSender, location: str, folder: Path, local: LocalArtifactStore) -> bool:
    draft = local.folder
    make_folder(folder.parent)
    local.files.mkdir(parents=True)
    if not files.get(location, MANIFEST, draft / LOCAL_MANIFEST):
        return False
    for ref in local.list():
        path = local.files / ref.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not files.get(location, ref.file, path):
            raise CorruptArtifactError(f"artifact {ref.name!r}: the server lists {ref.file} and does not have it")
        sync_file(local.local_path(ref.name)[0])
    sync_file(draft / LOCAL_MANIFEST)
    for inside in sorted(path for path in draft.rglob("*") if path.is_dir()):
        sync_folder(inside)
    sync_folder(draft)
    draft.rename(folder)
    sync_folder(folder.parent)
    return True
