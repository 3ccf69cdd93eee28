"""``qrun``: Qlib's command line over the code of ``rollwright run``."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rollwright import R
from rollwright import init as set_context
from rollwright.cli.root import run, run_qrun
from small_campaign import CAMPAIGN

ONCE = CAMPAIGN.replace("rolling: {step: 25, rtype: sliding}\n", "")
UNNAMED = ONCE.replace("experiment_name: small\n", "")


@pytest.fixture
def once(fresh):
    (fresh / "conf.yaml").write_text(UNNAMED)
    return fresh


def list_experiments():
    set_context(provider_uri="market", region="us")
    return set(R.list_experiments())


def test_the_experiment_is_called_workflow_unless_it_is_named(once, capsys):
    assert run_qrun(["conf.yaml"]) == 0
    assert capsys.readouterr().out.startswith("health: ")
    assert run_qrun(["conf.yaml", "mine"]) == 0
    assert run_qrun(["conf.yaml", "--experiment_name=yours"]) == 0
    assert run_qrun(["--config_path", "conf.yaml", "--experiment-name", "theirs"]) == 0
    assert {"workflow", "mine", "yours", "theirs"} <= list_experiments()


def test_the_name_that_the_file_gives_itself_wins(once, caplog):
    (once / "conf.yaml").write_text(ONCE)
    assert run_qrun(["conf.yaml", "mine"]) == 0
    assert "workflow.overruled what=experiment_name given=mine file=small" in caplog.messages
    found = list_experiments()
    assert "small" in found
    assert "mine" not in found


def test_runs_go_into_the_folder_that_is_named(once, capsys):
    assert run_qrun(["conf.yaml", "mine", "mlruns"]) == 0
    assert (once / "mlruns" / "mlflow.db").is_file()
    assert list((once / "mlruns" / "artifacts").rglob("pred*"))
    assert not (once / ".rollwright" / "mlflow.db").exists()


def test_a_tracking_store_of_the_file_wins_over_the_folder(once, caplog):
    manager = "{provider_uri: market, region: us, exp_manager: {kwargs: {uri: 'sqlite:///own/runs.db'}}}"
    (once / "conf.yaml").write_text(UNNAMED.replace("{provider_uri: market, region: us}", manager))
    assert run_qrun(["conf.yaml", "--uri_folder=mlruns"]) == 0
    assert (once / "own" / "runs.db").is_file()
    assert not (once / "mlruns").exists()
    assert "workflow.overruled what=uri_folder given=mlruns file=exp_manager" in caplog.messages


@pytest.mark.parametrize("folder", ["", "file:///srv/mlruns", "http://127.0.0.1:5000", "a\nb"])
def test_what_is_no_folder_is_refused(once, capsys, folder):
    assert run_qrun(["conf.yaml", "mine", folder]) == 2
    assert "hint: " in capsys.readouterr().err
    assert not (once / ".rollwright" / "mlflow.db").exists()


def test_what_was_trained_is_saved_with_its_configuration_and_no_password(once, capsys):
    init = "{provider_uri: market, region: us, mongo: {task_url: 'mongodb://me:hidden@127.0.0.1/', task_db_name: x}}"
    (once / "conf.yaml").write_text(UNNAMED.replace("{provider_uri: market, region: us}", init))
    assert run_qrun(["conf.yaml", "--json"]) == 0
    recorder = json.loads(capsys.readouterr().out)["data"]["recorder"]
    set_context(provider_uri="market", region="us")
    saved = R.get_recorder(recorder_id=recorder).load_object("config")
    assert saved["task"]["dataset"]["kwargs"]["segments"]["train"] == ["2020-01-09", "2020-04-30"]
    assert "hidden" not in json.dumps(saved, default=str)
    assert saved["qlib_init"]["mongo"]["task_db_name"] == "x"


def test_the_configuration_of_a_run_that_fails_is_there_too(once, capsys):
    (once / "mine.py").write_text(
        "from rollwright import Model\n\n\nclass Mine(Model):\n"
        "    def fit(self, dataset, reweighter=None):\n        raise ValueError('of the fit')\n\n"
        "    def predict(self, dataset, segment='test'):\n        return None\n"
    )
    linear = "{class: LinearModel, module_path: rollwright.models.linear, kwargs: {estimator: ridge, alpha: 0.1}}"
    assert linear in UNNAMED
    (once / "conf.yaml").write_text(UNNAMED.replace(linear, "{class: Mine, module_path: mine.py}"))
    assert run_qrun(["conf.yaml"]) == 1
    assert "of the fit" in capsys.readouterr().err
    set_context(provider_uri="market", region="us")
    (failed,) = R.list_recorders(experiment_name="workflow").values()
    assert failed.status == "FAILED"
    assert failed.load_object("config")["task"]["model"]["class"] == "Mine"


def test_it_makes_what_run_makes(once, capsys):
    assert run(["run", "conf.yaml", "--json"]) == 0
    ran = json.loads(capsys.readouterr().out)["data"]["metrics"]
    assert run_qrun(["conf.yaml", "conf", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["metrics"] == ran


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "CONFIG"),
        (["conf.yaml", "a", "b", "c"], "c"),
        (["conf.yaml", "mine", "--experiment_name", "yours"], "experiment_name"),
        (["conf.yaml", "--experiment_nam", "x"], "--experiment_nam"),
        (["gone.yaml"], "gone.yaml"),
        (["conf.yaml", "no/name"], "no/name"),
    ],
)
def test_what_is_typed_wrong_ends_with_2_and_is_named(once, capsys, words, named):
    assert run_qrun(words) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert "rollwright qrun" not in captured.err
    assert captured.out == ""


def test_it_is_a_program_of_its_own(once):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"]["qrun"] == "rollwright.cli:qrun"
    code = "import sys\nfrom rollwright.cli import qrun\nsys.argv = ['qrun', '--help']\nqrun()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Usage: qrun " in ended.stdout
