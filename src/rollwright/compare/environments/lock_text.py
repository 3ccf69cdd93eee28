"""The text of a lock: each package once, with its version and the SHA-256 of its archives, and nothing else."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rollwright.compare.environment import EnvironmentLock
from rollwright.core.text import escape_text
from rollwright.errors import CompareError

__all__ = ["Pin", "describe_python", "format_lock", "parse_lock", "seal_lock"]

_PIN: Final = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)==([a-z0-9][a-z0-9.+!]*)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_SHOWN: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A package of a lock.

    Attributes
    ----------
    name : str
        Normalised.
    version : str
    hashes : tuple of str
        SHA-256 in hex of each archive that may be installed, sorted.
    """

    name: str
    version: str
    hashes: tuple[str, ...]


def describe_python() -> str:
    """Return version and platform of the Python that runs now, as ``3.11.7-linux-x86_64``."""
    return f"{platform.python_version()}-{sys.platform}-{platform.machine().lower()}"


def format_lock(pins: Iterable[Pin]) -> str:
    """Return the text of a lock, by name; the same packages are the same text, whichever installer found them."""
    parts = []
    for pin in sorted(pins, key=lambda one: one.name):
        lines = [f"{pin.name}=={pin.version}", *(f"    --hash=sha256:{digest}" for digest in sorted(pin.hashes))]
        parts.append(" \\\n".join(lines))
    return "".join(f"{part}\n" for part in parts)


def parse_lock(text: str) -> tuple[Pin, ...]:
    """Return the packages of a lock; comments and empty lines are skipped.

    Raises
    ------
    CompareError
        For anything that is not a package with its version and at least one SHA-256, and for a package given twice.
    """
    pins: dict[str, Pin] = {}
    for line in text.replace("\\\n", " ").splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        package = _PIN.fullmatch(words[0])
        hashes = [_HASH.fullmatch(word) for word in words[1:]]
        if package is None or not hashes or None in hashes:
            raise CompareError(
                f"a line of a lock is no NAME==VERSION with SHA-256s: {escape_text(line.strip(), longest=_SHOWN)}",
                hint="locks are made by rollwright; remove this one, and it is compiled anew",
            )
        name, version = package.groups()
        if name in pins:
            raise CompareError(f"a lock has {name} twice", hint="remove it, and it is compiled anew")
        digests = tuple(sorted({found.group(1) for found in hashes if found is not None}))
        pins[name] = Pin(name=name, version=version, hashes=digests)
    return tuple(pins.values())


def seal_lock(text: str, *, python: str, rollwright: str) -> EnvironmentLock:
    """Return the lock of a text in its one form, with its key.

    Raises
    ------
    CompareError
        As `parse_lock`.
    """
    canonical = format_lock(parse_lock(text))
    digest = hashlib.sha256("\0".join((canonical, python, rollwright)).encode()).hexdigest()
    return EnvironmentLock(text=canonical, python=python, rollwright=rollwright, key=digest)
