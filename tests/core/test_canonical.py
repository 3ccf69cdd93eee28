"""Identity: equal tasks have equal fingerprints, and what has no JSON form is refused with its path."""

# ruff: noqa: DTZ001 - sessions are naive labels

from __future__ import annotations

import json
import math
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.core.allowance import MAX_BYTES, Allowance
from rollwright.core.canonical import (
    _normalise,
    canonical_json,
    fingerprint,
    normalise,
    parse_json,
    sha256_hex,
    with_segment_tuples,
)
from rollwright.errors import TaskValueError


class Colour(Enum):
    RED = "red"


class Word(str, Enum):  # noqa: UP042 - its `str()` is "Word.UP", which is the point
    UP = "up"


class Level(IntEnum):
    LOW = 1


ACCEPTED = [
    (None, None),
    (True, True),
    (0, 0),
    (-1.5, -1.5),
    (2**53, 2**53),
    (-(2**53), -(2**53)),
    ("", ""),
    ("茅台 é \U0001f600", "茅台 é \U0001f600"),
    ((1, 2), [1, 2]),
    ([], []),
    ({}, {}),
    ({"a": (1, {"b": ()})}, {"a": [1, {"b": []}]}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (UserDict({"a": 1}), {"a": 1}),
    (date(2020, 1, 2), "2020-01-02"),
    (datetime(2020, 1, 2), "2020-01-02"),
    (datetime(2020, 1, 2, 9, 30), "2020-01-02 09:30:00"),
    (pd.Timestamp("2020-01-02"), "2020-01-02"),
    (pd.Timestamp("2020-01-02").as_unit("s"), "2020-01-02"),
    (pd.Timestamp("2020-01-02 15:00:01"), "2020-01-02 15:00:01"),
    (date(1, 1, 1), "0001-01-01"),
    (datetime(1, 1, 1), "0001-01-01"),
    (np.datetime64("2020-01-02"), "2020-01-02"),
    (np.datetime64("2020-01-02T00:00:00", "s"), "2020-01-02"),
    (np.datetime64("2020-01-02T00:00:00", "ns"), "2020-01-02"),
    (np.datetime64("2020-01-02T09:30:00", "ns"), "2020-01-02 09:30:00"),
    (np.int64(7), 7),
    (np.uint8(7), 7),
    (np.float64(0.1), 0.1),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (Path("a/b"), "a/b"),
    (PurePosixPath("a"), "a"),
    (Level.LOW, 1),
    (Word.UP, "up"),
]


@pytest.mark.parametrize(("value", "form"), ACCEPTED, ids=[type(value).__name__ for value, _ in ACCEPTED])
def test_values_with_a_json_form_get_it(value, form):
    got = normalise(value)
    assert got == form
    assert type(got) is type(form)
    json.dumps(got, allow_nan=False)


REFUSED = [
    (math.nan, "$"),
    ({"a": math.inf}, "$.a"),
    ({"a": [0, -math.inf]}, "$.a[1]"),
    (np.float32("nan"), "$"),
    (2**53 + 1, "$"),
    (-(2**53) - 1, "$"),
    (10**400, "$"),
    ({"model": {"kwargs": {"x": {1, 2}}}}, "$.model.kwargs.x"),
    (frozenset(), "$"),
    (b"x", "$"),
    (bytearray(b"x"), "$"),
    (1j, "$"),
    (Decimal("1.5"), "$"),
    (Colour.RED, "$"),
    (object(), "$"),
    (int, "$"),
    (len, "$"),
    (lambda: 0, "$"),
    (range(3), "$"),
    (SimpleNamespace(item=lambda: 1), "$"),
    (np.arange(3), "$"),
    ({"a": np.array(1.0)}, None),
    (pd.Series([1]), "$"),
    (pd.DataFrame({"a": [1]}), "$"),
    (pd.NaT, "$"),
    (pd.NA, "$"),
    (np.timedelta64(1, "ns"), "$"),
    (np.longdouble(1.5), "$"),
    (np.complex128(1), "$"),
    (np.bytes_(b"x"), "$"),
    (np.array([(1, 2)], dtype="i4,i4")[0], "$"),
    (np.datetime64("2020-01-02T00:00:00.5"), "$"),
    (np.datetime64("20000-01-01"), "$"),
    (np.datetime64("NaT"), "$"),
    (pd.Timedelta("1D"), "$"),
    (pd.Timestamp("2020-01-02", tz="UTC"), "$"),
    (datetime(2020, 1, 2, tzinfo=UTC), "$"),
    (datetime(2020, 1, 2, 9, 30, 0, 5), "$"),
    (pd.Timestamp("2020-01-02 00:00:00.000000001"), "$"),
    ({1: 2}, "$"),
    ({"a": {("x", "y"): 2}}, "$.a"),
    ({None: 1}, "$"),
    ("a\x00b", "$"),
    ({"a\x00": 1}, "$"),
    ("\ud800", "$"),
    ({"k": ["\udfff"]}, "$.k[0]"),
]


@pytest.mark.parametrize(("value", "path"), REFUSED, ids=[type(value).__name__ for value, _ in REFUSED])
def test_values_without_one_are_refused_with_their_path(value, path):
    if path is None:  # a zero-dimensional array is a NumPy scalar in all but name
        assert normalise(value) == {"a": 1.0}
        return
    with pytest.raises(TaskValueError) as caught:
        normalise(value)
    assert caught.value.path == path
    assert str(caught.value).startswith(path)
    str(caught.value).encode()  # an error that cannot be printed helps nobody


def test_nesting_is_bounded_and_the_error_stays_short():
    value = 1
    for _ in range(64):
        value = [value]
    normalise(value)
    with pytest.raises(TaskValueError, match="deeper than 64") as caught:
        normalise([value])
    assert len(caught.value.path) <= 200


def test_a_structure_that_contains_itself_is_refused():
    loop = {}
    loop["self"] = loop
    with pytest.raises(TaskValueError, match="deeper"):
        normalise(loop)


def test_a_definition_of_more_than_a_mebibyte_is_refused():
    assert len(canonical_json("x" * (MAX_BYTES - 2))) == MAX_BYTES
    with pytest.raises(TaskValueError, match="bytes"):
        canonical_json("x" * (MAX_BYTES - 1))


def test_the_limit_counts_bytes_and_not_characters():
    with pytest.raises(TaskValueError, match="bytes"):
        canonical_json("茅" * (MAX_BYTES // 2))


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": (1, 2.0), "a": "é", "c": None}) == '{"a":"é","b":[1,2.0],"c":null}'


def test_the_order_of_keys_is_no_part_of_the_identity():
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})


def test_the_order_of_a_list_is():
    assert fingerprint([1, 2]) != fingerprint([2, 1])


def test_equal_meanings_from_different_libraries_are_one_task():
    spellings = [
        {"segments": {"test": ("2020-01-02", "2020-03-31")}, "seed": 7},
        {"segments": {"test": [date(2020, 1, 2), date(2020, 3, 31)]}, "seed": np.int32(7)},
        {"segments": {"test": (pd.Timestamp("2020-01-02"), np.datetime64("2020-03-31", "ns"))}, "seed": np.int64(7)},
    ]
    assert len({fingerprint(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, True), (0, False), (None, "null"), (None, 0), ([], {}), ({"a": None}, {}), ("a", ["a"])],
    ids=repr,
)
def test_different_meanings_differ(one, other):
    assert fingerprint({"x": one}) != fingerprint({"x": other})


def test_zero_has_one_sign():
    assert fingerprint({"x": -0.0}) == fingerprint({"x": 0.0})


# These values are stored in pools and recorders: a change needs a new schema version and a migration.
GOLDEN = [
    ({}, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
    ([], "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"),
    (
        {
            "model": {
                "class": "LGBModel",
                "module_path": "rollwright.model.lightgbm",
                "kwargs": {"lr": 0.05, "n": 64},
            },
            "dataset": {"segments": {"train": ("2015-01-05", "2016-12-30"), "test": ("2017-01-03", "2017-03-31")}},
            "label": "Ref($close, -2)/Ref($close, -1) - 1",
            "名": True,
            "none": None,
        },
        "302f3a461aca7612300d365ca553949639be00e48a4a6864049faaeecf4bc5c1",
    ),
]


@pytest.mark.parametrize(("value", "digest"), GOLDEN, ids=["empty mapping", "empty list", "a task"])
def test_fingerprints_never_change(value, digest):
    assert fingerprint(value) == digest


def test_the_hash_is_sha256_in_hex():
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", '{"a": [NaN]}'])
def test_parsing_refuses_what_json_has_not(constant):
    with pytest.raises(TaskValueError, match=r"\$: (NaN|-?Infinity) has no JSON form"):
        parse_json(constant)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{'a': 1}", "[" * 100_000, "1" * 5000], ids=lambda t: t[:9])
def test_parsing_refuses_broken_text_with_an_error_of_ours(text):
    with pytest.raises(TaskValueError, match="this is not JSON"):
        parse_json(text)


def test_a_key_given_twice_is_refused():
    with pytest.raises(TaskValueError, match="twice"):
        parse_json('{"a": 1, "b": {"a": 1, "a": 2}}')


def test_segments_come_back_as_tuples_and_nothing_else_does():
    stored = {
        "dataset": {
            "kwargs": {
                "segments": {"train": ["2015", "2016"], "test": ["2017", None]},
                "columns": ["open", "close"],
            }
        },
        "record": [{"kwargs": {"segments": {"a": ["x", "y"]}}}, ["p", "q"]],
    }
    restored = with_segment_tuples(stored)
    assert restored["dataset"]["kwargs"]["segments"] == {"train": ("2015", "2016"), "test": ("2017", None)}
    assert restored["dataset"]["kwargs"]["columns"] == ["open", "close"]
    assert restored["record"][0]["kwargs"]["segments"]["a"] == ("x", "y")
    assert restored["record"][1] == ["p", "q"]
    assert stored["dataset"]["kwargs"]["segments"]["train"] == ["2015", "2016"], "the stored value is not touched"
    assert fingerprint(restored) == fingerprint(stored)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
    | st.dates()
)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_normalising_twice_changes_nothing(value):
    once = normalise(value)
    assert normalise(once) == once
    assert fingerprint(once) == fingerprint(value)


@given(VALUES)
def test_a_value_survives_storage(value):
    assert fingerprint(parse_json(canonical_json(value))) == fingerprint(value)


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.randoms(use_true_random=False))
def test_shuffled_keys_keep_the_fingerprint(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(value)


class Text(str):
    """Equal to its text, and no `str` exactly."""


class Table(UserDict):
    """A mapping that is no `dict`."""


ODD = (
    st.sampled_from([np.float64(1.5), np.int64(7), np.bool_(True), np.datetime64("2020-01-02"), Path("a/b"), -0.0])
    | st.sampled_from([pd.Timestamp("2020-01-02"), pd.Timestamp("2020-01-02 09:30"), Text("x"), True, 2**53])
    | st.sampled_from([float("nan"), 2**53 + 1, b"x", {1}, pd.NaT, "\x00", "\ud800", object, pd.Timestamp(1)])
)
ANYTHING = st.recursive(
    SCALARS | ODD,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS | st.sampled_from([1, Text("k"), "\x00"]), inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4).map(Table)
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_the_quick_walk_gives_what_the_walk_with_paths_gives(value):
    def outcome(walk):
        try:
            return json.dumps(walk())
        except TaskValueError as error:
            return error.path, str(error)

    # The private walk is the reference: what fingerprints were made by before there was a quicker one.
    assert outcome(lambda: normalise(value)) == outcome(lambda: _normalise(value, "$", 0, Allowance(), typed=False))


def shared(levels):
    """Return lists that hold one another twice: `levels` objects, and 2**levels values when written out."""
    value = [1]
    for _ in range(levels):
        value = [value, value]
    return value


def test_parts_that_stand_several_times_are_counted_as_often():
    assert canonical_json(shared(4)).count("1") == 16
    for read in (canonical_json, fingerprint, normalise):
        with pytest.raises(TaskValueError, match="counted as often as it stands"):
            read({"model": shared(40)})
    assert len(normalise(shared(12), limit=1 << 16)) == 2
    with pytest.raises(TaskValueError, match="counted as often as it stands"):
        normalise(shared(12), limit=1 << 12)


def test_a_long_text_that_stands_often_is_counted_as_often():
    text = "x" * 10_000
    with pytest.raises(TaskValueError, match="more than 1,048,576 values and characters"):
        canonical_json([text] * 1_000)
    assert len(canonical_json([text] * 100)) > 1_000_000


def test_the_error_about_a_wrong_value_has_its_path_though_others_are_shared():
    with pytest.raises(TaskValueError, match=r"\$\.b\.c: nan"):
        canonical_json({"a": shared(8), "b": {"c": float("nan")}})


def test_a_key_given_twice_is_found_at_once_among_many():
    text = "{" + "".join(f'"k{n}": 1,' for n in range(60_000)) + '"last": 1, "last": 2}'
    with pytest.raises(TaskValueError, match="'last' is given twice"):
        parse_json(text)


def test_a_stored_definition_that_nests_for_ever_is_refused():
    with pytest.raises(TaskValueError, match="nested deeper than 64"):
        with_segment_tuples(parse_json("[" * 900 + "]" * 900))
