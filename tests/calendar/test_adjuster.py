"""TimeAdjuster: the seeds' results where they are right, and none of their defects."""

from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.calendar.adjuster import TimeAdjuster
from rollwright.calendar.trading import TradingCalendar
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import CalendarError, CalendarRangeError, SegmentError

# Thu Fri | Mon Tue Wed Thu Fri | Mon Tue Wed; the last two are known future sessions
CAL = TradingCalendar(pd.bdate_range("2020-01-02", "2020-01-15"), known=8)


def at(place):
    return CAL[place]


@pytest.fixture
def ta():
    return TimeAdjuster(calendar=CAL)


def test_the_calendar_with_and_without_the_future():
    assert TimeAdjuster(calendar=CAL).max() == pd.Timestamp("2020-01-15")
    assert TimeAdjuster(future=False, calendar=CAL).max() == pd.Timestamp("2020-01-13")
    assert list(TimeAdjuster(True, "2020-01-05", calendar=CAL).cals) == [at(0), at(1)]


def test_set_end_time_moves_the_end_and_none_frees_it(ta):
    ta.set_end_time("2020-01-08")
    assert ta.max() == pd.Timestamp("2020-01-08")
    assert ta.calendar.known == 5
    ta.set_end_time()
    assert ta.max() == pd.Timestamp("2020-01-15")
    ta.set_end_time("2019-12-31")
    with pytest.raises(CalendarRangeError, match="no session at or before 2019-12-31"):
        ta.max()


def test_get(ta):
    assert ta.get(0) == pd.Timestamp("2020-01-02")
    assert ta.get(None) is None
    assert ta.get(10) is None


@pytest.mark.parametrize("date_type", [str, date.fromisoformat, pd.Timestamp])
def test_align_as_start_and_as_end(ta, date_type):
    saturday = date_type("2020-01-04")
    assert ta.align_idx(saturday) == 2
    assert ta.align_idx(saturday, "end") == 1
    assert ta.align_time(saturday, tp_type="start") == pd.Timestamp("2020-01-06")
    assert ta.align_time(saturday, tp_type="end") == pd.Timestamp("2020-01-03")
    assert ta.align_idx(None) is None
    assert ta.align_time(None) is None
    with pytest.raises(CalendarError, match="`start` or `end`"):
        ta.align_idx(saturday, "middle")


def test_align_seg_takes_dicts_tuples_and_lists(ta):
    assert ta.align_seg({"train": ["2020-01-01", "2020-01-05"], "test": ("2020-01-06", None)}) == {
        "train": (at(0), at(1)),
        "test": (at(2), None),
    }
    with pytest.raises(SegmentError, match="it holds no session"):
        ta.align_seg(("2020-01-04", "2020-01-05"))
    with pytest.raises(SegmentError, match="no pair"):
        ta.align_seg(("2020-01-04",))
    with pytest.raises(SegmentError, match="no pair"):
        ta.align_seg("2020-01-04")


def test_cal_interval(ta):
    assert ta.cal_interval("2020-01-13", "2020-01-04") == 5
    assert ta.cal_interval("2020-01-04", "2020-01-13") == -5
    assert ta.cal_interval(time_point_B="2020-01-04", time_point_A="2020-01-13") == 5
    with pytest.raises(CalendarError, match="one end is open"):
        ta.cal_interval(None, "2020-01-13")


def test_truncate_leaves_what_ends_early_enough(ta):
    assert ta.truncate((at(0), at(4)), at(6), 3) == (at(0), at(3))
    assert ta.truncate((at(0), at(2)), at(6), 3) == (at(0), at(2))
    assert ta.truncate([at(3), at(5)], at(6), 3) == (at(3), at(3))


def test_shift_slides_both_ends_or_expands_one(ta):
    assert ta.shift((at(1), at(3)), 2) == (at(3), at(5))
    assert ta.shift((at(1), at(3)), 2, ta.SHIFT_EX) == (at(1), at(5))
    assert ta.shift((at(1), at(3)), -1) == (at(0), at(2))
    assert ta.shift((None, at(3)), 2, "sliding") == (None, at(5))
    assert ta.shift((at(7), at(9)), 2) == (at(9), None)
    assert ta.shift((at(7), None), 1) == (at(8), None)
    with pytest.raises(CalendarError, match="`sliding` or `expanding`"):
        ta.shift((at(1), at(3)), 2, "backwards")


