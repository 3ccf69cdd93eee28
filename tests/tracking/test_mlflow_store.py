"""What is MLflow's own: where its page looks for files, stores that are none, deletions from outside, moved folders."""

import logging
import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import sqlalchemy

from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.core.references import from_reference, to_reference
from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.r import R
from rollwright.tracking.stores.mlflow import store as adapter
from rollwright.tracking.stores.mlflow.importing import import_mlflow, quiet_mlflow
from rollwright.tracking.stores.mlflow.store import MlflowStore


def test_mlflows_own_page_finds_the_files_where_they_lie(mlflow_project, mlflow_store, name):
    with R.start(experiment_name=name) as recorder:
        R.save_objects(a=1)
    run = mlflow_store.get_run(recorder.id)
    assert run.location == f"{recorder.get_local_dir()}/artifacts"
    assert os.listdir(run.location) == ["a.json"]


def test_a_moved_project_still_finds_its_runs_and_files(mlflow_project, mlflow_store, name, frame, tmp_path):
    with R.start(experiment_name=name, recorder_name="r") as recorder:
        R.log_params(a=1)
        R.save_objects(**{"pred.pkl": frame})
    reference = to_reference(recorder)
    former = {**reference, "tracking": "sqlite:///.rollwright/mlflow.db"}
    del former["store"]
    assert from_reference(former) == recorder
    mlflow_store.close()
    moved = tmp_path / "moved"
    shutil.copytree(mlflow_project.root, moved)
    recorder_files = f"{recorder.get_local_dir()}/artifacts/pred.parquet"
    os.rename(recorder_files, f"{recorder_files}.hidden")
    install(load_settings(start=moved, environ={}))
    found = from_reference(reference)
    assert found.list_params() == {"a": "1"}
    pd.testing.assert_frame_equal(found.load_object("pred.pkl"), frame)
    assert R.get_recorder(experiment_name=name, recorder_name="r") == recorder
    found.location.store.close()


def test_an_experiment_deleted_by_mlflow_itself_frees_its_name(mlflow_store, name):
    old = mlflow_store.create_experiment(name)
    mlflow_store._store.delete_experiment(old.id)  # as MLflow's page does: the name stays taken there
    new = mlflow_store.create_experiment(name)
    assert new.id != old.id
    retired = mlflow_store._store.get_experiment(old.id)
    assert (retired.name, retired.lifecycle_stage) == (f"{name}.deleted-{old.id}", "deleted")


def test_m3_whoever_loses_the_race_gets_the_winners_experiment(mlflow_store, name, monkeypatch):
    """Forced interleaving: another process creates the experiment between our look and our creation."""
    real = mlflow_store._store
    looked = []

    def look(wanted):
        looked.append(wanted)
        found = type(real).get_experiment_by_name(real, wanted)
        if len(looked) == 2:
            type(real).create_experiment(real, wanted)
        return found

    monkeypatch.setattr(real, "get_experiment_by_name", look)
    assert mlflow_store.create_experiment(name).name == name
    assert len(looked) == 3


def test_a_file_that_is_no_database_is_named_at_once(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"this is no database, " * 100)
    store = MlflowStore(f"sqlite:///{path}", artifacts=tmp_path / "artifacts")
    with pytest.raises(TrackingUnavailableError, match=r"mlflow\.db cannot be opened"):
        store.experiments()


def test_a_folder_that_cannot_be_made_is_named_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    store = MlflowStore(f"sqlite:///{tmp_path}/file/mlflow.db", artifacts=tmp_path / "artifacts")
    with pytest.raises(TrackingUnavailableError, match="cannot be reached"):
        store.experiments()


def test_a_database_that_breaks_later_is_a_typed_error(mlflow_store, name, monkeypatch):
    experiment = mlflow_store.create_experiment(name)

    def broken(*args, **kwargs):
        raise sqlalchemy.exc.OperationalError("SELECT", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(mlflow_store._store, "get_experiment", broken)
    with pytest.raises(TrackingUnavailableError, match=r"mlflow\.db did not answer about .*disk I/O error"):
        mlflow_store.experiments(experiment_id=experiment.id)


def test_a_store_of_another_kind_is_refused_before_anything_is_imported(tmp_path):
    for uri in ("file:///x", "", "x", "mongodb://h/db", "sqlite://", str(tmp_path)):
        with pytest.raises(RecordError, match="cannot keep runs"):
            MlflowStore(uri, artifacts=tmp_path)


def test_telemetry_is_off_even_when_the_user_imported_mlflow_first(mlflow_store, monkeypatch):
    from mlflow.telemetry import client  # noqa: PLC0415 - after the adapter switched it off

    for switch in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(switch, raising=False)
    asked = []
    monkeypatch.setattr(client, "set_telemetry_client", lambda: asked.append(os.environ["DO_NOT_TRACK"]))
    import_mlflow()
    assert asked == ["true"]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_levels_the_user_set_stay_when_a_store_is_opened():
    logger = logging.getLogger("alembic")
    before = logger.level
    try:
        logger.setLevel(logging.DEBUG)
        with quiet_mlflow():
            assert logger.level == logging.DEBUG
            assert logging.getLogger("mlflow.store.db.utils").level == logging.WARNING
        assert logging.getLogger("mlflow.store.db.utils").level == logging.NOTSET
    finally:
        logger.setLevel(before)


def test_a_password_never_enters_a_reference(tmp_path):
    secret = "postgresql://me:secret@host/db"
    install(load_settings({"tracking.uri": secret}, start=tmp_path, environ={}))
    place = R.exp_manager.location
    assert place.uri == secret
    assert place.portable_uri() == "postgresql://me:***@host/db"
    assert (
        type(place).from_portable(place.portable_uri(), load_settings({"tracking.uri": secret}, environ={})).uri
        == secret
    )
    with pytest.raises(RecordError, match=r"recorded at postgresql://me:\*\*\*@host/db, and the settings name"):
        type(place).from_portable(place.portable_uri(), load_settings(start=tmp_path, environ={}))
    assert "secret" not in repr(R)


def test_fewer_than_all_pages_is_never_returned(mlflow_store, name, monkeypatch):
    """Defect M11: however many runs there are, all are found."""
    monkeypatch.setattr(adapter, "_PAGE", 2)
    experiment = mlflow_store.create_experiment(name)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    made = [
        mlflow_store.create_run(
            experiment.id, name=str(place), status="RUNNING", start=start + timedelta(minutes=place), tags={}
        ).id
        for place in range(7)
    ]
    assert [run.id for run in mlflow_store.search_runs([experiment.id])] == made[::-1]
    assert [run.id for run in mlflow_store.search_runs([experiment.id], limit=5)] == made[:1:-1]
    assert len(mlflow_store.experiments()) >= 2
