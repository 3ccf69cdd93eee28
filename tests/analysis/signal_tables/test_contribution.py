from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.signal import daily_ic
from rollwright.analysis.signal_tables.contribution import measure_contribution
from rollwright.errors import DataError
from signal_frames import frame_signal


def make_members(days=80, names=30, seed=0, missing=0.1):
    rng = np.random.default_rng(seed)
    common, first, second = rng.normal(size=(3, days, names))
    label = common + first + 0.5 * rng.normal(size=(days, names))
    label[rng.random(label.shape) < missing] = np.nan
    frames = {"one": common + first, "two": common + second, "three": rng.normal(size=(days, names))}
    for values in frames.values():
        values[rng.random(values.shape) < missing] = np.nan
    pred, truth = frame_signal(frames["one"], label)
    members = {name: pd.Series(values.ravel(), index=pred.index).dropna() for name, values in frames.items()}
    return members, truth


def own_part(members, label, name):
    """Return the daily IC, Rank IC and explained share of a member's residual on the others, by numpy day by day."""
    frame = pd.DataFrame({**members, "label": label}).dropna()
    found = {}
    for day, rows in frame.groupby(level="datetime"):
        others = [other for other in members if other != name]
        design = np.column_stack([np.ones(len(rows)), rows[others]])
        y = rows[name].to_numpy()
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        found[day] = (
            stats.pearsonr(left, rows["label"]).statistic,
            stats.spearmanr(left, rows["label"]).statistic,
            1 - (left**2).sum() / ((y - y.mean()) ** 2).sum(),
        )
    return pd.DataFrame(found, index=["ic", "rank_ic", "explained"]).T


def test_alone_and_own_part_equal_a_regression_day_by_day():
    members, label = make_members()
    table = measure_contribution(members, label, label_span=2).set_index("member")
    assert list(table.index) == ["one", "two", "three"]
    for name, scores in members.items():
        alone = estimate_mean(daily_ic(scores, label), label_span=2)
        rank = estimate_mean(daily_ic(scores, label, method="spearman"), label_span=2)
        row = table.loc[name]
        assert (row["ic"], row["ic_low"], row["ic_high"]) == pytest.approx((alone.mean, alone.lower, alone.upper))
        assert (row["rank_ic"], row["rank_ic_low"]) == pytest.approx((rank.mean, rank.lower))
        wanted = own_part(members, label, name)
        interval = estimate_mean(wanted["ic"], label_span=2)
        assert (row["ic_own"], row["ic_own_low"], row["ic_own_high"]) == pytest.approx(
            (interval.mean, interval.lower, interval.upper), rel=1e-9
        )
        assert row["rank_ic_own"] == pytest.approx(wanted["rank_ic"].mean(), rel=1e-9)
        assert row["explained"] == pytest.approx(wanted["explained"].mean(), rel=1e-9)
        assert (row["sessions"], row["own_sessions"], row["singular_sessions"]) == (80, 80, 0)
    assert table.loc["one", "ic_own"] > 0.5
    assert table.loc["two", "ic"] > 0.2
    assert table.loc["two", "ic_own"] < 0.1  # what it knows, the first knows too


def test_equal_members_and_means_of_others_have_no_own_part_and_it_is_said():
    members, label = make_members(missing=0.0)
    members |= {"copy": members["three"] * 2 + 1, "mean": (members["one"] + members["two"]) / 2}
    table = measure_contribution(members, label).set_index("member")
    assert table["singular_sessions"].tolist() == [80] * 5
    assert table["own_sessions"].tolist() == [0] * 5
    assert table["ic_own"].isna().all()
    assert table["explained"].to_numpy() == pytest.approx(1.0)
    members.pop("mean")
    table = measure_contribution(members, label).set_index("member")
    assert table["singular_sessions"].to_dict() == {"one": 0, "two": 0, "three": 80, "copy": 80}
    wanted = own_part({name: members[name] for name in ("one", "two", "three")}, label, "one")
    assert table.loc["one", "ic_own"] == pytest.approx(wanted["ic"].mean(), rel=1e-9)


def test_a_constant_member_and_few_instruments_have_no_own_part():
    members, label = make_members(days=3, names=3, missing=0.0)
    table = measure_contribution(members, label).set_index("member")  # three rows, a constant and two others
    assert table["own_sessions"].tolist() == [0, 0, 0]
    members["three"] = members["three"] * 0 + 5.0
    table = measure_contribution(members, label).set_index("member")
    assert table.loc["three", ["sessions", "own_sessions", "singular_sessions"]].tolist() == [0, 0, 0]
    assert np.isnan(table.loc["three", "explained"])
    assert table.loc["one", "own_sessions"] == 3


def test_members_of_different_days_have_no_common_rows():
    members, label = make_members(days=4, missing=0.0)
    one, two = members["one"].iloc[:60], members["two"].iloc[60:]
    table = measure_contribution({"one": one, "two": two}, label)
    assert table["sessions"].tolist() == [2, 2]
    assert table["own_sessions"].tolist() == [0, 0]


def test_the_order_of_rows_changes_nothing_and_an_infinite_score_takes_its_day_out():
    members, label = make_members(days=20)
    shuffled = {name: scores.sample(frac=1, random_state=1) for name, scores in members.items()}
    pd.testing.assert_frame_equal(measure_contribution(members, label), measure_contribution(shuffled, label[::-1]))
    members["one"].iloc[0] = np.inf
    table = measure_contribution(members, label).set_index("member")
    assert table["own_sessions"].tolist() == [19, 19, 19]
    assert table["sessions"].tolist() == [19, 20, 20]


def test_one_member_has_nothing_to_add_to():
    members, label = make_members(days=2)
    with pytest.raises(DataError, match="1 members"):
        measure_contribution({"one": members["one"]}, label)
