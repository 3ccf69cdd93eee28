"""Stages on the disk: whole or absent, back as they were, and refused when anything of them was changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rollwright.analysis.health import HealthFinding
from rollwright.analysis.metrics import Metric
from rollwright.analysis.stages.files import KNOWN_TABLES, check_inputs, read_stage, table_path, write_stage
from rollwright.analysis.stages.table import ResultTable, StageResult
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError, StaleResultsError

FRAME = pd.DataFrame(
    {"ic": [0.1, np.nan], "rank_ic": [0.2, 0.3], "pairs": [3, 4]},
    index=pd.DatetimeIndex(["2020-01-02", "2020-01-03"], name="datetime"),
)
RESULT = StageResult(
    stage="analyze",
    tables={
        "ic": ResultTable(
            name="ic", frame=FRAME, units={"ic": "correlation", "rank_ic": "correlation", "pairs": "count"}
        ),
        "groups": ResultTable(name="groups", frame=pd.DataFrame({"Group1": [0.1]}), units={"Group1": "label"}),
    },
    metrics=(Metric(key="ic", value=0.1, unit="correlation"), Metric(key="icir", value=float("nan"), unit="ratio")),
    findings=(
        HealthFinding(kind="few_days", severity="warning", values={"days": 2, "wanted": 60, "overlapping": False}),
    ),
    left_out={"decay": "no source was given"},
    settings={"label": "Ref($close,-2)/Ref($close,-1)-1", "groups": 5},
    inputs={"pred": "ab" * 32},
)


def index_of(folder: Path) -> Path:
    return folder / "analysis" / "stage.json"


def edit(folder: Path, **changes: Any) -> None:
    data = json.loads(index_of(folder).read_text(encoding="utf-8"))
    index_of(folder).write_text(json.dumps({**data, **changes}), encoding="utf-8")


def test_a_stage_comes_back_as_it_was(tmp_path):
    write_stage(RESULT, tmp_path)
    found = read_stage(tmp_path, "analyze")
    assert found.metrics == RESULT.metrics
    assert found.findings == RESULT.findings
    assert (found.left_out, found.settings, found.inputs) == (RESULT.left_out, RESULT.settings, RESULT.inputs)
    assert list(found.tables) == list(RESULT.tables)
    for name, table in RESULT.tables.items():
        pd.testing.assert_frame_equal(found.tables[name].frame, table.frame)
        assert found.tables[name].units == table.units


def test_only_the_tables_that_are_asked_for_are_read(tmp_path):
    write_stage(RESULT, tmp_path)
    (tmp_path / "analysis" / "groups.parquet").unlink()
    assert list(read_stage(tmp_path, "analyze", tables=("ic",)).tables) == ["ic"]


def test_equal_stages_give_equal_bytes(tmp_path):
    write_stage(RESULT, tmp_path / "one")
    write_stage(RESULT, tmp_path / "two")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert [str(file) for file in files] == ["analysis/groups.parquet", "analysis/ic.parquet", "analysis/stage.json"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_equal_tables_give_equal_bytes_however_their_dates_came_to_be(tmp_path):
    days = pd.bdate_range("2020-01-02", periods=2, name="datetime")
    for name, index in (("one", days), ("two", pd.DatetimeIndex(days.to_numpy(), name="datetime"))):
        table = replace(RESULT.tables["ic"], frame=FRAME.set_axis(index, axis=0))
        write_stage(replace(RESULT, tables={"ic": table}), tmp_path / name)
    one, two = ((tmp_path / name / "analysis" / "ic.parquet").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_table_that_is_made_no_more_goes(tmp_path):
    write_stage(RESULT, tmp_path)
    write_stage(replace(RESULT, tables={"ic": RESULT.tables["ic"]}), tmp_path)
    assert sorted(path.name for path in (tmp_path / "analysis").iterdir()) == ["ic.parquet", "stage.json"]


def test_a_writer_that_dies_leaves_no_index(tmp_path, monkeypatch):
    write_stage(RESULT, tmp_path)
    broken = ResultTable(name="groups", frame=pd.DataFrame({"Group1": [object()]}), units={"Group1": "label"})
    with pytest.raises(Exception, match="Group1"):
        write_stage(replace(RESULT, tables={**RESULT.tables, "groups": broken}), tmp_path)
    with pytest.raises(DataNotFoundError, match="not made") as caught:
        read_stage(tmp_path, "analyze", command="rollwright analyze mine")
    assert caught.value.hint == "make it anew: rollwright analyze mine"


@pytest.mark.parametrize("damage", [b"", b"PAR1 no more", None])
def test_a_table_that_was_changed_is_refused(tmp_path, damage):
    write_stage(RESULT, tmp_path)
    path = table_path(tmp_path, "analyze", "ic")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with pytest.raises(CorruptFileError, match=r"ic\.parquet") as caught:
        read_stage(tmp_path, "analyze")
    assert caught.value.hint == "make it anew: rollwright analyze"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"format": 1}', '{"format": 1, "stage": "analyze"}', "[" * 100_000, '"\\ud800"', "1e999"],
)
def test_an_index_that_is_none_is_refused(tmp_path, text):
    write_stage(RESULT, tmp_path)
    index_of(tmp_path).write_text(text, encoding="utf-8")
    with pytest.raises(CorruptFileError, match=r"stage\.json"):
        read_stage(tmp_path, "analyze")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": "1"},
        {"stage": "backtest"},
        {"tables": {"../../secret": {"sha256": "", "length": 0, "units": {}}}},
        {"tables": {"decoy": {"sha256": "", "length": 0, "units": {}}}},
        {"tables": {"ic": {}}},
        {"tables": {"ic": None}},
        {"tables": []},
        {"metrics": {"Up": {"value": 1, "unit": "ratio"}}},
        {"metrics": None},
        {"findings": [{}]},
        {"inputs": None},
        {"settings": 3},
    ],
)
def test_an_index_of_another_form_is_refused(tmp_path, changes):
    write_stage(RESULT, tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(CorruptFileError, match=r"stage\.json"):
        read_stage(tmp_path, "analyze")


def test_units_that_do_not_fit_the_table_are_refused(tmp_path):
    write_stage(RESULT, tmp_path)
    entries = json.loads(index_of(tmp_path).read_text(encoding="utf-8"))["tables"]
    entries["groups"]["units"] = {"Group2": "label"}
    edit(tmp_path, tables=entries)
    with pytest.raises(CorruptFileError):
        read_stage(tmp_path, "analyze")


def test_a_file_of_another_kind_in_the_place_of_one_is_refused(tmp_path):
    write_stage(RESULT, tmp_path)
    path = table_path(tmp_path, "analyze", "ic")
    path.unlink()
    path.mkdir()
    with pytest.raises(CorruptFileError):
        read_stage(tmp_path, "analyze")


def test_no_stage_has_a_table_that_no_maker_makes(tmp_path):
    for stage, names in KNOWN_TABLES.items():
        assert len({*names}) == len(names)
        with pytest.raises(DataError, match="no table"):
            table_path(tmp_path, stage, "../x")


def test_a_stage_whose_input_changed_is_stale(tmp_path):
    pred = tmp_path / "pred.parquet"
    pred.write_bytes(b"one")
    made = replace(RESULT, inputs={"pred": hashlib.sha256(b"one").hexdigest()})
    inputs = {"pred": pred, "other": tmp_path / "never.parquet"}
    check_inputs(made, tmp_path, inputs, command="rollwright analyze mine")
    pred.write_bytes(b"two")
    with pytest.raises(StaleResultsError, match=r"stale: pred\.parquet") as caught:
        check_inputs(made, tmp_path, inputs, command="rollwright analyze mine")
    assert caught.value.hint == "make it anew: rollwright analyze mine"
    assert caught.value.changed == ("pred.parquet",)
    pred.unlink()
    with pytest.raises(StaleResultsError):
        check_inputs(made, tmp_path, inputs, command="rollwright analyze mine")
