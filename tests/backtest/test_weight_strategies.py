"""Strategies by weights: what they are given, which orders come of it, and what holds in every market."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_worlds import worlds
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest, backtest_daily
from rollwright.backtest.order_generator import OrderGenWInteract, OrderGenWOInteract
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.soft_topk import SoftTopkStrategy
from rollwright.backtest.strategy import Strategy
from rollwright.backtest.weight_strategy import WeightStrategyBase
from rollwright.config.construct import init_instance_by_config
from rollwright.errors import ConfigError
from rollwright.testing.market import ArraySource

NAN = float("nan")
FREE = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0, trade_unit=None)
PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"
GENERATORS = [OrderGenWInteract, OrderGenWOInteract]


class Given(WeightStrategyBase):
    """Weights by session, written down; and what was seen."""

    def __init__(self, weights, **kwargs):
        super().__init__(**kwargs)
        self.weights, self.seen = weights, []

    def generate_target_weight_position(self, score, current, trade_start_time, trade_end_time):
        self.seen.append((score, current, trade_start_time, trade_end_time))
        return self.weights.get(len(self.seen))


def play(strategy, closes, costs=FREE, *, account=1000.0, scores=None, **market):
    closes = np.asarray(closes, dtype=np.float64)
    names = tuple("ABCDEFGH"[: closes.shape[1]])
    prices = MarketPrices(close=closes, names=names, dates=pd.bdate_range("2024-01-01", periods=len(closes)), **market)
    scores = np.ones(closes.shape) if scores is None else np.asarray(scores, dtype=np.float64)
    return simulate(strategy, scores, prices, costs=costs, account=account)


def shares(made):
    rows = [dict.fromkeys("AB", 0.0) for _ in made.cash]
    for day, place, amount in zip(made.sessions, made.instruments, made.amounts, strict=True):
        rows[day]["AB"[place]] = round(float(amount), 6)
    return [(row["A"], row["B"]) for row in rows]


def test_it_is_given_the_scores_and_its_position_as_they_were_before_the_session():
    strategy = Given({1: {"A": 0.5, "B": 0.25}}, risk_degree=0.8)
    scores = [[1.0, 2.0, NAN], [4.0, 3.0, NAN], [NAN, NAN, NAN], [1.0, 2.0, 3.0]]
    play(strategy, [[10, 20, 5], [10, 20, 5], [11, 21, 5], [12, 22, 5]], scores=scores)
    (first, empty, start, end), (second, current, later, _) = strategy.seen
    assert (first.to_dict(), list(first.index)) == ({"B": 2.0, "A": 1.0}, ["B", "A"])
    assert second.to_dict() == {"A": 4.0, "B": 3.0}
    assert (str(start.date()), start == end, str(later.date())) == ("2024-01-02", True, "2024-01-03")
    assert (empty.get_cash(), empty.get_stock_list(), empty.calculate_value()) == (1000, [], 1000)
    # 400 of A at 10 and 200 of B at 20, seen at the closes of the session before
    assert current.get_stock_amount_dict() == {"A": 40, "B": 10}
    assert (current.get_stock_price("A"), current.get_stock_amount("B"), current.get_stock_amount("C")) == (10, 10, 0)
    assert (current.get_cash(), current.calculate_stock_value(), current.calculate_value()) == (400, 600, 1000)
    assert current.get_stock_weight_dict() == {"A": 0.4, "B": 0.2}
    assert current.get_stock_weight_dict(only_stock=True) == pytest.approx({"A": 2 / 3, "B": 1 / 3})
    assert (current.get_stock_weight("A"), current.check_stock("C"), current.get_stock_count("A")) == (0.4, False, 1)
    assert current.get_stock_count("C", bar="day") == 0


def test_without_interaction_targets_are_those_of_the_closes_before():
    weights = {1: {"A": 0.5, "B": 0.5}, 2: {"A": 0.2, "B": 0.8}, 3: {}}
    made = play(Given(weights, risk_degree=0.5), [[10, 20], [10, 20], [11, 20], [10, 25], [10, 25]])
    # day 1: 250 of each; day 2 goes by the closes of day 1 at a value of 1,000; day 3 sells all
    assert shares(made) == [(0, 0), (25, 12.5), (10, 20), (0, 0), (0, 0)]


def test_with_interaction_targets_are_those_of_the_session_itself_less_the_cost():
    costs = replace(FREE, open_cost=0.25, close_cost=0.0)
    made = play(
        Given({1: {"A": 0.5, "B": 0.5}}, risk_degree=0.5, order_generator_cls_or_obj="OrderGenWInteract"),
        [[10, 20], [20, 40]],
        costs,
    )
    # 500 / 1.25 are spread
    assert shares(made)[1] == (10, 5)
    assert made.cash[1] == 500


def test_none_orders_nothing_and_no_weight_sells_everything():
    made = play(Given({1: {"A": 1.0}, 3: {}}), np.full((5, 2), 10.0))
    assert [trade.session for trade in made.trades] == [1, 3]
    assert shares(made)[2] == (95, 0)


@pytest.mark.parametrize("generator", GENERATORS)
def test_what_cannot_be_traded_is_refused_with_its_reason_and_the_rest_is_traded(generator):
    closes = [[10, 20, 5], [10, 20, 5], [10, NAN, 6], [10, 20, 6]]
    costs = replace(FREE, limit_threshold=0.15)
    weights = {1: {"A": 0.5, "B": 0.5}, 2: {"A": 0.4, "C": 0.6}, 3: {"A": 0.4, "C": 0.6}}
    made = play(Given(weights, order_generator_cls_or_obj=generator), closes, costs)
    assert {(row.session, "ABC"[row.instrument], row.side, row.reason) for row in made.unfilled} == {
        (2, "B", "sell", "suspended"),
        (2, "C", "buy", "limit_up"),
    }
    assert (3, 1) in {(trade.session, trade.instrument) for trade in made.trades if trade.side == "sell"}


def test_with_interaction_the_weight_of_what_cannot_be_traded_goes_to_the_rest():
    closes = [[10, 20], [10, 20], [10, NAN]]
    weights = {1: {"A": 0.5, "B": 0.5}, 2: {"A": 0.5, "B": 0.5}}
    made = play(Given(weights, risk_degree=1.0, order_generator_cls_or_obj=OrderGenWInteract), closes)
    assert shares(made)[2] == (50, 25)  # B keeps its half, and A gets what is left
    made = play(
        Given(
            {1: {"A": 0.1, "B": 0.9}, 2: {"A": 0.1, "B": 0.9}},
            risk_degree=0.5,
            order_generator_cls_or_obj=OrderGenWInteract,
        ),
        closes,
    )
    assert shares(made)[2] == (5, 22.5)


def test_where_even_all_sales_leave_too_little_everything_is_sold():
    closes = [[10, 20], [10, 20], [10, 20], [10, NAN]]
    weights = {1: {"A": 0.1, "B": 0.9}, 3: {"A": 0.5, "B": 0.5}}

    class Careful(Given):
        def get_risk_degree(self, trade_step=None):
            return 1.0 if trade_step < 3 else 0.1

    made = play(Careful(weights, order_generator_cls_or_obj=OrderGenWInteract), closes)
    assert shares(made)[2:] == [(10, 45), (0, 45)]


def test_a_change_of_less_than_a_lot_is_no_order_and_a_new_name_that_buys_none_is_told():
    costs = replace(FREE, trade_unit=10)
    made = play(
        Given({1: {"A": 0.5}, 2: {"A": 0.55, "B": 0.05}}, risk_degree=1.0),
        np.full((3, 2), 10.0),
        costs,
        factor=np.ones((3, 2)),
    )
    assert shares(made)[2] == (50, 0)
    assert [(row.instrument, row.reason) for row in made.unfilled] == [(1, "below_lot")]


def test_purchases_that_the_cash_does_not_cover_go_by_their_value():
    closes = [[10, 10, 10], [20, 20, 20]]
    made = play(Given({1: {"A": 0.2, "B": 0.5, "C": 0.3}}, risk_degree=1.0), closes)
    assert [("ABC"[trade.instrument], trade.amount) for trade in made.trades] == [("B", 50.0)]
    assert [("ABC"[row.instrument], row.reason) for row in made.unfilled] == [("C", "cash"), ("A", "cash")]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"Z": 0.1}, "a weight of `Z`, which is none of the 2 instruments"),
        ({"A": -0.1}, r"the weight of `A` is -0\.1"),
        ({"A": NAN}, "the weight of `A` is nan"),
        ({"A": 0.8, "B": 0.7}, r"the weights make 1\.5"),
    ],
)
def test_weights_that_are_none_are_refused(weights, words):
    with pytest.raises(ConfigError, match=words):
        play(Given({1: weights}), np.full((2, 2), 10.0))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Given({}, risk_degree=1.5), r"risk_degree = 1\.5"),
        (lambda: Given({}, order_generator_cls_or_obj="OrderGenWInteracts"), "did you mean `OrderGenWInteract`"),
        (lambda: Given({}, order_generator_cls_or_obj=3), "a int generates no orders"),
        (lambda: Given({}, trade_exchange=object()), "no nested execution"),
        (lambda: SoftTopkStrategy(topk=0), "topk = 0"),
        (lambda: SoftTopkStrategy(max_sold_weight=0.0), r"max_sold_weight = 0\.0"),
        (lambda: SoftTopkStrategy(buy_method="rank_fill"), "buy_method = 'rank_fill'"),
        (lambda: SoftTopkStrategy(trade_impact_limit=0.1), "another rule of the same name"),
        (lambda: SoftTopkStrategy(signal=pd.Series(dtype=float), model=1), "a signal and a model"),
    ],
)
def test_what_is_not_simulated_is_refused(build, words):
    with pytest.raises(ConfigError, match=words):
        build()


def test_a_market_without_codes_is_refused():
    with pytest.raises(ConfigError, match="goes by codes and dates"):
        simulate(Given({}), np.ones((2, 2)), MarketPrices(close=np.ones((2, 2))), costs=FREE)


# --- the soft top-k rule ---------------------------------------------------------------------------------------------


def soft(score, holdings, **kwargs):
    from rollwright.backtest.position import Holding, Position  # noqa: PLC0415

    held = {code: Holding(amount=weight, price=1.0, count=1) for code, weight in holdings.items()}
    now = pd.Timestamp("2024-01-02")
    found = SoftTopkStrategy(**kwargs).generate_target_weight_position(
        pd.Series(score), Position(cash=0.5, holdings=held), now, now
    )
    return {code: round(weight, 9) for code, weight in found.items()}


def test_soft_topk_begins_with_equal_weights():
    assert soft({"A": 3, "B": 2, "C": 1}, {}, topk=2) == {"A": 0.5, "B": 0.5}


def test_soft_topk_sells_little_by_little_and_fills_the_best_first():
    held = {"C": 0.6, "D": 0.4}
    found = soft({"A": 3, "B": 2, "C": 1, "D": 0}, held, topk=2, max_sold_weight=0.35)
    assert found == {"C": 0.25, "D": 0.05, "A": 0.5, "B": 0.2}
    found = soft({"A": 3, "B": 2, "C": 1, "D": 0}, held, topk=2, max_sold_weight=0.3, buy_method="average_fill")
    assert found == {"C": 0.3, "D": 0.1, "A": 0.3, "B": 0.3}


def test_soft_topk_holds_the_best_at_equal_weights_in_the_end():
    scores = np.tile([4.0, 3.0, 2.0, 1.0], (5, 1))
    made = play(SoftTopkStrategy(topk=2, risk_degree=1.0), np.full((5, 4), 10.0), scores=scores)
    assert shares(made)[1:] == [(50, 50)] * 4
    assert len(made.trades) == 2


# --- laws ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from(GENERATORS), st.booleans(), st.sampled_from(["strict", "qlib"]))
def test_law_nothing_impossible_is_traded_and_nothing_is_lost(world, generator, is_soft, mode):
    _, scores, prices, costs, account = world
    prices = replace(
        prices,
        names=tuple(f"N{place}" for place in range(scores.shape[1])),
        dates=pd.bdate_range("2024-01-01", periods=len(scores)),
    )

    class Top(WeightStrategyBase):
        def generate_target_weight_position(self, score, current, trade_start_time, trade_end_time):
            return dict(zip(score.index, (0.5, 0.3, 0.2), strict=False))

    kwargs = {"order_generator_cls_or_obj": generator, "risk_degree": 0.9}
    strategy = SoftTopkStrategy(topk=3, max_sold_weight=0.3, **kwargs) if is_soft else Top(**kwargs)
    made = simulate(strategy, scores, prices, costs=costs, account=account, mode=mode)
    change = prices.changes()
    if mode == "strict":
        assert (made.cash >= 0).all()
    assert (made.amounts > 0).all()
    cash, amounts = account, np.zeros(scores.shape[1])
    for day in range(len(scores)):
        for trade in (trade for trade in made.trades if trade.session == day):
            sign = 1 if trade.side == "buy" else -1
            cash -= sign * trade.value + trade.cost
            amounts[trade.instrument] += sign * trade.amount
            if trade.side != "settle":
                assert prices.traded()[day, trade.instrument]
                if costs.limit_threshold is not None:
                    assert not abs(change[day, trade.instrument]) >= costs.limit_threshold
        assert cash == pytest.approx(made.cash[day], rel=1e-9, abs=1e-6)
        now = np.zeros(scores.shape[1])
        now[made.instruments[made.sessions == day]] = made.amounts[made.sessions == day]
        np.testing.assert_allclose(now, amounts, rtol=1e-9, atol=1e-9)
    assert simulate(strategy, scores, prices, costs=costs, account=account, mode=mode).trades == made.trades


@settings(max_examples=40, deadline=None)
@given(worlds(), st.sampled_from(GENERATORS), st.data())
def test_law_the_future_changes_nothing_before_it(world, generator, data):
    _, scores, prices, costs, account = world
    prices = replace(
        prices,
        ends=None,
        names=tuple(f"N{place}" for place in range(scores.shape[1])),
        dates=pd.bdate_range("2024-01-01", periods=len(scores)),
    )
    day = data.draw(st.integers(1, len(scores) - 1))
    cut = replace(
        prices,
        close=prices.close[:day],
        factor=None if prices.factor is None else prices.factor[:day],
        buy_price=None if prices.buy_price is None else prices.buy_price[:day],
        sell_price=None if prices.sell_price is None else prices.sell_price[:day],
        dates=prices.dates[:day],
    )
    strategy = SoftTopkStrategy(topk=2, max_sold_weight=0.5, order_generator_cls_or_obj=generator)
    whole = simulate(strategy, scores, prices, costs=costs, account=account)
    early = simulate(strategy, scores[:day], cut, costs=costs, account=account)
    assert early.trades == tuple(trade for trade in whole.trades if trade.session < day)


# --- through the front -----------------------------------------------------------------------------------------------


def make_market():
    rng = np.random.default_rng(9)
    names = [f"N{place}" for place in range(6)]
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.02, (12, 6)), axis=0))
    source = ArraySource({"close": close, "factor": np.ones((12, 6)), "change": np.zeros((12, 6))}, names)
    frame = pd.DataFrame(rng.normal(size=(12, 6)), source.calendar().to_index(), names)
    return source, frame.rename_axis(index="datetime", columns="instrument").stack().rename("score")


@pytest.mark.parametrize(
    ("module", "name", "kwargs"),
    [
        ("qlib.contrib.strategy", "SoftTopkStrategy", {"topk": 2}),
        ("qlib.contrib.strategy.cost_control", "SoftTopkStrategy", {"topk": 2, "buy_method": "average_fill"}),
        ("rollwright.backtest.soft_topk", "SoftTopkStrategy", {"order_generator_cls_or_obj": "OrderGenWOInteract"}),
    ],
)
def test_a_configuration_names_it(module, name, kwargs):
    source, pred = make_market()
    days = source.calendar().to_index()
    config = {"class": name, "module_path": module, "kwargs": {"signal": pred, **kwargs}}
    built = init_instance_by_config(config, slot="strategy")
    assert isinstance(built, SoftTopkStrategy)
    assert isinstance(built, Strategy)
    report, positions = backtest_daily(days[1], days[-1], config, account=1e5, benchmark=None, source=source)
    assert report["value"].iloc[-1] > 0.5e5
    assert len(positions.loc[days[5]]) >= 2


def test_a_strategy_of_ones_own_is_back_tested():
    source, pred = make_market()
    made = backtest(Given({day: {"N1": 0.5, "N2": 0.5} for day in range(1, 99)}), pred, source, account=1e5)
    assert set(made.positions.index.get_level_values(1)) == {"N1", "N2"}
    assert made.positions["weight"].groupby(level=0).sum().iloc[-1] == pytest.approx(0.95, abs=0.01)


def test_the_strategies_of_the_page_run():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    source, pred = make_market()
    names = {"pred": pred, "source": source}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["made"].trades) > 5
    assert len(names["late"].trades) > 5
