"""A market made of a frame: what it takes, what it refuses, and that equal frames are one market."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import CalendarError, CalendarRangeError, DataError, UnknownFieldError, UnknownInstrumentError
from rollwright.market.frame import FrameSource
from rollwright.market.source import UNKNOWN_KIND, FieldKind

DAYS = pd.bdate_range("2020-01-01", periods=6)


def frame(**columns) -> pd.DataFrame:
    """A trades on all six days, B on the middle four with one missing row."""
    rows = [(day, "A") for day in DAYS] + [(DAYS[n], "B") for n in (1, 2, 4)]
    index = pd.MultiIndex.from_tuples(rows, names=["datetime", "instrument"])
    values = np.arange(9.0)
    return pd.DataFrame({"$close": values, **columns}, index=index)


def test_a_row_that_is_not_there_is_missing_within_its_series():
    source = FrameSource(frame())
    assert source.bounds(["A", "B"]).tolist() == [[0, 6], [1, 5]]
    np.testing.assert_array_equal(source.load(["close"], ["B"], 0, 6)[0, :, 0], [np.nan, 6, 7, np.nan, 8, np.nan])
    assert source.members("all")["B"] == ((DAYS[1], DAYS[4]),)


def test_the_order_of_rows_columns_and_levels_does_not_matter():
    whole = frame(volume=1, open=2.5)
    same = [
        whole.sample(frac=1, random_state=0),
        whole[["open", "volume", "$close"]],
        whole.rename(columns={"$close": "close", "open": "$OPEN"}),
        whole.swaplevel(),
        whole.astype("float32"),
        whole.set_axis(whole.index.set_levels(whole.index.levels[0].strftime("%Y-%m-%d"), level=0)),
    ]
    assert {FrameSource(other).generation for other in same} == {FrameSource(whole).generation}


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.assign(**{"$close": made["$close"].where(made["$close"] != 3, 3.5)}),
        lambda made: made.iloc[:-1],
        lambda made: made.rename(index={"B": "C"}),
        lambda made: made.rename(index={DAYS[5]: DAYS[5] + pd.Timedelta(days=7)}),
        lambda made: made.rename(columns={"$close": "open"}),
        lambda made: made.assign(volume=1.0),
    ],
)
def test_any_other_frame_has_another_generation(change):
    assert FrameSource(change(frame())).generation != FrameSource(frame()).generation


def test_calendar_frequency_and_universes_count_too():
    ahead = pd.bdate_range("2020-01-01", periods=8)
    sources = [
        FrameSource(frame()),
        FrameSource(frame(), TradingCalendar(ahead, known=6)),
        FrameSource(frame(), TradingCalendar(ahead)),
        FrameSource(frame(), freq="week"),
        FrameSource(frame(), universes={"half": {"A": ((DAYS[0], DAYS[3]),)}}),
    ]
    assert len({source.generation for source in sources}) == len(sources)
    assert sources[4].members("half") == {"A": ((DAYS[0], DAYS[3]),)}


def test_fields_by_period_have_an_identity_of_their_own():
    table = pd.DataFrame({"instrument": ["A"], "period": [2019], "known_at": [DAYS[2]], "value": [1.0]})
    other = {"roe_a": table, "debt_a": table}
    sources = [
        FrameSource(frame()),
        FrameSource(frame(), by_period={"roe_a": table}),
        FrameSource(frame(), by_period={"roe_a": table.assign(value=2.0)}),
        FrameSource(frame(), by_period={"roe_a": table}, kinds={"roe_a": FieldKind("stock")}),
    ]
    assert len({source.vintage_generation(["roe_a"]) for source in sources}) == len(sources)
    assert len({source.generation for source in sources}) == 1, "daily values are the same"
    assert FrameSource(frame(), by_period=other).vintage_generation(["roe_a"]) == sources[1].vintage_generation(
        ["roe_a"]
    )
    assert sources[3].field_kind("roe_a") == ("stock", "unknown")
    assert sources[1].field_kind("roe_a") == UNKNOWN_KIND


@pytest.mark.parametrize("name", ["roe", "roe_w", "_q"])
def test_a_field_by_period_that_does_not_say_its_interval_is_refused(name):
    table = pd.DataFrame({"instrument": ["A"], "period": [2019], "known_at": [DAYS[2]], "value": [1.0]})
    with pytest.raises(UnknownFieldError, match="does not say what its periods are"):
        FrameSource(frame(), by_period={name: table})


def test_a_kind_of_a_field_that_is_not_there_is_refused():
    with pytest.raises(UnknownFieldError, match="roe_q"):
        FrameSource(frame(), kinds={"roe_q": FieldKind("flow", "discrete")})


def test_a_later_change_of_the_frame_changes_nothing():
    given = frame()
    source = FrameSource(given)
    given["$close"] = 0.0
    assert source.load(["close"], ["A"], 0, 2)[0, :, 0].tolist() == [0, 1]
    assert source.generation == FrameSource(frame()).generation


def test_known_future_sessions_have_no_rows():
    source = FrameSource(frame(), TradingCalendar(pd.bdate_range("2020-01-01", periods=8), known=6))
    assert np.isnan(source.load(["close"], ["A", "B"], 6, 8)).all()


def test_a_base_field_that_is_not_there_is_missing_with_one_warning_and_any_other_an_error(caplog):
    source = FrameSource(frame())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert np.isnan(source.load(["vwap"], ["A"], 0, 6)).all()
    assert caplog.text.count("$vwap") == 1
    with pytest.raises(UnknownFieldError, match=r"\$klose") as caught:
        source.load(["klose"], ["A"], 0, 6)
    assert "close" in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: frame().reset_index(), DataError, "index levels"),
        (lambda: frame().iloc[:0], DataError, "no rows"),
        (lambda: frame()[[]], DataError, "no columns"),
        (lambda: frame(name="text"), DataError, "not numbers"),
        (lambda: frame(close=1.0), DataError, "one field"),
        (lambda: pd.concat([frame(), frame().iloc[:1]]), DataError, "there twice"),
        (lambda: frame().rename(columns={"$close": "../x"}), UnknownFieldError, "cannot be a field"),
        (lambda: frame().rename(columns={"$close": 3}), UnknownFieldError, "cannot be a field"),
        (lambda: frame().rename(index={"A": 1}), UnknownInstrumentError, "codes of instruments are text"),
        (lambda: frame().rename(index={"A": "b"}), DataError, "differ only in case"),
        (lambda: frame().rename(index={DAYS[2]: pd.NaT}), CalendarError, "no date"),
        (lambda: frame().tz_localize("UTC", level=0), CalendarError, "time zone"),
        (lambda: frame().rename(index={DAYS[2]: "soon"}), CalendarError, "not a date"),
    ],
)
def test_a_frame_that_is_no_market_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        FrameSource(wrong())


def test_rows_of_days_that_are_no_known_sessions_are_refused():
    for calendar in (TradingCalendar(DAYS[:5]), TradingCalendar(DAYS, known=5), TradingCalendar(DAYS[1:])):
        with pytest.raises(CalendarRangeError, match="no known session"):
            FrameSource(frame(), calendar)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([("A", 2019, "2020-01-02", 1.0), ("A", 2019, "2020-01-02", 2.0)], DataError, "two values of period 2019"),
        ([("C", 2019, "2020-01-02", 1.0)], UnknownInstrumentError, "no row"),
        ([("A", 2019, None, 1.0)], CalendarError, "not a date"),
        ([("A", 201903, DAYS[2], 1.0)], CalendarError, "201903 is no year"),
    ],
)
def test_fields_by_period_that_contradict_themselves_are_refused(rows, error, message):
    table = pd.DataFrame(rows, columns=["instrument", "period", "known_at", "value"])
    with pytest.raises(error, match=message):
        FrameSource(frame(), by_period={"roe_a": table})


def test_what_became_known_within_a_second_is_seen_from_the_next():
    table = pd.DataFrame({"instrument": ["A"], "period": [2019], "known_at": ["2020-01-02 09:40:00.9"], "value": [1.0]})
    found = FrameSource(frame(), by_period={"roe_a": table}).vintages("roe_a", ["A"])
    assert found.known_at.tolist() == [pd.Timestamp("2020-01-02 09:40:01").to_pydatetime()]


def test_a_field_by_period_without_its_columns_is_refused():
    with pytest.raises(DataError, match="lacks the column 'known_at'"):
        FrameSource(frame(), by_period={"roe_a": pd.DataFrame({"instrument": [], "period": [], "value": []})})
