"""``P`` in the engine: evaluated when something became known, and the same however it is cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rollwright.config.context import using
from rollwright.errors import ExpressionError
from rollwright.expression.engine import evaluate
from rollwright.expression.operators.catalogue import register
from rollwright.expression.operators.elementwise import elementwise
from rollwright.expression.planner import compile_plan
from rollwright.features.api import D
from rollwright.market.as_of import AsOf
from rollwright.testing.market import expression_values
from vintage_markets import CUMULATIVE, QUARTERS, answer, close_to, market, random_market

# ------------------------------------------------------------------------------------------------ the engine

EXPRESSIONS = (
    "P($$x_q)", "P(Mean($$x_q,4))", "P($$x_q/$$y_q)", "P(Sum($$y_q,0))", "PRef($$x_q,201704)", "P(Std($$x_q,3))",
    "Mean(P($$y_q),10)/$close", "CSRank(P(Ref($$x_q,1)))", "P(TTM($$x_q))",
)  # fmt: skip


def same(left: np.ndarray, right: np.ndarray) -> None:
    np.testing.assert_array_equal(left.view(np.uint32), right.view(np.uint32))


def test_no_value_depends_on_the_range_the_instruments_the_memory_or_the_threads() -> None:
    source = random_market()
    plan = compile_plan(EXPRESSIONS)
    codes = source.instruments()
    whole = expression_values(source, *EXPRESSIONS)
    assert np.isfinite(whole).mean() > 0.2
    for start, stop, chosen, options in (
        (300, 320, slice(None), {}),
        (999, 1000, slice(2, 5), {}),
        (0, 1000, slice(3, 9), {"threads": 4, "memory": 1 << 16}),
        (100, 900, slice(None), {"most_rows": 64, "memory": 1 << 16}),
    ):
        for tile in evaluate(plan, source, instruments=codes[chosen], start=start, stop=stop, **options):
            rows, columns = tile.rows, tile.columns + np.arange(len(codes))[chosen][0]
            same(np.ascontiguousarray(tile.values), np.ascontiguousarray(whole[:, rows][:, :, columns]))


def test_what_becomes_known_later_changes_no_earlier_answer() -> None:
    source = random_market()
    whole = expression_values(source, *EXPRESSIONS)
    days = source.calendar().to_index()
    for at in (50, 400, 777):
        seen = AsOf(source, days[at])
        plan = compile_plan(EXPRESSIONS)
        found = list(evaluate(plan, seen, instruments=seen.instruments(), start=0, stop=at + 1))
        assert max(tile.rows.stop for tile in found) == at + 1
        for tile in found:
            same(np.ascontiguousarray(tile.values), np.ascontiguousarray(whole[:, tile.rows][:, :, tile.columns]))


def test_an_expression_is_evaluated_once_for_each_time_something_became_known() -> None:
    counted: list[int] = []

    def count(values: np.ndarray) -> np.ndarray:
        counted.append(values.size)
        return values

    register(elementwise("CountedVintages", count))
    source = random_market(codes=5)
    days = source.calendar().to_index()
    events = 0
    for name in source.instruments():
        found = source.vintages("x_q", [name])
        seen = days.searchsorted(pd.DatetimeIndex(found.known_at))
        events += len(np.unique(seen[seen < len(days)]))
    texts = [f"P(CountedVintages($$x_q*{number}))" for number in range(1, 4)]
    expression_values(source, *texts)
    assert sum(counted) == 3 * events
    counted.clear()
    plan = compile_plan(texts)
    for _ in evaluate(plan, source, instruments=source.instruments(), start=1000, stop=1001):
        pass
    assert sum(counted) <= 3 * len(source.instruments())


def test_an_operator_of_ones_own_works_over_periods() -> None:
    register(elementwise("DoubledByPeriod", lambda values: values * 2))
    source = market({"x_q": {"A": QUARTERS}})
    assert answer(source, "P(Mean(DoubledByPeriod($$x_q),2))", "2019-07-19") == close_to(2 * (8.3 + 8.4) / 2)


def test_features_are_the_same_from_the_store() -> None:
    source = random_market(codes=4)
    with using(market=source):
        computed = D.features(None, EXPRESSIONS)
        stored = D.features(None, EXPRESSIONS, disk_cache=1)
        pd.testing.assert_frame_equal(computed, stored)
        pd.testing.assert_frame_equal(stored, D.features(None, EXPRESSIONS, disk_cache=1))
    restated = random_market(seed=4, codes=4)
    with using(market=restated):
        pd.testing.assert_frame_equal(D.features(None, EXPRESSIONS), D.features(None, EXPRESSIONS, disk_cache=1))


def test_a_field_of_a_kind_that_makes_no_sense_is_refused_before_the_store_computes() -> None:
    source = market({"x_q": {"A": CUMULATIVE}})
    with using(market=source), pytest.raises(ExpressionError, match="nobody said"):
        D.features(["A"], ["P(TTM($$x_q))"], disk_cache=1)
