"""A campaign's back-test under dated exchange rules: what its file may say, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollwright.analysis.conventions import BacktestTerms, Conventions
from rollwright.analysis.stages.trade import TradeTerms
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
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


RULES_OF_STRATEGY = {
    "hold_thresh": 5,
    "risk_degree": 0.5,
    "only_tradable": True,
    "forbid_all_trade_at_limit": False,
}


def test_the_rules_of_the_strategy_are_those_of_the_file():
    strategy = make_trade_terms(BacktestConfig(**RULES_OF_STRATEGY), "us").strategy
    assert {name: getattr(strategy, name) for name in RULES_OF_STRATEGY} == RULES_OF_STRATEGY
    usual = make_trade_terms(BacktestConfig(), "us").strategy
    assert {name: getattr(usual, name) for name in RULES_OF_STRATEGY} == {
        name: getattr(TopkDropoutStrategy(), name) for name in RULES_OF_STRATEGY
    }


@pytest.mark.parametrize("name", RULES_OF_STRATEGY)
def test_a_rule_of_the_strategy_that_is_the_usual_one_changes_no_identity_and_any_other_does(name):
    usual = make_trade_terms(BacktestConfig(), "us").to_json()
    other = make_trade_terms(BacktestConfig(**{name: RULES_OF_STRATEGY[name]}), "us").to_json()
    assert not RULES_OF_STRATEGY.keys() & usual.keys(), "a back-test of before is still the same trial"
    assert other == {**usual, name: RULES_OF_STRATEGY[name]}


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ["at least 5 sessions", "0.5 of the cash", "not known yet", "upper price limit a name can be sold"]),
        ("zh", ["至少持有 5 个交易日", "现金的 0.5", "尚不可知", "涨停时可卖出"]),
    ],
)
def test_the_report_says_each_rule_that_is_not_the_usual_one(lang, words):
    told = BacktestTerms.from_json(make_trade_terms(BacktestConfig(**RULES_OF_STRATEGY), "us").to_json())
    usual = BacktestTerms.from_json(make_trade_terms(BacktestConfig(), "us").to_json())
    conventions = Conventions(days_per_year=252, label_horizon=1, label_span=2, backtest=told)
    lines = " ".join(conventions.describe(lang))
    plain = " ".join(replace(conventions, backtest=usual).describe(lang))
    for each in words:
        assert each in lines
        assert each not in plain


@pytest.mark.parametrize(
    ("given", "message"), [({"hold_thresh": -1}, "hold_thresh"), ({"risk_degree": 1.5}, "risk_degree")]
)
def test_a_rule_of_the_strategy_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        BacktestConfig(**given)
