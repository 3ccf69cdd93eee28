"""How long the periods of a field are, by its name alone: what looks at a folder asks, and needs no NumPy for it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

__all__ = ["PERIODS_PER_YEAR", "Interval", "interval_of"]

Interval: TypeAlias = Literal["q", "a", "m", "d"]
"""How long a period is: a quarter, a year, a month; or, of a dated field, the day from which its value holds."""

PERIODS_PER_YEAR: Final[dict[Interval, int]] = {"q": 4, "a": 1, "m": 12, "d": 366}


def interval_of(field: str) -> Interval | None:
    """Return the interval of a field by period, given without ``$$``, by its suffix; None without one.

    Examples
    --------
    >>> interval_of("roe_q"), interval_of("dividend_a"), interval_of("factor_d"), interval_of("close")
    ('q', 'a', 'd', None)
    """
    for interval in PERIODS_PER_YEAR:
        if len(field) > 2 and field.endswith(f"_{interval}"):
            return interval
    return None
