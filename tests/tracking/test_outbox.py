"""A tracking server that is away, comes back, hangs, or answers and forgets to say so: nothing is lost or doubled."""

import math
import random
import socket

import pandas as pd
import pytest

from rollwright.app.track import read_track_status, sync_tracking
from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.core.references import from_reference, to_reference
from rollwright.errors import CorruptArtifactError, RecorderNotFoundError, RecordError, TrackingUnavailableError
from rollwright.tracking.outbox.sending import ID_TAG
from rollwright.tracking.r import R
from tracking_server import TrackingServer


@pytest.fixture
def server():
    with TrackingServer() as running:
        yield running


@pytest.fixture
def project(server, tmp_path):
    """Make a project that records to the server the ambient one."""
    (tmp_path / "project/.rollwright").mkdir(parents=True)
    settings = load_settings({"tracking.uri": server.uri}, start=tmp_path / "project", environ={})
    context.install(settings)
    return settings


def store():
    return R.exp_manager.location.store


def record(frame=None, name="run", experiment="e"):
    """Record one run with something of everything."""
    with R.start(experiment_name=experiment, recorder_name=name) as recorder:
        R.log_params(a=1, long="x" * 7000, **{"$odd": 2})
        R.log_metrics(ic=0.25, step=3)
        R.log_metrics(ic=0.5, step=4, nan=math.nan)
        recorder.flush()
        R.set_tags(fold=7, gone="x")
        recorder.delete_tags("gone")
        recorder.log_metrics(ic=0.4, step=2)
        recorder.set_recorder_name(f"{name}-renamed")
        R.save_objects(**{"pred.pkl": [1, 2] if frame is None else frame, "sig/ic.pkl": {"b": 2}})
    return recorder


def facts(server):
    """Return what the server has of each run, by its name, without ids and times of arrival."""
    found = {}
    for experiment in server.store.experiments():
        for run in server.store.search_runs([experiment.id]):
            points = sorted(point[1:4] for point in server.points if point[0] == run.id)
            head = f"{run.experiment_id}/{run.id}/artifacts/"
            files = {name.removeprefix(head): body for name, body in server.files.items() if name.startswith(head)}
            tags = {key: text for key, text in run.tags.items() if key != ID_TAG}
            assert run.name not in found, "a run is there twice"
            found[run.name] = (experiment.name, run.status, dict(run.params), repr(run.metrics), tags, points, files)
    return found


def points_of(run):
    return repr(run[3]), run[5]


@pytest.fixture
def expected(tmp_path, frame):
    """Return what a server has after `record`, one that was never away."""
    with TrackingServer() as server:
        settings = load_settings({"tracking.uri": server.uri}, start=tmp_path / "elsewhere", environ={})
        with context.using(settings):
            record(frame)
        return facts(server)


