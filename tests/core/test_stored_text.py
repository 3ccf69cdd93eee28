"""The text of a definition or a result: JSON that can be asked, from which the value comes back as it was."""

# ruff: noqa: DTZ001 - naive moments are among what has to come back

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import date, datetime, timedelta
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.core.canonical import canonical_json, parse_json, with_segment_tuples
from rollwright.core.stored_text import plain_of, read_stored, restore_definition, write_definition, write_stored
from rollwright.errors import TaskValueError

DAY = pd.Timestamp("2020-01-02")
VALUES = [
    {"a": [1, "x", None]},
    3,
    [],
    (1, 2),
    {"a": (1, 2), "b": {"c": [(), {"d": DAY}]}},
    {"f": np.float64(0.25), "i": np.int64(3), "z": -0.0},
    {"d": date(2020, 1, 2), "t": datetime(2020, 1, 2, 9, 30), "s": timedelta(days=1)},
    {"set": {1, 2}, "bytes": b"x", None: 1, 2: "b"},
    {"nan": float("inf"), "big": 2**70},
    {"$stored": 1, "value": 2},
    {"$is": "tuple", "of": [1]},
    {"x": {"$is": "tuple", "of": (1,)}},
    float("inf"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(type(value).__name__))
def test_the_value_comes_back(value):
    found = read_stored(write_stored(value))
    assert found == value
    assert repr(in_order(found)) == repr(in_order(value))


def in_order(value):
    """Canonical JSON sorts the keys of dictionaries."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value, key=repr)}
    return type(value)(map(in_order, value)) if isinstance(value, list | tuple) else value


def test_nan_and_arrays_come_back():
    found = read_stored(write_stored({"a": float("nan"), "b": [np.arange(3)]}))
    assert found["a"] != found["a"]
    np.testing.assert_array_equal(found["b"][0], np.arange(3))


def test_what_json_holds_is_stored_as_canonical_json_and_nothing_else():
    value = {"b": 1, "a": ["x", None, 0.5]}
    assert write_stored(value) == canonical_json(value)


def test_queries_see_canonical_json_whatever_the_types():
    value = {"window": (DAY, None), "ic": np.float64(0.5), "s": {3}}
    plain = plain_of(parse_json(write_stored(value)))
    assert plain["window"] == ["2020-01-02", None]
    assert plain["ic"] == 0.5
    assert plain == parse_json(canonical_json(value, typed=True))


def test_a_derived_mapping_comes_back_as_a_dictionary_with_what_is_in_it():
    value = OrderedDict(b=(1,), a=MappingProxyType({"d": DAY}))
    found = read_stored(write_stored(value))
    assert found == {"b": (1,), "a": {"d": DAY}}
    assert type(found) is type(found["a"]) is dict
    assert type(found["b"]) is tuple


def test_segments_of_text_need_no_types_as_they_always_were_tuples():
    definition = {"dataset": {"segments": {"train": ("2008-01-01", "2014-12-31"), "test": ("2015-01-01", None)}}}
    text = write_definition(definition)
    assert text == canonical_json(definition)
    assert restore_definition(json.loads(text)) == definition


@pytest.mark.parametrize("pair", [["2008-01-01", "2014-12-31"], (DAY, DAY), (DAY, None), [DAY, DAY]])
def test_segments_come_back_as_they_were_given(pair):
    definition = {"segments": {"train": pair}}
    assert repr(restore_definition(json.loads(write_definition(definition)))) == repr(definition)


@pytest.mark.parametrize(
    "text",
    [
        '{"$stored": 2, "value": 1, "types": []}',
        '{"$stored": 1, "types": []}',
        '{"$stored": 1, "value": 1}',
        '{"$stored": 1, "value": [1], "types": [[[5], 1]]}',
        '{"$stored": 1, "value": 1, "types": [[["a"], 1]]}',
        '{"$stored": 1, "value": [1], "types": [7]}',
        '{"$stored": 1, "value": [1], "types": [[[0], {"$is": "code", "of": "x"}]]}',
    ],
)
def test_a_text_that_nobody_wrote_is_refused(text):
    with pytest.raises(TaskValueError):
        read_stored(text)


def test_what_has_neither_form_is_refused_with_its_path():
    with pytest.raises(TaskValueError, match=r"\$\.a\[1\]: object has no JSON form"):
        write_stored({"a": [1, object()]})


LEAVES = st.sampled_from(
    [None, True, 0, 1.0, -0.0, 0.5, 2**60, float("nan"), float("inf"), "x", "é", "\x00", "\ud800", "$is", DAY, b"x",
     date(2020, 1, 2), np.float64(0.5), np.int64(3), pd.NaT, "long " * 20, "longer" * 400]
)  # fmt: skip
DEFINITIONS = st.dictionaries(
    st.sampled_from(["dataset", "segments", "train", "k", "é"]),
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.sampled_from(["segments", "train", "k", "$is", "$stored", 3]), inner, max_size=3)
        ),
        max_leaves=10,
    ),
)


@given(DEFINITIONS, DEFINITIONS)
def test_parts_that_are_known_change_no_text(definition, other):
    for task in ({"a": definition, "b": other}, {"b": definition, "segments": other}, definition):
        found = write_definition(task)
        assert found == write_stored(task, bare=with_segment_tuples)
        assert write_definition(task) == found
