"""Nothing that is stored or answered chooses an address, a path or an identity (I23)."""

import json
import logging
import socket

import pytest

from rollwright.app.track import read_track_status, sync_tracking
from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.core.references import from_reference, to_reference
from rollwright.errors import ExperimentNotFoundError, RecorderNotFoundError, RecordError
from rollwright.tracking.liveness import fail_abandoned
from rollwright.tracking.outbox.journal import Journal
from rollwright.tracking.outbox.names import ExperimentNames
from rollwright.tracking.r import R
from rollwright.tracking.store import ExperimentRecord
from rollwright.tracking.stores.mlflow.files import MlflowFiles
from tracking_server import TrackingServer

TOKEN = "a-token-that-stays-here"
PATHS = ("../../../../x", "/x", "..", ".", "", "a/b", "a\\b", "x" * 200, "a\n", "~", "%2e%2e%2fx", "-x", "a b")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    root = tmp_path / "project"
    (root / ".rollwright").mkdir(parents=True)
    settings = load_settings({"tracking.uri": "memory:here"}, start=root, environ={})
    context.install(settings)
    return settings


@pytest.fixture
def evil():
    with TrackingServer() as server:
        yield server


def files_outside(project):
    root = project.root
    return sorted(path for path in root.parent.rglob("*") if path.is_file() and not path.is_relative_to(root))


class TestReferences:
    @pytest.mark.parametrize("kind", ["recorder", "experiment"])
    @pytest.mark.parametrize("key", ["tracking", "store"])
    def test_a_reference_connects_nowhere_and_makes_no_file(self, project, evil, tmp_path, kind, key):
        for address in (evil.uri, f"sqlite:///{tmp_path}/made.db", "sqlite:///made.db", "sqlite:///../made.db", "x", 7):
            reference = {"$reference": kind, key: address, "experiment_id": "0", "recorder_id": "a" * 32}
            with pytest.raises((RecorderNotFoundError, ExperimentNotFoundError), match="another tracking store"):
                from_reference(reference)
        assert evil.requests == []
        assert files_outside(project) == []
        assert not list(project.root.rglob("*.db"))

    def test_a_reference_holds_no_address(self, project):
        with R.start(experiment_name="e") as recorder:
            pass
        for reference in (to_reference(recorder), to_reference(R.get_exp(experiment_name="e"))):
            assert "memory" not in json.dumps(reference)
        assert from_reference(to_reference(recorder)) == recorder

    def test_a_store_that_the_users_code_names_is_followed_in_its_block_alone(self, project):
        with R.start(experiment_name="e", uri="memory:there") as recorder:
            pass
        reference = to_reference(recorder)
        with R.uri_context("memory:there"):
            assert from_reference(reference) == recorder
        with pytest.raises(RecorderNotFoundError, match="another tracking store"):
            from_reference(reference)

    @pytest.mark.parametrize("given", PATHS)
    def test_an_id_in_a_reference_is_no_path(self, project, given):
        own = R.exp_manager.location.digest
        for kind, key in (("recorder", "recorder_id"), ("experiment", "experiment_id")):
            with pytest.raises(RecordError, match="is not usable"):
                from_reference({"$reference": kind, "store": own, key: given})


