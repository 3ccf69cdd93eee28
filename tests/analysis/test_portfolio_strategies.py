"""Portfolio records of strategies by weights, and under exchange rules."""

from __future__ import annotations

import pytest

from portfolio_market import CALENDAR, CONFIGS
from rollwright.analysis.records import PortAnaRecord
from rollwright.errors import ConfigError

pytestmark = pytest.mark.usefixtures("portfolio_market")


def config(kwargs=None, **terms):
    plain = CONFIGS["plain"]
    strategy = {"class": "SoftTopkStrategy", "module_path": "qlib.contrib.strategy", "kwargs": kwargs or {"topk": 4}}
    strategy["kwargs"].setdefault("signal", "<PRED>")
    return {"strategy": strategy, "backtest": {**plain["backtest"], "exchange_kwargs": terms}}


def test_a_strategy_by_weights_leaves_all_artifacts(predicted):
    record = PortAnaRecord(predicted, config(limit_threshold=0.095))
    record.generate()
    assert {record.get_path(name) for name in record.list()} <= set(predicted.objects)
    report = predicted.objects["portfolio_analysis/report_normal_1day.pkl"]
    assert report.index[0] == CALENDAR[10]
    assert (report["value"] / report["account"]).iloc[0] == pytest.approx(0.95, abs=0.02)  # the eve's scores are traded
    assert predicted.metrics["1day.excess_return_with_cost.annualized_return"]


def test_rules_may_be_given_in_a_record(predicted):
    record = PortAnaRecord(predicted, config(rules="us", open_cost=0.0))
    record.generate()
    costs = predicted.objects["portfolio_analysis/report_normal_1day.pkl"]["cost"]
    assert costs.iloc[0] < 1e-4
    with pytest.raises(ConfigError, match="no code of an A share"):
        PortAnaRecord(predicted, config(rules="cn")).generate()
    with pytest.raises(ConfigError, match="`close_cost` is given"):
        PortAnaRecord(predicted, config(rules="cn", close_cost=0.0015))


def test_arguments_that_the_strategy_does_not_take_are_told_before_the_fit(predicted):
    with pytest.raises(ConfigError, match="n_drop"):
        PortAnaRecord(predicted, config({"topk": 4, "n_drop": 1})).generate()
