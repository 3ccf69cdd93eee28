from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy import stats

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.signal import daily_ic
from rollwright.analysis.signal_tables.decay import measure_decay, read_prices
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.errors import DataError
from rollwright.market.frame import FrameSource
from signal_frames import draw_signals, frame_signal


def walk_prices(days, names, seed=0):
    rng = np.random.default_rng(seed)
    values = np.exp(0.02 * rng.normal(size=(days, names)).cumsum(axis=0))
    values[rng.random(values.shape) < 0.05] = np.nan
    return pd.DataFrame(
        values, index=pd.bdate_range("2021-03-01", periods=days), columns=[f"S{n:02d}" for n in range(names)]
    )


def correlate_each_day(pred, prices, start, stop, method):
    """Return the IC of each day by scipy, with the return between two sessions after the day."""
    found = {}
    for day, scores in pred.dropna().groupby(level="datetime"):
        at = prices.index.get_loc(day)
        if at + stop >= len(prices):
            continue
        gain = prices.iloc[at + stop] / prices.iloc[at + start] - 1
        both = pd.DataFrame({"s": scores.droplevel("datetime"), "l": gain}).dropna()
        if both["s"].nunique() > 1 and both["l"].nunique() > 1:
            found[day] = method(both["s"], both["l"]).statistic
    return pd.Series(found, dtype=float)


@given(case=draw_signals(least_days=3, most_days=8))
@settings(max_examples=15, deadline=None)
def test_each_row_is_the_mean_of_the_correlations_of_its_days(case):
    pred, _ = case
    if pred.empty:
        return
    prices = walk_prices(9, 12)
    table = measure_decay(build_signal_panel(pred), prices, horizons=[1, 3])
    start = prices.index.get_loc(pred.index.get_level_values("datetime").min())
    for row in table.itertuples():
        span = (row.horizon, row.horizon + 1) if row.kind == "marginal" else (1, row.horizon + 1)
        for method, found in ((stats.pearsonr, row.ic), (stats.spearmanr, row.rank_ic)):
            daily = correlate_each_day(pred, prices, *span, method)
            if row.kind == "cumulative" and row.sampling == "disjoint":
                daily = daily[[(prices.index.get_loc(day) - start) % row.horizon == 0 for day in daily.index]]
            np.testing.assert_allclose(found, daily.mean(), rtol=1e-8, atol=1e-10)
            assert row.sessions == len(daily)


def test_the_first_horizon_is_the_ic_of_the_default_label():
    prices = walk_prices(60, 20)
    scores = np.random.default_rng(1).normal(size=(60, 20))
    pred, _ = frame_signal(scores, scores)
    label = (prices.shift(-2) / prices.shift(-1) - 1).stack().rename_axis(["datetime", "instrument"])
    table = measure_decay(build_signal_panel(pred), prices)
    wanted = estimate_mean(daily_ic(pred, label))
    for row in table[table["horizon"] == 1].itertuples():
        assert (row.ic, row.low, row.high) == pytest.approx((wanted.mean, wanted.lower, wanted.upper), rel=1e-9)
    assert table["sampling"].tolist() == ["overlapping", "disjoint", "disjoint"] * 6


def test_a_signal_for_one_later_session_has_its_marginal_ic_there_only():
    rng = np.random.default_rng(2)
    gains = rng.normal(size=(400, 30)) * 0.01
    prices = pd.DataFrame(
        (1 + gains).cumprod(axis=0),
        index=pd.bdate_range("2021-03-01", periods=400),
        columns=[f"S{n:02d}" for n in range(30)],
    )
    pred, _ = frame_signal(gains[4:], gains[4:])  # knows the return of session t + 4, the third after the trade
    table = measure_decay(build_signal_panel(pred), prices, horizons=[1, 2, 3, 4])
    marginal = table[table["kind"] == "marginal"].set_index("horizon")
    assert marginal.loc[3, "ic"] == pytest.approx(1.0)
    assert marginal.loc[3, "rank_ic"] == pytest.approx(1.0)
    assert marginal.loc[[1, 2, 4], "ic"].abs().max() < 0.04
    cumulative = table[(table["kind"] == "cumulative") & (table["sampling"] == "overlapping")].set_index("horizon")
    assert cumulative.loc[3, "ic"] == pytest.approx(3**-0.5, abs=0.03)
    assert cumulative.loc[4, "ic"] == pytest.approx(0.5, abs=0.03)


