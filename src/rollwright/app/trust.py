"""Whom the user trusts: other machines by their public keys, single files by their SHA-256."""

from __future__ import annotations

from rollwright.signing.keys import Keyring
from rollwright.signing.trusted_keys import Trusted, TrustedEntry

__all__ = ["TrustedEntry", "list_trusted", "trust", "trust_no_longer"]


def list_trusted() -> list[TrustedEntry]:
    """Return everything that is trusted beside this user's own keys."""
    return _trusted().entries()


def trust(given: str, *, name: str | None) -> TrustedEntry:
    """Trust a machine (``ed25519:…``, which needs a name) or a file (its SHA-256)."""
    return _trusted().add(given, name=name)


def trust_no_longer(given: str) -> TrustedEntry:
    """Take a machine or a file off the list, by its name, public key or SHA-256."""
    return _trusted().remove(given)


def _trusted() -> Trusted:
    return Trusted(Keyring().folder)
