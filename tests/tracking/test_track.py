"""A project that moved, MLflow's page, and what the commands say to bad input."""

import importlib
import json
import shlex
import shutil
import subprocess
import sys
import uuid

import pytest

from rollwright.app.track import make_page_command, relocate_tracking
from rollwright.cli.root import run
from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.errors import RecordError
from rollwright.tracking.r import R
from rollwright.tracking.stores.mlflow.locations import find_misplaced


@pytest.fixture
def moved(mlflow_project, mlflow_store, name, tmp_path):
    """Record a run in the shared project, and return a recorder and the settings of a copy of it elsewhere."""
    with R.start(experiment_name=name, recorder_name="r") as recorder:
        R.save_objects(a=[1])
    mlflow_store.close()
    there = tmp_path / "with space and ü" / "moved"
    shutil.copytree(mlflow_project.root, there)
    settings = load_settings(start=there, environ={})
    context.install(settings)
    yield recorder, settings
    context.install(settings)
    R.exp_manager.location.store.close()


class TestRelocate:
    def test_mlflows_page_is_told_where_the_files_lie_now(self, moved, name):
        recorder, settings = moved
        planned = relocate_tracking(dry_run=True)
        store = R.exp_manager.location.store
        assert find_misplaced(store.mlflow) == planned
        done = relocate_tracking()
        assert done == planned
        assert {item.id for item in done} >= {recorder.id, recorder.experiment_id}
        folder = settings.resolve(".rollwright/artifacts") / recorder.experiment_id
        run = store.get_run(recorder.id)
        assert run.location == f"{folder}/{recorder.id}/artifacts"
        assert store.experiments(name=name)[0].location == str(folder)
        assert relocate_tracking() == []
        with R.start(experiment_name=name) as new:
            R.save_objects(b=1)
        assert store.get_run(new.id).location == f"{folder}/{new.id}/artifacts"
        files = importlib.import_module("mlflow").MlflowClient(tracking_uri=R.get_uri()).list_artifacts(recorder.id)
        assert [file.path for file in files] == ["a.json"]

    def test_a_folder_of_elsewhere_that_is_still_there_is_left_alone(self, moved, tmp_path):
        store = R.exp_manager.location.store
        elsewhere = tmp_path / "elsewhere"
        number = int(store.mlflow._store.create_experiment("before")) + 1
        made = store.mlflow._store.create_experiment("elsewhere", artifact_location=str(elsewhere / str(number)))
        assert made == str(number)
        kept = store.mlflow._store.create_experiment("kept", artifact_location="s3://bucket/x")
        elsewhere.mkdir()
        ids = {item.id for item in relocate_tracking()}
        assert made not in ids
        assert kept not in ids

    def test_a_folder_that_is_gone_is_ours_even_when_it_was_empty(self, moved, tmp_path):
        store = R.exp_manager.location.store.mlflow._store
        number = int(store.create_experiment(f"a-{uuid.uuid4().hex}")) + 1
        made = store.create_experiment(f"b-{uuid.uuid4().hex}", artifact_location=f"file://{tmp_path}/gone/{number}")
        assert made == str(number)
        assert made in {item.id for item in relocate_tracking()}
        assert store.get_experiment(made).artifact_location == f"{R.exp_manager.location.artifacts}/{made}"

    def test_the_command_says_what_it_did(self, moved, monkeypatch, capsys):
        _, settings = moved
        monkeypatch.chdir(settings.root)
        assert run(["track", "relocate", "--dry-run"]) == 0
        assert "would be rewritten" in capsys.readouterr().out
        assert run(["track", "relocate", "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["data"]["locations"]
        assert {"run", "experiment"} == {row["kind"] for row in rows}
        assert run(["track", "relocate"]) == 0
        assert "0 locations were rewritten" in capsys.readouterr().out

    def test_what_keeps_no_paths_is_refused(self, memory_project):
        with pytest.raises(RecordError, match="keeps no paths"):
            relocate_tracking()


class TestThePage:
    def test_the_line_is_a_command_that_mlflow_understands(self, mlflow_project, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        kind, line = make_page_command()
        assert kind == "command"
        words = shlex.split(line)
        program = words.index("mlflow")
        mlflow = importlib.import_module("mlflow")
        assert words[:program] == ["uvx", "--from", f"mlflow=={mlflow.__version__}"]
        assert words[-2:] == ["--backend-store-uri", R.get_uri()]
        asked = [sys.executable, "-m", *words[program:], "--help"]  # an option it does not know would be told of first
        done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "--backend-store-uri" in done.stdout

    def test_a_folder_with_spaces_is_quoted(self, moved):
        _, settings = moved
        assert shlex.split(make_page_command()[1])[-1] == f"sqlite:///{settings.resolve('.rollwright/mlflow.db')}"

    @pytest.mark.parametrize(("on_the_path", "begins"), [(True, ["mlflow"]), (False, [sys.executable, "-m", "mlflow"])])
    def test_an_installed_page_is_used(self, mlflow_project, monkeypatch, on_the_path, begins):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if on_the_path else None)
        assert shlex.split(make_page_command()[1])[:-2] == [*begins, "ui"]

    def test_where_nothing_fetches_it_for_a_moment_the_line_installs_it(self, mlflow_project, monkeypatch):
        monkeypatch.setattr("shutil.which", lambda _name: None)
        install, _, start = make_page_command()[1].partition(" && ")
        version = importlib.import_module("mlflow").__version__
        assert shlex.split(install) == [sys.executable, "-m", "pip", "install", f"mlflow=={version}"]
        assert shlex.split(start)[:4] == [sys.executable, "-m", "mlflow", "ui"]

    def test_a_server_is_its_own_page_and_passwords_are_not_shown(self, tmp_path, capsys):
        for uri, kind, shown in (
            ("http://me:hush@host:5000", "url", "http://me:***@host:5000"),
            ("postgresql://me:hush@host/db", "command", "me:***@host/db"),
        ):
            context.install(load_settings({"tracking.uri": uri}, start=tmp_path, environ={}))
            found = make_page_command()
            assert found[0] == kind
            assert shown in found[1]
            assert "hush" not in found[1]

    def test_memory_has_none(self, memory_project):
        with pytest.raises(RecordError, match="no page"):
            make_page_command()


class TestNothingRecorded:
    @pytest.mark.parametrize("command", ["ui", "relocate"])
    def test_asking_makes_nothing(self, tmp_path, capsys, command):
        assert run(["track", command]) == 2
        assert "nothing was recorded" in capsys.readouterr().err
        assert run(["track", command, "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["ok"] is False
        assert list((tmp_path / "work").iterdir()) == []

    def test_status_and_sync_have_nothing_to_say(self, tmp_path, capsys):
        for command in ("status", "sync"):
            assert run(["track", command]) == 0
            assert run(["track", command, "--json"]) == 0
        assert list((tmp_path / "work").iterdir()) == []

    def test_an_outbox_nobody_can_read_is_named(self, tmp_path, capsys):
        folder = tmp_path / "work/.rollwright/outbox/abc"
        folder.mkdir(parents=True)
        (folder / "server.json").write_text("{")
        assert run(["track", "sync"]) == 2
        assert "server.json" in capsys.readouterr().err
