"""A signed artifact opens as what it is, of the run that it is of, and as nothing else."""

import json
import shutil
import uuid
from fractions import Fraction
from pathlib import Path

import pytest

from rollwright.app.track import sync_tracking
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.errors import UntrustedArtifactError
from rollwright.tracking.r import R
from tracking_server import TrackingServer

MODEL = "params.pkl"


@pytest.fixture
def project(tmp_path):
    settings = load_settings({"tracking.uri": f"memory:{uuid.uuid4().hex}"}, start=tmp_path, environ={})
    install(settings)
    return settings


def record(**objects):
    with R.start(experiment_name="e") as recorder:
        R.save_objects(**objects)
    return recorder


def replace_files(target, source):
    """Put all files of a run and its manifest in the place of another's, as whoever can write the artifacts may."""
    shutil.rmtree(target.get_local_dir())
    shutil.copytree(source.get_local_dir(), target.get_local_dir())


def test_an_older_model_of_another_run_does_not_open_in_this_ones_place(project):
    older, newer = record(**{MODEL: Fraction(1, 2)}), record(**{MODEL: Fraction(3, 4)})
    assert newer.load_object(MODEL) == Fraction(3, 4)
    replace_files(newer, older)
    with pytest.raises(UntrustedArtifactError, match=f"signed as artifact 2 '{older.id}/{MODEL}' and stands where"):
        newer.load_object(MODEL)
    assert older.load_object(MODEL) == Fraction(1, 2)


def test_another_artifact_of_the_same_run_does_not_open_in_its_place(project):
    recorder = record(**{MODEL: Fraction(1, 2), "other.pkl": Fraction(3, 4)})
    manifest = Path(recorder.get_local_dir()) / "artifacts.json"
    listed = json.loads(manifest.read_text())
    first, second = listed["artifacts"]
    first["name"], second["name"] = second["name"], first["name"]
    del listed["seal"]
    manifest.write_text(json.dumps(listed))
    with pytest.raises(UntrustedArtifactError, match="stands where"):
        recorder.load_object(MODEL)


def test_a_run_that_was_recorded_while_the_server_was_away_opens_in_another_project(tmp_path):
    with TrackingServer() as server:
        for name in ("here", "there"):
            (tmp_path / name / ".rollwright").mkdir(parents=True)
        install(load_settings({"tracking.uri": server.uri}, start=tmp_path / "here", environ={}))
        R.get_exp(experiment_name="e", create=True)
        server.stop()
        recorder = record(**{MODEL: Fraction(1, 2)})
        server.start()
        sync_tracking()
        install(load_settings({"tracking.uri": server.uri}, start=tmp_path / "there", environ={}))
        (found,) = R.get_exp(experiment_name="e").list_recorders("list")
        assert found.id != recorder.id
        assert found.load_object(MODEL) == Fraction(1, 2)
