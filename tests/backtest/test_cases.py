"""Many cases together are what each of them is alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_worlds import worlds
from rollwright.backtest.case import Case
from rollwright.backtest.cases import delay_scores, simulate_cases
from rollwright.backtest.costs import Costs
from rollwright.backtest.simulate import MarketPrices, simulate
from rollwright.backtest.terms import DatedTerms
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.errors import ConfigError

NAN = float("nan")
COLUMNS = ("cash", "value", "cost", "turnover")


def assert_each_as_alone(cases, scores, prices, *, mode="strict"):
    made = simulate_cases(cases, scores, prices, mode=mode)
    for place, case in enumerate(cases):
        moved = delay_scores(scores, case.delay)
        alone = simulate(case.strategy, moved, prices, costs=case.costs, account=case.account, mode=mode)
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(made, name)[:, place], getattr(alone, name), err_msg=name)
        np.testing.assert_array_equal(made.held[:, place], np.bincount(alone.sessions, minlength=len(scores)))
        terms, beyond = DatedTerms.of(case.costs), 0.0
        for one in alone.trades:
            costs = terms.find(one.session, one.instrument)
            rates = (costs.open_cost, costs.open_duty) if one.side == "buy" else (costs.close_cost, costs.close_duty)
            beyond += one.cost - one.value * sum(rates)
        assert made.least_cost[place] == pytest.approx(beyond, abs=1e-6, rel=1e-9)
        assert made.settled[place] == sum(one.side == "settle" for one in alone.trades)
    return made


def make_dated(data, costs, shape):
    """Return terms of several kinds, some with limits of their own."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    kinds = tuple(
        replace(
            costs,
            open_cost=float(rng.choice([0.0, 0.002])),
            open_duty=float(rng.choice([0.0, 0.003])),
            close_duty=float(rng.choice([0.0, 0.001])),
            trade_unit=[None, 1, 10][rng.integers(3)],
            min_unit=[None, 20][rng.integers(2)],
            cash_next_day=bool(rng.integers(2)),
            shares_next_day=bool(rng.integers(2)),
            delisting=float(rng.choice([0.0, 0.5, 1.0])),
        )
        for _ in range(3)
    )
    limits = [rng.random(shape) < 0.1, rng.random(shape) < 0.1] if rng.integers(2) else [None, None]
    return DatedTerms(kinds=kinds, kind=rng.integers(0, 3, shape), upper=limits[0], lower=limits[1])


@settings(max_examples=300)
@given(worlds(), st.data())
def test_law_each_case_is_to_the_last_bit_what_it_is_alone(world, data):
    strategy, scores, prices, costs, account = world
    cases = []
    for _ in range(data.draw(st.integers(1, 4))):
        topk = data.draw(st.integers(1, 6))
        rule = replace(
            strategy,
            topk=topk,
            n_drop=data.draw(st.integers(0, topk)),
            hold_thresh=data.draw(st.integers(0, 2)),
            only_tradable=data.draw(st.booleans()),
            forbid_all_trade_at_limit=data.draw(st.booleans()),
            exceed_topk=data.draw(st.booleans()),
            method_buy=data.draw(st.sampled_from(["top", "top", "top", "random"])),
            method_sell="bottom",
        )
        terms = replace(
            costs,
            open_cost=data.draw(st.sampled_from([0.0, 0.001, 0.3])),
            min_cost=data.draw(st.sampled_from([0.0, 5.0, 40.0])),
            trade_unit=data.draw(st.sampled_from([None, 1, 100])),
            limit_threshold=data.draw(st.sampled_from([None, 0.3])),
        )
        if data.draw(st.booleans()):
            terms = make_dated(data, terms, scores.shape)
        cash = data.draw(st.sampled_from([account, 120.0, 7e4]))
        cases.append(Case(strategy=rule, costs=terms, account=cash, delay=data.draw(st.integers(0, 3))))
    assert_each_as_alone(cases, scores, prices)


@settings(max_examples=60)
@given(worlds(), st.sampled_from([-np.inf, 0.0, np.inf]))
def test_law_ties_and_infinite_scores_rank_as_they_do_alone(world, score):
    strategy, scores, prices, costs, account = world
    scores = np.where(np.random.default_rng(5).random(scores.shape) < 0.4, score, scores.round(0))
    rule = replace(strategy, method_buy="top", method_sell="bottom")
    cases = [Case(strategy=rule, costs=costs, account=account), Case(strategy=rule, costs=costs, delay=1)]
    assert_each_as_alone(cases, scores, prices)


