from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.metrics import to_recorder_metrics
from rollwright.analysis.panel import rank_by_day
from rollwright.analysis.signal import (
    calc_ic,
    calc_long_short_return,
    daily_ic,
    group_returns,
    newey_west_lags,
    pred_autocorr,
    rolling_mean,
    standard_error,
    summarise,
    top_turnover,
)
from rollwright.errors import DataError
from signal_frames import draw_signals, frame_signal


def brute(pred, label, method):
    found = {}
    for day, scores in pred.groupby(level="datetime"):
        both = pd.DataFrame({"p": scores, "l": label.reindex(scores.index)}).dropna()
        if len(both) < 2 or both["p"].nunique() < 2 or both["l"].nunique() < 2:
            found[day] = math.nan
        elif method == "spearman":
            found[day] = stats.spearmanr(both["p"], both["l"]).statistic
        else:
            found[day] = stats.pearsonr(both["p"], both["l"]).statistic
    return pd.Series(found, dtype=float)


@given(case=draw_signals(), method=st.sampled_from(["pearson", "spearman"]))
@settings(max_examples=80, deadline=None)
def test_daily_ic_equals_scipy_day_by_day(case, method):
    pred, label = case
    found = daily_ic(pred, label, method=method)
    wanted = brute(pred, label, method)
    assert list(found.index) == list(wanted.index)
    np.testing.assert_allclose(found.to_numpy(), wanted.to_numpy(), rtol=1e-9, atol=1e-12)


@given(case=draw_signals())
@settings(max_examples=40, deadline=None)
def test_order_of_rows_and_unknown_labels_do_not_matter(case):
    pred, label = case
    row = pd.MultiIndex.from_tuples([(pd.Timestamp("1999-01-01"), "X")], names=label.index.names)
    stranger = pd.Series([9.0], index=row)
    ic, ric = calc_ic(pred, label)
    again, ragain = calc_ic(pred.sort_index(), pd.concat([label, stranger]))
    np.testing.assert_allclose(ic, again, rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(ric.isna(), ragain.isna())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), max_size=40))
def test_ranks_equal_scipy_within_each_day(rows):
    rows = sorted(rows, key=lambda row: row[0])
    day = np.array([row[0] for row in rows], dtype=np.intp)
    values = np.array([row[1] for row in rows], dtype=float)
    found = rank_by_day(day, values)
    for one in set(day.tolist()):
        np.testing.assert_array_equal(found[day == one], stats.rankdata(values[day == one]))


def test_a_day_without_two_different_values_has_no_ic():
    scores = [[1, 1, 1], [1, 2, 3], [1, 2, 3], [1, np.nan, np.nan]]
    pred, label = frame_signal(scores, [[1, 2, 3], [0.1, 0.1, 0.1], [1, 2, 3], [1, 2, 3]])
    ic, ric = calc_ic(pred, label)
    assert ic.isna().tolist() == ric.isna().tolist() == [True, True, False, True]
    assert ic.iloc[2] == pytest.approx(1.0)
    assert len(calc_ic(pred, label, "datetime", True)[0]) == 1


@pytest.mark.parametrize("score", [0.1, 1 / 3, 1e17, -7e-9, 1e100])
@pytest.mark.parametrize("size", [3, 7, 10, 49, 77])
def test_equal_scores_have_no_ic_however_their_mean_is_rounded_and_one_bit_apart_they_have(score, size):
    scores = np.full((1, size), score)
    equal, label = frame_signal(scores, np.arange(size)[None] ** 2)
    for one, other in ((equal, label), (label, equal)):
        assert daily_ic(one, other).isna().all()
    scores[0, 1] = np.nextafter(score, np.inf)
    for method in ("pearson", "spearman"):
        assert daily_ic(frame_signal(scores, scores)[0], label, method=method).notna().all()


def test_an_infinite_label_spoils_its_own_day_only():
    pred, label = frame_signal([[1, 2, 3], [1, 2, 3]], [[1, np.inf, 3], [1, 2, 3]])
    assert daily_ic(pred, label).isna().tolist() == [True, False]


