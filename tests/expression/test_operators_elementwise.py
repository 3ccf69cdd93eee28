"""Arithmetic, comparison, logic and choice; other instruments; cross-sections; periods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.trading import TradingCalendar
from rollwright.testing.market import ArraySource, expression_values

NAN, INF = float("nan"), float("inf")
X = np.array([[1, -2, NAN, 0, 3.5, -0.1, 1e15, 2]], np.float32).T
Y = np.array([[2, -2, 1, NAN, 0, 0.3, 1e15, 2]], np.float32).T


def value(text: str) -> np.ndarray:
    return expression_values(ArraySource({"x": X, "y": Y}, ["A"]), text)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$x+$y", lambda: X + Y),
        ("$x-$y", lambda: X - Y),
        ("$x*$y", lambda: X * Y),
        ("$x/$y", lambda: X / Y),
        ("$x*1e-12", lambda: X * np.float32(1e-12)),
        ("1-$x", lambda: 1 - X),
        ("-$x", lambda: -X),
        ("$x**2", lambda: X**2),
        ("Power($x,0)", lambda: X**0),
        ("Abs($x)", lambda: np.abs(X)),
        ("Sign($x)", lambda: np.sign(X)),
        ("Sign($x>0)", lambda: (X > 0).astype(float)),
        ("Log($x)", lambda: np.log(X)),
        ("Greater($x,$y)", lambda: np.maximum(X, Y)),
        ("Less($x,1)", lambda: np.minimum(X, np.float32(1))),
        ("$x>$y", lambda: X > Y),
        ("$x>=$y", lambda: X >= Y),
        ("$x<0.3", lambda: np.less(X, np.float32(0.3))),
        ("$x<=$y", lambda: X <= Y),
        ("$x==$y", lambda: X == Y),
        ("$x!=$y", lambda: X != Y),
        ("Not($x>$y)", lambda: ~(X > Y)),
        ("($x>0)&($y>0)", lambda: (X > 0) & (Y > 0)),
        ("($x>0)|($y>0)", lambda: (X > 0) | (Y > 0)),
        ("If($x>$y,$x,$y)", lambda: np.where(X > Y, X, Y)),
        ("If($x>0,1,-1)", lambda: np.where(X > 0, 1, -1)),
        ("($x>0)+($y>0)", lambda: (X > 0) | (Y > 0)),
        ("($x>0)*$y", lambda: (X > 0) * Y),
        ("Ref($x>0,1)", lambda: np.vstack([[[NAN]], (X > 0)[:-1]])),
    ],
)
def test_elementwise_operators_are_those_of_single_precision(text: str, expected: Callable[[], np.ndarray]) -> None:
    with np.errstate(all="ignore"):
        wanted = np.asarray(expected(), np.float32)
    np.testing.assert_array_equal(value(text), wanted)


def test_truth_values_of_numbers_count_what_is_neither_zero_nor_missing() -> None:
    np.testing.assert_array_equal(value("$x&1"), (~np.isnan(X) & (X != 0)).astype(np.float32))


@pytest.fixture
def panel() -> tuple[ArraySource, pd.DataFrame]:
    rng = np.random.default_rng(8)
    values = rng.integers(0, 5, (40, 12)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = NAN
    values[3] = NAN
    values[4, 1:] = NAN
    values[5, 2] = INF
    names = [f"S{index:02}" for index in range(12)]
    group = np.tile(np.arange(12) % 3, (40, 1)).astype(np.float32)
    group[:, 11] = NAN
    frame = pd.DataFrame(values, columns=names).replace(INF, NAN).astype(float)
    return ArraySource({"x": values, "sector": group}, names), frame


def test_cross_sections_are_over_all_instruments_with_a_value(panel: tuple[ArraySource, pd.DataFrame]) -> None:
    source, frame = panel
    rank, score, distance = expression_values(source, "CSRank($x)", "CSZScore($x)", "CSDemean($x)")
    np.testing.assert_allclose(rank, frame.rank(axis=1, pct=True), rtol=1e-6)
    np.testing.assert_allclose(distance, frame.sub(frame.mean(axis=1), axis=0), rtol=1e-5, atol=1e-6)
    expected = frame.sub(frame.mean(axis=1), axis=0).div(frame.std(axis=1), axis=0)
    np.testing.assert_allclose(score, expected, rtol=1e-5, atol=1e-6)


def test_cross_sections_by_group_leave_out_who_has_none(panel: tuple[ArraySource, pd.DataFrame]) -> None:
    source, frame = panel
    rank, distance = expression_values(source, "CSRank($x,$sector)", "CSDemean($x,$sector)")
    for group in range(3):
        columns = [column for column in range(11) if column % 3 == group]
        part = frame.iloc[:, columns]
        np.testing.assert_allclose(rank[:, columns], part.rank(axis=1, pct=True), rtol=1e-6)
        np.testing.assert_allclose(distance[:, columns], part.sub(part.mean(axis=1), axis=0), rtol=1e-5, atol=1e-6)
    assert np.isnan(rank[:, 11]).all()


def test_another_instruments_values_stand_beside_ones_own() -> None:
    values = np.arange(12.0).reshape(6, 2)
    source = ArraySource({"x": values}, ["IDX", "S"], bounds=np.array([[0, 6], [2, 6]]))
    other, mask, mean = expression_values(
        source, "ChangeInstrument('IDX',$x)", "Mask($x,'idx')", "$x-ChangeInstrument('IDX',Mean($x,2))"
    )
    np.testing.assert_array_equal(other[:, 0], values[:, 0])
    np.testing.assert_array_equal(other[:, 1], [0, 2, 4, 6, 8, 10])
    np.testing.assert_array_equal(mask, other)
    np.testing.assert_array_equal(mean[:, 1], [NAN, NAN, 2, 2, 2, 2])


@pytest.mark.parametrize("function", ["first", "last", "max", "min", "sum", "mean", "count"])
@pytest.mark.parametrize(("period", "rule"), [("W", "W-SUN"), ("M", "M"), ("Q", "Q"), ("Y", "Y"), ("D", "D")])
def test_a_period_is_summed_up_to_the_session_itself(period: str, rule: str, function: str) -> None:
    days = pd.bdate_range("2021-11-01", periods=90)
    values = np.random.default_rng(2).normal(size=90).astype(np.float32)
    values[[0, 7, 8, 40]] = NAN
    source = ArraySource({"x": values[:, None]}, ["A"], calendar=TradingCalendar(days))
    (found,) = expression_values(source, f"TResample($x,'{period}','{function}')")
    groups = pd.Series(values, index=days).astype(float).groupby(days.to_period(rule), group_keys=False)

    def so_far(part: pd.Series) -> pd.Series:
        known = [part.iloc[: row + 1].dropna() for row in range(len(part))]
        picks = {"first": lambda past: past.iloc[0], "last": lambda past: past.iloc[-1]}
        pick = picks.get(function, lambda past: getattr(past, function)())
        return pd.Series([pick(past) if len(past) else NAN for past in known], index=part.index)

    np.testing.assert_allclose(found[:, 0], groups.apply(so_far), rtol=1e-5, atol=1e-6)