class TestFilesOfTheProject:
    def test_a_liveness_file_connects_nowhere(self, project, evil, caplog):
        folder = project.root / ".rollwright/recording"
        folder.mkdir()
        about = {"run": "a" * 32, "tracking": evil.uri, "host": socket.gethostname(), "pid": 1}
        (folder / f"{'a' * 32}-0000").write_text(json.dumps(about))
        assert fail_abandoned(project) == []
        assert "recorder.not_ended" in caplog.text
        assert evil.requests == []

    def test_an_outbox_connects_nowhere_but_to_the_server_of_the_settings(self, project, evil):
        folder = project.root / ".rollwright/outbox/0123456789abcdef"
        (folder / "runs").mkdir(parents=True)
        (folder / "server.json").write_text(json.dumps({"format": 1, "uri": evil.uri}))
        create = {
            "op": "create", "experiment": "1", "name": "r", "status": "RUNNING", "start": "2020-01-01T00:00:00+00:00",
            "tags": {},
        }  # fmt: skip
        Journal(folder / "runs" / f"{'b' * 32}.jsonl").add(create)
        assert len(read_track_status(project).outboxes[0].waiting) == 1
        report = sync_tracking(project)
        assert "tracking.uri" in str(report.outboxes[0].away)
        assert evil.requests == []

    @pytest.mark.parametrize("given", PATHS)
    def test_ids_in_a_journal_and_in_the_list_of_experiments_are_no_paths(self, tmp_path, given):
        lines = [{"op": "create", "experiment": given}, {"note": "created", "run": given, "location": ""}]
        (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        journal = Journal(tmp_path / "a.jsonl")
        journal.load()
        assert (journal.operations, journal.remote, journal.damaged) == ([], None, 2)
        names = ExperimentNames(tmp_path / "experiments.jsonl")
        for known, remote in ((given, "1"), ("1", given)):
            line = {"id": known, "name": "e", "remote": remote, "gone": False}
            with (tmp_path / "experiments.jsonl").open("a") as file:
                file.write(f"{json.dumps(line)}\n")
        assert names.by_name("e") is None


class TestAnswers:
    @pytest.fixture
    def project(self, evil, tmp_path):
        root = tmp_path / "project"
        (root / ".rollwright").mkdir(parents=True)
        settings = load_settings({"tracking.uri": evil.uri}, start=root, environ={})
        context.install(settings)
        return settings

    @pytest.mark.parametrize("field", ["run_id", "experiment_id"])
    @pytest.mark.parametrize("request_name", ["runs/create", "runs/get", "runs/search"])
    def test_an_id_that_is_a_path_is_refused_before_anything_is_named_by_it(
        self, project, evil, request_name, field, monkeypatch
    ):
        with R.start(experiment_name="e") as recorder:
            R.log_params(a=1)
        context.install(load_settings({"tracking.uri": evil.uri}, start=project.root, environ={}))
        real = evil.answer

        def lie(path, asked):
            answer = real(path, asked)
            if path == request_name:
                found = answer["runs"] if "runs" in answer else [answer["run"]]
                for run in found:
                    run["info"][field] = "../../../../../../x"
                    if field == "run_id":
                        run["info"]["run_uuid"] = run["info"][field]
            return answer

        monkeypatch.setattr(evil, "answer", lie)
        ask = {
            "runs/create": lambda: R.get_exp(experiment_name="e").create_recorder(),
            "runs/get": lambda: R.exp_manager.location.store.inner.get_run(recorder.id),
            "runs/search": lambda: R.get_exp(experiment_name="e").list_recorders(),
        }
        with pytest.raises(RecordError, match="is not usable"):
            ask[request_name]()
        assert files_outside(project) == []
        assert not list(project.root.parent.rglob("x"))

    def test_an_answer_about_another_run_or_experiment_is_refused(self, project, evil, monkeypatch):
        with R.start(experiment_name="e") as recorder:
            pass
        with R.start(experiment_name="other") as other:
            pass
        store, real = R.exp_manager.location.store.inner, evil.answer
        monkeypatch.setattr(evil, "answer", lambda path, asked: real(path, {**asked, "run_id": other.id}))
        with pytest.raises(RecordError, match="answered about"):
            store.get_run(recorder.id)
        swapped = {"experiment_ids": [other.experiment_id], "experiment_id": other.experiment_id}
        monkeypatch.setattr(evil, "answer", lambda path, asked: real(path, {**asked, **swapped}))
        for ask in (
            lambda: store.search_runs([recorder.experiment_id]),
            lambda: store.experiments(experiment_id=recorder.experiment_id),
        ):
            with pytest.raises(RecordError, match="answered about"):
                ask()

    @pytest.mark.parametrize("given", PATHS)
    def test_an_experiment_whose_id_is_a_path_is_refused(self, given):
        with pytest.raises(RecordError, match="experiment id"):
            ExperimentRecord(id=given, name="e")

    def test_files_go_to_the_server_itself_or_to_an_object_store(self, caplog):
        files = MlflowFiles("https://me:secret@mlflow.example:8443/base")
        taken = (
            "mlflow-artifacts:/1/a", "mlflow-artifacts:///1/a", "mlflow-artifacts://mlflow.example:8443/1/a",
            "https://mlflow.example:8443/api/2.0/mlflow-artifacts/artifacts/1", "s3://bucket/1", "gs://bucket/1",
            "wasbs://c@a.blob.core.windows.net/1", "abfss://c@a.dfs.core.chinacloudapi.cn/1",
        )  # fmt: skip
        refused = (
            "mlflow-artifacts://evil.example/1", "mlflow-artifacts://mlflow.example/1", "http://mlflow.example:8443/1",
            "https://evil.example/1", "https://me:secret@mlflow.example:8443/1", "HTTP://evil.example/1",
            "ftp://user:hunter2@evil.example/1", "sftp://evil.example/1", "hdfs://evil.example/1", "r2://b@evil.example/1",
            "b2://x/1", "runs:/a/b", "models:/a/1", "dbfs:/x", "//evil.example/1", "/x", "file:///x", "", "https://[",
        )  # fmt: skip
        with caplog.at_level(logging.WARNING):
            assert [place for place in taken if not files.takes(place)] == []
            assert [place for place in refused if files.takes(place)] == []
        assert "hunter2" not in caplog.text
