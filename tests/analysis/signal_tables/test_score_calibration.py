from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from rollwright.analysis.signal_tables.calibration import fit_line, measure_calibration
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.errors import DataError
from signal_frames import draw_signals, frame_signal


def read(metrics):
    return {metric.key: metric.value for metric in metrics}


def fit_by_matrix(day, x, y, lags, *, through_zero=False):
    """Return coefficients and errors of a least-squares line with sandwich errors, written out as matrices."""
    design = x[:, None] if through_zero else np.column_stack([x, np.ones(len(x))])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    residual = y - design @ beta
    days = sorted(set(day))
    parts = [(design[day == one] * residual[day == one][:, None]).sum(axis=0) for one in days]
    middle = sum(np.outer(part, part) for part in parts)
    for lag in range(1, lags + 1):
        for late in range(lag, len(parts)):
            cross = np.outer(parts[late], parts[late - lag])
            middle = middle + (1 - lag / (lags + 1)) * (cross + cross.T)
    rows, width = design.shape
    factor = len(days) / (len(days) - 1) * (rows - 1) / (rows - width)
    return beta, np.sqrt(np.diag(factor * inverse @ middle @ inverse))


@pytest.mark.parametrize("lags", [0, 1, 4])
def test_lines_and_errors_are_those_of_the_written_out_sandwich(lags):
    rng = np.random.default_rng(0)
    day = np.sort(rng.integers(0, 12, 150)).astype(np.intp)
    x = rng.normal(size=150) + 0.3 * day
    y = 0.4 * x + rng.normal(size=150) + rng.normal(size=12)[day]
    beta, errors = fit_by_matrix(day, x, y, lags)
    found = fit_line(day, x, y, lags=lags)
    assert (found.slope, found.intercept) == pytest.approx(tuple(beta), rel=1e-12)
    assert (found.slope_error, found.intercept_error) == pytest.approx(tuple(errors), rel=1e-10)
    beta, errors = fit_by_matrix(day, x, y, lags, through_zero=True)
    found = fit_line(day, x, y, lags=lags, through_zero=True)
    assert (found.slope, found.slope_error) == pytest.approx((beta[0], errors[0]), rel=1e-10)
    assert (found.intercept, found.intercept_error) == (0.0, 0.0)


def test_a_score_in_the_unit_of_the_label_has_slope_one():
    rng = np.random.default_rng(1)
    market = rng.normal(size=(200, 1)) * 0.02
    score = rng.normal(size=(200, 40)) * 0.01
    pred, label = frame_signal(score + market, score + 2 * market + rng.normal(size=score.shape) * 0.02)
    _, metrics = measure_calibration(build_signal_panel(pred, label))
    values = read(metrics)
    assert abs(values["calibration_slope"] - 1) < 3 * values["calibration_slope_error"] < 0.2
    assert values["calibration_raw_slope"] > 1.5  # the market moved twice as much as predicted
    half, _ = frame_signal(2 * score, score)
    _, metrics = measure_calibration(build_signal_panel(half, label))
    assert read(metrics)["calibration_slope"] == pytest.approx(values["calibration_slope"] / 2, rel=0.1)


def test_an_error_by_days_sees_what_the_rows_of_a_day_share():
    rng = np.random.default_rng(2)
    tilt = rng.normal(size=(120, 1))  # the slope of each day
    score = rng.normal(size=(120, 50))
    pred, label = frame_signal(score, tilt * score)
    _, metrics = measure_calibration(build_signal_panel(pred, label))
    centred = score - score.mean(axis=1, keepdims=True)
    residual = tilt * centred - read(metrics)["calibration_slope"] * centred
    naive = math.sqrt((residual**2).mean() / (centred**2).sum())
    assert read(metrics)["calibration_slope_error"] > 4 * naive


def test_errors_allow_for_labels_that_overlap():
    rng = np.random.default_rng(3)
    tilt = np.convolve(rng.normal(size=300), np.ones(5), "valid")[:, None]
    score = rng.normal(size=(296, 30))
    panel = build_signal_panel(*frame_signal(score, tilt * score))
    one, five = (read(measure_calibration(panel, label_span=span)[1]) for span in (1, 5))
    assert five["calibration_slope"] == one["calibration_slope"]
    assert five["calibration_slope_error"] > 1.4 * one["calibration_slope_error"]


