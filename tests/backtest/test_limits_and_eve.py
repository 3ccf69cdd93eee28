"""Limits that are expressions, and the scores of the session before a given start."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest, backtest_daily
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.errors import ConfigError, LookAheadError
from rollwright.testing.market import ArraySource

NAMES = ["A", "B", "C"]
FREE = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0)


def make_source(**fields):
    rng = np.random.default_rng(3)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.01, (8, 3)), axis=0))
    return ArraySource({"close": close, "factor": np.ones((8, 3)), "change": np.zeros((8, 3)), **fields}, NAMES)


def make_scores(source):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.normal(size=(8, 3)), source.calendar().to_index(), NAMES)
    return frame.rename_axis(index="datetime", columns="instrument").stack().rename("score")


RULE = {"topk": 2, "n_drop": 1}


def run(limit, mode="strict", **fields):
    source = make_source(**fields)
    costs = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0, limit_threshold=limit)
    rule = TopkDropoutStrategy(topk=3, n_drop=3, forbid_all_trade_at_limit=False)
    return backtest(rule, make_scores(source), source, costs=costs, account=1e4, mode=mode)


@pytest.mark.parametrize("mode", ["strict", "qlib"])
def test_two_expressions_say_what_cannot_be_bought_and_what_cannot_be_sold(mode):
    closed = np.zeros((8, 3))
    closed[1, 0] = closed[2, 1] = 1
    made = run(("$up", "$down"), mode, up=closed, down=np.zeros((8, 3)))
    assert next((row.reason, row.side) for row in made.unfilled.itertuples()) == ("limit_up", "buy")
    assert made.unfilled.index[0] == (made.report.index[1], "A")
    none = run(("$up", "$down"), mode, up=np.zeros((8, 3)), down=np.zeros((8, 3)))
    assert none.report.equals(run(None, mode).report)


def test_where_a_limit_is_not_known_nothing_is_traded():
    unknown = np.zeros((8, 3))
    unknown[1] = np.nan
    made = run(("$up", "$down"), up=unknown, down=np.zeros((8, 3)))
    assert set(made.unfilled.loc[made.report.index[1], "reason"]) == {"limit_up"}
    assert made.trades.index[0][0] == made.report.index[2]


def test_limits_can_compare_prices():
    source = make_source()
    ceiling = source.load(["close"], NAMES, 0, 8)[0].astype(np.float64)
    by_field = run(("$up", "$down"), up=np.ones((8, 3)), down=np.zeros((8, 3)))
    by_price = run(("Ge($close, $ceiling)", "Lt($close, 0)"), ceiling=ceiling)
    assert by_price.unfilled.equals(by_field.unfilled)


def test_limits_may_not_look_ahead():
    with pytest.raises(LookAheadError):
        run(("Ref($close, -1) > $close", "$close < 0"))


def test_a_pair_in_exchange_kwargs_may_be_a_list():
    source = make_source(up=np.ones((8, 3)), down=np.zeros((8, 3)))
    days = source.calendar().to_index()
    rule = TopkDropoutStrategy(signal=make_scores(source), **RULE)
    kwargs = {"limit_threshold": ["$up", "$down"], "deal_price": "$close"}
    report, _ = backtest_daily(days[0], days[7], rule, benchmark=None, exchange_kwargs=kwargs, source=source)
    assert (report["value"] == 0).all()
    with pytest.raises(ConfigError, match="terms of trade that no market has"):
        backtest_daily(
            days[0], days[7], rule, benchmark=None, exchange_kwargs={"limit_threshold": ["$up"]}, source=source
        )


@pytest.mark.parametrize("mode", ["strict", "qlib"])
def test_the_scores_of_the_eve_are_traded_on_the_start(mode):
    source = make_source()
    days, pred = source.calendar().to_index(), make_scores(source)
    rule = TopkDropoutStrategy(**RULE)
    whole = backtest(rule, pred, source, costs=FREE, account=1e4, mode=mode, start=days[2], end=days[6])
    waited = backtest(rule, pred[pred.index.get_level_values(0) >= days[2]], source, costs=FREE, account=1e4, mode=mode)
    assert whole.report.index.tolist() == days[2:7].tolist()
    assert whole.trades.index[0][0] == days[2]
    assert waited.trades.index[0][0] == days[3]
    cut = pred[pred.index.get_level_values(0) >= days[1]]
    eve = backtest(rule, cut, source, costs=FREE, account=1e4, mode=mode, end=days[6])
    pd.testing.assert_frame_equal(whole.report, eve.report.iloc[1:])
    assert whole.report["return"].iloc[0] == pytest.approx(whole.report["account"].iloc[0] / 1e4 - 1)


def test_without_scores_of_the_eve_the_first_session_waits():
    source = make_source()
    days, pred = source.calendar().to_index(), make_scores(source)
    pred = pred[pred.index.get_level_values(0) != days[1]]
    made = backtest(TopkDropoutStrategy(**RULE), pred, source, costs=FREE, account=1e4, start=days[2])
    assert made.report.index[0] == days[2]
    assert made.trades.index[0][0] == days[3]


def test_the_end_may_be_the_last_session_and_beyond():
    source = make_source()
    days, pred = source.calendar().to_index(), make_scores(source)
    rule = TopkDropoutStrategy(signal=pred, **RULE)
    for end in (days[7], "2030-01-01"):
        report, positions = backtest_daily(days[1], end, rule, benchmark="mean", source=source)
        assert report.index.tolist() == days[1:].tolist()
        assert positions.index.get_level_values(0).max() == days[7]
        assert report["bench"].notna().all()
