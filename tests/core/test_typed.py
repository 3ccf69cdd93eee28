"""Typed JSON: whatever is written comes back with its type, through JSON text, and nothing else is ever made."""

# ruff: noqa: DTZ001 - naive moments are among what has to come back

from __future__ import annotations

import json
import math
import uuid
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath, PureWindowsPath
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.core.typed import from_typed, is_plain, to_typed
from rollwright.errors import TaskValueError

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")

PLAIN = [None, True, 0, -3, 1.5, -0.0, 2**53, "", "茅台", [], {}, {"b": [1, {"a": None}], "a": "x"}]
TYPED = [
    (),
    (1, "a", (None,)),
    {1, 2},
    {(1, 2), "a"},
    frozenset({"x"}),
    b"\x00\xff",
    bytearray(b"ab"),
    1 + 2j,
    complex(math.inf, -0.0),
    range(1, 9, 2),
    slice(None, 5),
    2**60,
    -(10**40),
    math.inf,
    -math.inf,
    "a\ud800",
    date(2020, 1, 2),
    datetime(2020, 1, 2, 9, 30, 0, 5),
    datetime(2020, 1, 2, tzinfo=UTC),
    datetime(2020, 1, 2, tzinfo=SHANGHAI),
    datetime(2020, 11, 1, 1, 30, fold=1, tzinfo=NEW_YORK),
    datetime(2020, 1, 2, tzinfo=timezone(timedelta(hours=8))),
    datetime(2020, 1, 2, tzinfo=timezone(timedelta(hours=8), "CST")),
    time(9, 30),
    timedelta(days=-1, microseconds=3),
    Decimal("1.10"),
    uuid.UUID(int=7),
    Path("a/b"),
    PurePosixPath("/a"),
    PureWindowsPath("c:\\a"),
    pd.Timestamp("2020-01-02"),
    pd.Timestamp("2020-01-02 09:30:00.000000001"),
    pd.Timestamp("2020-01-02").as_unit("s"),
    pd.Timestamp("2020-01-02 09:30", tz="Asia/Shanghai"),
    pd.Timestamp("2020-01-02", tz="UTC"),
    pd.Timestamp("2020-11-01 06:30", tz="UTC").tz_convert("America/New_York"),
    pd.Timedelta("1D 00:00:00.000000001"),
    pd.Timedelta(5, "s"),
    pd.NaT,
    pd.NA,
    np.float64(0.1),
    np.float32(0.1),
    np.float16(0.1),
    np.float64("inf"),
    np.int8(-3),
    np.uint64(2**63),
    np.bool_(True),
    np.str_("x"),
    np.bytes_(b"x"),
    np.complex64(1 + 2j),
    np.datetime64("2020-01-02"),
    np.datetime64("2020-01-02T09:30:00.000000001", "ns"),
    np.timedelta64(5, "h"),
    {None: 1},
    {1: "a", "1": "b", (1, "x"): {2: 3}},
    {pd.Timestamp("2020-01-02"): [np.int64(3)]},
    {"$is": "tuple", "of": [1]},
    {"a": {"$is": 1}},
    [{"k": ((1, 2), {"x": b"y"})}],
]
ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.array(1.5),
    np.zeros((0, 3), dtype="f4"),
    np.array([[1.0, np.nan]], order="F"),
    np.array(["a", "茅"]),
    np.array(["2020-01-02", "NaT"], dtype="M8[ns]"),
    np.array([1, 2], dtype=">i4"),
    np.array([None, (1, 2), "x"], dtype=object),
    np.array([True, False]),
]


def through_text(value):
    return from_typed(json.loads(json.dumps(to_typed(value), allow_nan=False, ensure_ascii=True)))


