"""Processes killed while they send what waits, and processes killed while they record."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rollwright.app.track import read_track_status, sync_tracking
from rollwright.cli.root import run
from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.tracking.liveness import fail_abandoned, find_abandoned_runs
from rollwright.tracking.r import R
from tracking_server import TrackingServer

pytestmark = pytest.mark.crash


def run_python(arguments, folder):
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_killed_at_every_request_of_a_synchronisation_nothing_is_lost_or_doubled(tmp_path):
    done = run_python([str(Path(__file__).parent / "outbox_scenarios.py")], tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["different"] == []
    assert report["runs"] == 2
    assert report["kills"] > 20


RECORDING = """
import os, signal, sys
from rollwright.tracking.r import R
from rollwright.tracking.liveness import find_abandoned_runs, fail_abandoned

with (
    R.start(experiment_name="e", recorder_name="outer") as outer,
    R.start(experiment_name="e", recorder_name="inner") as inner,
):
    R.log_params(a=1)
    inner.flush()
    R.save_objects(x=[1])
    with R.start(experiment_name="e", recorder_name="done"):
        pass
    with R.start(experiment_name="e", recorder_name="suspended"):
        R.suspend_exp()
    R.start_exp(experiment_name="e", recorder_name="started")
    sys.stdout.write(" ".join([outer.id, inner.id]))
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def statuses():
    return {recorder.name: recorder.status for recorder in R.list_recorders(experiment_name="e").values()}


@pytest.mark.parametrize("kind", ["embedded", "server", "away"])
def test_a_run_whose_process_was_killed_is_failed_by_whoever_looks(tmp_path, kind, capsys, monkeypatch):
    (tmp_path / ".rollwright").mkdir()
    with TrackingServer() as server:
        uri = {} if kind == "embedded" else {"tracking.uri": server.uri}
        if uri:
            (tmp_path / "rollwright.toml").write_text(f'[tracking]\nuri = "{server.uri}"\n')
        if kind == "away":
            server.stop()
        done = run_python(["-c", RECORDING], tmp_path)
        assert done.returncode == -9, done.stderr
        if kind == "away":
            server.start()
        monkeypatch.chdir(tmp_path)
        settings = load_settings(start=tmp_path, environ={})
        context.install(settings)
        assert {run.run_id for run in read_track_status().abandoned} >= set(done.stdout.split())
        living = R.start_exp(experiment_name="e", recorder_name="living")
        done = sync_tracking()
        assert len(done.failed) == 3
        assert done.exit_code == 0
        assert statuses() == {
            "outer": "FAILED", "inner": "FAILED", "started": "FAILED", "done": "FINISHED", "suspended": "SCHEDULED",
            "living": "RUNNING",
        }  # fmt: skip
        inner = living.get_recorder(recorder_name="inner")
        assert inner.list_params() == {"a": "1"}
        assert inner.load_object("x") == [1]
        assert inner.end_time is not None
        assert "died" in inner.list_tags()["rollwright.failed"]
        assert not read_track_status().abandoned
        R.end_exp()
        assert sync_tracking().failed == ()
        assert list((tmp_path / ".rollwright/recording").iterdir()) == []
        with R.start(experiment_name="e", recorder_id=inner.id, resume=True):
            pass
        assert statuses()["inner"] == "FINISHED"


def test_the_commands_say_it_to_people_and_to_programs(tmp_path, capsys, monkeypatch):
    with TrackingServer() as server:
        (tmp_path / "rollwright.toml").write_text(f'[tracking]\nuri = "{server.uri}"\n')
        monkeypatch.chdir(tmp_path)
        server.stop()
        done = run_python(["-c", RECORDING], tmp_path)
        assert done.returncode == -9
        assert run(["track", "status"]) == 0
        shown = capsys.readouterr().out
        assert f"runs are recorded at {server.uri}" in shown
        assert "its process died" in shown
        assert "5 waiting" in shown
        assert "suspended" in shown
        assert run(["track", "sync", "--json"]) == 3
        answer = json.loads(capsys.readouterr().out)
        assert (answer["ok"], answer["data"]["complete"]) == (False, False)
        assert len(answer["data"]["outboxes"][0]["waiting"]) == 5
        assert len(answer["data"]["failed"]) == 3
        assert run(["track", "sync"]) == 3
        assert "does not answer" in capsys.readouterr().err
        server.start()
        assert run(["track", "sync"]) == 0
        assert "5 runs recorded here, 0 waiting" in capsys.readouterr().out
        assert run(["track", "sync", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["data"]["outboxes"][0]["sent"] == 0
        assert run(["track", "ui"]) == 0
        assert capsys.readouterr().out.strip() == server.uri
        assert run(["track", "relocate"]) == 2


def test_a_dead_run_of_a_store_nobody_can_ask_stops_nothing_and_is_kept(tmp_path, caplog):
    (tmp_path / ".rollwright/recording").mkdir(parents=True)
    sign = tmp_path / ".rollwright/recording" / f"{'a' * 32}-0000"
    about = {"run": "a" * 32, "tracking": "postgresql://me:***@h/db", "host": socket.gethostname(), "pid": 1}
    sign.write_text(json.dumps(about))
    (sign.parent / "half-written").write_text('{"run": "x')
    (sign.parent / "of-elsewhere").write_text(json.dumps({**about, "run": "b" * 32, "host": "another"}))
    settings = load_settings(start=tmp_path, environ={})
    assert [run.run_id for run in find_abandoned_runs(tmp_path)] == ["a" * 32]
    assert fail_abandoned(settings) == []
    assert f"recorder.not_ended id={'a' * 32}" in caplog.text
    assert len(find_abandoned_runs(tmp_path)) == 1
