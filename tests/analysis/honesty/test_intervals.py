"""Intervals for the mean of dependent days."""

import math

import numpy as np
import pytest

from rollwright.analysis.honesty.intervals import estimate_mean, optimal_block_length
from rollwright.errors import DataError


def overlapping(seed, days, label_span, rho):
    """Return a daily series like ICs of labels over `label_span` sessions, with autocorrelation beneath."""
    noise = np.random.default_rng(seed).normal(size=days + label_span + 99)
    values = np.empty_like(noise)
    values[0] = noise[0]
    for day in range(1, len(noise)):
        values[day] = rho * values[day - 1] + noise[day]
    return np.convolve(values, np.ones(label_span) / label_span, "valid")[-days:]


def test_independent_days_give_nearly_the_plain_error():
    values = np.random.default_rng(5).normal(0.03, 0.1, 2000)
    found = estimate_mean(values)
    assert found.error == pytest.approx(0.1 / math.sqrt(2000), rel=0.15)
    assert found.lower < found.mean < found.upper
    assert found.mean == pytest.approx(values.mean())


def test_the_error_is_that_of_drawing_circular_blocks():
    values = overlapping(3, 240, 5, 0.3)
    found = estimate_mean(values, label_span=5)
    rng = np.random.default_rng(0)
    whole = 240 // found.block
    starts = rng.integers(0, 240, (20_000, whole))
    means = values[(starts[..., None] + np.arange(found.block)) % 240].reshape(len(starts), -1).mean(axis=1)
    blocks = 240 / found.block
    drawn = means.std() * math.sqrt(whole / blocks) * math.sqrt(blocks / (blocks - 1))
    assert found.error == pytest.approx(drawn, rel=0.02)


@pytest.mark.parametrize("label_span", [1, 5, 20])
def test_a_block_is_no_shorter_than_the_label(label_span):
    values = np.random.default_rng(7).normal(size=600)
    assert estimate_mean(values, label_span=label_span).block >= label_span


@pytest.mark.parametrize(("label_span", "rho"), [(1, 0.0), (5, 0.6), (20, 0.3)])
def test_intervals_cover_about_as_often_as_they_say(label_span, rho):
    covered = [
        found.lower <= 0 <= found.upper
        for found in (
            estimate_mean(overlapping(seed, 500, label_span, rho), label_span=label_span) for seed in range(300)
        )
    ]
    assert 0.91 < np.mean(covered) < 0.985


@pytest.mark.parametrize(("blocks", "reach"), [(4, 3.182446), (11, 2.228139), (1000, 1.962341)])
def test_the_interval_is_student_s(blocks, reach):
    values = np.random.default_rng(blocks).normal(size=blocks * 40)
    found = estimate_mean(values, label_span=20)
    assert found.block == 40
    assert (found.upper - found.mean) / found.error == pytest.approx(reach, abs=2e-6)


def test_days_without_a_value_are_left_out():
    values = np.random.default_rng(8).normal(size=300)
    holed = np.insert(values, [0, 100, 300], math.nan)
    assert estimate_mean(holed) == estimate_mean(values)


def test_too_few_days_say_nothing():
    assert estimate_mean(np.arange(15.0)) is None
    assert estimate_mean(np.random.default_rng(1).normal(size=100), label_span=20) is None


def test_equal_days_have_no_doubt():
    found = estimate_mean(np.full(100, 0.25))
    assert (found.lower, found.mean, found.upper) == (0.25, 0.25, 0.25)


def test_the_block_length_of_an_autoregressive_series_is_its_closed_form():
    values = overlapping(11, 200_000, 1, 0.5)
    closed = (2 * 0.5 / (1 - 0.25)) ** (2 / 3) * (3 / 2 * 200_000) ** (1 / 3)
    assert optimal_block_length(values) == pytest.approx(closed, rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"label_span": 0}, "0 sessions"), ({"level": 1.0}, "level 1.0"), ({"level": -0.5}, "level -0.5")],
)
def test_arguments_that_mean_nothing_are_refused(arguments, said):
    with pytest.raises(DataError, match=said):
        estimate_mean(np.random.default_rng(1).normal(size=100), **arguments)


def test_an_infinite_value_is_refused():
    with pytest.raises(DataError, match="infinite"):
        estimate_mean(np.array([1.0] * 40 + [math.inf]))
