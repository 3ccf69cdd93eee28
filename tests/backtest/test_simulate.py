"""The rules of the daily simulation: a market by hand, and what holds in every market."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_worlds import worlds
from rollwright.backtest.costs import Costs
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.errors import ConfigError

NAN = float("nan")
TERMS = Costs(open_cost=0.001, close_cost=0.002, min_cost=5)
FREE = Costs(open_cost=0, close_cost=0, min_cost=0, trade_unit=None)

#                      A     B     C
CLOSE = np.array([[10.0, 20.0, 5.0], [10.0, 20.0, 5.0], [11.0, 20.0, 6.0], [12.0, 22.0, 6.0], [12.0, 21.0, 6.6]])
SCORES = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [NAN, NAN, NAN], [1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
TOP2 = TopkDropoutStrategy(topk=2, n_drop=1)


def market(close, **kwargs):
    close = np.asarray(close, dtype=np.float64)
    return MarketPrices(close=close, factor=kwargs.pop("factor", np.ones_like(close)), **kwargs)


def told(made):
    return [(trade.session, "ABC"[trade.instrument], trade.side, trade.amount) for trade in made.trades]


def held(made, day):
    return {"ABC"[place] for place in made.instruments[made.sessions == day]}


def test_five_days_by_hand_to_the_cent():
    made = simulate(TOP2, SCORES, market(CLOSE), costs=TERMS, account=10_000)
    # day 1: 9,500 / 2 each: 475 A for 4,750, and 237 B for 4,740; 5 is the least cost of both
    # day 2: B is the worst of A, C, B: sold for 4,740 less 9.48; 95 % of 5,230.52 buy 828 C for 4,968, cost 5
    # day 3: nothing was predicted on day 2, so nothing is traded
    # day 4: A goes for 5,700 less 11.40; 5,648.81 buy 269 B (268.99 with the seeds' slack) for 5,649, cost 5.649
    assert told(made) == [
        (1, "A", "buy", 475),
        (1, "B", "buy", 237),
        (2, "B", "sell", 237),
        (2, "C", "buy", 828),
        (4, "A", "sell", 475),
        (4, "B", "buy", 269),
    ]
    np.testing.assert_allclose(made.cash, [10_000, 500, 257.52, 257.52, 291.471], atol=1e-9)
    np.testing.assert_allclose(made.value, [0, 9_490, 10_193, 10_668, 11_113.8], atol=1e-9)
    np.testing.assert_allclose(made.cost, [0, 10, 14.48, 0, 17.049], atol=1e-9)
    np.testing.assert_allclose(made.turnover, [0, 9_490, 9_708, 0, 11_349], atol=1e-9)


def test_the_scores_of_a_day_are_traded_the_next_day_and_not_before():
    first = simulate(TOP2, SCORES, market(CLOSE), costs=TERMS, account=10_000)
    changed = SCORES.copy()
    changed[3] = [9.0, -9.0, -9.0]
    second = simulate(TOP2, changed, market(CLOSE), costs=TERMS, account=10_000)
    assert told(first)[:4] == told(second)[:4]
    assert (first.cash[:4] == second.cash[:4]).all()
    assert held(first, 0) == set()
    last = SCORES.copy()
    last[4] = [NAN, 1.0, 5.0]
    assert told(simulate(TOP2, last, market(CLOSE), costs=TERMS, account=10_000)) == told(first)


def test_no_scores_at_all_hold_the_cash():
    made = simulate(TOP2, np.full((5, 3), NAN), market(CLOSE), costs=TERMS, account=10_000)
    assert made.trades == ()
    assert (made.cash == 10_000).all()
    assert (made.value == 0).all()


def test_nothing_is_sold_to_buy_something_worse():
    scores = np.array([[3.0, 2.0, 1.0]] * 5)
    made = simulate(TOP2, scores, market(CLOSE), costs=FREE, account=100)
    assert {trade.side for trade in made.trades} == {"buy"}
    assert held(made, 4) == {"A", "B"}


def test_a_suspended_holding_keeps_its_price_and_its_place():
    close = CLOSE.copy()
    close[2:4, 1] = NAN
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    made = simulate(TOP2, scores, market(close), costs=FREE, account=100)
    assert [held(made, day) for day in range(5)] == [set(), {"A", "B"}, {"A", "B"}, {"A", "B"}, {"A", "C"}]
    assert made.prices[(made.sessions == 3) & (made.instruments == 1)] == 20.0


def test_as_in_qlib_a_suspended_holding_may_lead_beyond_topk():
    close = CLOSE.copy()
    close[2:4, 1] = NAN
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    strategy = TopkDropoutStrategy(topk=2, n_drop=1, exceed_topk=True)
    assert held(simulate(strategy, scores, market(close), costs=FREE, account=100), 2) == {"A", "B", "C"}


def test_random_methods_draw_from_the_best_and_from_the_holdings_as_qlib_does_under_that_seed():
    rng = np.random.default_rng(1)
    scores, close = rng.normal(size=(6, 20)), rng.uniform(5, 50, (6, 20))
    strategy = TopkDropoutStrategy(topk=5, n_drop=2, method_buy="random", method_sell="random", seed=11)
    made = simulate(strategy, scores, market(close), costs=FREE, account=1e6)
    draws = np.random.RandomState(11)
    holdings: list[int] = []
    for day in range(1, 6):
        ranked = np.argsort(-scores[day - 1])
        candidates = [place for place in ranked[:5] if place not in holdings]
        wanted = 2 + 5 - len(holdings)
        fresh = draws.choice(candidates, wanted, replace=False) if wanted <= len(candidates) else candidates
        best = [place for place in ranked if place in holdings]
        dropped = [] if not best else list(draws.choice(best, 2, replace=False))
        bought = list(fresh)[: len(dropped) + 5 - len(holdings)]
        assert {trade.instrument for trade in made.trades if trade.session == day and trade.side == "sell"} == set(
            dropped
        )
        assert [trade.instrument for trade in made.trades if trade.session == day and trade.side == "buy"] == bought
        holdings = [place for place in holdings if place not in dropped] + bought
    assert simulate(strategy, scores, market(close), costs=FREE, account=1e6).trades == made.trades
    other = simulate(replace(strategy, seed=12), scores, market(close), costs=FREE, account=1e6)
    assert other.trades != made.trades


def test_random_purchases_come_only_from_the_best_even_where_few_of_them_trade():
    scores = np.tile(np.arange(10.0), (3, 1))
    close = np.full((3, 10), 10.0)
    close[:, 9] = NAN
    strategy = TopkDropoutStrategy(topk=2, n_drop=0, method_buy="random", seed=0)
    made = simulate(strategy, scores, market(close), costs=FREE, account=100)
    assert {trade.instrument for trade in made.trades} == {8}
    made = simulate(replace(strategy, only_tradable=True), scores, market(close), costs=FREE, account=100)
    assert {trade.instrument for trade in made.trades} == {7, 8}


def test_what_has_no_price_is_not_bought_and_only_tradable_takes_the_next():
    close = CLOSE.copy()
    close[1, 0] = NAN
    made = simulate(TOP2, SCORES[:2], market(close[:2]), costs=FREE, account=100)
    assert held(made, 1) == {"B"}
    strategy = TopkDropoutStrategy(topk=2, n_drop=1, only_tradable=True)
    made = simulate(strategy, SCORES[:2], market(close[:2]), costs=FREE, account=100)
    assert held(made, 1) == {"B", "C"}


def test_a_lot_that_only_rounding_affords_is_given_back():
    # 9.95 shares are affordable, and count as 10 by the slack of a tenth: one lot less then, or just below the cash
    free = {"open_cost": 0.0, "close_cost": 0.0, "min_cost": 0.0}
    assert Costs(**free, trade_unit=1).fit_to_cash(10.0, price=10.0, factor=1.0, cash=99.5) == 9.0
    assert Costs(**free, trade_unit=100).fit_to_cash(1000.0, price=1.0, factor=0.5, cash=599.9) == 400.0
    assert Costs(**free, trade_unit=1).fit_to_cash(10.0, price=10.0, factor=1.0, cash=9.95) == 0.0
    cash = 0.1 + 0.2
    amount = Costs(open_cost=0.07, min_cost=0.0, trade_unit=None).fit_to_cash(1 / 0.7, price=0.7, factor=1.0, cash=cash)
    assert amount * 0.7 * 1.07 <= cash
    assert amount * 0.7 * 1.07 == pytest.approx(cash, rel=1e-11)


@pytest.mark.parametrize("price", [NAN, 0.0, -1.0, float("inf")])
def test_a_price_that_is_none_is_never_traded(price):
    close = CLOSE.copy()
    close[1] = price
    made = simulate(TOP2, SCORES[:2], market(close[:2]), costs=FREE, account=100)
    assert made.trades == ()


def test_a_listing_that_ends_is_settled_once_and_its_place_is_free():
    close = CLOSE.copy()
    close[2:, 1] = NAN
    scores = np.array([[3.0, 2.0, 1.0], [3.0, NAN, 1.0], [3.0, NAN, 1.0], [3.0, NAN, 1.0], [3.0, NAN, 1.0]])
    ends = np.array([99, 2, 99])
    made = simulate(TOP2, scores, market(close, ends=ends), costs=TERMS, account=10_000)
    assert told(made)[2:4] == [(2, "B", "settle", 237), (2, "C", "buy", 828)]
    assert held(made, 2) == {"A", "C"}
    kept = simulate(TOP2, scores, market(close), costs=TERMS, account=10_000)
    assert held(kept, 4) == {"A", "B"}


def test_a_holding_is_kept_as_long_as_asked():
    flip = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    for thresh, day in ((1, 2), (2, 3), (3, 4)):
        strategy = TopkDropoutStrategy(topk=1, n_drop=1, hold_thresh=thresh)
        made = simulate(strategy, flip, market(CLOSE), costs=FREE, account=100)
        assert [trade.session for trade in made.trades if trade.side == "sell"] == [day]
    with pytest.raises(ConfigError, match="hold_thresh"):
        TopkDropoutStrategy(hold_thresh=-1)


def test_at_the_limit_nothing_trades():
    close = np.array([[10.0, 20.0, 5.0], [11.0, 18.0, 5.0], [11.0, 18.0, 5.0]])
    limit = Costs(open_cost=0, close_cost=0, min_cost=0, trade_unit=None, limit_threshold=0.095)
    scores = np.array([[3.0, 2.0, 1.0]] * 3)
    made = simulate(TOP2, scores, market(close), costs=limit, account=100)
    assert [held(made, day) for day in range(3)] == [set(), set(), {"A", "B"}]
    lower = TopkDropoutStrategy(topk=2, n_drop=1, forbid_all_trade_at_limit=False)
    assert held(simulate(lower, scores, market(close), costs=limit, account=100), 1) == {"B"}


def test_changes_are_counted_from_the_last_price_even_across_a_suspension():
    close = np.array([[10.0, NAN], [NAN, 8.0], [12.0, 4.0]])
    before = np.array([5.0, 16.0])
    np.testing.assert_allclose(market(close, before=before).changes(), [[1.0, NAN], [NAN, -0.5], [0.2, -0.5]])
    np.testing.assert_allclose(market(close).changes(), [[NAN, NAN], [NAN, NAN], [0.2, -0.5]])


def test_lots_are_counted_in_unadjusted_shares():
    close = np.array([[10.0], [10.0]])
    strategy = TopkDropoutStrategy(topk=1, n_drop=1)
    lots = Costs(open_cost=0, close_cost=0, min_cost=0, trade_unit=100)
    # 9,500 buy 950 adjusted shares; at factor 0.5 they are 475 real ones: 4 lots, so 800 adjusted shares
    halves = market(close, factor=np.full((2, 1), 0.5))
    made = simulate(strategy, np.ones((2, 1)), halves, costs=lots, account=10_000)
    assert made.trades[0].amount == 800
    whole = simulate(strategy, np.ones((2, 1)), MarketPrices(close=close), costs=lots, account=10_000)
    assert whole.trades[0].amount == 950


def test_too_little_money_buys_nothing():
    made = simulate(TOP2, SCORES, market(CLOSE), costs=TERMS, account=10)
    assert made.trades == ()
    assert (made.cash == 10).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simulate(TOP2, SCORES[:4], market(CLOSE), costs=TERMS), r"shape \(4, 3\), close \(5, 3\)"),
        (lambda: simulate(TOP2, SCORES[:0], market(CLOSE[:0]), costs=TERMS), r"shape \(0, 3\), close \(0, 3\)"),
        (lambda: simulate(TOP2, SCORES, market(CLOSE), costs=TERMS, account=0), "account = 0 is nothing"),
        (lambda: simulate(TOP2, SCORES, market(CLOSE), costs=TERMS, account=NAN), "account = nan is nothing"),
        (
            lambda: simulate(TOP2, SCORES, market(CLOSE), costs=TERMS, mode="Qlib"),
            "mode = 'Qlib' is not one of strict, qlib",
        ),
        (lambda: market(CLOSE, ends=np.array([1])), r"ends has the shape \(1,\)"),
        (lambda: market(CLOSE[0]), r"close has the shape \(3,\)"),
        (lambda: TopkDropoutStrategy(topk=0), "topk = 0"),
        (lambda: TopkDropoutStrategy(topk=3, n_drop=4), "n_drop = 4"),
        (lambda: TopkDropoutStrategy(risk_degree=1.5), r"risk_degree = 1\.5"),
        (lambda: Costs(open_cost=-0.1), r"open_cost = -0\.1"),
        (lambda: Costs(close_cost=1.0), r"close_cost = 1\.0"),
        (lambda: Costs(min_cost=NAN), "min_cost = nan"),
        (lambda: Costs(trade_unit=0), "trade_unit = 0"),
        (lambda: Costs(limit_threshold=0.0), r"limit_threshold = 0\.0"),
        (lambda: Costs(limit_threshold=("$a",)), r"limit_threshold = \('\$a',\)"),
        (lambda: Costs(min_unit=0), "min_unit = 0"),
        (lambda: Costs(close_duty=1.0), r"close_duty = 1\.0"),
        (lambda: Costs(delisting=1.1), r"delisting = 1\.1"),
        (lambda: Costs.for_region("mars"), "region 'mars'"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_the_terms_of_the_regions():
    assert (Costs.for_region("cn").trade_unit, Costs.for_region("cn").limit_threshold) == (100, 0.095)
    assert (Costs.for_region("us").trade_unit, Costs.for_region("us").limit_threshold) == (1, None)
    assert (Costs.for_region("tw").trade_unit, Costs.for_region("tw").limit_threshold) == (1000, 0.1)
    assert Costs.for_region("cn").charge_purchase(1e6) == 500
    assert Costs.for_region("cn").charge_sale(1e6) == 1500
    assert Costs.for_region("cn").charge_purchase(100) == 5
    assert Costs.for_region("cn").charge_sale(0) == 0


@settings(max_examples=120)
@given(worlds())
def test_law_of_places_prices_and_cash(world):
    strategy, scores, prices, costs, account = world
    made = simulate(strategy, scores, prices, costs=costs, account=account)
    assert np.bincount(made.sessions, minlength=1).max() <= strategy.topk
    sales = [trade.session for trade in made.trades if trade.side == "sell"]
    assert all(sales.count(day) <= strategy.n_drop for day in sales)
    assert (made.cash >= 0).all()
    assert (made.amounts > 0).all()
    for trade in made.trades:
        assert trade.session > 0
        if trade.side != "settle":
            own = prices.buy_price if trade.side == "buy" else prices.sell_price
            price = prices.fill_deal_price(own)[trade.session, trade.instrument]
            assert trade.price == price > 0
            assert prices.traded()[trade.session, trade.instrument]
            assert not np.isnan(scores[trade.session - 1]).all()
        if trade.side == "buy":
            assert not np.isnan(scores[trade.session - 1, trade.instrument])


@settings(max_examples=60)
@given(worlds())
def test_law_the_trades_tell_the_whole_story(world):
    strategy, scores, prices, costs, account = world
    made = simulate(strategy, scores, prices, costs=costs, account=account)
    cash, amounts = account, np.zeros(scores.shape[1])
    for day in range(len(scores)):
        for trade in made.trades:
            if trade.session == day:
                sign = 1 if trade.side == "buy" else -1
                cash -= sign * trade.value + trade.cost
                amounts[trade.instrument] += sign * trade.amount
        assert cash == pytest.approx(made.cash[day], rel=1e-12, abs=1e-9)
        now = np.zeros(scores.shape[1])
        now[made.instruments[made.sessions == day]] = made.amounts[made.sessions == day]
        np.testing.assert_allclose(now, amounts, rtol=1e-12, atol=1e-12)
    assert made.cost.sum() == pytest.approx(sum(trade.cost for trade in made.trades))
    again = simulate(strategy, scores, prices, costs=costs, account=account)
    assert again.trades == made.trades


@settings(max_examples=120)
@given(worlds(), st.data())
def test_law_the_order_of_the_instruments_changes_nothing(world, data):
    strategy, scores, prices, costs, account = world
    first = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(1, 50, scores.shape[1])
    made = simulate(strategy, scores, replace(prices, before=first), costs=costs, account=account)
    order = np.array(data.draw(st.permutations(range(scores.shape[1]))))
    renamed = MarketPrices(
        close=prices.close[:, order],
        factor=None if prices.factor is None else prices.factor[:, order],
        before=first[order],
        ends=None if prices.ends is None else prices.ends[order],
        buy_price=None if prices.buy_price is None else prices.buy_price[:, order],
        sell_price=None if prices.sell_price is None else prices.sell_price[:, order],
    )
    other = simulate(strategy, scores[:, order], renamed, costs=costs, account=account)
    assert [trade._replace(instrument=int(order[trade.instrument])) for trade in other.trades] == list(made.trades)
    assert (other.cash == made.cash).all()
    np.testing.assert_allclose(other.value, made.value, rtol=1e-12)  # a sum in another order


def test_a_tie_is_no_reason_to_trade():
    flat = np.ones((5, 3))
    made = simulate(TOP2, flat, market(CLOSE), costs=FREE, account=100)
    assert [(session, side) for session, _, side, _ in told(made)] == [(1, "buy"), (1, "buy")]


def test_which_of_the_tied_are_bought_is_drawn_and_prefers_no_column():
    # 300 markets of ten names of which three are bought: each column should be drawn in about 90 of them
    rng = np.random.default_rng(7)
    bought = np.zeros(10)
    for _ in range(300):
        close = np.repeat(rng.uniform(1, 50, (1, 10)), 2, axis=0)
        made = simulate(TopkDropoutStrategy(topk=3, n_drop=1), np.ones((2, 10)), market(close), costs=FREE, account=100)
        bought[[trade.instrument for trade in made.trades]] += 1
    assert bought.sum() == 900
    assert ((bought > 60) & (bought < 120)).all()


@settings(max_examples=60)
@given(worlds(), st.data())
def test_law_the_future_changes_nothing_before_it(world, data):
    strategy, scores, prices, costs, account = world
    day = data.draw(st.integers(1, len(scores) - 1))
    made = simulate(strategy, scores, prices, costs=costs, account=account)
    cut = MarketPrices(
        close=prices.close[:day],
        factor=None if prices.factor is None else prices.factor[:day],
        ends=prices.ends,
        buy_price=None if prices.buy_price is None else prices.buy_price[:day],
        sell_price=None if prices.sell_price is None else prices.sell_price[:day],
    )
    early = simulate(strategy, scores[:day], cut, costs=costs, account=account)
    assert early.trades == tuple(trade for trade in made.trades if trade.session < day)
    assert (early.cash == made.cash[:day]).all()
    assert (early.value == made.value[:day]).all()