def types_of(value):
    if isinstance(value, dict):
        return [(types_of(key), types_of(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return (type(value), [types_of(item) for item in value])
    return (type(value), getattr(value, "unit", None), getattr(value, "dtype", None), str(getattr(value, "tzinfo", "")))


@pytest.mark.parametrize("value", [*PLAIN, *TYPED], ids=lambda value: type(value).__name__)
def test_a_value_comes_back_with_its_type(value):
    found = through_text(value)
    assert types_of(found) == types_of(value)
    if value is pd.NaT or value is pd.NA:
        assert found is value
    else:
        assert found == value
        assert repr(found) == repr(value) or isinstance(value, set)


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype}{value.shape}")
def test_an_array_comes_back_with_its_dtype_and_can_be_written_to(value):
    found = through_text({"a": value})["a"]
    assert found.dtype == value.dtype
    assert found.shape == value.shape
    np.testing.assert_array_equal(found, value)
    assert found.flags.writeable


@pytest.mark.parametrize("value", [math.nan, np.float32("nan"), np.datetime64("NaT"), np.timedelta64("NaT")], ids=repr)
def test_a_value_unequal_to_itself_comes_back(value):
    found = through_text(value)
    assert type(found) is type(value)
    assert found != found


def test_only_what_json_knows_is_plain():
    assert all(is_plain(value) for value in PLAIN)
    assert not any(
        is_plain(value) for value in TYPED if not (isinstance(value, dict) and set(map(type, value)) == {str})
    )
    assert not is_plain([{"a": (1,)}])


class Colour(Enum):
    RED = 1


class Text(str):
    __slots__ = ()


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - a class derived from tuple, as users write it


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Colour.RED,
        Text("a"),
        Pair(1, 2),
        OrderedDict(a=1),
        len,
        pd.Series([1]),
        pd.Timestamp,
        np.longdouble(1),
        np.array([(1, 2)], dtype="i4,i4"),
        10**5000,
        [lambda: 0],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_exactly_has_no_typed_form(value):
    with pytest.raises(TaskValueError):
        to_typed({"a": [value]})
    assert not is_plain({"a": [value]})


def test_walks_end():
    circle: list = []
    circle.append(circle)
    bomb: list = [()]
    for _ in range(40):
        bomb = [bomb, bomb]
    for value in (circle, bomb):
        with pytest.raises(TaskValueError):
            to_typed(value, limit=10_000)
        assert not is_plain(value, limit=10_000)


@pytest.mark.parametrize(
    "text",
    [
        {"$is": "module", "of": "os"},
        {"$is": ["tuple"], "of": []},
        {"$is": "tuple"},
        {"$is": "tuple", "of": 5},
        {"$is": "set", "of": [[]]},
        {"$is": "bytes", "of": "***"},
        {"$is": "int", "of": "9" * 5000},
        {"$is": "int", "of": None},
        {"$is": "datetime", "of": "yesterday"},
        {"$is": "datetime", "of": "2020-01-02", "zone": "../../etc/passwd"},
        {"$is": "timestamp", "of": "2020-01-02", "unit": "parsec"},
        {"$is": "numpy", "of": 1, "dtype": "O"},
        {"$is": "numpy", "of": 1, "dtype": "i4,i4"},
        {"$is": "array", "of": "AAAA", "dtype": "<f8", "shape": [1]},
        {"$is": "array", "of": "", "dtype": "<f8", "shape": [10**12]},
        {"$is": "array", "of": [], "dtype": "O", "shape": [2]},
        {"$is": "dict", "of": [1]},
        {"$is": "dict", "of": [[{"$is": "dict", "of": []}, 1]]},
        {"$is": "decimal", "of": "x"},
        {"$is": "slice", "of": [1, 2, 3, 4]},
        {"$is": "path", "of": 5},
    ],
    ids=str,
)
def test_what_is_no_typed_json_is_refused(text):
    with pytest.raises(TaskValueError):
        from_typed([text])


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(),
        st.binary(),
        st.dates(),
        st.datetimes(),
        st.timedeltas(),
        st.complex_numbers(allow_nan=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers(), st.none(), st.just("$is")), inner, max_size=3),
    ),
    max_leaves=12,
)


@given(values)
def test_any_value_comes_back(value):
    found = through_text(value)
    assert found == value
    assert repr(found) == repr(value)
