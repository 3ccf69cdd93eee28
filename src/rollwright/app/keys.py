"""Keys and trust as a user sees them: listing, moving and renewing keys; trusting other machines and single files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rollwright.signing.keys import Keyring
from rollwright.signing.machine_keys import load_identity, make_identity
from rollwright.signing.trusted_keys import PUBLIC_PREFIX, Trusted, TrustedEntry

__all__ = [
    "KeyListing",
    "TrustedEntry",
    "export_key",
    "import_key",
    "list_keys",
    "list_trusted",
    "rotate_key",
    "share_identity",
    "stop_trusting",
    "trust",
]


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
        public=None if machine is None else _format_public(machine.public),
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
    return _format_public(make_identity(Keyring().folder).public)


def _format_public(raw: bytes) -> str:
    return f"{PUBLIC_PREFIX}{raw.hex()}"


def list_trusted() -> list[TrustedEntry]:
    """Return everything that is trusted beside this user's own keys."""
    return _open_trusted().entries()


def trust(given: str, *, name: str | None) -> TrustedEntry:
    """Trust a machine (``ed25519:…``, which needs a name) or a file (its SHA-256)."""
    return _open_trusted().add(given, name=name)


def stop_trusting(given: str) -> TrustedEntry:
    """Take a machine or a file off the list, by its name, public key or SHA-256."""
    return _open_trusted().remove(given)


def _open_trusted() -> Trusted:
    return Trusted(Keyring().folder)
