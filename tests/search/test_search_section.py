"""The section `search`: nothing in it is guessed, and what is wrong is said before anything is trained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rollwright.campaign.search_section import DimensionSection, SearchSection
from rollwright.errors import ConfigError
from searched_project import TEXT, make_searched, search_here


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ({"low": 1, "high": 5, "step": 2, "int": True}, [1, 3, 5]),
        ({"low": 0.0, "high": 0.5, "step": 0.25}, [0.0, 0.25, 0.5]),
        ({"low": 0.0, "high": 1.0}, None),
        ({"choices": [None, "a", [1, 2], {"k": 1.5}, True]}, [None, "a", [1, 2], {"k": 1.5}, True]),
        ({"low": 2, "high": 2, "int": True}, [2]),
    ],
)
def test_a_dimension_lists_what_may_be_tried(given, points):
    assert DimensionSection.model_validate(given).list_points() == points


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"low": 2.0, "high": 1.0}, "above `high`"),
        ({"low": 1, "high": 8}, "`int: true` for whole numbers"),
        ({"low": 0.5, "high": 8, "int": True}, "whole numbers as"),
        ({"low": 0.0, "high": 1.0, "log": True}, "above 0"),
        ({"low": 0.1, "high": 1.0, "log": True, "step": 0.1}, "exclude each other"),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, "not a whole number of steps"),
        ({"low": 0.0, "high": 1.0, "step": -0.5}, "above 0"),
        ({"low": 1, "high": 9, "int": True, "step": 0.5}, "steps of whole numbers"),
        ({"low": float("nan"), "high": 1.0}, "finite"),
        ({"low": 1.0}, "`low` and `high` are needed"),
        ({"choices": [1, 2], "low": 1.0}, "either `choices`"),
        ({"choices": [1, 1]}, "there twice"),
        ({"choices": []}, "at least 1"),
        ({"low": True, "high": 2.0}, "a number belongs here"),
        ({"lo": 1.0, "high": 2.0}, "Extra inputs"),
    ],
)
def test_a_dimension_that_makes_no_sense_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        DimensionSection.model_validate(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"metric": "information_ratio"}, "segment: test"),
        ({"metric": "excess_return", "segment": "test", "prune": {}}, "of a back-test"),
        ({"sampler": "grid"}, "needs a `step`"),
        ({"prune": {"rule": "median", "rate": 0.1}}, "the median has none"),
        ({"prune": {"rate": 0.5}}, "less than 0.5"),
        ({"trials": 0}, "greater than or equal to 1"),
    ],
)
def test_a_section_whose_keys_do_not_go_together_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        SearchSection.model_validate({"trials": 3, "space": {"seed": {"low": 0.0, "high": 1.0}}, **given})


def test_unless_told_otherwise_no_test_session_is_chosen_by():
    found = SearchSection.model_validate({"trials": 3, "space": {"seed": {"choices": [1, 2]}}})
    assert (found.segment, found.metric, found.sampler, found.prune) == ("valid", "rank_ic", "tpe", None)


def refuse(folder, search, *, more="", text=TEXT):
    file = make_searched(folder / "project", search=search, more=more, text=text)
    events = []
    with pytest.raises(ConfigError) as caught:
        search_here(file, on_progress=lambda what, _value: events.append(what))
    assert events == []
    assert not (file.parent / ".rollwright" / "searches" / "probe").exists()
    return f"{caught.value.message} {caught.value.hint or ''}"


def test_all_problems_are_told_at_once_each_with_its_line(tmp_path):
    said = refuse(
        tmp_path,
        """\
search:
  trials: 3
  space:
    tusk.model.kwargs.at: {low: 0.0, high: 1.0}
    task.modle.kwargs.at: {low: 0.0, high: 1.0}
    task.dataset.kwargs.handler.kwargs.instrument: {choices: [all]}
    rolling.step: {choices: [50, -5]}
    rolling.stepp: {choices: [50]}
    backtest.topk: {choices: [3]}
    experiment_name: {choices: [a]}
    task.dataset.kwargs.segments.test: {choices: [["2020-06-01", "2020-10-05"]]}
    task.dataset.kwargs.handler.kwargs.data_loader.kwargs.config.label:
      choices: [[["Ref($close, -3)/Ref($close, -1) - 1"], [LABEL0]]]
""",
    )
    for part in (
        "did you mean `task`?",
        "did you mean `model`?",
        "did you mean `instruments`?",
        "`rolling.step` as -5",
        "did you mean `step`?",
        "it changes no rank_ic",
        "`experiment_name`: it cannot be searched",
        "judged on other sessions",
        "its label is another",
    ):
        assert part in said, part
    assert "`rolling.step` as 50" not in said
    lines = [line for line in said.splitlines() if "probe.yaml:" in line]
    assert len(lines) >= 9


@pytest.mark.parametrize(
    ("search", "more", "said"),
    [
        ("{trials: 2, space: {seed: {choices: [1, 2]}}}", "vary: [{seed: 1}, {seed: 2}]\n", "one model at a time"),
        ("{trials: 2, space: {seed: {choices: [1, 2]}}}", "budget: {tasks: 3}\n", "has no budget"),
        (
            "{trials: 2, space: {seed: {choices: [1, 2]}}}",
            "collect: {allow_missing: {'2020-05': holiday}}\n",
            "needs all its windows",
        ),
        (
            "{trials: 2, segment: test, metric: information_ratio, space: {seed: {choices: [1, 2]}}}",
            "",
            "add a section `backtest`",
        ),
        ("{trials: 2, prune: {after: 2}, space: {seed: {choices: [1, 2]}}}", "", "nobody is stopped after window 2"),
        (
            "{trials: 2, space: {task.model: {choices: [{class: Probe}]}, task.model.kwargs.at: {choices: [0.1]}}}",
            "",
            "lies beneath `task.model`",
        ),
        (
            "{trials: 2, prune: {after: 1, rule: median}, space: {rolling.step: {choices: [40, 50]}}}",
            "",
            "windows of other lengths",
        ),
    ],
)
def test_what_does_not_go_with_a_search_is_refused(tmp_path, search, more, said):
    assert said in refuse(tmp_path, f"search: {search}\n", more=more)


def test_without_a_valid_segment_it_says_to_choose_by_test(tmp_path):
    text = TEXT.replace('        valid: ["2020-05-01", "2020-05-22"]\n', "")
    said = refuse(tmp_path, "search: {trials: 2, space: {seed: {choices: [1, 2]}}}\n", text=text)
    assert "no segment `valid`" in said


def test_an_unknown_key_of_the_section_is_told_with_the_nearest(tmp_path):
    said = refuse(tmp_path, "search: {trials: 2, samplr: tpe, space: {seed: {lo: 1.0, high: 2.0}}}\n")
    assert "did you mean `sampler`?" in said
    assert "did you mean `low`?" in said
