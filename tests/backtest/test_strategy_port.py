"""A strategy of one's own: its orders are filled one after the other, in parts too, and it sees its account."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from rollwright.backtest.costs import Costs
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.strategy import Order, Strategy
from rollwright.backtest.terms import DatedTerms
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
    fields: tuple[str, ...] = ()

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


def test_what_was_bought_is_sold_from_the_next_session_on_where_shares_wait():
    day = [Order(0, "buy", amount=10.0), Order(0, "sell", amount=4.0)]
    _, made = play({1: day}, np.full((3, 1), 10.0))
    assert [trade.amount for trade in made.trades] == [10, 4]
    wait = replace(FREE, shares_next_day=True)
    _, made = play({1: day}, np.full((3, 1), 10.0), wait)
    assert [(row.reason, row.wanted_amount, row.made_amount) for row in made.unfilled] == [("t_plus_1", 4.0, 0.0)]
    add = [Order(0, "buy", amount=5.0), Order(0, "sell")]
    _, made = play({1: day[:1], 2: add}, np.full((3, 1), 10.0), wait)
    assert [(row.reason, row.wanted_amount, row.made_amount) for row in made.unfilled] == [("t_plus_1", 15.0, 10.0)]
    assert made.amounts.tolist() == [10, 5]


def test_the_cash_of_a_sale_is_spent_from_the_next_session_on_where_it_waits():
    orders = {
        1: [Order(0, "buy", amount=90.0)],
        2: [Order(0, "sell"), Order(1, "buy", amount=50.0)],
        3: [Order(1, "buy", amount=50.0)],
    }
    script, made = play(orders, np.full((4, 2), 10.0), replace(FREE, cash_next_day=True))
    (short,) = made.unfilled
    assert (short.session, short.reason, short.wanted_amount, short.made_amount) == (2, "unsettled", 50.0, 10.0)
    assert made.cash.tolist() == [1000, 100, 900, 400]
    assert [seen[0] for seen in script.seen if isinstance(seen[1], dict)][1] == 100  # what may be spent after the sale


@pytest.mark.parametrize(("share", "left"), [(1.0, 1000.0), (0.2, 920.0), (0.0, 900.0)])
def test_a_listing_that_ends_is_settled_at_a_share_of_its_last_price(share, left):
    closes = np.array([[10.0], [10.0], [10.0], [np.nan]])
    market = MarketPrices(close=closes, ends=np.array([3]))
    script = Script({1: [Order(0, "buy", amount=10.0)]})
    made = simulate(script, np.ones(closes.shape), market, costs=replace(FREE, delisting=share), account=1000.0)
    assert made.cash[-1] == left
    assert (made.trades[-1].side, made.trades[-1].price) == ("settle", 10 * share)


def test_terms_by_session_and_instrument():
    kinds = (FREE, replace(FREE, open_cost=0.01))
    closed = np.zeros((4, 2), dtype=bool)
    upper = closed.copy()
    upper[3, 0] = True
    terms = DatedTerms(kinds=kinds, kind=np.array([[0, 0], [0, 1], [1, 0], [0, 0]]), upper=upper, lower=closed)
    script = Script({day: [Order(0, "buy", amount=1.0), Order(1, "buy", amount=1.0)] for day in (1, 2, 3)})
    market = MarketPrices(close=np.full((4, 2), 10.0))
    made = simulate(script, np.ones((4, 2)), market, costs=terms, account=1000.0)
    assert [round(trade.cost, 9) for trade in made.trades] == [0.0, 0.1, 0.1, 0.0, 0.0]
    assert [row.reason for row in made.unfilled] == ["limit_up"]
    with pytest.raises(ConfigError, match="kind of the terms has the shape"):
        simulate(script, np.ones((4, 2)), market, costs=replace(terms, kind=np.zeros((1, 2), dtype=int)))
    with pytest.raises(ConfigError, match="nothing says which"):
        DatedTerms(kinds=kinds)
    with pytest.raises(ConfigError, match="on one side only"):
        DatedTerms(kinds=kinds[:1], upper=upper)


@pytest.mark.parametrize("given", [{"names": ("A",)}, {"dates": np.arange(3)}])
def test_labels_that_do_not_fit_the_market_are_refused(given):
    with pytest.raises(ConfigError, match="in close"):
        MarketPrices(close=np.ones((2, 2)), **given)
