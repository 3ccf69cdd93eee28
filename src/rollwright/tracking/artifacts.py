"""The artifacts of one run: each file is complete or absent, and what is read is what was written.

How a set of artifacts is written, so that a reader finds all of the new ones or all of the old ones at any moment:

1. each file is written atomically (`core.atomic`), under a name that the manifest does not list yet;
2. the folders are flushed to the disk;
3. the manifest, with the length and the SHA-256 of each file, is replaced atomically;
4. files that no manifest lists any more are removed.

While a new run is recorded nothing is flushed in 1 to 3, and everything once before it ends: a kill finds the same
as above, and a power failure takes the run with it, which had no end yet (`LocalArtifactStore.defer`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from rollwright.core.atomic import (
    DRAFT_MARK,
    FileDigest,
    make_folder,
    remove_drafts,
    sync_folder,
    sync_tree,
    write_by_content,
    write_text,
)
from rollwright.core.bounded_read import MEDIUM, open_regular, read_text
from rollwright.core.canonical import JSON
from rollwright.core.json_lines import dump_lines
from rollwright.core.locks import file_lock
from rollwright.errors import (
    ArtifactNotFoundError,
    ArtifactStorageError,
    CorruptArtifactError,
    RecordError,
    nearest,
)

__all__ = [
    "RAW",
    "ArtifactRef",
    "ArtifactStore",
    "ArtifactWrite",
    "LocalArtifactStore",
    "check_artifact_name",
    "find_ref",
    "has_entries",
    "mark_root",
    "parse_manifest",
]

MANIFEST: Final = "artifacts.json"
ROOT_MARK: Final = ".artifacts"
FORMAT: Final = 1
RAW: Final = "file"  # the kind of a file stored as it came
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def check_artifact_name(name: str) -> str:
    """Return `name` when it is a relative path that does not lead out of its folder.

    Raises
    ------
    RecordError
        For an absolute path, a part that is empty, ``.`` or ``..``, a backslash, a control character, or a part
        longer than 200 bytes.
    """
    parts = name.split("/") if isinstance(name, str) else [""]
    usable = all(part not in {"", ".", ".."} and len(part.encode("utf-8", "replace")) <= 200 for part in parts)
    if not usable or _CONTROL.search(name) or DRAFT_MARK in name or not _encodable(name) or ":" in parts[0]:
        raise RecordError(
            f"artifact name {str(name)[:120]!r} is no path below the run's folder",
            hint="use names such as pred.pkl or sig_analysis/ic.pkl",
        )
    return name


def _encodable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRef:
    """One artifact as the manifest lists it.

    Attributes
    ----------
    name : str
        Its logical name, as ``pred.pkl``.
    file : str
        Its path below the run's folder, as ``pred.parquet``.
    kind : str
        The codec that wrote it, or ``file``.
    sha256 : str
    length : int
        Bytes.
    """

    name: str
    file: str
    kind: str
    sha256: str
    length: int

    def to_json(self) -> dict[str, JSON]:
        """Return its entry of the manifest."""
        return {
            "name": self.name, "file": self.file, "kind": self.kind, "sha256": self.sha256, "length": self.length,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactWrite:
    """One artifact to be written: its name, kind and suffix, and the function that writes its bytes to a path."""

    name: str
    kind: str
    suffix: str
    fill: Callable[[Path], object]


class ArtifactStore(Protocol):
    """The artifacts of one run, by logical name."""

    def write(self, items: Sequence[ArtifactWrite]) -> list[ArtifactRef]:
        """Store `items`; each replaces an artifact of its name, and a reader sees all of them or none."""
        ...

    def open_reader(self, name: str) -> BinaryIO:
        """Return the bytes of an artifact, verified.

        Raises
        ------
        ArtifactNotFoundError, CorruptArtifactError
        """
        ...

    def local_path(self, name: str) -> tuple[Path, ArtifactRef]:
        """Return a local file with the artifact's bytes, verified, not to be changed; errors as `open_reader`."""
        ...

    def list(self, folder: str = "") -> list[ArtifactRef]:
        """Return the artifacts below `folder`, by name."""
        ...

    def delete(self, name: str) -> None:
        """Remove an artifact.

        Raises
        ------
        ArtifactNotFoundError
        """
        ...

    def verify(self, ref: ArtifactRef) -> Path:
        """Read a listed artifact where it is stored, and return a local file with its bytes.

        Raises
        ------
        CorruptArtifactError
            When it is gone, or its length or SHA-256 is another.
        """
        ...

    def verify_all(self, names: Sequence[str]) -> bool:
        """Verify artifacts, and tell whether a seal covers the manifest that lists them.

        Raises
        ------
        ArtifactNotFoundError, CorruptArtifactError
        """
        ...

    def defer(self) -> None:
        """Let `sync` alone make durable what is written from now on, where the run has only begun."""
        ...

    def sync(self) -> None:
        """Make durable what was written since `defer`."""
        ...

    @property
    def folder(self) -> Path:
        """The run's folder on this machine."""
        ...

    def unlisted(self) -> Sequence[str]:
        """Return the paths, below the run's folder where it is stored, of files that no manifest lists, and drafts."""
        ...

    @property
    def uri(self) -> str:
        """Where the run's files are stored, as an address."""
        ...


