"""The members of a skops file: equal for equal estimators, and checked before skops builds anything from them.

skops checks which types a file names, not whether their content is consistent. scikit-learn follows the children of a
tree without checking them, so a forged file could crash the process. Here each
tree is checked, only the kinds of node listed below are let through, and nothing is compressed, so nothing can swell.
"""

from __future__ import annotations

import io
import json
import tokenize
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from rollwright.core.canonical import sha256_hex
from rollwright.errors import CorruptArtifactError
from rollwright.models.skops_trees import check_trees
from rollwright.models.state import parse_state

__all__ = ["ArchiveError", "check_archive", "normalise_archive", "pack", "unpack"]

SCHEMA: Final = "schema.json"
STATE: Final = "rollwright.json"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNREADABLE: Final = (
    ValueError, TypeError, EOFError, OverflowError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
_MAX_MEMBERS: Final = 1 << 18
_MAX_DEPTH: Final = 200
_KINDS: Final = frozenset((
    "CachedNode", "DTypeNode", "DefaultDictNode", "DictNode", "FunctionNode", "JsonNode", "ListNode", "LossNode",
    "NdArrayNode", "ObjectNode", "RandomGeneratorNode", "RandomStateNode", "SetNode", "SliceNode", "TreeNode",
    "TupleNode", "TypeNode", "_DictWithDeprecatedKeysNode",
))  # fmt: skip


class ArchiveError(ValueError):
    """What is wrong with an archive; the caller turns it into an error of rollwright."""


def normalise_archive(data: bytes) -> dict[str, bytes]:
    """Return the members of what skops dumped, the same for equal objects on every run and machine.

    1. Read the arrays, and clear the padding between the fields of structured ones, which holds undefined memory.
    2. Name each array by its content; skops names them by memory addresses.
    3. Number the objects in the order of the schema; skops numbers them by memory addresses, too.

    Raises
    ------
    ArchiveError
        When it holds anything but arrays of numbers.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA}
        schema = json.loads(archive.read(SCHEMA))
    if not all(name.endswith(".npy") for name in arrays):
        raise ArchiveError("it holds more than arrays of numbers")
    clean = {name: _clear_padding(content) for name, content in arrays.items()}
    names = {name: f"{sha256_hex(content)[:32]}.npy" for name, content in clean.items()}
    numbers: dict[Any, int] = {}
    for count, node in enumerate(_nodes(schema)):
        if node.get("__loader__") == "CachedNode":
            node["__id__"] = numbers.get(node.get("__id__"), -1)
        else:
            if "__id__" in node:
                numbers[node["__id__"]] = count
                node["__id__"] = count
            if isinstance(node.get("file"), str):
                node["file"] = names[node["file"]]
    members = {names[name]: content for name, content in clean.items()}
    members[SCHEMA] = json.dumps(schema, separators=(",", ":")).encode()  # its order means something
    return members


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the zip file of `members`, sorted, not compressed and without a time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the members of the zip file `data`.

    Raises
    ------
    ArchiveError
        When it is not a zip file, or has members that are compressed, duplicate, in a folder, or unknown.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            names = [member.filename for member in found]
            if len(found) > _MAX_MEMBERS or len(set(names)) != len(names):
                raise ArchiveError("it has too many or duplicate members")
            for member in found:
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(data):
                    raise ArchiveError(f"its member `{member.filename[:80]}` is compressed")
                known = member.filename in (SCHEMA, STATE) or member.filename.endswith(".npy")
                if not known or not member.filename.replace(".", "").isalnum() or member.flag_bits & 1:
                    raise ArchiveError(f"its member `{member.filename[:80]}` does not belong to an estimator")
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"it is not a zip file: {error}") from error


def check_archive(members: Mapping[str, bytes]) -> None:
    """Check that skops may read `members`: known kinds of node, arrays as long as they say, trees that are trees.

    Raises
    ------
    ArchiveError
    """
    if SCHEMA not in members:
        raise ArchiveError(f"it has no `{SCHEMA}`")
    try:
        schema = parse_state(members[SCHEMA], name=SCHEMA)
    except CorruptArtifactError as error:
        raise ArchiveError(str(error)) from error
    arrays = {name: read_array(content) for name, content in members.items() if name.endswith(".npy")}
    seen: set[int] = set()
    for node in _nodes(schema):
        if node.get("__loader__") is not None:
            _check_node(node, seen)
        if "file" in node and node["file"] not in arrays:
            raise ArchiveError("it refers to an array that is not there")
    try:
        check_trees(schema, arrays)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ArchiveError(f"it has an inconsistent tree: {error}") from error


def _check_node(node: Mapping[str, Any], seen: set[int]) -> None:
    loader, number = node["__loader__"], node.get("__id__")
    if loader not in _KINDS:
        raise ArchiveError(f"it has a node of the kind `{str(loader)[:40]}`, which no estimator here needs")
    if loader == "CachedNode":
        if type(number) is not int or number not in seen:
            raise ArchiveError("it refers to an object that is not defined before")
    elif number is not None:
        if type(number) is not int or number in seen:  # skops would take the first one's content for both
            raise ArchiveError("it has two objects with the same number")
        seen.add(number)


def read_array(content: bytes) -> NDArray[Any]:
    """Return the array in a ``.npy`` file, which must be exactly as long as its header says.

    Raises
    ------
    ArchiveError
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        size = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
        if dtype.hasobject or size != len(content) - stream.tell():
            raise ArchiveError("it has an array of objects, or of another length than it says")
        stream.seek(0)
        return cast("NDArray[Any]", np.load(stream, allow_pickle=False))
    except _UNREADABLE as error:
        raise ArchiveError(f"it has an array that cannot be read: {error}") from error


def _clear_padding(content: bytes) -> bytes:
    """Return the ``.npy`` file with zeros between the fields of a structured array."""
    found = read_array(content)
    if found.dtype.names is None:
        return content
    clean = np.frombuffer(bytearray(found.nbytes), dtype=found.dtype).reshape(found.shape)
    for name in found.dtype.names:
        clean[name] = found[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Return every mapping in `schema`, from the outside in and in order."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    while waiting:
        found, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise ArchiveError("it is nested too deeply")
        if isinstance(found, dict):
            yield found
            waiting += [(found[key], depth + 1) for key in reversed(found)]
        elif isinstance(found, list):
            waiting += [(item, depth + 1) for item in reversed(found)]
