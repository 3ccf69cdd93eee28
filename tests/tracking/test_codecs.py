"""Frames and arrays come back exactly as they were, and equal ones make equal bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.codecs.frames import NpyCodec, ParquetCodec
from rollwright.codecs.registry import codecs
from rollwright.errors import CorruptArtifactError, UnsupportedArtifactError

CODEC = ParquetCodec()


def days(count=3, unit="us"):
    return pd.date_range("2020-01-01", periods=count, unit=unit).as_unit(unit)


def panel(unit="us"):
    return pd.MultiIndex.from_product([days(unit=unit), ["SZ1", "SH6", "BJ8"]], names=["datetime", "instrument"])


def bytes_of(obj, folder, name="x"):
    path = folder / f"{name}.parquet"
    CODEC.write(obj, path)
    return path.read_bytes()


def round_trip(obj, folder):
    path = folder / "x.parquet"
    CODEC.write(obj, path)
    return CODEC.read(path)


def check(obj, folder):
    back = round_trip(obj, folder)
    if isinstance(obj, pd.Series):
        pd.testing.assert_series_equal(back, obj, check_freq=False)
    else:
        pd.testing.assert_frame_equal(back, obj, check_freq=False)
        assert back.columns.equals(obj.columns)
        assert back.columns.names == obj.columns.names
    assert back.index.names == obj.index.names
    assert getattr(back.index, "freq", None) == getattr(obj.index, "freq", None)


FRAMES = {
    "predictions": pd.DataFrame({"score": np.linspace(-1, 1, 9)}, index=panel()),
    "nanoseconds": pd.DataFrame({"score": np.linspace(-1, 1, 9)}, index=panel("ns")),
    "seconds": pd.DataFrame({"score": np.linspace(-1, 1, 9)}, index=panel("s")),
    "milliseconds": pd.DataFrame({"score": np.linspace(-1, 1, 9)}, index=panel("ms")),
    "groups of columns": pd.DataFrame(
        np.arange(18, dtype="float32").reshape(9, 2),
        index=panel(),
        columns=pd.MultiIndex.from_tuples([("feature", "A"), ("label", "A")], names=["group", None]),
    ),
    "unsorted rows": pd.DataFrame({"score": np.arange(9.0)}, index=panel()).iloc[[5, 0, 8, 0, 3]],
    "levels nobody uses": pd.DataFrame({"score": np.arange(9.0)}, index=panel()).iloc[2:4],
    "missing in the index": pd.DataFrame(
        {"a": [1, 2, 3]},
        index=pd.MultiIndex.from_arrays([[pd.NaT, *days(2)], ["x", None, "y"]], names=["datetime", None]),
    ),
    "numbers in the index": pd.DataFrame({"a": [1, 2, 3]}, index=pd.MultiIndex.from_arrays([[3, 1, 3], [1.5, 0, -1]])),
    "one day": pd.DataFrame({"score": np.arange(3.0)}, index=panel()[:3]),
    "no rows": pd.DataFrame({"score": np.arange(0.0)}, index=panel()[:0]),
    "no columns": pd.DataFrame(index=panel()),
    "nothing": pd.DataFrame(),
    "a plain range": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(4, 8, 2, name="place")),
    "days": pd.DataFrame({"a": [1.0, 2, 3]}, index=pd.DatetimeIndex(days(), name="datetime")),
    "days without a rhythm": pd.DataFrame({"a": [1.0, 2, 3]}, index=pd.DatetimeIndex(list(days()))),
    "time zones": pd.DataFrame(
        {"a": days().tz_localize("Asia/Shanghai")}, index=days().tz_localize("America/New_York")
    ),
    "text index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="instrument")),
    "labels of many types": pd.DataFrame([[1, 2, 3, 4]], columns=[0, "0", 1.5, None]),
    "dates as labels": pd.DataFrame([[1.0, 2, 3]], columns=days()),
    "twice the same label": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "a label like an index": pd.DataFrame({"datetime": [1] * 9, "__0__": [2] * 9}, index=panel()),
    "no labels": pd.DataFrame(np.arange(4).reshape(2, 2)),
    "numbers": pd.DataFrame(
        {
            kind: np.array([0, 1, 1], dtype=kind)
            for kind in ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
        }
    ),
    "odd floats": pd.DataFrame({"a": [np.nan, np.inf, -np.inf, -0.0, 5e-324]}),
    "times": pd.DataFrame({"a": pd.to_timedelta([1, None, 3], unit="s"), "b": [days()[0], pd.NaT, days()[1]]}),
    "text": pd.DataFrame(
        {"a": pd.Series(["x", None, "ü" * 40], dtype="str"), "b": pd.Series(["", "a", "b"], dtype="str")}
    ),
    "text as objects": pd.DataFrame({"a": pd.Series(["x", None, "y"], dtype=object)}),
    "mask_secrets": pd.DataFrame(
        {
            "a": pd.array([1, None, 3], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "c": pd.array([0.5, None, np.inf], dtype="Float32"),
            "d": pd.array(["x", None, "y"], dtype=pd.StringDtype("python")),
        }
    ),
    "categories": pd.DataFrame(
        {
            "a": pd.Categorical(["x", None, "y"], categories=["y", "z", "x"], ordered=True),
            "b": pd.Categorical([3, 1, 3]),
            "c": pd.Categorical(days()),
        }
    ),
    "a long one": pd.DataFrame({"a": np.arange(5000) % 7 / 7, "b": np.arange(5000)}),
}


@pytest.mark.parametrize("which", FRAMES)
def test_a_frame_comes_back_as_it_was(which, tmp_path):
    check(FRAMES[which], tmp_path)


@pytest.mark.parametrize("name", [None, "score", 0, ("feature", "A"), 1.5])
@pytest.mark.parametrize("which", ["predictions", "days", "a plain range", "no rows"])
def test_a_series_comes_back_as_it_was(which, name, tmp_path):
    check(FRAMES[which].iloc[:, 0].rename(name), tmp_path)


def test_what_comes_back_can_be_written_to(tmp_path):
    back = round_trip(FRAMES["predictions"], tmp_path)
    back.iloc[0, 0] = 7
    back.loc[(pd.Timestamp("2020-01-01"), "SZ1"), "score"] += 1
    assert back.iloc[0, 0] == 8


def test_equal_frames_give_equal_bytes_however_they_were_made(tmp_path):
    whole = FRAMES["predictions"]
    part = whole.iloc[2:7]
    again = pd.DataFrame({"score": part["score"].to_list()}, index=pd.MultiIndex.from_tuples(list(part.index)))
    again.index = again.index.set_levels(again.index.levels[0].as_unit("us"), level=0).set_names(whole.index.names)
    shuffled = pd.concat([part.iloc[3:], part.iloc[:3]]).loc[list(part.index)]
    assert bytes_of(part, tmp_path) == bytes_of(again, tmp_path) == bytes_of(shuffled, tmp_path, "other")
    assert bytes_of(part, tmp_path) != bytes_of(-part, tmp_path)


def test_a_frame_that_came_back_makes_the_same_bytes(tmp_path):
    for which, frame in FRAMES.items():
        assert bytes_of(frame, tmp_path) == bytes_of(round_trip(frame, tmp_path), tmp_path), which


def test_others_can_read_the_file(tmp_path):
    bytes_of(FRAMES["predictions"], tmp_path)
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column_names == ["datetime", "instrument", "score"]
    assert table["instrument"].to_pylist()[:3] == ["SZ1", "SH6", "BJ8"]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([object()]),
        pd.Series([1, "a"], dtype=object),
        pd.Series([["a"]]),
        pd.Series([b"a"]),
        pd.Series([np.nan, "a"], dtype=object),
        pd.Series([1 + 2j]),
        pd.Series(pd.period_range("2020", periods=2, freq="Y")),
        pd.Series(pd.interval_range(0, 2)),
        pd.Series(pd.array([1, 2], dtype=pd.SparseDtype("int64", 0))),
        pd.Series([1, 2], dtype=pd.ArrowDtype(pa.int64())),
        pd.Series(pd.Categorical(pd.interval_range(0, 2))),
        pd.Series([1], index=[object()]),
        pd.Series([1], name=object()),
    ],
    ids=lambda values: f"{values.dtype}-{type(values.name).__name__}-{values.index.dtype}",
)
def test_what_has_no_exact_form_is_refused_by_name(values, tmp_path):
    with pytest.raises(
        UnsupportedArtifactError, match=r"holds objects|no exact and safe form|label .* is (object|Interval)"
    ):
        CODEC.write(values, tmp_path / "x.parquet")


def test_a_refused_column_is_named(tmp_path):
    with pytest.raises(UnsupportedArtifactError, match="column 'bad' holds objects: row 1 is dict"):
        CODEC.write(pd.DataFrame({"good": [1, 2], "bad": ["a", {}]}), tmp_path / "x.parquet")


@given(
    values=st.lists(st.floats(width=32) | st.just(float("nan")), min_size=1, max_size=30),
    codes=st.lists(st.tuples(st.integers(0, 400), st.text(min_size=1, max_size=4)), min_size=30, max_size=30),
)
def test_any_panel_comes_back(values, codes, tmp_path):
    rows = codes[: len(values)]
    rows = [(day, text.encode("utf-8", "ignore").decode() or "x") for day, text in rows]
    index = pd.MultiIndex.from_arrays(
        [pd.DatetimeIndex([pd.Timestamp("2020-01-01") + pd.Timedelta(days=day) for day, _ in rows]).as_unit("us"),
         pd.Index([text for _, text in rows], dtype="str")],
        names=["datetime", "instrument"],
    )  # fmt: skip
    check(pd.DataFrame({"score": values}, index=index), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100])
def test_a_file_that_is_no_frame_is_corrupt(content, tmp_path):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"x\.parquet holds no frame of ours"):
        CODEC.read(tmp_path / "x.parquet")


def test_a_parquet_file_of_others_is_refused(tmp_path):
    FRAMES["predictions"].to_parquet(tmp_path / "x.parquet")
    with pytest.raises(CorruptArtifactError, match="not one written here"):
        CODEC.read(tmp_path / "x.parquet")


def test_a_frame_file_of_an_earlier_version_is_still_read():
    """A change of the format needs a new format number, a reader for the old one, and a new file beside this one."""
    back = CODEC.read(Path(__file__).parent / "fixtures" / "frame-format-1.parquet")
    pd.testing.assert_frame_equal(back, FRAMES["groups of columns"], check_freq=False)


ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.array(3.5),
    np.array([], dtype="f8"),
    np.array(["a", "bc"]),
    np.array(["2020-01-01", "NaT"], dtype="M8[s]"),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_an_array_comes_back_as_it_was(array, tmp_path):
    codec = codecs.for_object(array)
    assert isinstance(codec, NpyCodec)
    codec.write(array, tmp_path / "x.npy")
    back = codec.read(tmp_path / "x.npy")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_an_array_of_objects_is_neither_written_nor_read(tmp_path):
    array = np.array([{}, 1], dtype=object)
    with pytest.raises(UnsupportedArtifactError, match="an array of object holds objects"):
        NpyCodec().write(array, tmp_path / "x.npy")
    with open(tmp_path / "x.npy", "wb") as handle:
        np.save(handle, array, allow_pickle=True)
    with pytest.raises(CorruptArtifactError, match="Object arrays cannot be loaded"):
        NpyCodec().read(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(CorruptArtifactError, match="holds no array of ours: EOF"):
        NpyCodec().read(tmp_path / "x.npy")


def test_the_registry_leads_to_these_codecs():
    assert isinstance(codecs.for_object(pd.DataFrame()), ParquetCodec)
    assert isinstance(codecs.for_object(pd.Series(dtype="f8")), ParquetCodec)
