"""Generations of viewpoints: what is put before the generation of a source that is seen from a moment.

The prefixes, outermost first: ``sealed:`` and ``as-of:`` with the last moment that is seen, ``members:`` with a digest
of the memberships that were known then, ``adjusted:`` with one of the adjustment factors, and, of fields by period
alone, ``lag:`` with how much later than announced they are seen.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import pandas as pd

from rollwright.calendar.trading import Session, TradingCalendar

__all__ = ["count_unchanged", "name_generation", "name_known", "name_lag", "read_generation", "tells_lag"]

_LABEL: Final = "%Y-%m-%dT%H:%M:%S"
_SEEN: Final = re.compile(r"(?:(?:as-of|sealed):(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)|members:[0-9a-f]+):")
_LAG: Final = re.compile(r"(?:^|:)lag:")


def name_generation(kind: Literal["as-of", "sealed"], moment: Session, generation: str) -> str:
    """Return the generation of a source of `generation` as it is seen at `moment`, the last one that is seen."""
    return f"{kind}:{moment.strftime(_LABEL)}:{generation}"


def name_known(kind: Literal["members", "adjusted"], digest: str, generation: str) -> str:
    """Return the generation of a source of which memberships, or adjustments, are those that `digest` tells."""
    return f"{kind}:{digest}:{generation}"


def name_lag(lag: str, generation: str) -> str:
    """Return the generation of fields by period that are seen with a `lag`."""
    return f"lag:{lag}:{generation}"


def tells_lag(generation: str) -> bool:
    """Tell whether the fields by period of a `generation` are seen later than they were announced."""
    return _LAG.search(generation) is not None


def read_generation(generation: str) -> tuple[Session | None, str]:
    """Return the last moment that all viewpoints of a generation see, None without one, and that of the source.

    Who belonged to a universe changes no value, so that it is left out; prices that were adjusted otherwise are those
    of another source.
    """
    seen: Session | None = None
    while (found := _SEEN.match(generation)) is not None:
        if found[1] is not None:
            moment = pd.Timestamp(found[1])
            seen = moment if seen is None else min(seen, moment)
        generation = generation[found.end() :]
    return seen, generation


def count_unchanged(unchanged: int, seen: Session | None, calendar: TradingCalendar) -> int:
    """Return how many of the first `unchanged` sessions of `calendar` a viewpoint that `seen` ends saw too."""
    if seen is None:
        return unchanged
    return min(unchanged, int(calendar.values.searchsorted(seen.asm8.astype(calendar.values.dtype), "right")))
