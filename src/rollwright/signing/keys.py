"""The keys that sign what must be pickled: 32 random bytes in a file that only their owner can read.

The key is created at the first use; on one machine the user has nothing to do. A keyring holds several keys: the newest
signs, all of them verify. The bytes of a key stay in this module: nothing prints, logs, pickles or returns them.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from hmac import new as new_mac
from pathlib import Path
from typing import Any, Final, NoReturn

from rollwright.config.settings import user_data_folder
from rollwright.core.atomic import make_folder as make_durable_folder
from rollwright.core.atomic import put_new, sync_folder
from rollwright.core.bounded_read import open_regular
from rollwright.core.locks import file_lock
from rollwright.errors import KeyringError

__all__ = ["Key", "Keyring", "check_private", "make_folder", "place_new_file"]

KEY_BYTES: Final = 32
_HEADER: Final = "rollwright key 1\n"


class Key:
    """One key: it signs and verifies, and never shows its bytes.

    Attributes
    ----------
    id : str
        SHA-256 of a label and the key, 64 hexadecimal digits: it identifies the key and does not reveal it.
    """

    __slots__ = ("__raw", "id")

    def __init__(self, raw: bytes) -> None:
        self.__raw = raw
        self.id = sha256(b"rollwright key id\0" + raw).hexdigest()

    def __repr__(self) -> str:
        return f"Key({self.id[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never copied or pickled")

    def sign(self, parts: Iterable[bytes | memoryview]) -> bytes:
        """Return the HMAC-SHA256 of `parts`, one after another."""
        mac = new_mac(self.__raw, digestmod="sha256")
        for part in parts:
            mac.update(part)
        return mac.digest()

    def verifies(self, proof: bytes, parts: Iterable[bytes | memoryview]) -> bool:
        """Return whether `proof` is this key's signature of `parts`, in constant time."""
        return compare_digest(proof, self.sign(parts))

    def pass_to(self, make: Callable[[bytes], Any]) -> Any:
        """Return `make(bytes)` for the key's bytes; `make` must not show them."""
        return make(self.__raw)

    def write(self, path: Path, *, text: bool = False) -> bool:
        """Write the key to the new file `path`, readable by its owner only; False when the file exists."""
        return place_new_file(path, self._fill_text if text else self._fill)

    def _fill(self, handle: int) -> None:  # the bytes are in no local variable, which a traceback might show
        os.write(handle, self.__raw)

    def _fill_text(self, handle: int) -> None:
        os.write(handle, f"{_HEADER}{self.__raw.hex()}\n".encode())

    @classmethod
    def read(cls, path: Path) -> Key:
        """Return the key in `path`.

        Raises
        ------
        KeyringError
            When somebody else owns the file or may read it, or when it holds no key.
        """
        with _PrivateFile(path) as handle:
            key = _key_in(os.read(handle, 256))
        if key is None:
            raise KeyringError(f"{path} holds no key", hint="restore it from a copy, or move it away for a new one")
        return key

    @classmethod
    def generate(cls) -> Key:
        """Return a new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))


def _key_in(found: bytes) -> Key | None:
    """Return the key that a file holds; it raises no error, so that no traceback shows the bytes."""
    if len(found) == KEY_BYTES:
        return Key(found)
    head, _, rest = found.decode("ascii", errors="replace").partition("\n")
    digits = rest.strip()
    if f"{head}\n" != _HEADER or re.fullmatch(r"[0-9a-f]{64}", digits) is None:
        return None
    return Key(bytes.fromhex(digits))


class _PrivateFile:
    """A private file, open for reading inside a block, after its owner and mode were checked."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> int:
        try:
            self.file = open_regular(self.path, follow=False)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise KeyringError(f"the key file {self.path} cannot be read: {error.strerror}") from error
        try:
            check_private(self.path, os.fstat(self.file.fileno()))
        except BaseException:
            self.file.close()
            raise
        return self.file.fileno()

    def __exit__(self, *_: object) -> None:
        self.file.close()


