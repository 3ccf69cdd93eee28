"""The tables `learning` and `importance` and their charts, and why they are left out."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pandas as pd
import pytest

from made_report import make_collected, make_report, make_variant
from rollwright.analysis.report import report_html
from rollwright.analysis.stages.learning_tables import make_learning_tables
from rollwright.analysis.stages.walk import WindowFacts, collect_result
from rollwright.models.learning import Learning

INDEX = pd.MultiIndex.from_product([pd.bdate_range("2020-01-01", periods=2), ["a"]], names=["datetime", "instrument"])
SCORE = pd.Series(1.0, index=INDEX, name="score")


def tell(shift, names=("x", "y")):
    history = {"train": {"l2": [4.0, 2.0, 1.0]}, "valid": {"l2": [4.0, 3.0 + shift, 3.0]}}
    return Learning.of(history, best=2, basis="gain", weights=[(names[0], 3.0), (names[1], 1.0)])


TOLD = [("w1", "main", tell(0.0)), ("w2", "main", tell(0.5, ("y", "z")))]


def test_every_round_of_every_window_is_a_row():
    table = make_learning_tables(TOLD)["learning"]
    assert table.frame.columns.tolist() == ["window", "variant", "metric", "series", "round", "value"]
    second = table.frame.query("window == 'w2' and series == 'valid'")
    assert second["round"].tolist() == [1, 2, 3]
    assert second["value"].tolist() == [4.0, 3.5, 3.0]
    assert len(table.frame) == 12


def test_features_stand_by_their_mean_and_a_window_without_one_has_0():
    frame = make_learning_tables(TOLD)["importance"].frame
    assert frame.query("window == 'w1'")["feature"].tolist() == ["y", "x", "z"]  # 1.0, 0.75 and 0.25 in all
    assert frame.query("window == 'w1'")["share"].tolist() == [0.25, 0.75, 0.0]


def test_the_thirty_largest_features_are_told():
    weights = [(f"f{place:03d}", 100.0 - place) for place in range(50)]
    frame = make_learning_tables([("w", "", Learning.of({}, basis="gain", weights=weights))])["importance"].frame
    assert frame["feature"].tolist() == [name for name, _ in weights[:30]]


@pytest.mark.parametrize(
    ("windows", "reasons"),
    [
        ([WindowFacts(window="w")], ["no window has a model of its own"] * 2),
        ([WindowFacts(window="w", recorder="r")], ["no model told how it learnt"] * 2),
        ([WindowFacts(window="w", recorder="r", learning=Learning())], ["no rounds", "no importance"]),
    ],
)
def test_what_is_left_out_has_its_reason(windows, reasons):
    left_out = collect_result(SCORE, windows=windows).left_out
    for name, reason in zip(("learning", "importance"), reasons, strict=True):
        assert reason in left_out[name]


def test_windows_that_told_are_in_the_stage_beside_those_that_did_not():
    windows = [WindowFacts(window=name, recorder="r", learning=told) for name, _, told in TOLD]
    result = collect_result(SCORE, windows=[*windows, WindowFacts(window="w3", recorder="r")])
    assert set(result.tables["learning"].frame["window"]) == {"w1", "w2"}
    assert result.tables["importance"].units["share"] == "fraction"


def draw(told, name, lang="en"):
    stage = make_collected(tables=make_learning_tables(told))
    page = report_html(make_report(variants=[replace(make_variant(), stages=(stage,))], lang=lang))
    found = re.search(rf'<script type="application/json" id="figure-{name}">(.*?)</script>', page)
    assert found is not None, name
    return json.loads(found[1]), page


def test_a_curve_begins_at_1_and_is_one_line_for_each_window_and_segment():
    drawn, _ = draw(TOLD, "learning")
    assert len(drawn["data"]) == 4
    assert {trace["y"][0] for trace in drawn["data"]} == {1.0}
    assert sorted(trace["y"][1] for trace in drawn["data"]) == [0.5, 0.5, 0.75, 0.875]
    assert sum(trace["showlegend"] for trace in drawn["data"]) == 2


def test_of_many_windows_forty_are_drawn_and_the_sentence_says_so():
    drawn, page = draw([(f"w{place:03d}", "", tell(0.0)) for place in range(100)], "learning")
    names = {re.sub(r" .*", "", trace["hovertemplate"].partition("<extra>")[2]) for trace in drawn["data"]}
    assert len(names) == 40
    assert {"w000", "w099"} <= names
    assert "one of 40 windows" in page


@pytest.mark.parametrize(("lang", "basis"), [("en", "gain of the splits"), ("zh", "分裂增益")])
def test_the_largest_feature_is_on_top_and_the_sentence_says_what_its_share_is_of(lang, basis):
    drawn, page = draw(TOLD, "importance", lang)
    (trace,) = drawn["data"]
    assert trace["y"] == ["y", "x", "z"]
    assert trace["z"] == [[0.25, 0.75], [0.75, 0.0], [0.0, 0.25]]
    assert drawn["layout"]["yaxis"]["autorange"] == "reversed"
    assert basis in page