def test_frames_and_swapped_levels_are_taken():
    pred, label = frame_signal([[1, 2, 4]], [[1, 3, 2]])
    swapped = label.reorder_levels(["instrument", "datetime"]).to_frame("L")
    assert daily_ic(pred.to_frame("score"), swapped).equals(daily_ic(pred, label))


def test_a_row_named_twice_is_refused():
    pred, label = frame_signal([[1, 2]], [[1, 2]])
    with pytest.raises(DataError, match="more than once"):
        daily_ic(pd.concat([pred, pred]), label)
    with pytest.raises(DataError, match="no `datetime`"):
        daily_ic(pred.droplevel("datetime"), label)


def test_the_summary_is_mean_and_ratio_of_pandas():
    rng = np.random.default_rng(3)
    pred, label = frame_signal(rng.normal(size=(60, 8)), rng.normal(size=(60, 8)))
    ic, ric = calc_ic(pred, label)
    ic.iloc[5] = np.nan
    found = summarise(ic, ric)
    assert to_recorder_metrics(found.metrics()) == pytest.approx(
        {"IC": ic.mean(), "ICIR": ic.mean() / ic.std(), "Rank IC": ric.mean(), "Rank ICIR": ric.mean() / ric.std()}
    )
    assert found.days == 59
    two = summarise(ic.iloc[:2], ric.iloc[:2])
    assert (two.icir, two.rank_icir) == pytest.approx((ic[:2].mean() / ic[:2].std(), ric[:2].mean() / ric[:2].std()))
    assert math.isnan(summarise(ic.iloc[:1], ric.iloc[:1]).icir)
    empty = summarise(ic.iloc[:0], ric.iloc[:0])
    assert math.isnan(empty.ic)
    assert math.isnan(empty.icir)
    assert empty.days == 0


def test_the_plain_error_is_that_of_independent_days():
    values = pd.Series([0.1, np.nan, 0.3, -0.2, 0.05])
    known = values.dropna()
    assert standard_error(values, lags=0) == pytest.approx(known.std() / 2)
    assert math.isnan(standard_error(values.iloc[:1]))
    with pytest.raises(DataError, match="-1 lags"):
        standard_error(values, lags=-1)


def test_the_error_allows_for_autocorrelation():
    values = pd.Series([1.0, 2.0, 4.0])
    centred = values - values.mean()
    g0, g1 = (centred**2).sum() / 3, (centred.iloc[1] * centred.iloc[0] + centred.iloc[2] * centred.iloc[1]) / 3
    assert standard_error(values, lags=1) == pytest.approx(math.sqrt((g0 + 2 * 0.5 * g1) / 3))
    smooth = pd.Series(np.random.default_rng(0).normal(size=504)).rolling(5).mean().dropna()
    assert standard_error(smooth) > 1.5 * standard_error(smooth, lags=0)
    assert newey_west_lags(500) == 5
    assert newey_west_lags(0) == 0


def test_lags_that_no_pair_is_apart_are_refused():
    values = pd.Series([0.1, -0.2, 0.3, 0.4, -0.1])
    assert standard_error(values, lags=4) > 0
    with pytest.raises(DataError, match="5 lags and 5 values"):
        standard_error(values, lags=5)
    assert math.isnan(standard_error(values.iloc[:1], lags=5))


def test_an_error_of_overlapping_labels_takes_as_many_lags_as_they_overlap():
    smooth = pd.Series(np.random.default_rng(3).normal(size=60)).rolling(5).sum().dropna()
    assert newey_west_lags(len(smooth)) == 3
    assert standard_error(smooth, label_span=6) == standard_error(smooth, lags=5) > standard_error(smooth)
    assert standard_error(smooth, label_span=2) == standard_error(smooth, label_span=None) == standard_error(smooth)
    assert math.isnan(standard_error(smooth.iloc[:5], label_span=6))
    assert math.isnan(summarise(smooth.iloc[:5], smooth.iloc[:5], label_span=6).ic_error)


