"""The environment of this process in the place of others: nothing is installed, and what is required must be here."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from rollwright import __version__
from rollwright.compare.environment import Environment, EnvironmentLock
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.canonical import sha256_hex
from rollwright.errors import EnvironmentFailedError, RequirementsError

__all__ = ["ThisEnvironment"]

_COMMENT: Final = "#"


class ThisEnvironment:
    """An `EnvironmentStore` that gives the interpreter of this process to every model.

    A lock holds the versions of the required packages as they are installed here; a model that requires others has no
    environment. For machines without a package index, and where all models need the same packages anyway.
    """

    def compile(self, requirements: Path) -> EnvironmentLock:
        """Return the installed versions of what a requirements file names.

        Raises
        ------
        RequirementsError
            For a line that is no requirement by name and version.
        EnvironmentFailedError
            When a required package is not installed here, or in another version.
        """
        lines: list[str] = []
        for number, line in enumerate(read_text(requirements, limit=SMALL).splitlines(), 1):
            text = line.partition(_COMMENT)[0].strip()
            if text and (found := _find_installed(text, requirements, number)) is not None:
                lines.append(found)
        text = "".join(f"{line}\n" for line in sorted(set(lines)))
        python = f"{platform.python_version()}-{sys.platform}-{platform.machine()}"
        return EnvironmentLock(
            text=text,
            python=python,
            rollwright=__version__,
            key=sha256_hex(f"{text}\n{python}\n{__version__}".encode()),
        )

    def ensure(self, lock: EnvironmentLock) -> Environment:
        """Return this environment."""
        return Environment(lock=lock, path=Path(sys.prefix), python=Path(sys.executable))

    def log_of(self, key: str) -> Path | None:
        """Return None: nothing is installed."""
        del key
        return None

    def close(self) -> None:
        """Nothing is held."""


def _find_installed(text: str, path: Path, number: int) -> str | None:
    """Return ``name==version`` of what is installed; None where the requirement is not for this interpreter."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise RequirementsError(
            f"`{text[:100]}` is no package by name and version: {error}", path=str(path), line=number
        ) from error
    if requirement.url is not None:
        raise RequirementsError(f"`{text[:100]}` names an address", path=str(path), line=number)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        raise EnvironmentFailedError(
            f"`{text}` is required, and {requirement.name} is not installed here",
            hint="install it, or let the model have an environment of its own",
        ) from None
    if not requirement.specifier.contains(version, prereleases=True):
        raise EnvironmentFailedError(
            f"`{text}` is required, and here is {requirement.name} {version}",
            hint="let the model have an environment of its own",
        )
    return f"{requirement.name.lower()}=={version}"
