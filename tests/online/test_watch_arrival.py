"""Whether data arrive: by the calendar where it tells the future, by weekdays where it does not."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.market.frame import FrameSource
from rollwright.online.watch.arrival import find_arrival, measure_prices


def calendar(*sessions, known):
    return TradingCalendar(sessions, known=known)


def find(given, now, *, deadline="18:30", timezone="Asia/Shanghai"):
    now = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return find_arrival(given, now=now, deadline=time.fromisoformat(deadline), timezone=timezone)


WEEK = calendar("2024-05-16", "2024-05-17", known=2)  # a Thursday and a Friday


@pytest.mark.parametrize(
    ("now", "missing", "expected"),
    [
        ("2024-05-17T12:00:00", 0, None),
        ("2024-05-19T12:00:00", 0, None),
        ("2024-05-20T10:29:59", 0, None),
        ("2024-05-20T10:30:00", 1, date(2024, 5, 20)),
        ("2024-05-25T10:30:00", 5, date(2024, 5, 24)),
    ],
)
def test_without_a_future_calendar_each_weekday_is_expected_and_said_to_be_a_guess(now, missing, expected):
    found = find(WEEK, now)
    assert (found.missing, found.expected, found.is_late) == (missing, expected, missing > 0)
    assert found.is_guess is (missing > 0)
    assert found.due == datetime(2024, 5, 20, 10, 30, tzinfo=UTC)
    assert found.last == date(2024, 5, 17)


def test_a_future_calendar_knows_of_holidays():
    known = calendar("2024-04-30", "2024-05-06", "2024-05-07", known=1)
    assert not find(known, "2024-05-03T23:00:00").is_late
    found = find(known, "2024-05-07T11:00:00")
    assert (found.missing, found.expected, found.is_guess) == (2, date(2024, 5, 7), False)
    assert find(known, "2024-05-08T11:00:00").is_guess


def test_the_deadline_hangs_in_its_own_time_zone():
    assert not find(WEEK, "2024-05-20T20:00:00", timezone="America/New_York").is_late
    assert find(WEEK, "2024-05-20T22:31:00", timezone="America/New_York").is_late


def market(close, volume=None):
    """Return a market of two sessions from a column of closes each."""
    index = pd.MultiIndex.from_product(
        [pd.to_datetime(["2024-05-16", "2024-05-17"]), [f"S{number}" for number in range(len(close[0]))]],
        names=["datetime", "instrument"],
    )
    values = {"close": np.concatenate(close)}
    if volume is not None:
        values["volume"] = np.concatenate(volume)
    return FrameSource(pd.DataFrame(values, index=index).dropna(how="all"))


def test_prices_of_the_last_session_are_held_beside_those_before():
    found = measure_prices(market([[1.0, 2.0, 3.0, 4.0], [1.0, 2.5, np.nan, 4.0]]))
    assert (found.before, found.known, found.frozen) == (4, 3, 2)
    assert (found.share, found.frozen_share) == (0.75, pytest.approx(2 / 3))
    assert found.session == pd.Timestamp("2024-05-17")


def test_a_close_is_frozen_only_with_its_volume():
    found = measure_prices(market([[1.0, 2.0], [1.0, 2.0]], [[10.0, 20.0], [11.0, 20.0]]))
    assert (found.known, found.frozen) == (2, 1)
