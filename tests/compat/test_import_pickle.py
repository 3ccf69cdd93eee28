"""Old pickles become safe files: those of three generations of pandas, and nothing that asks for anything else."""

from __future__ import annotations

import collections
import datetime as dt
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.cli.root import run
from rollwright.codecs.registry import codecs
from rollwright.codecs.typed_json import TypedJsonCodec
from rollwright.compat.importing import import_pickle
from rollwright.compat.pickle_frames import Rebuilder
from rollwright.compat.pickle_reader import read_notes
from rollwright.errors import (
    ArtifactNotFoundError,
    ConfigError,
    CorruptArtifactError,
    UnsupportedArtifactError,
    UntrustedArtifactError,
)

OLD = Path(__file__).resolve().parents[1] / "fixtures" / "pickles"
INDEX = pd.MultiIndex.from_product(
    [pd.date_range("2020-01-01", periods=3), ["SH600000", "SZ000001"]], names=["datetime", "instrument"]
)
PRED = pd.DataFrame({"score": np.arange(6.0)}, index=INDEX)
LABEL = pd.DataFrame({("label", "LABEL0"): np.arange(6.0, dtype="f4")}, index=INDEX)
IC = pd.Series(np.arange(3.0), index=pd.date_range("2020-01-01", periods=3, name="datetime"), name="ic")
MIXED = pd.DataFrame(
    {
        "a": [1, 2, 3],
        "b": ["x", "y", None],
        "c": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
        "d": [True, False, True],
        "e": np.array([1, 2, 3], dtype="i4"),
    }
)
EXPECTED = {"pred": PRED, "label": LABEL, "ic": IC, "mixed": MIXED}
FILES = sorted(path for path in OLD.glob("*.pkl") if "category" not in path.name)


def rebuilt(data):
    """Return what a pickle holds, read in this process (it calls nothing)."""
    return Rebuilder("x.pkl").value(read_notes(data, where="x.pkl"))


