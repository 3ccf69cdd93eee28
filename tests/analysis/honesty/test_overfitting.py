"""The probability of back-test overfitting, beside a reading of its definition that slices the returns."""

import itertools
import math

import numpy as np
import pytest

from rollwright.analysis.honesty.overfitting import probability_of_backtest_overfitting
from rollwright.errors import DataError


def by_definition(returns, blocks):
    """Return the logits by taking every half of the history apart."""
    pieces = np.array_split(np.arange(len(returns)), blocks)
    logits = []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        inside = np.concatenate([pieces[block] for block in chosen])
        outside = np.setdiff1d(np.arange(len(returns)), inside)
        ratio_in = returns[inside].mean(axis=0) / returns[inside].std(axis=0, ddof=1)
        ratio_out = returns[outside].mean(axis=0) / returns[outside].std(axis=0, ddof=1)
        rank = 1 + (ratio_out < ratio_out[ratio_in.argmax()]).sum()
        share = rank / (returns.shape[1] + 1)
        logits.append(math.log(share / (1 - share)))
    return np.array(logits)


@pytest.mark.parametrize(("periods", "blocks"), [(60, 4), (67, 6), (103, 8)])
def test_block_sums_give_what_slices_give(periods, blocks):
    returns = np.random.default_rng(periods).normal(5.0, 1.0, (periods, 7))
    found = probability_of_backtest_overfitting(returns, blocks=blocks)
    expected = by_definition(returns, blocks)
    np.testing.assert_allclose(found.logits, expected, rtol=1e-12)
    assert found.probability == (expected <= 0).mean()


def test_noise_gives_about_a_half():
    found = [
        probability_of_backtest_overfitting(np.random.default_rng(seed).normal(size=(320, 20)), blocks=8).probability
        for seed in range(30)
    ]
    assert 0.4 < np.mean(found) < 0.6


def test_a_true_edge_is_not_overfitting():
    returns = np.random.default_rng(1).normal(size=(1000, 50))
    returns[:, 17] += 0.3
    found = probability_of_backtest_overfitting(returns)
    assert found.probability < 0.01
    assert set(found.winners) == {17}


def test_equal_means_over_the_whole_are_always_overfitting():
    returns = np.random.default_rng(2).normal(size=(480, 12))
    found = probability_of_backtest_overfitting(returns - returns.mean(axis=0))
    assert found.probability == 1
    assert found.probability_of_loss == 1


@pytest.mark.parametrize("blocks", [0, 3, 22, -2])
def test_blocks_that_give_no_halves_are_refused(blocks):
    with pytest.raises(DataError, match=f"{blocks} blocks"):
        probability_of_backtest_overfitting(np.ones((100, 3)), blocks=blocks)


def test_a_strategy_that_stands_still_in_a_half_is_named():
    returns = np.random.default_rng(3).normal(size=(64, 4))
    returns[:32, 2] = 0.0
    with pytest.raises(DataError, match="strategy 2"):
        probability_of_backtest_overfitting(returns, blocks=4)


def test_a_missing_return_is_named_with_its_place():
    returns = np.ones((64, 4))
    returns[5, 3] = np.nan
    with pytest.raises(DataError, match="trial 3 in period 5"):
        probability_of_backtest_overfitting(returns, blocks=4)
