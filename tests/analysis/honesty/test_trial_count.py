"""How many trials correlated ones amount to."""

from pathlib import Path

import numpy as np
import pytest

from rollwright.analysis.honesty.trial_count import correlate_trials, count_trials
from rollwright.errors import DataError


def blocks_of_copies(*sizes):
    matrix = np.zeros((sum(sizes), sum(sizes)))
    start = 0
    for size in sizes:
        matrix[start : start + size, start : start + size] = 1
        start += size
    return matrix


def test_free_trials_count_each():
    found = count_trials(np.eye(7))
    assert (found.raw, found.by_average, found.by_eigenvalues, found.by_participation) == (7, 7.0, 7.0, 7.0)


def test_copies_count_as_one():
    found = count_trials(np.ones((6, 6)))
    assert found.raw == 6
    assert found.by_average == pytest.approx(1)
    assert found.by_eigenvalues == pytest.approx(1)
    assert found.by_participation == pytest.approx(1)


def test_the_three_ways_disagree_where_structure_matters():
    found = count_trials(blocks_of_copies(6, 1, 1, 1, 1))
    assert found.by_average == pytest.approx(7.0, abs=0.05)
    assert found.by_eigenvalues == pytest.approx(5.0)
    assert found.by_participation == pytest.approx(2.5)


@pytest.mark.parametrize(("likeness", "wanted"), [(1.0, [7.0, 5.0, 2.5]), (0.99, [7.0, 6.0, 2.5])])
def test_copies_and_near_copies_amount_to_what_the_page_says(likeness, wanted):
    matrix = np.eye(10)
    matrix[:6, :6] += likeness * (1 - np.eye(6))
    found = count_trials(matrix)
    ways = [found.by_average, found.by_eigenvalues, found.by_participation]
    assert [round(one, 1) for one in ways] == wanted
    page = (Path(__file__).parents[3] / "docs/honest-numbers.md").read_text(encoding="utf-8")
    assert f"to {wanted[0]}, {wanted[1]} or {wanted[2]}" in " ".join(page.split())


def test_two_sets_of_five_copies():
    found = count_trials(blocks_of_copies(5, 5))
    assert found.by_average == pytest.approx(6.0)
    assert found.by_eigenvalues == pytest.approx(2.0)
    assert found.by_participation == pytest.approx(2.0)


def test_correlations_are_those_of_the_columns():
    returns = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_allclose(correlate_trials(returns)[0, 1], np.corrcoef(returns[:, 0], returns[:, 1])[0, 1])
    assert correlate_trials(returns[:, :1]).shape == (1, 1)


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "symmetric"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "not finite"),
        (np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]), "eigenvalue"),
    ],
)
def test_what_is_no_correlation_matrix_is_refused(matrix, said):
    with pytest.raises(DataError, match=said):
        count_trials(matrix)


def test_a_trial_that_never_moves_is_named():
    returns = np.random.default_rng(1).normal(size=(50, 3))
    returns[:, 1] = 0.25
    with pytest.raises(DataError, match=r"trial 1 are 0\.25"):
        correlate_trials(returns)
