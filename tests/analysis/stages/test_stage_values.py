"""Tables and stages as values: units are complete, makers are run in order, nothing is left out silently."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.metrics import Metric
from rollwright.analysis.report.words import load_words
from rollwright.analysis.signal import calc_ic, group_returns, summarise
from rollwright.analysis.stages.analyze import ANALYSIS_TABLES, AnalysisTerms, analyze
from rollwright.analysis.stages.table import UNITS, Made, ResultTable, TableMaker, make_tables
from rollwright.analysis.stages.trade import BACKTEST_TABLES, TradeTerms, trade
from rollwright.analysis.stages.walk import COLLECT_TABLES, WindowFacts, collect_result
from rollwright.backtest.costs import Costs
from rollwright.errors import DataError
from rollwright.testing.market import random_source

MARKET = random_source(np.random.default_rng(0), sessions=60, instruments=12)
INDEX = pd.MultiIndex.from_product(
    [pd.DatetimeIndex(MARKET.calendar().values)[20:50], list(MARKET.instruments())], names=["datetime", "instrument"]
)
LABEL = pd.Series(np.random.default_rng(1).normal(size=len(INDEX)), index=INDEX, name="label")
SCORE = (0.2 * LABEL + np.random.default_rng(2).normal(size=len(INDEX))).rename("score")


def table(name: str = "one", **columns: Any) -> ResultTable:
    frame = pd.DataFrame(columns or {"x": [1.0]})
    return ResultTable(name=name, frame=frame, units=dict.fromkeys(frame.columns, "count"))


@pytest.mark.parametrize("name", ["", "Up", "../x", "a.b", "1x", "x" * 65])
def test_a_table_has_a_plain_name(name):
    with pytest.raises(DataError, match="name of a table"):
        table(name)


@pytest.mark.parametrize("units", [{}, {"x": "count", "y": "count"}, {"x": "miles"}])
def test_every_column_has_one_known_unit(units):
    with pytest.raises(DataError, match="unit"):
        ResultTable(name="one", frame=pd.DataFrame({"x": [1.0]}), units=units)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_has_a_word_for_every_unit(language):
    words = load_words(language)
    assert [unit for unit in sorted(UNITS) if not words[f"unit_{unit}"]] == []


class Given:
    there = 1
    absent = None


def make(*makers: TableMaker[Any]) -> Any:
    return make_tables("analyze", makers, Given(), settings={})


def test_a_maker_sees_the_tables_before_it_and_its_metrics_are_kept():
    def second(given: Given, before: Any) -> Made:
        del given
        total = float(before["one"]["x"].sum())
        return Made(tables=(table("two", x=[total]),), metrics=(Metric(key="total", value=total, unit="count"),))

    result = make(
        TableMaker(tables=("one",), make=lambda _given, _before: Made(tables=(table(x=[1.0, 2.0]),))),
        TableMaker(tables=("two",), make=second, needs=("one", "there")),
    )
    assert list(result.tables) == ["one", "two"]
    assert result.metrics == (Metric(key="total", value=3.0, unit="count"),)
    assert result.left_out == {}
    assert result.frame("two")["x"].tolist() == [3.0]
    assert result.frame("three") is None


def test_an_optional_table_without_its_input_is_left_out_with_the_reason():
    def refuse(given: Given, before: Any) -> Made:
        raise DataError("too few sessions")

    result = make(
        TableMaker(tables=("one", "more"), make=refuse, needs=("absent",)),
        TableMaker(tables=("two",), make=refuse, needs=("one",)),
        TableMaker(tables=("three",), make=refuse, needs=("there",)),
        TableMaker(tables=("four", "five"), make=lambda _given, _before: Made(tables=(table("four"),))),
    )
    assert list(result.tables) == ["four"]
    assert result.left_out["one"] == result.left_out["more"] == "no absent was given"
    assert "`one`" in result.left_out["two"]
    assert result.left_out["three"] == "too few sessions"
    assert result.left_out["five"]


def test_a_required_table_without_its_input_is_an_error():
    with pytest.raises(DataError, match=r"one.*no absent"):
        make(TableMaker(tables=("one",), make=lambda _g, _b: Made(), needs=("absent",), required=True))

    def refuse(given: Given, before: Any) -> Made:
        raise DataError("too few sessions")

    with pytest.raises(DataError, match="too few"):
        make(TableMaker(tables=("one",), make=refuse, required=True))


def test_a_maker_makes_what_it_names():
    with pytest.raises(DataError, match="two"):
        make(TableMaker(tables=("one",), make=lambda _g, _b: Made(tables=(table("two"),))))


def test_analyze_has_the_coefficients_and_groups_of_the_signal():
    result = analyze(SCORE, LABEL.to_frame(), terms=AnalysisTerms(label="x", label_span=2, label_horizon=1, groups=3))
    ic, ric = calc_ic(SCORE, LABEL)
    found = result.frame("ic")
    assert found is not None
    pd.testing.assert_series_equal(found["ic"], ic)
    pd.testing.assert_series_equal(found["rank_ic"], ric, check_names=False)
    assert (found["pairs"] == 12).all()
    pd.testing.assert_frame_equal(result.tables["groups"].frame, group_returns(SCORE, LABEL, 3))
    wanted = summarise(ic, ric, label_span=2).metrics()
    assert result.metrics[: len(wanted)] == wanted
    assert result.settings["label_span"] == 2
    assert result.settings["label"] == "x"
    assert {*result.tables} | {*result.left_out} == {*ANALYSIS_TABLES}
    assert all(result.left_out.values())


def test_pairs_count_the_rows_that_have_both_score_and_label():
    label = LABEL.copy()
    label.iloc[:5] = np.nan
    score = SCORE.sample(frac=1.0, random_state=3)
    score.iloc[0] = np.nan
    found = analyze(score, label).frame("ic")
    assert found is not None
    both = score.notna() & label.reindex(score.index).notna()
    assert found["pairs"].sum() == both.sum()
    assert found["pairs"].iloc[0] == both.groupby(level="datetime").sum().iloc[0]


def test_trade_has_the_account_and_every_order():
    terms = TradeTerms(topk=3, n_drop=1, costs=Costs(min_cost=0), account=1e6)
    result = trade(SCORE, MARKET, terms=terms)
    made = terms.run(SCORE, MARKET)
    for name, frame in (
        ("account", made.report),
        ("positions", made.positions),
        ("trades", made.trades),
        ("unfilled", made.unfilled),
    ):
        pd.testing.assert_frame_equal(result.tables[name].frame, frame)
    assert result.tables["account"].units["cash"] == "currency"
    assert result.frame("indicators") is not None
    assert result.settings["topk"] == 3
    assert result.settings["costs"]["min_cost"] == 0
    assert math.isfinite({one.key: one.value for one in result.metrics}["annualized_return"])
    assert {*result.tables} | {*result.left_out} == {*BACKTEST_TABLES}


def test_a_rule_that_never_sells_is_found():
    kinds = {one.kind for one in trade(SCORE, MARKET, terms=TradeTerms(topk=3, n_drop=0)).findings}
    assert "never_sells" in kinds


def test_collect_tells_of_each_window():
    days = INDEX.unique("datetime")
    ic = calc_ic(SCORE, LABEL)
    windows = [
        WindowFacts(
            window="a", variant="v", segments={"train": (days[0], days[3]), "test": (days[5], days[9])}, rows=60,
            best_iteration=7, seconds=1.5, recorder="r1",
        ),
        WindowFacts(window="b", segments={"test": (days[10], days[19])}, rows=120),
    ]  # fmt: skip
    result = collect_result(SCORE, windows=windows, ic=ic, missing={"no_price": 4}, expected=364, predicted=360)
    found = result.frame("windows")
    assert found is not None
    assert found["window"].tolist() == ["a", "b"]
    assert found["train_end"].tolist()[0] == days[3]
    assert pd.isna(found["train_end"][1])
    assert found["ic"][1] == ic[0].loc[days[10] : days[19]].mean()
    assert found["best_iteration"][0] == 7
    assert pd.isna(found["best_iteration"][1])
    causes = result.frame("missing_rows")
    assert causes is not None
    assert causes.to_dict("list") == {"cause": ["no_price"], "rows": [4]}
    values = {one.key: one.value for one in result.metrics}
    assert values == {"windows": 2.0, "days": 30.0, "rows": 360.0, "expected_rows": 364.0, "predicted_rows": 360.0}


def test_what_was_not_joined_from_windows_says_so():
    result = collect_result(SCORE)
    assert not result.tables
    assert {*result.left_out} == {*COLLECT_TABLES}
