from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy import stats

from rollwright.analysis.signal import top_turnover
from rollwright.analysis.signal_tables.persistence import measure_autocorrelation, measure_turnover
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.errors import DataError
from signal_frames import draw_signals, frame_signal


@given(case=draw_signals(most_days=7))
@settings(max_examples=60, deadline=None)
def test_autocorrelation_is_the_mean_of_scipy_over_the_days(case):
    pred, _ = case
    table = measure_autocorrelation(build_signal_panel(pred), lags=[1, 2, 9]).set_index("lag")
    matrix = pred.unstack("instrument").sort_index()
    for lag in (1, 2, 9):
        values = []
        for late in range(lag, len(matrix)):
            both = pd.DataFrame({"x": matrix.iloc[late - lag], "y": matrix.iloc[late]}).dropna()
            if both["x"].nunique() > 1 and both["y"].nunique() > 1:
                values.append(stats.spearmanr(both["x"], both["y"]).statistic)
        wanted = np.mean(values) if values else np.nan
        np.testing.assert_allclose(table.loc[lag, "rank_autocorrelation"], wanted, rtol=1e-9, atol=1e-12)
        assert table.loc[lag, "sessions"] == len(values)


@given(case=draw_signals(most_days=7))
@settings(max_examples=60, deadline=None)
def test_the_top_is_replaced_as_top_turnover_says_and_the_bottom_is_the_top_of_the_negative(case):
    pred, _ = case
    found = measure_turnover(build_signal_panel(pred), groups=4)
    if pred.empty:
        return
    np.testing.assert_allclose(found["top"], top_turnover(pred, quantile=0.25), rtol=1e-12)
    np.testing.assert_allclose(found["bottom"], top_turnover(-pred, quantile=0.25), rtol=1e-12)


def test_turnover_by_hand():
    pred, _ = frame_signal([[4, 3, 2, 1], [3, 4, 2, 1], [1, 4, 3, 2]], np.zeros((3, 4)))
    found = measure_turnover(build_signal_panel(pred), groups=2)
    assert found.iloc[0].isna().all()
    assert found.iloc[1:].to_numpy().tolist() == [[0.0, 0.0], [0.5, 0.5]]


def test_a_signal_that_stays_has_an_autocorrelation_of_one_and_no_turnover():
    pred, _ = frame_signal([[1, 5, 3, 2]] * 4, np.zeros((4, 4)))
    panel = build_signal_panel(pred)
    assert measure_autocorrelation(panel, lags=[1, 3])["rank_autocorrelation"].tolist() == pytest.approx([1.0, 1.0])
    assert measure_turnover(panel, groups=2).iloc[1:].to_numpy().sum() == 0


@pytest.mark.parametrize("lags", [[0], [1, 1], [-2]])
def test_lags_that_mean_nothing_are_refused(lags):
    panel = build_signal_panel(frame_signal([[1, 2]], [[1, 2]])[0])
    with pytest.raises(DataError, match="lags"):
        measure_autocorrelation(panel, lags=lags)
    with pytest.raises(DataError, match="1 groups"):
        measure_turnover(panel, groups=1)
