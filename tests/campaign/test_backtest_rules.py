"""A campaign's back-test under dated exchange rules: what its file may say, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollwright.analysis.conventions import BacktestTerms, Conventions
from rollwright.analysis.stages.trade import TradeTerms
from rollwright.campaign.config import BacktestConfig
from rollwright.campaign.results import make_trade_terms
from rollwright.errors import ConfigError


def test_the_costs_are_commissions_alike_on_both_sides():
    terms = make_trade_terms(BacktestConfig(rules="cn", open_cost=0.0003), "cn")
    assert (terms.rules, terms.costs.open_cost, terms.costs.close_cost) == ("cn", 0.0003, 0.0003)
    usual = make_trade_terms(BacktestConfig(rules="cn"), "cn")
    assert usual.costs.close_cost == usual.costs.open_cost == 0.0005
    assert make_trade_terms(BacktestConfig(), "cn").costs.close_cost == 0.0015
    other = make_trade_terms(BacktestConfig(rules="us", close_cost=0.002), "us")
    assert other.costs.close_cost == 0.002


def test_a_cost_of_sales_that_holds_the_duty_is_refused():
    with pytest.raises(ConfigError, match="`close_cost` is given, and the rules of `cn` say it"):
        make_trade_terms(BacktestConfig(rules="cn", close_cost=0.0015), "cn")


@pytest.mark.parametrize(("lang", "words"), [("en", "of the rules of `cn`"), ("zh", "按 cn 各板块、各时期的规则")])
def test_the_report_says_which_rules_held(lang, words):
    told = BacktestTerms.from_json(make_trade_terms(BacktestConfig(rules="cn"), "cn").to_json())
    assert told.rules == "cn"
    conventions = Conventions(days_per_year=252, label_horizon=1, label_span=2, backtest=told)
    lines = " ".join(conventions.describe(lang))
    assert words in lines
    assert "9.5" not in lines
    plain = replace(conventions, backtest=replace(told, rules=None))
    assert words not in " ".join(plain.describe(lang))


def test_terms_without_rules_are_what_they_were():
    assert TradeTerms().to_json()["rules"] is None
    assert BacktestTerms.from_json({**TradeTerms().to_json()}).rules is None
