"""Where a model comes from is told beside it, and nowhere in what it predicts."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import pytest

from rollwright import __version__
from rollwright.config.context import current_settings, install
from rollwright.core.canonical import sha256_hex
from rollwright.tasks.identity import task_fingerprint
from rollwright.tracking.r import R
from rollwright.training.execute import task_train
from rollwright.training.pooled import train_in_slot
from rollwright.training.provenance import differences, made_with

OWN = """\
from rollwright.dataset.dataset import Dataset as Answers


class Dataset(dict, Answers):
    generation = "g1"


class Model(dict):
    def __init__(self, seed=None):
        super().__init__(seed=seed)
        self.params = {"seed": seed, "num_threads": 1, "objective": print}

    def fit(self, dataset, reweighter=None):
        self["fitted"] = True

    def predict(self, dataset, segment="test"):
        return None
"""

TASK = {
    "model": {"class": "Model", "module_path": "own.py", "kwargs": {"seed": 5}},
    "dataset": {"class": "Dataset", "module_path": "own.py"},
}


@pytest.fixture(autouse=True)
def own_module(project, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    values = {"trust.folder": str(folder), "data.provider_uri": str(tmp_path / "market")}
    install(current_settings().with_values(values, origin="test"))


def told(task=TASK) -> dict:
    return task_train(task, "exp").load_object("provenance")


def _files(found):
    """Return the files of code; operators that other tests registered stand beside them."""
    return {name: digest for name, digest in found["code"]["files"].items() if not name.startswith("operator ")}


def test_a_model_has_its_provenance_beside_it():
    found = told()
    assert found["fingerprint"] == task_fingerprint(TASK)
    assert found["data"] == {"generation": "g1", "provider_uri": "market", "freq": "day", "region": "cn"}
    assert _files(found).keys() == {"own.py"}
    assert len(found["code"]["hash"]) == 64
    assert found["model"]["class"].endswith(".Model")
    assert (found["model"]["seed"], found["model"]["threads"]) == (5, 1)
    assert found["model"]["params"]["objective"] == "builtins.builtin_function_or_method"
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["rollwright"] == __version__
    assert found["platform"]["machine"] == platform.machine()


def test_it_names_no_host_no_time_and_no_run_and_stays_true_when_the_project_moves(tmp_path):
    recorder = task_train(TASK, "exp")
    text = json.dumps(recorder.load_object("provenance"))
    for secret in (str(tmp_path), recorder.id, platform.node()):
        assert secret not in text
    assert recorder.load_object("provenance") == told()


def test_it_tells_a_slot_from_a_process_of_ones_own():
    assert told()["process"] == "own"
    slot = train_in_slot(TASK, experiment_name="another")
    assert slot.value.load_object("provenance")["process"] == "slot"


def test_the_code_is_that_which_was_there_before_the_fit():
    own = Path(current_settings().trust.folder) / "own.py"
    edit = "        self['fitted'] = Path(__file__).write_text('# edited')\n"
    text = "from pathlib import Path\n" + OWN.replace('        self["fitted"] = True\n', edit)
    own.write_text(text)
    assert _files(told()) == {"own.py": sha256_hex(text.encode())}
    assert own.read_text() == "# edited"


def test_a_failed_fit_leaves_no_provenance_of_a_model_that_is_not():
    own = Path(current_settings().trust.folder) / "own.py"
    own.write_text(OWN.replace('self["fitted"] = True', "raise ValueError('no')"))
    with pytest.raises(ValueError, match="no"):
        task_train(TASK, "exp")
    (recorder,) = R.list_recorders(experiment_name="exp").values()
    assert "provenance" not in recorder.list_artifacts()


def test_differences_name_what_changed_and_what_is_on_one_side_only():
    then = {"a": {"x": 1, "y": None, "z": "same"}, "b": "old"}
    now = {"a": {"x": 2, "y": None, "z": "same"}, "c": "new"}
    assert differences(then, now) == [("a.x", "1", "2"), ("b", "old", ""), ("c", "", "new")]
    assert differences(then, then) == []


def test_versions_are_told_of_what_is_installed():
    assert "no-such-thing-anywhere" not in made_with(["no-such-thing-anywhere", "numpy", ""])
