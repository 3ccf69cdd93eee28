"""Reporting periods: quarters, years and months as the numbers that fields by period are kept under.

A quarter is ``YYYYQQ`` (``201903``, the third of 2019), a year ``YYYY``, a month ``YYYYMM``. The number alone does not
say which (``201903`` is a month, too): the field's suffix does. Counting and shifting is done on *ordinals*, whole
numbers without gaps.

What holds from a day on, as the membership in an index, is kept in the same way under that day, ``YYYYMMDD``: a *dated*
field, with the suffix ``_d``. Days have ordinals too, 366 of each year: after a common year one is left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollwright.calendar.interval import PERIODS_PER_YEAR, Interval, interval_of
from rollwright.errors import CalendarError

__all__ = [
    "PERIODS_PER_YEAR",
    "Interval",
    "are_periods",
    "check_periods",
    "interval_of",
    "to_day_numbers",
    "to_days",
    "to_ordinals",
    "to_period_ends",
    "to_periods",
]

_NAMES: Final[dict[Interval, str]] = {
    "q": "quarter, as 201903",
    "a": "year, as 2019",
    "m": "month, as 201911",
    "d": "day, as 20190617",
}
_FIRST_YEAR: Final = 1000
_LAST_YEAR: Final = 9999
_LAST_DAY: Final = 99991231


def check_periods(periods: ArrayLike, interval: Interval) -> NDArray[np.int64]:
    """Return `periods` as whole numbers when each is a period of `interval`.

    Raises
    ------
    CalendarError
        Naming the first that is none.
    """
    found = np.asarray(periods)
    fits = are_periods(found, interval)
    if not fits.all():
        odd = found[int(np.argmin(fits))] if found.ndim else found
        raise CalendarError(f"{odd} is no {_NAMES[interval]}")
    return found.astype(np.int64)


def are_periods(numbers: ArrayLike, interval: Interval) -> NDArray[np.bool_]:
    """Say of each number whether it is a period of `interval`."""
    found = np.asarray(numbers)
    per_year = PERIODS_PER_YEAR[interval]
    with np.errstate(invalid="ignore"):
        whole = found.astype(np.int64)
    if interval == "d":
        year, fits = whole // 10000, np.asarray(to_day_numbers(to_days(np.clip(whole, 0, _LAST_DAY))) == whole)
    else:
        year, part = (whole, np.ones_like(whole)) if per_year == 1 else (whole // 100, whole % 100)
        fits = (part >= 1) & (part <= per_year)
    return np.asarray(fits & (whole == found) & (year >= _FIRST_YEAR) & (year <= _LAST_YEAR))


def to_ordinals(periods: ArrayLike, interval: Interval) -> NDArray[np.int64]:
    """Return the ordinals of `periods`: consecutive periods have consecutive ones, across years too.

    Days alone are one apart within a year only.

    Raises
    ------
    CalendarError
        For a number that is no period of `interval`.
    """
    numbers = check_periods(periods, interval)
    per_year = PERIODS_PER_YEAR[interval]
    if interval == "d":
        days = to_days(numbers).astype(np.int64)
        first = to_days(numbers // 10000 * 10000 + 101).astype(np.int64)
        placed: NDArray[np.int64] = np.add(numbers // 10000 * per_year, days - first)
        return placed
    return numbers if per_year == 1 else numbers // 100 * per_year + numbers % 100 - 1


def to_periods(ordinals: ArrayLike, interval: Interval) -> NDArray[np.int64]:
    """Return the periods of `ordinals`; undoes `to_ordinals`."""
    numbers = np.asarray(ordinals, np.int64)
    per_year = PERIODS_PER_YEAR[interval]
    if interval == "d":
        first = to_days(numbers // per_year * 10000 + 101).astype(np.int64)
        return to_day_numbers(np.add(first, numbers % per_year).astype("datetime64[D]"))
    return numbers if per_year == 1 else numbers // per_year * 100 + numbers % per_year + 1


def to_period_ends(periods: ArrayLike, interval: Interval) -> NDArray[np.datetime64]:
    """Return the last day of each of `periods`, datetime64[D]; a day is its own.

    Raises
    ------
    CalendarError
        For a number that is no period of `interval`.
    """
    if interval == "d":
        return to_days(check_periods(periods, interval))
    months = 12 // PERIODS_PER_YEAR[interval]
    next_month = (to_ordinals(periods, interval) + 1) * months - 1970 * 12
    ends: NDArray[np.datetime64] = next_month.astype("datetime64[M]").astype("datetime64[D]")
    return np.subtract(ends, np.timedelta64(1, "D"))


def to_days(numbers: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Return the days of ``YYYYMMDD``, those of a month that has not so many in the next one."""
    months = (numbers // 10000 - 1970) * 12 + numbers // 100 % 100 - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return np.add(first, numbers % 100 - 1).astype("datetime64[D]")


def to_day_numbers(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return ``YYYYMMDD`` of days."""
    months = days.astype("datetime64[M]")
    number = months.astype(np.int64)
    of_month = days.astype(np.int64) - months.astype("datetime64[D]").astype(np.int64)
    numbers: NDArray[np.int64] = np.add((number // 12 + 1970) * 10000 + (number % 12 + 1) * 100, of_month + 1)
    return numbers
