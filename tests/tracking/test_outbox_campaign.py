"""The main job beside a tracking server that goes away in the middle."""

import json
import os
import subprocess
import sys

import pytest

from tracking_server import TrackingServer

pytestmark = pytest.mark.slow


def run_rollwright(arguments, folder, uri):
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "rollwright", *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder), "ROLLWRIGHT_TRACKING__URI": uri},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_roll_ends_as_ever_and_every_run_is_on_the_server_afterwards(tmp_path):
    with TrackingServer() as server:

        def go_away(_):
            if len(server.requests) > 25:
                server.mood = "broken"

        server.before = go_away
        done = run_rollwright(["demo", "--json", "-j", "2"], tmp_path, server.uri)
        assert done.returncode == 0, done.stderr
        project = tmp_path / "rollwright-demo"
        status = run_rollwright(["track", "status", "--json"], project, server.uri)
        waiting = json.loads(status.stdout)["data"]["outboxes"][0]["waiting"]
        assert waiting
        server.before, server.mood = None, "well"
        synced = run_rollwright(["track", "sync", "--json"], project, server.uri)
        assert synced.returncode == 0, synced.stdout
        runs = server.store.search_runs([server.store.experiments(name="demo")[0].id])
        assert len(runs) == json.loads(done.stdout)["data"]["variants"]["main"]["windows"]
        assert {run.status for run in runs} == {"FINISHED"}
        assert all(run.metrics and run.params for run in runs)
        sent = sorted(body for name, body in server.files.items() if name.endswith("/pred.parquet"))
        kept = sorted(path.read_bytes() for path in (project / ".rollwright/artifacts").rglob("pred.parquet"))
        assert sent == kept
        assert len(sent) == len(runs)
