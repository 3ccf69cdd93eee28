"""Lengths of time and sizes of memory as people write them."""

from __future__ import annotations

import re
from typing import Final

from rollwright.core.text import escape_text
from rollwright.errors import ConfigError

__all__ = ["read_gigabytes", "read_seconds"]

_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_SECONDS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_GIGABYTES: Final = {"": 1.0, "g": 1.0, "gb": 1.0, "m": 1e-3, "mb": 1e-3, "t": 1e3, "tb": 1e3,
                     "gib": 1.073741824, "mib": 1.048576e-3}  # fmt: skip


def read_seconds(text: str | float) -> float:
    """Return seconds: ``90``, ``90s``, ``30m``, ``2h``, ``1d``.

    Raises
    ------
    ConfigError
    """
    return _read(text, _SECONDS, "a length of time, such as 90, 90s, 30m or 2h")


def read_gigabytes(text: str | float) -> float:
    """Return GB: ``8``, ``8G``, ``512M``, ``1.5GiB``.

    Raises
    ------
    ConfigError
    """
    return _read(text, _GIGABYTES, "a size, such as 8, 8G or 512M")


def _read(text: str | float, units: dict[str, float], what: str) -> float:
    found = _NUMBER.fullmatch(str(text).strip())
    if found is None or found[2].lower() not in units or float(found[1]) <= 0:
        raise ConfigError(f"{escape_text(repr(text), longest=60)} is not {what}")
    return float(found[1]) * units[found[2].lower()]
