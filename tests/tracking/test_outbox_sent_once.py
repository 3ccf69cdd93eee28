"""What waits in an outbox is created once, sent before it is deleted, and counted until the last file is taken."""

import pytest

from rollwright.app.track import read_track_status, sync_tracking
from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.tracking.r import R
from tracking_server import TrackingServer

CREATE = "POST /api/2.0/mlflow/runs/create"
MANIFEST = "/.rollwright/artifacts.json"


@pytest.fixture
def server(tmp_path):
    """Make a project that records to the server the ambient one."""
    (tmp_path / "project" / ".rollwright").mkdir(parents=True)
    with TrackingServer() as running:
        context.install(load_settings({"tracking.uri": running.uri}, start=tmp_path / "project", environ={}))
        yield running


def store():
    return R.exp_manager.location.store


def record():
    with R.start(experiment_name="e", recorder_name="r") as recorder:
        R.log_params(a=1)
        R.save_objects(**{"pred.pkl": [1]})
    return recorder


def runs_of(server, view="active"):
    (experiment,) = server.store.experiments(name="e")
    return server.store.search_runs([experiment.id], view=view)


def test_a_run_whose_answer_was_lost_is_asked_for_and_never_made_a_second_time(server):
    def forget_creation(request):
        server.mood = "forgetful" if request == CREATE else "well"

    server.before = forget_creation
    recorder = record()
    assert server.requests.count(CREATE) == 1
    server.before, server.mood = None, "well"
    store().retry_now()
    assert sync_tracking().exit_code == 0
    assert server.requests.count(CREATE) == 1
    assert [run.name for run in runs_of(server)] == ["r"]
    assert R.get_recorder(recorder_id=recorder.id).status == "FINISHED"


@pytest.mark.parametrize("by_store", [True, False])
def test_a_run_that_is_deleted_was_sent_whole_before(server, by_store):
    server.stop()
    recorder = record()
    server.start()
    store().retry_now()
    if by_store:  # R looks the run up first, which sends it too
        store().delete_run(recorder.id)
    else:
        R.delete_recorder(recorder_id=recorder.id)
    assert runs_of(server) == []
    (deleted,) = runs_of(server, view="deleted")
    assert (deleted.name, deleted.status, deleted.params) == ("r", "FINISHED", {"a": "1"})
    assert sync_tracking().exit_code == 0
    assert runs_of(server) == []


def test_a_manifest_that_alone_was_not_taken_still_waits(server):
    def refuse_manifest(request):
        server.mood = "broken" if request.endswith(MANIFEST) else "well"

    server.before = refuse_manifest
    record()
    server.before, server.mood = None, "well"
    assert [run.files for run in read_track_status().outboxes[0].waiting] == [1]
    assert sync_tracking().exit_code == 0
    assert any(name.endswith(MANIFEST) for name in server.files)
    assert not read_track_status().outboxes[0].waiting
