"""The stage `backtest` has the tables that a result hangs on, of the demo market too."""

from dataclasses import replace

import pandas as pd
import pytest

from backtest_markets import TERMS, demo_predictions, demo_source
from rollwright.analysis.portfolio_tables.capacity import capacity_curve
from rollwright.analysis.portfolio_tables.inert_settings import find_inert_settings
from rollwright.analysis.portfolio_tables.reconciliation import reconcile
from rollwright.analysis.portfolio_tables.sensitivity import sensitivity_surface
from rollwright.analysis.stages.files import read_stage, write_stage
from rollwright.analysis.stages.honesty import HONESTY_TABLE
from rollwright.analysis.stages.trade import BACKTEST_TABLES, TradeTerms, trade

PORTFOLIO = (
    "risk", "monthly", "drawdowns", "sensitivity", "capacity", "reconciliation", "inert_settings", "timing",
)  # fmt: skip
ASKED = TradeTerms(topk=8, n_drop=2, costs=TERMS, account=1e6)


@pytest.fixture(scope="module")
def result():
    return trade(demo_predictions(), demo_source(), terms=ASKED, label_span=2)


def test_every_table_is_there_and_fits_the_account(result):
    assert {*result.left_out} == {HONESTY_TABLE}
    assert {*PORTFOLIO} <= {*BACKTEST_TABLES} == {*result.tables, HONESTY_TABLE}
    told = {metric.key: metric.value for metric in result.metrics}
    surface = result.frame("sensitivity")
    assert surface[surface["is_base"]][["annualized_return", "turnover"]].to_numpy().tolist() == [
        [told["annualized_return"], told["turnover"]]
    ]
    curve = result.frame("capacity")
    assert curve.loc[curve["is_base"], "annualized_return"].item() == told["annualized_return"]
    gap = result.frame("reconciliation")
    assert gap["annualized_return"].iloc[-1] == pytest.approx(told["annualized_return"], rel=1e-12)
    risk = result.frame("risk").set_index(["series", "mode"])
    assert risk.loc[("return_with_cost", "sum"), "max_drawdown"] == told["max_drawdown"]
    assert result.frame("drawdowns")["depth"].iloc[0] == told["max_drawdown"]
    assert result.frame("timing")["known_on"].iloc[0] == result.frame("account").index[0]


def test_the_tables_come_back_from_their_files(result, tmp_path):
    write_stage(result, tmp_path)
    again = read_stage(tmp_path, "backtest")
    for name in PORTFOLIO:
        pd.testing.assert_frame_equal(again.tables[name].frame, result.tables[name].frame)


def test_a_member_is_judged_by_its_account_and_leaves_the_choice_of_the_rule_to_the_signal():
    result = trade(demo_predictions(), demo_source(), terms=ASKED, is_member=True)
    left = {name: reason for name, reason in result.left_out.items() if name != HONESTY_TABLE}
    assert {*left} == {"sensitivity", "capacity", "reconciliation", "inert_settings"}
    assert {*left.values()} == {"it is made for the signal of all members"}
    assert result.frame("monthly") is not None


@pytest.mark.parametrize("deal_price", ["close", "open"])
def test_what_is_simulated_together_is_what_each_table_finds_alone(deal_price):
    asked = replace(ASKED, deal_price=deal_price)
    source, pred = demo_source(), demo_predictions()
    made, inputs = trade(pred, source, terms=asked, label_span=2), asked.load(pred, source)
    periods = made.settings["days_per_year"]
    alone = {
        "sensitivity": sensitivity_surface(inputs, periods=periods).table,
        "capacity": capacity_curve(inputs, periods=periods),
        "reconciliation": reconcile(inputs, periods=periods),
        "inert_settings": find_inert_settings(inputs),
    }
    for name, frame in alone.items():
        pd.testing.assert_frame_equal(made.frame(name), frame, check_exact=True)
