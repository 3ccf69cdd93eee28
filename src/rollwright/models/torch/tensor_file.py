"""Arrays by name with a JSON state, in the safetensors format: no pickle, and every bit of it under a checksum."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rollwright.core.optional import require
from rollwright.errors import CorruptArtifactError
from rollwright.models.state import dump_state, parse_state

__all__ = ["pack_tensors", "unpack_tensors"]

_STATE: Final = "rollwright"
_METADATA: Final = "__metadata__"
_LENGTH: Final = 8
_MOST_HEADER: Final = 1 << 26
_MOST_NAMES: Final = 1 << 17
_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def pack_tensors(arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> bytes:
    """Return the bytes of a safetensors file with `arrays`, and `state` among its metadata.

    Guarantees: equal arrays and states give equal bytes.

    Raises
    ------
    TaskValueError
        When a value of `state` has no JSON form.
    """
    told = {**state, "sha256": _checksum(arrays, state)}
    save = require("safetensors.numpy", extra="torch").save
    packed: bytes = save(
        {name: np.asarray(array, order="C") for name, array in arrays.items()}, {_STATE: dump_state(told)}
    )
    return packed


def unpack_tensors(content: bytes, *, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return arrays and state of what `pack_tensors` made; `name` is for messages.

    Nothing that the file says is taken for true before its checksum, and no memory is taken beside `content` itself:
    the arrays are views of it.

    Raises
    ------
    CorruptArtifactError
    """
    size = int.from_bytes(content[:_LENGTH], "little")
    if len(content) < _LENGTH or size > min(_MOST_HEADER, len(content) - _LENGTH):
        raise CorruptArtifactError(f"{name} is no safetensors file: its header does not fit in it")
    header = parse_state(content[_LENGTH : _LENGTH + size], name=f"the header of {name}")
    data = memoryview(content)[_LENGTH + size :]
    if not isinstance(header, dict) or len(header) > _MOST_NAMES:
        raise CorruptArtifactError(f"the header of {name} is no list of tensors")
    metadata = header.pop(_METADATA, None)
    text = metadata.get(_STATE) if isinstance(metadata, dict) else None
    state = parse_state(text, name=f"the state in {name}") if isinstance(text, str) else None
    if not isinstance(state, dict):
        raise CorruptArtifactError(f"{name} has no state of rollwright")
    arrays, end = {}, 0
    for key, told in header.items():
        arrays[key], until = _view(told, data, name=f"`{key}` in {name}")
        end = max(end, until)
    if end != len(data):
        raise CorruptArtifactError(f"{name} has {len(data) - end} bytes that belong to no tensor")
    if state.get("sha256") != _checksum(arrays, {key: item for key, item in state.items() if key != "sha256"}):
        raise CorruptArtifactError(f"the tensors in {name} are not those that were written: their sha256 differs")
    return arrays, state


def _view(told: Any, data: memoryview, *, name: str) -> tuple[NDArray[Any], int]:
    """Return one tensor as a view of the data, and where it ends."""
    try:
        kind, shape, (start, end) = _TYPES[told["dtype"]], [*told["shape"]], told["data_offsets"]
        numbers = [*shape, start, end]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(f"{name} is no tensor of a known type: {error!r}") from error
    if not all(type(number) is int and number >= 0 for number in numbers) or not start <= end <= len(data):
        raise CorruptArtifactError(f"{name} lies outside the file")
    if math.prod(shape) * kind.itemsize != end - start:
        raise CorruptArtifactError(f"{name} has {end - start} bytes, and its shape {shape} needs another number")
    return np.frombuffer(data[start:end], dtype=kind).reshape(shape), end


def _checksum(arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> str:
    found = hashlib.sha256(dump_state(state).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        found.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "backslashreplace"))
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
