"""The coverage contract through the public collectors: a hole or a conflict is named, or declared."""

from __future__ import annotations

import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.collect.collector import RecorderCollector
from rollwright.collect.ensemble import RollingEnsemble
from rollwright.collect.group import RollingGroup
from rollwright.config.context import update_context
from rollwright.errors import ConfigError, CoverageError
from rollwright.market.frame import FrameSource
from rollwright.tracking.r import R

DAYS = pd.bdate_range("2020-01-01", periods=40, name="datetime")
CALENDAR = TradingCalendar(DAYS)
NAMES = ["A", "B"]


def rows(start: int, stop: int, names=NAMES) -> pd.MultiIndex:
    return pd.MultiIndex.from_product([DAYS[start:stop], names], names=["datetime", "instrument"])


def predict(start: int, stop: int, score: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"score": score}, index=rows(start, stop))


def window(start: int, stop: int) -> tuple[pd.Timestamp, pd.Timestamp]:
    return DAYS[start], DAYS[stop - 1]


def record(key, pred, *, expected=None, fail=False) -> str:
    """Leave a recorder of a window, FAILED if asked, and return its id."""
    try:
        with R.start(experiment_name="exp") as recorder:
            R.save_objects(key=list(key), **{"pred.pkl": pred})
            if expected is not None:
                R.save_objects(**{"expected_index.pkl": pd.DataFrame(index=expected)})
            if fail:
                raise RuntimeError("on purpose")
    except RuntimeError:
        pass
    return recorder.id


def key_of(recorder):
    return tuple(recorder.load_object("key"))


def collector(**options) -> RecorderCollector:
    return RecorderCollector("exp", rec_key_func=key_of, **options)


# -- what each window promised ----------------------------------------------------------------------------------------


def test_a_prediction_that_kept_its_promise_is_collected():
    record(("m", "w1"), predict(0, 2), expected=rows(0, 2))
    record(("m", "w2"), predict(2, 4))  # which promised nothing
    assert list(collector()()["pred"]) == [("m", "w1"), ("m", "w2")]


def test_a_row_that_was_promised_and_is_missing_and_one_that_was_not_are_named_with_window_and_dates():
    record(("m", "w1"), predict(0, 2).iloc[1:], expected=rows(0, 2))
    record(("m", "w2"), predict(2, 4), expected=rows(2, 4, ["A"]))
    with pytest.raises(CoverageError) as caught:
        collector()()
    assert caught.value.exit_code == 4
    assert caught.value.problems == (
        "m w1: 1 of 4 promised rows are missing, 2020-01-01 (A)",
        "m w2: 2 rows were never promised, 2020-01-03 to 2020-01-06 (B, B)",
    )
    assert len(collector(promise=None)()["pred"]) == 2


def test_a_score_that_is_no_number_breaks_the_promise():
    record(("m", "w1"), predict(0, 2, float("nan")), expected=rows(0, 2))
    with pytest.raises(CoverageError, match="m w1: 4 scores are not numbers"):
        collector()()


def test_only_predictions_are_compared_and_only_when_they_are_collected():
    record(("m", "w1"), predict(0, 2).iloc[1:], expected=rows(0, 2))
    found = collector(artifacts_path={"expected": "expected_index.pkl"})()
    assert len(found["expected"]["m", "w1"]) == 4


# -- which windows and members are there -------------------------------------------------------------------------------


def test_a_window_or_member_that_is_expected_and_not_there_is_named_with_what_became_of_it():
    record(("m", "w1"), predict(0, 2))
    failed = record(("m", "w2"), predict(2, 4), fail=True)
    expect = [("m", "w1"), ("m", "w2"), ("n", "w1")]
    with pytest.raises(CoverageError) as caught:
        collector(expect=expect)()
    assert caught.value.problems == (
        f"m w2: there is no finished recorder: recorder {failed} is FAILED",
        "n w1: there is no finished recorder",
    )
    declared = collector(expect=expect, allow_missing=expect[1:])()
    assert list(declared["pred"]) == [("m", "w1")]


def test_a_recorder_that_nobody_expects_is_named():
    record(("m", "w1"), predict(0, 2))
    record(("old", "w1"), predict(0, 2))
    with pytest.raises(CoverageError, match="old w1: there is a recorder, which was not expected"):
        collector(expect=[("m", "w1")])()