class TestAway:
    def test_a_run_is_recorded_whole_and_sent_later_exactly(self, server, project, frame, expected):
        server.stop()
        recorder = record(frame)
        assert (recorder.status, recorder.name) == ("FINISHED", "run-renamed")
        waiting = read_track_status().outboxes[0]
        assert [run.name for run in waiting.waiting] == ["run-renamed"]
        assert waiting.waiting[0].operations > 3
        server.start()
        done = sync_tracking()
        assert done.exit_code == 0
        assert done.outboxes[0].waiting == ()
        assert facts(server) == expected
        again = sync_tracking()
        assert (again.outboxes[0].sent, again.exit_code) == (0, 0)
        assert facts(server) == expected

    def test_the_recorder_keeps_its_id_and_is_read_before_and_after(self, server, project, frame):
        server.stop()
        recorder = record(frame)
        reference = to_reference(recorder)
        for away in (True, False):
            if not away:
                server.start()
                sync_tracking()
            found = from_reference(reference)
            assert found == recorder
            assert found.list_params() == {"a": "1", "long": "x" * 7000, "$odd": "2"}
            assert found.list_metrics()["ic"] == 0.5
            assert math.isnan(found.list_metrics()["nan"])
            assert found.list_tags() == {"fold": "7"}
            assert (found.status, found.name) == ("FINISHED", "run-renamed")
            pd.testing.assert_frame_equal(found.load_object("pred.pkl"), frame)
            assert found.end_time == from_reference(reference).end_time is not None
        experiment = R.get_exp(experiment_name="e")
        assert experiment.id == recorder.experiment_id
        assert experiment.list_recorders(rtype="list") == [recorder]
        assert experiment.get_recorder(recorder_name="run-renamed").get_local_dir() == recorder.get_local_dir()

    def test_a_server_that_goes_while_a_run_is_recorded_costs_it_nothing(self, server, project, frame, expected):
        with R.start(experiment_name="e", recorder_name="run") as recorder:
            R.log_params(a=1, long="x" * 7000, **{"$odd": 2})
            R.log_metrics(ic=0.25, step=3)
            recorder.flush()
            server.stop()
            R.log_metrics(ic=0.5, step=4, nan=math.nan)
            R.set_tags(fold=7)
            recorder.log_metrics(ic=0.4, step=2)
            recorder.set_recorder_name("run-renamed")
            R.save_objects(**{"pred.pkl": frame, "sig/ic.pkl": {"b": 2}})
        server.start()
        assert facts(server)["run"][1] == "RUNNING"
        sync_tracking()
        assert facts(server) == expected

    def test_what_is_asked_sends_what_waits_once_the_server_is_back(self, server, project, frame, expected):
        server.stop()
        recorder = record(frame)
        server.start()
        store().retry_now()
        assert R.get_exp(experiment_name="e").list_recorders(rtype="list") == [recorder]
        assert facts(server) == expected

    def test_what_one_project_cannot_know_is_an_error_and_no_half_answer(self, server, project):
        with R.start(experiment_name="e") as recorder:
            pass
        server.stop()
        asks = [
            lambda: R.list_recorders(experiment_name="e"),
            lambda: R.get_recorder(experiment_name="e", recorder_name="x"),
            lambda: R.search_records([recorder.experiment_id]),
            R.list_experiments,
            lambda: R.get_exp(experiment_name="never-seen", create=False),
            lambda: R.delete_recorder(recorder_id=recorder.id),
            lambda: R.delete_exp(experiment_name="e"),
            lambda: R.get_recorder(recorder_id="0" * 32),
        ]
        for ask in asks:
            with pytest.raises(TrackingUnavailableError, match="did not answer about"):
                ask()
        assert R.get_exp(experiment_name="e").id == recorder.experiment_id
        assert R.get_recorder(recorder_id=recorder.id).status == "FINISHED"
        server.start()
        sync_tracking()
        assert R.get_recorder(recorder_id=recorder.id).status == "FINISHED"
        with pytest.raises(RecorderNotFoundError, match=r"no recorder 0{32}"):
            R.get_recorder(recorder_id="0" * 32)

    def test_a_parameter_that_changes_is_refused_at_once(self, server, project):
        server.stop()
        with R.start(experiment_name="e") as recorder:
            R.log_params(a=1)
            recorder.flush()
            reread = R.get_recorder(recorder_id=recorder.id)
            with pytest.raises(RecordError, match="already"):
                reread.log_params(a=2)
            R.log_metrics(ic=1)
        server.start()
        assert sync_tracking().exit_code == 0
        assert facts(server)["mlflow_recorder"][2] == {"a": "1"}

    def test_a_run_of_the_server_can_be_resumed_and_the_rest_waits(self, server, project):
        with R.start(experiment_name="e") as recorder:
            R.log_params(a=1)
        path = store().folder / "runs" / f"{recorder.id}.jsonl"
        path.unlink()  # as in another project: it knows nothing of the run
        store()._journals.clear()
        with R.start(experiment_name="e", recorder_id=recorder.id, resume=True) as again:
            server.stop()
            again.log_params(b=2)
            assert again.list_params() == {"a": "1", "b": "2"}
        server.start()
        sync_tracking()
        run = facts(server)["mlflow_recorder"]
        assert (run[1], run[2]) == ("FINISHED", {"a": "1", "b": "2"})

    def test_a_nested_run_is_nested_on_the_server_too(self, server, project):
        server.stop()
        with R.start(experiment_name="e", recorder_name="outer") as outer, R.start(recorder_name="inner") as inner:
            assert inner.parent_id == outer.id
        server.start()
        sync_tracking()
        runs = {run.name: run for item in server.store.experiments() for run in server.store.search_runs([item.id])}
        assert runs["inner"].tags["mlflow.parentRunId"] == runs["outer"].id
        assert R.get_recorder(recorder_id=inner.id).parent_id == outer.id

    def test_files_that_change_after_the_end_are_sent_and_removed(self, server, project):
        recorder = record([1])
        assert not read_track_status().outboxes[0].waiting
        recorder.save_objects(**{"pred.pkl": [1, 2, 3]})
        recorder.delete_artifact("sig/ic.pkl")
        assert read_track_status().outboxes[0].waiting[0].files == 3  # a new version, its predecessor, and one removed
        assert sync_tracking().exit_code == 0
        head = f"{recorder.experiment_id}/{recorder.id}/artifacts/"
        names = {name.removeprefix(head) for name in server.files if not name.startswith(f"{head}long_values")}
        local = {ref.file for ref in recorder._files.list() if not ref.file.startswith("long_values")}
        assert names == local | {".rollwright/artifacts.json"}

    def test_an_experiment_named_by_two_projects_while_the_server_was_away_is_one(self, server, tmp_path):
        server.stop()
        made = []
        for place in ("one", "two"):
            (tmp_path / place / ".rollwright").mkdir(parents=True)
            settings = load_settings({"tracking.uri": server.uri}, start=tmp_path / place, environ={})
            made.append(settings)
            with context.using(settings):
                record([place], name=place)
        server.start()
        for settings in made:
            assert sync_tracking(settings).exit_code == 0
        assert [item.name for item in server.store.experiments()] == ["Default", "e"]
        assert set(facts(server)) == {"one-renamed", "two-renamed"}
        with context.using(made[0]):
            store().retry_now()
            assert {recorder.name for recorder in R.list_recorders(experiment_name="e").values()} == set(facts(server))

    def test_an_experiment_deleted_on_the_server_meanwhile_is_made_again(self, server, project):
        record([1], name="first")
        server.stop()
        record([2], name="second")
        server.start()
        server.store.delete_experiment(server.store.experiments(name="e")[0].id)
        assert sync_tracking().exit_code == 0
        found = facts(server)
        assert list(found) == ["second-renamed"]
        assert found["second-renamed"][0] == "e"