def test_g1_a_shift_that_starts_right_behind_the_calendar_is_refused(ta):
    with pytest.raises(CalendarRangeError, match="begins after"):
        ta.shift((at(5), at(6)), 5)
    with pytest.raises(CalendarRangeError, match="begins after"):
        ta.shift((at(5), at(6)), 6)


def test_g2_truncate_of_a_segment_that_starts_on_the_first_day_or_has_no_end(ta):
    assert ta.truncate((at(0), at(5)), at(6), 6) == (at(0), at(0))
    assert ta.truncate((at(0), None), at(6), 3) == (at(0), at(3))
    assert ta.truncate((None, at(5)), at(6), 3) == (None, at(3))
    assert ta.truncate(("2019-01-01", at(5)), at(6), 3) == (at(0), at(3))


def test_g3_nothing_wraps_around_to_the_other_end(ta):
    with pytest.raises(CalendarRangeError, match="2010-12-31"):
        ta.align_seg(("2010-01-01", "2010-12-31"))
    with pytest.raises(CalendarRangeError, match="position -1"):
        ta.get(-1)
    with pytest.raises(CalendarRangeError, match="2021-01-04"):
        ta.align_seg(("2021-01-04", "2021-12-31"))
    with pytest.raises(CalendarRangeError, match="position -1"):
        ta.shift((at(1), at(3)), -2)
    with pytest.raises(SegmentError, match="leaves nothing"):
        ta.shift((at(3), at(4)), -2, "expanding")


def test_g5_truncating_more_than_there_is_is_refused(ta):
    with pytest.raises(SegmentError, match="cutting 3 sessions before"):
        ta.truncate((at(4), at(5)), at(6), 3)
    with pytest.raises(SegmentError, match="cutting 7 sessions before"):
        ta.truncate((at(0), at(5)), at(6), 7)
    with pytest.raises(SegmentError, match="cutting 7 sessions before"):
        ta.truncate((None, at(5)), at(6), 7)


def test_g7_an_adjuster_without_a_calendar_sees_the_days_that_are_added(tmp_path):
    path = tmp_path / "calendars" / "day.txt"
    path.parent.mkdir()
    path.write_text("2020-01-02\n2020-01-03\n")
    settings = load_settings({"data.provider_uri": str(tmp_path)}, start=tmp_path, environ={"HOME": str(tmp_path)})
    ta = TimeAdjuster()
    with using(settings):
        assert len(ta.cals) == 2
        path.write_text("2020-01-02\n2020-01-03\n2020-01-06\n")
        assert ta.max() == pd.Timestamp("2020-01-06")


def test_g10_a_segment_given_as_a_list_shifts_and_truncates(ta):
    assert ta.shift(["2020-01-03", "2020-01-07"], 2) == (at(3), at(5))
    assert ta.truncate(["2020-01-03", "2020-01-12"], at(6), 2) == (at(1), at(4))


places = st.integers(0, len(CAL) - 1)


@given(places, places, st.integers(0, 12))
def test_law_sliding_keeps_the_length_and_moves_by_the_step(one, other, step):
    ta = TimeAdjuster(calendar=CAL)
    first, last = sorted((one, other))
    if first + step >= len(CAL):
        with pytest.raises(CalendarRangeError, match=r"moved by -?[0-9]+ sessions"):
            ta.shift((at(first), at(last)), step)
        return
    start, end = ta.shift((at(first), at(last)), step)
    assert CAL.index(start) == first + step
    assert end == (at(last + step) if last + step < len(CAL) else None)


@given(places, places, places, st.integers(1, 6))
def test_law_what_is_truncated_stays_clear_of_test(one, other, test, days):
    ta = TimeAdjuster(calendar=CAL)
    first, last = sorted((one, other))
    try:
        start, end = ta.truncate((at(first), at(last)), at(test), days)
    except SegmentError:
        assert test - days < first
        return
    assert start == at(first)
    assert CAL.index(end) == min(last, test - days)
