"""``TTM``, ``SQ``, ``LYR`` and ``YoY``: flows, stocks and fiscal years."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from rollwright.errors import ExpressionError
from rollwright.market.source import FieldKind
from rollwright.testing.market import expression_values
from vintage_markets import ALONE, CUMULATIVE, FLOW, NAN, SINGLE, STOCK, Row, answer, close_to, market

# -------------------------------------------------------------------------- flows, stocks and fiscal years


@pytest.mark.parametrize(("kind", "rows"), [(FLOW, CUMULATIVE), (ALONE, SINGLE)])
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("TTM($$x_q)", {201704: 10, 201801: 11, 201802: 12, 201803: 13, 201804: 14, 201901: 15, 201703: NAN}),
        ("SQ($$x_q)", {201701: 1, 201702: 2, 201703: 3, 201704: 4, 201801: 2, 201802: 3, 201901: 3}),
        ("LYR($$x_q)", {201704: 10, 201801: 10, 201803: 10, 201804: 14, 201901: 14, 201703: NAN}),
        ("YoY(SQ($$x_q))", {201801: 1, 201802: 0.5, 201804: 0.25, 201901: 0.5, 201704: NAN}),
        ("Mean(SQ($$x_q),4)", {201704: 2.5, 201803: 13 / 4, 201901: 15 / 4}),
        ("TTM($$x_q*2-$$x_q/2)", {201801: 11 * 1.5, 201703: NAN}),
        ("YoY(TTM($$x_q))", {201804: 0.4, 201901: 4 / 11, 201803: NAN}),
    ],
)
def test_flows_by_quarter(
    kind: FieldKind, rows: tuple[Row, ...], expression: str, expected: Mapping[int, float]
) -> None:
    source = market({"x_q": {"A": rows}}, kinds={"x_q": kind})
    for period, value in expected.items():
        assert answer(source, f"PRef({expression},{period})", "2019-07-19") == close_to(value), period
    assert answer(source, f"P({expression})", "2019-07-19") == close_to(expected.get(201901, answer(
        source, f"PRef({expression},201901)", "2019-07-19")[0]))  # fmt: skip


@pytest.mark.parametrize("missing", [201801, 201804])
def test_a_missing_operand_gives_no_value(missing: int) -> None:
    rows = [row for row in CUMULATIVE if row[0] != missing]
    source = market({"x_q": {"A": rows}}, kinds={"x_q": FLOW})
    assert answer(source, "P(TTM($$x_q))", "2019-07-19") == close_to(NAN)


def test_flows_by_month() -> None:
    months = [(year * 100 + month) for year in (2017, 2018) for month in range(1, 13)]
    single = {period: float(period % 100 + (period > 201800)) for period in months}
    total = {
        period: sum(single[other] for other in months if other // 100 == period // 100 and other <= period)
        for period in months
    }
    for kind, values in ((FLOW, total), (ALONE, single)):
        rows = [(period, f"{period // 100 + 1}-01-15", values[period]) for period in months]
        source = market({"x_m": {"A": rows}}, kinds={"x_m": kind})
        for expression, expected in (
            ("PRef(TTM($$x_m),201805)", sum(single[period] for period in months if 201705 < period <= 201805)),
            ("PRef(SQ($$x_m),201805)", single[201805]),
            ("PRef(SQ($$x_m),201801)", single[201801]),
            ("PRef(LYR($$x_m),201805)", total[201712]),
            ("P(LYR($$x_m))", total[201812]),
            ("PRef(YoY($$x_m),201803)", values[201803] / values[201703] - 1),
        ):
            assert answer(source, expression, "2019-07-19") == close_to(expected), (kind, expression)


def test_years_are_their_own_twelve_months_and_last_year() -> None:
    source = market({"x_a": {"A": [(2017, "2018-03-01", 4), (2018, "2019-03-01", 5)]}}, kinds={"x_a": FLOW})
    assert answer(source, "P(TTM($$x_a)+LYR($$x_a)+YoY($$x_a))", "2019-07-19") == close_to(10.25)


def test_a_stock_has_a_last_year_and_a_change_but_no_twelve_months() -> None:
    source = market({"x_q": {"A": CUMULATIVE}}, kinds={"x_q": STOCK})
    assert answer(source, "P(LYR($$x_q))", "2019-07-19") == close_to(14)
    assert answer(source, "P(YoY($$x_q))", "2019-07-19") == close_to(0.5)
    for name in ("TTM", "SQ"):
        with pytest.raises(ExpressionError, match="is a stock") as caught:
            expression_values(source, f"1+P({name}($$x_q))")
        assert caught.value.position == len("1+P(")


@pytest.mark.parametrize("name", ["TTM", "SQ", "LYR"])
def test_nothing_is_guessed_of_a_field_of_unknown_kind(name: str) -> None:
    source = market({"x_q": {"A": CUMULATIVE}})
    with pytest.raises(ExpressionError, match="nobody said whether") as caught:
        expression_values(source, f"CSRank(P({name}($$x_q)))")
    assert "pit kind" in str(caught.value.hint)
    assert np.isfinite(answer(source, "P(YoY($$x_q))", "2019-07-19")).all()


def test_flows_of_different_kinds_are_not_added() -> None:
    fields = {"x_q": {"A": CUMULATIVE}, "y_q": {"A": SINGLE}}
    source = market(fields, kinds={"x_q": FLOW, "y_q": ALONE})
    with pytest.raises(ExpressionError, match="different kinds"):
        expression_values(source, "P(TTM($$x_q+$$y_q))")
    assert answer(source, "P(TTM($$x_q)-TTM($$y_q))", "2019-07-19") == close_to(0)


def test_growth_is_measured_against_the_size_of_what_was_and_not_against_nothing() -> None:
    rows = [(201701, "2017-05-01", -4), (201801, "2018-05-01", 2), (201702, "2017-08-01", 0), (201802, "2018-08-01", 1)]
    source = market({"x_q": {"A": rows}})
    assert answer(source, "PRef(YoY($$x_q),201801)", "2019-07-19") == close_to(1.5)
    assert answer(source, "PRef(YoY($$x_q),201802)", "2019-07-19") == close_to(NAN)
