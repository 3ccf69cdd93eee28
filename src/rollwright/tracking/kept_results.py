"""Results of tasks that are more than a pool holds: a file of their own, and a reference to it.

A file is named by its SHA-256, so that the same result is kept once, whoever computed it and however often. It lies
below ``results`` in the folder of the artifacts; several machines that share a pool share that folder too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.codecs.registry import codecs
from rollwright.config.context import current_settings
from rollwright.core.atomic import draft_of, make_folder, put, sync_file, sync_folder
from rollwright.core.canonical import JSON
from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactStorageError,
    CorruptArtifactError,
    UnsupportedArtifactError,
)

__all__ = ["KeptResult", "KeptResultReference", "keep_result"]

FOLDER: Final = "results"
NAME: Final = "result"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_UNSAFE: Final = "envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResult:
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


def keep_result(obj: object) -> KeptResult:
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
        with draft_of(folder / NAME) as draft:
            codec.write_as(NAME, obj, draft)
            sync_file(draft)
            with draft.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                length = os.fstat(file.fileno()).st_size
            path = _path(digest, codec.suffix)
            make_folder(path.parent)
            put(draft, path)
        sync_folder(path.parent)
    except OSError as error:
        raise ArtifactStorageError(
            f"cannot keep a result in {folder}: {error.strerror or error}",
            hint="make room or give access, or set `tracking.artifacts` to a folder that has both",
        ) from error
    return KeptResult(kind=codec.kind, sha256=digest, length=length)


class KeptResultReference:
    """A kept result as a task pool stores it: its kind, SHA-256 and length, from which its place follows."""

    def to_json(self, obj: KeptResult) -> dict[str, JSON]:
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
            raise CorruptArtifactError("a result refers to an envelope, which no result is kept in")
        codec = codecs.for_kind(kind)
        path = _path(digest, codec.suffix)
        _verify(path, digest, length)
        return codec.read_as(NAME, path)


def _verify(path: Path, digest: str, length: JSON) -> None:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            same = found == length and hashlib.file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        raise ArtifactNotFoundError(
            f"the result in {path} is not here",
            hint="machines that share a pool share the folder `tracking.artifacts` too; or run the task again",
        ) from None
    if not same:
        raise CorruptArtifactError(
            f"{path} is not what was kept as a result", hint="restore it from a copy, or run the task again"
        )


def _folder() -> Path:
    settings = current_settings()
    return settings.resolve(settings.tracking.artifacts) / FOLDER


def _path(digest: str, suffix: str) -> Path:
    return _folder() / digest[:2] / f"{digest}{suffix}"
