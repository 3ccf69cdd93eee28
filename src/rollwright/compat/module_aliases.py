"""Scripts that were written for Qlib run when its root is written `rollwright`: ``from rollwright.workflow import R``.

The modules exist by name only. A name that is asked of one comes from the module here that has it, so that there is one
class, whatever it is imported as. Editors and type checkers know the public names of ``rollwright``, and not these.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

__all__ = ["AliasFinder", "install_aliases"]

ROOT: Final = "rollwright"


class AliasFinder(MetaPathFinder, Loader):
    """Finds modules that stand for others. It is asked last, so that it never hides a module that exists.

    Parameters
    ----------
    modules : mapping of str to sequence of str
        Names below ``rollwright``, each with the modules that have what it offers, in the order in which they are
        asked. Their packages need not be listed.
    """

    def __init__(self, modules: Mapping[str, Sequence[str]]) -> None:
        self._modules = dict(modules)
        self._names = {name for module in modules for name in _list_packages(module)}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that stands for others, None for any other name."""
        del path, target
        return ModuleSpec(fullname, self, is_package=True) if fullname in self._names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module; what it offers is looked up when it is asked for."""
        return _Alias(spec.name, self._modules.get(spec.name, ()))

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: there is no code."""


class _Alias(ModuleType):
    def __init__(self, name: str, targets: Sequence[str]) -> None:
        super().__init__(name, f"What Qlib has in `qlib{name.removeprefix(ROOT)}`, from {', '.join(targets) or ROOT}.")
        self._targets = tuple(targets)

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return sorted(_offered(self._targets))
        if not name.startswith("__"):
            for target in self._targets:
                module, _, attribute = target.partition(":")
                if attribute in ("", name) and hasattr(found := importlib.import_module(module), name):
                    return getattr(found, name)
        reason = "rollwright has no such part of Qlib, or it is elsewhere"
        raise AttributeError(f"module `{self.__name__}` has no attribute `{name}`: {reason}")

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *_offered(self._targets)})


def _offered(targets: Iterable[str]) -> set[str]:
    return {name for target in targets for name in _list_names(target)}


def _list_names(target: str) -> list[str]:
    module, _, attribute = target.partition(":")
    return [attribute] if attribute else list(importlib.import_module(module).__all__)


def _list_packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(2, len(parts) + 1)]


def install_aliases(modules: Mapping[str, Sequence[str]]) -> None:
    """Let the modules be imported; calling it again changes nothing."""
    if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        sys.meta_path.append(AliasFinder(modules))
