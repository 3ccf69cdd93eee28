"""Reporting periods: numbers, ordinals, last days."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.periods import (
    PERIODS_PER_YEAR,
    Interval,
    check_periods,
    interval_of,
    to_ordinals,
    to_period_ends,
    to_periods,
)
from rollwright.errors import CalendarError


@pytest.mark.parametrize(
    ("field", "interval"),
    [
        ("roe_q", "q"),
        ("dividend_a", "a"),
        ("cpi_m", "m"),
        ("factor_d", "d"),
        ("close", None),
        ("_q", None),
        ("roe_w", None),
        ("q", None),
    ],
)
def test_the_suffix_of_a_field_says_its_interval(field: str, interval: str | None) -> None:
    assert interval_of(field) == interval


@given(st.sampled_from(["q", "a", "m"]), st.integers(1000, 9998), st.data())
def test_consecutive_periods_have_consecutive_ordinals(interval: Interval, year: int, data: st.DataObject) -> None:
    per_year = PERIODS_PER_YEAR[interval]
    part = data.draw(st.integers(1, per_year))
    first = year if per_year == 1 else year * 100 + part
    after = (year + 1 if part == per_year else year) * (1 if per_year == 1 else 100)
    after += 0 if per_year == 1 else part % per_year + 1
    low, high = to_ordinals([first, after], interval).tolist()
    assert high - low == 1
    assert to_periods([low, high], interval).tolist() == [first, after]
    ends = to_period_ends([first, after], interval)
    assert ends[0] < ends[1]
    assert (ends[0] + np.timedelta64(1, "D")).astype("datetime64[M]").astype("datetime64[D]") == ends[0] + 1


@pytest.mark.parametrize(
    ("period", "interval", "end"),
    [
        (201903, "q", "2019-09-30"),
        (201904, "q", "2019-12-31"),
        (202001, "q", "2020-03-31"),
        (2019, "a", "2019-12-31"),
        (202002, "m", "2020-02-29"),
        (202112, "m", "2021-12-31"),
        (20200229, "d", "2020-02-29"),
    ],
)
def test_a_period_ends_on_its_last_day(period: int, interval: Interval, end: str) -> None:
    assert to_period_ends(period, interval) == np.datetime64(end)


@pytest.mark.parametrize(
    ("period", "interval"),
    [
        (201905, "q"),
        (201900, "q"),
        (2019, "q"),
        (201901, "a"),
        (999, "a"),
        (201913, "m"),
        (20190229, "d"),
        (20191301, "d"),
        (20190100, "d"),
        (201903, "d"),
        (-20190301, "d"),
        (-201903, "q"),
        (201901.5, "q"),
    ],
)
def test_a_number_that_is_no_period_is_refused_by_name(period: float, interval: Interval) -> None:
    with pytest.raises(CalendarError, match=str(period).replace(".", r"\.")):
        check_periods([period], interval)


def test_nan_is_no_period() -> None:
    with pytest.raises(CalendarError, match="nan"):
        check_periods([201901.0, np.nan], "q")


@given(st.dates(min_value=date(1000, 1, 1)), st.integers(0, 800))
def test_days_have_ordinals_in_their_order_within_366_of_their_year(day: date, after: int) -> None:
    later = date.fromordinal(min(day.toordinal() + after, date.max.toordinal()))
    numbers = [one.year * 10000 + one.month * 100 + one.day for one in (day, later)]
    low, high = to_ordinals(numbers, "d").tolist()
    assert low == day.year * 366 + day.timetuple().tm_yday - 1
    assert (low < high) == (day < later)
    assert to_periods([low, high], "d").tolist() == numbers
    assert to_period_ends(numbers, "d").tolist() == [day, later]
