"""Confidence sets and differences of models equal arch, given the same draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.honesty.block_draws import BlockDraws
from rollwright.analysis.honesty.confidence_set import find_confidence_set
from rollwright.analysis.honesty.intervals import estimate_mean
from rollwright.analysis.honesty.student import student_quantile, student_tails

pytest.importorskip("statsmodels", reason="not run: no oracles, see `make oracles`")

from arch.bootstrap import MCS, CircularBlockBootstrap
from scipy import stats


def losses_of_arch(seed, days=250, models=4, spread=0.0):
    """Return the losses of arch's own examples: squared errors of forecasts that are ever worse."""
    rng = np.random.RandomState(seed)
    noise = rng.standard_normal((days, models))
    common = rng.standard_normal((days, 1)) * 0.5
    return (common + noise) ** 2 + np.linspace(0, spread, models)


@pytest.mark.parametrize("bootstrap", ["stationary", "circular", "moving block"])
@pytest.mark.parametrize(("statistic", "method"), [("range", "R"), ("max", "max")])
@pytest.mark.parametrize(("models", "spread"), [(2, 0.0), (4, 0.3), (12, 1.0), (20, 0.1)])
def test_the_confidence_set_is_that_of_arch(bootstrap, statistic, method, models, spread):
    losses = losses_of_arch(23456, models=models, spread=spread)
    wanted = MCS(losses, 0.1, reps=300, block_size=12, method=method, bootstrap=bootstrap, seed=7)
    wanted.compute()
    places = np.array(wanted._bootstrap_indices)  # the only way to the same draws
    values = -losses
    found = find_confidence_set(values.mean(axis=0), values[places].mean(axis=1), statistic=statistic)
    np.testing.assert_allclose(found.p_values, wanted.pvalues["Pvalue"].sort_index().to_numpy(), atol=1e-12)
    assert [model for group in found.order for model in group] == list(wanted.pvalues.index)
    assert np.flatnonzero(found.members(0.9)).tolist() == wanted.included


def test_the_set_of_a_frame_of_arch_s_documentation_is_the_same():
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((1000, 2))
    target = factors.sum(axis=1) + rng.standard_normal(1000)
    forecasts = {f"model{number}": factors @ np.array([1.0, number / 10]) for number in range(10)}
    losses = pd.DataFrame({name: (target - each) ** 2 for name, each in forecasts.items()})
    wanted = MCS(losses, size=0.10, seed=3)
    wanted.compute()
    values = -losses.to_numpy()
    found = find_confidence_set(
        values.mean(axis=0), values[np.array(wanted._bootstrap_indices)].mean(axis=1), statistic="range"
    )
    assert [losses.columns[place] for place in np.flatnonzero(found.members(0.9))] == wanted.included
    for name, p_value in wanted.pvalues["Pvalue"].items():
        assert found.p_values[losses.columns.get_loc(name)] == pytest.approx(p_value, abs=1e-12)


def test_draws_of_paired_means_are_those_of_arch():
    values = np.random.default_rng(5).normal(size=(203, 2))
    bootstrap = CircularBlockBootstrap(10, values, seed=9)
    places, wanted = [], []
    for (drawn,), _ in bootstrap.bootstrap(200):
        places.append(np.asarray(bootstrap._index))
        wanted.append(drawn.mean(axis=0))
    places = np.array(places)
    draws = BlockDraws(days=203, block=10, starts=np.ascontiguousarray(places[:, ::10]))
    np.testing.assert_array_equal(draws.indices(), places)
    np.testing.assert_allclose(draws.means(values), wanted, atol=1e-14)
    difference = draws.means(values) @ [1.0, -1.0]
    again = CircularBlockBootstrap(10, values, seed=9)
    ends = again.conf_int(lambda rows: rows.mean(axis=0) @ [1.0, -1.0], reps=200, method="percentile", size=0.9)
    np.testing.assert_allclose(np.percentile(difference, [5, 95]), ends.ravel(), atol=1e-14)


def test_the_error_of_a_difference_is_that_of_many_draws_of_arch():
    rng = np.random.default_rng(6)
    differences = np.convolve(rng.normal(size=404), np.ones(5), "valid")
    found = estimate_mean(differences, label_span=5)
    blocks = found.days / found.block
    means = CircularBlockBootstrap(found.block, differences, seed=1).apply(np.mean, 20_000)
    assert found.error * np.sqrt((blocks - 1) / blocks) == pytest.approx(means.std(), rel=0.03)


@pytest.mark.parametrize("freedom", [3.0, 7.5, 40.0, 2000.0])
@pytest.mark.parametrize("size", [0.1, 1.0, 3.0, 8.0, 30.0])
def test_student_s_distribution_is_that_of_scipy(freedom, size):
    assert student_tails(size, freedom) == pytest.approx(2 * stats.t.sf(size, freedom), rel=1e-8, abs=1e-200)
    assert student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-10)
