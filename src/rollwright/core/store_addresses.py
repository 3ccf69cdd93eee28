"""Addresses of stores for files, as ``s3://bucket/folder``: told from paths, and checked before anybody opens them."""

from __future__ import annotations

import re
from typing import Final

from rollwright.core.masking import mask_secrets
from rollwright.errors import ConfigError

__all__ = ["check_store_address", "is_store_address"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.:\-]*)://")
_FORM: Final = re.compile(r"[a-z][a-z0-9+.\-]*://[^\s?#\x00-\x1f\x7f\\]+")
_READ_ONLY: Final = ("http", "https", "github", "git", "zip", "tar", "libarchive", "reference", "data")
"""Schemes that fsspec reads from, or that are views of another one."""


def is_store_address(text: str) -> bool:
    """Tell whether `text` is an address of a store and not a path, nor a ``file:`` URI."""
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme[1].lower() != "file"


def check_store_address(text: str) -> str:
    """Return an address without a slash at its end.

    Raises
    ------
    ConfigError
        For one with a password in it, with ``?``, ``#``, ``..`` or blanks, of a chain of stores (``::``), or of a kind
        that nothing can be written to.
    """
    shown = mask_secrets(text)
    rest = text.partition("://")[2]
    if "@" in rest and not text.startswith(("abfs://", "abfss://")):  # there it divides container and account
        raise ConfigError(
            f"the address {shown} has a login in it, which would be shown wherever the address is",
            hint="leave it out: the store's library finds it in the environment, as AWS_ACCESS_KEY_ID",
        )
    parts = rest.rstrip("/").split("/")
    if not _FORM.fullmatch(text) or "::" in text or any(part in {"", ".", ".."} for part in parts):
        raise ConfigError(f"{shown} is no address of files", hint="as s3://bucket/folder")
    if text.partition(":")[0] in _READ_ONLY:
        raise ConfigError(f"nothing can be written to {shown}", hint="as s3://bucket/folder, or a folder")
    return text.rstrip("/")
