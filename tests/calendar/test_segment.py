"""Segments and purging."""

import dataclasses

import pandas as pd
import pytest

from rollwright.calendar.purge import Purge, purge_days
from rollwright.calendar.segment import OPEN, Segment
from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import CalendarError, CalendarRangeError, SegmentError

CAL = TradingCalendar(pd.bdate_range("2020-01-02", "2020-01-15"))


def seg(first, last):
    return Segment(start=CAL[first], end=OPEN if last is OPEN else CAL[last])


def test_a_segment_is_a_value_and_never_empty():
    assert seg(1, 3) == Segment(start=pd.Timestamp("2020-01-03"), end=pd.Timestamp("2020-01-07"))
    assert hash(seg(1, 3)) == hash(seg(1, 3))
    assert seg(1, 1).positions(CAL) == range(1, 2)
    with pytest.raises(SegmentError, match=r"\[2020-01-07, 2020-01-03\].*ends before it starts"):
        seg(3, 1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'start'"):
        seg(1, 3).start = CAL[0]


@pytest.mark.parametrize("pair", [("2020-01-04", "2020-01-12"), ["2020-01-04", "2020-01-12"]])
def test_dates_align_inwards(pair):
    assert Segment.aligned(pair, CAL) == seg(2, 6)
    assert Segment.aligned(seg(2, 6), CAL) == seg(2, 6)


@pytest.mark.parametrize("pair", [("2020-01-07", "2020-01-07"), ("2020-01-07", "2020-01-07 15:00")])
def test_dates_that_hold_one_session_make_a_segment_of_it(pair):
    assert Segment.aligned(pair, CAL) == seg(3, 3)


def test_an_open_end_is_open_and_only_where_it_may_be():
    test = Segment.aligned(("2020-01-04", None), CAL, open_end=True)
    assert test == seg(2, OPEN)
    assert test.as_tuple() == (CAL[2], None)
    assert test.positions(CAL) == range(2, 10)
    assert repr(OPEN) == str(OPEN) == "OPEN"
    with pytest.raises(SegmentError, match="its end is open"):
        Segment.aligned(("2020-01-04", None), CAL)
    with pytest.raises(SegmentError, match="its start is open"):
        Segment.aligned((None, "2020-01-04"), CAL, open_end=True)


@pytest.mark.parametrize(
    ("pair", "error", "words"),
    [
        (("2020-01-04", "2020-01-05"), SegmentError, "it holds no session"),
        (("2020-01-08", "2020-01-06"), SegmentError, "it ends before it starts"),
        (("2019-01-01", "2019-12-31"), CalendarRangeError, "at or before 2019-12-31"),
        (("2021-01-01", "2021-12-31"), CalendarRangeError, "at or after 2021-01-01"),
        (("2020-01-04",), SegmentError, "no pair"),
        ("20", SegmentError, "no pair"),
    ],
)
def test_what_is_no_segment_is_refused(pair, error, words):
    with pytest.raises(error, match=words):
        Segment.aligned(pair, CAL)


def test_shifting_and_extending_never_clip():
    assert seg(1, 3).shifted(2, CAL) == seg(3, 5)
    assert seg(1, 3).extended(2, CAL) == seg(1, 5)
    assert seg(1, OPEN).shifted(2, CAL) == seg(3, OPEN)
    assert seg(1, OPEN).extended(2, CAL) == seg(1, OPEN)
    with pytest.raises(CalendarRangeError, match="2020-01-07 moved by 7 sessions leaves the calendar"):
        seg(1, 3).shifted(7, CAL)
    with pytest.raises(CalendarRangeError, match="moved by -2 sessions leaves the calendar"):
        seg(1, 3).shifted(-2, CAL)


def test_purging_leaves_the_samples_whose_label_is_known_before_test():
    # test starts at 6; with span 2 the last clean sample is 3: it reads 4 and 5
    assert seg(0, 5).purged_before(seg(6, 9), label_span=2, calendar=CAL) == seg(0, 3)
    assert seg(0, 5).purged_before(seg(6, 9), label_span=2, embargo=2, calendar=CAL) == seg(0, 1)
    assert seg(0, 2).purged_before(seg(6, 9), label_span=2, calendar=CAL) == seg(0, 2)
    assert seg(0, OPEN).purged_before(seg(6, 9), label_span=0, calendar=CAL) == seg(0, 5)


def test_purging_everything_is_an_error():
    with pytest.raises(SegmentError, match="nothing"):
        seg(4, 5).purged_before(seg(6, 9), label_span=2, calendar=CAL)
    with pytest.raises(SegmentError, match="which purging takes away"):
        seg(0, 1).purged_before(seg(2, 9), label_span=2, calendar=CAL)


def test_purge_days_are_the_label_span_the_session_itself_and_the_embargo():
    assert purge_days(2) == 3
    assert purge_days(0) == 1
    assert Purge(label_span=5, embargo=4).days == 10
    assert Purge(label_span=2).last_clean(CAL[6], CAL) == CAL[3]
    assert Purge(label_span=2).last_clean(CAL[3], CAL) == CAL[0]
    with pytest.raises(SegmentError, match="less than 3 sessions after the calendar"):
        Purge(label_span=2).last_clean(CAL[2], CAL)
    for label_span, embargo in ((-1, 0), (0, -1)):
        with pytest.raises(CalendarError, match="must not be negative"):
            Purge(label_span=label_span, embargo=embargo)