def test_there_are_files_of_each_generation():
    assert {path.name.split("-")[1] for path in FILES} == {"1.5", "2.2", "3.1"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_frames_and_series_of_each_generation_of_pandas_come_back(path):
    expected = EXPECTED[path.stem.split("-")[2]]
    found = rebuilt(path.read_bytes())
    assert type(found) is type(expected)
    assert list(found.index.names) == list(expected.index.names)
    table, wanted = (pd.DataFrame(item).reset_index() for item in (found, expected))
    for column in table.columns:  # dates were counted in nanoseconds before pandas 3
        assert table[column].dtype.kind == wanted[column].dtype.kind
        if table[column].dtype.kind == "M":
            table[column] = table[column].astype("datetime64[us]")
    pd.testing.assert_frame_equal(table, wanted, check_freq=False)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        PRED, IC, np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.float64(0.25),
        np.array(["a", "bc"]), np.array(["2020-01-01", "NaT"], dtype="M8[D]"), pd.Timestamp("2020-01-02 03:04:05"),
        {"a": [1, (2, "x"), None, True, 0.5], "b": {"c": b"raw"}}, collections.OrderedDict(a=1, b=[2]),
        dt.date(2020, 1, 2), pd.Timestamp("2020-01-02 03:04:05.000006").to_pydatetime(), 2**70, "茅台", [],
        PRED.iloc[:0],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_results_are_made_of_survives_every_protocol(value, protocol):
    data = pickle.dumps(value, protocol=protocol)
    if protocol < 2 and isinstance(value, pd.DataFrame | pd.Series):
        with pytest.raises(UntrustedArtifactError, match=r"asks for copy_reg\._reconstructor, which is on no list"):
            rebuilt(data)
        return
    if protocol < 3 and isinstance(value, dict) and "b" in value and isinstance(value["b"], dict):
        value = {**value, "b": {"c": b"raw"}}
    found = rebuilt(data)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(found, value, check_freq=False)
    elif isinstance(value, pd.Series):
        pd.testing.assert_series_equal(found, value, check_freq=False)
    elif isinstance(value, np.ndarray):
        np.testing.assert_array_equal(found, value)
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
    else:
        assert found == value


def test_the_command_writes_a_parquet_file_beside_the_old_one(capsys, tmp_path):
    source = tmp_path / "pred.pkl"
    source.write_bytes((OLD / "pandas-1.5-pred-4.pkl").read_bytes())
    assert run(["import", "pickle", str(source)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'pred.parquet'}: DataFrame 6 x 1 as parquet\n"
    found = codecs.for_kind("parquet").read(tmp_path / "pred.parquet")
    pd.testing.assert_frame_equal(found, PRED, check_freq=False, check_index_type=False, check_dtype=True)
    assert run(["import", "pickle", str(source)]) == 2
    assert "replaces nothing" in capsys.readouterr().err


def test_a_plain_value_becomes_json_and_an_array_npy(capsys, tmp_path):
    (tmp_path / "task").write_bytes(
        pickle.dumps({"model": {"class": "LGBModel"}, "segments": {"test": ("2020", None)}})
    )
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(np.arange(3)))
    assert run(["import", "pickle", str(tmp_path / "task"), "--out", str(tmp_path / "task.json"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert (told["kind"], told["type"]) == ("typed", "dict")  # JSON has no tuple
    assert {"cpu", "memory", "files"} <= set(told["limits"])
    assert TypedJsonCodec().read(tmp_path / "task.json")["segments"] == {"test": ("2020", None)}
    assert import_pickle(tmp_path / "a.pkl").path == str(tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.arange(3))


def test_what_is_refused_is_named_and_leaves_nothing(capsys, tmp_path):
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"cposix\nsystem\n(S'touch pwned'\ntR.")
    assert run(["import", "pickle", str(path), "--json"]) == 2
    assert "asks for posix.system" in json.loads(capsys.readouterr().out)["errors"][0]["message"]
    with pytest.raises(ArtifactNotFoundError, match="there is no file"):
        import_pickle(tmp_path / "gone.pkl")
    with pytest.raises(ArtifactNotFoundError, match="no regular file"):
        import_pickle(tmp_path)
    with pytest.raises(UntrustedArtifactError) as refused:
        import_pickle(path)
    assert "to_parquet" in (refused.value.hint or "")
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(ConfigError, match="exists"):
        import_pickle(path, path)
    assert [item.name for item in tmp_path.iterdir() if item.suffix] == ["evil.pkl"]


@pytest.mark.parametrize(
    ("value", "error", "word"),
    [
        (pickle.loads, UntrustedArtifactError, "_pickle"),
        ({1, 2}, UntrustedArtifactError, "EMPTY_SET"),
        ({1: 2}, UnsupportedArtifactError, "key"),
        (pd.DataFrame, UnsupportedArtifactError, "a value belongs"),
        (np.array([{}], dtype=object), UnsupportedArtifactError, "objects"),
        (pd.Series(pd.Categorical(["a"])), UntrustedArtifactError, "Categorical"),
    ],
    ids=str,
)
def test_values_without_a_safe_form_are_refused_by_name(value, error, word):
    with pytest.raises(error, match=word):
        rebuilt(pickle.dumps(value, protocol=4))


@pytest.mark.parametrize(
    "path", [OLD / "pandas-3.1-pred-4.pkl", OLD / "pandas-1.5-pred-4.pkl"], ids=lambda path: path.stem
)
def test_a_file_that_is_cut_or_changed_is_refused_or_read_and_never_breaks_the_reader(path):
    data = path.read_bytes()
    known = (CorruptArtifactError, UnsupportedArtifactError, UntrustedArtifactError)
    for length in range(0, len(data), 7):
        with pytest.raises(known):
            rebuilt(data[:length])
    broken: list[str] = []
    for place in range(0, len(data), 3):
        changed = bytearray(data)
        changed[place] ^= 0x15
        try:
            rebuilt(bytes(changed))
        except known:
            continue
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
            continue  # told by the child as a file that cannot be converted
        except Exception as error:  # noqa: BLE001 - anything else is what this test is for
            broken.append(f"{place}: {error!r}")
    assert broken == []


def test_a_second_pickle_behind_the_first_is_refused():
    with pytest.raises(CorruptArtifactError, match="goes on"):
        rebuilt(pickle.dumps(1) + pickle.dumps(2))


def called(name: str, args: bytes, state: bytes = b"") -> bytes:
    """Return a pickle that calls one name."""
    module, _, last = name.rpartition(".")
    return b"\x80\x02c" + module.encode() + b"\n" + last.encode() + b"\n" + args + b"R" + state + b"."


ONE_PAIR = pickle.dumps([["a", 1]], protocol=2)[2:-1]
LATIN1 = pickle.dumps("latin1", protocol=2)[2:-1]
TEXT = pickle.dumps("x", protocol=2)[2:-1]


@pytest.mark.parametrize(
    "data",
    [
        called("collections.OrderedDict", ONE_PAIR + b"\x85"),  # as Python 2 wrote it
        called("collections.OrderedDict", b")", b"}" + TEXT + b"K\x01sb"),  # attributes of its own
        called("datetime.datetime", pickle.dumps((b"\x07\xe4\x01\x02\0\0\0\0\0\0", None), protocol=3)[2:-1]),
        called("builtins.bytearray", TEXT + LATIN1 + b"\x86"),
        called("_codecs.encode", TEXT + LATIN1 + b"\x86", b"}b"),
    ],
    ids=["pairs", "attributes", "a time zone", "an encoding", "a state"],
)
def test_what_is_not_understood_is_refused_and_never_dropped(data):
    pickle.loads(data.replace(b"}b", b""))  # Python itself makes something of it
    with pytest.raises(UnsupportedArtifactError, match="made of other parts"):
        rebuilt(data)


def test_a_name_is_never_looked_up_and_a_call_is_never_made(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("looked up")

    monkeypatch.setattr(pd, "DataFrame", refuse)
    monkeypatch.setattr(collections, "OrderedDict", refuse)
    notes = read_notes(called("pandas.DataFrame", TEXT + b"\x85"), where="x")
    assert (notes.name, notes.args, notes.state) == ("pandas.DataFrame", ("x",), None)
    assert read_notes(called("collections.OrderedDict", b")", TEXT + b"K\x01s"), where="x").items == {"x": 1}


def test_a_note_is_no_key_and_its_state_is_set_once():
    for data in (
        b"\x80\x02}" + called("pandas.DataFrame", b")")[2:-1] + b"K\x01s.",
        called("pandas.DataFrame", b")", b"K\x01bK\x02b"),
        b"\x80\x02cpandas\nDataFrame\n}" + TEXT + b"K\x01sb.",
        b"\x80\x02cpandas\nDataFrame\nN}" + TEXT + b"K\x01s\x86b.",
        called("pandas.DataFrame", b")", TEXT + b"K\x01s"),
        called("pandas.DataFrame", b")", b"K\x01a"),
        called("pandas.DataFrame", b")", b")R"),
    ):
        with pytest.raises(CorruptArtifactError, match="not a complete pickle"):
            read_notes(data, where="x")
    with pytest.raises(
        CorruptArtifactError, match="does not support item assignment"
    ):  # and no such thing was left on the class
        read_notes(called("pandas.DataFrame", b")", TEXT + b"K\x01s"), where="x")


def test_a_memory_number_beyond_the_file_is_refused_before_room_is_made_for_it():
    with pytest.raises(UntrustedArtifactError, match="numbers its memory"):
        read_notes(b"\x80\x02Nr\xff\xff\xff\x7f.", where="x")


@pytest.mark.parametrize(
    "value", [memoryview(b"x"), frozenset({"a"}), {"a"}, object()], ids=lambda value: type(value).__name__
)
def test_only_plain_values_pass_the_rebuilder(value):
    with pytest.raises(UnsupportedArtifactError, match="stands where a value belongs"):
        Rebuilder("x").value([value])
