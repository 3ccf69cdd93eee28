"""What is watched, as people read it: each quantity with a value, a bound, a state and the reason."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.online.market_news import MarketNews
from rollwright.online.state import ClosedDay, ServingState
from rollwright.online.watch.arrival import Arrival, PriceArrival
from rollwright.online.watch.events import WatchEvent
from rollwright.online.watch.feature_drift import DriftWatch
from rollwright.online.watch.power import find_median_delay
from rollwright.online.watch.quantities import (
    judge_arrival,
    judge_backlog,
    judge_features,
    judge_history,
    judge_prices,
    judge_rank_ic,
)
from rollwright.online.watch.realised_ic import ExpectedIC, ICWatch

NOW = datetime(2024, 5, 20, 11, tzinfo=UTC)
WATCH = ICWatch(bound=0.03, spacing=1, false_alarms_a_year=0.1)
CLOSED = ClosedDay(session="2024-05-16", outcome="refused", generation="g1", known=2, entry=5, signal=None)
STATE = ServingState(begin="2024-05-15", strategies={}, last=CLOSED)
ARRIVAL = Arrival(
    last=date(2024, 5, 17),
    expected=date(2024, 5, 20),
    is_guess=True,
    first=date(2024, 5, 20),
    due=datetime(2024, 5, 20, 10, 30, tzinfo=UTC),
    missing=1,
)


def test_a_late_session_is_an_alarm_that_the_ledger_is_told_of():
    found = judge_arrival(ARRIVAL, last="2024-05-17", now=NOW)
    assert (found.state, found.value, found.bound) == ("alarm", "2024-05-17", "2024-05-20, due 2024-05-20 10:30 UTC")
    assert "counting weekdays" in found.why
    (event,) = found.crossings
    assert (event.event, event.quantity, event.since) == ("late", "data", "2024-05-20")
    on_time = judge_arrival(replace(ARRIVAL, missing=0, expected=None, is_guess=False), last="2024-05-17", now=NOW)
    assert (on_time.state, on_time.crossings) == ("ok", ())
    assert judge_arrival(None, last="2024-05-17", now=NOW).state == "unknown"


@pytest.mark.parametrize(
    ("state", "waiting"),
    [(STATE, 1), (replace(STATE, last=None), 3), (replace(STATE, last=None, begin="2024-05-20"), 0)],
)
def test_sessions_that_were_not_served_are_counted(state, waiting):
    calendar = TradingCalendar(["2024-05-14", "2024-05-15", "2024-05-16", "2024-05-17", "2024-05-20"], known=4)
    found = judge_backlog(state, calendar)
    assert (found.value, found.state) == (f"{waiting} waiting", "warning" if waiting else "ok")


NEWS = MarketNews(generation="g2", known=3, latest="2024-05-17", place=3)


@pytest.mark.parametrize(
    ("news", "state", "said"),
    [
        (replace(NEWS, generation="g1"), "ok", "the data are those"),
        (NEWS, "ok", "grew"),
        (replace(NEWS, restated_from="2024-05-15"), "warning", "rewritten from 2024-05-15 on"),
        (replace(NEWS, is_incomparable=True), "warning", "cannot tell where"),
        (replace(NEWS, late=("2024-05-15",)), "warning", "1 sessions came after a later one"),
    ],
)
def test_a_history_that_was_rewritten_is_told(news, state, said):
    found = judge_history(STATE, news)
    assert found.state == state
    assert said in found.why


def test_prices_that_are_missing_or_frozen_are_alarms():
    prices = PriceArrival(session=pd.Timestamp("2024-05-17"), known=80, before=100, frozen=60)
    closes, frozen = judge_prices(prices, least_closes=0.9, most_frozen=0.25)
    assert (closes.state, closes.value, frozen.state, frozen.value) == ("alarm", "80.0%", "alarm", "75.0%")
    assert [one.since for one in (*closes.crossings, *frozen.crossings)] == ["2024-05-17"] * 2
    closes, frozen = judge_prices(replace(prices, known=95, frozen=5), least_closes=0.9, most_frozen=0.25)
    assert (closes.state, frozen.state) == ("ok", "ok")
    assert {one.state for one in judge_prices(None, least_closes=0.9, most_frozen=0.25)} == {"unknown"}


def judge(values, *, events=(), problem="", expected=0.03):
    days = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2023-01-02", periods=len(values))]
    stated = None if expected is None else ExpectedIC.stated(expected)
    return judge_rank_ic(
        None if expected is None else WATCH.measure(dict(zip(days, values, strict=True))),
        expected=stated,
        watch=None if expected is None else WATCH,
        deviation=0.12,
        events=events,
        problem=problem,
    )


def test_rank_ic_as_expected_is_fine_and_says_its_power():
    found = judge([0.03] * 80)
    assert found.state == "ok"
    assert found.value == "0.0300 over the last 60"
    assert found.bound == "0.0300 (stated in the configuration)"
    assert "a loss of all edge takes" in found.why
    assert "half of the time" in found.why


def test_rank_ic_below_what_was_expected_is_an_alarm_until_it_is_acknowledged():
    found = judge([-0.2] * 60)
    assert found.state == "alarm"
    first = found.crossings[0]
    assert f"since {first.since}" in found.why
    assert judge([-0.2] * 60, events=found.crossings).state == "alarm"
    looked = WatchEvent(event="acknowledged", quantity="rank_ic", since=found.crossings[-1].since)
    assert judge([0.03] * 10, events=[*found.crossings, looked]).state == "ok"


def test_rank_ic_of_which_nothing_is_known_says_why():
    assert judge([]).state == "unknown"
    assert "no label" in judge([]).why
    nothing = judge([0.1], expected=None, problem="nothing is expected")
    assert (nothing.state, nothing.why) == ("unknown", "nothing is expected")
    broken = judge([0.03, math.nan], problem="a recorder is gone")
    assert broken.state == "warning"
    assert "1 without" in broken.why


def test_features_that_are_far_are_named():
    watch = DriftWatch(tolerated=0.25, false_alarms_a_year=0.1)

    def judge_shares(share, count, problem=""):
        days = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2023-01-02", periods=count)]
        found = watch.measure(dict.fromkeys(days, share))
        return judge_features(found, watch=watch, named=["MOM"], events=(), problem=problem)

    assert judge_shares(0.05, 30).state == "ok"
    assert "MOM" in judge_shares(0.05, 30).why
    far = judge_shares(1.0, 100)
    assert (far.state, far.value) == ("alarm", "100.0% far over the last 10")
    assert judge_shares(0.0, 0, "too few sessions").why == "too few sessions"


def test_the_power_that_is_told_is_measured():
    strong = find_median_delay(replace(WATCH, bound=0.06).test, mean=0.0, deviation=0.12)
    weak = find_median_delay(replace(WATCH, bound=0.02).test, mean=0.0, deviation=0.12)
    assert 20 < strong < 100 < weak
    assert find_median_delay(WATCH.test, mean=0.03, deviation=0.12) is None
    assert find_median_delay(WATCH.test, mean=math.nan, deviation=0.12) is None
    assert find_median_delay(WATCH.test, mean=0.0, deviation=0.12) == find_median_delay(
        WATCH.test, mean=0.0, deviation=0.12
    )
