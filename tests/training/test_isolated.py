"""TrainerR with ``call_in_subproc=True``: each task in a process of its own, one recorder each."""

from __future__ import annotations

import importlib
import os
import signal
import threading

import pytest

from rollwright.config.context import current_settings, install
from rollwright.errors import TaskFailedError
from rollwright.tracking.r import R
from rollwright.training.isolated import train_isolated
from rollwright.training.pooled import TrainerRM
from rollwright.training.trainer import STATUS_BEGIN, STATUS_END, STATUS_KEY, TrainerR

BODY = """\
import os
import time

from rollwright.tracking.r import R


def train(task, experiment_name, recorder_name=None, extra=None):
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        if task.get("fail"):
            raise RuntimeError(f"task {task['x']} is poison")
        if task.get("crash"):
            os.abort()
        R.log_params(x=task["x"], pid=os.getpid(), extra=extra)
        return R.get_recorder()


def nothing(task, experiment_name, recorder_name=None):
    return 1


def slow(task, experiment_name, recorder_name=None):
    open(task["log"], "w").close()
    time.sleep(600)
"""

OWN = """\
from rollwright.dataset.dataset import Dataset as Answers


class Dataset(dict, Answers):
    generation = "g1"


class Plain:
    def fit(self, dataset, reweighter=None):
        self.fitted = 6

    def predict(self, dataset, segment="test"):
        return self.fitted
"""


@pytest.fixture
def body(project, tmp_path, monkeypatch):
    """Make a project over files, which other processes see, and a module that they can import."""
    folder = tmp_path / "body"
    folder.mkdir()
    (folder / "isolated_body.py").write_text(BODY)
    (folder / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)
    values = {"tracking.uri": f"sqlite:///{tmp_path / 'mlflow.db'}", "trust.folder": str(folder)}
    install(current_settings().with_values(values, origin="test"))
    return importlib.import_module("isolated_body")


@pytest.mark.slow
def test_each_task_runs_in_a_process_of_its_own(body):
    trainer = TrainerR("exp", body.train, True, "mine")
    twice = trainer([{"x": 1}, {"x": 1}], extra="e")
    params = [recorder.list_params() for recorder in twice]
    assert [(found["x"], found["extra"]) for found in params] == [("1", "e")] * 2
    assert len({recorder.id for recorder in twice}) == 2
    assert len({found["pid"] for found in params} | {str(os.getpid())}) == 3
    assert {recorder.list_tags()[STATUS_KEY] for recorder in twice} == {STATUS_END}
    assert {(recorder.name, recorder.status) for recorder in twice} == {("mine", "FINISHED")}


@pytest.mark.slow
def test_a_pool_trains_there_too_when_memory_is_to_be_given_back(body):
    trainer = TrainerRM("exp", train_func=body.train)
    (recorder,) = trainer.train([{"x": 1}], default_rec_name="mine", force_release=True, extra="e")
    found = recorder.list_params()
    assert (found["x"], found["extra"], recorder.name) == ("1", "e", "mine")
    assert found["pid"] != str(os.getpid())
    task = {
        "model": {"class": "Plain", "module_path": "own.py"},
        "dataset": {"class": "Dataset", "module_path": "own.py"},
    }
    (ready,) = TrainerRM("exp").train(task, force_release=True)
    assert ready.load_object("provenance")["process"] == "slot"


@pytest.mark.slow
def test_a_task_that_fails_or_crashes_there_stops_no_other(body):
    with pytest.raises(TaskFailedError) as caught:
        TrainerR("exp", body.train, call_in_subproc=True).train(
            [{"x": 1, "fail": True}, {"x": 2, "crash": True}, {"x": 3}]
        )
    assert [place for place, _ in caught.value.failures] == ["0", "1"]
    raised, crashed = (error for _, error in caught.value.failures)
    assert raised.startswith("RuntimeError: task 1 is poison (isolated_body.py:")
    assert crashed == "the slot was ended by SIGABRT"
    recorders = list(R.list_recorders(experiment_name="exp").values())
    assert len(recorders) == 3, "a task is tried once"
    finished = [recorder for recorder in recorders if recorder.status == "FINISHED"]
    assert [recorder.list_params()["x"] for recorder in finished] == ["3"]


def test_the_ready_made_function_trains_there_and_says_so(body):
    task = {
        "model": {"class": "Plain", "module_path": "own.py"},
        "dataset": {"class": "Dataset", "module_path": "own.py"},
    }
    (recorder,) = TrainerR("exp", call_in_subproc=True).train(task)
    assert "params.pkl" in recorder.list_artifacts()
    assert recorder.load_object("provenance")["process"] == "slot"
    assert recorder.list_tags()[STATUS_KEY] == STATUS_BEGIN


@pytest.mark.parametrize(
    ("function", "task", "words"),
    [
        (lambda task, experiment_name, recorder_name: None, {"x": 1}, "cannot run in a process of its own"),
        ("train", {"x": object()}, "TaskValueError"),
        ("nothing", {"x": 1}, "train_func returned 1, not a recorder"),
    ],
)
def test_what_cannot_run_there_or_comes_back_wrong_is_named(body, function, task, words):
    trainer = TrainerR("exp", getattr(body, function) if isinstance(function, str) else function, call_in_subproc=True)
    with pytest.raises(TaskFailedError, match=words):
        trainer.train([task])


def test_an_interrupt_ends_the_process_and_is_passed_on(body, tmp_path):
    log = tmp_path / "log"

    def interrupt():
        while not log.exists():
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train_isolated(body.slow, {"log": str(log)}, experiment_name="exp")
    thread.join()
