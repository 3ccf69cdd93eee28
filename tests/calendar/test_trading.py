"""The trading calendar: positions, alignment, arithmetic, and what it refuses."""

from copy import deepcopy
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.trading import TradingCalendar, to_session
from rollwright.errors import CalendarError, CalendarRangeError, SegmentError

DAYS = ("2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07", "2020-01-08")


@pytest.fixture
def cal():
    return TradingCalendar(DAYS, known=4)


def test_the_ends_and_the_known_part(cal):
    assert (len(cal), cal.known, cal.freq) == (5, 4, "day")
    assert cal.first == pd.Timestamp("2020-01-02")
    assert cal.last == pd.Timestamp("2020-01-08")
    assert cal.last_known == pd.Timestamp("2020-01-07")
    assert cal.known_part() == TradingCalendar(DAYS[:4])
    assert cal[4].tzinfo is None


@pytest.mark.parametrize("position", [-1, -5, 5, 99])
def test_a_position_outside_is_refused_and_never_wraps(cal, position):
    with pytest.raises(CalendarRangeError, match="5 sessions from 2020-01-02 to 2020-01-08"):
        cal[position]


@pytest.mark.parametrize(
    "spelling",
    [
        "2020-01-06",
        date(2020, 1, 6),
        datetime(2020, 1, 6),  # noqa: DTZ001 - sessions are naive
        pd.Timestamp("2020-01-06"),
        pd.Timestamp("2020-01-06").as_unit("ns"),
        np.datetime64("2020-01-06"),
        np.datetime64("2020-01-06", "ns"),
    ],
)
def test_every_spelling_of_a_date_is_the_same_session(cal, spelling):
    assert cal.index(spelling) == 2
    assert spelling in cal
    assert cal.at_or_after(spelling) == cal.at_or_before(spelling) == 2


def test_alignment_between_sessions(cal):
    assert cal.at_or_after("2020-01-04") == 2
    assert cal.at_or_before("2020-01-05") == 1
    assert cal.at_or_after("2020-01-06 00:00:00.000001") == 3
    assert cal.at_or_before(pd.Timestamp("2020-01-06") - pd.Timedelta(1, "ns")) == 1
    assert "2020-01-04" not in cal
    assert "2020-01-01" not in cal
    assert "2020-01-09" not in cal
    assert 3 not in cal


def test_alignment_outside_the_calendar_is_an_error_with_its_range(cal):
    with pytest.raises(CalendarRangeError, match=r"before 2020-01-01.*2020-01-02 to 2020-01-08"):
        cal.at_or_before("2020-01-01")
    with pytest.raises(CalendarRangeError, match=r"after 2020-01-09.*2020-01-02 to 2020-01-08"):
        cal.at_or_after("2020-01-09")
    assert cal.at_or_after("1999-01-01") == 0
    assert cal.at_or_before("2999-01-01") == 4


def test_index_wants_a_session(cal):
    with pytest.raises(CalendarRangeError, match="2020-01-04 is not a session"):
        cal.index("2020-01-04")
    with pytest.raises(CalendarRangeError, match="2021-01-04 is not a session"):
        cal.index("2021-01-04")


def test_offset_and_distance(cal):
    assert cal.offset("2020-01-03", 2) == pd.Timestamp("2020-01-07")
    assert cal.offset("2020-01-03", -1) == pd.Timestamp("2020-01-02")
    assert cal.distance("2020-01-02", "2020-01-08") == 4
    assert cal.distance("2020-01-08", "2020-01-02") == -4
    for steps in (-2, 4):
        with pytest.raises(CalendarRangeError, match=f"2020-01-03 moved by {steps} sessions"):
            cal.offset("2020-01-03", steps)


def test_positions_are_the_sessions_inside_the_closed_range(cal):
    assert cal.positions("2020-01-03", "2020-01-07") == range(1, 4)
    assert cal.positions() == range(5)
    assert cal.positions("2020-01-04", "2020-01-05") == range(2, 2)
    assert cal.positions("2000-01-01", "2001-01-01") == range(0)
    assert cal.positions(end="2020-01-03") == range(2)
    assert list(cal.sessions("2020-01-04")) == [pd.Timestamp(day) for day in DAYS[2:]]
    with pytest.raises(SegmentError, match="it ends before it starts"):
        cal.positions("2020-01-07", "2020-01-03")


def test_a_calendar_is_a_value(cal):
    same = TradingCalendar(pd.DatetimeIndex(DAYS).as_unit("ns"), known=4)
    assert cal == same
    assert hash(cal) == hash(same)
    assert cal != TradingCalendar(DAYS)
    assert cal != TradingCalendar(DAYS, known=4, freq="5min")
    assert cal != "calendar"
    assert repr(cal) == "TradingCalendar(5 sessions from 2020-01-02 to 2020-01-08, freq='day', known=4)"
    assert list(cal) == list(cal.to_index())
    assert cal.values.dtype == np.dtype("datetime64[s]")
    with pytest.raises(ValueError, match="read-only"):
        cal.values[0] = np.datetime64("1999-01-01")


