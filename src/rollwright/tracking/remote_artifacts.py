"""The artifacts of one run at an address, as ``s3://bucket/folder``: complete or absent there too.

How a set of artifacts is written, so that a reader finds all of the new ones or all of the old ones at any moment:

1. each file is made on this machine, as `LocalArtifactStore` makes it, with a part of its SHA-256 in its name;
2. each is uploaded under that name, which the manifest at the address does not list yet;
3. the manifest is uploaded; it replaces the former one in one step;
4. files that it does not list any more are removed.

A writer killed before 3 leaves files that nobody takes for artifacts; the manifest names what belongs to the run, with
the length and the SHA-256 of each file.

A run is written by one worker at a time, as its task's lease says. A worker that lost its lease and goes on regardless
writes under names of its own: its bytes never replace those of another, the later manifest is the run's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from rollwright.core.atomic import make_folder
from rollwright.core.bounded_read import open_regular
from rollwright.core.locks import file_lock
from rollwright.errors import ArtifactStorageError, CorruptArtifactError
from rollwright.tracking.artifacts import (
    MANIFEST,
    ArtifactRef,
    ArtifactWrite,
    LocalArtifactStore,
    check_artifact_name,
    find_ref,
    parse_manifest,
)
from rollwright.tracking.remote_files import RemoteFiles

__all__ = ["RemoteArtifactStore"]

_logger: Final = logging.getLogger("rollwright.tracking")
_RERUN: Final = "restore it from a copy, or run the task again"


class RemoteArtifactStore:
    """The artifacts of one run at an address.

    What is read is copied to a folder of this machine, once, and its bytes are compared with the manifest at each
    reading. The folder may be removed at any time.

    Parameters
    ----------
    remote : RemoteFiles
        The files of all runs.
    key : str
        The run's folder below its address.
    folder : Path
        The run's folder on this machine.
    marked : bool
        Whether `RemoteFiles.mark` was called when the run was made: then a run without a manifest is believed only
        where the mark is.
    """

    def __init__(self, remote: RemoteFiles, key: str, folder: Path, *, marked: bool) -> None:
        self._remote = remote
        self._key = key
        self._marked = marked
        self._copy = LocalArtifactStore(folder, copies=True)
        self._parsed: tuple[str | None, dict[str, ArtifactRef], bool] = (None, {}, False)

    @property
    def folder(self) -> Path:
        """The run's folder on this machine."""
        return self._copy.folder

    @property
    def files(self) -> Path:
        """The folder of the copies on this machine."""
        return self._copy.files

    @property
    def uri(self) -> str:
        """The address of the run's files."""
        return self._remote.show(f"{self._key}/artifacts")

    def defer(self) -> None:
        """Do nothing: what `write` returned from is stored."""

    def sync(self) -> None:
        """Do nothing: what `write` returned from is stored."""

    def write(self, items: Sequence[ArtifactWrite]) -> list[ArtifactRef]:
        """Store `items`; each replaces an artifact of its name, and a reader sees all of them or none.

        Raises
        ------
        ArtifactStorageError
            When the store does not take them, or the disk here is full; nothing is changed at the address then.
        """
        for item in items:
            check_artifact_name(item.name)
        with self._exclusive():
            before = self._adopt()
            refs = self._copy.write(items)
            self._upload(refs, before)
        return refs

    def open_reader(self, name: str) -> BinaryIO:
        """Return the bytes of an artifact, verified."""
        return open_regular(self.local_path(name)[0])

    def local_path(self, name: str) -> tuple[Path, ArtifactRef]:
        """Return a copy of the artifact on this machine, verified, not to be changed."""
        ref = find_ref(name, self._read_manifest()[0])
        return self._have(ref), ref

    def list(self, folder: str = "") -> list[ArtifactRef]:
        """Return the artifacts below `folder`, by name."""
        head = f"{check_artifact_name(folder.rstrip('/'))}/" if folder else ""
        return [ref for name, ref in sorted(self._read_manifest()[0].items()) if name.startswith(head)]

    def delete(self, name: str) -> None:
        """Remove an artifact: from the manifest first, then its file."""
        with self._exclusive():
            before = self._adopt()
            find_ref(name, before)
            self._copy.delete(name)
            self._upload([], before)

    def verify(self, ref: ArtifactRef) -> Path:
        """Read a listed artifact at the address, whatever is here, and return the copy."""
        return self._fetch(ref)

    def verify_all(self, names: Sequence[str]) -> bool:
        """Verify that artifacts are at the address in their lengths, and that the copies here are what was written.

        Not guaranteed: that every byte at the address is right, where a copy is here; `verify` reads them all.
        """
        listed, is_sealed = self._read_manifest()
        refs = [find_ref(name, listed) for name in names]
        lengths = self._remote.lengths(f"{self._key}/artifacts")
        for ref in refs:
            if ref.file not in lengths:
                raise self._gone(ref)
            if lengths[ref.file] != ref.length:
                raise CorruptArtifactError(
                    f"artifact {ref.name!r}: {self._show(ref)} has {lengths[ref.file]:,} bytes, "
                    f"{ref.length:,} were written",
                    hint=_RERUN,
                )
            self._have(ref)
        return is_sealed

    def unlisted(self) -> Sequence[str]:
        """Return the paths, below the run's folder at the address, of files that no manifest lists."""
        listed = {f"artifacts/{ref.file}" for ref in self._read_manifest()[0].values()}
        return sorted(self._remote.lengths(self._key).keys() - listed - {MANIFEST})

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold back other writers of the run on this machine."""
        try:
            make_folder(self.folder, durable=False)
        except OSError as error:
            raise ArtifactStorageError(
                f"cannot make {self.folder}: {error.strerror or error}",
                hint="copies of artifacts lie in the project's `.rollwright`: make room or give access",
            ) from error
        with file_lock(self.folder / "remote.lock"):
            yield

    def _adopt(self) -> dict[str, ArtifactRef]:
        """Let the folder here list what the address lists, and return it."""
        listed, _ = self._read_manifest()
        self._copy.adopt_manifest(self._parsed[0])
        return listed

    def _upload(self, refs: Sequence[ArtifactRef], before: Mapping[str, ArtifactRef]) -> None:
        """Store files, then the manifest that lists them, then remove what only the former one listed."""
        text = self._copy.manifest_text()
        assert text is not None  # noqa: S101 - a change of the copies has just written it
        for ref in refs:
            self._remote.put(self.files / ref.file, f"{self._key}/artifacts/{ref.file}")
        self._remote.put_text(text, f"{self._key}/{MANIFEST}")
        self._parsed = text, *parse_manifest(text, self._remote.show(self._key))
        kept = {ref.file for ref in self._parsed[1].values()}
        dropped = sorted({ref.file for ref in before.values()} - kept)
        try:
            self._remote.remove([f"{self._key}/artifacts/{file}" for file in dropped])
        except ArtifactStorageError as error:  # what was to be stored is
            _logger.warning("artifacts.left_over address=%s error=%s", self._remote.show(self._key), error.message)

    def _read_manifest(self) -> tuple[dict[str, ArtifactRef], bool]:
        """Return what the manifest at the address lists, and whether a seal covers it."""
        key = f"{self._key}/{MANIFEST}"
        text = self._remote.fetch_text(key)
        if text is None and self._marked:
            self._remote.check_marked()
        if text != self._parsed[0]:
            listed = ({}, False) if text is None else parse_manifest(text, self._remote.show(key))
            self._parsed = text, *listed
        _, refs, is_sealed = self._parsed
        return dict(refs), is_sealed

    def _have(self, ref: ArtifactRef) -> Path:
        """Return the copy of an artifact, fetched where none is here or it is damaged."""
        try:
            return self._copy.verify(ref)
        except CorruptArtifactError:
            return self._fetch(ref)

    def _fetch(self, ref: ArtifactRef) -> Path:
        def fill(path: Path) -> None:
            if not self._remote.get(f"{self._key}/artifacts/{ref.file}", path, length=ref.length):
                raise self._gone(ref)

        return self._copy.place(ref, fill)

    def _gone(self, ref: ArtifactRef) -> CorruptArtifactError:
        return CorruptArtifactError(
            f"artifact {ref.name!r}: its file {self._show(ref)} is gone", hint=_RERUN, gone=True
        )

    def _show(self, ref: ArtifactRef) -> str:
        return self._remote.show(f"{self._key}/artifacts/{ref.file}")
