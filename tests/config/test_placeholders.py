"""Placeholders: filled before anything is built, in a copy."""

from __future__ import annotations

import copy

import pytest

from rollwright.config.placeholders import fill_paths, fill_values
from rollwright.errors import ConfigError

TASK = {
    "dataset": {
        "kwargs": {"segments": {"train": ("2015-01-05", "2016-12-30")}, "fit": "<dataset.kwargs.segments.train.0>"}
    },
    "alias": "<dataset.kwargs.fit>",
    "record": [{"kwargs": {"model": "<MODEL>"}}, ("<alias.never>x", "<a.b> and more")],
}


def test_a_path_is_filled_with_the_value_and_the_caller_keeps_its_task():
    before = copy.deepcopy(TASK)
    filled = fill_paths(TASK)
    assert filled["dataset"]["kwargs"]["fit"] == "2015-01-05"
    assert filled["alias"] == "2015-01-05"  # Q3: a chain is followed
    assert before == TASK  # R3


def test_q3_text_around_a_placeholder_is_never_lost():
    assert fill_paths(TASK)["record"][1] == ("<alias.never>x", "<a.b> and more")


def test_q3_tuples_are_visited():
    assert fill_paths({"a": {"b": 1}, "c": ("<a.b>",)})["c"] == (1,)


def test_a_path_that_leads_nowhere_is_named():
    with pytest.raises(ConfigError, match=r"<a\.c> leads nowhere: there is no `c`"):
        fill_paths({"a": {"b": 1}, "x": "<a.c>"})


def test_a_circle_is_an_error():
    with pytest.raises(ConfigError, match="circle"):
        fill_paths({"a": {"b": "<a.c>", "c": "<a.b>"}})


def test_values_are_filled_by_name_and_unknown_ones_refused():
    model = object()
    filled = fill_values({"kwargs": {"model": "<MODEL>", "list": ["<MODEL>", 1]}}, {"MODEL": model})
    assert filled["kwargs"]["model"] is model
    assert filled["kwargs"]["list"] == [model, 1]
    with pytest.raises(ConfigError, match="<DATASET>"):
        fill_values("<DATASET>", {"MODEL": model})
