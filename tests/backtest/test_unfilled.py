"""Every order that was wanted and not made has its reason: by hand, and in every market."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings

from backtest_worlds import worlds
from rollwright.backtest.costs import Costs
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.tie_order import TieOrder
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.backtest.unfilled import REASONS, Reason

NAN = float("nan")
FREE = Costs(open_cost=0, close_cost=0, min_cost=0, trade_unit=None)
LOTS = Costs(open_cost=0.001, close_cost=0.002, min_cost=5, trade_unit=100)
TOP1 = TopkDropoutStrategy(topk=1, n_drop=1)
FLAT = np.full((4, 2), 10.0)
A_THEN_B = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])


def tell(made):
    return [(order.session, "AB"[order.instrument], order.side, order.reason) for order in made.unfilled]


def trade(close, *, strategy=TOP1, costs=FREE, account=1000.0, factor=True):
    close = np.asarray(close, dtype=np.float64)
    market = MarketPrices(close=close, factor=np.ones_like(close) if factor is True else factor)
    return simulate(strategy, A_THEN_B, market, costs=costs, account=account)


def test_each_reason_has_its_words():
    assert list(get_args(Reason)) == list(REASONS)


def test_a_suspended_holding_is_not_sold_and_whom_it_leaves_no_room_is_named():
    close = FLAT.copy()
    close[2, 0] = NAN
    made = trade(close)
    assert tell(made) == [(2, "A", "sell", "suspended"), (2, "B", "buy", "no_room")]
    sale, purchase = made.unfilled
    assert (sale.wanted_amount, sale.wanted_value, sale.made_amount) == (95.0, 950.0, 0.0)
    assert np.isnan([purchase.wanted_amount, purchase.wanted_value]).all()


def test_a_suspended_purchase_has_a_value_and_no_amount():
    close = FLAT.copy()
    close[1, 0] = NAN
    (order,) = trade(close).unfilled
    assert tell(trade(close)) == [(1, "A", "buy", "suspended")]
    assert order.wanted_value == 950.0
    assert np.isnan(order.wanted_amount)


@pytest.mark.parametrize(("change", "reason"), [(1.1, "limit_up"), (0.9, "limit_down")])
def test_a_price_at_its_limit_is_named_with_the_side_of_the_limit(change, reason):
    close = FLAT.copy()
    close[1:, 0] *= change
    made = trade(close, costs=replace(FREE, limit_threshold=0.095))
    assert tell(made)[0] == (1, "A", "buy", reason)
    assert made.unfilled[0].wanted_amount == pytest.approx(950.0 / (10.0 * change))
    lenient = replace(TOP1, forbid_all_trade_at_limit=False)
    made = trade(close, strategy=lenient, costs=replace(FREE, limit_threshold=0.095))
    assert tell(made)[:1] == ([(1, "A", "buy", reason)] if reason == "limit_up" else [])


def test_a_holding_that_is_too_young():
    made = trade(FLAT, strategy=replace(TOP1, hold_thresh=2))
    assert tell(made) == [(2, "A", "sell", "hold_thresh"), (2, "B", "buy", "no_room")]


def test_an_account_that_is_too_small_for_a_lot():
    made = trade(FLAT, costs=LOTS, account=1000.0)
    assert tell(made) == [(day, "AB"[day > 1], "buy", "below_lot") for day in (1, 2, 3)]
    order = made.unfilled[0]
    assert (order.wanted_amount, order.wanted_value, order.made_amount) == (95.0, 950.0, 0.0)


def test_cash_that_does_not_cover_the_order_and_its_cost():
    made = trade(FLAT, strategy=replace(TOP1, risk_degree=1.0), costs=LOTS, account=3000.0)
    order = made.unfilled[0]
    assert tell(made)[0] == (1, "A", "buy", "cash")
    assert (order.wanted_amount, order.wanted_value, order.made_amount) == (300.0, 3000.0, 200.0)
    assert made.trades[0].amount == 200.0


def test_a_sale_whose_cost_nobody_can_pay():
    close = FLAT.copy()
    close[2:, 0] = 0.01
    made = trade(close, strategy=replace(TOP1, risk_degree=1.0), costs=replace(FREE, min_cost=5.0), account=100.0)
    assert (2, "A", "sell", "cash") in tell(made)


def test_a_price_without_a_factor_has_no_lots():
    factor = np.ones_like(FLAT)
    factor[1, 0] = NAN
    assert tell(trade(FLAT, costs=replace(LOTS, trade_unit=1), factor=factor))[0] == (1, "A", "buy", "no_factor")


def test_where_everything_is_made_nothing_is_unfilled():
    assert trade(FLAT).unfilled == ()


def choose_again(strategy, scores, prices, costs, day, held, draws):
    """Return what the strategy wanted on a day, from the holdings it had then."""
    order = TieOrder(scores.shape[1])
    for past in range(day):
        order.add(prices.close[past], None if prices.factor is None else prices.factor[past])
    upper, lower = costs.find_limits(prices.changes())
    both = upper | lower
    up, down = (both, both) if strategy.forbid_all_trade_at_limit else (upper, lower)
    priced = prices.traded()
    sized = priced if prices.factor is None else priced & (prices.factor > 0)
    return strategy.choose(
        scores[day - 1], held, (priced & ~down & sized & ~up)[day], lots=order.numbers(), draws=draws
    )


@settings(max_examples=250)
@given(worlds())
def test_law_every_wanted_order_is_made_whole_or_stands_there_with_a_reason_that_is_true(world):
    strategy, scores, prices, costs, account = world
    made = simulate(strategy, scores, prices, costs=costs, account=account)
    terms = costs if prices.factor is not None else replace(costs, trade_unit=None)
    cash = np.concatenate([[account], made.cash])
    changes, draws = prices.changes(), strategy.make_draws()
    price = prices.fill_deal_price(prices.buy_price)
    for day in range(len(scores)):
        trades = [one for one in made.trades if one.session == day]
        unfilled = [one for one in made.unfilled if one.session == day]
        before = made.sessions == day - 1
        held = dict(zip(made.instruments[before].tolist(), made.amounts[before].tolist(), strict=True))
        money = cash[day]
        for one in (one for one in trades if one.side == "settle"):
            money += one.value - one.cost
            del held[one.instrument]
        if not day or np.isnan(scores[day - 1]).all():
            assert all(one.side == "settle" for one in [*trades, *unfilled])
            continue
        choice = choose_again(strategy, scores, prices, costs, day, np.array(sorted(held), dtype=np.intp), draws)

        # sales: whole, or not at all
        sold = {one.instrument: one.amount for one in trades if one.side == "sell"}
        kept = {one.instrument: one.wanted_amount for one in unfilled if one.side == "sell"}
        assert sold.keys() | kept.keys() == set(choice.sell.tolist())
        assert not sold.keys() & kept.keys()
        assert sold | kept == {place: held[place] for place in choice.sell.tolist()}
        for one in (one for one in trades if one.side == "sell"):
            money += one.value - one.cost

        # purchases: those for which there would be room if every sale were made
        bought = {one.instrument: one.amount for one in trades if one.side == "buy"}
        lacking = {one.instrument: one for one in unfilled if one.side == "buy"}
        wanted = choice.buy[: max(len(choice.sell) + strategy.topk - len(held), 0)].tolist()
        assert bought.keys() | lacking.keys() == set(wanted)
        assert len(bought.keys() & lacking.keys()) == sum(one.made_amount > 0 for one in lacking.values())
        roomless = [place for place in wanted if place in lacking and lacking[place].reason == "no_room"]
        assert roomless == wanted[len(wanted) - len(roomless) :]
        assert len(roomless) <= len(kept)
        share = money * strategy.risk_degree / max(len(wanted) - len(roomless), 1)
        for place in wanted[: len(wanted) - len(roomless)]:
            factor = 1.0 if prices.factor is None else prices.factor[day, place]
            if place not in lacking:
                assert bought[place] == terms.size_order(share / price[day, place], factor=factor)
            elif (reason := lacking[place].reason) == "cash":
                assert (
                    lacking[place].made_amount == bought.get(place, 0.0) < lacking[place].wanted_amount or share <= 1e-5
                )
            elif reason == "below_lot":
                assert terms.size_order(share / price[day, place], factor=factor) == 0.0
                assert lacking[place].wanted_value == share
        for one in unfilled:
            here = changes[day, one.instrument]
            has_price = prices.traded()[day, one.instrument]
            is_true = {
                "suspended": not has_price,
                "limit_up": costs.limit_threshold is not None and here >= (costs.limit_threshold or 0),
                "limit_down": costs.limit_threshold is not None and here <= -(costs.limit_threshold or 0),
                "hold_thresh": one.side == "sell" and strategy.hold_thresh > 1,
                "cash": one.side != "sell" or cash[day] < costs.charge_sale(one.wanted_value),
                "below_lot": terms.trade_unit is not None,
                "no_room": one.side == "buy",
                "no_factor": False,
            }
            assert is_true[one.reason], one
