"""Differences of two strategies on the same days."""

import math

import numpy as np
import pytest

from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.honesty.paired import compare_information_ratios, compare_means
from rollwright.analysis.honesty.student import student_quantile, student_tails, student_to_normal
from rollwright.errors import DataError


def make_pair(days=600, *, span=5, seed=1, edge=0.3):
    """Return two series that share most of each day, with the dependence of a label over `span` sessions."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(days + span - 1, 2)) * 0.6 + rng.normal(size=(days + span - 1, 1)) * 0.8
    moved = np.column_stack([np.convolve(column, np.ones(span) / math.sqrt(span), "valid") for column in noise.T])
    return moved[:, 0] + edge, moved[:, 1]


def test_the_difference_of_means_is_the_mean_of_the_differences():
    own, other = make_pair()
    found, wanted = compare_means(own, other, label_span=5), estimate_mean(own - other, label_span=5)
    assert found[:3] == pytest.approx((wanted.mean, wanted.lower, wanted.upper))
    assert found.p_value == wanted.p_value
    scaled = compare_means(own, other, label_span=5, scale=252)
    assert scaled[:3] == pytest.approx(tuple(252 * each for each in found[:3]))
    assert scaled.p_value == pytest.approx(found.p_value)


def test_days_that_one_lacks_are_left_out():
    own, other = make_pair()
    gaps = own.copy(), other.copy()
    gaps[0][5], gaps[1][9] = math.nan, math.nan
    kept = np.delete(np.arange(600), [5, 9])
    assert compare_means(*gaps) == compare_means(own[kept], other[kept])
    assert compare_information_ratios(*gaps, periods=252) == compare_information_ratios(
        own[kept], other[kept], periods=252
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_p_value_and_the_interval_agree(seed):
    own, other = make_pair(seed=seed, edge=0.1)
    for found in (compare_means(own, other, level=0.9), compare_information_ratios(own, other, periods=252, level=0.9)):
        assert (found.p_value < 0.1) == (not found.lower <= 0 <= found.upper)


def test_the_interval_of_ratios_is_that_of_drawing_blocks_of_days():
    own, other = make_pair(960, span=3, seed=4)
    found = compare_information_ratios(own, other, periods=252, label_span=3)
    block = 24
    starts = np.random.default_rng(0).integers(0, 960, (4000, 960 // block))
    places = ((starts[..., None] + np.arange(block)) % 960).reshape(4000, -1)
    ratios = [values[places].mean(axis=1) / values[places].std(axis=1, ddof=1) for values in (own, other)]
    drawn = (ratios[0] - ratios[1]) * math.sqrt(252)
    wanted = [values.mean() / values.std(ddof=1) for values in (own, other)]
    assert found.difference == pytest.approx((wanted[0] - wanted[1]) * math.sqrt(252))
    assert (found.upper - found.lower) / 2 == pytest.approx(1.96 * drawn.std(), rel=0.15)


@pytest.mark.parametrize("span", [1, 5])
def test_intervals_cover_about_as_often_as_they_say(span):
    covered = np.zeros(2)
    for seed in range(300):
        own, other = make_pair(500, span=span, seed=seed, edge=0.3)
        means = compare_means(own, other, label_span=span)
        ratios = compare_information_ratios(own, other, periods=1, label_span=span)
        covered += [means.lower <= 0.3 <= means.upper, ratios.lower <= 0.3 <= ratios.upper]
    assert (covered / 300 > 0.91).all()
    assert (covered / 300 < 0.985).all()


def test_too_few_days_have_a_difference_and_no_interval():
    found = compare_means([1.0, 2.0, 4.0], [0.0, 1.0, 1.0])
    assert found.difference == pytest.approx(5 / 3)
    assert all(map(math.isnan, found[1:]))
    assert all(map(math.isnan, compare_means([], [])))
    assert all(map(math.isnan, compare_information_ratios([1.0], [2.0], periods=252)))


def test_a_series_of_equal_values_has_no_ratio():
    own, other = make_pair()
    assert math.isnan(compare_information_ratios(own, np.zeros(600), periods=252).difference)
    assert math.isnan(compare_information_ratios(np.ones(600), other, periods=252).difference)


def test_a_series_beside_itself_has_no_difference_and_no_p_value():
    own, _ = make_pair()
    for found in (compare_means(own, own), compare_information_ratios(own, own, periods=252)):
        assert found[:3] == (0.0, 0.0, 0.0)
        assert math.isnan(found.p_value)


def test_series_of_other_lengths_are_refused():
    with pytest.raises(DataError, match="two of the same days"):
        compare_means([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="two of the same days"):
        compare_information_ratios([[1.0, 2.0]], [[1.0, 3.0]], periods=252)


@pytest.mark.parametrize(
    ("freedom", "size", "tails"), [(3, 3.182446, 0.05), (10, 2.228139, 0.05), (999, 1.962341, 0.05)]
)
def test_the_tails_are_those_beyond_the_quantile(freedom, size, tails):
    assert student_tails(size, freedom) == pytest.approx(tails, rel=1e-5)
    assert student_tails(student_quantile(0.995, freedom), freedom) == pytest.approx(0.01, rel=1e-9)
    assert student_tails(0.0, freedom) == pytest.approx(1.0)
    assert student_to_normal(size, freedom) == pytest.approx(1.959964, rel=1e-5)


def test_the_normal_value_of_what_is_sure_is_infinite():
    assert student_to_normal(math.inf, 10) == math.inf
    assert 30 < student_to_normal(1e100, 10) < math.inf
    assert student_to_normal(0.0, 10) == pytest.approx(0, abs=1e-9)
