from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.signal_tables.row_coverage import expect_members, measure_coverage
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.errors import DataError
from signal_frames import frame_signal

NO = np.nan


def read(metrics):
    return {metric.key: metric.value for metric in metrics}


def two_months():
    """Four sessions, two in either month; S00 lists late, S01 has a gap and S02 no label at the end."""
    days = pd.to_datetime(["2021-03-30", "2021-03-31", "2021-04-01", "2021-04-02"])
    index = pd.MultiIndex.from_product([days, ["S00", "S01", "S02"]], names=["datetime", "instrument"])
    score = [NO, 1, 1, 1, NO, 1, 1, 1, 1, 1, 1, 1]
    label = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, NO]
    return pd.Series(score, index=index), pd.Series(label, index=index)


def test_counts_by_hand():
    pred, label = two_months()
    table, metrics = measure_coverage(build_signal_panel(pred.dropna(), label), buckets=3)
    whole = table[table["bucket"] == "all"].set_index("month")
    assert whole[["expected", "scored", "labelled"]].to_numpy().tolist() == [[5, 4, 4], [6, 6, 5]]
    assert whole["scored_share"].tolist() == [0.8, 1.0]
    gap = table[(table["month"] == "2021-03") & (table["bucket"] == "S01")].iloc[0]
    assert gap[["expected", "scored", "labelled", "scored_share"]].tolist() == [2, 1, 1, 0.5]
    assert read(metrics) == {"coverage_scored": 10 / 11, "coverage_labelled": 9 / 11}
    assert table["bucket"].tolist() == ["all", "S00", "S01", "S02"] * 2


def test_expected_rows_may_be_given_exactly():
    pred, label = two_months()
    panel = build_signal_panel(pred.dropna().reindex(pred.index), label)
    table, metrics = measure_coverage(panel, fill=False, buckets=1)
    assert table.loc[table["bucket"] == "S00–S02", "expected"].tolist() == [6, 6]
    assert read(metrics)["coverage_scored"] == 10 / 12


def test_buckets_are_parts_of_the_instruments_and_add_up():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(45, 7))
    scores[rng.random(scores.shape) < 0.3] = NO
    pred, label = frame_signal(scores, np.zeros((45, 7)))
    table, _ = measure_coverage(build_signal_panel(pred, label), buckets=3)
    assert list(table["bucket"].unique()) == ["all", "S00–S02", "S03–S04", "S05–S06"]
    counts = ["expected", "scored", "labelled"]
    parts = table[table["bucket"] != "all"].groupby("month")[counts].sum()
    pd.testing.assert_frame_equal(parts, table[table["bucket"] == "all"].set_index("month")[counts])
    by_hand = pred.notna().groupby(pred.index.get_level_values("datetime").strftime("%Y-%m")).sum()
    assert parts["scored"].tolist() == by_hand.tolist()


def test_a_universe_says_which_rows_are_expected():
    pred, label = two_months()
    day = pd.Timestamp
    lifetimes = {
        "S01": ((day("2021-03-30"), day("2021-03-30")), (day("2021-04-02"), day("2099-01-01"))),
        "S02": ((day("2000-01-01"), day("2021-04-01")),),
        "S09": ((day("2021-03-31"), day("2021-03-31")),),
    }
    panel = expect_members(build_signal_panel(pred, label), lifetimes)
    assert panel.instruments.tolist() == ["S01", "S02", "S09"]
    rows = {
        (str(panel.days[d].date()), panel.instruments[n]): (s, v)
        for d, n, s, v in zip(panel.day, panel.instrument, panel.score, panel.label, strict=True)
    }
    assert list(rows) == [
        ("2021-03-30", "S01"), ("2021-03-30", "S02"), ("2021-03-31", "S02"), ("2021-03-31", "S09"),
        ("2021-04-01", "S02"), ("2021-04-02", "S01"),
    ]  # fmt: skip
    assert np.isnan(rows["2021-03-31", "S09"]).all()
    assert rows["2021-04-02", "S01"] == (1.0, 1.0)
    _, metrics = measure_coverage(panel, fill=False)
    assert read(metrics) == {"coverage_scored": 5 / 6, "coverage_labelled": 5 / 6}
    assert expect_members(build_signal_panel(pred, label), {}).score.size == 0


def test_nothing_has_no_coverage_and_no_buckets_are_refused():
    pred, label = two_months()
    table, metrics = measure_coverage(build_signal_panel(pred.iloc[:0], label))
    assert table.empty
    assert all(math.isnan(value) for value in read(metrics).values())
    with pytest.raises(DataError, match="0 buckets"):
        measure_coverage(build_signal_panel(pred, label), buckets=0)


def test_a_label_without_a_score_covers_nothing():
    pred, label = two_months()
    _, metrics = measure_coverage(build_signal_panel(pred, label), fill=False)
    assert read(metrics) == {"coverage_scored": 10 / 12, "coverage_labelled": 9 / 12}
