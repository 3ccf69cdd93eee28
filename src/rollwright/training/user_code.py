"""The user's own code that a task names: its files, the code of its operators, and their hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rollwright.config.construct import SAVED, Trust, saved_file
from rollwright.core.atomic import measure_file
from rollwright.core.bounded_read import LARGE
from rollwright.core.canonical import sha256_hex

__all__ = ["code_files", "code_hash", "hash_again", "hash_of_code"]

_CALLED: Final = re.compile(r"([^\W\d]\w*)\s*\(")
_OPERATOR: Final = "operator "


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
    a saved object. ``operator NAME`` is the code of an operator of the user's own.
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
    operators = _operators(definition, is_own=bool(files))
    return files | {f"{_OPERATOR}{name}": code for name, code in operators.items()}


def hash_again(files: Mapping[str, str], trust: Trust) -> dict[str, str]:
    """Return what `code_files` would tell now, of the definition that it told `files` of; without its operators.

    Of a trusted package all files are told, those that were added since too. Nothing is imported for it.
    """
    again: dict[str, str] = {}
    for name in files:
        root, is_module, _ = name.partition(":")
        if name.startswith(_OPERATOR):
            continue
        if name.startswith(SAVED):
            path = saved_file(name, trust)
            again[name] = _content(path) if path is not None else "absent"
        elif is_module:
            again.update({f"{root}:{file}": _content(path) for file, path in _sources(root)})
        elif trust.folder is not None:
            again[name] = _content(trust.folder / name)
    return again


def _operators(definition: Mapping[str, Any], *, is_own: bool) -> dict[str, str]:
    """Return the code of the operators of one's own that `definition` calls; of all of them when it names code as well.

    Which expressions a class of the user's own makes is not seen here.
    """
    from rollwright.expression.operators.catalogue import own_code  # noqa: PLC0415 - files are read again without it

    found = own_code()
    if not found or is_own:
        return found
    called = {name for text in _texts(definition) for name in _CALLED.findall(text)}
    return {name: code for name, code in found.items() if name in called}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


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
    if not path.is_file():
        return "absent"
    return measure_file(path).sha256 if path.stat().st_size <= LARGE else "too large"


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
        network = value.get("pt_model_uri")
        if isinstance(network, str) and "." in network:
            yield network.rpartition(".")[0]
        for item in value.values():
            yield from _module_paths(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _module_paths(item)
