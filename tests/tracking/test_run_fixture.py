"""A run's folder as version 0.1 wrote it, kept so that every later version goes on reading it.

A stored format that changes gets a new folder beside this one; this one stays.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rollwright.app.verify import verify
from rollwright.tracking.artifacts import LocalArtifactStore
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.provenance import PROVENANCE_FORMAT, differences

FIXTURE = Path(__file__).parent / "fixtures" / "run-format-1"
NAMES = [
    "dataset",
    "note.txt",
    "params.pkl",
    "pred.pkl",
    "provenance",
    "sig_analysis/ic.pkl",
    "task",
    "values.npy",
]


@pytest.fixture
def recorder(memory_project) -> Recorder:
    """Return a finished run whose folder is the kept one."""
    with R.start(experiment_name="kept"):
        found = R.get_recorder()
    shutil.copytree(FIXTURE, found.get_local_dir(), dirs_exist_ok=True)
    return found


def test_the_manifest_lists_what_it_listed_and_every_file_is_whole():
    store = LocalArtifactStore(FIXTURE)
    assert [ref.name for ref in store.list()] == NAMES
    for ref in store.list():
        store.verify(ref)


def test_its_objects_are_what_they_were(recorder):
    pred = recorder.load_object("pred.pkl")
    assert pred["score"].tolist() == [0.5, -0.25, 2.0, 0.0]
    assert pred.index.names == ["datetime", "instrument"]
    assert recorder.load_object("sig_analysis/ic.pkl").tolist() == [0.5, 0.25]
    assert recorder.load_object("values.npy").tolist() == [0.0, 1.0, 2.0, 3.0]
    assert recorder.load_object("task")["model"]["class"] == "LGBModel"
    assert recorder.load_object("dataset").segments["train"] == ("2020-01-01", "2020-02-01")
    model = recorder.load_object("params.pkl")
    assert model.best_iteration_ == 1
    assert model.feature_names_ == ("a", "b")
    assert Path(recorder.download_artifact("note.txt")).read_text() == "as it came\n"


def test_its_provenance_is_understood(recorder):
    origin = recorder.load_object("provenance")
    assert origin["format"] == PROVENANCE_FORMAT
    assert origin["process"] == "slot"
    assert differences(origin, {**origin, "process": "own"}) == [("process", "slot", "own")]


def test_verify_finds_nothing_wrong_with_it(recorder, memory_project, tmp_path):
    (tmp_path / "rollwright.toml").write_text(f'[tracking]\nuri = "{memory_project.tracking.uri}"\n')
    report = verify(project=tmp_path)
    assert report.findings == []
    assert report.artifacts == len(NAMES)


def test_it_is_written_on_and_keeps_its_own(recorder):
    recorder.save_objects(more=1)
    manifest = json.loads((Path(recorder.get_local_dir()) / "artifacts.json").read_text())
    assert manifest["format"] == 1
    assert [row["name"] for row in manifest["artifacts"]] == sorted([*NAMES, "more"])
    assert recorder.load_object("more") == 1
