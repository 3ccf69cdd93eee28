"""Sharpe ratios with their doubt: the published examples, to all printed digits."""

import math

import numpy as np
import pytest

from rollwright.analysis.honesty.maximum import expected_normal_maximum, measure_normal_maximum
from rollwright.analysis.honesty.sharpe import (
    ReturnMoments,
    critical_sharpe_ratio,
    deflated_sharpe_ratio,
    expected_maximum_sharpe_ratio,
    measure_returns,
    minimum_track_record_length,
    observed_false_discovery_rate,
    probabilistic_sharpe_ratio,
    sharpe_ratio_error,
    sharpe_ratio_power,
)
from rollwright.errors import DataError

# the example of 2014: an annual ratio of 2.5 over five years of 250 sessions, the best of 100 whose ratios vary by 1/2
EXAMPLE_2014 = ReturnMoments(count=1250, sharpe=2.5 / math.sqrt(250), skewness=-3, kurtosis=10)
DEVIATION_2014 = math.sqrt(0.5 / 250)
# the example of the new standard: a hedge fund's 24 months
EXAMPLE_2025 = ReturnMoments(count=24, sharpe=0.036 / 0.079, skewness=-2.448, kurtosis=10.164)
CORRELATED_2025 = ReturnMoments(count=24, sharpe=0.036 / 0.079, skewness=-2.448, kurtosis=10.164, autocorrelation=0.2)


@pytest.mark.parametrize(("count", "expected"), [(10, 1.574598), (100, 2.530603), (1000, 3.255122)])
def test_the_largest_of_many_normal_values_is_the_published_one(count, expected):
    assert expected_normal_maximum(count) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("count", "mean", "variance"),
    [
        (1, 0.0, 1.0),
        (2, 1 / math.sqrt(math.pi), 1 - 1 / math.pi),
        (3, 1.5 / math.sqrt(math.pi), 1 + math.sqrt(3) / (2 * math.pi) - 9 / (4 * math.pi)),
    ],
)
def test_few_normal_values_have_their_exact_maximum(count, mean, variance):
    found = measure_normal_maximum(count)
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert found.variance == pytest.approx(variance, abs=1e-12)
    assert expected_normal_maximum(count) == pytest.approx(mean, abs=1e-12)


def test_a_maximum_grows_with_a_fractional_number_of_trials_too():
    means = [expected_normal_maximum(count) for count in (1, 1.5, 2, 3.7, 4.99, 5.01, 40, 1e6)]
    assert means == sorted(means)
    assert len(set(means)) == len(means)


def test_the_deflated_ratio_of_2014_is_the_published_one():
    expected = expected_maximum_sharpe_ratio(100, deviation=DEVIATION_2014)
    assert expected == pytest.approx(0.1131720, abs=5e-8)
    assert deflated_sharpe_ratio(EXAMPLE_2014, trials=100, deviation=DEVIATION_2014) == pytest.approx(
        0.9003968, abs=5e-8
    )


@pytest.mark.parametrize(("trials", "expected"), [(46, 0.9505017), (88, 0.9101530)])
def test_fewer_trials_deflate_less(trials, expected):
    found = deflated_sharpe_ratio(EXAMPLE_2014, trials=trials, deviation=DEVIATION_2014)
    assert found == pytest.approx(expected, abs=5e-8)


def test_normal_returns_deflate_differently():
    normal = ReturnMoments(count=1250, sharpe=2.5 / math.sqrt(250))
    assert deflated_sharpe_ratio(normal, trials=100, deviation=DEVIATION_2014) == pytest.approx(0.9427706, abs=5e-8)


def test_the_two_standards_disagree_on_the_example_of_2014():
    new = deflated_sharpe_ratio(EXAMPLE_2014, trials=100, deviation=DEVIATION_2014, standard="2025")
    expected = expected_maximum_sharpe_ratio(100, deviation=DEVIATION_2014)
    by_its_variance = probabilistic_sharpe_ratio(EXAMPLE_2014, benchmark=expected, standard="2025")
    assert round(by_its_variance, 4) == 0.9128
    assert round(new, 4) == 0.9992


@pytest.mark.parametrize(
    ("periods", "years"), [(250, 2.7312), (52, 2.8288), (12, 3.2398)], ids=["daily", "weekly", "monthly"]
)
def test_the_length_of_record_of_2012_is_the_published_one(periods, years):
    moments = ReturnMoments(count=100, sharpe=2 / math.sqrt(periods))
    found = minimum_track_record_length(moments, benchmark=1 / math.sqrt(periods))
    assert found / periods == pytest.approx(years, abs=5e-5)


def test_a_skewed_record_must_be_longer():
    moments = ReturnMoments(count=100, sharpe=2 / math.sqrt(12), skewness=-0.72, kurtosis=5.78)
    found = minimum_track_record_length(moments, benchmark=1 / math.sqrt(12))
    assert found / 12 == pytest.approx(4.9913, abs=5e-5)


