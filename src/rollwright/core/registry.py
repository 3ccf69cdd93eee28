"""Tables of names that start empty and are filled from above, so that a lower package names no upper one.

`rollwright.registrations` fills them with what rollwright itself brings. An installed package adds to a table by an
entry point of the group ``rollwright.<table>``; its entry points are read at the first name that nobody else has.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

__all__ = ["ALIASES", "CODECS", "OPENERS", "REFERENCES", "Entry", "Registry", "load_target"]


class Entry(NamedTuple):
    """One line of a table.

    Attributes
    ----------
    name : str
    targets : tuple of str
        ``module:attribute`` or, in the table of aliases, modules. Nothing is imported before it is used.
    types : tuple of str
        Qualified names of the classes that it is for; empty where the table does not choose by class.
    """

    name: str
    targets: tuple[str, ...]
    types: tuple[str, ...] = ()


class Registry:
    """A table of entries in the order in which they were added.

    Parameters
    ----------
    table : str
        Its name; entry points of the group ``rollwright.<table>`` belong to it.
    """

    def __init__(self, table: str) -> None:
        self.table = table
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def register(self, name: str, *targets: str, types: Iterable[str] = ()) -> None:
        """Add an entry; one of the same name is replaced where it stands."""
        self._entries[name] = Entry(name, targets, tuple(types))

    def get(self, name: str) -> Entry | None:
        """Return the entry `name`, None when there is none."""
        return self._entries.get(name)

    def discover(self) -> list[Entry]:
        """Read the entry points of installed packages and return those that are new; a name that is taken stays.

        The second call returns nothing: packages are not installed while a process runs.
        """
        if self._discovered:
            return []
        self._discovered = True
        from importlib.metadata import entry_points  # noqa: PLC0415 - it costs as much as rollwright's own import

        found = [Entry(point.name, (point.value,)) for point in entry_points(group=f"rollwright.{self.table}")]
        new = [entry for entry in found if entry.name not in self._entries]
        self._entries.update({entry.name: entry for entry in new})
        return new


def load_target(target: str) -> Any:
    """Return what ``module:attribute`` names, importing the module."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


ALIASES: Final = Registry("aliases")
"""Modules of other programs, and the modules here that stand for them."""
CODECS: Final = Registry("codecs")
"""Codecs by kind, each with the classes it stores; see `rollwright.codecs.registry`."""
REFERENCES: Final = Registry("references")
"""Objects that live elsewhere, and what turns them into a small value; see `rollwright.core.references`."""
OPENERS: Final = Registry("openers")
"""Functions that a lower package calls by name: what opens a saved object, the market, the pool."""
