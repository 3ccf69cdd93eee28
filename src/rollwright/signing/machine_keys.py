"""A machine's own identity: an Ed25519 pair, for those who exchange files between machines that share no key.

The private key never leaves the machine that created it; other machines are given the public key, to trust it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from rollwright.core.optional import require
from rollwright.signing.keys import Key, make_folder

__all__ = ["Machine", "load_identity", "make_identity", "verify_machine_signature"]

_FILE: Final = "machine"


class Machine:
    """The private key of this machine's identity; it signs, and never shows its bytes.

    Attributes
    ----------
    public : bytes
        The public key.
    """

    __slots__ = ("__private", "public")

    def __init__(self, private: Any) -> None:
        self.__private = private
        self.public: bytes = private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"Machine({self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is never copied or pickled")

    def sign(self, digest: bytes) -> bytes:
        """Return the signature of `digest`, 64 bytes."""
        signature: bytes = self.__private.sign(digest)
        return signature


def load_identity(folder: Path) -> Machine | None:
    """Return the identity stored in the keyring's `folder`; None when there is none.

    Raises
    ------
    MissingExtraError
        When there is one and the extra ``signing`` is not installed.
    KeyringError
        When its file is not this user's alone.
    """
    path = folder / _FILE
    if not os.path.lexists(path):
        return None
    from_bytes = _ed25519().Ed25519PrivateKey.from_private_bytes
    with suppress(FileNotFoundError):
        return Machine(Key.read(path).pass_to(from_bytes))
    return None


def make_identity(folder: Path) -> Machine:
    """Return the identity stored in `folder`, created now if there is none; from then on it signs."""
    _ed25519()
    make_folder(folder)
    Key.generate().write(folder / _FILE)
    found = load_identity(folder)
    if found is None:  # somebody removed it at this very moment
        return make_identity(folder)
    return found


def verify_machine_signature(public: bytes, signature: bytes, digest: bytes) -> bool:
    """Return whether `signature` of `digest` is by the machine with this public key."""
    ed25519 = _ed25519()
    invalid: type[Exception] = require("cryptography.exceptions", extra="signing").InvalidSignature
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, digest)
    except (invalid, ValueError):
        return False
    return True


def _ed25519() -> Any:
    return require("cryptography.hazmat.primitives.asymmetric.ed25519", extra="signing")