def test_overlapping_sessions_have_blocks_of_two_horizons_and_disjoint_ones_are_independent():
    prices = walk_prices(320, 15).ffill().bfill()
    scores = np.random.default_rng(3).normal(size=(300, 15)).cumsum(axis=0)
    pred, _ = frame_signal(scores, scores)
    table = measure_decay(build_signal_panel(pred), prices, horizons=[10]).set_index(["kind", "sampling"])
    gain = (prices.shift(-11) / prices.shift(-1) - 1).stack().rename_axis(["datetime", "instrument"])
    daily = daily_ic(pred, gain)
    whole, apart = estimate_mean(daily, label_span=10), estimate_mean(daily.iloc[::10])
    assert whole.block >= 20
    for name, wanted in (("overlapping", whole), ("disjoint", apart)):
        row = table.loc[("cumulative", name)]
        assert (row["low"], row["high"]) == pytest.approx((wanted.lower, wanted.upper), rel=1e-9)


def test_an_unknown_instrument_has_no_returns_and_an_unknown_session_is_refused():
    pred, _ = frame_signal([[1, 2, 3], [3, 1, 2]], np.zeros((2, 3)))
    prices = walk_prices(6, 3).ffill().bfill()
    two = measure_decay(build_signal_panel(pred), prices[["S00", "S01"]], horizons=[1])
    known = pred[pred.index.get_level_values("instrument") != "S02"]
    pd.testing.assert_frame_equal(two, measure_decay(build_signal_panel(known), prices, horizons=[1]))
    assert two["sessions"].tolist() == [2, 2, 2]
    with pytest.raises(DataError, match=r"2021-03-02.*no session of the prices"):
        measure_decay(build_signal_panel(pred), prices.drop(index="2021-03-02"))
    with pytest.raises(DataError, match="not in order"):
        measure_decay(build_signal_panel(pred), prices.iloc[::-1])


@pytest.mark.parametrize(("horizons", "delay"), [([], 1), ([0], 1), ([1, 1], 1), ([1], -1)])
def test_horizons_and_delays_that_mean_nothing_are_refused(horizons, delay):
    panel = build_signal_panel(frame_signal([[1, 2]], [[1, 2]])[0])
    with pytest.raises(DataError, match=r"horizons|delay"):
        measure_decay(panel, walk_prices(5, 2), horizons=horizons, delay=delay)


def test_without_enough_sessions_there_is_neither_a_mean_nor_an_interval():
    pred, _ = frame_signal([[1, 2, 3], [3, 1, 2]], np.zeros((2, 3)))
    table = measure_decay(build_signal_panel(pred), walk_prices(3, 3).ffill().bfill(), horizons=[5])
    assert table["ic"].isna().all()
    assert table["sessions"].tolist() == [0, 0, 0]
    nothing = build_signal_panel(pred.iloc[:0])
    assert measure_decay(nothing, walk_prices(3, 3), horizons=[1])["sessions"].tolist() == [0, 0, 0]


def test_prices_are_read_from_the_first_day_to_the_end_of_the_last_return():
    prices = walk_prices(30, 3)
    rows = prices.rename_axis(index="datetime", columns="instrument").stack(future_stack=True).to_frame("$close")
    source = FrameSource(rows)
    pred, _ = frame_signal(np.arange(30.0).reshape(10, 3), np.zeros((10, 3)))
    read = read_prices(source, build_signal_panel(pred), horizons=[1, 5])
    assert read.index.tolist() == prices.index[:16].tolist()
    np.testing.assert_allclose(read.to_numpy(), prices.iloc[:16].to_numpy(), rtol=1e-6)
    assert len(read_prices(source, build_signal_panel(pred), horizons=[40])) == 30
    assert read_prices(source, build_signal_panel(pred.iloc[:0])).empty


def test_intervals_of_labels_that_share_returns_have_blocks_of_two_horizons():
    rng = np.random.default_rng(8)
    prices = walk_prices(140, 12, seed=8)
    pred, _ = frame_signal(rng.normal(size=(120, 12)), np.zeros((120, 12)))
    table = measure_decay(build_signal_panel(pred), prices, horizons=[10]).set_index("sampling").loc["overlapping"]
    daily = correlate_each_day(pred, prices, 1, 11, stats.pearsonr)
    wanted, narrow = estimate_mean(daily, label_span=10), estimate_mean(daily)
    assert (wanted.block, narrow.block < 20) == (20, True)
    assert (table["low"], table["high"]) == pytest.approx((wanted.lower, wanted.upper))
