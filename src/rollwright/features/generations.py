"""Generations of what expressions read: that of the daily data, and that of the fields by period among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rollwright.core.canonical import sha256_hex
from rollwright.market.source import DataSource
from rollwright.market.viewpoint import by_period

__all__ = ["generation_of", "split_generation"]

_MARK: Final = "+vintages:"
_DIGITS: Final = 24


def generation_of(source: DataSource, periods: Sequence[str]) -> str:
    """Return the identity of the data that expressions read which read the fields by period `periods`.

    Without any it is that of the daily data, so that nothing else is computed again when a report is restated.

    Raises
    ------
    NotPointInTimeError
        When `source` has no fields by period.
    """
    if not periods:
        return source.generation
    known = by_period(source, periods[0]).vintage_generation(sorted(periods))
    return f"{source.generation}{_MARK}{sha256_hex(known.encode())[:_DIGITS]}"


def split_generation(generation: str) -> tuple[str, str | None]:
    """Return the generation of the daily data and a digest of that of the fields by period, None without any."""
    daily, mark, digest = generation.rpartition(_MARK)
    return (daily, digest) if mark and len(digest) == _DIGITS else (generation, None)
