"""Sharpe ratios and what is left of them equal jsharpe and holdout-backtest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rollwright.analysis.honesty.maximum import expected_normal_maximum, measure_normal_maximum
from rollwright.analysis.honesty.overfitting import probability_of_backtest_overfitting
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
from rollwright.analysis.honesty.trial_count import correlate_trials, count_trials

pytest.importorskip("holdout", reason="not run: no oracles, see `make oracles`")

import holdout.deflated
import holdout.pbo
import holdout.trials
import jsharpe
from holdout.moments import moments
from jsharpe.sharpe import moments_Mk

TIGHT = {"rel": 1e-10, "abs": 1e-13}
CASES = [
    ReturnMoments(count=1250, sharpe=2.5 / math.sqrt(250), skewness=-3, kurtosis=10),
    ReturnMoments(count=24, sharpe=0.036 / 0.079, skewness=-2.448, kurtosis=10.164),
    ReturnMoments(count=24, sharpe=0.036 / 0.079, skewness=-2.448, kurtosis=10.164, autocorrelation=0.2),
    ReturnMoments(count=600, sharpe=0.05, skewness=0.4, kurtosis=4.0, autocorrelation=-0.1),
]


def shape(one):
    return {"skewness": one.skewness, "kurtosis": one.kurtosis}


def greek(one):
    return {"gamma3": one.skewness, "gamma4": one.kurtosis, "rho": one.autocorrelation}


@pytest.mark.parametrize("one", CASES)
@pytest.mark.parametrize("benchmark", [0.0, 0.02])
def test_the_standard_of_2012_is_that_of_holdout(one, benchmark):
    found = probabilistic_sharpe_ratio(one, benchmark=benchmark)
    wanted = holdout.deflated.probabilistic_sharpe_ratio(one.sharpe, one.count, benchmark=benchmark, **shape(one))
    assert found == pytest.approx(wanted, **TIGHT)
    found = minimum_track_record_length(one, benchmark=benchmark)
    wanted = holdout.deflated.minimum_track_record_length(one.sharpe, benchmark=benchmark, **shape(one))
    assert found == pytest.approx(wanted, **TIGHT)


@pytest.mark.parametrize("one", CASES)
@pytest.mark.parametrize("trials", [5, 10, 100, 1000])
def test_deflated_ratios_of_2014_are_those_of_holdout(one, trials):
    expected = expected_maximum_sharpe_ratio(trials, deviation=0.04, mean=0.01)
    wanted = holdout.deflated.expected_maximum_sharpe(trials, 0.04**2, mean=0.01)
    assert expected == pytest.approx(wanted, **TIGHT)
    found = deflated_sharpe_ratio(one, trials=trials, deviation=0.04)
    wanted = holdout.deflated.deflated_sharpe_ratio(
        one.sharpe, one.count, n_trials=trials, trials_variance=0.04**2, **shape(one)
    )
    assert found == pytest.approx(wanted, **TIGHT)


def test_the_largest_of_few_normal_values_is_exact():
    for count in (1, 2, 3, 4):
        wanted = holdout.deflated.expected_maximum_normal(count)
        assert expected_normal_maximum(count) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("one", CASES)
@pytest.mark.parametrize("benchmark", [0.0, 0.02])
def test_the_standard_of_2025_is_that_of_jsharpe(one, benchmark):
    variance = jsharpe.sharpe_ratio_variance(benchmark, one.count, **greek(one))
    assert sharpe_ratio_error(one, standard="2025", at=benchmark) == pytest.approx(math.sqrt(variance), **TIGHT)
    found = probabilistic_sharpe_ratio(one, benchmark=benchmark, standard="2025")
    wanted = jsharpe.probabilistic_sharpe_ratio(one.sharpe, benchmark, T=one.count, **greek(one))
    assert found == pytest.approx(wanted, **TIGHT)
    found = minimum_track_record_length(one, benchmark=benchmark, standard="2025")
    assert found == pytest.approx(jsharpe.minimum_track_record_length(one.sharpe, benchmark, **greek(one)), **TIGHT)
    found = critical_sharpe_ratio(one, benchmark=benchmark)
    assert found == pytest.approx(jsharpe.critical_sharpe_ratio(benchmark, one.count, **greek(one)), **TIGHT)
    found = sharpe_ratio_power(one, true=0.5, benchmark=benchmark)
    assert found == pytest.approx(jsharpe.sharpe_ratio_power(benchmark, 0.5, one.count, **greek(one)), **TIGHT)
    found = observed_false_discovery_rate(one, true=0.5, prior=0.05, benchmark=benchmark)
    assert found == pytest.approx(jsharpe.oFDR(one.sharpe, benchmark, 0.5, one.count, 0.05, **greek(one)), **TIGHT)


def test_moments_are_those_of_holdout():
    returns = np.random.default_rng(1).standard_t(5, 700) * 0.01 + 0.0005
    found, wanted = measure_returns(returns), moments(returns)
    assert (found.skewness, found.kurtosis) == pytest.approx((wanted.skewness, wanted.kurtosis), rel=1e-10)


@pytest.mark.parametrize("blocks", [4, 8, 10])
def test_overfitting_is_that_of_holdout(blocks):
    returns = np.random.default_rng(blocks).normal(size=(400, 12)) * 0.01
    found = probability_of_backtest_overfitting(returns, blocks=blocks)
    wanted = holdout.pbo.probability_of_backtest_overfitting(returns, n_blocks=blocks)
    assert found.probability == pytest.approx(wanted.pbo, abs=1e-12)
    np.testing.assert_allclose(np.sort(found.logits), np.sort(wanted.logits), rtol=1e-10, atol=1e-12)


def test_effective_numbers_of_trials_are_those_of_holdout():
    rng = np.random.default_rng(2)
    returns = rng.normal(size=(500, 10))
    returns[:, :6] += 3 * rng.normal(size=(500, 1))
    correlations = correlate_trials(returns)
    np.testing.assert_allclose(correlations, holdout.trials.trial_correlation(returns), atol=1e-12)
    found = count_trials(correlations)
    for value, method in (
        (found.by_average, "average"),
        (found.by_eigenvalues, "eigenvalue"),
        (found.by_participation, "participation"),
    ):
        assert value == pytest.approx(holdout.trials.effective_number_of_trials(correlations, method=method), **TIGHT)


def test_the_variance_of_the_largest_is_that_of_jsharpe():
    for count in (1, 2, 10, 100):
        assert measure_normal_maximum(count).variance == pytest.approx(moments_Mk(count)[2], rel=1e-6)
