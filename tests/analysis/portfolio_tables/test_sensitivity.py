"""The surface about a back-test, and the capacity curve."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from backtest_markets import RULE, TERMS, demo_predictions, demo_source, make_inputs
from rollwright.analysis.metrics import backtest_metrics
from rollwright.analysis.portfolio_tables.capacity import ACCOUNTS, capacity_curve
from rollwright.analysis.portfolio_tables.sensitivity import SensitivityGrid, sensitivity_surface
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest, run_inputs
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.errors import ConfigError

FIGURES = ["annualized_return", "excess_return", "information_ratio", "max_drawdown", "turnover"]


def figures_of(report):
    return [metric.value for metric in backtest_metrics(report, periods=252)]


@pytest.fixture(scope="module")
def surface():
    return sensitivity_surface(make_inputs(), periods=252)


def test_there_are_about_a_hundred_cells_and_one_of_them_is_the_back_test_to_the_last_bit(surface):
    made = run_inputs(make_inputs())
    assert len(surface.table) == 108
    base = surface.table[surface.table["is_base"]]
    assert base[["topk", "n_drop", "cost_scale", "delay"]].to_numpy().tolist() == [[8, 2, 1.0, 0]]
    assert base[FIGURES].to_numpy().ravel().tolist() == figures_of(made.report)
    own = surface.returns[base.index[0]]
    assert (own == made.net_return).all()
    assert own.index.equals(made.report.index)


def test_every_cell_is_the_back_test_under_its_own_rule_and_terms(surface):
    rng = np.random.default_rng(2)
    table = surface.table[surface.table["delay"] == 0]
    for number in rng.choice(table.index, 4, replace=False):
        cell = table.loc[number]
        scale = cell["cost_scale"]
        costs = replace(TERMS, open_cost=0.0005 * scale, close_cost=0.0015 * scale, min_cost=5 * scale)
        rule = TopkDropoutStrategy(topk=int(cell["topk"]), n_drop=int(cell["n_drop"]))
        made = backtest(rule, demo_predictions(), demo_source(), costs=costs, account=1e6, benchmark="mean")
        assert cell[FIGURES].tolist() == figures_of(made.report)


def test_a_cell_with_a_delay_trades_the_scores_of_the_session_before(surface):
    moved = demo_predictions().unstack("instrument").shift(1).stack()
    made = backtest(RULE, moved, demo_source(), costs=TERMS, account=1e6, start=surface.returns.index[0])
    cell = surface.table.query("topk == 8 and n_drop == 2 and cost_scale == 1 and delay == 1")
    pd.testing.assert_series_equal(surface.returns[cell.index[0]], made.net_return, check_names=False, check_freq=False)


def test_costs_only_take(surface):
    by_scale = surface.table.groupby("cost_scale")["annualized_return"].mean()
    assert by_scale.is_monotonic_decreasing


def test_the_same_inputs_give_the_same_tables(surface):
    again = sensitivity_surface(make_inputs(), periods=252)
    pd.testing.assert_frame_equal(again.table, surface.table)
    pd.testing.assert_frame_equal(again.returns, surface.returns)


def test_a_grid_of_ones_own():
    grid = SensitivityGrid(topk=(3, 8), n_drop=(2, 5), cost_scale=(1.0,), delay=(0,))
    table = sensitivity_surface(make_inputs(), grid, periods=252).table
    assert table[["topk", "n_drop"]].to_numpy().tolist() == [[3, 2], [8, 2], [8, 5]]
    assert table["is_base"].tolist() == [False, True, False]


def test_cells_that_would_cost_the_whole_value_are_left_out():
    table = sensitivity_surface(make_inputs(costs=replace(TERMS, open_cost=0.6)), periods=252).table
    assert table["cost_scale"].unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("rule", "topk", "n_drop"),
    [
        (TopkDropoutStrategy(topk=50, n_drop=5), (25, 50, 75, 100), (2, 5, 10)),
        (TopkDropoutStrategy(topk=1, n_drop=1), (1, 2, 3, 4), (1, 2, 3)),
        (TopkDropoutStrategy(topk=2, n_drop=0), (1, 2, 3, 4), (0, 1, 2)),
    ],
)
def test_a_grid_has_as_many_different_values_about_any_rule(rule, topk, n_drop):
    grid = SensitivityGrid.around(rule)
    assert (grid.topk, grid.n_drop) == (topk, n_drop)


def test_a_rule_without_topk_is_tried_under_other_costs_and_later():
    assert len(SensitivityGrid.around(object()).cells()) == 9


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"topk": (0,), "n_drop": (0,)}, "topk = 0"),
        ({"topk": (1,), "n_drop": (-1,)}, "n_drop = -1"),
        ({"cost_scale": (-1.0,)}, "cost_scale = -1"),
        ({"cost_scale": (float("inf"),)}, "cost_scale = inf"),
        ({"delay": (-1,)}, "delay = -1"),
        ({"delay": ()}, "a value of each kind"),
        ({"topk": (1,)}, "a value of each kind"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(grid, words):
    with pytest.raises(ConfigError, match=words):
        SensitivityGrid(**grid)


def test_small_accounts_lose_to_lots_and_least_costs():
    inputs = make_inputs()
    curve = capacity_curve(inputs, periods=252)
    assert ACCOUNTS == (1e5, 3.16e5, 1e6, 3.16e6, 1e7, 3.16e7, 1e8, 3.16e8, 1e9)
    assert curve["account"].tolist() == list(ACCOUNTS)
    assert curve["least_cost_share"].is_monotonic_decreasing
    assert curve["unmade_share"].is_monotonic_decreasing
    assert curve["unmade_share"].iloc[0] > 0.02
    assert curve["unmade_share"].iloc[-1] < 1e-4
    assert curve["held"].iloc[0] <= curve["held"].iloc[-1] <= 8
    base = curve[curve["is_base"]]
    made = run_inputs(inputs)
    assert base[["annualized_return", "excess_return"]].to_numpy().ravel().tolist() == figures_of(made.report)[:2]
    assert base["cost"].item() == pytest.approx(made.report["cost"].mean() * 252)
    best = curve["annualized_return"].max()
    assert (curve["is_enough"] == (curve["annualized_return"] >= best - 0.01)).all()


def test_the_account_of_the_back_test_is_always_on_the_curve():
    curve = capacity_curve(make_inputs(account=123456.0), (1e6,), periods=252)
    assert curve.loc[curve["is_base"], "account"].tolist() == [123456.0]
    assert curve["account"].tolist() == [123456.0, 1e6]


def test_without_lots_and_least_costs_every_account_is_enough():
    free = Costs(min_cost=0.0, trade_unit=None)
    curve = capacity_curve(make_inputs(costs=free), periods=252)
    np.testing.assert_allclose(curve["annualized_return"], curve["annualized_return"].iloc[0], rtol=1e-6)
    np.testing.assert_allclose(curve[["least_cost_share", "unmade_share"]], 0, atol=1e-9)
    assert curve["is_enough"].all()


@pytest.mark.parametrize("accounts", [(), (0.0,), (-1.0, 5.0), (float("inf"),), (float("nan"),)])
def test_an_account_of_nothing_is_refused(accounts):
    with pytest.raises(ConfigError, match="sum of money"):
        capacity_curve(make_inputs(), accounts, periods=252)


def test_an_account_is_enough_within_a_hundredth_of_the_best_a_year():
    curve = capacity_curve(make_inputs(), (6e4, 1.5e5, 1e6), periods=252)
    short = curve["annualized_return"].max() - curve["annualized_return"]
    assert short.iloc[:2].between(0.0100001, 0.09).all()
    assert curve["is_enough"].tolist()[:3] == [False, False, True]
