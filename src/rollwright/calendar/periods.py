"""Reporting periods: quarters, years and months as the numbers that fields by period are kept under.

A quarter is ``YYYYQQ`` (``201903``, the third of 2019), a year ``YYYY``, a month ``YYYYMM``. The number alone does not
say which (``201903`` is a month, too): the field's suffix does. Counting and shifting is done on *ordinals*, whole
numbers without gaps.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.errors import CalendarError

__all__ = [
    "PERIODS_PER_YEAR",
    "Interval",
    "check_periods",
    "interval_of",
    "to_ordinals",
    "to_period_ends",
    "to_periods",
]

Interval: TypeAlias = Literal["q", "a", "m"]
"""How long a period is: a quarter, a year, a month."""

PERIODS_PER_YEAR: Final[dict[Interval, int]] = {"q": 4, "a": 1, "m": 12}
_NAMES: Final[dict[Interval, str]] = {"q": "quarter, as 201903", "a": "year, as 2019", "m": "month, as 201911"}
_FIRST_YEAR: Final = 1000
_LAST_YEAR: Final = 9999


def interval_of(field: str) -> Interval | None:
    """Return the interval of a field by period, given without ``$$``, by its suffix; None without one.

    Examples
    --------
    >>> interval_of("roe_q"), interval_of("dividend_a"), interval_of("close")
    ('q', 'a', None)
    """
    for interval in PERIODS_PER_YEAR:
        if len(field) > 2 and field.endswith(f"_{interval}"):
            return interval
    return None


def check_periods(periods: ArrayLike, interval: Interval) -> NDArray[np.int64]:
    """Return `periods` as whole numbers when each is a period of `interval`.

    Raises
    ------
    CalendarError
        Naming the first that is none.
    """
    found = np.asarray(periods)
    per_year = PERIODS_PER_YEAR[interval]
    with np.errstate(invalid="ignore"):
        numbers = found.astype(np.int64)
    year, part = (numbers, np.ones_like(numbers)) if per_year == 1 else (numbers // 100, numbers % 100)
    fits = (numbers == found) & (year >= _FIRST_YEAR) & (year <= _LAST_YEAR) & (part >= 1) & (part <= per_year)
    if not fits.all():
        odd = found[int(np.argmin(fits))] if found.ndim else found
        raise CalendarError(f"{odd} is no {_NAMES[interval]}")
    return numbers


def to_ordinals(periods: ArrayLike, interval: Interval) -> NDArray[np.int64]:
    """Return the ordinals of `periods`: consecutive periods have consecutive ones, across years too.

    Raises
    ------
    CalendarError
        For a number that is no period of `interval`.
    """
    numbers = check_periods(periods, interval)
    per_year = PERIODS_PER_YEAR[interval]
    return numbers if per_year == 1 else numbers // 100 * per_year + numbers % 100 - 1


def to_periods(ordinals: ArrayLike, interval: Interval) -> NDArray[np.int64]:
    """Return the periods of `ordinals`; undoes `to_ordinals`."""
    numbers = np.asarray(ordinals, np.int64)
    per_year = PERIODS_PER_YEAR[interval]
    return numbers if per_year == 1 else numbers // per_year * 100 + numbers % per_year + 1


def to_period_ends(periods: ArrayLike, interval: Interval) -> NDArray[np.datetime64]:
    """Return the last day of each of `periods`, datetime64[D].

    Raises
    ------
    CalendarError
        For a number that is no period of `interval`.
    """
    months = 12 // PERIODS_PER_YEAR[interval]
    next_month = (to_ordinals(periods, interval) + 1) * months - 1970 * 12
    ends: NDArray[np.datetime64] = next_month.astype("datetime64[M]").astype("datetime64[D]")
    return np.subtract(ends, np.timedelta64(1, "D"))
