"""Whose chain one is: the machine and the user, as the first record of each chain says them."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollwright.core.bounded_read import SMALL, open_regular
from rollwright.core.canonical import JSON, sha256_hex
from rollwright.core.posix import read_user_name
from rollwright.errors import RollwrightError
from rollwright.trials.chain import CHAIN_SUFFIX, WRITER, parse_chain

__all__ = ["ChainOwner", "own_chains"]

_MACHINE_ID: Final = Path("/etc/machine-id")
_NO_LETTER: Final = re.compile(r"[^A-Za-z0-9_.]+")
_LONGEST: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOwner:
    """Machine and user.

    Attributes
    ----------
    machine : str
        What tells this installation from others, hashed; where nothing else does, its name alone.
    user, host : str
        Their names.
    """

    machine: str
    user: str
    host: str

    @classmethod
    def find(cls) -> ChainOwner:
        """Return those of this process."""
        host = platform.node() or "unknown"
        try:
            with open_regular(_MACHINE_ID) as file:
                own = file.read(64)
        except OSError:
            own = b""
        return cls(
            machine=sha256_hex(b"rollwright " + own + host.encode("utf-8", "replace"))[:16],
            user=read_user_name(),
            host=host,
        )

    @property
    def stem(self) -> str:
        """How the names of its chains begin."""
        return f"{_shorten(self.host, 'host')}-{_shorten(self.user, 'user')}"

    @property
    def body(self) -> dict[str, JSON]:
        """What the first record of its chains says."""
        return {"machine": self.machine, "user": self.user, "host": self.host}


def own_chains(folder: Path, owner: ChainOwner) -> list[Path]:
    """Return the files whose names and first records say that they are of this owner, in order."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.startswith(f"{owner.stem}-"))
    found = []
    for name in names:
        if not name.endswith(CHAIN_SUFFIX) or not WRITER.fullmatch(name.removesuffix(CHAIN_SUFFIX)):
            continue
        try:
            with open_regular(folder / name, follow=False) as file:
                start = file.readline(SMALL)
        except (OSError, RollwrightError):
            continue
        chain = parse_chain(start, name=name)
        if not chain.damage and (not chain.records or dict(chain.records[0].body) == owner.body):
            found.append(folder / name)
    return found


def _shorten(text: str, default: str) -> str:
    return _NO_LETTER.sub("_", text).strip("_.")[:_LONGEST] or default
