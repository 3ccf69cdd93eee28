"""Which rows a term has: windows count from its own first row, and it is missing outside its own rows."""

from __future__ import annotations

import numpy as np
import pytest

from rollwright.errors import ExpressionError
from rollwright.expression.planner import compile_plan
from rollwright.expression.row_search import find_rows
from rollwright.testing.market import ArraySource, expression_values

NAN = np.nan
ROWS = 8


def rows_of(source: ArraySource, *expressions: str) -> list[list[list[int]]]:
    plan = compile_plan(expressions, allow_lookahead=True)
    rows = find_rows(plan, source, source.instruments())
    return [rows.of(term).tolist() for term in plan.terms]


@pytest.fixture
def late() -> ArraySource:
    """IDX is there from the first day on, S is listed on the fourth."""
    x = np.stack([[3, 9, 4, 8, 7, 1, 2, 6], [0, 0, 0, 5, 6, 2, 3, 7]], axis=1).astype(float)
    return ArraySource({"x": x}, ["IDX", "S"], bounds=np.array([[0, ROWS], [3, ROWS]]))


@pytest.fixture
def uneven() -> ArraySource:
    """`late` begins on the fourth day and ends on the sixth; B lacks it."""
    values = np.stack([np.arange(1.0, 9), np.arange(11.0, 19)], axis=1)
    return ArraySource({"close": values, "late": values}, ["A", "B"], field_bounds={"late": np.array([[3, 6], [0, 0]])})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IdxMax(ChangeInstrument('IDX',$x),3)", [1, 2, 2, 1, 2, 1, 1, 3]),
        ("IdxMin(Mask($x,'IDX'),20)", [1, 1, 1, 1, 1, 6, 6, 6]),
        ("Count(ChangeInstrument('IDX',$x),5)", [1, 2, 3, 4, 5, 5, 5, 5]),
        ("Sum(ChangeInstrument('IDX',$x),0)", [3, 12, 16, 24, 31, 32, 34, 40]),
        ("WMA(ChangeInstrument('IDX',$x),2)*6", [9 * 2, 21, 17, 20, 22, 9, 5, 14]),
        ("Ref(ChangeInstrument('IDX',$x),0)", [3] * 8),
        ("ChangeInstrument('IDX',Not($x>5))", [1, 0, 1, 0, 0, 1, 1, 0]),
    ],
)
def test_another_instruments_windows_count_from_its_own_first_row(
    late: ArraySource, expression: str, expected: list[float]
) -> None:
    (found,) = expression_values(late, expression)
    for column in found.T:
        np.testing.assert_allclose(column, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Ref($x,0)", [5, 5, 5, 5, 5]),
        ("Sum(Ref($x,0),0)", [5, 10, 15, 20, 25]),
        ("Mean(Ref($x,0),3)", [5, 5, 5, 5, 5]),
        ("Count(Ref($x,0),20)", [1, 2, 3, 4, 5]),
        ("IdxMax(Ref($x,0)-$x,0)", [1, 1, 3, 3, 3]),
        ("Delta($x,0)", [0, 1, -3, -2, 2]),
        ("Sum(Delta($x,0),2)", [0, 1, -2, -5, 0]),
    ],
)
def test_the_first_value_of_a_series_is_missing_before_its_listing(
    late: ArraySource, expression: str, expected: list[float]
) -> None:
    (found,) = expression_values(late, expression)
    np.testing.assert_array_equal(found[:, 1], [NAN, NAN, NAN, *expected])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$late", [NAN, NAN, NAN, 4, 5, 6, NAN, NAN]),
        ("Mean($late,5)", [NAN, NAN, NAN, 4, 4.5, 5, NAN, NAN]),
        ("IdxMax($late,5)", [NAN, NAN, NAN, 1, 2, 3, NAN, NAN]),
        ("Count($late,5)", [NAN, NAN, NAN, 1, 2, 3, NAN, NAN]),
        ("Ref($late,0)", [NAN, NAN, NAN, 4, 4, 4, NAN, NAN]),
        ("Ref($late,-1)", [NAN, NAN, NAN, 5, 6, NAN, NAN, NAN]),
        ("$close+$late", [NAN, NAN, NAN, 8, 10, 12, NAN, NAN]),
        ("Count($close+$late,3)", [0, 0, 0, 1, 2, 3, 2, 1]),  # the sum has the rows of both
        ("$close+Mean($late,2)", [NAN, NAN, NAN, 8, 9.5, 11.5, NAN, NAN]),  # a mean ends with its series
        ("($late<100)+$close", [NAN, NAN, NAN, 5, 6, 7, NAN, NAN]),
        ("($close>0)|($late>0)", [1, 1, 1, 1, 1, 1, 1, 1]),
        ("($late>0)|($close>0)", [0, 0, 0, 1, 1, 1, 0, 0]),  # as in Qlib: nothing is true where the left side is not
        ("($close>0)&($late!=0)", [0, 0, 0, 1, 1, 1, 0, 0]),
        ("If($late>4,$close,-1)", [NAN, NAN, NAN, -1, 5, 6, NAN, NAN]),  # a choice has the rows of its condition
        ("If($close>4,$late,-1)", [-1, -1, -1, -1, 5, 6, NAN, NAN]),
    ],
)
def test_a_field_that_begins_later_has_its_own_rows(
    uneven: ArraySource, expression: str, expected: list[float]
) -> None:
    (found,) = expression_values(uneven, expression)
    np.testing.assert_array_equal(found[:, 0], expected)


