from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.signal import group_returns, standard_error
from rollwright.analysis.signal_tables.groups import summarise_groups
from rollwright.errors import DataError
from signal_frames import frame_signal


def read(metrics):
    return {metric.key: metric.value for metric in metrics}


def test_groups_and_their_order_by_hand():
    days = pd.DataFrame({"Group1": [3.0, 1.0, np.nan], "Group2": [2.0, 2.0, 5.0], "Group3": [1.0, 0.0, 0.5]})
    table, metrics = summarise_groups(days)
    assert table["group"].tolist() == ["Group1", "Group2", "Group3", "long_short"]
    assert table["mean"].tolist() == [2.0, 3.0, 0.5, 1.5]
    assert table["sessions"].tolist() == [2, 3, 3, 2]
    # the order 3 2 1 against the ranks 2 3 1: 1 - 6 (1 + 1 + 0) / (3 · 8)
    assert read(metrics) == {"monotonicity": pytest.approx(0.5), "monotone_days": 0.5}


def test_errors_and_intervals_allow_for_labels_that_overlap():
    rng = np.random.default_rng(0)
    days = pd.DataFrame(rng.normal(size=(300, 5))).rolling(5).mean().dropna()
    table, metrics = summarise_groups(days, label_span=6)
    spread = (days[0] - days[4]).reset_index(drop=True)
    for place, series in ((0, days[0]), (5, spread)):
        wanted = estimate_mean(series, label_span=6)
        row = table.iloc[place]
        assert row["error"] == standard_error(series, label_span=6)
        assert (row["low"], row["high"]) == (wanted.lower, wanted.upper)
    assert read(metrics)["monotonicity"] == pytest.approx(
        stats.spearmanr([5, 4, 3, 2, 1], table["mean"].iloc[:5]).statistic
    )


def test_a_perfect_signal_is_monotone_every_day_and_its_negative_never():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(30, 20))
    pred, label = frame_signal(scores, scores)
    for sign in (1, -1):
        _, metrics = summarise_groups(group_returns(sign * pred, label))
        assert read(metrics) == {"monotonicity": pytest.approx(sign), "monotone_days": float(sign == 1)}


def test_what_is_not_defined_is_nan():
    equal, metrics = summarise_groups(pd.DataFrame({"a": [1.0, 1.0], "b": [1.0, 1.0]}))
    assert math.isnan(read(metrics)["monotonicity"])
    assert read(metrics)["monotone_days"] == 0
    assert equal["low"].isna().all()
    empty, metrics = summarise_groups(pd.DataFrame({"a": [np.nan], "b": [1.0]}))
    assert all(math.isnan(value) for value in read(metrics).values())
    assert empty["sessions"].tolist() == [0, 1, 0]
    infinite, _ = summarise_groups(pd.DataFrame({"a": [np.inf] * 20, "b": [1.0] * 20}))
    assert infinite["error"].iloc[[0, 2]].isna().all()
    with pytest.raises(DataError, match="1 groups"):
        summarise_groups(pd.DataFrame({"a": [1.0]}))
