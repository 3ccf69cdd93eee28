"""From what the group earned to what the account earned."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_markets import RULE, TERMS, make_inputs
from backtest_worlds import worlds
from rollwright.analysis.metrics import backtest_metrics
from rollwright.analysis.portfolio_tables.reconciliation import STEPS, reconcile
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import run_inputs
from rollwright.backtest.inputs import BacktestInputs
from rollwright.backtest.simulate import MarketPrices
from rollwright.backtest.terms import DatedTerms
from rollwright.errors import DataError


def inputs_of(world):
    strategy, scores, prices, costs, account = world
    rows = pd.bdate_range("2020-01-01", periods=len(scores), name="datetime")
    return BacktestInputs(
        strategy=strategy, scores=scores, market=prices, terms=DatedTerms.of(costs), costs=costs, account=account,
        mode="strict", rows=rows, eve=0, bench=np.zeros(len(scores)), benchmark_gaps=0,
        names=tuple("ABCDEFGH"[: scores.shape[1]]),
    )  # fmt: skip


@settings(max_examples=80)
@given(worlds(), st.integers(1, 300))
def test_law_the_parts_are_the_gap_and_the_end_is_the_back_test(world, periods):
    inputs = inputs_of(world)
    table = reconcile(inputs, periods=periods)
    assert table["step"].tolist() == list(STEPS)
    gap = table["annualized_return"].iloc[-1] - table["annualized_return"].iloc[0]
    assert table["difference"].sum() == pytest.approx(gap, abs=1e-12 * periods, rel=1e-12)
    account = backtest_metrics(run_inputs(inputs).report, periods=periods)[0].value
    assert table["annualized_return"].iloc[-1] == pytest.approx(account, rel=1e-12, abs=1e-12)


def parts_of(**terms):
    return reconcile(make_inputs(**terms), periods=252).set_index("step")["difference"]


def test_on_the_demo_market_each_friction_is_seen():
    parts = parts_of(deal_price="open", costs=replace(TERMS, trade_unit=1000))
    assert (parts.drop("group_at_once") != 0).all()
    assert parts["costs"] < 0


def test_what_is_switched_off_takes_nothing():
    free = Costs(open_cost=0, close_cost=0, min_cost=0, trade_unit=None)
    parts = parts_of(costs=free, strategy=replace(RULE, risk_degree=1.0))
    assert parts[["cash_share", "deal_price", "lots", "costs"]].abs().max() == 0


def test_costs_are_the_whole_gap_where_everything_is_bought_anew_by_hand():
    # two names, the better one is held from the second session on; it earns 10 % a session
    close = np.array([[10.0, 10.0], [11.0, 10.0], [12.1, 10.0], [13.31, 10.0]])
    scores = np.tile([1.0, 0.0], (4, 1))
    rule = replace(RULE, topk=1, n_drop=1, risk_degree=1.0)
    costs = Costs(open_cost=0.01, close_cost=0.01, min_cost=0, trade_unit=None)

    table = reconcile(inputs_of((rule, scores, MarketPrices(close=close), costs, 1000.0)), periods=4)
    told = table.set_index("step")["annualized_return"]
    assert told["group_at_once"] == pytest.approx(0.3)
    assert told["delay"] == pytest.approx(0.2)
    assert told["holding_rule"] == told["lots"] == pytest.approx(0.2)
    bought = 1000 / 1.01
    assert told["costs"] == pytest.approx(0.2 - bought * 0.01 / 1000)


def test_equal_scores_share_the_group():
    close = np.array([[10.0, 10.0, 10.0], [11.0, 10.0, 10.0], [12.1, 10.0, 10.0]])

    world = (replace(RULE, topk=1, n_drop=1), np.ones((3, 3)), MarketPrices(close=close), TERMS, 1e6)
    table = reconcile(inputs_of(world), periods=3).set_index("step")["annualized_return"]
    assert table["group_at_once"] == pytest.approx(0.2 / 3)


def test_a_strategy_without_a_group_is_refused():
    with pytest.raises(DataError, match="no group of best names"):
        reconcile(replace(make_inputs(), strategy=object()), periods=252)
