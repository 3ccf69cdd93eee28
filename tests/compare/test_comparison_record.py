"""The record of a comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rollwright.compare.record import (
    ComparedModel,
    ComparedWorkflow,
    ComparisonOptions,
    ComparisonRecord,
    pool_name,
)
from rollwright.errors import CompareError, CorruptFileError


def make_record() -> ComparisonRecord:
    workflow = ComparedWorkflow(file="models/a/w.yaml", sha256="0" * 64)
    model = ComparedModel(
        name="a",
        requirements="models/a/requirements.txt",
        requirements_sha256="1" * 64,
        workflows={"Alpha158": workflow},
    )
    options = ComparisonOptions(times=3, overrides=("backtest.topk=5",), timeout=90.0, network=False)
    return ComparisonRecord(name="mine", source="models", options=options, models=(model,))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    assert ComparisonRecord.read(path) is None
    record = make_record().with_environment("a", "0123abcd")
    record.write(path)
    assert ComparisonRecord.read(path) == record
    assert record.models[0].environment == "0123abcd"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"name": "other"},
        {"models": [{}]},
        {"models": 3},
        {"options": {"times": 0}},
    ],
)
def test_a_record_that_somebody_wrote_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "mine.json"
    make_record().write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CorruptFileError, match="it does not say what is compared"):
        ComparisonRecord.read(path)


@pytest.mark.parametrize(("key", "value"), [("name", "../../up"), ("environment", "../../up")])
def test_names_in_a_record_lead_nowhere(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "mine.json"
    make_record().write(path)
    content = json.loads(path.read_text())
    content["models"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptFileError):
        ComparisonRecord.read(path)


def test_a_dataset_in_a_record_leads_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    make_record().write(path)
    content = json.loads(path.read_text())
    content["models"][0]["workflows"] = {"../up": {"file": "w.yaml", "sha256": ""}}
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptFileError):
        ComparisonRecord.read(path)


def test_what_changed_is_told() -> None:
    before = make_record()
    assert before.describe_changes(before) == []
    (model,) = before.models
    other = replace(
        model,
        requirements_sha256="2" * 64,
        workflows={"Alpha158": replace(model.workflows["Alpha158"], sha256="3" * 64)},
        environment="11111111",
    )
    first = before.with_environment("a", "22222222")
    now = replace(before, options=replace(before.options, times=5), models=(other, replace(model, name="b")))
    assert now.describe_changes(first) == [
        "times: 3 → 5",
        "model b is new",
        "model a: its workflow for Alpha158 changed",
        "model a: its requirements changed",
        "model a: other versions of its packages are installed; it is trained anew",
    ]
    assert first.describe_changes(now)[1] == "model b is left out; its results are kept"


def test_a_model_is_found_whatever_its_case_and_the_nearest_is_named() -> None:
    record = make_record()
    assert record.find_model("A").name == "a"
    with pytest.raises(CompareError, match="has no model `lightgbm`") as raised:
        record.find_model("lightgbm")
    assert raised.value.hint == "it has a"


def test_a_pool_belongs_to_one_environment() -> None:
    assert pool_name("mine", "a", "0123abcd") == "compare-mine.a.0123abcd"
    with pytest.raises(CompareError, match="too long together"):
        pool_name("m" * 60, "a" * 60, "0123abcd")