def test_a_copy_is_equal_and_cannot_be_changed_either(cal):
    copy = deepcopy(cal)
    assert copy == cal
    assert not copy.values.flags.writeable


def test_the_caller_s_array_stays_its_own():
    days = np.array(DAYS, dtype="datetime64[s]")
    cal = TradingCalendar(days)
    days[0] = np.datetime64("1999-01-01")
    assert cal.first == pd.Timestamp("2020-01-02")


@pytest.mark.parametrize(
    ("sessions", "words"),
    [
        ([], "without sessions"),
        (["2020-01-02", "2020-01-02"], "2020-01-02 at position 1 is there twice"),
        (["2020-01-03", "2020-01-02"], "2020-01-02 at position 1 comes after a later one"),
        (["2020-01-02", "tomorrow's"], "is not a date"),
        (["2020-01-02", "NaT"], "NaT"),
        (np.array(["2020-01-02", "NaT"], dtype="datetime64[D]"), "NaT at position 1"),
        (["2020-01-02 09:30:00.5"], "not a whole second"),
        ([20200102], "not a date"),
        (["2020-01-02T00:00:00+08:00"], "time zone"),
        ([datetime(2020, 1, 2, tzinfo=UTC)], "time zone"),
        (pd.DatetimeIndex(DAYS, tz="UTC"), "time zone UTC"),
    ],
)
def test_what_is_no_calendar_is_refused(sessions, words):
    with pytest.raises(CalendarError, match=words):
        TradingCalendar(sessions)


@pytest.mark.parametrize("known", [0, -1, 6])
def test_known_counts_sessions_that_exist(known):
    with pytest.raises(CalendarError, match=f"known = {known}"):
        TradingCalendar(DAYS, known=known)


def test_an_aware_date_is_never_converted_silently(cal):
    with pytest.raises(CalendarError, match="time zone"):
        cal.at_or_after(pd.Timestamp("2020-01-06", tz="Asia/Shanghai"))


def test_sessions_may_follow_each_other_by_a_second():
    cal = TradingCalendar(["2020-01-02 09:30:00", "2020-01-02 09:30:01"], freq="1s")
    assert cal.distance("2020-01-02 09:30:00", "2020-01-02 09:30:01") == 1


def test_intraday_sessions_have_times():
    cal = TradingCalendar(["2020-01-02 09:30:00", "2020-01-02 09:35:00"], freq="5min")
    assert cal.index("2020-01-02 09:35") == 1
    with pytest.raises(CalendarRangeError, match="from 2020-01-02 09:30:00 to 2020-01-02 09:35:00"):
        cal.at_or_after("2020-01-03")


calendars = st.lists(st.dates(date(1990, 1, 1), date(2030, 1, 1)), min_size=1, max_size=40, unique=True).map(
    lambda days: TradingCalendar(sorted(days))
)
moments = st.dates(date(1989, 1, 1), date(2031, 1, 1))


@given(calendars, moments)
def test_law_alignment_brackets_the_moment(cal, moment):
    stamp = to_session(moment)
    days = list(cal)
    after = [place for place, day in enumerate(days) if day >= stamp]
    before = [place for place, day in enumerate(days) if day <= stamp]
    for ask, answers, pick in ((cal.at_or_after, after, min), (cal.at_or_before, before, max)):
        if answers:
            assert ask(moment) == pick(answers)
        else:
            with pytest.raises(CalendarRangeError, match=r"no session at or (before|after)"):
                ask(moment)


@given(calendars, moments, moments)
def test_law_positions_are_a_filter(cal, one, other):
    low, high = sorted((one, other))
    expected = [day for day in cal if to_session(low) <= day <= to_session(high)]
    assert list(cal.sessions(low, high)) == expected
    assert [cal[place] for place in cal.positions(low, high)] == expected


@given(calendars, st.data())
def test_law_offset_undoes_distance(cal, data):
    place = st.integers(0, len(cal) - 1)
    start, end = cal[data.draw(place)], cal[data.draw(place)]
    assert cal.offset(start, cal.distance(start, end)) == end
    assert cal.index(start) == cal.distance(cal.first, start)


def test_a_name_given_to_the_sessions_is_not_given_to_those_of_everybody():
    calendar = TradingCalendar(["2020-01-02", "2020-01-03"])
    mine = calendar.to_index()
    mine.name = "mine"
    assert calendar.to_index().name is None
    assert list(calendar.to_index()) == list(mine)
