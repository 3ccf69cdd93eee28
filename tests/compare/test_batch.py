"""A batch of models from Python, as Qlib's ``ModelRunner`` is called."""

from __future__ import annotations

import inspect
import logging

import pytest

import rollwright
from compared_models import make_comparison_project
from rollwright.app.compare import batch
from rollwright.app.compare.batch import ModelRunner, run
from rollwright.app.compare.run import ComparisonResult
from rollwright.compare.evaluation import RunKey
from rollwright.compare.judge import failed_run
from rollwright.compare.table_files import read_table
from rollwright.compare.this_environment import ThisEnvironment
from rollwright.errors import CompareError, ConfigError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    models = make_comparison_project(tmp_path / "project", "ridge", "ols")
    for name in ("ridge", "ols"):
        (models / name / "workflow.yaml").rename(models / name / f"workflow_config_{name}_Alpha158.yaml")
    (models / "ols" / "workflow_config_ols_Alpha158.yaml").rename(
        models / "ols" / "workflow_config_ols_Alpha360_csi300.yaml"
    )
    models.rename(models.parent / "benchmarks")
    monkeypatch.chdir(models.parent)
    return models.parent / "benchmarks"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Note what would be compared, and train nothing."""
    noted = []

    def note(path, **options):
        noted.append((path, options))
        return ComparisonResult(
            name="noted", folder=tmp_path / "noted", evaluations=(failed_run(RunKey("a", "b", 1), ""),)
        )

    monkeypatch.setattr(batch, "run_comparison", note)
    return noted


def test_a_batch_is_trained_and_its_results_have_the_name_of_the_experiment(folder):
    result = ModelRunner().run(2, "RIDGE", "Alpha158", exp_folder_name="mine", environments=ThisEnvironment())
    assert [str(one.key) for one in result.evaluations] == ["ridge/Alpha158/1", "ridge/Alpha158/2"]
    assert result.exit_code == 0
    assert result.folder == folder.parent / "results" / "compare-mine"
    assert {"table.json", "table.md", "table.csv", "costs.md"} <= {path.name for path in result.folder.iterdir()}
    assert read_table(result.folder / "table.json").origin["times"] == 2


def test_arguments_have_qlibs_names_order_and_defaults():
    parameters = inspect.signature(run).parameters
    assert {name: one.default for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD} == {
        "times": 1,
        "models": None,
        "dataset": "Alpha360",
        "universe": "",
        "exclude": False,
        "qlib_uri": None,
        "exp_folder_name": "run_all_model_records",
        "wait_before_rm_env": False,
        "wait_when_err": False,
    }
    assert rollwright.ModelRunner is ModelRunner
    assert inspect.signature(ModelRunner().run) == inspect.signature(run)


@pytest.mark.parametrize("models", ["ridge", "[ridge]", " Ridge ", ["RIDGE"], ("ridge",), "['ridge']"])
def test_models_are_named_in_each_of_qlibs_ways(folder, asked, models):
    run(models=models, dataset="Alpha158", environments=ThisEnvironment())
    assert asked[0][1]["models"] == ["ridge"]


def test_a_model_without_the_workflow_is_left_out_and_that_is_said(folder, asked, caplog):
    with caplog.at_level(logging.WARNING):
        run(dataset="Alpha158", environments=ThisEnvironment())
    assert asked[0][1]["models"] == ["ridge"]
    assert [line for line in caplog.messages if line.startswith("batch.left_out model=ols")]
    run(universe="csi300", environments=ThisEnvironment())
    assert (asked[1][1]["models"], asked[1][1]["dataset"], asked[1][1]["universe"]) == (["ols"], "Alpha360", "csi300")


def test_excluding_is_of_what_is_named(folder, asked):
    run(models="ols", exclude=True, dataset="Alpha158", environments=ThisEnvironment())
    assert asked[0][1]["models"] == ["ridge"]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"qlib_uri": "git+https://127.0.0.1/x"}, ConfigError, "qlib_uri"),
        ({"wait_when_err": True}, ConfigError, "terminal"),
        ({"models": "rigde"}, CompareError, "rigde"),
        ({"models": ""}, ConfigError, "names no model"),
        ({"models": [1]}, ConfigError, "no text"),
        ({"dataset": "Alpha159"}, CompareError, "Alpha159"),
        ({"folder": "gone"}, CompareError, "gone"),
        ({"model": "ridge"}, TypeError, "model"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_trained(folder, asked, arguments, kind, words):
    with pytest.raises(kind, match=words):
        run(environments=ThisEnvironment(), **arguments)
    assert asked == []
