"""Every windowed operator against one Python function on one window at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.errors import ExpressionError
from rollwright.expression.parser import parse
from rollwright.testing.market import ArraySource, expression_values

Window = np.ndarray
NAN, INF = float("nan"), float("inf")


def one_series(values: Sequence[float], *expressions: str, first: int = 0) -> np.ndarray:
    """Return ``[expressions, sessions]`` of one instrument whose ``$x`` is `values`, listed at `first`."""
    column = np.array(values, dtype=np.float32)[:, None]
    source = ArraySource({"x": column}, ["A"], bounds=np.array([[first, len(values)]]))
    return expression_values(source, *expressions)[:, :, 0]


def rolling(series: np.ndarray, window: int, function: Callable[[Window], float], *, first: int = 0) -> np.ndarray:
    """Return `function` of each window of a series; infinities are no values."""
    clean = np.where(np.isfinite(series), series, np.nan).astype(np.float64)
    result = np.full(len(series), np.nan)
    for row in range(first, len(series)):
        low = first if window == 0 else max(first, row - window + 1)
        part = clean[low : row + 1]
        if not np.isnan(part).all():
            result[row] = function(part)
    return result


def valid(window: Window) -> Window:
    return window[~np.isnan(window)]


def _variance(window: Window) -> float:
    values = valid(window)
    return float(values.var(ddof=1)) if len(values) > 1 else float("nan")


def _line(window: Window) -> tuple[float, float, float]:
    """Return slope, residual of the last row, and share explained."""
    places = np.arange(len(window), dtype=np.float64)[~np.isnan(window)]
    values = valid(window)
    if len(values) < 2:
        return float("nan"), float("nan"), float("nan")
    x, y = places - places.mean(), values - values.mean()
    slope = (x * y).sum() / (x * x).sum()
    residual = window[-1] - (values.mean() + slope * (len(window) - 1 - places.mean()))
    share = float("nan") if (y * y).sum() == 0 else (x * y).sum() ** 2 / ((x * x).sum() * (y * y).sum())
    return float(slope), float(residual), float(share)


def _moment(window: Window, power: int) -> float:
    values = valid(window)
    return float(((values - values.mean()) ** power).mean())


def _skewness(window: Window) -> float:
    size = len(valid(window))
    if size < 3 or _moment(window, 2) == 0:
        return float("nan")
    return float(np.sqrt(size * (size - 1)) / (size - 2) * _moment(window, 3) / _moment(window, 2) ** 1.5)


def _kurtosis(window: Window) -> float:
    size = len(valid(window))
    if size < 4 or _moment(window, 2) == 0:
        return float("nan")
    ratio = _moment(window, 4) / _moment(window, 2) ** 2
    return float((size - 1) / ((size - 2) * (size - 3)) * ((size + 1) * ratio - 3 * (size - 1)))


def _rank(window: Window) -> float:
    last, values = window[-1], valid(window)
    return (
        float("nan") if np.isnan(last) else (2 * (values < last).sum() + (values == last).sum() + 1) / 2 / len(values)
    )


def _place(window: Window, pick: Callable[[Window], int]) -> float:
    gaps = np.isnan(window)
    return float((gaps.argmax() if gaps.any() else pick(window)) + 1)


def _weighted(window: Window) -> float:
    weights = np.arange(1, len(window) + 1) / (len(window) * (len(window) + 1) / 2)
    return float(np.nanmean(weights * window))


OPERATORS: dict[str, Callable[[Window], float]] = {
    "Sum": lambda window: float(valid(window).sum()),
    "Mean": lambda window: float(valid(window).mean()),
    "Std": lambda window: float(np.sqrt(_variance(window))),
    "Var": _variance,
    "Skew": _skewness,
    "Kurt": _kurtosis,
    "Max": lambda window: float(valid(window).max()),
    "Min": lambda window: float(valid(window).min()),
    "IdxMax": lambda window: _place(window, lambda found: int(found.argmax())),
    "IdxMin": lambda window: _place(window, lambda found: int(found.argmin())),
    "Med": lambda window: float(np.median(valid(window))),
    "Mad": lambda window: float(np.abs(valid(window) - valid(window).mean()).mean()),
    "Rank": _rank,
    "Slope": lambda window: _line(window)[0],
    "Resi": lambda window: _line(window)[1],
    "Rsquare": lambda window: _line(window)[2],
    "WMA": _weighted,
}
SHORTEST = {"Skew": 3, "Kurt": 4}


SERIES = {
    "plain": ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3], 0),
    "late": ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3], 5),
    "gaps": ([NAN, 1, NAN, NAN, NAN, NAN, NAN, 6, 5, NAN, 5, 8, 9, NAN, 9, 3], 0),
    "gaps at the listing": ([0, 0, NAN, NAN, 5, 9, 2, 6, 5, 3, NAN, NAN, NAN, 7, 9, 3], 2),
    "infinities": ([3, INF, 4, 1, -INF, 9, 2, 6, INF, INF, INF, 8, 9, 7, 9, 3], 0),
    "flat": ([2.1] * 9 + [7.3] * 7, 0),
    "nothing": ([NAN] * 16, 0),
    "negative": ([-1.5, 2.5, -3.25, 0, 0, -0.5, 7, -7, 1e-3, -1e3, 4, 4, -4, 4, 0, 0], 1),
}


CALLS = [
    (name, window)
    for name in OPERATORS
    for window in (0, 1, 2, 3, 4, 5, 7, 12, 30)
    if not 0 < window < SHORTEST.get(name, 0)
]


@pytest.mark.parametrize(("name", "window"), CALLS)
@pytest.mark.parametrize("case", SERIES)
def test_an_operator_equals_its_definition_on_every_window(name: str, case: str, window: int) -> None:
    values, first = SERIES[case]
    series = np.array(values, np.float32)
    expected = rolling(series, window, OPERATORS[name], first=first)
    (found,) = one_series(values, f"{name}($x,{window})", first=first)
    np.testing.assert_allclose(found, expected.astype(np.float32), rtol=2e-6, atol=2e-5, equal_nan=True)


@pytest.mark.parametrize("level", [0, 0.2, 0.5, 0.8, 1])
@pytest.mark.parametrize("window", [0, 1, 2, 5, 6, 13, 30, 150])
@pytest.mark.parametrize("case", SERIES)
def test_a_quantile_lies_between_the_ranks_around_it(case: str, window: int, level: float) -> None:
    values, first = SERIES[case]
    expected = rolling(
        np.array(values, np.float32), window, lambda found: float(np.quantile(valid(found), level)), first=first
    )
    (found,) = one_series(values, f"Quantile($x,{window},{level})", first=first)
    np.testing.assert_allclose(found, expected.astype(np.float32), rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize("window", [0, 1, 3, 8])
@pytest.mark.parametrize("case", SERIES)
def test_count_takes_infinities_for_values_and_starts_at_the_listing(case: str, window: int) -> None:
    values, first = SERIES[case]
    present = ~np.isnan(np.array(values)) & (np.arange(len(values)) >= first)
    width = window or len(values)
    expected = pd.Series(present.astype(float)).rolling(width, min_periods=1).sum().to_numpy().copy()
    expected[:first] = np.nan
    (found,) = one_series(values, f"Count($x,{window})", first=first)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("text", "alpha"), [("EMA($x,5)", 1 / 3), ("EMA($x,0.3)", 0.3), ("Mean($x,0.3)", 0.3), ("EMA($x,1)", 1)]
)
@pytest.mark.parametrize("case", [case for case in SERIES if case != "nothing"])
def test_exponential_weights_fade_by_row_from_the_first_value_on(case: str, text: str, alpha: float) -> None:
    values, first = SERIES[case]
    series = pd.Series(np.array(values, np.float32)).replace([INF, -INF], NAN).astype(float)[first:]
    expected = np.full(len(values), np.nan)
    expected[first:] = series.ewm(alpha=alpha, min_periods=1).mean()
    (found,) = one_series(values, text, first=first)
    np.testing.assert_allclose(found, expected.astype(np.float32), rtol=1e-6, equal_nan=True)


def test_ema_since_listing_decays_with_the_number_of_rows() -> None:
    (found,) = one_series([1, 2, NAN, 4], "EMA($x,0)")
    assert found[0] == 1
    assert found[1] == pytest.approx((2 + 1 / 3) / (1 + 1 / 3))
    decay = (1 - 2 / 5) ** np.arange(4)[::-1]
    decay /= decay.sum()
    assert found[3] == pytest.approx(float(decay @ [1, 2, 0, 4]))


@pytest.mark.parametrize("shift", [-20, -3, -1, 1, 4, 20])
def test_ref_and_delta_shift_within_the_series(shift: int) -> None:
    values = np.arange(1.0, 11.0)
    reference, difference, of_mean = one_series(
        values, f"Ref($x,{shift})", f"Delta($x,{shift})", f"Ref(Mean($x,2),{shift})", first=3
    )
    series = pd.Series(values[3:])
    np.testing.assert_array_equal(reference[3:], series.shift(shift))
    np.testing.assert_array_equal(difference[3:], series - series.shift(shift))
    np.testing.assert_array_equal(of_mean[3:], series.rolling(2, min_periods=1).mean().shift(shift))
    assert np.isnan([reference[:3], difference[:3], of_mean[:3]]).all()


def test_a_shift_of_zero_is_the_first_row_of_the_series() -> None:
    reference, difference = one_series([9, 9, 4, 5, NAN, 7], "Ref($x,0)", "Delta($x,0)", first=2)
    np.testing.assert_array_equal(reference, [NAN, NAN, 4, 4, 4, 4])
    np.testing.assert_array_equal(difference, [NAN, NAN, 0, 1, NAN, 3])


def test_a_later_row_never_lends_a_value_to_rows_before_the_listing() -> None:
    """Windows over a look-ahead must not see the rows that do not exist."""
    (found,) = one_series([0, 0, 1, 2, 3, 4, 5], "Mean(Ref($x,-2),3)", first=2)
    np.testing.assert_array_equal(found, [NAN, NAN, 3, 3.5, 4, 4.5, 5])


def test_windows_of_truth_values_count_from_the_listing() -> None:
    (found,) = one_series([0, 0, 1, 2, NAN, 3, 2], "Mean($x>Ref($x,1),3)", first=2)
    np.testing.assert_allclose(found, [NAN, NAN, 0, 0.5, 1 / 3, 1 / 3, 0], rtol=1e-6)


def _pair(left: list[float], right: list[float], text: str) -> np.ndarray:
    fields = {"x": np.array(left)[:, None], "y": np.array(right)[:, None]}
    return expression_values(ArraySource(fields, ["A"]), text)[0, :, 0]


@pytest.mark.parametrize("window", [0, 2, 3, 5, 12])
def test_pairs_use_the_sessions_where_both_have_a_value(window: int) -> None:
    rng = np.random.default_rng(5)
    left, right = rng.normal(size=(2, 30)).astype(np.float32).astype(float)
    left[[3, 4, 11]] = NAN
    right[[4, 5, 20]] = [NAN, INF, NAN]
    frame = pd.DataFrame({"x": left, "y": right}).replace(INF, NAN)
    frame[frame.isna().any(axis=1)] = NAN
    rows = frame.x.expanding(min_periods=1) if window == 0 else frame.x.rolling(window, min_periods=1)
    np.testing.assert_allclose(
        _pair(list(left), list(right), f"Cov($x,$y,{window})"), rows.cov(frame.y), rtol=1e-5, atol=1e-7
    )
    found = _pair(list(left), list(right), f"Corr($x,$y,{window})")
    np.testing.assert_allclose(found, rows.corr(frame.y), rtol=1e-5, atol=1e-6)


def test_a_flat_input_correlates_with_nothing_and_no_line_explains_it() -> None:
    almost_flat = [1, 1 + 1e-5, 1, 1 + 1e-5, 1, 1 + 1e-5]
    moving = [1.0, 3, 2, 5, 4, 6]
    assert np.isnan(_pair(almost_flat, moving, "Corr($x,$y,4)")).all()
    assert np.isnan(_pair(moving, almost_flat, "Corr($x,$y,4)")).all()
    assert np.isnan(one_series(almost_flat, "Rsquare($x,4)")).all()
    assert np.isfinite(one_series(almost_flat, "Slope($x,4)")[0, 1:]).all()


def test_slope_and_rsquare_stand_when_today_is_missing_and_the_residual_does_not() -> None:
    slope, share, residual = one_series([1, 2, 4, NAN], "Slope($x,4)", "Rsquare($x,4)", "Resi($x,4)")
    assert np.isfinite([slope[3], share[3]]).all()
    assert np.isnan(residual[3])


def test_flat_windows_of_any_price_have_exactly_no_variance() -> None:
    (found,) = one_series([0.1, 123.456] + [7.7] * 70, "Std(Mean($x,3),60)")
    assert (found[-9:] == 0).all()


@pytest.mark.parametrize("name", ["Std", "Sum", "Max", "Rank", "Slope", "Count", "WMA"])
def test_exponential_windows_are_refused_where_they_would_mean_something_else(name: str) -> None:
    with pytest.raises(ExpressionError, match="only Mean and EMA"):
        parse(f"{name}($x,0.5)")


@given(
    st.lists(st.sampled_from([NAN, 0.0, 1.0, 1.0, 2.0, -3.5, INF, 1e-3, 250.0]), min_size=1, max_size=60),
    st.integers(1, 40),
    st.integers(0, 20),
    st.sampled_from(["Max", "Min", "IdxMax", "IdxMin", "Rank", "Med"]),
)
def test_selections_are_exact_on_any_series(values: list[float], window: int, first: int, name: str) -> None:
    first = min(first, len(values) - 1)
    expected = rolling(np.array(values, np.float32), window, OPERATORS[name], first=first).astype(np.float32)
    (found,) = one_series(values, f"{name}($x,{window})", first=first)
    np.testing.assert_array_equal(found, expected)
