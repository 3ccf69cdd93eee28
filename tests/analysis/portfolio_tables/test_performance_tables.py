"""Risk, months and drawdowns of a report."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_markets import make_inputs
from rollwright.analysis.portfolio import tell_risk
from rollwright.analysis.portfolio_tables.performance_tables import list_drawdowns, list_monthly_returns, list_risk
from rollwright.backtest.daily import run_inputs
from rollwright.backtest.risk import risk_analysis
from rollwright.errors import ConfigError


def report_of(net, cost=0.0, bench=0.0, start="2020-01-30"):
    index = pd.bdate_range(start, periods=len(net), name="datetime")
    gross = np.asarray(net, dtype=np.float64) + cost
    return pd.DataFrame({"return": gross, "cost": cost, "bench": bench}, index=index)


def test_risk_is_that_of_risk_analysis():
    report = run_inputs(make_inputs()).report
    table = list_risk(report, periods=252).set_index(["series", "mode"])
    assert len(table) == 10
    net = report["return"] - report["cost"]
    for mode in ("sum", "product"):
        wanted = risk_analysis(net, N=252, mode=mode)["risk"]
        assert table.loc[("return_with_cost", mode)].to_dict() == wanted.to_dict()
    recorded = tell_risk(report)["risk"]
    for series in ("excess_return_without_cost", "excess_return_with_cost"):
        found = table.loc[(series, "sum")]
        assert found["mean"] == pytest.approx(recorded[(series, "mean")], rel=1e-12)
        assert found["max_drawdown"] == pytest.approx(recorded[(series, "max_drawdown")], rel=1e-12)


def test_months_are_added_up_and_compounded_by_hand():
    # two sessions of January, one of February
    report = report_of([0.1, 0.2, -0.5], cost=0.01, bench=0.02)
    table = list_monthly_returns(report)
    assert table[["year", "month", "sessions"]].to_numpy().tolist() == [[2020, 1, 2], [2020, 2, 1]]
    np.testing.assert_allclose(table["return"], [0.3, -0.5])
    np.testing.assert_allclose(table["compounded"], [1.1 * 1.2 - 1, -0.5])
    np.testing.assert_allclose(table["bench"], [0.04, 0.02])
    np.testing.assert_allclose(table["excess"], [0.26, -0.52])
    np.testing.assert_allclose(table["compounded_bench"], [1.02**2 - 1, 0.02])


def test_months_of_years_compound_to_the_whole():
    report = run_inputs(make_inputs()).report
    table = list_monthly_returns(report)
    net = report["return"] - report["cost"]
    assert table["return"].sum() == pytest.approx(net.sum())
    assert (1 + table["compounded"]).prod() == pytest.approx((1 + net).prod())
    assert table["sessions"].sum() == len(report)


def test_drawdowns_by_hand():
    # up to 0.1; down to -0.1, back at 0.1; a small one from 0.2; at last one that lasts
    report = report_of([0.1, -0.1, -0.1, 0.2, 0.1, -0.05, 0.05, -0.3, 0.1])
    days = report.index
    table = list_drawdowns(report)
    added = table[table["mode"] == "sum"].reset_index(drop=True)
    np.testing.assert_allclose(added["depth"], [-0.3, -0.2, -0.05])
    assert added["start"].tolist() == [days[6], days[0], days[4]]
    assert added["trough"].tolist() == [days[7], days[2], days[5]]
    assert added["sessions"].tolist() == [2, 3, 2]
    assert pd.isna(added["end"][0])
    assert added["end"].tolist()[1:] == [days[3], days[6]]
    compounded = table[table["mode"] == "product"]["depth"]
    assert compounded.iloc[0] == pytest.approx(0.95 * 1.05 * 0.7 - 1)


def test_a_loss_in_the_first_session_is_a_drawdown_from_before_it():
    table = list_drawdowns(report_of([-0.1, 0.05, 0.02]))
    assert table["depth"].tolist() == pytest.approx([-0.1, -0.1])
    assert table["start"].isna().all()
    assert table["sessions"].tolist() == [3, 3]


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=30), st.integers(1, 4))
def test_law_the_deepest_is_the_max_drawdown_and_none_overlap(returns, count):
    report = report_of(np.round(returns, 3))
    net = report["return"] - report["cost"]
    table = list_drawdowns(report, count=count)
    for mode in ("sum", "product"):
        own = table[table["mode"] == mode]
        deepest = risk_analysis(net, N=252, mode=mode)["risk"]["max_drawdown"]
        assert (own["depth"].iloc[0] if len(own) else 0.0) == deepest
        assert len(own) <= count
        assert own["depth"].is_monotonic_increasing
        spans = own.sort_values("trough")
        ends = spans["end"].fillna(report.index[-1] + pd.Timedelta(days=1))
        starts = spans["start"].fillna(report.index[0] - pd.Timedelta(days=1))
        assert (starts.to_numpy()[1:] >= ends.to_numpy()[:-1]).all()


def test_without_a_loss_there_is_none():
    table = list_drawdowns(report_of([0.1, 0.0, 0.1]))
    assert table.empty
    assert table.columns.tolist() == ["mode", "start", "trough", "end", "depth", "sessions"]
    with pytest.raises(ConfigError, match="count = 0"):
        list_drawdowns(report_of([0.1]), count=0)
