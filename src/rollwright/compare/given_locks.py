"""Locks that were made elsewhere: they choose among versions of what is required here anyway, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rollwright.compare.environment import Environment, EnvironmentLock, EnvironmentStore
from rollwright.compare.environments.lock_text import parse_lock, seal_lock
from rollwright.core.text import escape_text
from rollwright.errors import CompareError

__all__ = ["GivenLocks"]

_PACKAGE: Final = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)
_SHOWN: Final = 5


class GivenLocks:
    """An `EnvironmentStore` over another one, with the locks of some requirements files given.

    Guarantees: of a given lock, a package is installed only if compiling the requirements here asks for it as well; so
    a lock from elsewhere chooses among published versions of packages that would be installed anyway. What is no
    package with its version and the SHA-256 of its archives is refused.

    Parameters
    ----------
    store : EnvironmentStore
    locks : mapping of Path to str
        The text of the lock by its requirements file.
    """

    def __init__(self, store: EnvironmentStore, locks: Mapping[Path, str]) -> None:
        self._store = store
        self._locks = dict(locks)

    def compile(self, requirements: Path) -> EnvironmentLock:
        """Return the lock that was given for the file; for another one, as the store beneath.

        Raises
        ------
        CompareError
            When a given lock is none, or holds other packages than are required here.
        """
        compiled = self._store.compile(requirements)
        given = self._locks.get(requirements)
        if given is None or given == compiled.text:
            return compiled
        lock = seal_lock(given, python=compiled.python, rollwright=compiled.rollwright)
        needed, named = {*_PACKAGE.findall(compiled.text)}, {pin.name for pin in parse_lock(given)}
        if more := sorted(named - needed):
            raise CompareError(
                f"the given lock of {escape_text(requirements)} has packages that nothing here asks for: "
                f"{', '.join(more[:_SHOWN])}",
                hint="a newer version may ask for fewer packages: set compare.exclude_newer to the day of the table",
            )
        if missing := sorted(needed - named):
            raise CompareError(
                f"the given lock of {escape_text(requirements)} lacks packages that are asked for here: "
                f"{', '.join(missing[:_SHOWN])}",
                hint="a newer version may ask for more packages: set compare.exclude_newer to the day of the table",
            )
        return lock

    def ensure(self, lock: EnvironmentLock) -> Environment:
        """Return the environment of a lock, as the store beneath."""
        return self._store.ensure(lock)

    def log_of(self, key: str) -> Path | None:
        """Return the file with what was said when the environment of a lock was made, as the store beneath."""
        return self._store.log_of(key)

    def close(self) -> None:
        """Use the environments of `ensure` no more, as the store beneath."""
        self._store.close()
