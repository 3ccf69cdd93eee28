"""Ladders: wide windows from narrow ones, always in the same way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.expression.ladder import Ladder, newer, older, split
from rollwright.expression.moments import Counts, Moments
from rollwright.expression.quantiles import MEDIAN, Quantile, window_quantiles


def _levels(window: int) -> set[int]:
    return {window} if window == 1 else {window, *(level for part in split(window) for level in _levels(part))}


def test_the_usual_windows_share_seven_levels() -> None:
    shared = set().union(*(_levels(window) for window in (5, 10, 20, 30, 60)))
    assert sorted(shared) == [1, 2, 3, 5, 10, 20, 30, 60]


@given(st.integers(2, 100_000))
def test_a_window_is_the_sum_of_its_parts_and_needs_few_levels(window: int) -> None:
    a, b = split(window)
    assert a + b == window
    assert a >= b >= 1
    assert len(_levels(window)) <= 5 * window.bit_length()


@given(st.integers(1, 70), st.integers(0, 30))
def test_a_row_of_a_level_is_the_window_that_ends_there(window: int, more: int) -> None:
    rows = np.arange(window + more, dtype=np.float64)[:, None] ** 2
    found = Ladder(rows).at(window, lambda first, second, a, b: older(first, b) + newer(second, a))
    expected = [rows[row : row + window].sum() for row in range(more + 1)]
    np.testing.assert_array_equal(found[:, 0], expected)


@given(st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=40), st.integers(1, 40))
def test_moments_are_those_of_the_valid_rows(values: list[int | None], window: int) -> None:
    window = min(window, len(values))
    mask = np.array([[value is not None] for value in values])
    clean = np.array([[float(value or 0)] for value in values])
    moments = Moments(clean, Counts(mask))
    with np.errstate(all="ignore"):  # as the engine does: 0/0 is a value there
        sizes, means, squares = moments.counts.size(window), moments.mean(window), moments.square(window)
    for row in range(len(values) - window + 1):
        part = clean[row : row + window][mask[row : row + window]]
        assert sizes[row, 0] == len(part)
        if len(part):
            assert means[row, 0] == pytest.approx(part.mean(), abs=1e-12)
            assert squares[row, 0] == pytest.approx(part.var() * len(part), abs=1e-9)


def test_a_full_window_has_the_same_bits_with_and_without_a_mask() -> None:
    values = np.random.default_rng(4).normal(size=(90, 3))
    full = Moments(values, Counts(None))
    masked = Moments(values, Counts(np.ones(values.shape, np.bool_)))
    for window in (2, 5, 13, 60):
        assert full.square(window).tobytes() == masked.square(window).tobytes()
        assert full.trend(window).tobytes() == masked.trend(window).tobytes()
        assert np.unique(masked.counts.position(window).spread) == full.counts.position(window).spread


@pytest.mark.parametrize("window", [1, 2, 3, 7, 16, 45, 60, 127, 128, 129, 200])
@pytest.mark.parametrize("level", [Quantile(0.0), Quantile(0.2), MEDIAN, Quantile(0.8), Quantile(1.0)])
def test_order_statistics_by_network_are_those_of_sorting(window: int, level: Quantile) -> None:
    values = np.random.default_rng(window).integers(0, 40, (260, 2)).astype(np.float32)
    (found,) = window_quantiles(values, [(window, level)], np.float64)
    views = np.lib.stride_tricks.sliding_window_view(values.astype(np.float64), window, axis=0)
    np.testing.assert_allclose(found, np.quantile(views, level.at, axis=2), rtol=1e-12)
