"""The port to environments: a lock, and the interpreter that was installed by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Environment", "EnvironmentLock", "EnvironmentStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentLock:
    """Every package of an environment with its version and the SHA-256 of its archives.

    Attributes
    ----------
    text : str
        As ``pip install --require-hashes`` reads it, rollwright's own wheel apart; no address of an index. It is
        sorted, so that the same packages are the same text.
    python : str
        Version and platform it was compiled for, as ``3.11.7-linux-x86_64``.
    rollwright : str
        SHA-256 of the wheel of the rollwright that runs now.
    key : str
        SHA-256 of the three: equal keys mean equal environments.
    """

    text: str
    python: str
    rollwright: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment that is whole.

    Attributes
    ----------
    lock : EnvironmentLock
    path : Path
    python : Path
        Its interpreter; ``python -m rollwright`` runs the same rollwright as this process.
    """

    lock: EnvironmentLock
    path: Path
    python: Path


class EnvironmentStore(Protocol):
    """Compiles locks, and makes the environments of them; several processes may share one."""

    def compile(self, requirements: Path) -> EnvironmentLock:
        """Return the lock of a requirements file; the same file gives the same lock until it is removed.

        Raises
        ------
        RequirementsError
            For a line that asks for more than packages by name and version.
        EnvironmentFailedError
            When no set of versions fits.
        """
        ...

    def ensure(self, lock: EnvironmentLock) -> Environment:
        """Return the environment of a lock, made if it is not there: whole or not at all, and once.

        It is in use, and nobody removes it, until `close` or the end of this process.

        Raises
        ------
        EnvironmentFailedError
            When it cannot be made; ``log`` names the file with what the installer said.
        CompareError
            For a lock that was made for another Python, another platform or another rollwright, or by hand.
        """
        ...

    def log_of(self, key: str) -> Path | None:
        """Return the file with what was said when the environment of a lock was made; None where nothing is."""
        ...

    def close(self) -> None:
        """Use the environments of `ensure` no more; they may be removed now."""
        ...
