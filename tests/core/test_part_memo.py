"""What is made of parts of definitions is known again by exactly what they hold."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from rollwright.core.part_memo import PartMemo, Parts, is_plain_text


class Pair(NamedTuple):
    one: int
    two: int


class Shown:
    def __repr__(self) -> str:
        return "1"


class Text(str):
    __slots__ = ()


def test_an_equal_part_is_known_by_the_same_whichever_object_it_is():
    part = {"a": [1, 2.5, None, True], "b": "xxx"}
    again = {"a": [int("1"), float("2.5"), None, True], "b": "".join(["x", "x", "x"])}
    assert Parts({"in": [part]}).content(part) == Parts(again).content(again)
    assert Parts(part).content(part["a"]) == Parts(again).content(again["a"])


@pytest.mark.parametrize(
    "other",
    [
        {"a": [1.0]}, {"a": [True]}, {"a": (1,)}, {"a": ["1"]}, {"a": [1], "b": None}, {"b": [1]}, {"a": [1, 1]},
        {"a": {"a": [1]}}, {"a": [np.int64(1)]}, {"a": [b"1"]}, {"a": 1}, {"a": "[1]"}, {"a": [-1]}, {"a": [Shown()]},
    ],
    ids=str,
)  # fmt: skip
def test_a_part_of_other_types_or_values_is_another(other):
    part = {"a": [1]}
    assert Parts(part).content(part) != Parts(other).content(other)


def test_the_order_of_keys_and_the_sign_of_zero_tell_parts_apart():
    parts = [{"a": 0.0, "b": 1}, {"b": 1, "a": 0.0}, {"a": -0.0, "b": 1}]
    assert len({Parts(part).content(part) for part in parts}) == 3


@pytest.mark.parametrize("leaf", [pd.Timestamp("2020-01-02"), Shown(), b"x", np.float64(0.5), {1}, 2j])
def test_what_json_does_not_know_leaves_what_holds_it_unknown_and_nothing_else(leaf):
    value = {"a": [1, (2, {"deep": leaf})], "b": {"c": [1]}}
    parts = Parts(value)
    assert parts.is_simple
    assert [parts.content(part) for part in (value, value["a"], value["a"][1], value["a"][1][1])] == [None] * 4
    assert parts.content(value["b"]) is not None


def test_keys_that_are_no_text_and_long_parts_are_not_known():
    for part in ({3: 1}, {"a": {None: 1}}, ["x" * 20_000]):
        assert Parts(part).content(part) is None


def test_a_full_memo_begins_anew_and_contexts_are_apart():
    memo: PartMemo[int] = PartMemo()
    for number in range(5000):
        memo.put("slot", f"[{number}]", number)
    known = sum(memo.get("slot", f"[{number}]") is not None for number in range(5000))
    assert 0 < known <= 2048
    assert memo.get("slot", "[4999]") == 4999
    assert memo.get(None, "[4999]") is None


def test_plain_containers_of_a_moderate_size_are_simple_whatever_their_leaves():
    assert Parts({"a": [1, ("x", None)], "b": {"c": pd.Timestamp("2020-01-02"), "d": object()}}).is_simple
    assert Parts({}).is_simple


@pytest.mark.parametrize("part", [OrderedDict(a=1), MappingProxyType({}), Pair(1, 2), Text("x")])
def test_objects_of_derived_classes_are_not_simple_wherever_they_stand(part):
    assert not Parts({"a": [part]}).is_simple
    assert not Parts(part).is_simple


def test_what_is_deep_or_large_is_not_simple_however_few_objects_it_is():
    doubled: list[object] = []
    deep: list[object] = []
    for _ in range(30):
        doubled = [doubled, doubled]
    for _ in range(40):
        deep = [deep]
    assert not Parts(doubled).is_simple
    assert not Parts(deep).is_simple
    assert not Parts([0] * 20_000).is_simple


def test_a_text_is_plain_unless_it_means_more_than_it_says():
    assert all(map(is_plain_text, ["", "x", "Änderung", "<MODEL>", "a<b.c>", "$is it"]))
    assert not any(map(is_plain_text, ["$is", "<dataset.kwargs.x>", "a\0b", "\ud800", "x" * 2000]))