@pytest.mark.parametrize(
    ("skewness", "kurtosis", "benchmark", "expected"),
    [
        (-2.448, 10.164, 0.0, 0.91336),
        (-2.448, 10.164, 0.1, 0.85643),
        (0.0, 3.0, 0.0, 0.98167),
        (0.0, 3.0, 0.1, 0.94881),
    ],
)
def test_the_probabilistic_ratio_of_2012_is_the_published_one(skewness, kurtosis, benchmark, expected):
    moments = ReturnMoments(count=24, sharpe=0.458, skewness=skewness, kurtosis=kurtosis)
    assert probabilistic_sharpe_ratio(moments, benchmark=benchmark) == pytest.approx(expected, abs=5e-6)


def test_the_new_standard_gives_its_own_example():
    moments = EXAMPLE_2025
    assert sharpe_ratio_error(moments, standard="2025") == pytest.approx(0.32859, abs=5e-6)
    normal = ReturnMoments(count=24, sharpe=0.036 / 0.079)
    assert sharpe_ratio_error(normal, standard="2025") == pytest.approx(0.21446, abs=5e-6)
    assert probabilistic_sharpe_ratio(moments, standard="2025") == pytest.approx(0.98721, abs=5e-6)
    assert probabilistic_sharpe_ratio(moments, benchmark=0.1, standard="2025") == pytest.approx(0.93915, abs=5e-6)
    assert minimum_track_record_length(moments, standard="2025") == pytest.approx(13.0288, abs=5e-5)
    assert minimum_track_record_length(moments, benchmark=0.1, standard="2025") == pytest.approx(27.1092, abs=5e-5)
    assert critical_sharpe_ratio(moments) == pytest.approx(0.33575, abs=5e-6)
    assert sharpe_ratio_power(moments, true=0.5) == pytest.approx(0.68479, abs=5e-6)
    assert observed_false_discovery_rate(moments, true=0.5, prior=0.05) == pytest.approx(0.30586, abs=5e-6)
    assert expected_maximum_sharpe_ratio(10, deviation=math.sqrt(0.1)) == pytest.approx(0.49793, abs=5e-6)
    deflated = deflated_sharpe_ratio(moments, trials=10, deviation=math.sqrt(0.1), standard="2025")
    assert deflated == pytest.approx(0.41636, abs=5e-6)


def test_autocorrelation_widens_the_doubt_of_the_new_standard_only():
    moments = CORRELATED_2025
    assert sharpe_ratio_error(moments, standard="2025") == pytest.approx(0.37949, abs=5e-6)
    assert minimum_track_record_length(moments, standard="2025") == pytest.approx(19.5432, abs=5e-5)
    assert probabilistic_sharpe_ratio(moments, standard="2025") == pytest.approx(0.96583, abs=5e-6)
    assert critical_sharpe_ratio(moments) == pytest.approx(0.41121, abs=5e-6)
    assert sharpe_ratio_power(moments, true=0.5) == pytest.approx(0.58943, abs=5e-6)
    assert observed_false_discovery_rate(moments, true=0.5, prior=0.05) == pytest.approx(0.54367, abs=5e-6)
    assert probabilistic_sharpe_ratio(moments) == probabilistic_sharpe_ratio(EXAMPLE_2025)


def test_moments_are_those_of_the_returns_less_the_risk_free_rate():
    returns = np.array([0.01, -0.02, 0.03, 0.015, -0.005, 0.0])
    found = measure_returns(returns, risk_free=0.001)
    excess = returns - 0.001
    scaled = (excess - excess.mean()) / excess.std()
    assert found.count == 6
    assert found.sharpe == pytest.approx(excess.mean() / excess.std(ddof=1), rel=1e-12)
    assert found.skewness == pytest.approx((scaled**3).mean(), rel=1e-12)
    assert found.kurtosis == pytest.approx((scaled**4).mean(), rel=1e-12)
    assert found.autocorrelation == pytest.approx((scaled[1:] * scaled[:-1]).sum() / (scaled**2).sum(), rel=1e-12)


def test_a_record_below_its_benchmark_is_never_long_enough():
    assert minimum_track_record_length(EXAMPLE_2025, benchmark=0.5) == math.inf


@pytest.mark.parametrize(
    ("returns", "said"),
    [
        ([0.1, 0.2], "2 returns"),
        ([0.1, math.nan, 0.2, 0.3], "1 of 4 returns are not finite, the first at place 1"),
        ([0.1] * 5, "all 5 returns are 0.1"),
        ([[0.1, 0.2, 0.3]], "shape"),
    ],
)
def test_returns_without_a_ratio_are_refused(returns, said):
    with pytest.raises(DataError, match=said):
        measure_returns(returns)


def test_moments_that_no_returns_can_have_are_refused():
    with pytest.raises(DataError, match="no positive variance"):
        probabilistic_sharpe_ratio(ReturnMoments(count=50, sharpe=1.0, skewness=9.0, kurtosis=3.0))


@pytest.mark.parametrize("trials", [0, 0.5, math.inf, math.nan])
def test_fewer_trials_than_one_are_refused(trials):
    with pytest.raises(DataError, match="trials"):
        expected_maximum_sharpe_ratio(trials, deviation=0.1)