def random_world(sessions=60, names=40):
    rng = np.random.default_rng(3)
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.03, (sessions, names)), axis=0))
    close[rng.random(close.shape) < 0.05] = NAN
    close[30:, :5] = NAN
    ends = np.where(np.arange(names) < 5, 30, 10**6)
    factor = np.full(close.shape, 0.5)
    return rng.normal(size=close.shape).round(2), MarketPrices(close=close, factor=factor, ends=ends)


def test_a_larger_market_with_limits_lots_and_ends():
    scores, prices = random_world()
    rule, costs = TopkDropoutStrategy(topk=10, n_drop=3), Costs(trade_unit=100, limit_threshold=0.05)
    cases = [
        Case(strategy=replace(rule, topk=topk, n_drop=n), costs=replace(costs, min_cost=least), account=cash, delay=d)
        for topk, n, least, cash, d in ((10, 3, 5, 1e6, 0), (20, 0, 0, 1e5, 1), (5, 5, 50, 3e3, 2), (10, 1, 5, 1e8, 0))
    ]
    made = assert_each_as_alone(cases, scores, prices)
    assert (made.settled > 0).any()
    assert (made.lot_loss[:3] > 0).all()
    assert (made.meant > made.lot_loss).all()


def test_qlibs_mode_and_random_draws_are_simulated_one_by_one():
    scores, prices = random_world()
    rule = TopkDropoutStrategy(topk=10, n_drop=3, method_sell="random", seed=1)
    cases = [Case(strategy=rule, costs=Costs()), Case(strategy=replace(rule, method_sell="bottom"), costs=Costs())]
    made = assert_each_as_alone(cases, scores, prices)
    assert np.isnan(made.meant).tolist() == [True, False]
    assert np.isnan(assert_each_as_alone(cases, scores, prices, mode="qlib").meant).all()


def test_returns_are_those_of_a_report():
    close = np.array([[10.0], [10.0], [11.0]])
    case = Case(
        strategy=TopkDropoutStrategy(topk=1, n_drop=1, risk_degree=1.0),
        costs=Costs(open_cost=0.01, close_cost=0, min_cost=0, trade_unit=1),
        account=1000,
    )
    made = simulate_cases([case], np.ones((3, 1)), MarketPrices(close=close, factor=np.ones_like(close)))
    # of 100 shares that 1,000 are worth, 99 are bought for 990 and 9.90: 0.10 are left
    np.testing.assert_allclose(made.account[:, 0], [1000, 990.1, 1089.1])
    np.testing.assert_allclose(made.gross_return[:, 0], [0, 0, 99 / 990.1], atol=1e-15)
    np.testing.assert_allclose(made.net_return[:, 0], [0, -0.0099, 99 / 990.1], atol=1e-15)
    np.testing.assert_allclose((made.meant[0], made.lot_loss[0], made.held[1, 0]), (1000, 0, 1))


def test_what_whole_lots_leave_is_told_and_so_is_what_the_least_cost_takes():
    case = Case(
        strategy=TopkDropoutStrategy(topk=1, n_drop=1, risk_degree=1.0),
        costs=Costs(open_cost=0.01, close_cost=0, min_cost=12, trade_unit=1),
        account=1000,
    )
    made = simulate_cases([case], np.ones((2, 1)), MarketPrices(close=np.full((2, 1), 300.0), factor=np.ones((2, 1))))
    # 3 shares for 900, which cost 12 and not 9
    np.testing.assert_allclose((made.meant[0], made.lot_loss[0], made.least_cost[0]), (1000, 100, 3))


def test_a_delay_moves_the_scores_and_nothing_else():
    scores = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(delay_scores(scores, 2), [[NAN, NAN], [NAN, NAN], [0, 1], [2, 3]])
    assert delay_scores(scores, 0) is scores
    assert np.isnan(delay_scores(scores, 9)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Case(strategy=TopkDropoutStrategy(), costs=Costs(), delay=-1), "delay = -1"),
        (lambda: Case(strategy=TopkDropoutStrategy(), costs=Costs(), account=0), "account = 0"),
        (lambda: simulate_cases([], np.ones((1, 1)), MarketPrices(close=np.ones((1, 1)))), "no cases"),
        (
            lambda: simulate_cases(
                [Case(strategy=TopkDropoutStrategy(), costs=Costs())],
                np.ones((2, 1)),
                MarketPrices(close=np.ones((1, 1))),
            ),
            r"shape \(2, 1\)",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
