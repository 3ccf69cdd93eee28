"""Evaluations as files: what was written comes back, and nothing else is taken for it."""

import json
import math
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from comparisons import make_comparison, make_failure, make_run
from rollwright.codecs.frames import ParquetCodec
from rollwright.compare.stored_evaluations import EVALUATIONS_FILE, read_evaluations_from, write_evaluations
from rollwright.errors import CorruptFileError, DataNotFoundError

SERIES = ("ic", "rank_ic", "excess", "returns")


def assert_same(found, wanted):
    assert [one.key for one in found] == sorted(one.key for one in wanted)
    by_key = {one.key: one for one in wanted}
    for one in found:
        other = by_key[one.key]
        for name in ("status", "cause", "cost", "digest", "terms"):
            assert getattr(one, name) == getattr(other, name)
        assert json.dumps(dict(one.metrics)) == json.dumps(dict(other.metrics))
        for name in SERIES:
            pd.testing.assert_series_equal(
                getattr(one, name), getattr(other, name), check_names=False, check_freq=False
            )


def test_evaluations_come_back_as_they_were_in_the_order_of_their_keys(tmp_path):
    runs = [*make_comparison(days=40), make_failure("GRU"), make_failure("Broken", status="waiting", cause="")]
    runs[0].ic.iloc[3] = math.nan
    runs[1] = make_run("LightGBM", 2, days=35, start=5)
    write_evaluations(tmp_path / "made", runs)
    assert_same(read_evaluations_from(tmp_path / "made"), runs)


def test_a_metric_that_is_not_known_comes_back_as_nan(tmp_path):
    run = make_run("Flat", days=20)
    run.metrics["icir"] = math.nan
    write_evaluations(tmp_path, [run])
    assert math.isnan(read_evaluations_from(tmp_path)[0].metrics["icir"])


def test_equal_evaluations_give_equal_bytes_in_any_order_and_no_former_file_stays(tmp_path):
    runs = make_comparison(days=30)
    write_evaluations(tmp_path / "one", make_comparison(days=20))
    write_evaluations(tmp_path / "one", runs)
    write_evaluations(tmp_path / "two", runs[::-1])
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first == second
    assert len(first) == 2


def test_a_writer_that_dies_between_its_two_files_leaves_the_former_evaluations(tmp_path, monkeypatch):
    former = make_comparison(days=20)
    write_evaluations(tmp_path, former)
    monkeypatch.setattr("rollwright.compare.stored_evaluations.write_text", raise_full)
    with pytest.raises(OSError, match="No space"):
        write_evaluations(tmp_path, make_comparison(days=30))
    assert_same(read_evaluations_from(tmp_path), former)


def raise_full(path, text):
    raise OSError(28, "No space left on device", str(path))


def test_no_evaluations_at_all_are_evaluations_too(tmp_path):
    write_evaluations(tmp_path, [])
    assert read_evaluations_from(tmp_path) == ()


def test_a_folder_without_evaluations_says_so(tmp_path):
    with pytest.raises(DataNotFoundError, match="no comparison was evaluated here"):
        read_evaluations_from(tmp_path)


def spoil(field, value):
    def change(data):
        data["runs"][0][field] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(format=2),
        lambda data: data.update(format=True),
        lambda data: data.update(series="../../etc/passwd"),
        lambda data: data.update(series="0" * 64),
        lambda data: data.pop("runs"),
        lambda data: data.update(more=1),
        lambda data: data["runs"].pop(),
        lambda data: data["runs"].append(data["runs"][0]),
        lambda data: data["runs"].reverse(),
        spoil("model", 3),
        spoil("model", "x" * 20_000),
        spoil("seed", -1),
        spoil("seed", True),
        spoil("status", "fine"),
        spoil("metrics", {"sharpe": 1.0}),
        spoil("metrics", {"ic": "1"}),
        spoil("cost", {"seconds": 1}),
        spoil("digest", "abc"),
        spoil("terms", {"label": "x"}),
        lambda data: data["runs"][0]["terms"].update(label_span=0),
        lambda data: data["runs"][0]["terms"].update(periods=0),
    ],
)
def test_another_file_is_refused(tmp_path, change):
    write_evaluations(tmp_path, make_comparison(days=20, seeds=1))
    path = tmp_path / EVALUATIONS_FILE
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(CorruptFileError, match=r"evaluations|bytes"):
        read_evaluations_from(tmp_path)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", '{"format": NaN}', "\udcff"])
def test_what_is_no_json_of_ours_is_refused(tmp_path, text):
    (tmp_path / EVALUATIONS_FILE).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(CorruptFileError):
        read_evaluations_from(tmp_path)


def test_a_series_file_with_another_byte_is_refused(tmp_path):
    write_evaluations(tmp_path, make_comparison(days=20, seeds=1))
    (path,) = tmp_path.glob("series-*.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="bytes are not those"):
        read_evaluations_from(tmp_path)


def frame_of(run, series, days=("2020-01-01",), value=(0.1,)):
    return pd.DataFrame({
        "run": np.array(run, np.int32),
        "series": np.array(series, np.int8),
        "datetime": pd.DatetimeIndex(days).as_unit("ns"),
        "value": np.array(value, np.float64),
    })  # fmt: skip


@pytest.mark.parametrize(
    "frame",
    [
        frame_of([9], [0]),
        frame_of([-1], [0]),
        frame_of([0], [4]),
        frame_of([1, 0], [0, 0], ("2020-01-01",) * 2, (0.1, 0.2)),
        frame_of([0], [0]).drop(columns="value"),
        frame_of([0], [0]).astype({"run": "int64"}),
        pd.Series([1.0], name="value"),
    ],
)
def test_series_of_other_runs_are_refused(tmp_path, frame):
    write_evaluations(tmp_path, make_comparison(days=20, seeds=1))
    ParquetCodec().write(frame, tmp_path / "file")
    digest = sha256((tmp_path / "file").read_bytes()).hexdigest()
    (tmp_path / "file").rename(tmp_path / f"series-{digest[:16]}.parquet")
    path = tmp_path / EVALUATIONS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "series": digest}))
    with pytest.raises(CorruptFileError, match="no series of these evaluations"):
        read_evaluations_from(tmp_path)
