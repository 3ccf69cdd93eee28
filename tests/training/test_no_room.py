"""A disk that is full while a task is recorded: an error of the environment, a failed recorder, and nothing half."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="no limits on the size of files here")

OWN = """\
from rollwright.dataset.dataset import Dataset as Answers


class Dataset(dict, Answers):
    generation = "g1"


class Model(dict):
    def fit(self, dataset, reweighter=None):
        self["weights"] = list(range(4000))

    def predict(self, dataset, segment="test"):
        return None
"""

SCRIPT = """\
import resource, sys
from pathlib import Path
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.errors import ArtifactStorageError
from rollwright.tracking.r import R
from rollwright.training.execute import task_train

folder = Path(sys.argv[1])
values = {"tracking.uri": "memory:full", "trust.folder": str(folder)}
install(load_settings(values, start=folder, environ={}))
task = {"model": {"class": "Model", "module_path": "own.py"}, "dataset": {"class": "Dataset", "module_path": "own.py"}}
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
try:
    task_train(task, "exp")
except ArtifactStorageError as error:
    print(error.exit_code, error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
(failed,) = R.list_recorders(experiment_name="exp").values()
files = failed.location.files_of(failed.experiment_id, failed.id)
print(failed.status, *(ref.name for ref in files.list()))
print(*sorted(path.name for path in files.files.rglob("*") if path.is_file()))
print(task_train(task, "exp").status)
"""


def test_a_full_disk_is_told_leaves_nothing_half_and_is_over_when_there_is_room(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    done = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told, kept, left, again = done.stdout.splitlines()
    assert told.startswith("3 cannot store ")
    assert kept == "FAILED task"
    assert left == "task.json"
    assert again == "FINISHED"