class LocalArtifactStore:
    """The artifacts of one run in a folder of this machine.

    Parameters
    ----------
    folder : Path
        The run's folder; created at the first write. It holds the folder ``artifacts`` and the manifest.
    root : Path, optional
        The folder of all runs, which `mark_root` made. Where nothing at all is in it, its disk is away: then no
        artifact is called missing.
    copies : bool
        Whether the files are copies of what is stored elsewhere: then nothing is flushed, and each file has a part
        of its SHA-256 in its name, so that two machines never write different bytes under one name.
    """

    def __init__(self, folder: Path, *, root: Path | None = None, copies: bool = False) -> None:
        self._folder = folder
        self._files = folder / "artifacts"
        self._root = root
        self._copies = copies
        self._durable = not copies
        self._dirty = False
        self._parsed: tuple[str | None, dict[str, ArtifactRef], bool] = (None, {}, False)
        """The last text of the manifest, if one was read, and what it lists."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._folder

    @property
    def files(self) -> Path:
        """The folder of the run's files."""
        return self._files

    @property
    def uri(self) -> str:
        """The folder of the run's files, as a ``file:`` URI."""
        return self.files.as_uri()

    def defer(self) -> None:
        """Flush what is written from now on by `sync` alone, if nothing is listed yet: the run has only begun.

        What is read is what was written nevertheless, and a killed process loses nothing. After a power failure before
        `sync`, files may be gone or damaged, which is found when they are read.
        """
        self._durable = not self._copies and (self.folder / MANIFEST).exists()

    def sync(self) -> None:
        """Make durable what was written since `defer`, and flush each write again from now on.

        Raises
        ------
        ArtifactStorageError
            When the disk refuses.
        """
        self._durable = not self._copies
        if self._dirty and self._durable:
            with _translate_errors("store", "the artifacts of the run", self.folder):
                sync_tree(self.folder, above=self._root or self.folder.parent)
            self._dirty = False

    def write(self, items: Sequence[ArtifactWrite]) -> list[ArtifactRef]:
        """Store `items`, flushed to the disk when this returns.

        Raises
        ------
        ArtifactStorageError
            When the disk is full or the folder cannot be written; nothing is changed then.
        """
        for item in items:
            check_artifact_name(item.name)
        with _translate_errors("store", items[0].name if len(items) == 1 else f"{len(items)} artifacts", self.folder):
            return self._write(items)

    def _write(self, items: Sequence[ArtifactWrite]) -> list[ArtifactRef]:
        make_folder(self.files, durable=self._durable)
        self._dirty = self._dirty or not self._durable
        with file_lock(self.folder / "artifacts.lock"):
            listed = self._manifest()
            refs: list[ArtifactRef] = []
            folders: set[Path] = set()
            known = {ref.file for ref in listed.values()}
            try:
                for item in items:
                    folder = self._inside(_file_name(item), make=True).parent
                    if folder not in folders:
                        remove_drafts(folder)
                        folders.add(folder)
                    refs.append(self._store(item, folder, known | {ref.file for ref in refs}))
                for folder in folders if self._durable else ():
                    sync_folder(folder)
                before = {listed[ref.name].file for ref in refs if ref.name in listed}
                listed.update({ref.name: ref for ref in refs})
                self._replace_manifest(listed)
            except BaseException:
                self._discard({ref.file for ref in refs} - known)  # no manifest names them
                raise
            self._discard(before - {ref.file for ref in listed.values()})
        return refs

    def adopt_manifest(self, text: str | None) -> None:
        """Make `text`, which is stored elsewhere, this folder's manifest; None: nothing is listed."""
        with _translate_errors("store", MANIFEST, self.folder):
            if text is None:
                (self.folder / MANIFEST).unlink(missing_ok=True)
            elif text != self.manifest_text():
                write_text(self.folder / MANIFEST, text, durable=self._durable)

    def manifest_text(self) -> str | None:
        """Return the manifest; None when there is none."""
        try:
            return read_text(self.folder / MANIFEST, limit=MEDIUM)
        except FileNotFoundError:
            return None

    def place(self, ref: ArtifactRef, fill: Callable[[Path], object]) -> Path:
        """Let `fill` make the file of an entry, and return it once its bytes are those that the entry states.

        Raises
        ------
        CorruptArtifactError
            When its length or SHA-256 is another; no such file is left.
        """
        with _translate_errors("store", ref.name, self.folder):
            path = self._inside(ref.file, make=True)

            def choose(digest: FileDigest) -> Path:
                if (digest.sha256, digest.length) != (ref.sha256, ref.length):
                    raise CorruptArtifactError(
                        f"artifact {ref.name!r}: {ref.file} has {digest.length:,} bytes with the SHA-256 "
                        f"{digest.sha256[:12]}…; {ref.length:,} with {ref.sha256[:12]}… were written",
                        hint=_RERUN,
                    )
                return path

            return write_by_content(path.parent, fill, choose, durable=self._durable)[0]

    def open_reader(self, name: str) -> BinaryIO:
        """Return the bytes of an artifact, verified."""
        path, _ = self.local_path(name)
        return open_regular(path)

    def local_path(self, name: str) -> tuple[Path, ArtifactRef]:
        """Return the artifact's file, verified."""
        with _translate_errors("read", name, self.folder):
            return self._verify_file(self._ref(name))

    def verify(self, ref: ArtifactRef) -> Path:
        """Return the file of a listed artifact, verified.

        Raises
        ------
        CorruptArtifactError
            When it is gone, or its length or SHA-256 is another.
        ArtifactStorageError
            When it cannot be read.
        """
        with _translate_errors("read", ref.name, self.folder):
            return self._verify_file(ref)[0]

    def verify_all(self, names: Sequence[str]) -> bool:
        """Verify the files of artifacts by one reading of the manifest; tell whether a seal covers what it lists.

        Raises
        ------
        ArtifactNotFoundError, CorruptArtifactError, ArtifactStorageError
            As `local_path`, of the first that is not as it was written.
        """
        with _translate_errors("read", ", ".join(names), self.folder):
            listed, is_sealed = self._read_manifest()
            for name in names:
                self._verify_file(find_ref(name, listed))
        return is_sealed

    def _verify_file(self, ref: ArtifactRef) -> tuple[Path, ArtifactRef]:
        name = ref.name
        path = self._inside(ref.file)
        if not _is_plain_file(path):
            self._check_root()
            raise CorruptArtifactError(f"artifact {name!r}: its file {ref.file} is gone", hint=_RERUN, gone=True)
        with open_regular(path) as handle:
            length = os.fstat(handle.fileno()).st_size
            if length != ref.length:
                raise CorruptArtifactError(
                    f"artifact {name!r}: {ref.file} has {length:,} bytes, {ref.length:,} were written", hint=_RERUN
                )
            if hashlib.file_digest(handle, "sha256").hexdigest() != ref.sha256:
                raise CorruptArtifactError(
                    f"artifact {name!r}: {ref.file} has another SHA-256 than what was written", hint=_RERUN
                )
        return path, ref

    def list(self, folder: str = "") -> list[ArtifactRef]:
        """Return the artifacts below `folder`, by name."""
        head = f"{check_artifact_name(folder.rstrip('/'))}/" if folder else ""
        with _translate_errors("list", folder or "all artifacts", self.folder):
            return [ref for name, ref in sorted(self._manifest().items()) if name.startswith(head)]

    def delete(self, name: str) -> None:
        """Remove an artifact: from the manifest first, then its file."""
        with _translate_errors("remove", name, self.folder), file_lock(self.folder / "artifacts.lock"):
            ref = self._ref(name)
            left = {key: item for key, item in self._manifest().items() if key != name}
            self._replace_manifest(left)
            self._discard({ref.file} - {item.file for item in left.values()})

    def unlisted(self) -> Sequence[str]:
        """Return the paths, below the run's folder, of files that no manifest lists, and of killed writers' drafts."""
        listed = {(self.files / ref.file).resolve() for ref in self.list()}
        found = []
        for parent, folders, names in os.walk(self.folder):
            folders.sort()
            for path in (Path(parent) / name for name in sorted(names)):
                stray = path.is_relative_to(self.files) and path.resolve() not in listed
                if stray or path.name.startswith(DRAFT_MARK):
                    found.append(path.relative_to(self.folder).as_posix())
        return found

    def _ref(self, name: str) -> ArtifactRef:
        return find_ref(name, self._manifest())

    def _store(self, item: ArtifactWrite, folder: Path, taken: set[str]) -> ArtifactRef:
        file = _file_name(item)
        path, digest = write_by_content(
            folder,
            item.fill,
            lambda digest: self._inside(_choose_name(file, digest.sha256, taken, marked=self._copies)),
            durable=self._durable,
        )
        name = path.relative_to(self.files).as_posix()
        return ArtifactRef(name=item.name, file=name, kind=item.kind, sha256=digest.sha256, length=digest.length)

    def _inside(self, file: str, *, make: bool = False) -> Path:
        """Return the path of `file`, whose folders are real folders of the run's own, not links out of it."""
        path = self.files / file
        if make:
            make_folder(path.parent, durable=self._durable)
        *folders, _ = file.split("/")
        if folders and os.path.realpath(path.parent) != os.path.join(os.path.realpath(self.files), *folders):
            raise CorruptArtifactError(f"the folder of {file} leads out of the run's folder {self.files}")
        return path

    def _manifest(self) -> dict[str, ArtifactRef]:
        return self._read_manifest()[0]

    def _read_manifest(self) -> tuple[dict[str, ArtifactRef], bool]:
        """Return what the manifest lists, and whether a seal covers it; nothing when there is none."""
        path = self.folder / MANIFEST
        try:
            text = read_text(path, limit=MEDIUM)
        except FileNotFoundError:
            self._check_root()
            return {}, False
        except UnicodeDecodeError as error:
            raise CorruptArtifactError(f"the manifest {path} cannot be read: {error}") from error
        if text != self._parsed[0]:
            self._parsed = text, *parse_manifest(text, path)
        _, listed, is_sealed = self._parsed
        return dict(listed), is_sealed

    def _check_root(self) -> None:
        if self._root is not None and not has_entries(self._root):
            raise ArtifactStorageError(
                f"the folder of all artifacts, {self._root}, is not there or empty",
                hint="is its disk mounted? if the files are lost for good, make the folder, with any file in it: what "
                "was in it is made anew then",
            )

    def _replace_manifest(self, listed: Mapping[str, ArtifactRef]) -> None:
        rows: list[JSON] = [ref.to_json() for _, ref in sorted(listed.items())]
        text = dump_lines({"format": FORMAT, "artifacts": rows, "seal": _seal(rows)}, levels=2)
        remove_drafts(self.folder)
        write_text(self.folder / MANIFEST, text, durable=self._durable)
        self._parsed = text, dict(listed), True

    def _discard(self, files: set[str]) -> None:
        for file in files:
            with suppress(FileNotFoundError):
                self._inside(file).unlink()


