"""Results of tasks that are too large for a pool: a file each, and a reference to it.

A file is named by its SHA-256, so that equal results are stored once. It lies below ``results`` in the folder of the
artifacts; machines that share a pool share that folder too. Where `tracking.artifacts` is an address, the file is
stored there, and what lies in the folder is a copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from rollwright.codecs.registry import codecs
from rollwright.config.context import current_settings
from rollwright.core.atomic import (
    FileDigest,
    make_folder,
    measure_file,
    sync_folder,
    write_atomically,
    write_by_content,
)
from rollwright.core.canonical import JSON
from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactStorageError,
    CorruptArtifactError,
    UnsupportedArtifactError,
)
from rollwright.tracking.remote_files import RemoteFiles, open_remote

__all__ = ["LargeResult", "LargeResultReference", "store_large_result"]

FOLDER: Final = "results"
NAME: Final = "result"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_UNSAFE: Final = "envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeResult:
    """A result in a file of its own.

    Attributes
    ----------
    kind : str
        The codec that wrote it.
    sha256 : str
    length : int
        Bytes.
    """

    kind: str
    sha256: str
    length: int


def store_large_result(obj: object) -> LargeResult:
    """Store `obj` and return what identifies it; it is on the disk then.

    Raises
    ------
    UnsupportedArtifactError
        When no safe format holds it.
    ArtifactStorageError
        When the disk is full or the folder refuses.
    """
    codec = codecs.for_object(obj)
    if codec.kind == _UNSAFE:
        raise UnsupportedArtifactError(
            f"no safe format holds a result of {type(obj).__module__}.{type(obj).__qualname__}",
            hint="return JSON, a DataFrame, an array or a model, or save it by a recorder and return the recorder",
        )
    folder = _folder()
    try:
        make_folder(folder)
        path, digest = write_by_content(folder, partial(codec.write_as, NAME, obj), partial(_make_path, codec.suffix))
        sync_folder(path.parent)
        remote = _remote()
        if remote is not None:
            remote.put(path, _key(digest.sha256, codec.suffix))
    except OSError as error:
        raise ArtifactStorageError(
            f"cannot store a result in {folder}: {error.strerror or error}",
            hint="make room or give access, or set `tracking.artifacts` to a folder that has both",
        ) from error
    return LargeResult(kind=codec.kind, sha256=digest.sha256, length=digest.length)


class LargeResultReference:
    """A large result as a task pool stores it: its kind, SHA-256 and length, from which its path follows."""

    def to_json(self, obj: LargeResult) -> dict[str, JSON]:
        """Return what identifies it."""
        return {"kind": obj.kind, "sha256": obj.sha256, "length": obj.length}

    def from_json(self, value: Mapping[str, JSON]) -> Any:
        """Return the object itself, its bytes verified.

        Raises
        ------
        ArtifactNotFoundError
            When its file is not in this project's folder of artifacts.
        CorruptArtifactError
            When its bytes are not those that were written, or the reference is none of ours.
        """
        kind, digest, length = value.get("kind"), value.get("sha256"), value.get("length")
        if not isinstance(kind, str) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise CorruptArtifactError(f"a result refers to a file by {dict(value)!r}, which names none")
        if kind == _UNSAFE:
            raise CorruptArtifactError("a result refers to an envelope, in which no result is stored")
        codec = codecs.for_kind(kind)
        path = _path(digest, codec.suffix)
        remote = _remote()
        if remote is not None and isinstance(length, int) and not path.exists():
            _fetch(remote, path, _key(digest, codec.suffix), length)
        _verify(path, digest, length)
        return codec.read_as(NAME, path)


def _fetch(remote: RemoteFiles, path: Path, key: str, length: int) -> None:
    """Bring a result here, if the address has it; what it holds is verified afterwards."""
    found = True

    def fill(draft: Path) -> None:
        nonlocal found
        found = remote.get(key, draft, length=length)
        if not found:
            raise FileNotFoundError(key)

    try:
        write_atomically(path, fill, durable=False)
    except FileNotFoundError:
        if found:
            raise


def _verify(path: Path, digest: str, length: JSON) -> None:
    try:
        same = path.stat().st_size == length and measure_file(path).sha256 == digest
    except FileNotFoundError:
        raise ArtifactNotFoundError(
            f"the result in {path} is not here",
            hint="machines that share a pool share the folder `tracking.artifacts` too; or run the task again",
        ) from None
    if not same:
        raise CorruptArtifactError(
            f"{path} is not the result that was stored", hint="restore it from a copy, or run the task again"
        )


def _folder() -> Path:
    return current_settings().artifact_folder / FOLDER


def _remote() -> RemoteFiles | None:
    settings = current_settings()
    address = settings.artifact_address
    return None if address is None else open_remote(address, patience=settings.tracking.artifacts_patience)


def _key(digest: str, suffix: str) -> str:
    return f"{FOLDER}/{digest[:2]}/{digest}{suffix}"


def _make_path(suffix: str, digest: FileDigest) -> Path:
    path = _path(digest.sha256, suffix)
    make_folder(path.parent)
    return path


def _path(digest: str, suffix: str) -> Path:
    return _folder() / digest[:2] / f"{digest}{suffix}"