def test_intervals_are_those_of_the_block_bootstrap_with_blocks_beyond_the_label():
    smooth = pd.Series(np.random.default_rng(4).normal(size=200)).rolling(10).mean().dropna()
    summary = summarise(smooth, 2 * smooth, label_span=10)
    wanted = estimate_mean(smooth, label_span=10)
    assert wanted.block >= 20
    assert (summary.ic_low, summary.ic_high) == (wanted.lower, wanted.upper)
    assert summary.rank_ic_high == pytest.approx(2 * wanted.upper)
    few = summarise(smooth.iloc[:9], smooth.iloc[:9])
    assert all(math.isnan(end) for end in (few.ic_low, few.ic_high, few.rank_ic_low, few.rank_ic_high))
    values = {metric.key: metric.value for metric in summary.metrics()}
    assert (values["ic_low"], values["rank_ic_high"]) == (summary.ic_low, summary.rank_ic_high)


def test_no_information_ratio_is_taken_over_a_rounding_error():
    assert math.isnan(summarise(pd.Series([0.1 + 0.2, 0.3, 0.3]), pd.Series([1.0, 1.0])).icir)


def test_the_rolling_mean_waits_for_a_whole_window():
    means = rolling_mean(pd.Series([1.0, 2.0, np.nan, 4.0, np.nan, np.nan]), window=3)
    assert means.isna().tolist() == [True, True, False, False, True, True]
    assert means.iloc[2] == 1.5


def test_groups_are_parts_of_equal_size_best_first():
    pred, label = frame_signal([[5, 4, 3, 2, 1, 0]], [[6, 5, 4, 3, 2, 1]])
    assert group_returns(pred, label, groups=3).iloc[0].tolist() == [5.5, 3.5, 1.5]
    assert list(group_returns(pred, label, groups=3)) == ["Group1", "Group2", "Group3"]


def shared_mean(scores, labels, places):
    """Return the mean label of the ranks `places`, best first; equal scores hold each of their ranks in equal parts."""
    total = weight = 0.0
    for name, score in scores.items():
        ranks = range(int((scores > score).sum()), int((scores >= score).sum()))
        share = sum(rank in places for rank in ranks) / len(ranks)
        if share and not math.isnan(labels[name]):
            total, weight = total + share * labels[name], weight + share
    return total / weight if weight else math.nan