class TestMoods:
    @pytest.mark.parametrize("mood", ["broken", "strict", "foreign", "forgetful"])
    def test_whatever_is_wrong_with_the_server_the_run_goes_on(self, server, project, frame, expected, mood):
        server.mood = mood
        recorder = record(frame)
        assert recorder.status == "FINISHED"
        assert sync_tracking().exit_code == 3
        server.mood = "well"
        assert sync_tracking().exit_code == 0
        assert facts(server) == expected

    def test_a_server_that_never_answers_is_waited_for_once(self, server, project, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        server.mood = "hanging"
        for place in range(3):
            record([place], name=f"r{place}")
        assert len(server.requests) == 1
        server.stop()
        server.mood = "well"
        server.start()
        assert sync_tracking().exit_code == 0
        assert set(facts(server)) == {"r0-renamed", "r1-renamed", "r2-renamed"}

    @pytest.mark.parametrize("away", [False, True])
    @pytest.mark.parametrize("seed", range(4))
    def test_answers_that_never_come_double_nothing_wherever_it_happens(
        self, server, project, expected, frame, away, seed
    ):
        chance = random.Random(seed)

        def forget(_):
            server.mood = "forgetful" if chance.random() < 0.3 else "well"

        if away:
            server.stop()
        else:
            server.before = forget
        record(frame)
        if away:
            server.start()
            server.before = forget
        tries = 1
        while sync_tracking().exit_code != 0:
            tries += 1
            assert tries < 100
        assert facts(server) == expected

    def test_what_the_server_refuses_later_is_named_and_costs_nothing_else(self, server, project):
        with R.start(experiment_name="e") as recorder:
            R.log_params(a=1)
            recorder.flush()
            server.stop()
            recorder.log_metrics(ic=1)
            journal = store().find_journal(recorder.id)
            log = {"op": "log", "params": {"b": "2", "a": "other"}, "metrics": [], "tags": {"t": "1"}}
            journal.add(log)  # somebody else's value arrived first
        server.start()
        done = sync_tracking()
        assert done.exit_code == 1
        assert len(done.outboxes[0].refused) == 1
        assert "params.a" in done.outboxes[0].refused[0]
        run = facts(server)["mlflow_recorder"]
        assert (run[1], run[2], run[4]["t"]) == ("FINISHED", {"a": "1", "b": "2"}, "1")
        server.stop()
        store().retry_now()
        assert R.get_recorder(recorder_id=recorder.id).list_params() == {"a": "1", "b": "2"}

    def test_a_refusal_while_the_server_is_there_is_an_error_at_once(self, server, project):
        with R.start(experiment_name="e") as recorder:
            R.log_params(a=1)
            recorder.flush()
            run = server.store.search_runs([recorder.experiment_id])[0]
            server.store.log_batch(run.id, params={"theirs": "1"})
            R.log_params(theirs=2, mine=3)
            with pytest.raises(RecordError, match="refused 1 values"):
                recorder.flush()
        assert facts(server)["mlflow_recorder"][2] == {"a": "1", "theirs": "1", "mine": "3"}
        assert sync_tracking().outboxes[0].waiting == ()


class TestTheJournal:
    def test_a_line_that_a_killed_process_left_spoils_no_other(self, server, project, caplog):
        server.stop()
        with R.start(experiment_name="e") as recorder:
            R.log_params(a=1)
            recorder.flush()
            path = store().folder / "runs" / f"{recorder.id}.jsonl"
            with path.open("ab") as file:
                file.write(b'\n{"op": "log", "params": {"half": "of a li')
            R.log_params(b=2)
        server.start()
        assert sync_tracking().exit_code == 0
        assert facts(server)["mlflow_recorder"][2] == {"a": "1", "b": "2"}
        assert "outbox.damaged file=" in caplog.text
        assert store().find_journal(recorder.id).damaged == 1

    def test_a_full_disk_is_an_error_and_not_a_lost_value(self, server, project, monkeypatch):
        server.stop()
        with pytest.raises(OSError, match="bytes could be written"), R.start(experiment_name="e") as recorder:  # noqa: PT012 - the block is the run
            R.log_params(a=1)
            recorder.flush()
            monkeypatch.setattr("os.write", lambda handle, body: 3)
            R.log_params(b=2)
            recorder.flush()
        monkeypatch.undo()

    def test_no_password_lies_in_the_outbox(self, tmp_path, monkeypatch):
        (tmp_path / ".rollwright").mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        uri = f"http://me:hush@127.0.0.1:{port}"
        context.install(load_settings({"tracking.uri": uri}, start=tmp_path, environ={}))
        record([1])
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or b"hush" not in path.read_bytes(), path
        assert read_track_status().outboxes[0].uri == f"http://me:***@127.0.0.1:{port}"
        other = load_settings(start=tmp_path, environ={})  # without the password
        done = sync_tracking(other)
        assert done.exit_code == 3
        assert "password" in done.outboxes[0].away


class TestFilesOfAnotherProject:
    @pytest.fixture
    def theirs(self, server, project, tmp_path, frame):
        """Record a run in one project, and make another one the ambient one."""
        recorder = record(frame)
        (tmp_path / "other/.rollwright").mkdir(parents=True)
        context.install(load_settings({"tracking.uri": server.uri}, start=tmp_path / "other", environ={}))
        return recorder

    def test_they_are_brought_here_and_checked(self, server, theirs, frame):
        found = R.get_recorder(recorder_id=theirs.id)
        assert found.list_params()["long"] == "x" * 7000
        pd.testing.assert_frame_equal(found.load_object("pred.pkl"), frame)
        assert found.list_artifacts() == theirs.list_artifacts()
        server.stop()
        pd.testing.assert_frame_equal(found.load_object("pred.pkl"), frame)

    def test_a_run_that_is_taken_up_keeps_its_files(self, server, theirs, frame):
        with R.start(experiment_name="e", recorder_id=theirs.id, resume=True) as again:
            again.save_objects(more=[3])
        names = [name.partition("/artifacts/")[2] for name in server.files]
        assert {"pred.parquet", "sig/ic.json", "more.json"} <= set(names)
        assert set(again.list_artifacts()) == {*theirs.list_artifacts(), "more"}

    def test_recorded_while_the_server_was_away_they_are_found_by_the_same_id(self, server, project, tmp_path, frame):
        server.stop()
        recorder = record(frame)
        reference = to_reference(recorder)
        server.start()
        sync_tracking()
        (tmp_path / "other/.rollwright").mkdir(parents=True)
        context.install(load_settings({"tracking.uri": server.uri}, start=tmp_path / "other", environ={}))
        pd.testing.assert_frame_equal(from_reference(reference).load_object("pred.pkl"), frame)

    @pytest.mark.parametrize("harm", ["changed", "missing", "outside", "nonsense"])
    def test_what_is_not_as_it_was_recorded_is_refused_and_nothing_stays(self, server, theirs, tmp_path, harm):
        pred = next(name for name in server.files if name.endswith("pred.parquet"))
        listed = next(name for name in server.files if name.endswith("artifacts.json"))
        if harm == "changed":
            server.files[pred] = server.files[pred][:-1] + b"x"
        elif harm == "missing":
            del server.files[pred]
        elif harm == "outside":
            server.files[listed] = server.files[listed].replace(b'"pred.parquet"', b'"../../../evil"')
        else:
            server.files[listed] = b"<html>"
        before = set((tmp_path / "other").rglob("*"))
        found = R.get_recorder(recorder_id=theirs.id)
        with pytest.raises(CorruptArtifactError, match=r"artifact 'pred.pkl': |the manifest .* is no"):
            found.load_object("sig/ic.pkl")
        left = {path for path in set((tmp_path / "other").rglob("*")) - before if "artifacts" in path.parts}
        assert all(path.is_dir() for path in left)
        assert not any(path.name == "evil" for path in tmp_path.rglob("*"))

    def test_a_run_without_files_has_none(self, server, project, tmp_path):
        with R.start(experiment_name="e") as recorder:
            R.log_params(a=1)
        (tmp_path / "other/.rollwright").mkdir(parents=True)
        context.install(load_settings({"tracking.uri": server.uri}, start=tmp_path / "other", environ={}))
        assert R.get_recorder(recorder_id=recorder.id).list_artifacts() == []