def mark_root(root: Path) -> None:
    """Make the folder of all runs, with a file in it, by which an empty mount point is told from a folder without runs.

    Raises
    ------
    ArtifactStorageError
    """
    mark = root / ROOT_MARK
    with _translate_errors("make", ROOT_MARK, root):
        if not mark.exists():
            make_folder(root)
            write_text(mark, "Files of runs. Where this folder is empty, its disk is away.\n")


def has_entries(folder: Path) -> bool:
    """Tell whether anything is in `folder`; False when it is not there."""
    try:
        with os.scandir(folder) as found:
            return next(found, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_plain_file(path: Path) -> bool:
    """Tell whether `path` is a file and no link; a folder that may not be read is an error."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


_RERUN: Final = "restore it from a copy, or run the task again"


def _file_name(item: ArtifactWrite) -> str:
    """Return the path of an artifact: its name with the suffix of its format, since Qlib calls everything .pkl."""
    if item.kind == RAW or item.name.endswith(item.suffix):
        return item.name
    return f"{item.name.removesuffix('.pkl')}{item.suffix}"


def _choose_name(file: str, digest: str, taken: set[str], *, marked: bool) -> str:
    """Return `file`, or a free name beside it: what the manifest lists stays until the manifest is replaced."""
    if file not in taken and not marked:
        return file
    folder, _, name = file.rpartition("/")
    stem, dot, suffix = name.partition(".")
    for mark in (digest[:8], digest[:16], digest):
        name_with = f"{folder}{'/' if folder else ''}{stem}-{mark}{dot}{suffix}"
        if name_with not in taken:
            return name_with
    return f"{folder}{'/' if folder else ''}{stem}-{secrets.token_hex(8)}{dot}{suffix}"


@contextmanager
def _translate_errors(what: str, name: str, folder: Path) -> Iterator[None]:
    """Translate errors of the disk or the folder; a file to be copied that does not exist is the caller's error."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ArtifactStorageError(
            f"cannot {what} {name!r} in {folder}: {error.strerror or error}",
            hint="make room or give access, or set `tracking.artifacts` to a folder that has both",
        ) from error


