"""`TSDataSampler` of a frame, as Qlib's users make it; the expected values were read off pyqlib 0.9.7."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.dataset.sampler import TSDataSampler
from rollwright.errors import ConfigError, DataError, SampleNotFoundError, UnknownSettingError

DAYS = pd.bdate_range("2020-01-01", periods=6)
NAN = np.nan


@pytest.fixture
def data() -> pd.DataFrame:
    """A has no row on the third and fourth day, B begins on the second."""
    rows = [
        (day, code)
        for day in range(6)
        for code in "AB"
        if not (code == "A" and day in (2, 3)) and (code, day) != ("B", 0)
    ]
    index = pd.MultiIndex.from_tuples([(DAYS[day], code) for day, code in rows], names=["datetime", "instrument"])
    values = [[day + 10.0 * (code == "B"), -day] for day, code in rows]
    return pd.DataFrame(values, index=index, columns=["x", "y"])


def test_samples_are_the_last_sessions_of_an_instrument_and_begin_before_the_segment(data):
    sampler = TSDataSampler(data, DAYS[1], DAYS[4], step_len=3)
    assert list(sampler.get_index()) == [
        (DAYS[1], "A"), (DAYS[4], "A"), (DAYS[1], "B"), (DAYS[2], "B"), (DAYS[3], "B"), (DAYS[4], "B"),
    ]  # fmt: skip
    assert sampler.get_index().names == ["datetime", "instrument"]
    assert len(sampler) == 6
    assert (sampler.start, sampler.end) == (DAYS[1], DAYS[4])
    np.testing.assert_array_equal(sampler[0], [[NAN, NAN], [0, 0], [1, -1]])
    np.testing.assert_array_equal(sampler[1], [[NAN, NAN], [NAN, NAN], [4, -4]])
    np.testing.assert_array_equal(sampler[DAYS[4], "B"], [[12, -2], [13, -3], [14, -4]])
    np.testing.assert_array_equal(sampler[[0, 1]], np.stack([sampler[0], sampler[1]]))


@pytest.mark.parametrize(
    ("fill", "first", "second"),
    [
        ("none", [NAN, 0, 1], [1, NAN, NAN, 4]),
        ("ffill", [NAN, 0, 1], [1, 1, 1, 4]),
        ("ffill+bfill", [0, 0, 1], [1, 1, 1, 4]),
    ],
)
def test_a_session_without_a_row_is_filled_within_the_sample(data, fill, first, second):
    np.testing.assert_array_equal(TSDataSampler(data, DAYS[1], DAYS[4], 3, fill)[0][:, 0], first)
    sampler = TSDataSampler(data, DAYS[4], DAYS[4], step_len=4)
    sampler.config(fillna_type=fill)
    np.testing.assert_array_equal(sampler[0][:, 0], second)


def test_the_dtype_is_that_of_the_data_unless_another_is_given(data):
    assert TSDataSampler(data, None, None, 2)[0].dtype == np.float64
    assert TSDataSampler(data.astype("float32"), None, None, 2)[0].dtype == np.float32
    assert TSDataSampler(data, None, None, 2, dtype=np.float32)[0].dtype == np.float32


@pytest.mark.parametrize("shape", ["series", "frame", "strange order"])
def test_a_filter_says_which_rows_are_samples_and_all_are_history(data, shape):
    flags = (data["x"] != 1).astype(object)
    flags = flags[data.index[1:]]  # what it does not have is no sample
    flags.iloc[-1] = NAN
    given = {"series": flags, "frame": flags.to_frame(), "strange order": flags.iloc[::-1]}[shape]
    sampler = TSDataSampler(data, None, None, step_len=2, flt_data=given)
    assert [label for label in sampler.get_index() if label[1] == "A"] == [(DAYS[4], "A"), (DAYS[5], "A")]
    assert (DAYS[5], "B") not in sampler.get_index()
    np.testing.assert_array_equal(sampler[DAYS[2], "A"][:, 0], [1, NAN])


def test_open_ends_and_days_that_are_no_sessions(data):
    assert len(TSDataSampler(data, None, None, 2)) == len(data)
    weekend = TSDataSampler(data, "2020-01-04", "2020-01-06", step_len=2)
    assert [day for day, _ in weekend.get_index()] == [DAYS[3]]
    assert TSDataSampler(data, "2021-01-01", "2021-02-01", 2).empty


def test_the_data_are_left_alone_and_may_be_in_any_order(data):
    before = data.copy()
    shuffled = data.iloc[::-1]
    sampler = TSDataSampler(shuffled, DAYS[1], DAYS[4], 3)
    np.testing.assert_array_equal(sampler[1], TSDataSampler(data, DAYS[1], DAYS[4], 3)[1])
    pd.testing.assert_frame_equal(data, before)
    pd.testing.assert_frame_equal(shuffled.iloc[::-1], before)


def test_what_is_no_such_data_is_refused(data):
    with pytest.raises(DataError, match="two rows for"):
        TSDataSampler(pd.concat([data, data.iloc[:1]]), None, None, 2)
    with pytest.raises(DataError, match="not numeric: x"):
        TSDataSampler(data.astype({"x": str}), None, None, 2)
    with pytest.raises(UnknownSettingError, match="bfill"):
        TSDataSampler(data, None, None, 2, "bfill")
    with pytest.raises(ConfigError, match="one column, and has 2"):
        TSDataSampler(data, None, None, 2, flt_data=data)
    with pytest.raises(ConfigError, match="step_len is 0"):
        TSDataSampler(data, None, None, 0)
    with pytest.raises(SampleNotFoundError):
        TSDataSampler(data, DAYS[1], DAYS[4], 3)[6]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_of_any_unit_may_be_cut_at_a_day(data, unit):
    data.index = data.index.set_levels(data.index.levels[0].as_unit(unit), level=0)
    assert len(TSDataSampler(data, "2020-01-02", "2020-01-03", step_len=2)) == 3