def test_bins_by_hand():
    pred, label = frame_signal([[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 1, 2, 4], [0, 2, 3, 3]])
    table, _ = measure_calibration(build_signal_panel(pred, label), bins=2)
    raw = table[table["kind"] == "raw"]
    assert raw[["bin", "score", "label", "rows"]].to_numpy().tolist() == [[1, 2.5, 2.0, 4], [2, 6.5, 2.0, 4]]
    # by days the deviations of a bin add up to 0 here: each holds one day whole
    assert raw["error"].tolist() == [0.0, 0.0]
    within = table[table["kind"] == "within_day"]
    assert within[["score", "label", "rows"]].to_numpy().tolist() == [[-1.0, -1.0, 4], [1.0, 1.0, 4]]
    # of the low bin the labels are -1 -1 | -2 0 about the mean -1: both days add up to 0, too
    assert within["error"].tolist() == [0.0, 0.0]
    uneven = measure_calibration(build_signal_panel(pred[:-1], label), bins=2)[0]
    low = uneven[uneven["kind"] == "within_day"].iloc[0]
    deviations = [-1 - low["label"] + (-1 - low["label"]), (-5 / 3) - low["label"]]
    assert low["rows"] == 3
    assert low["error"] == pytest.approx(math.sqrt(2 * sum(part**2 for part in deviations)) / 3)


def test_equal_scores_share_a_bin():
    pred, label = frame_signal([[0, 0, 0, 0, 0, 0, 1, 2]], [[1, 2, 3, 4, 5, 6, 7, 8]])
    raw = measure_calibration(build_signal_panel(pred, label), bins=4)[0].query("kind == 'raw'")
    assert raw["rows"].sum() == 8
    assert (raw["score"] == 0).sum() == 1
    assert raw.loc[raw["score"] == 0, "label"].tolist() == [3.5]


@given(case=draw_signals())
@settings(max_examples=50, deadline=None)
def test_the_order_of_rows_changes_nothing_and_holes_are_no_pairs(case):
    pred, label = case
    table, metrics = measure_calibration(build_signal_panel(pred, label), bins=3)
    again, metrics_again = measure_calibration(build_signal_panel(pred.sort_index().iloc[::-1], label), bins=3)
    pd.testing.assert_frame_equal(table, again)
    assert metrics == metrics_again
    pairs = pd.DataFrame({"s": pred, "l": label.reindex(pred.index)}).dropna()
    assert table.groupby("kind")["rows"].sum().tolist() == ([len(pairs)] * 2 if len(pairs) else [])


def test_an_infinite_value_takes_its_day_out():
    pred, label = frame_signal([[1, 2, 3], [1, 2, 4]], [[1, np.inf, 3], [2, 4, 8]])
    table, metrics = measure_calibration(build_signal_panel(pred, label), bins=2)
    assert table.groupby("kind")["rows"].sum().tolist() == [3, 3]
    assert read(metrics)["calibration_raw_slope"] == pytest.approx(2.0)
    assert math.isnan(read(metrics)["calibration_slope_error"])  # one day says nothing of how days vary


def test_what_is_not_defined_is_nan_and_what_means_nothing_is_refused():
    panel = build_signal_panel(*frame_signal([[1, 1, 1]], [[1, 2, 3]]))
    assert all(math.isnan(value) for value in read(measure_calibration(panel)[1]).values())
    with pytest.raises(DataError, match="1 bins"):
        measure_calibration(panel, bins=1)
    with pytest.raises(DataError, match="0 sessions"):
        measure_calibration(panel, label_span=0)


def test_fewer_days_than_depend_on_one_another_tell_no_error():
    rng = np.random.default_rng(1)
    day, x = np.repeat(np.arange(5), 6), rng.normal(size=30)
    y = x + rng.normal(size=30)
    assert fit_line(day, x, y, lags=4).slope_error > 0
    line = fit_line(day, x, y, lags=5)
    assert line.slope == fit_line(day, x, y).slope
    assert math.isnan(line.slope_error)
    assert math.isnan(line.intercept_error)
