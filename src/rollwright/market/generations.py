"""Generations of viewpoints: what is put before the generation of a source that is seen from a moment."""

from __future__ import annotations

from typing import Final, Literal

import pandas as pd

from rollwright.calendar.trading import Session, TradingCalendar

__all__ = ["count_unchanged", "name_generation", "read_generation"]

_LABEL: Final = "%Y-%m-%dT%H:%M:%S"
_LENGTH: Final = len("2020-01-02T00:00:00")
_KINDS: Final = ("as-of:", "sealed:")


def name_generation(kind: Literal["as-of", "sealed"], moment: Session, generation: str) -> str:
    """Return the generation of a source of `generation` as it is seen at `moment`, the last one that is seen."""
    return f"{kind}:{moment.strftime(_LABEL)}:{generation}"


def read_generation(generation: str) -> tuple[Session | None, str]:
    """Return the last moment that all viewpoints of a generation see, None without one, and that of the source."""
    seen: Session | None = None
    while (kind := next((one for one in _KINDS if generation.startswith(one)), None)) is not None:
        end = len(kind) + _LENGTH
        moment = pd.Timestamp(generation[len(kind) : end])
        seen = moment if seen is None else min(seen, moment)
        generation = generation[end + 1 :]
    return seen, generation


def count_unchanged(unchanged: int, seen: Session | None, calendar: TradingCalendar) -> int:
    """Return how many of the first `unchanged` sessions of `calendar` a viewpoint that `seen` ends saw too."""
    if seen is None:
        return unchanged
    return min(unchanged, int(calendar.values.searchsorted(seen.asm8.astype(calendar.values.dtype), "right")))
