"""Whom this user trusts beside their own keys: machines by public key, and single files by what they hold."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.core.atomic import write_atomically
from rollwright.core.bounded_read import SMALL, open_regular, read_rest
from rollwright.core.locks import file_lock
from rollwright.errors import ConfigError, KeyringError
from rollwright.signing.keys import check_private, make_folder
from rollwright.signing.machine_keys import Machine

__all__ = ["PUBLIC_PREFIX", "Trusted", "TrustedEntry"]

PUBLIC_PREFIX: Final = "ed25519:"
_FORMAT: Final = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedEntry:
    """A machine or a file that is trusted.

    Attributes
    ----------
    kind : str
        ``machine`` or ``file``.
    value : str
        Its public key or its SHA-256, 64 hexadecimal digits.
    name : str
        What the user calls it.
    """

    kind: str
    value: str
    name: str


class Trusted:
    """The list of what is trusted, in ``trusted.json`` beside the keys.

    Guarantees: a list that another user could have written is refused, not believed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "trusted.json"

    def entries(self) -> list[TrustedEntry]:
        """Return everything on the list.

        Raises
        ------
        KeyringError
            When the list is not this user's own, or is no list.
        """
        try:
            with open_regular(self.path) as file:
                check_private(self.path, os.fstat(file.fileno()), readable=True)
                document: Any = json.loads(read_rest(file, limit=SMALL))
            rows = [TrustedEntry(**row) for row in document["trusted"]]
            if document["format"] != _FORMAT or not all(_is_sound(row) for row in rows):
                raise ValueError("it holds entries this version cannot follow")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise KeyringError(f"{self.path} cannot be read: {said}", hint="move it away and trust anew") from error
        return rows

    def machine(self, public: bytes, *, own: Machine | None) -> str | None:
        """Return the name of the trusted machine with this public key; None when there is none."""
        if own is not None and own.public == public:
            return "this one"
        return self._name("machine", public.hex())

    def has_file(self, digest: str) -> bool:
        """Tell whether the file with this SHA-256 is trusted."""
        return self._name("file", digest) is not None

    def _name(self, kind: str, value: str) -> str | None:
        return next((row.name for row in self.entries() if (row.kind, row.value) == (kind, value)), None)

    def add(self, given: str, *, name: str | None = None) -> TrustedEntry:
        """Trust a machine (``ed25519:…``) or a file (its SHA-256), and return the entry.

        Raises
        ------
        ConfigError
            When `given` is neither, a machine gets no name, or the name is taken or no name.
        """
        kind = "machine" if given.startswith(PUBLIC_PREFIX) else "file"
        value = given.removeprefix(PUBLIC_PREFIX).strip().lower()
        if not _DIGEST.fullmatch(value):
            raise ConfigError(
                f"{given[:80]!r} is neither a machine's public key nor a file's SHA-256",
                hint="`rollwright key share` prints the one, `sha256sum FILE` the other",
            )
        if kind == "machine" and name is None:
            raise ConfigError("a machine is trusted under a name", hint="add: --name lab2")
        entry = TrustedEntry(kind=kind, value=value, name=value[:16] if name is None else name)
        if not _NAME.fullmatch(entry.name):
            raise ConfigError(f"{entry.name[:80]!r} is no name", hint="letters, digits, and . _ - within")
        make_folder(self.folder)
        with file_lock(self.folder / "lock"):
            rows = [row for row in self.entries() if (row.kind, row.value) != (kind, value)]
            if any(row.name == entry.name for row in rows):
                raise ConfigError(f"something else is trusted as {entry.name!r} already", hint="choose another name")
            self._write([*rows, entry])
        return entry

    def remove(self, given: str) -> TrustedEntry:
        """Trust no longer what has this name, public key or SHA-256, and return what it was.

        Raises
        ------
        ConfigError
            When nothing like it is trusted.
        """
        wanted = given.removeprefix(PUBLIC_PREFIX).strip()
        make_folder(self.folder)
        with file_lock(self.folder / "lock"):
            rows = self.entries()
            found = next((row for row in rows if wanted in (row.name, row.value)), None)
            if found is None:
                known = ", ".join(row.name for row in rows)
                raise ConfigError(f"nothing is trusted as {given[:80]!r}", hint=f"trusted are: {known or 'none'}")
            self._write([row for row in rows if row is not found])
        return found

    def _write(self, rows: list[TrustedEntry]) -> None:
        listed = [{"kind": row.kind, "value": row.value, "name": row.name} for row in rows]
        text = json.dumps({"format": _FORMAT, "trusted": listed}, indent=1) + "\n"
        write_atomically(self.path, lambda draft: _write_private(draft, text.encode()))


def _write_private(path: Path, body: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, body)
    finally:
        os.close(handle)


def _is_sound(row: TrustedEntry) -> bool:
    return row.kind in ("machine", "file") and bool(_DIGEST.fullmatch(row.value)) and bool(_NAME.fullmatch(row.name))
