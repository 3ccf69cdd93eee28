"""Dates written as text: what a text shows, and what is no date whatever a parser makes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright import D, init
from rollwright.calendar.date_text import explain_no_date, normalize_date_text, parse_date, parse_dates
from rollwright.calendar.trading import to_range_end, to_session
from rollwright.errors import CalendarError
from rollwright.market.demo import make_demo_market

DAY = "2020-01-02"
MORNING = "2020-01-02 09:35:00"
SHOWN = {
    "2020-01-02": DAY, "2020/1/2": DAY, "2020.01.02": DAY, "20200102": DAY, "2020年1月2日": DAY, " 2020-01-02 ": DAY,
    "02-Jan-2020": DAY, "2 January 2020": DAY, "Jan 2, 2020": DAY, "2020-01-02T09:35:00": MORNING,
    "2020-01-02T09:35:00.000000": MORNING, "2020-01-02 09:35:00.000": MORNING, "2020-01-02 09:35": MORNING,
    "2020/1/2 9:35": MORNING, "2020/1/2 9:35:00 AM": MORNING, "20200102 09:35": MORNING, "20200102 09:35:00": MORNING,
    "20200102093500": MORNING, "202001020935": MORNING, "20200102093500000": MORNING, "20200102T093500": MORNING,
    "2020-01-02 09:35 PM": "2020-01-02 21:35:00", "2020-01-02 12:05 AM": "2020-01-02 00:05:00",
    "2020-02-29": "2020-02-29",
}  # fmt: skip
NO_DATES = {
    "04/01/2010": "it could be 1 Apr or 4 Jan", "4-1-2010": "it could be 1 Apr or 4 Jan",
    "13/01/2010": "does not begin with the year", "1/2/20": "which of its numbers is the year",
    "20-01-02": "which of its numbers is the year", "2020": "names no day", "2020-01": "names no day",
    "1577929200": "a count of seconds", "1577929200000": "a count of seconds", "43831": "a spreadsheet's number",
    "2020-02-30": "there is no such day", "2020-01-02 24:30": "there is no such day or time", "now": "is not a date",
    "today": "is not a date", "": "is not a date", "2020-01-02 soon": "is not a date",
    "２０２０-01-02": "is not a date", "0201-20-20": "no such day",
    "2020-01-02 09:35:00 CST": "a zone is read as Z or +08:00",
    "2020-01-02T09:35+08:00[Asia/Shanghai]": "a zone is read",
}  # fmt: skip
ZONED = {
    "2020-01-02T01:35:00Z": MORNING[:11] + "01:35:00",
    "2020-01-02 09:35:00+08:00": MORNING[:11] + "01:35:00",
    "2020-01-01T20:35:00.000-0500": MORNING[:11] + "01:35:00",
    "2020-01-02 01:35:00 UTC": MORNING[:11] + "01:35:00",
}


@pytest.mark.parametrize("text", SHOWN)
def test_a_text_is_the_clock_it_shows(text):
    assert parse_date(text) == (pd.Timestamp(SHOWN[text]), False)
    assert to_session(text) == pd.Timestamp(SHOWN[text])
    assert normalize_date_text(text) == SHOWN[text]


@pytest.mark.parametrize("text", NO_DATES)
def test_what_does_not_show_a_day_is_not_a_date(text):
    assert parse_date(text) == (None, False)
    assert NO_DATES[text] in explain_no_date(text)
    with pytest.raises(CalendarError, match="YYYY-MM-DD"):
        to_session(text)


@pytest.mark.parametrize("text", ZONED)
def test_a_zone_counts_where_the_text_shows_one(text):
    assert parse_date(text) == (pd.Timestamp(ZONED[text]), True)
    with pytest.raises(CalendarError, match="has a time zone"):
        to_session(text)


def test_forms_may_be_mixed_in_one_column():
    column = parse_dates([*SHOWN, "soon", *ZONED])
    assert [str(stamp) for stamp in pd.DatetimeIndex(column.clock[: len(SHOWN)])] == [
        str(pd.Timestamp(shown)) for shown in SHOWN.values()
    ]
    assert np.isnat(column.clock[len(SHOWN)])
    assert column.zoned.tolist() == [False] * (len(SHOWN) + 1) + [True] * len(ZONED)
    assert [bool(flag) for flag in column.timed[:9]] == [False] * 9
    assert len(parse_dates([]).clock) == 0


@pytest.mark.parametrize(
    ("form", "text", "shown"),
    [
        ("dmy", "04/01/2010", "2010-01-04"),
        ("mdy", "04/01/2010", "2010-04-01"),
        ("mdy", "4/1/2010 9:35", "2010-04-01 09:35"),
        ("dmy", "2010-01-04", "2010-01-04"),
    ],
)
def test_the_order_of_the_numbers_may_be_declared(form, text, shown):
    assert parse_date(text, form=form) == (pd.Timestamp(shown), False)
    assert parse_date("13/13/2010", form=form) == (None, False)


@pytest.mark.parametrize(
    ("form", "text"), [("epoch-s", "1577928900"), ("epoch-ms", "1577928900000"), ("epoch-s", "1577928900.0")]
)
def test_counts_from_1970_are_instants_once_declared(form, text):
    assert parse_date(text, form=form) == (pd.Timestamp("2020-01-02 01:35"), True)
    assert parse_date("soon", form=form) == (None, False)


def test_every_stamp_of_a_year_comes_back():
    stamps = pd.date_range("2019-12-30", "2021-01-02", freq="37min")
    for form in ("%Y%m%d%H%M%S", "%Y/%m/%d %H:%M", "%d-%b-%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"):
        assert (parse_dates(list(stamps.strftime(form))).clock == stamps.floor("min").to_numpy()).all()


def test_ends_of_a_range_name_whole_periods():
    assert to_range_end("2020") == "2020"
    assert to_range_end("2020-01") == "2020-01"
    assert to_range_end("2020/1/6") == "2020-01-06"
    assert to_range_end("2020/1/6 9:35") == pd.Timestamp("2020-01-06 09:35")
    assert to_range_end(None) is None
    with pytest.raises(CalendarError, match="which number is the month"):
        to_range_end("04/01/2010")


def test_an_ambiguous_date_is_refused_wherever_a_range_is_asked(tmp_path):
    make_demo_market(tmp_path / "market", instruments=20, sessions=120)
    init(provider_uri=str(tmp_path / "market"), region="us")
    for ask in (
        lambda: D.features("all", ["$close"], "04/01/2010", None),
        lambda: D.calendar("04/01/2010"),
        lambda: D.list_instruments("all", start_time="04/01/2010"),
    ):
        with pytest.raises(CalendarError, match="which number is the month"):
            ask()