@given(case=draw_signals(), groups=st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_group_returns_equal_a_day_by_day_count(case, groups):
    pred, label = case
    found = group_returns(pred, label, groups=groups)
    for day in found.index:
        scores = pred.xs(day, level="datetime").dropna()
        if len(scores) < groups:
            assert found.loc[day].isna().all()
            continue
        labels = label.xs(day, level="datetime").reindex(scores.index)
        for number in range(groups):
            places = [place for place in range(len(scores)) if place * groups // len(scores) == number]
            wanted = shared_mean(scores, labels, places)
            np.testing.assert_allclose(found.loc[day].iloc[number], wanted, rtol=1e-9, atol=1e-12)


def test_there_are_five_groups_unless_another_number_is_given():
    pred, label = frame_signal([[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]], [[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]])
    assert group_returns(pred, label).loc[:, "Group1":].iloc[0].to_dict() == {
        "Group1": 8.5, "Group2": 6.5, "Group3": 4.5, "Group4": 2.5, "Group5": 0.5,
    }  # fmt: skip


def test_group_returns_refuse_one_group():
    with pytest.raises(DataError, match="1 groups: at least two"):
        group_returns(*frame_signal([[1, 2]], [[1, 2]]), groups=1)


@given(case=draw_signals(), quantile=st.sampled_from([0.2, 0.34, 0.5]))
@settings(max_examples=60, deadline=None)
def test_long_short_equals_a_day_by_day_count(case, quantile):
    pred, label = case
    long_short, average = calc_long_short_return(pred, label, quantile=quantile)
    for day, rows in pred.groupby(level="datetime"):
        scores = rows.droplevel("datetime").dropna()
        labels = label.xs(day, level="datetime").reindex(rows.index.get_level_values("instrument"))
        leg = range(int(len(scores) * quantile))
        wanted = (shared_mean(scores, labels, leg) - shared_mean(-scores, labels, leg)) / 2
        np.testing.assert_allclose(long_short[day], wanted, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(average[day], labels.mean(), rtol=1e-9, atol=1e-12)


@given(case=draw_signals(), order=st.permutations(range(12)))
@settings(max_examples=60, deadline=None)
def test_renaming_the_instruments_changes_no_statistic(case, order):
    pred, label = case
    names = {f"S{old:02d}": f"S{new:02d}" for old, new in enumerate(order)}
    renamed, called = (part.rename(names, level="instrument").sort_index() for part in (pred, label))
    for judge in (
        lambda *rows: pd.concat(calc_ic(*rows), axis=1),
        lambda *rows: pd.concat(calc_long_short_return(*rows, quantile=0.34), axis=1),
        lambda *rows: group_returns(*rows, groups=3),
        lambda *rows: top_turnover(rows[0], 0.34),
    ):
        np.testing.assert_allclose(judge(renamed, called), judge(pred, label), rtol=1e-9, atol=1e-12)


def test_scores_that_are_all_equal_give_every_group_the_mean_of_the_day():
    pred, label = frame_signal([[1, 1, 1, 1, 1]], [[1, 2, 3, 4, 10]])
    assert group_returns(pred, label, groups=2).iloc[0].tolist() == [4.0, 4.0]
    both, average = calc_long_short_return(pred, label, quantile=0.4)
    assert (both.iloc[0], average.iloc[0]) == (0.0, 4.0)


def test_long_short_refuses_legs_that_overlap():
    with pytest.raises(DataError, match=r"quantile 0\.6 is not in"):
        calc_long_short_return(*frame_signal([[1, 2]], [[1, 2]]), quantile=0.6)


def test_autocorrelation_compares_a_day_with_the_day_before():
    pred, _ = frame_signal([[1, 2, 3], [2, 4, 6], [3, 2, 1]], np.zeros((3, 3)))
    found = pred_autocorr(pred)
    assert math.isnan(found.iloc[0])
    assert found.iloc[1:].tolist() == pytest.approx([1.0, -1.0])
    assert pred_autocorr(pred, lag=5).isna().all()
    pd.testing.assert_series_equal(
        pred_autocorr(pred.rename_axis(["day", "code"]), 1, "code", "day"), found, check_names=False
    )
    with pytest.raises(DataError, match="no level 'code', but 'instrument'"):
        pred_autocorr(pred, inst_col="code")


def test_turnover_is_the_share_of_new_names_at_the_top():
    pred, _ = frame_signal([[4, 3, 2, 1], [3, 4, 2, 1], [1, 4, 3, 2]], np.zeros((3, 4)))
    found = top_turnover(pred, quantile=0.5)
    assert math.isnan(found.iloc[0])
    assert found.iloc[1:].tolist() == [0.0, 0.5]


def test_turnover_divides_by_the_size_of_the_day_s_own_top():
    no = np.nan
    scores = [[6, 5, 4, 3, 2, 1], [5, 6, 1, 2, no, no], [1, 2, 3, 4, 5, 6], [9, 8, 6, 7, 5, 4], [1, no, no, no, no, no]]
    pred, _ = frame_signal(scores, np.zeros((5, 6)))
    # at the top of each day: {0, 1, 2}, {0, 1}, {3, 4, 5}, {0, 1, 3}, none
    found = top_turnover(pred, quantile=0.5)
    assert found.iloc[1:4].tolist() == pytest.approx([0.0, 1.0, 2 / 3])
    assert math.isnan(found.iloc[4])


def test_an_empty_prediction_has_no_days():
    pred, label = frame_signal(np.empty((0, 3)), np.empty((0, 3)))
    ic, ric = calc_ic(pred, label)
    assert ic.empty
    assert ric.empty
    assert group_returns(pred, label).empty
