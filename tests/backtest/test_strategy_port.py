"""A strategy of one's own: its orders are filled one after the other, in parts too, and it sees its account."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from rollwright.backtest.costs import Costs
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.strategy import Order, Strategy
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.errors import ConfigError

FREE = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0, trade_unit=None)


@dataclass
class Script:
    """The orders of each session, written down; and what was seen."""

    orders: dict[int, list[Order]]
    signal: Any = None
    forbid_all_trade_at_limit: bool = True
    seen: list[Any] = field(default_factory=list)

    def make_draws(self):
        return None

    def decide(self, day, account):
        self.seen.append((day.number, account.known_price.copy(), account.cash))
        for order in self.orders.get(day.number, []):
            yield order
            self.seen.append((account.cash, dict.fromkeys(account.held)))


def play(orders, closes, costs=FREE, account=1000.0, factor=None):
    closes = np.asarray(closes, dtype=np.float64)
    script = Script(orders)
    market = MarketPrices(close=closes, factor=factor)
    return script, simulate(script, np.ones(closes.shape), market, costs=costs, account=account)


def test_what_is_shipped_and_what_is_ones_own_are_both_strategies():
    assert isinstance(Script({}), Strategy)
    assert isinstance(TopkDropoutStrategy(topk=1, n_drop=1), Strategy)


def test_an_order_is_filled_before_the_next_is_asked_for():
    script, _ = play({1: [Order(0, "buy", amount=10.0), Order(1, "buy", value=100.0)]}, [[10, 20], [10, 20]])
    assert script.seen[1:] == [(900.0, {0: None}), (800.0, {0: None, 1: None})]


def test_known_prices_are_those_before_the_session():
    script, _ = play({}, [[10, 20], [11, 21], [12, np.nan], [13, 23]])
    known = {row[0]: row[1].tolist() for row in script.seen}
    assert known == {1: [10, 20], 2: [11, 21], 3: [12, 21]}


def test_a_part_of_a_holding_is_sold_and_one_is_added_to():
    _, made = play(
        {1: [Order(0, "buy", amount=10.0)], 2: [Order(0, "sell", amount=4.0)], 3: [Order(0, "buy", amount=1.5)]},
        np.full((5, 1), 10.0),
    )
    assert made.amounts.tolist() == [10, 6, 7.5, 7.5]
    assert [trade.amount for trade in made.trades] == [10, 4, 1.5]
    assert made.unfilled == ()
    assert (made.cash + made.value).tolist() == [1000.0] * 5


def test_a_part_is_sold_in_whole_lots_and_all_of_it_in_any_size():
    lots = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0, trade_unit=4)
    factor = np.full((6, 1), 0.5)
    orders = {
        1: [Order(0, "buy", amount=24.0)],
        2: [Order(0, "sell", amount=9.9)],
        3: [Order(0, "sell", amount=7.0)],
        4: [Order(0, "sell", amount=999.0)],
    }
    _, made = play(orders, np.full((6, 1), 10.0), lots, factor=factor)
    assert [trade.amount for trade in made.trades] == [24, 8, 16]
    assert [(row.side, row.reason, row.wanted_amount) for row in made.unfilled] == [("sell", "below_lot", 7.0)]


def test_what_is_nearly_all_is_all():
    _, made = play({1: [Order(0, "buy", amount=10.0)], 2: [Order(0, "sell", amount=9.99999)]}, np.full((3, 1), 10.0))
    assert made.trades[-1].amount == 10


def test_a_refusal_of_the_strategys_own_is_written_down():
    orders = [Order(0, "buy", amount=1.0, refusal="no_room"), Order(1, "buy", value=50.0, refusal="no_room")]
    _, made = play({1: orders}, np.full((3, 2), 10.0))
    assert made.trades == ()
    assert [row.reason for row in made.unfilled] == ["no_room", "no_room"]


def test_what_cannot_be_traded_is_refused_with_its_reason():
    closes = [[10, 10], [10, 10], [np.nan, 12], [10, 10]]
    costs = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0, trade_unit=None, limit_threshold=0.1)
    script = Script(
        {
            1: [Order(0, "buy", amount=3.0)],
            2: [Order(0, "sell", amount=2.0), Order(1, "buy", amount=1.0)],
        }
    )
    closes = np.array(closes, dtype=np.float64)
    made = simulate(script, np.ones(closes.shape), MarketPrices(close=closes), costs=costs, account=1000.0)
    assert [(row.instrument, row.side, row.reason, row.wanted_amount, row.made_amount) for row in made.unfilled] == [
        (0, "sell", "suspended", 2.0, 0.0),
        (1, "buy", "limit_up", 1.0, 0.0),
    ]


def test_a_sale_of_what_is_not_held_is_an_error():
    with pytest.raises(ConfigError, match="nothing is held"):
        play({1: [Order(0, "sell")]}, np.full((3, 1), 10.0))


@pytest.mark.parametrize("given", [{"names": ("A",)}, {"dates": np.arange(3)}])
def test_labels_that_do_not_fit_the_market_are_refused(given):
    with pytest.raises(ConfigError, match="in close"):
        MarketPrices(close=np.ones((2, 2)), **given)
