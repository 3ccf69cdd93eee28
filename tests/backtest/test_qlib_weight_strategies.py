"""In the mode of Qlib strategies by weights give pyqlib 0.9.7's report and holdings, as a table of its own has them."""

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
from rollwright.backtest.weight_strategy import WeightStrategyBase
from rollwright.testing.market import ArraySource

RELATIVE = 1e-6
SAME = ("account", "return", "total_turnover", "turnover", "total_cost", "cost", "value", "cash")
TABLE = json.loads(Path(__file__).with_name("qlib_weight_strategies.json").read_text())
CASES = [(market, setting) for market, one in TABLE["markets"].items() for setting in one["settings"]]


class FixedWeights(WeightStrategyBase):
    """So much weight for the best, so much for the second."""

    def __init__(self, *, weights, **kwargs):
        super().__init__(**kwargs)
        self.weights = weights

    def generate_target_weight_position(self, score, current, trade_start_time, trade_end_time):
        return dict(zip(score.index, self.weights, strict=False))


CLASSES = {"SoftTopkStrategy": SoftTopkStrategy, "FixedWeights": FixedWeights}


@cache
def read_market(name):
    kept = TABLE["markets"][name]
    shape = (TABLE["sessions"], len(TABLE["names"]))
    values = {field: np.array(numbers, dtype=np.float64).reshape(shape) for field, numbers in kept["fields"].items()}
    pred = pd.DataFrame(kept["scores"], columns=["datetime", "instrument", "score"])
    pred["datetime"] = pd.to_datetime(pred["datetime"])
    source = ArraySource(values, TABLE["names"], bounds=np.array(kept["bounds"]))
    return source, pred.set_index(["datetime", "instrument"])["score"]


def run(market, setting, mode):
    source, pred = read_market(market)
    asked = TABLE["markets"][market]["settings"][setting]
    exchange, rule = dict(asked["exchange"]), dict(asked["strategy"])
    deal_price = exchange.pop("deal_price")
    strategy = CLASSES[rule.pop("class")](order_generator_cls_or_obj=rule.pop("generator"), **rule)
    return backtest(
        strategy,
        pred,
        source,
        costs=Costs(**exchange),
        account=asked["account"],
        deal_price=deal_price if isinstance(deal_price, str) else tuple(deal_price),
        mode=mode,
        start=source.calendar()[asked["start"]],
        end=source.calendar()[asked["end"]],
    )


@pytest.mark.parametrize(("market", "setting"), CASES)
def test_the_report_and_the_holdings_are_qlibs(market, setting):
    found = TABLE["markets"][market]["found"][setting]
    made = run(market, setting, "qlib")
    held = made.positions["amount"]
    for day, theirs in zip(made.report.index, found["positions"], strict=True):
        ours = held.xs(day, level="datetime").to_dict() if day in held.index else {}
        assert ours.keys() == theirs.keys(), day
        assert ours == pytest.approx(theirs, rel=RELATIVE), day
    for column in SAME:
        theirs = np.array(found["report"][column])
        size = float(made.report["account"].max()) if column in {"cash", "value"} else 1e-3
        np.testing.assert_allclose(made.report[column], theirs, rtol=RELATIVE, atol=RELATIVE * size, err_msg=column)


def test_the_table_meets_what_it_is_meant_for():
    reasons, parts, differing = set(), 0, 0
    for market, setting in CASES:
        made = run(market, setting, "qlib")
        reasons |= set(made.unfilled["reason"])
        kept = made.trades[made.trades["side"] == "sell"].index.intersection(made.positions.index)
        parts += len(kept)
        differing += not made.report.equals(run(market, setting, "strict").report)
    assert {"suspended", "limit_up", "limit_down", "cash", "below_lot"} <= reasons
    assert parts > 100  # sales of a part of a holding
    assert differing >= len(CASES) // 3