# -- where windows meet -----------------------------------------------------------------------------------------------


def test_rows_that_two_windows_score_differently_are_refused_or_declared():
    windows = {("m", window(0, 4)): predict(0, 4), ("m", window(3, 6)): predict(3, 6, 2.0)}
    with pytest.raises(CoverageError, match="2 rows are scored differently by two windows") as caught:
        RollingGroup()(windows)
    assert caught.value.problems == (
        "2020-01-01..2020-01-06: 2 rows, 2020-01-06 (A, B)",
        "2020-01-06..2020-01-08: 2 rows, 2020-01-06 (A, B)",
    )
    for declared in (RollingGroup(overlap="last"), RollingGroup(RollingEnsemble())):
        assert declared(windows)["m",]["score"].tolist() == [1.0] * 6 + [2.0] * 6


def test_rows_that_two_windows_score_alike_are_no_conflict_but_can_be_refused():
    windows = {("m", 1): predict(0, 4), ("m", 2): predict(3, 6)}
    assert len(RollingGroup()(windows)["m",]) == 12
    with pytest.raises(CoverageError, match="2 rows are scored by more than one window"):
        RollingGroup(overlap="error")(windows)
    missing = windows | {("m", 2): predict(3, 6, float("nan"))}  # a NaN is no score
    assert RollingGroup()(missing)["m",]["score"].notna().sum() == 8
    neither = {("m", 1): predict(0, 4, float("nan")), ("m", 2): predict(3, 6, float("nan"))}
    assert len(RollingGroup()(neither)["m",]) == 12


def test_sessions_between_two_windows_that_neither_predicts_are_refused_or_declared():
    windows = {("m", window(0, 4)): predict(0, 4), ("m", window(6, 8)): predict(6, 8)}
    with pytest.raises(CoverageError, match="1 gap") as caught:
        RollingGroup(calendar=CALENDAR)(windows)
    (problem,) = caught.value.problems
    assert problem.startswith("no window predicts the 2 session(s) from 2020-01-07 to 2020-01-08, between ")
    assert problem.endswith("between 2020-01-01..2020-01-06 and 2020-01-09..2020-01-10")
    for declared in ([window(4, 6)], [("2020-01-07", "2020-01-07"), ("2020-01-08", "2020-01-08")], True):
        assert len(RollingGroup(calendar=CALENDAR, allow_gaps=declared)(windows)["m",]) == 12
    with pytest.raises(CoverageError, match="1 session"):
        RollingGroup(calendar=CALENDAR, allow_gaps=[("2020-01-08", "2020-01-08")])(windows)
    assert (
        len(
            RollingGroup(calendar=CALENDAR)(
                {key: windows[key] for key in reversed(windows)} | {("m", window(4, 6)): predict(4, 6)}
            )["m",]
        )
        == 16
    )


def test_a_window_within_another_leaves_no_gap():
    windows = {("m", 1): predict(0, 8), ("m", 2): predict(2, 4), ("m", 3): predict(8, 9)}
    assert len(RollingGroup(calendar=CALENDAR)(windows)["m",]) == 18


def test_the_sessions_are_those_of_the_current_market_where_it_has_the_days():
    prices = pd.DataFrame({"close": 1.0}, index=rows(0, 40, ["A"]))
    windows = {("m", 1): predict(0, 4), ("m", 2): predict(6, 8)}
    assert len(RollingGroup()(windows)["m",]) == 12  # there is no market
    update_context(market=FrameSource(prices))
    with pytest.raises(CoverageError, match="no window predicts the 2 session"):
        RollingGroup()(windows)
    other = {
        key: frame.set_index(frame.index.set_levels(frame.index.levels[0] + pd.Timedelta(hours=1), level=0))
        for key, frame in windows.items()
    }
    assert len(RollingGroup()(other)["m",]) == 12


def test_what_an_ensemble_of_ones_own_would_not_know_is_refused():
    with pytest.raises(ConfigError, match="are for the ensemble"):
        RollingGroup(RollingEnsemble(), overlap="error")
    with pytest.raises(ConfigError, match="overlap is last, same or error, not 'first'"):
        RollingEnsemble(overlap="first")
