"""A project may lie under any name that the file system takes: what a URL would read otherwise is a character here."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rollwright.app.track import make_page_command, read_track_status
from rollwright.app.verify import verify
from rollwright.config.context import install
from rollwright.config.settings import load_settings
from rollwright.core.references import from_reference, to_reference
from rollwright.core.sqlite_urls import is_sqlite_url, sqlalchemy_url, sqlite_path, sqlite_url
from rollwright.pool.manager import TaskManager
from rollwright.tracking.r import R
from rollwright.tracking.stores.mlflow.locations import find_misplaced

NAMES = ["%41", "a%2Fb", "#x", "?y", "?mode=ro", "a b", "ümläut", "研究", "x%", "a@b:c", "'q'", "&=+~"]
ALL_IN_ONE = "100%41 ?mode=ro#ü研究@a:b"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An MLflow database that was made once, in a folder with the hardest name of all."""
    root = tmp_path_factory.mktemp("made") / ALL_IN_ONE
    root.mkdir()
    settings = load_settings(start=root, environ={})
    install(settings)
    R.exp_manager.location.store.experiments()
    R.exp_manager.location.store.close()
    assert sorted(path.name for path in root.parent.iterdir()) == [ALL_IN_ONE]
    return root / ".rollwright" / "mlflow.db"


@pytest.mark.parametrize("name", [*NAMES, ALL_IN_ONE])
def test_runs_tasks_and_files_are_found_in_a_folder_of_any_name(tmp_path, database, name):
    root = tmp_path / "p" / name
    (root / ".rollwright").mkdir(parents=True)
    shutil.copyfile(database, root / ".rollwright" / "mlflow.db")
    settings = load_settings(start=root, environ={})
    install(settings)
    with R.start(experiment_name="e") as recorder:
        R.log_params(a=1)
        R.save_objects(a=[1, 2])
    manager = TaskManager("pool")
    (task,) = manager.create_task([{"model": 1}])
    with manager.safe_fetch_task() as fetched:
        assert str(fetched["_id"]) == task
        manager.commit_task_res(fetched, recorder)
    kept = manager.re_query(task)["res"]
    assert kept == recorder
    assert kept.load_object("a") == [1, 2]
    assert from_reference(to_reference(recorder)).list_params() == {"a": "1"}
    store = recorder.location.store
    run = store.get_run(recorder.id)
    registry = importlib.import_module("mlflow.store.artifact.artifact_repository_registry")
    assert [item.path for item in registry.get_artifact_repository(run.location).list_artifacts()] == ["a.json"]
    assert [
        item for item in find_misplaced(store.mlflow) if item.id != "0"
    ] == []  # the copy's default experiment moved
    found = verify(project=root)
    assert (found.findings, found.runs, found.artifacts) == ([], 1, 1)
    assert found.databases == 2
    kind, line = make_page_command(settings)
    assert kind == "command"
    assert ("%41" in name) == ("%2541" in line)
    store.close()
    assert [path.name for path in root.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", [*NAMES, ALL_IN_ONE])
def test_what_waits_for_a_server_is_found_in_a_folder_of_any_name(tmp_path, name):
    root = tmp_path / "p" / name
    root.mkdir(parents=True)
    settings = load_settings({"tracking.uri": "http://127.0.0.1:9"}, start=root, environ={})
    install(settings)
    with R.start(experiment_name="e") as recorder:
        R.log_params(a=1)
        R.save_objects(a=[1, 2])
    (box,) = read_track_status(settings).outboxes
    assert len(box.waiting) == 1
    assert R.get_recorder(recorder_id=recorder.id, experiment_name="e").load_object("a") == [1, 2]
    assert [path.name for path in root.parent.iterdir()] == [name]


@pytest.mark.slow
def test_a_whole_campaign_runs_in_a_folder_of_any_name(tmp_path):
    root = tmp_path / ALL_IN_ONE
    root.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    for turn in ("trained", "reused"):
        done = subprocess.run(
            [sys.executable, "-m", "rollwright", "demo", "--json", "-j", "2"],
            cwd=root, env={**kept, "HOME": str(root)}, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (turn, done.stderr)
        assert json.loads(done.stdout)["ok"] is True
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("home", "work")) == [ALL_IN_ONE]


def test_the_url_of_a_file_holds_its_path_as_it_is():
    for path in (Path("/a/%41/?x#y.db"), Path("/研 ü/p.db"), Path("p.db")):
        assert sqlite_path(sqlite_url(path)) == path
        assert is_sqlite_url(sqlite_url(path))
    for url in ("sqlite:///:memory:", "sqlite:///", "memory:", "postgresql://h/d", "http://h"):
        assert sqlite_path(url) is None
        assert sqlalchemy_url(url) == url
    assert sqlalchemy_url("sqlite:////a b/ü研/p.db") == "sqlite:////a b/ü研/p.db"
    make_url = importlib.import_module("sqlalchemy").make_url
    for path in ("/a/%41/?x#y.db", "/a%2Fb/p.db", "/ü?研/p.db"):
        assert make_url(sqlalchemy_url(sqlite_url(path))).database == path
