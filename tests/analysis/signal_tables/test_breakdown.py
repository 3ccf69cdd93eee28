from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from rollwright.analysis.signal import daily_ic, standard_error
from rollwright.analysis.signal_tables.breakdown import NO_GROUP, break_by_column, break_by_period
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.errors import DataError
from signal_frames import draw_signals, frame_signal


def test_months_and_years_are_means_of_their_days():
    days = pd.bdate_range("2020-11-02", "2021-02-26", name="datetime")
    rng = np.random.default_rng(0)
    ic = pd.DataFrame({"ic": rng.normal(size=len(days)), "rank_ic": rng.normal(size=len(days))}, index=days)
    ic.iloc[3, 0] = np.nan
    month = break_by_period(ic, period="month", label_span=3).set_index("month")
    year = break_by_period(ic, period="year").set_index("year")
    assert list(month.index) == ["2020-11", "2020-12", "2021-01", "2021-02"]
    assert list(year.index) == ["2020", "2021"]
    first = ic.loc["2020-11"]
    assert month.loc["2020-11", "ic"] == first["ic"].mean()
    assert month.loc["2020-11", "error"] == standard_error(first["ic"], label_span=3)
    assert month.loc["2020-11", "sessions"] == len(first) - 1
    assert year.loc["2021", "rank_ic"] == ic.loc["2021", "rank_ic"].mean()
    assert year.loc["2021", "rank_error"] == standard_error(ic.loc["2021", "rank_ic"])
    assert break_by_period(ic.iloc[:0], period="year").empty
    assert math.isnan(break_by_period(ic.iloc[3:4], period="year")["ic"].iloc[0])


@given(case=draw_signals())
@settings(max_examples=50, deadline=None)
def test_a_group_has_the_ic_of_its_rows_alone(case):
    pred, label = case
    column = pd.Series({f"S{n:02d}": ["b", "a", None][n % 3] for n in range(11)})
    table = break_by_column(build_signal_panel(pred, label), {"sector": column}).set_index("group")
    both = pred.notna() & label.reindex(pred.index).notna()
    group = pred.index.get_level_values("instrument").map(column.fillna(NO_GROUP).to_dict()).fillna(NO_GROUP)
    assert list(table.index) == [name for name in ("a", "b", NO_GROUP) if name in set(group[both])]
    for name in table.index:
        rows = pred[both & (group == name)]
        assert table.loc[name, "rows"] == len(rows)
        for method, key in (("pearson", "ic"), ("spearman", "rank_ic")):
            daily = daily_ic(rows, label, method=method)
            np.testing.assert_allclose(table.loc[name, key], daily.mean(), rtol=1e-9, atol=1e-12)
        assert table.loc[name, "sessions"] == daily_ic(rows, label).notna().sum()


def test_a_column_may_change_from_day_to_day():
    pred, label = frame_signal([[1, 2, 3, 4], [1, 2, 3, 4]], [[1, 2, 9, 4], [1, 2, 3, 0]])
    column = pd.Series(["x", "x", "y", "y", "y", "x", "x", "y"], index=pred.index)
    table = break_by_column(build_signal_panel(pred, label), {"c": column.iloc[::-1]}).set_index("group")
    assert table["ic"].to_dict() == pytest.approx({"x": 1.0, "y": -1.0})


def test_many_numbers_are_cut_into_parts_within_each_day():
    rng = np.random.default_rng(1)
    size = np.exp(rng.normal(size=(40, 50))) * np.arange(1, 41)[:, None]  # it grows, so parts must be of the day
    scores = rng.normal(size=(40, 50))
    pred, label = frame_signal(scores, np.where(size > np.median(size, axis=1, keepdims=True), scores, -scores))
    column = pd.Series(size.ravel(), index=pred.index)
    table = break_by_column(build_signal_panel(pred, label), {"size": column}, parts=2)
    assert table["group"].tolist() == ["1 of 2", "2 of 2"]
    assert table["ic"].tolist() == pytest.approx([-1.0, 1.0])
    assert table["rows"].tolist() == [1000, 1000]


def test_few_numbers_are_names_in_their_order_and_equal_numbers_stay_together():
    pred, label = frame_signal([np.arange(30)], [np.arange(30)])
    names = pred.index.get_level_values("instrument")
    few = pd.Series([10 if n < 15 else 9 for n in range(30)], index=names)
    assert break_by_column(build_signal_panel(pred, label), {"c": few})["group"].tolist() == ["9", "10"]
    tied = pd.Series([0.0] * 16 + list(np.arange(14.0)), index=names)
    parts = break_by_column(build_signal_panel(pred, label), {"c": tied}, parts=2)
    assert parts["rows"].tolist() == [17, 13]  # the fifteen zeros and the ones of both halves


def test_columns_without_groups_to_speak_of_are_refused():
    pred, label = frame_signal([np.arange(300)], [np.arange(300)], [f"S{n:03d}" for n in range(300)])
    panel = build_signal_panel(pred, label)
    names = pd.Series([f"G{n}" for n in range(300)], index=[f"S{n:03d}" for n in range(300)])
    with pytest.raises(DataError, match="column `g` has 300 different values"):
        break_by_column(panel, {"g": names})
    with pytest.raises(DataError, match="1 parts"):
        break_by_column(panel, {"g": names}, parts=1)
    with pytest.raises(DataError, match="column `g` has the instrument 'S001' more than once"):
        break_by_column(panel, {"g": pd.Series(["a", "b"], index=["S001", "S001"])})
