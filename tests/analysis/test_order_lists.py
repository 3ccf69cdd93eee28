"""Orders of one side for one instrument in one session are one row, whatever the tables they come from look like."""

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.indicators import list_orders, trade_indicators
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import BacktestResult
from rollwright.backtest.topk_dropout import TopkDropoutStrategy

DAYS = pd.bdate_range("2020-01-01", periods=3, name="datetime")
TRADE = ["side", "amount", "price", "value", "cost"]
REFUSAL = ["side", "reason", "wanted_amount", "wanted_value", "made_amount"]


def make_table(rows, columns):
    """Return rows of (session, instrument, …) as a table of a back-test."""
    names = pd.Index([row[1] for row in rows], dtype="str")
    index = pd.MultiIndex.from_arrays([DAYS[[row[0] for row in rows]], names], names=["datetime", "instrument"])
    table = pd.DataFrame([row[2:] for row in rows], index=index, columns=columns)
    texts = {name: "str" for name in columns if name in ("side", "reason")}
    return table.astype({name: texts.get(name, "float64") for name in columns})


def make_result(trades, unfilled):
    report = pd.DataFrame({"account": 1.0}, index=DAYS)
    return BacktestResult(
        report=report,
        positions=report.iloc[:0],
        trades=make_table(trades, TRADE),
        unfilled=make_table(unfilled, REFUSAL),
        strategy=TopkDropoutStrategy(topk=1, n_drop=1),
        costs=Costs(),
    )


def test_two_orders_of_one_side_are_added_and_the_other_side_stands_by_itself():
    made = make_result(
        [
            (1, "B", "buy", 10.0, 2.0, 20.0, 0.5),
            (1, "A", "sell", 5.0, 1.0, 5.0, 0.1),
            (1, "B", "buy", 30.0, 2.0, 60.0, 1.0),
            (1, "B", "sell", 7.0, 2.0, 14.0, 0.2),
        ],
        [(1, "B", "buy", "cash", 90.0, 180.0, 30.0)],
    )
    orders = list_orders(made)
    assert orders.index.get_level_values("instrument").tolist() == ["A", "B", "B"]
    assert orders["side"].tolist() == ["sell", "buy", "sell"], "those of one instrument as they came"
    assert orders["deal_amount"].tolist() == [5, 40, 7]
    assert orders["amount"].tolist() == [5, 100, 7], "ten that were filled and ninety of which thirty were"
    assert orders["value"].tolist() == [5, 80, 14]
    assert orders["cost"].tolist() == [0.1, 1.5, 0.2]
    assert orders["ffr"].tolist() == [1, 0.4, 1]
    daily = trade_indicators(orders, DAYS)
    assert daily["count"].tolist() == [0, 3, 0]
    assert daily["ffr"].tolist() == pytest.approx([np.nan, 0.8, np.nan], nan_ok=True)
    assert daily["deal_amount"].tolist() == [0, 52, 0]
    assert daily["pa"].isna().tolist() == [True, False, True]


def test_an_order_refused_twice_is_wanted_once():
    made = make_result([], [(0, "A", "sell", "t_plus_1", 9.0, 9.0, 4.0), (0, "A", "sell", "cash", 4.0, 4.0, 0.0)])
    assert list_orders(made)[["amount", "deal_amount", "ffr"]].to_numpy().tolist() == [[9, 0, 0]]


def test_what_never_reached_the_market_and_what_was_settled_are_no_orders():
    made = make_result(
        [(0, "C", "settle", 1.0, 1.0, 1.0, 0.0)],
        [(0, "A", "buy", "suspended", 1.0, 1.0, 0.0), (2, "D", "buy", "below_lot", 3.0, 3.0, 0.0)],
    )
    orders = list_orders(made)
    assert orders.index.tolist() == [(DAYS[2], "D")]
    assert orders["amount"].tolist() == [0], "less than a lot is nothing"
    assert orders["ffr"].isna().all()
    assert trade_indicators(orders, DAYS)["count"].tolist() == [0, 0, 1]
    assert trade_indicators(orders, DAYS[:2])["count"].tolist() == [0, 0], "an order of a session that is not asked for"


def test_no_orders_at_all_make_an_empty_list_and_indicators_of_nothing():
    orders = list_orders(make_result([], []))
    assert orders.empty
    daily = trade_indicators(orders, DAYS)
    assert daily["value"].tolist() == [0, 0, 0]
    assert daily["ffr"].isna().all()
