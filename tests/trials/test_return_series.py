"""Returns as they are kept: rounded, compared, stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.errors import DataError
from rollwright.trials.return_series import ReturnSeries

DAYS = np.datetime64("2020-01-01") + np.arange(6)
RETURNS = [0.0, 0.01, -0.02, 0.004, 0.0, 0.003]


def test_a_series_keeps_its_returns_to_eight_digits():
    series = ReturnSeries.of(DAYS, [0.0, 0.0123456789, -0.02, 0.0, 0.0, 0.5])
    assert series.units.tolist() == [0, 1234568, -2000000, 0, 0, 50000000]
    assert series.returns[1] == 0.01234568


def test_a_series_comes_back_from_its_json_as_it_was():
    series = ReturnSeries.of(DAYS[[0, 1, 3, 4, 5]], RETURNS[:5])
    again = ReturnSeries.from_json(json.loads(json.dumps(series.to_json())))
    assert again.digest == series.digest
    assert (again.sessions == series.sessions).all()
    assert (again.units == series.units).all()


def test_noise_beneath_the_last_digit_makes_no_other_series():
    noisy = np.array(RETURNS) + 3e-10
    assert ReturnSeries.of(DAYS, noisy).digest == ReturnSeries.of(DAYS, RETURNS).digest


def test_a_return_at_the_edge_of_rounding_is_the_same_within_one_unit():
    edge = np.array(RETURNS)
    edge[1] = 0.012345675
    one, other = ReturnSeries.of(DAYS, edge + 1e-12), ReturnSeries.of(DAYS, edge - 1e-12)
    assert one.digest != other.digest
    assert one.extends(other)
    assert other.extends(one)
    moved = edge.copy()
    moved[1] += 3e-8
    assert not ReturnSeries.of(DAYS, moved).extends(one)


@given(st.integers(3, 40), st.integers(3, 40))
def test_of_one_strategy_exactly_the_longer_series_extends_the_shorter(short, long):
    values = np.random.default_rng(1).normal(0, 0.01, 40)
    days = np.datetime64("2020-01-01") + np.arange(40)
    one, other = (ReturnSeries.of(days[:count], values[:count]) for count in (short, long))
    assert other.extends(one) == (short <= long)


def test_other_sessions_are_another_series():
    assert not ReturnSeries.of(DAYS + 1, RETURNS).extends(ReturnSeries.of(DAYS, RETURNS))
    gap = DAYS.copy()
    gap[-1] += 1
    assert not ReturnSeries.of(gap, RETURNS).extends(ReturnSeries.of(DAYS, RETURNS))


@pytest.mark.parametrize(
    ("sessions", "returns", "word"),
    [
        (DAYS[:2], RETURNS[:2], "2 returns"),
        (DAYS, [*RETURNS[:5], float("nan")], "nan"),
        (DAYS, [*RETURNS[:5], float("inf")], "inf"),
        (DAYS, [*RETURNS[:5], 1e9], "1000000000"),
        (DAYS, [0.0] * 6, "the same"),
        (DAYS[::-1], RETURNS, "rise"),
        (np.repeat(DAYS[:3], 2), RETURNS, "rise"),
        (DAYS[:5], RETURNS, "one for each"),
        (DAYS.astype("datetime64[m]") + np.timedelta64(5, "m"), RETURNS, "less than a day"),
    ],
)
def test_what_is_no_series_of_returns_is_refused(sessions, returns, word):
    with pytest.raises(DataError, match=word):
        ReturnSeries.of(sessions, returns)


def hostile(**changes):
    return {**ReturnSeries.of(DAYS, RETURNS).to_json(), **changes}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        hostile(more=1),
        hostile(decimals=9),
        hostile(first="yesterday"),
        hostile(first="NaT"),
        hostile(first=5),
        hostile(steps=[1, 1, 1, 1]),
        hostile(steps=[1, 1, 1, 1, 0]),
        hostile(steps=[1, 1, 1, 1, -3]),
        hostile(steps=[1, 1, 1, 1, 10**13]),
        hostile(steps=[1, 1, 1, 1, 10**30]),
        hostile(steps="11111"),
        hostile(values=[1.5, 0, 0, 0, 0, 0]),
        hostile(values=[True, 0, 0, 0, 0, 0]),
        hostile(values=[None, 0, 0, 0, 0, 0]),
        hostile(values=[10**30, 0, 0, 0, 0, 0]),
        hostile(values=[[[]], 0, 0, 0, 0, 0]),
        hostile(values=[7] * 6),
        hostile(values=[0, 1] * 30_000, steps=[1] * 59_999),
    ],
)
def test_stored_text_that_is_no_series_is_a_value_error(value):
    with pytest.raises(ValueError, match=r"series|returns|sessions"):
        ReturnSeries.from_json(value)
