"""Values in MLflow's database that MLflow never writes: SQLite keeps any value in any column."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from rollwright.errors import RecordError
from rollwright.tracking.store import MetricPoint
from rollwright.tracking.stores.embedded.store import EmbeddedStore
from rollwright.tracking.stores.mlflow.tables import list_revisions, make_known_tables

NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


@pytest.fixture
def newest(tmp_path):
    """A store over the tables of the newest version, and the path of the file."""
    path = tmp_path / "mlflow.db"
    make_known_tables(path, revision=max(list_revisions(), key=list_revisions().get), artifacts="/made/artifacts")
    store = EmbeddedStore(f"sqlite:///{path}", artifacts=tmp_path / "artifacts")
    yield store, path
    store.close()


@pytest.mark.parametrize(
    ("column", "statement", "value"),
    [
        ("runs.start_time", "UPDATE runs SET start_time = ?", "x" * 5000),
        ("runs.start_time", "UPDATE runs SET start_time = ?", 2**62),
        ("runs.end_time", "UPDATE runs SET status = 'FINISHED', end_time = ?", b"soon"),
        ("runs.name", "UPDATE runs SET name = ?", b"name"),
        ("runs.status", "UPDATE runs SET status = ?", None),
        ("runs.artifact_uri", "UPDATE runs SET artifact_uri = ?", b"\xff"),
        ("params.value of 'p'", "UPDATE params SET value = ?", b"1"),
        ("tags.value of 't'", "UPDATE tags SET value = ? WHERE key = 't'", b"1"),
        ("tags.key", "UPDATE tags SET key = ? WHERE key = 't'", b"k"),
        ("latest_metrics.value of 'm'", "UPDATE latest_metrics SET value = ?", "much"),
    ],
)
def test_a_column_that_holds_what_mlflow_never_writes_is_named_with_its_run(newest, column, statement, value):
    store, path = newest
    experiment = store.create_experiment("e")
    run = store.create_run(experiment.id, name="r", status="RUNNING", start=NOON, tags={"t": "v"})
    store.log_batch(run.id, params={"p": "1"}, metrics=[MetricPoint(key="m", value=1.0, step=0, at=NOON)])
    change(path, statement, value)
    for read in (lambda: store.get_run(run.id), lambda: store.search_runs([experiment.id])):
        with pytest.raises(RecordError) as caught:
            read()
        assert f"run {run.id} in {path} cannot be read: {column} is" in caught.value.message
        assert len(caught.value.message) < 500 + len(str(path))
        assert "SQLite" in caught.value.hint


@pytest.mark.parametrize("column", ["name", "artifact_location"])
def test_an_experiment_with_a_column_of_another_type_is_named(newest, column):
    store, path = newest
    experiment = store.create_experiment("e")
    change(path, f"UPDATE experiments SET {column} = ? WHERE experiment_id = ?", b"e", experiment.id)
    for read in (store.experiments, lambda: store.experiments(experiment_id=experiment.id)):
        with pytest.raises(RecordError, match=f"experiment {experiment.id} in .* experiments.{column} is b'e'"):
            read()


def test_a_tag_without_a_value_is_empty(newest):
    store, path = newest
    run = store.create_run(store.create_experiment("e").id, name="r", status="RUNNING", start=NOON, tags={"t": "v"})
    change(path, "UPDATE tags SET value = NULL WHERE key = 't'")
    assert store.get_run(run.id).tags["t"] == ""
