"""A calendar before a sealed holdout: it ends there, and a date from there on that is named is refused, never cut."""

from __future__ import annotations

import copy
import pickle
from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.adjuster import TimeAdjuster
from rollwright.calendar.holdout import Holdout
from rollwright.calendar.segment import OPEN
from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import CalendarError, CalendarRangeError, HoldoutSealedError

DAYS = pd.bdate_range("2016-12-01", "2017-01-31")
HOLDOUT = Holdout.from_setting(("2017-01-03", "2017-01-20"), origin="rollwright.toml")
WHOLE = TradingCalendar(DAYS, known=len(DAYS) - 3)
SEALED = WHOLE.before(HOLDOUT)


def test_the_calendar_ends_before_the_holdout_also_where_the_holdout_ends():
    assert SEALED.last == SEALED.last_known == pd.Timestamp("2017-01-02")
    assert len(SEALED) == SEALED.known == int((DAYS < "2017-01-03").sum())
    assert (WHOLE.holdout, SEALED.holdout) == (None, HOLDOUT)
    assert pd.Timestamp("2017-01-03") not in SEALED
    assert pd.Timestamp("2017-01-24") not in SEALED


@pytest.mark.parametrize("named", ["2017-01-03", "2099-12-31", date(2017, 1, 3), np.datetime64("2017-02")])
@pytest.mark.parametrize(
    "ask",
    [
        lambda calendar, day: calendar.index(day),
        lambda calendar, day: calendar.at_or_after(day),
        lambda calendar, day: calendar.at_or_before(day),
        lambda calendar, day: calendar.offset(day, -1),
        lambda calendar, day: calendar.distance("2016-12-01", day),
        lambda calendar, day: calendar.positions(None, day),
        lambda calendar, day: calendar.positions(day, None),
        lambda calendar, day: calendar.sessions("2016-12-01", day),
        lambda calendar, day: calendar.refuse_sealed(None, day),
        lambda calendar, day: calendar.refuse_sealed(day),
        lambda calendar, day: calendar.known_part().sessions(None, day),
        lambda calendar, day: calendar.known_until(2).sessions(None, day),
        lambda calendar, day: calendar.take(np.arange(3)).at_or_before(day),
        lambda calendar, day: pickle.loads(pickle.dumps(calendar)).at_or_before(day),
        lambda calendar, day: copy.deepcopy(calendar).at_or_before(day),
        lambda calendar, day: TimeAdjuster(calendar=calendar).align_time(day, "end"),
        lambda calendar, day: TimeAdjuster(calendar=calendar, end_time=day).max(),
        lambda calendar, day: TimeAdjuster(calendar=calendar, end_time="2016-12-20").align_time(day, "end"),
    ],
)
def test_a_date_that_is_named_is_refused_by_every_question(ask, named):
    with pytest.raises(HoldoutSealedError):
        ask(SEALED, named)


def test_an_open_end_is_the_last_session_before_it():
    assert SEALED.positions() == range(len(SEALED))
    assert SEALED.sessions("2016-12-30")[-1] == pd.Timestamp("2017-01-02")
    SEALED.refuse_sealed("2016-12-01", None)
    SEALED.refuse_sealed("2016-12-01", "2017-01-02")
    WHOLE.refuse_sealed("2017-01-03")


def test_the_error_says_the_range_who_sealed_it_and_what_to_do():
    with pytest.raises(HoldoutSealedError) as caught:
        SEALED.index("2017-01-05")
    assert caught.value.message == (
        "2017-01-05 lies in the sealed holdout [2017-01-03, 2017-01-20] (data.holdout, from rollwright.toml): nothing "
        "from 2017-01-03 on is read while it is sealed"
    )
    assert "rollwright unseal --reason TEXT" in (caught.value.hint or "")
    error = caught.value
    assert (error.asked, error.start, error.end, error.origin) == (
        "2017-01-05", "2017-01-03", "2017-01-20", "rollwright.toml",
    )  # fmt: skip
    assert not isinstance(error, CalendarRangeError)  # which some callers take for "beyond what is known"


def test_a_calendar_that_lies_wholly_in_it_is_refused():
    with pytest.raises(HoldoutSealedError, match="the whole calendar"):
        WHOLE.before(Holdout(start=pd.Timestamp("2016-12-01")))
    with pytest.raises(HoldoutSealedError):
        TradingCalendar(DAYS, holdout=HOLDOUT)


