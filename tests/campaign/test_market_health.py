"""What the market means for the numbers of a campaign."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from campaign_plans import hand_made_plan
from rollwright.calendar.trading import TradingCalendar
from rollwright.campaign.health import examine_market, examine_models, examine_plan
from rollwright.expression.label_reach import LabelReach
from rollwright.market.frame import FrameSource

DAYS = pd.bdate_range("2020-01-01", periods=300)
NAMES = [f"S{number:02d}" for number in range(24)]


def market(*, until=None, change=None):
    """Return a market of steady prices; `until` ends the first series, `change` edits the matrix of closes."""
    close = 20 * np.exp(np.random.default_rng(1).normal(0, 0.01, size=(len(DAYS), len(NAMES))).cumsum(axis=0))
    if change:
        change(close)
    frame = pd.DataFrame(close, DAYS, NAMES).stack().rename_axis(["datetime", "instrument"]).to_frame("close")
    for name in ("open", "high", "low", "vwap"):
        frame[name] = frame["close"]
    frame["volume"], frame["factor"] = 1e6, 1.0
    if until is not None:
        days = frame.index.get_level_values(0)
        frame = frame[(frame.index.get_level_values(1) != NAMES[0]) | (days <= DAYS[until])]
    return FrameSource(frame)


def kinds(source, days=(DAYS[50], DAYS[-1]), names=NAMES):
    return [finding.kind for finding in examine_market(source, "all", names, days, since=DAYS[0])]


def test_a_market_that_nobody_ever_left_is_one_of_survivors():
    assert kinds(market()) == ["survivorship"]
    assert kinds(market(until=200)) == []
    assert kinds(market(), days=(DAYS[200], DAYS[-1])) == []
    assert kinds(market(), names=NAMES[:10]) == []


def test_prices_that_jump_as_at_splits_on_several_names_are_likely_not_adjusted():
    def split(close):
        for column in range(4):
            close[100 + column :, column] /= 2

    (found, *_) = examine_market(market(until=200, change=split), "all", NAMES, (DAYS[50], DAYS[-1]), since=DAYS[0])
    assert (found.kind, found.severity) == ("unadjusted_prices", "serious")
    assert (found.values["jumps"], found.values["names"], found.values["of"]) == (4, 4, 24)
    assert "S00 2020-05-" in found.values["examples"]


@pytest.mark.parametrize(
    ("rounds", "severity"),
    [([None, None], None), ([30, 2], None), ([1, 40, 50], "warning"), ([1, 40], "serious"), ([1, None], "serious")],
)
def test_models_that_kept_one_round_are_found(rounds, severity):
    found = examine_models(rounds)
    assert [finding.severity for finding in found] == ([severity] if severity else [])


@pytest.mark.parametrize("label", ["$close/Ref($close,1)-1", "Ref($close,2)/Ref($close,1)-1", "Std($close,5)"])
def test_a_label_of_the_past_is_a_serious_finding(label):
    plan = hand_made_plan(trunc_days=1, label=LabelReach.of_expressions([label]))
    found = {finding.kind: finding.severity for finding in examine_plan(plan, TradingCalendar(DAYS))}
    assert found["known_label"] == "serious"


def test_a_label_of_the_future_is_none():
    plan = hand_made_plan(trunc_days=2, label=LabelReach.of_expressions(["Ref($close,-1)/$close-1"]))
    assert examine_plan(plan, TradingCalendar(DAYS)) == []
