"""Classes as their source has them: where one is defined and what its constructor does without an argument.

Nothing is imported and nothing runs, so that the answer is the same on a machine that lacks an optional package, and
cheap where the module is heavy. Only rollwright's own modules and the user's are read: their text belongs to what a
result was made by, while that of other packages changes with the version installed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

from rollwright.config.construct import Trust
from rollwright.core.bounded_read import SMALL, read_whole

__all__ = ["ClassSource", "find_class"]

OWN_PACKAGE: Final = "rollwright"
_MAX_STEPS: Final = 16
_UNKNOWN: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSource:
    """A class and the defaults of its constructor.

    Attributes
    ----------
    module : str
        Where it is defined, however it was named.
    name : str
    defaults : mapping
        The value of each parameter that has a default, as far as the text tells it.
    """

    module: str
    name: str
    defaults: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """The names of one module: its classes, its constants, and what it imports by name."""

    name: str
    is_package: bool
    classes: Mapping[str, ast.ClassDef] = field(default_factory=dict)
    constants: Mapping[str, ast.expr] = field(default_factory=dict)
    imports: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def find_class(module: str, name: str, trust: Trust) -> ClassSource | None:
    """Return the class that `module` calls `name`; None when its source is not read or has no such class.

    Files beside the configuration are looked at each time; modules are read once, as the interpreter does.
    """
    return _find(module, name, trust) if module.endswith(".py") else _find_in_module(module, name, trust)


@lru_cache(maxsize=4096)
def _find_in_module(module: str, name: str, trust: Trust) -> ClassSource | None:
    return _find(module, name, trust)


def _find(module: str, name: str, trust: Trust) -> ClassSource | None:
    found = _definition(module, name, trust)
    if found is None:
        return None
    home, node = found
    return ClassSource(module=home.name, name=node.name, defaults=_defaults(home, node, trust))


def _definition(module: str, name: str, trust: Trust) -> tuple[_Module, ast.ClassDef] | None:
    """Follow the imports from `module` to where the class is defined."""
    for _ in range(_MAX_STEPS):
        source = _read(module, trust)
        if source is None:
            return None
        if name in source.classes:
            return source, source.classes[name]
        if name not in source.imports:
            return None
        module, name = source.imports[name]
    return None


def _defaults(home: _Module, node: ast.ClassDef, trust: Trust) -> dict[str, Any]:
    """Return the defaults of the constructor that the class has or inherits."""
    for where, one in _line(home, node, trust, 0):
        init = next((item for item in one.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
        if init is not None:
            pairs = ((name, _value(where, default, trust, 0)) for name, default in _list_defaults(init.args))
            return {name: value for name, value in pairs if value is not _UNKNOWN}
    return {}


def _line(home: _Module, node: ast.ClassDef, trust: Trust, depth: int) -> Iterator[tuple[_Module, ast.ClassDef]]:
    """Yield the class and those it derives from, nearest first."""
    yield home, node
    for base in node.bases if depth < _MAX_STEPS else ():
        if isinstance(base, ast.Name) and (found := _definition_in(home, base.id, trust)) is not None:
            yield from _line(*found, trust, depth + 1)


def _definition_in(home: _Module, name: str, trust: Trust) -> tuple[_Module, ast.ClassDef] | None:
    if name in home.classes:
        return home, home.classes[name]
    return _definition(*home.imports[name], trust) if name in home.imports else None


def _list_defaults(args: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameters that have a default, with its expression."""
    positional = [*args.posonlyargs, *args.args]
    for parameter, default in zip(positional[len(positional) - len(args.defaults) :], args.defaults, strict=True):
        yield parameter.arg, default
    for parameter, keyword in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if keyword is not None:
            yield parameter.arg, keyword


def _value(home: _Module, node: ast.expr, trust: Trust, depth: int) -> Any:
    """Return the value of a literal, of a constant, and of lists and dictionaries of them."""
    if depth > _MAX_STEPS:
        return _UNKNOWN
    if isinstance(node, ast.Name):
        return _constant(home, node.id, trust, depth)
    if isinstance(node, ast.Tuple | ast.List):
        items = [_value(home, item, trust, depth + 1) for item in node.elts]
        return _UNKNOWN if any(item is _UNKNOWN for item in items) else items
    if isinstance(node, ast.Dict):
        keys = [_UNKNOWN if key is None else _value(home, key, trust, depth + 1) for key in node.keys]
        values = [_value(home, item, trust, depth + 1) for item in node.values]
        known = all(isinstance(key, str) for key in keys) and not any(value is _UNKNOWN for value in values)
        return dict(zip(keys, values, strict=True)) if known else _UNKNOWN
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return _UNKNOWN


def _constant(home: _Module, name: str, trust: Trust, depth: int) -> Any:
    """Return the value of a name of the module, its own or imported."""
    if name in home.constants:
        return _value(home, home.constants[name], trust, depth + 1)
    if name not in home.imports:
        return _UNKNOWN
    module, name = home.imports[name]
    other = _read(module, trust)
    return _UNKNOWN if other is None else _constant(other, name, trust, depth + 1)


def _read(module: str, trust: Trust) -> _Module | None:
    """Return the names of a module; None for one that is not rollwright's or the user's, or cannot be read."""
    path = _file_of(module, trust)
    if path is None:
        return None
    try:
        stamp = path.stat()
        return _parse_module(path, module, stamp.st_mtime_ns, stamp.st_size)
    except (OSError, ValueError, SyntaxError):
        return None


def _file_of(module: str, trust: Trust) -> Path | None:
    if module.endswith(".py"):
        if trust.folder is None:
            return None
        path = (trust.folder / module).resolve()
        return path if path.is_relative_to(trust.folder.resolve()) and path.is_file() else None
    if not any(module == root or module.startswith(f"{root}.") for root in (OWN_PACKAGE, *trust.modules)):
        return None
    return _find_file(module)


@lru_cache(maxsize=1024)
def _find_file(module: str) -> Path | None:
    """Return the file of a module, found package by package, so that no package is imported for it."""
    first, *others = module.split(".")
    loaded = sys.modules.get(first)
    spec = loaded.__spec__ if loaded is not None else PathFinder.find_spec(first)
    name = first
    for part in others:
        folders = None if spec is None else spec.submodule_search_locations
        if folders is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(folders))
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.has_location else None


@lru_cache(maxsize=1024)
def _parse_module(path: Path, module: str, mtime_ns: int, size: int) -> _Module:
    del mtime_ns, size  # they are in the key: a text that changed is parsed anew
    classes: dict[str, ast.ClassDef] = {}
    constants: dict[str, ast.expr] = {}
    imports: dict[str, tuple[str, str]] = {}
    is_package = path.name == "__init__.py"
    for node in _statements(ast.parse(read_whole(path, limit=SMALL)).body):
        if isinstance(node, ast.ClassDef):
            classes[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            home = _absolute(node, module, is_package)
            imports.update({alias.asname or alias.name: (home, alias.name) for alias in node.names})
        elif isinstance(node, ast.Assign):
            constants.update({target.id: node.value for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
            constants[node.target.id] = node.value
    return _Module(name=module, is_package=is_package, classes=classes, constants=constants, imports=imports)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those under ``if TYPE_CHECKING:`` and ``try:`` too."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.body)
        else:
            yield node


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:  # noqa: FBT001 - private, named at the call
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*kept, node.module] if node.module else kept)
