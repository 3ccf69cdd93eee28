"""Whether a stored result is still the answer (decision D16).

A task's fingerprint says *what* was asked. What it was answered *from* is recorded beside the result: the generation of
the market data, the code of the user's own modules, and the version of what we store. Same identity but another
validity means: run it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rollwright.core.construct import Trust
from rollwright.core.context import current_settings
from rollwright.core.ids import sha256_hex

__all__ = ["RESULT_SCHEMA", "code_hash", "current_validity"]

RESULT_SCHEMA: Final = 1


def current_validity(definition: Mapping[str, Any], generation: str, *, trust: Trust | None = None) -> dict[str, Any]:
    """Return what a result of `definition` depends on beside the definition itself."""
    trusted = trust if trust is not None else Trust.from_settings(current_settings())
    return {"schema": RESULT_SCHEMA, "data": generation, "code": code_hash(definition, trusted)}


def code_hash(definition: Mapping[str, Any], trust: Trust) -> str:
    """Return the hash of the ``.py`` files that `definition` names, empty when it names none."""
    if trust.folder is None:
        return ""
    names = sorted({name for name in _module_paths(definition) if name.endswith(".py")})
    parts = [f"{name}:{_content(trust.folder / name)}" for name in names]
    return sha256_hex("\n".join(parts).encode()) if parts else ""


def _content(path: Path) -> str:
    return sha256_hex(path.read_bytes()) if path.is_file() else "absent"


def _module_paths(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        module = value.get("module_path")
        if isinstance(module, str):
            yield module
        for item in value.values():
            yield from _module_paths(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _module_paths(item)
