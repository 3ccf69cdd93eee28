"""Whether an environment is what its lock says: thoroughly when it is made, cheaply whenever it is used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from rollwright.compare.environments.installers import environment_python
from rollwright.compare.environments.lock_text import Pin
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, read_text

__all__ = ["EnvironmentManifest", "find_problems", "is_whole", "list_files", "read_manifest", "write_manifest"]

_NAME: Final = "rollwright-environment.json"
_FORMAT: Final = 1
_MADE_BY_USE: Final = "__pycache__"
_MOST_TOLD: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentManifest:
    """What stands in an environment about itself; it is written last.

    Attributes
    ----------
    key : str
        Of its lock.
    python, rollwright, lock : str
        The fields of its lock.
    installer : str
    packages : dict of str to str
        Version by name, rollwright included.
    files : dict of str to int
        Size in bytes by path; of a link the length of what it names. Bytecode is not listed.
    """

    key: str
    python: str
    rollwright: str
    lock: str
    installer: str
    packages: Mapping[str, str]
    files: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of all files, those shared with a cache or with other environments too."""
        return sum(self.files.values())


def list_files(folder: Path) -> dict[str, int]:
    """Return the size of each file of an environment by its path; bytecode, and what tells of it, is left out."""
    return dict(sorted(_walk(str(folder), "")))


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as found:
        for entry in found:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name != _MADE_BY_USE:
                    yield from _walk(entry.path, f"{name}/")
            elif name != _NAME:
                yield name, entry.stat(follow_symlinks=False).st_size


def write_manifest(folder: Path, manifest: EnvironmentManifest) -> None:
    """Write what an environment is; the caller makes it durable with all else in it."""
    text = json.dumps({"format": _FORMAT, **asdict(manifest)}, sort_keys=True)
    write_text(folder / _NAME, text, durable=False)


def read_manifest(folder: Path) -> EnvironmentManifest | None:
    """Return what an environment is, or None where there is none, or one of another format."""
    try:
        document = json.loads(read_text(folder / _NAME, limit=MEDIUM))
        if document.pop("format") != _FORMAT:
            return None
        manifest = EnvironmentManifest(**document)
        texts = (manifest.key, manifest.python, manifest.rollwright, manifest.lock, manifest.installer)
        named = all(isinstance(text, str) for text in (*texts, *manifest.packages, *manifest.packages.values()))
        sized = all(isinstance(path, str) and isinstance(size, int) for path, size in manifest.files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return manifest if named and sized else None


def is_whole(folder: Path, *, key: str) -> bool:
    """Tell whether the environment in `folder` is that of `key`, with every file in its place and of its size.

    Guarantees: a file that was removed, cut or grown is noticed, and an interpreter that is gone. Not guaranteed: one
    whose bytes were changed in place to as many others.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.key != key:
        return False
    if not os.access(environment_python(folder), os.X_OK):
        return False
    root = str(folder)
    try:
        return all(os.lstat(f"{root}/{path}").st_size == size for path, size in manifest.files.items())
    except (OSError, ValueError):
        return False


def find_problems(folder: Path, pins: Sequence[Pin], own: tuple[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the packages of an environment with their versions, and what is not as its lock says.

    1. Exactly the packages of the lock are there, in their versions, and rollwright's own.
    2. Each requirement of each of them holds, markers considered.

    Parameters
    ----------
    folder : Path
    pins : sequence of Pin
    own : tuple of str
        Name and version of rollwright's wheel.
    """
    found: dict[str, metadata.Distribution] = {
        canonicalize_name(one.metadata["Name"]): one
        for one in metadata.distributions(path=[str(path) for path in sorted(folder.glob("lib/python*/site-packages"))])
    }
    versions: dict[str, str] = {name: one.version for name, one in sorted(found.items())}
    wanted = {**{pin.name: pin.version for pin in pins}, canonicalize_name(own[0]): own[1]}
    problems = [
        f"{name} is {versions.get(name, 'not there')} in place of {wanted.get(name, 'nothing')}"
        for name in sorted(versions.keys() | wanted.keys())
        if versions.get(name) != wanted.get(name)
    ]
    for name, one in found.items():
        problems += [f"{name} {reason}" for reason in _unmet(one.requires or (), versions)]
    return versions, problems[:_MOST_TOLD]


def _unmet(requires: Sequence[str], versions: Mapping[str, str]) -> Iterator[str]:
    for text in requires:
        try:
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            version = versions.get(canonicalize_name(wanted.name))
            if version is None or not wanted.specifier.contains(version, prereleases=True):
                yield f"needs {wanted.name}{wanted.specifier}, and there is {version or 'none'}"
        except (InvalidRequirement, ValueError, KeyError) as error:
            yield f"needs what cannot be read: {text} ({error})"
