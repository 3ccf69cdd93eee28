"""A digest of the code of a class or function as it is loaded, with all of the user's own that it uses.

Not the text of its file, which may have changed since the import: what is computed is what was loaded.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

__all__ = ["digest_of_code"]

_NOT_OWN: Final = frozenset({*sys.stdlib_module_names, "rollwright", "builtins"})
_INSTALLED: Final = ("site-packages", "dist-packages")
_ORDINARY: Final = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__module__",
        "__doc__",
        "__firstlineno__",
        "__abstractmethods__",
        "_abc_impl",
        "__static_attributes__",
        "__annotations__",
    }
)


def digest_of_code(code: type | Callable[..., Any]) -> str:
    """Return 16 hex digits that change with a class, its bases and what they call of the user's own, or a function.

    1. Of a function: its instructions, constants and defaults, and what its free and global names stand for.
    2. Of a class: its bases and everything it defines.
    3. Of a plain value: its text (`repr`); of another object its type and what it holds.
    """
    digest = hashlib.sha256()
    seen: set[int] = set()
    for part in _parts(code, seen):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, staticmethod | classmethod | MethodType):
        value = value.__func__
    if isinstance(value, property):
        for function in (value.fget, value.fset):
            yield from _parts(function, seen)
        return
    if isinstance(value, FunctionType | type) and _is_installed(value.__module__):
        yield f"{value.__module__}.{value.__qualname__}"
        return
    if isinstance(value, ModuleType):
        yield f"module {value.__name__}"
    elif isinstance(value, FunctionType | type):
        if id(value) in seen:
            return
        seen.add(id(value))
        yield value.__qualname__
        yield from _parts_of_class(value, seen) if isinstance(value, type) else _parts_of_function(value, seen)
    else:
        yield from _parts_of_value(value, seen)


def _parts_of_class(cls: type, seen: set[int]) -> Iterator[str]:
    for base in cls.__bases__:
        yield from _parts(base, seen)
    for name, member in sorted(vars(cls).items()):
        if name not in _ORDINARY:
            yield name
            yield from _parts(member, seen)


def _parts_of_function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    yield from _parts_of_value(function.__defaults__, seen)
    yield from _parts_of_value(function.__kwdefaults__, seen)
    for cell in function.__closure__ or ():
        yield from _parts(cell.cell_contents, seen)
    yield from _parts_of_code(function.__code__, function.__globals__, seen)


def _parts_of_code(code: CodeType, names: dict[str, Any], seen: set[int]) -> Iterator[str]:
    yield code.co_code.hex()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts_of_code(constant, names, seen)
        else:
            yield repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant)
    own = [names[name] for name in code.co_names if isinstance(names.get(name), ModuleType)]
    for name in code.co_names:
        yield name
        if name in names:
            yield from _parts(names[name], seen)
        for module in own:
            if not _is_installed(module.__name__) and hasattr(module, name):
                yield from _parts(getattr(module, name), seen)


def _parts_of_value(value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, list | tuple | set | frozenset | dict):
        yield type(value).__name__
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        for item in items:
            yield from _parts(item, seen)
            if isinstance(value, dict):
                yield from _parts(value[item], seen)
    elif value is None or isinstance(value, str | int | float | complex | bytes):
        yield repr(value)
    elif hasattr(value, "tobytes") and hasattr(value, "shape"):
        yield f"{value.shape} {value.tobytes().hex()}"
    elif isinstance(value, partial):
        yield from _parts_of_value([value.func, value.args, value.keywords], seen)
    elif id(value) not in seen:
        seen.add(id(value))
        kind = type(value)
        yield f"a {kind.__module__}.{kind.__qualname__} {getattr(value, '__name__', '')}"
        if not _is_installed(kind.__module__):
            yield from _parts(kind, seen)
            yield from _parts_of_value(getattr(value, "__dict__", None), seen)


def _is_installed(module: str | None) -> bool:
    if module is None or module.partition(".")[0] in _NOT_OWN:
        return True
    found = sys.modules.get(module)
    return any(part in (getattr(found, "__file__", None) or "") for part in _INSTALLED)
