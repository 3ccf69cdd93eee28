"""``as_of=`` of ``D``: sessions, members and values as they were known, and nothing of later."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright import D
from rollwright.config.context import current_settings, using
from rollwright.errors import CalendarRangeError, ConfigError, UnknownInstrumentError
from rollwright.features.universe import universe_of
from rollwright.market.as_of import AsOf
from rollwright.market.frame import FrameSource

DAYS = pd.bdate_range("2020-01-01", periods=40)
THEN = "2020-01-31"


def a_market(after=None) -> FrameSource:
    """A market with a universe, a split and a report; everything after `THEN` is otherwise where `after` says so."""
    index = pd.MultiIndex.from_product([DAYS, ["A", "B"]], names=["datetime", "instrument"])
    frame = pd.DataFrame({"close": np.arange(80.0) + 1, "factor": 1.0}, index=index)
    rows = {
        "roe_q": [("A", 201904, "2020-01-06", 1.0), ("A", 201904, "2020-02-10", 2.0)],
        "member_some_d": [("A", 20200101, "2020-01-01", 1.0), ("A", 20200203, "2020-02-03", 0.0),
                          ("B", 20200203, "2020-02-03", 1.0)],
        "factor_d": [("A", 20200101, "2020-01-01", 2.0), ("A", 20200101, "2020-02-03", 1.0)],
    }  # fmt: skip
    if after is not None:
        frame.loc[index.get_level_values(0) > THEN, "close"] *= after
        rows = {name: [row if row[2] <= THEN else (*row[:3], 9.0) for row in own] for name, own in rows.items()}
    columns = ["instrument", "period", "known_at", "value"]
    by_period = {name: pd.DataFrame(own, columns=columns) for name, own in rows.items()}
    universes = {"some": {"B": ((DAYS[0], DAYS[-1]),)}}
    return FrameSource(frame, universes=universes, by_period=by_period)


@pytest.fixture(autouse=True)
def context(tmp_path):
    with using(market=a_market()):
        yield


def test_features_as_of_a_day_are_those_of_the_market_seen_from_it():
    found = D.features(["A", "B"], ["$close", "Ref($close, -2)"], as_of=THEN)
    with using(market=AsOf(a_market(), THEN)):
        pd.testing.assert_frame_equal(found, D.features(["A", "B"], ["$close", "Ref($close, -2)"]))
    assert found.index.get_level_values("datetime").max() == pd.Timestamp(THEN)
    assert found.loc[("A", pd.Timestamp("2020-01-01")), "$close"] == 2.0  # the factor then known
    assert np.isnan(found.loc[("B", pd.Timestamp(THEN)), "Ref($close, -2)"])


def test_later_knowledge_changes_no_answer():
    questions = (
        lambda: D.features("some", ["$close", "Mean($close, 3)"], as_of=THEN),
        lambda: D.features("some", ["$close"], as_of=THEN, disk_cache=1),
        lambda: D.list_instruments(D.instruments("some"), as_of=THEN),
        lambda: D.list_instruments(D.instruments("some", as_of=THEN)),
        lambda: D.calendar(as_of=THEN),
    )
    for ask in questions:
        before = ask()
        with using(market=a_market(after=7.0)):
            after = ask()
        if isinstance(before, pd.DataFrame):
            pd.testing.assert_frame_equal(before, after)
        else:
            assert (np.asarray(before, object) == np.asarray(after, object)).all()


def test_the_store_keeps_each_viewpoint_apart(tmp_path):
    today = D.features(["A"], ["$close"], disk_cache=1)
    then = D.features(["A"], ["$close"], disk_cache=1, as_of=THEN)
    assert then["$close"].iloc[0] == 2 * today["$close"].iloc[0]
    pd.testing.assert_frame_equal(today, D.features(["A"], ["$close"], disk_cache=1))
    pd.testing.assert_frame_equal(then, D.features(["A"], ["$close"], disk_cache=1, as_of=THEN))


def test_members_are_those_known_then_and_the_configuration_of_a_universe_carries_the_moment():
    assert D.list_instruments(D.instruments("some"), as_list=True) == ["B"]
    config = D.instruments("some", as_of=THEN)
    assert config == {"market": "some", "filter_pipe": [], "as_of": "2020-01-31 00:00:00"}
    assert D.list_instruments(config) == {"A": [(DAYS[0], pd.Timestamp(THEN))]}
    assert D.list_instruments("some", as_of=THEN) == D.list_instruments(config)
    found = D.features(config, ["$close"])
    assert found.index.get_level_values("instrument").unique().tolist() == ["A"]
    assert found["$close"].iloc[0] == 1.0  # members of then, values of now


def test_a_universe_of_another_moment_is_another_one_to_the_store():
    source = a_market()
    names = {universe_of({"market": "some", "as_of": moment}, source).name for moment in (THEN, "2020-01-30", None)}
    assert len(names) == 3


def test_sessions_after_the_moment_are_future_ones():
    assert D.calendar(as_of=THEN)[-1] == pd.Timestamp(THEN)
    assert D.calendar(as_of=THEN, future=True)[-1] == DAYS[-1]


def test_the_viewpoint_of_the_settings_is_not_widened():
    settings = current_settings().with_values({"point_in_time.as_of": "2020-01-15"}, origin="a test")
    with using(settings, market=a_market()):
        assert D.calendar(as_of=THEN)[-1] == pd.Timestamp("2020-01-15")
        assert D.features(["A"], ["$close"], as_of=THEN).index.get_level_values(1).max() == pd.Timestamp("2020-01-15")


def test_what_cannot_be_seen_from_then_is_refused():
    with pytest.raises(CalendarRangeError):
        D.features(["A"], ["$close"], as_of="2019-01-01")
    with pytest.raises(UnknownInstrumentError):
        D.instruments("none", as_of=THEN)
    with pytest.raises(ConfigError, match="no effect on a list"):
        D.instruments(["A"], as_of=THEN)
