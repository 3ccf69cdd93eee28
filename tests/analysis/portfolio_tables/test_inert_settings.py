"""Settings that changed nothing, and when numbers are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from backtest_markets import RULE, TERMS, make_inputs
from rollwright.analysis.portfolio_tables.inert_settings import INERT_REASONS, find_inert_settings
from rollwright.analysis.portfolio_tables.timing import MOMENTS, TIMED_NUMBERS, list_timing
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import run_inputs


def told(**given):
    table = find_inert_settings(make_inputs(**given))
    assert table.columns.tolist() == ["setting", "value", "reason"]
    assert set(table["reason"]) <= set(INERT_REASONS)
    return dict(zip(table["setting"], zip(table["value"], table["reason"], strict=True), strict=True))


def test_what_changes_something_is_not_there():
    found = told(costs=replace(TERMS, limit_threshold=0.02), strategy=replace(RULE, hold_thresh=3))
    assert not {"limit_threshold", "trade_unit", "open_cost", "close_cost", "n_drop", "hold_thresh"} & found.keys()


def test_a_limit_that_no_price_reached_is_told():
    found = told(costs=replace(TERMS, limit_threshold=5.0))
    assert found["limit_threshold"] == ("5", "no_limit_met")
    assert found["forbid_all_trade_at_limit"] == ("true", "no_other_limit_met")


def test_a_least_cost_below_every_cost_is_told():
    assert told(costs=replace(TERMS, min_cost=0.001), account=1e8)["min_cost"] == ("0.001", "rates_cost_more")


def test_a_rate_below_every_least_cost_is_told():
    found = told(costs=replace(TERMS, open_cost=1e-9, min_cost=50.0))
    assert found["open_cost"] == ("1e-09", "least_cost_more")


def test_lots_without_factors_are_told():
    inputs = make_inputs()
    inputs = replace(inputs, market=replace(inputs.market, factor=None))
    table = find_inert_settings(inputs).set_index("setting")
    assert table.loc["trade_unit"].tolist() == ["100", "no_factors"]


def test_a_number_of_sales_that_was_never_reached_is_told():
    inputs = make_inputs()
    steady = np.tile(np.arange(float(inputs.scores.shape[1])), (len(inputs.scores), 1))
    table = find_inert_settings(replace(inputs, scores=steady)).set_index("setting")
    assert table.loc["n_drop"].tolist() == ["2", "never_more"]


def test_where_nothing_is_traded_everything_is_inert_for_that_reason():
    table = find_inert_settings(make_inputs(account=1.0))
    assert set(table["reason"]) == {"nothing_traded"}
    assert {"limit_threshold", "trade_unit", "min_cost", "n_drop", "risk_degree"} <= set(table["setting"])


def test_the_deal_price_that_is_the_close_is_told():
    inputs = make_inputs()
    same = replace(inputs, market=replace(inputs.market, buy_price=inputs.market.close.copy()))
    assert "deal_price" in find_inert_settings(same)["setting"].tolist()
    assert "deal_price" not in told(deal_price="open")


@pytest.mark.parametrize("terms", [{}, {"costs": replace(TERMS, limit_threshold=5.0, min_cost=0.001)}])
def test_law_without_what_is_told_the_account_is_the_same_to_the_last_bit(terms):
    inputs = make_inputs(**terms)
    base = run_inputs(inputs).report["account"]
    for name in find_inert_settings(inputs)["setting"]:
        if name in ("limit_threshold", "min_cost"):
            without = replace(inputs.costs, **{name: None if name == "limit_threshold" else 0.0})
            assert (run_inputs(make_inputs(costs=without)).report["account"] == base).all()


@pytest.mark.parametrize("ended", [False, True])
def test_settling_is_inert_where_no_holding_was_settled(ended):
    inputs = make_inputs()
    ends = np.full(inputs.scores.shape[1], 10**6)
    if ended:
        best = int(np.nanargmax(inputs.scores[20]))  # bought on the next session, and ends on the one after
        ends[best] = 22
    inputs = replace(inputs, market=replace(inputs.market, ends=ends))
    kept = run_inputs(replace(inputs, market=replace(inputs.market, ends=None))).report["account"]
    is_same = bool((run_inputs(inputs).report["account"] == kept).all())
    table = find_inert_settings(inputs).set_index("setting")
    assert is_same is not ended
    assert ("settle_delisted" in table.index) is is_same
    if is_same:
        assert table.loc["settle_delisted"].tolist() == ["true", "no_listing_ended"]


def test_dated_rules_are_tried_without_their_limits():
    inputs = make_inputs(costs=Costs(trade_unit=1))
    shape = inputs.scores.shape
    terms = replace(inputs.terms, upper=np.zeros(shape, bool), lower=np.zeros(shape, bool))
    assert find_inert_settings(replace(inputs, terms=terms)).set_index("setting").loc["limits", "reason"] == (
        "no_limit_met"
    )


def test_a_score_is_known_after_the_close_of_its_session_and_traded_on_the_next():
    days = pd.bdate_range("2020-01-01", periods=4)
    table = list_timing(label_span=2, sessions=days).set_index("number")
    assert set(table.index) == set(TIMED_NUMBERS)
    assert set(table["moment"]) == set(MOMENTS)
    assert table.loc["score", ["known_after", "traded_after"]].tolist() == [0, 1]
    assert table.loc["trade", ["known_after", "known_on"]].tolist() == [1, days[1]]
    assert table.loc["return", ["known_after", "known_on"]].tolist() == [2, days[2]]
    assert table.loc["label", ["known_after", "known_on"]].tolist() == [2, days[2]]
    assert table["traded_after"].isna().sum() == 4


def test_a_delay_moves_the_trade_and_not_the_score():
    table = list_timing(delay=2, sessions=pd.bdate_range("2020-01-01", periods=3)).set_index("number")
    assert "label" not in table.index
    assert table.loc["score", ["known_after", "traded_after"]].tolist() == [0, 3]
    assert table.loc["trade", "known_after"] == 3
    assert pd.isna(table.loc["trade", "known_on"])


def test_every_reason_has_words_in_both_languages():
    for words in (*INERT_REASONS.values(), *TIMED_NUMBERS.values(), *MOMENTS.values()):
        assert all(words[language] for language in ("en", "zh"))
