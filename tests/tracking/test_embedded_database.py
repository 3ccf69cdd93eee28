"""MLflow's embedded database, written without MLflow: what either writes, the other reads, over every known version."""

import importlib.util
import json
import logging
import math
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rollwright.errors import ExperimentNotFoundError, RecordError, TrackingUnavailableError
from rollwright.testing.record import TrackingStoreContract
from rollwright.tracking.store import MetricPoint
from rollwright.tracking.stores.embedded.file import KNOWN_REVISIONS
from rollwright.tracking.stores.embedded.store import EmbeddedStore
from rollwright.tracking.stores.mlflow import creation
from rollwright.tracking.stores.mlflow.store import MlflowStore
from rollwright.tracking.stores.mlflow.tables import find_installed_revision, list_revisions, make_known_tables

NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)
REVISIONS = sorted(list_revisions(), key=list_revisions().get)
LARGEST = 1.7976931348623157e308


def make_database(path, revision):
    path.parent.mkdir(parents=True, exist_ok=True)
    make_known_tables(path, revision=revision, artifacts="/made/artifacts")
    return path


def ask(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


@pytest.fixture(params=REVISIONS, ids=list_revisions().get)
def versioned(request, tmp_path):
    """A store over the tables that one version of MLflow made."""
    path = make_database(tmp_path / "p" / "mlflow.db", request.param)
    store = EmbeddedStore(f"sqlite:///{path}", artifacts=tmp_path / "artifacts")
    yield store
    store.close()


@pytest.fixture
def newest(tmp_path):
    """A store over the tables of the newest version, and the path of the file."""
    path = make_database(tmp_path / "p" / "mlflow.db", REVISIONS[-1])
    store = EmbeddedStore(f"sqlite:///{path}", artifacts=tmp_path / "artifacts")
    yield store, path
    store.close()


class TestEveryVersion(TrackingStoreContract):
    @pytest.fixture
    def store(self, versioned):
        return versioned

    def test_a_filter_that_makes_no_sense_is_an_error(self, store, experiment):
        """MLflow is asked, and the installed one opens no other version's file: the shared database is asked."""


def test_the_tables_of_every_known_version_are_kept():
    assert {*REVISIONS} == KNOWN_REVISIONS


def describe_database(path):
    """Return all that a database has: its statements, whatever the order of their lines, and its rows but for times."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        statements = [
            (kind, name, sql and sorted(line.strip().rstrip(",") for line in sql.splitlines()))
            for kind, name, sql in found
        ]
        rows = {}
        for kind, name, _ in found:
            if kind == "table":
                kept = ", ".join(
                    column
                    for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")
                    if column not in ("creation_time", "last_update_time")
                )
                rows[name] = connection.execute(f"SELECT {kept} FROM {name}").fetchall()
    return statements, rows


def test_a_new_database_is_the_one_that_mlflow_makes(tmp_path):
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    ours, theirs = tmp_path / "ours" / "mlflow.db", tmp_path / "theirs" / "mlflow.db"
    artifacts = tmp_path / "a %41 b"
    EmbeddedStore(f"sqlite:///{ours}", artifacts=artifacts).experiments()
    made = MlflowStore(f"sqlite:///{theirs}", artifacts=artifacts)
    made.experiments()
    made.close()
    assert describe_database(ours) == describe_database(theirs)


def test_nothing_of_mlflow_is_imported_to_make_a_database(tmp_path):
    code = (
        "import sys; from pathlib import Path;"
        " from rollwright.tracking.stores.embedded.store import EmbeddedStore;"
        " print(EmbeddedStore(f'sqlite:///{sys.argv[1]}/m.db', artifacts=Path(sys.argv[1])).experiments()[0].name,"
        " {'mlflow', 'sqlalchemy', 'alembic'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "Default set()\n"


@pytest.mark.parametrize("found", [None, pytest.param("0123456789ab", marks=pytest.mark.slow)])
def test_tables_that_are_not_known_are_made_by_mlflow_beside_other_work(tmp_path, monkeypatch, found):
    monkeypatch.setattr(creation, "find_installed_revision", lambda: found)
    monkeypatch.setattr(creation, "_HERE", "no module")
    path = tmp_path / "mlflow.db"
    creation.begin_database(path, artifacts=tmp_path)
    ((_, begun), process) = next(iter(creation._begun.items()))
    assert begun == path
    assert process.poll() is None
    assert [item.name for item in EmbeddedStore(f"sqlite:///{path}", artifacts=tmp_path).experiments()] == ["Default"]
    assert not creation._begun


@pytest.mark.parametrize(
    ("names", "newest"),
    [(["b = a"], "b"), (["b = a", "c = b"], "c"), (["b = a", "c = a"], None), ([], None)],
    ids=["one", "two", "two that are newest", "none"],
)
def test_the_newest_migration_tells_which_tables_mlflow_makes(tmp_path, monkeypatch, names, newest):
    folder = tmp_path / "mlflow" / "store" / "db_migrations" / "versions"
    folder.mkdir(parents=True)
    (tmp_path / "mlflow" / "__init__.py").write_text("")
    for name in names:
        own, former = name.split(" = ")
        (folder / f"{own}_x.py").write_text(f'revision = "{own}"\ndown_revision = "{former}"\n')
    found = importlib.util.spec_from_file_location(
        "mlflow", tmp_path / "mlflow" / "__init__.py", submodule_search_locations=[str(tmp_path / "mlflow")]
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda _: found)
    assert find_installed_revision.__wrapped__() == newest


def record(store, name):
    """Record one run with everything that a run can have; return it."""
    experiment = store.create_experiment(name)
    run = store.create_run(experiment.id, name="näme 研", status="SCHEDULED", start=NOON, tags={"made": "here"})
    store.update_run(run.id, status="RUNNING")
    points = [
        MetricPoint(key="ic", value=0.5, step=2, at=NOON),
        MetricPoint(key="ic", value=0.1, step=1, at=NOON + timedelta(minutes=1)),
        MetricPoint(key="ic", value=0.1, step=1, at=NOON + timedelta(minutes=1)),
        MetricPoint(key="ic", value=0.6, step=2, at=NOON),
        MetricPoint(key="bad", value=math.nan, step=-3, at=NOON),
    ]
    store.log_batch(run.id, params={"a/b": "x" * 6000, "empty": ""}, metrics=points, tags={"a b": "", "gone": "1"})
    store.log_batch(run.id, tags={"made": "there"})
    store.delete_tags(run.id, ["gone"])
    store.log_batch(run.id, params={"last": "1"}, status="FINISHED", end=NOON + timedelta(hours=1))
    return store.get_run(run.id)


def test_mlflow_reads_what_was_written(embedded_store, name):
    run = record(embedded_store, name)
    client = embedded_store.mlflow._store
    seen = client.get_run(run.id)
    assert (seen.info.run_name, seen.info.status, seen.info.lifecycle_stage) == ("näme 研", "FINISHED", "active")
    assert (seen.info.start_time, seen.info.end_time) == (1577966400000, 1577970000000)
    assert (seen.info.user_id, seen.info.experiment_id) == ("", run.experiment_id)
    assert seen.info.artifact_uri == f"{embedded_store.artifacts}/{run.experiment_id}/{run.id}/artifacts"
    assert seen.data.params == {"a/b": "x" * 6000, "empty": "", "last": "1"}
    assert seen.data.tags == {"made": "there", "a b": "", "mlflow.runName": "näme 研"}
    assert seen.data.metrics["ic"] == 0.6
    assert math.isnan(seen.data.metrics["bad"])
    history = [(item.value, item.step, item.timestamp) for item in client.get_metric_history(run.id, "ic")]
    assert sorted(history) == [(0.1, 1, 1577966460000), (0.5, 2, 1577966400000), (0.6, 2, 1577966400000)]
    experiment = client.get_experiment(run.experiment_id)
    assert (experiment.name, experiment.lifecycle_stage) == (name, "active")
    assert experiment.artifact_location == f"{embedded_store.artifacts}/{run.experiment_id}"
    assert embedded_store.mlflow.get_run(run.id).params == run.params
    assert [found.info.run_id for found in client.search_runs([run.experiment_id], "params.last = '1'", 1, 10)] == [
        run.id
    ]


def test_what_mlflow_itself_would_write_is_the_same_rows(embedded_store, name):
    """The same calls through MLflow: every column of every table is equal, but for ids and times of creation."""
    ours, theirs = record(embedded_store, f"{name}-1"), record(embedded_store.mlflow, f"{name}-2")
    path = embedded_store.mlflow._path
    for table in ("params", "metrics", "latest_metrics", "tags"):
        rows = []
        for run in (ours, theirs):
            columns = [column for _, column, *_ in ask(path, f"PRAGMA table_info({table})") if column != "run_uuid"]
            rows.append(sorted(ask(path, f"SELECT {', '.join(columns)} FROM {table} WHERE run_uuid = ?", run.id)))
        assert rows[0] == rows[1], table
    columns = [column for _, column, *_ in ask(path, "PRAGMA table_info(runs)")]
    kept = [column for column in columns if column not in ("run_uuid", "experiment_id", "artifact_uri")]
    runs = [ask(path, f"SELECT {', '.join(kept)} FROM runs WHERE run_uuid = ?", run.id) for run in (ours, theirs)]
    assert runs[0] == runs[1]
    locations = [run.location.replace(run.id, "R").replace(f"/{run.experiment_id}/", "/E/") for run in (ours, theirs)]
    assert locations[0] == locations[1]


def test_what_mlflow_writes_is_read(embedded_store, name):
    client = embedded_store.mlflow._store
    entities = sys.modules["mlflow.entities"]
    experiment = client.create_experiment(name)
    run = client.create_run(experiment, "me", 7, [entities.RunTag("t", "1")], "r").info.run_id
    client.log_metric(run, entities.Metric("up", math.inf, 1, 1))
    client.log_metric(run, entities.Metric("nan", math.nan, 1, 1))
    client.log_param(run, entities.Param("a", "1"))
    client.set_tag(run, entities.RunTag("mlflow.runName", "renamed"))
    client.update_run_info(run, entities.RunStatus.KILLED, 9, None)
    read = embedded_store.get_run(run)
    assert (read.name, read.status, read.experiment_id) == ("renamed", "FAILED", experiment)
    assert (read.start.timestamp(), read.end.timestamp()) == (0.007, 0.009)
    assert read.metrics["up"] == LARGEST
    assert math.isnan(read.metrics["nan"])
    assert (read.params, read.tags["t"]) == ({"a": "1"}, "1")
    assert [found.id for found in embedded_store.search_runs([experiment], where="attributes.status = 'FAILED'")] == [
        run
    ]
    client.delete_run(run)
    assert embedded_store.get_run(run).deleted
    client.delete_experiment(experiment)
    new = embedded_store.create_experiment(name)
    assert new.id != experiment
    assert client.get_experiment(experiment).name == f"{name}.deleted-{experiment}"


def test_a_filter_that_only_mlflow_knows_is_answered_by_mlflow(embedded_store, name):
    experiment = embedded_store.create_experiment(name)
    for place in range(3):
        embedded_store.create_run(experiment.id, name=f"r{place}", status="RUNNING", start=NOON, tags={})
    found = embedded_store.search_runs([experiment.id], where="attributes.run_name LIKE 'r%' AND status = 'RUNNING'")
    assert sorted(run.name for run in found) == ["r0", "r1", "r2"]


def test_mlflow_and_this_adapter_write_to_one_file_at_once(embedded_store, name):
    experiment = embedded_store.create_experiment(name)
    problems = []

    def write(store, kind):
        try:
            for place in range(8):
                run = store.create_run(experiment.id, name=f"{kind}-{place}", status="RUNNING", start=NOON, tags={})
                store.log_batch(run.id, params={f"p{key}": kind for key in range(20)}, status="FINISHED", end=NOON)
        except RecordError as error:
            problems.append(error)

    threads = [
        threading.Thread(target=write, args=(store, kind))
        for store, kind in ((embedded_store, "ours"), (embedded_store.mlflow, "mlflow"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for store in (embedded_store, embedded_store.mlflow):
        found = store.search_runs([experiment.id])
        assert sorted(run.name for run in found) == sorted(
            f"{kind}-{n}" for kind in ("ours", "mlflow") for n in range(8)
        )
        assert {(run.status, len(run.params)) for run in found} == {("FINISHED", 20)}


def test_tables_of_an_unknown_version_are_left_to_mlflow_which_is_said_once(embedded_store, name, caplog, monkeypatch):
    monkeypatch.setattr("rollwright.tracking.stores.embedded.store.KNOWN_REVISIONS", frozenset())
    path = embedded_store.mlflow._path
    store = EmbeddedStore(f"sqlite:///{path}", artifacts=embedded_store.artifacts)
    with caplog.at_level(logging.WARNING, "rollwright.tracking"):
        assert record(store, name).params["last"] == "1"
        assert store.experiments(name=name)[0].name == name
    assert caplog.text.count("tracking.through_mlflow") == 1
    assert f"path={path} revision=" in caplog.text
    assert store._store is store.mlflow


def test_a_database_that_mlflow_left_half_made_is_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "p" / "mlflow.db"
    path.parent.mkdir()
    asked = []

    def make(path, *, artifacts):
        asked.append(path)
        path.unlink()
        make_database(path, REVISIONS[-1])

    monkeypatch.setattr("rollwright.tracking.stores.embedded.store.make_database", make)
    for schema in ("CREATE TABLE experiments (x)", "CREATE TABLE alembic_version (version_num)"):
        ask(path, schema)
        assert [item.name for item in EmbeddedStore(f"sqlite:///{path}", artifacts=tmp_path).experiments()] == [
            "Default"
        ]
        path.unlink()
    assert asked == [path, path]


@pytest.mark.parametrize("what", ["removed", "replaced"])
def test_a_file_that_goes_away_while_it_is_open_is_not_made_again(newest, what, tmp_path):
    store, path = newest
    experiment = store.create_experiment("e")
    held = path.read_bytes()
    path.unlink()
    if what == "replaced":
        (tmp_path / "x").write_bytes(held)
        (tmp_path / "x").rename(path)
    with pytest.raises(TrackingUnavailableError, match=f"was {what}"):
        store.create_run(experiment.id, name="r", status="RUNNING", start=NOON, tags={})
    if what == "removed":
        assert not path.exists()


def test_only_a_write_changes_the_way_the_file_is_kept(newest):
    store, path = newest
    store.experiments()
    assert ask(path, "PRAGMA journal_mode") == [("delete",)]
    store.create_experiment("e")
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]
    store.close()
    assert sorted(found.name for found in path.parent.iterdir()) == ["mlflow.db"]


def test_the_file_of_a_network_keeps_its_journal(newest, monkeypatch):
    store, path = newest
    monkeypatch.setattr("rollwright.tracking.stores.embedded.file.find_network_filesystem", lambda _: "nfs")
    store.create_experiment("e")
    assert ask(path, "PRAGMA journal_mode") == [("delete",)]


def test_a_disk_that_is_full_is_an_error_with_its_reason_and_nothing_is_kept(newest):
    store, _ = newest
    experiment = store.create_experiment("e")
    with store._store._file.read("x") as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    store._store._file._session.get().execute(f"PRAGMA max_page_count = {pages + 2}")
    run = store.create_run(experiment.id, name="r", status="RUNNING", start=NOON, tags={})
    with pytest.raises(TrackingUnavailableError, match="full") as caught:
        store.log_batch(run.id, params={f"p{place}": "x" * 5000 for place in range(20)})
    assert "room" in caught.value.hint
    assert store.get_run(run.id).params == {}


def test_an_experiment_that_is_deleted_takes_no_run(newest):
    store, _ = newest
    experiment = store.create_experiment("e")
    store.delete_experiment(experiment.id)
    for act in (
        lambda: store.create_run(experiment.id, name="r", status="RUNNING", start=NOON, tags={}),
        lambda: store.delete_experiment(experiment.id),
    ):
        with pytest.raises(ExperimentNotFoundError, match="is deleted"):
            act()


def test_what_the_maker_of_the_database_says_is_the_error(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "mlflow.db"
    with pytest.raises(TrackingUnavailableError, match=str(path)):
        EmbeddedStore(f"sqlite:///{path}", artifacts=tmp_path).experiments()


def test_a_maker_that_dies_is_an_error_and_not_a_store(tmp_path, monkeypatch):
    monkeypatch.setattr(creation, "find_installed_revision", lambda: None)
    monkeypatch.setattr(creation, "_HERE", "no module")
    monkeypatch.setattr(creation, "_START", "import sys; sys.exit('out of memory')")
    with pytest.raises(TrackingUnavailableError, match="was not made: out of memory"):
        EmbeddedStore(f"sqlite:///{tmp_path}/mlflow.db", artifacts=tmp_path).experiments()


RECORDING = """
import json, sys
from rollwright.tracking.r import R
with R.start(experiment_name="e", recorder_name="r"):
    R.log_params(a=1)
    R.log_metrics(ic=0.5)
    R.set_tags(t=1)
    R.save_objects(a=[1])
found = R.get_recorder(experiment_name="e", recorder_name="r")
assert found.load_object("a") == [1], found
assert found.list_params() == {"a": "1"}
R.search_records()
R.delete_exp(experiment_name="e")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_recording_and_reading_import_neither_mlflow_nor_what_it_needs(tmp_path, embedded_store):
    embedded_store.close()
    (tmp_path / ".rollwright").mkdir()
    (tmp_path / ".rollwright" / "mlflow.db").write_bytes(embedded_store.mlflow._path.read_bytes())
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", RECORDING],
        cwd=tmp_path, env={**kept, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"mlflow", "sqlalchemy", "alembic", "google", "lightgbm"} & {*json.loads(done.stdout)} == set()


OTHER_VERSIONS = sorted(path for path in os.environ.get("ROLLWRIGHT_TEST_MLFLOW", "").split(os.pathsep) if path)

READING = """
import json, math, sys
import mlflow
client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}")
(experiment,) = client.search_experiments(filter_string="name = 'e'")
(run,) = client.search_runs([experiment.experiment_id], "params.last = '1' and metrics.ic > 0.5")
seen = client.get_run(run.info.run_id)
client.log_param(run.info.run_id, "by mlflow", "1")
history = sorted([item.value, item.step, item.timestamp] for item in client.get_metric_history(run.info.run_id, "ic"))
print(json.dumps([seen.info.run_name, seen.info.status, seen.data.params, seen.data.tags, history,
                  seen.data.metrics["ic"], math.isnan(seen.data.metrics["bad"]), mlflow.__version__]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", OTHER_VERSIONS or [None], ids=lambda path: path and Path(path).name)
def test_another_version_of_mlflow_makes_the_file_and_reads_what_was_written(tmp_path, version):
    """Over versions installed elsewhere: ``ROLLWRIGHT_TEST_MLFLOW=DIR/mlflow-3.11.1:...``; else over the own one."""
    path = tmp_path / "p" / "mlflow.db"
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    env = {**kept, "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": version or ""}

    def run(code, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(creation._START, "\n".join([*filter(None, [version]), *sys.path]), path, tmp_path / "artifacts")
    store = EmbeddedStore(f"sqlite:///{path}", artifacts=tmp_path / "artifacts")
    made = record(store, "e")
    name, status, params, tags, history, ic, is_nan, ran = json.loads(run(READING, path).splitlines()[-1])
    assert (name, status, ic, is_nan) == ("näme 研", "FINISHED", 0.6, True)
    assert params == made.params
    assert tags == {"made": "there", "a b": "", "mlflow.runName": "näme 研"}
    assert history == [[0.1, 1, 1577966460000], [0.5, 2, 1577966400000], [0.6, 2, 1577966400000]]
    assert version is None or version.endswith(ran)
    assert store.get_run(made.id).params["by mlflow"] == "1"
    store.close()
