"""The keys as their user sees them: which there are, taking one to another machine, making a new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rollwright.signing.keys import Keyring
from rollwright.signing.machine_keys import load_identity, make_identity
from rollwright.signing.trusted_keys import PUBLIC_PREFIX

__all__ = ["KeyListing", "export_key", "import_key", "list_keys", "rotate_key", "share_identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyListing:
    """The keys of this user on this machine; never their bytes.

    Attributes
    ----------
    folder : str
        Where they lie.
    keys : list of str
        Their ids, the one that signs first; empty before the first use.
    public : str or None
        The public half of the machine's own identity, as another machine is given it; with it, the machine signs in
        its own name. None when it has none.
    """

    folder: str
    keys: list[str]
    public: str | None


def list_keys() -> KeyListing:
    """Return what there is; nothing is made."""
    ring = Keyring()
    machine = load_identity(ring.folder)
    return KeyListing(
        folder=str(ring.folder),
        keys=[key.id for key in ring.list_keys()],
        public=None if machine is None else _public(machine.public),
    )


def export_key(path: Path) -> str:
    """Write the key that signs to the new file `path`, readable by its owner only, and return its id."""
    return Keyring().export(path).id


def import_key(path: Path) -> str:
    """Let the key in `path` sign here from now on, and return its id; older keys go on verifying."""
    return Keyring().import_key(path).id


def rotate_key() -> str:
    """Let a new key sign from now on, and return its id; older keys go on verifying."""
    return Keyring().rotate().id


def share_identity() -> str:
    """Return the public half of this machine's identity, which is made now if there is none."""
    return _public(make_identity(Keyring().folder).public)


def _public(raw: bytes) -> str:
    return f"{PUBLIC_PREFIX}{raw.hex()}"