def find_ref(name: str, listed: Mapping[str, ArtifactRef]) -> ArtifactRef:
    """Return the entry of an artifact.

    Raises
    ------
    ArtifactNotFoundError
        With the nearest name.
    """
    check_artifact_name(name)
    if name not in listed:
        close = nearest(name, listed)
        known = f"it has {', '.join(sorted(listed)[:20])}" if listed else "it has none at all"
        raise ArtifactNotFoundError(
            f"the run has no artifact {name!r}", hint=f"did you mean {close!r}?" if close else known
        )
    return listed[name]


def parse_manifest(text: str, path: object) -> tuple[dict[str, ArtifactRef], bool]:
    """Return what a manifest lists, by name, and whether a seal covers it.

    Raises
    ------
    CorruptArtifactError
        When it is none, or was changed; `path` says in the message which it is.
    """
    try:
        document = json.loads(text)
        rows = [ArtifactRef(**row) for row in document["artifacts"]]
        known = document["format"] == FORMAT
        sound = all(_is_sound(ref) for ref in rows)
        seal = document.get("seal")  # manifests of before it was added have none
        whole = seal is None or seal == _seal(document["artifacts"])
    except (ValueError, KeyError, TypeError, AttributeError, RecordError, RecursionError) as error:
        raise CorruptArtifactError(f"the manifest {path} is not readable: {error}") from error
    if not known or not sound:
        raise CorruptArtifactError(f"the manifest {path} holds entries this version cannot follow")
    if not whole:
        raise CorruptArtifactError(f"the manifest {path} was changed or damaged: its seal is broken", hint=_RERUN)
    return {ref.name: ref for ref in rows}, seal is not None


def _seal(rows: object) -> str:
    """Return the SHA-256 of a manifest's entries, so that a changed bit in a name or a kind is found too."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_sound(ref: ArtifactRef) -> bool:
    check_artifact_name(ref.name)
    check_artifact_name(ref.file)
    return _DIGEST.fullmatch(ref.sha256) is not None and isinstance(ref.length, int) and isinstance(ref.kind, str)
