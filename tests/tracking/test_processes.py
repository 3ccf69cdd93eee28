"""What only real processes show: races on a new store, forks, exits nobody planned, and silence on the network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_python(arguments, folder, timeout=120):
    """Run Python as a user would: not under pytest, not in a CI, in a project of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return what the scenarios of `scenarios.py` reported."""
    done = run_python([str(Path(__file__).parent / "scenarios.py")], tmp_path_factory.mktemp("race"))
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "stderr": done.stderr}


def test_m3_processes_that_start_at_once_make_one_store_and_one_experiment(report):
    assert report["race"] == [0, 0, 0], report["stderr"]
    assert report["experiments"] == ["Default", "race"]


def test_m3_nothing_any_of_them_recorded_is_lost(report):
    assert report["runs"] == [
        [f"{place}-{number}", "FINISHED", 22, place + number / 10, place, number]
        for place in range(3)
        for number in range(5)
    ]


def test_a_forked_child_opens_its_own_connection_and_has_no_active_run(report):
    assert report["forked"] == [0, 0, 0], report["stderr"]
    assert report["parent"] == ["FINISHED", {"after": 1.0}]
    assert report["forked runs"] == [["0", "FINISHED"], ["1", "FINISHED"], ["2", "FINISHED"], ["parent", "FINISHED"]]


def test_no_socket_is_opened_and_no_process_started(report):
    assert report["sockets"] == []
    assert report["telemetry"] == ["true", "true"]
    assert report["telemetry client"] == "None"
    assert report["threads"] == ["MainThread"]


def test_the_users_logging_is_left_alone_and_nothing_is_said(report):
    assert report["handlers"] == [[], [], []]
    assert report["levels"] == [30, 0, 0, 0]
    assert report["configure"] is None
    assert report["stderr"] == ""


ABANDONED = """
import atexit, json, os, sys

def say():
    os.write(answer, recorder.status.encode())

atexit.register(say)  # registered first, so it runs last
from rollwright.tracking.r import R

R.set_uri("memory:")
statuses = ["mlflow" in sys.modules]
for ending in ("exit", "raise", "fall through", "end"):
    question, answer = os.pipe()
    if os.fork() == 0:
        R.start_exp(experiment_name="e")
        recorder = R.get_recorder()
        if ending == "exit":
            sys.exit(0)
        if ending == "raise":
            raise ValueError(ending)
        if ending == "end":
            R.end_exp()
        break
    os.close(answer)
    statuses.append(os.read(question, 20).decode())
    os.wait()
else:
    atexit.unregister(say)
    sys.stdout.write(json.dumps(statuses))
"""


def test_m4_a_run_that_nobody_ended_is_failed_when_the_process_leaves(tmp_path):
    done = run_python(["-c", ABANDONED], tmp_path)
    mlflow_imported, *statuses = json.loads(done.stdout)
    assert statuses == ["FAILED", "FAILED", "FAILED", "FINISHED"], done.stderr
    assert not mlflow_imported


@pytest.mark.slow
def test_eight_processes_record_fifty_runs_each_into_one_new_store(tmp_path):
    processes, runs = 8, 50
    done = run_python([str(Path(__file__).parent / "store_load.py"), str(processes), str(runs)], tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ends"] == [0] * processes, done.stderr
    assert done.stderr == ""
    assert report["names"] == sorted(f"{place}-{number}" for place in range(processes) for number in range(runs))
    assert report["statuses"] == ["FINISHED"]
    assert report["metrics"] == pytest.approx(sum(p + n / 100 for p in range(processes) for n in range(runs)))
    assert report["whole"] == processes * runs
    assert report["experiments"] == ["Default", "load"]