def test_a_holdout_after_the_known_sessions_hides_the_future_ones():
    sealed = WHOLE.before(Holdout(start=pd.Timestamp("2017-01-30")))
    assert (len(sealed), sealed.known) == (len(DAYS) - 2, WHOLE.known)


def test_calendars_that_answer_differently_are_not_equal():
    plain = TradingCalendar(SEALED.values)
    assert plain != SEALED
    assert pickle.loads(pickle.dumps(SEALED)) == SEALED == copy.deepcopy(SEALED)
    assert hash(SEALED) == hash(copy.deepcopy(SEALED))


@pytest.mark.parametrize(
    ("start", "end", "is_sealed"),
    [
        (None, "2016", False), (None, "2017", True), ("2017", None, False), ("2018", None, True),
        (None, "2016-12", False), (None, "2017-01", True), ("2017-01", None, False), ("2017-02", None, True),
        (None, "2017-01-02", False), (None, "2017-01-02 23:59:59", False), (None, "2017-01-03", True),
        (None, "9999", True), (None, "9999-12-31", True), (date(2017, 1, 2), datetime(2017, 1, 2, 15), False),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_a_text_stands_for_the_whole_of_its_period(start, end, is_sealed):
    if is_sealed:
        with pytest.raises(HoldoutSealedError):
            HOLDOUT.refuse_range(start, end)
    else:
        HOLDOUT.refuse_range(start, end)


@pytest.mark.parametrize("bad", ["2017-13", "17-01-03", object(), pd.NaT, pd.Timestamp("2017-01-05", tz="UTC")])
def test_what_is_no_date_is_no_range_either(bad):
    with pytest.raises(CalendarError):
        HOLDOUT.refuse_range(None, bad)


SEALED_DAY = pd.Timestamp("2017-01-05")


@pytest.mark.parametrize(
    "selector",
    [
        "2017-01-05",
        SEALED_DAY,
        SEALED_DAY.to_datetime64(),
        slice("2016-12-01", "2017"),
        slice((SEALED_DAY, "A"), None),
        ("2016-12-05", "2017-01-05"),
        [SEALED_DAY],
        pd.DatetimeIndex([SEALED_DAY]),
        pd.MultiIndex.from_tuples([(pd.Timestamp("2016-12-05"), "A"), (SEALED_DAY, "B")]),
        (slice(None, "2017-01-05"), slice(None)),
        [("2016-12-05", "A"), (SEALED_DAY, "B")],
        np.array(["2016-12-05", "2017-01-05"], dtype="datetime64[D]"),
        np.array(["2016-12-05", "2017-01-05"]),
        {SEALED_DAY},
    ],
)
def test_a_selector_of_rows_that_names_a_sealed_day_is_refused(selector):
    with pytest.raises(HoldoutSealedError):
        HOLDOUT.refuse_selector(selector)


@pytest.mark.parametrize(
    "selector",
    [
        slice(None), None, "SH600000", "AAPL", ["AAPL", "000001"], ("2016-12-01", "2017-01-02"), 20170105, [1, 2],
        np.arange(3), np.ones(3, bool), pd.Series([True]), {"2017-01-05": 1}, pd.NaT, ["2017-13-45"], [[[[["2017"]]]]],
    ],
)  # fmt: skip
def test_what_names_no_sealed_day_is_left_to_its_reader(selector):
    HOLDOUT.refuse_selector(selector)


def test_holdouts_are_equal_by_their_days_and_cover_what_they_hold():
    assert Holdout.from_setting(("2017-01-03", "2017-01-20"), origin="another") == HOLDOUT
    wider = Holdout(start=HOLDOUT.start, end=OPEN)
    assert wider.covers(HOLDOUT)
    assert not HOLDOUT.covers(wider)
    assert not Holdout(start=pd.Timestamp("2017-01-04")).covers(HOLDOUT)
    assert (HOLDOUT.pair, wider.pair) == (("2017-01-03", "2017-01-20"), ("2017-01-03", "open"))
    with pytest.raises(CalendarError, match="before it starts"):
        Holdout(start=pd.Timestamp("2017-01-03"), end=pd.Timestamp("2017-01-02"))


@given(st.integers(1, len(DAYS) - 1), st.integers(0, len(DAYS) - 1))
def test_every_session_is_either_answered_as_before_or_refused(cut, asked):
    sealed = WHOLE.before(Holdout(start=DAYS[cut]))
    if asked < cut:
        assert sealed.index(DAYS[asked]) == WHOLE.index(DAYS[asked])
    else:
        with pytest.raises(HoldoutSealedError):
            sealed.index(DAYS[asked])
