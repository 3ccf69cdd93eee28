"""The bytes of a bundle: an index in JSON, then the files one after another.

.. code-block:: text

    length     4   of the index, little-endian
    index          JSON {format, name, file, …, files: [[path, length, sha256], …]}
    files          in the order of the index, nothing between them

There are no links, modes, times or compression in it: nothing can grow, lead elsewhere or differ between two makings
of the same files. Whoever reads one has verified its signature before (`rollwright.signing.envelope`).
"""

from __future__ import annotations

import json
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Final

from rollwright.core.canonical import JSON
from rollwright.core.text import is_name
from rollwright.errors import CorruptArtifactError

__all__ = ["FMT", "Bundle", "BundleIndex", "check_path", "pack", "unpack"]

FMT: Final = "bundle 1"
"""What a bundle is signed as."""
FORMAT: Final = 1
_LENGTH: Final = struct.Struct("<I")
_MOST_FILES: Final = 1_000_000
_LONGEST_PART: Final = 200
_FORBIDDEN: Final = frozenset("\\:")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleIndex:
    """What a bundle says of itself.

    Attributes
    ----------
    name : str
        The campaign.
    file : str
        Its file, by its path in the bundle.
    sha256 : str
        Of that file as it was read, variables filled.
    overrides : tuple of str
        What was given over it.
    origin : str
        Names the project that made it.
    serial : int
        Grows with each bundle of other contents from that project.
    environment : tuple of str
        Settings that were left out since a secret is in them, as variables of the environment.
    generation : str
        Of the market data.
    data : mapping of str to str
        Digest of each file of the market data, by its path in their folder.
    holds_data : bool
        Whether these files are in the bundle, in its folder ``data``.
    """

    name: str
    file: str
    sha256: str
    overrides: tuple[str, ...]
    origin: str
    serial: int
    environment: tuple[str, ...]
    generation: str
    data: Mapping[str, str]
    holds_data: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle: its index, and its files by their paths."""

    index: BundleIndex
    files: Mapping[str, bytes]


def pack(bundle: Bundle) -> bytes:
    """Return the bytes of a bundle; equal ones for equal bundles.

    Raises
    ------
    CorruptArtifactError
        For paths that `unpack` would refuse.
    """
    _check_paths(bundle.files)
    names = sorted(bundle.files)
    rows: list[JSON] = [[name, len(bundle.files[name]), sha256(bundle.files[name]).hexdigest()] for name in names]
    document = {"format": FORMAT, **_plain(bundle.index), "files": rows}
    index = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(index)), index, *(bundle.files[name] for name in names)))


def unpack(data: bytes | memoryview, *, where: str) -> Bundle:
    """Return the bundle that `data` is; nothing is written.

    Raises
    ------
    CorruptArtifactError
        For anything but what `pack` makes: another format, a path that leads out or that some file system would take
        for another file's, a length or a digest that is not the file's, bytes that belong to none.
    """
    view = memoryview(data)
    try:
        (length,) = _LENGTH.unpack_from(view)
        document = json.loads(bytes(view[_LENGTH.size :][:length]))
        if document.pop("format") != FORMAT:
            raise ValueError("its format is one this version cannot follow")
        rows = document.pop("files")
        index = _read_index(document)
        files = dict(_read_files(rows, view[_LENGTH.size + length :]))
        if len(files) < len(rows):
            raise ValueError("it lists a path twice")
        _check_paths(files)
        if index.file not in files:
            raise ValueError(f"the campaign's file {index.file!r} is not in it")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptArtifactError(f"{where} is no bundle that can be used: {error}") from error
    return Bundle(index=index, files=files)


def _plain(index: BundleIndex) -> dict[str, Any]:
    values = asdict(index)
    return {**values, "overrides": [*index.overrides], "environment": [*index.environment], "data": dict(index.data)}


def _read_index(document: dict[str, Any]) -> BundleIndex:
    kinds = {
        "name": str, "file": str, "sha256": str, "overrides": list, "origin": str, "serial": int, "environment": list,
        "generation": str, "data": dict, "holds_data": bool,
    }  # fmt: skip
    for key, kind in kinds.items():
        if type(document[key]) is not kind:
            raise ValueError(f"{key} is {document[key]!r}"[:200])
    texts = [*document["overrides"], *document["environment"], *document["data"].values()]
    if document.keys() - kinds or not all(isinstance(text, str) for text in texts):
        raise ValueError("its index holds other values than this version knows")
    if not is_name(document["name"]) or not is_name(document["origin"]):
        raise ValueError(f"{document['name']!r} of {document['origin']!r} names no campaign"[:200])
    for path in document["data"]:
        check_path(path)
    return BundleIndex(
        **{**document, "overrides": tuple(document["overrides"]), "environment": tuple(document["environment"])}
    )


def _read_files(rows: Any, content: memoryview) -> Iterator[tuple[str, bytes]]:
    if not isinstance(rows, list) or len(rows) > _MOST_FILES:
        raise ValueError("it lists no files")
    start = 0
    for path, length, digest in rows:
        if type(path) is not str or type(length) is not int or length < 0:
            raise ValueError(f"{path!r} of {length!r} bytes is no file"[:200])
        data = bytes(content[start : start + length])
        if len(data) != length or sha256(data).hexdigest() != digest:
            raise ValueError(f"{path!r} is not what the index says"[:200])
        yield path, data
        start += length
    if start != len(content):
        raise ValueError(f"{len(content) - start:,} bytes at its end belong to no file")


def _check_paths(files: Mapping[str, bytes]) -> None:
    """Refuse paths of which two would be one file, or one a folder of another, on any file system."""
    folded: dict[str, str] = {}
    for path in files:
        try:
            check_path(path)
        except ValueError as error:
            raise CorruptArtifactError(str(error)) from error
        folded.setdefault(_fold(path), path)
    taken = set(folded)
    for path in files:
        parents = {_fold(parent.as_posix()) for parent in PurePosixPath(path).parents}
        if folded[_fold(path)] != path or parents & taken:
            raise CorruptArtifactError(f"two files of a bundle would be one: {path!r}")


def _fold(path: str) -> str:
    """Return what paths have in common that some file system takes for one."""
    return unicodedata.normalize("NFC", path).casefold()


def check_path(path: str) -> str:
    """Return `path` when it leads to a plain file below whatever folder it is taken from, on every system.

    Raises
    ------
    ValueError
    """
    parts = path.split("/")
    for part in parts:
        if not part or part.startswith(".") or part.endswith((".", " ")):
            raise ValueError(f"{path!r} is no path of a file in a bundle"[:200])
        if len(part.encode()) > _LONGEST_PART or not part.isprintable() or _FORBIDDEN & set(part):
            raise ValueError(f"{path!r} is no path of a file in a bundle"[:200])
    return path
