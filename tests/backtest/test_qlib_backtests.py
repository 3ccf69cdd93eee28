"""In the mode of Qlib a back-test gives pyqlib 0.9.7's report and holdings, as tables of its own have them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest
from rollwright.backtest.soft_topk import SoftTopkStrategy
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.backtest.weight_strategy import WeightStrategyBase
from rollwright.testing.market import ArraySource

RELATIVE = 1e-6
SAME = ("account", "return", "total_turnover", "turnover", "total_cost", "cost", "value", "cash")


class FixedWeights(WeightStrategyBase):
    """So much weight for the best, so much for the second."""

    def __init__(self, *, weights, **kwargs):
        super().__init__(**kwargs)
        self.weights = weights

    def generate_target_weight_position(self, score, current, trade_start_time, trade_end_time):
        return dict(zip(score.index, self.weights, strict=False))


WEIGHTED = {"SoftTopkStrategy": SoftTopkStrategy, "FixedWeights": FixedWeights}
TABLES = {
    name: json.loads(Path(__file__).with_name(f"{name}.json").read_text())
    for name in ("qlib_backtests", "qlib_weight_strategies")
}
CASES = [
    (table, market, setting)
    for table, found in TABLES.items()
    for market, one in found["markets"].items()
    for setting in one["settings"]
]


def make_strategy(rule):
    if "class" not in rule:
        return TopkDropoutStrategy(**rule)
    own = {name: value for name, value in rule.items() if name not in ("class", "generator")}
    return WEIGHTED[rule["class"]](order_generator_cls_or_obj=rule["generator"], **own)


@cache
def read_market(table, name):
    whole = TABLES[table]
    kept = whole["markets"][name]
    shape = (whole["sessions"], len(whole["names"]))
    values = {field: np.array(numbers, dtype=np.float64).reshape(shape) for field, numbers in kept["fields"].items()}
    pred = pd.DataFrame(kept["scores"], columns=["datetime", "instrument", "score"])
    pred["datetime"] = pd.to_datetime(pred["datetime"])
    source = ArraySource(values, whole["names"], bounds=np.array(kept["bounds"]))
    return source, pred.set_index(["datetime", "instrument"])["score"]


def run(table, market, setting, mode):
    source, pred = read_market(table, market)
    asked = TABLES[table]["markets"][market]["settings"][setting]
    exchange = dict(asked["exchange"])
    deal_price = exchange.pop("deal_price")
    return backtest(
        make_strategy(asked["strategy"]),
        pred,
        source,
        costs=Costs(**exchange),
        account=asked["account"],
        deal_price=deal_price if isinstance(deal_price, str) else tuple(deal_price),
        mode=mode,
        start=source.calendar()[asked["start"]],
        end=source.calendar()[asked["end"]],
    )


@pytest.mark.parametrize(("table", "market", "setting"), CASES)
def test_the_report_and_the_holdings_are_qlibs(table, market, setting):
    found = TABLES[table]["markets"][market]["found"][setting]
    made = run(table, market, setting, "qlib")
    held = made.positions["amount"]
    for day, theirs in zip(made.report.index, found["positions"], strict=True):
        ours = held.xs(day, level="datetime").to_dict() if day in held.index else {}
        assert ours.keys() == theirs.keys(), day
        assert ours == pytest.approx(theirs, rel=RELATIVE), day
    for column in SAME:
        theirs = np.array(found["report"][column])
        size = float(made.report["account"].max()) if column in {"cash", "value"} else 1e-3
        np.testing.assert_allclose(made.report[column], theirs, rtol=RELATIVE, atol=RELATIVE * size, err_msg=column)


def try_all(table):
    """Return the reasons met, the sales of a part of a holding, and the share of back-tests that ``strict`` changes."""
    reasons, parts, differing = set(), 0, []
    for case in [case for case in CASES if case[0] == table]:
        made = run(*case, "qlib")
        reasons |= set(made.unfilled["reason"])
        parts += len(made.trades[made.trades["side"] == "sell"].index.intersection(made.positions.index))
        differing.append(not made.report.equals(run(*case, "strict").report))
    return reasons, parts, np.mean(differing)


def test_the_table_meets_what_it_is_meant_for():
    reasons, _, differing = try_all("qlib_backtests")
    assert {"suspended", "limit_up", "limit_down", "hold_thresh", "cash", "below_lot"} <= reasons
    assert differing >= 1 / 2


def test_the_table_of_weights_meets_what_it_is_meant_for():
    reasons, parts, differing = try_all("qlib_weight_strategies")
    assert {"suspended", "limit_up", "limit_down", "cash", "below_lot"} <= reasons
    assert parts > 100
    assert differing >= 1 / 3
