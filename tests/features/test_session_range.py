"""Ranges of days are found by arithmetic, and are those that pandas finds."""

import pandas as pd
import pytest

from rollwright.features.panel import session_range

DATES = pd.DatetimeIndex(["1969-12-30 15:00:00.5", "2020-01-02", "2020-01-06 09:30", "2020-01-06 15:00", "2020-01-07"])
ENDS = [None, "1900-01-01", "1969-12-30", "2020-01-03", "2020-01-06", "2020-01", "2020-01-06 10:00", "2200-12-31"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("start", ENDS)
@pytest.mark.parametrize("end", ENDS)
def test_a_range_is_what_pandas_finds(unit, start, end):
    dates = DATES.as_unit(unit)
    low, high, _ = dates.slice_indexer(start, end).indices(len(dates))
    assert session_range(dates, start, end) == range(low, max(low, high))


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_an_end_beyond_what_pandas_reaches_is_the_end_of_all(unit):
    assert session_range(DATES.as_unit(unit), "1900-01-01", "9999-12-31") == range(len(DATES))
