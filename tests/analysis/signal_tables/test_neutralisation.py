from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollwright.analysis.signal import daily_ic, standard_error
from rollwright.analysis.signal_tables.day_regression import take_residuals
from rollwright.analysis.signal_tables.neutralisation import compare_neutralised, neutralise
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from signal_frames import frame_signal


@st.composite
def regressions(draw):
    """Rows by day with columns, some of them equal, constant or of another size, and groups."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = rng.integers(1, 12, draw(st.integers(1, 5)))
    day = np.repeat(np.arange(len(sizes)) * 2, sizes).astype(np.intp)
    columns = rng.normal(size=(len(day), draw(st.integers(0, 4)))) * 10.0 ** rng.integers(-6, 6)
    if columns.shape[1] > 1 and draw(st.booleans()):
        columns[:, 1] = columns[:, 0]
    if columns.shape[1] > 2 and draw(st.booleans()):
        columns[:, 2] = 1.0
    group = rng.integers(0, 3, len(day)) if draw(st.booleans()) else None
    return day, rng.normal(size=len(day)), columns, group


@given(case=regressions())
@settings(max_examples=100, deadline=None)
def test_residuals_are_those_of_numpy_on_each_day(case):
    day, values, columns, group = case
    found = take_residuals(day, values, columns, group=group)
    for one in set(day.tolist()):
        rows = day == one
        dummies = [np.ones(rows.sum())] if group is None else [(group[rows] == g) * 1.0 for g in range(3)]
        design = np.column_stack([*dummies, columns[rows] / max(np.abs(columns).max(initial=0), 1e-300)])
        wanted = values[rows] - design @ np.linalg.lstsq(design, values[rows], rcond=1e-10)[0]
        np.testing.assert_allclose(found[rows], wanted, atol=1e-7)


def test_a_day_that_is_explained_wholly_leaves_nothing_at_all():
    day = np.array([0, 0, 0, 1, 1, 1], dtype=np.intp)
    x = np.array([0.1, 0.2, 0.7, 0.3, 0.1, 0.4])
    values = np.where(day == 0, 3 * x + 0.1, [0, 0, 0, 1, 2, 2.5])
    found = take_residuals(day, values, x[:, None])
    assert found[:3].tolist() == [0.0, 0.0, 0.0]
    assert np.abs(found[3:]).min() > 0.1
    assert take_residuals(day[:0], values[:0], x[:0, None]).size == 0


def make_signal(seed=0, days=60, names=40):
    rng = np.random.default_rng(seed)
    sector = pd.Series([f"I{n % 4}" for n in range(names)], index=[f"S{n:02d}" for n in range(names)])
    tilt = rng.normal(size=(days, 4))[:, np.arange(names) % 4]
    size = rng.normal(size=(days, names))
    own = rng.normal(size=(days, names))
    pred, label = frame_signal(own + 2 * tilt + size, own + rng.normal(size=(days, names)))
    return pred, label, {"sector": sector, "size": pd.Series(size.ravel(), index=pred.index)}


def test_what_is_left_has_nothing_to_do_with_the_columns():
    pred, label, columns = make_signal()
    left = neutralise(build_signal_panel(pred, label), columns)
    scores = pd.Series(left.score, index=pred.index)
    sector = pred.index.get_level_values("instrument").map(columns["sector"])
    means = scores.groupby([pred.index.get_level_values("datetime"), sector]).mean()
    assert means.abs().max() < 1e-12
    assert daily_ic(scores, columns["size"]).abs().max() < 1e-12


def test_before_and_after_are_the_ic_of_the_signal_and_of_what_is_left():
    pred, label, columns = make_signal()
    panel = build_signal_panel(pred, label)
    table = compare_neutralised(panel, columns, label_span=3).set_index("columns")
    assert list(table.index) == ["sector", "size", "sector + size"]
    both = pd.Series(neutralise(panel, columns).score, index=pred.index)
    row = table.loc["sector + size"]
    for method, key in (("pearson", "ic"), ("spearman", "rank_ic")):
        before, after = daily_ic(pred, label, method=method), daily_ic(both, label, method=method)
        assert row[f"{key}_before"] == pytest.approx(before.mean(), rel=1e-12)
        assert row[f"{key}_after"] == pytest.approx(after.mean(), rel=1e-9)
        assert row[f"{key}_difference"] == pytest.approx((after - before).mean(), rel=1e-9)
        assert row[f"{key}_error"] == pytest.approx(standard_error(after - before, label_span=3), rel=1e-6)
    assert row["ic_after"] > table.loc["sector", "ic_after"] > row["ic_before"] + 0.1
    assert (row["sessions"], row["rows"]) == (60, 2400)


def test_rows_without_a_number_are_left_out_of_both_sides_and_those_without_a_group_are_one():
    pred, label, columns = make_signal(1)
    size = columns["size"].copy()
    size.iloc[::7] = np.nan
    table = compare_neutralised(build_signal_panel(pred, label), {"size": size})
    kept = pred[size.notna()]
    assert table["rows"].tolist() == [len(kept)]
    assert table["ic_before"].iloc[0] == pytest.approx(daily_ic(kept, label).mean(), rel=1e-12)
    part = columns["sector"].iloc[5:]
    left = neutralise(build_signal_panel(pred, label), {"sector": part})
    assert not np.isnan(left.score).any()
    outside = pd.Series(left.score, index=pred.index).unstack("instrument").iloc[:, :5].mean(axis=1)
    assert outside.abs().max() < 1e-12


def test_two_columns_of_groups_are_taken_out_together_as_dummies():
    pred, label, columns = make_signal(2)
    board = pd.Series([f"B{n // 20}" for n in range(40)], index=columns["sector"].index)
    left = neutralise(build_signal_panel(pred, label), {"sector": columns["sector"], "board": board})
    names = pred.index.get_level_values("instrument")
    for day, scores in list(pred.groupby(level="datetime"))[:5]:
        design = np.column_stack(
            [pd.get_dummies(columns["sector"]).to_numpy(float), pd.get_dummies(board).to_numpy(float)]
        )
        y = scores.to_numpy()
        wanted = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        np.testing.assert_allclose(left.score[pred.index.get_level_values("datetime") == day], wanted, atol=1e-12)
    assert len(set(names)) == 40


def test_a_day_with_an_infinite_score_has_nothing_left():
    pred, label, columns = make_signal(3, days=3)
    pred.iloc[4] = np.inf
    left = neutralise(build_signal_panel(pred, label), columns)
    assert np.isnan(left.score[:40]).all()
    assert not np.isnan(left.score[40:]).any()


def test_a_signal_that_is_its_columns_has_no_ic_left():
    _, label, columns = make_signal(4)
    table = compare_neutralised(build_signal_panel(columns["size"] * 3, label), {"size": columns["size"]})
    assert table["sessions"].tolist() == [0]
    assert np.isnan(table["ic_after"].iloc[0])


def test_a_row_with_an_infinite_number_has_no_score_and_spoils_no_other():
    pred, label, columns = make_signal(days=5)
    odd = pred.index[7]
    size = columns["size"].copy()
    size[odd] = np.inf
    panel = build_signal_panel(pred, label)
    found = pd.Series(neutralise(panel, {"size": size}).score, index=pred.index)
    size[odd] = np.nan
    wanted = pd.Series(neutralise(panel, {"size": size}).score, index=pred.index)
    assert found.index[found.isna()].tolist() == [odd]
    pd.testing.assert_series_equal(found, wanted)