def check_private(path: Path, found: os.stat_result, *, readable: bool = False) -> None:
    """Refuse a file that does not belong to this user alone.

    Parameters
    ----------
    readable : bool
        With True others may read it, as long as they may not write it.

    Raises
    ------
    KeyringError
    """
    if not stat.S_ISREG(found.st_mode):
        raise KeyringError(f"{path} is no plain file")
    if not hasattr(os, "geteuid"):  # Windows, where the folder's access list is what protects it (untested there)
        return
    if found.st_uid != os.geteuid():
        raise KeyringError(f"{path} belongs to another user (id {found.st_uid})", hint="it must be yours")
    shared = stat.S_IMODE(found.st_mode) & (0o022 if readable else 0o077)
    if shared:
        may = "write" if shared & 0o022 else "read"
        raise KeyringError(
            f"others may {may} {path} (mode {stat.S_IMODE(found.st_mode):04o})", hint=f"chmod 600 {path}"
        )


def make_folder(folder: Path) -> None:
    """Create the keyring's folder, open to its owner only.

    Raises
    ------
    KeyringError
    """
    try:
        if not folder.is_dir():
            make_durable_folder(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)
    except OSError as error:
        raise KeyringError(
            f"the folder of the keys, {folder}, cannot be made: {error.strerror}",
            hint="name another one with the environment variable XDG_DATA_HOME",
        ) from error


def place_new_file(path: Path, fill: Callable[[int], object]) -> bool:
    """Create the file `path`, which `fill` writes, with mode 0600 from the start; return False when it exists.

    Guarantees: a reader finds the file complete or not at all, and of several concurrent calls exactly one succeeds.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            fill(handle)
            os.fsync(handle)
        finally:
            os.close(handle)
        placed = put_new(draft, path)
    except OSError as error:
        raise KeyringError(
            f"{path} cannot be written: {error.strerror}",
            hint="name another folder with the environment variable XDG_DATA_HOME",
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    if placed:
        sync_folder(path.parent)
    return placed


class Keyring:
    """The keys of this user on this machine.

    Parameters
    ----------
    folder : Path, optional
        ``$XDG_DATA_HOME/rollwright`` if not given. ``key`` in it signs; ``keys/`` holds the older ones.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = user_data_folder() if folder is None else folder

    def __repr__(self) -> str:
        return f"Keyring({str(self.folder)!r})"

    @property
    def path(self) -> Path:
        """The file of the key that signs."""
        return self.folder / "key"

    def signing_key(self) -> Key:
        """Return the key that signs, created now if there is none; safe with concurrent processes.

        Raises
        ------
        KeyringError
        """
        make_folder(self.folder)
        with suppress(FileNotFoundError):
            return Key.read(self.path)
        Key.generate().write(self.path)
        return Key.read(self.path)

    def list_keys(self) -> list[Key]:
        """Return every key, the one that signs first; none is created."""
        found: list[Key] = []
        with suppress(FileNotFoundError):
            found.append(Key.read(self.path))
        for path in sorted((self.folder / "keys").glob("[0-9a-f]*")):
            key = Key.read(path)
            if key not in found:
                found.append(key)
        return found

    def find(self, key_id: str) -> Key | None:
        """Return the key of this id, or None."""
        return next((key for key in self.list_keys() if key.id == key_id), None)

    def rotate(self) -> Key:
        """Create a new key that signs from now on; the old ones still verify, and nothing they signed is rewritten."""
        return self._install(Key.generate())

    def export(self, path: Path) -> Key:
        """Write the key that signs to the new file `path`, readable by its owner only.

        Raises
        ------
        KeyringError
            When a file is there already.
        """
        key = self.signing_key()
        if not key.write(path, text=True):
            raise KeyringError(f"{path} exists, and no key is written over a file", hint="name a new file")
        return key

    def import_key(self, path: Path) -> Key:
        """Import the key in the file `path`, which `export` wrote on another machine; from now on it signs here.

        Raises
        ------
        KeyringError
        """
        try:
            return self._install(Key.read(path))
        except FileNotFoundError as error:
            raise KeyringError(f"there is no file {path}") from error

    def _install(self, key: Key) -> Key:
        make_folder(self.folder)
        older = self.folder / "keys"
        make_folder(older)
        with file_lock(self.folder / "lock"):
            with suppress(FileNotFoundError):
                before = Key.read(self.path)
                before.write(older / before.id)  # first the old one is safe, then the new one takes its place
            fresh = self.path.with_name(f".key.{os.getpid()}.{secrets.token_hex(4)}")
            key.write(fresh)
            fresh.replace(self.path)
            sync_folder(self.folder)
        return key