def test_an_instrument_that_lacks_the_field_has_the_rows_of_the_others(uneven: ArraySource) -> None:
    lacking, count, both = expression_values(uneven, "Count($late,3)", "Count($close+$late,3)", "$late")[:, :, 1]
    assert np.isnan(lacking).all()
    np.testing.assert_array_equal(count, np.zeros(ROWS))
    assert np.isnan(both).all()


def test_rows_follow_from_the_fields_alone(uneven: ArraySource, late: ArraySource) -> None:
    assert rows_of(uneven, "$late", "Mean($late,20)", "$close-$late", "1+1") == [
        [[3, 6], [0, 0]], [[3, 6], [0, 0]], [[0, 8], [0, 8]], [[0, 8], [0, 8]],
    ]  # fmt: skip
    assert rows_of(late, "Mask($x,'S')", "CSRank($x)", "$x/Mask($x,'IDX')") == [
        [[3, 8], [3, 8]], [[0, 8], [3, 8]], [[0, 8], [0, 8]],
    ]  # fmt: skip


def test_values_do_not_depend_on_the_other_fields_of_the_query(uneven: ArraySource) -> None:
    alone = expression_values(uneven, "IdxMin($close,4)", "Sum($close,0)")
    beside = expression_values(uneven, "IdxMin($close,4)", "Sum($close,0)", "Mean($late,3)", "$late>2")
    np.testing.assert_array_equal(alone, beside[:2])


def test_the_sum_of_two_conditions_is_a_condition(late: ArraySource) -> None:
    both, more = expression_values(late, "($x>2)+($x>4)", "($x>2)*1+($x>4)*1")
    np.testing.assert_array_equal(both[:, 0], [1, 1, 1, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(more[:, 0], [1, 2, 1, 2, 2, 0, 0, 2])
    np.testing.assert_array_equal(both[:, 1], [NAN, NAN, NAN, 1, 1, 0, 1, 1])


def test_another_instruments_values_keep_their_precision() -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(3, 1, (50, 2)).astype(np.float32)
    source = ArraySource({"x": values}, ["A", "B"])
    (found,) = expression_values(source, "(ChangeInstrument('A',$x)*$x-$x*Mask($x,'A'))*1e9")
    np.testing.assert_array_equal(found, np.zeros((50, 2)))
    (product,) = expression_values(source, "(ChangeInstrument('A',$x)*$x)*1000")
    np.testing.assert_array_equal(product[:, 1], values[:, 0] * values[:, 1] * np.float32(1000))


def test_a_call_on_constants_has_the_rows_of_the_instrument(late: ArraySource) -> None:
    (found,) = expression_values(late, "Abs(-2)")
    np.testing.assert_array_equal(found[:, 1], [NAN, NAN, NAN, 2, 2, 2, 2, 2])


def test_an_exponential_mean_takes_any_span(late: ArraySource) -> None:
    (found,) = expression_values(late, "EMA($x,2.5)")
    weight = 1 - 2 / 3.5
    np.testing.assert_allclose(found[:2, 0], [3, (9 + weight * 3) / (1 + weight)], rtol=1e-6)
    with pytest.raises(ExpressionError, match="cannot be negative"):
        compile_plan(["EMA($x,-1)"])
