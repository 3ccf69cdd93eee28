"""Registries: tables that upper packages fill and lower packages read, so that no lower package names an upper one.

They are empty here. `rollwright.registrations` registers what rollwright itself has: a name and a text such as
``module:attribute``, which is imported when it is first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

__all__ = [
    "ALIASES",
    "CODECS",
    "OPENERS",
    "REFERENCES",
    "SESSION_LOCAL",
    "SLOTS",
    "ObjectSlot",
    "Registration",
    "Registry",
    "load_target",
]


class Registration(NamedTuple):
    """One entry of a registry.

    Attributes
    ----------
    name : str
    targets : tuple of str
        ``module:attribute``; modules in the tables of aliases and of slots.
    types : tuple of str
        Qualified names of the classes that it is for; empty where the registry does not choose by class.
    package : str
        The installed package that has it.
    """

    name: str
    targets: tuple[str, ...]
    types: tuple[str, ...] = ()
    package: str = "rollwright"


class Registry:
    """Registrations by name, in the order in which they were added."""

    def __init__(self) -> None:
        self._registrations: dict[str, Registration] = {}

    def __iter__(self) -> Iterator[Registration]:
        return iter(tuple(self._registrations.values()))

    def register(self, name: str, *targets: str, types: Iterable[str] = ()) -> None:
        """Add a registration; one of the same name is replaced where it stands."""
        self._registrations[name] = Registration(name, targets, tuple(types))

    def get(self, name: str) -> Registration | None:
        """Return the registration `name`, None when there is none."""
        return self._registrations.get(name)


class ObjectSlot(NamedTuple):
    """One place of a configuration.

    Attributes
    ----------
    name : str
        ``model``, ``dataset``, ``processor`` …
    base : str
        ``module:Class`` that every class here derives from; a protocol's hook may admit others by their methods.
    modules : tuple of str
        Modules of rollwright whose classes may be named here.
    packages : tuple of (str, str)
        Modules of other packages, each with the ``module:Class`` that its classes must derive from.
    methods : tuple of str or None
        What a class of the user's own must have to stand here without deriving from `base`; empty: it must derive;
        None: any class may, and whoever uses the object checks what it has.
    default_module : str
        Where a class is looked for that is named without a module; empty: it must be named with one.
    arguments : tuple of str
        The keys of a configuration under which such objects stand, one or a list of them.
    """

    name: str
    base: str
    modules: tuple[str, ...]
    packages: tuple[tuple[str, str], ...] = ()
    methods: tuple[str, ...] | None = ()
    default_module: str = ""
    arguments: tuple[str, ...] = ()

    def allows(self, module: str) -> bool:
        """Tell whether a class of `module` may be named here without the user's trusting the module."""
        return module in self.modules or any(module == name for name, _ in self.packages)


def load_target(target: str) -> Any:
    """Return what ``module:attribute`` names, importing the module."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def find_entry_points(group: str) -> list[Registration]:
    """Return what installed packages add to a table by entry points of `group`, sorted by name and package.

    Importing the standard library's module costs as much as importing rollwright, so it waits for the first call.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    found = [
        Registration(point.name, (point.value,), package=point.dist.name if point.dist is not None else "")
        for point in entry_points(group=group)
    ]
    return sorted(found, key=lambda each: (each.name, each.package))


ALIASES: Final = Registry()
"""Modules of other programs, and of former versions, with the modules here that stand for them."""
CODECS: Final = Registry()
"""Codecs by kind, each with the classes it stores; see `rollwright.codecs.registry`."""
REFERENCES: Final = Registry()
"""Objects that live elsewhere, and what turns them into a small value; see `rollwright.core.references`."""
OPENERS: Final = Registry()
"""Functions that a lower package calls by name: what opens a saved object, what keeps a large result."""
SESSION_LOCAL: Final = Registry()
"""Classes whose data of a session are the same however far the data reach, with the arguments that say how far."""
SLOTS: Final[dict[str, ObjectSlot]] = {}
"""The places of a configuration where an object may stand, by name; see `rollwright.config.slots`."""
