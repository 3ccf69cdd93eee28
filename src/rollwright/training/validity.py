"""Whether a stored result is still the answer (decision D16).

A task's fingerprint says *what* was asked. What it was answered *from* is recorded beside the result: the generation of
the market data, the code of the user's own modules, and the version of what we store. Same identity but another
validity means: run it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rollwright.config.construct import SAVED, Trust, saved_file
from rollwright.config.context import current_settings
from rollwright.core.canonical import JSON, sha256_hex
from rollwright.training.data_dependency import Reading

__all__ = ["RESULT_SCHEMA", "code_files", "code_hash", "current_validity", "hash_of_code", "why_stale"]

RESULT_SCHEMA: Final = 1


def current_validity(definition: Mapping[str, Any], generation: str, *, trust: Trust | None = None) -> dict[str, Any]:
    """Return what a result of `definition` depends on beside the definition itself."""
    trusted = trust if trust is not None else Trust.from_settings(current_settings())
    return {"schema": RESULT_SCHEMA, "data": generation, "code": code_hash(definition, trusted)}


def why_stale(definition: Mapping[str, Any], recorded: JSON, *, generation: str, reading: Reading) -> str | None:
    """Return why a result of `definition` is no answer any more, None when it still is.

    Parameters
    ----------
    definition : mapping
    recorded : JSON
        What `rollwright.training.execute.execute` returned when the result was made.
    generation : str
        That of the market data now.
    reading : Reading
        Asked when the market data are not those of the result: what a result read may have stayed as it was.
    """
    noted = recorded if isinstance(recorded, Mapping) else {}
    wanted = current_validity(definition, generation)
    changed = [key for key in wanted if noted.get(key) != wanted[key]]
    if changed == ["data"]:
        return reading.why_stale(definition, noted)
    return f"{' and '.join(_NAMES[key] for key in changed)} changed" if changed else None


_NAMES: Final = {"schema": "the format of results", "data": "the market data", "code": "your own code"}


def code_hash(definition: Mapping[str, Any], trust: Trust) -> str:
    """Return the hash of the user's own code that `definition` names, empty when it names none.

    That are the ``.py`` files beside the configuration, and, of a module that the settings trust, every ``.py`` file of
    what they trust: of the whole package, since its modules use each other.
    """
    return hash_of_code(code_files(definition, trust))


def hash_of_code(files: Mapping[str, str]) -> str:
    """Return one hash over what `code_files` told, empty when that is nothing."""
    return sha256_hex("\n".join(f"{name}:{content}" for name, content in files.items()).encode()) if files else ""


def code_files(definition: Mapping[str, Any], trust: Trust) -> dict[str, str]:
    """Return the SHA-256 of each file of the user's own that `definition` names, ``absent`` for one that is gone.

    The key is the file's path beside the configuration, ``module:file`` within a trusted module, or ``file://PATH`` of
    a saved object.
    """
    named = set(_module_paths(definition))
    files: dict[str, str] = {}
    if trust.folder is not None:
        files.update({name: _content(trust.folder / name) for name in sorted(named) if name.endswith(".py")})
    for uri in sorted(set(_saved_objects(definition))):
        path = saved_file(uri, trust)
        files[uri] = _content(path) if path is not None else "absent"
    for root in sorted(trust.modules):
        if any(name == root or name.startswith(f"{root}.") for name in named):
            files.update({f"{root}:{file}": _content(path) for file, path in _sources(root)})
    return files


def _sources(module: str) -> list[tuple[str, Path]]:
    """Return the ``.py`` files of a module or package, each with its name within it; none when there is none."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return []
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if folders:
        return sorted((path.relative_to(root).as_posix(), path) for root in folders for path in root.rglob("*.py"))
    return [(Path(spec.origin).name, Path(spec.origin))] if spec.origin is not None else []


def _content(path: Path) -> str:
    return sha256_hex(path.read_bytes()) if path.is_file() else "absent"


def _saved_objects(value: object) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(SAVED):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _saved_objects(item)


def _module_paths(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        module = value.get("module_path")
        if isinstance(module, str):
            yield module
        name = value.get("class", value.get("func"))
        if isinstance(name, str) and "." in name:  # the other spelling: a dotted name and no module_path
            yield name.rpartition(".")[0]
        for item in value.values():
            yield from _module_paths(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _module_paths(item)
