"""TrainerRM: through a pool, with recorders as results, and never twice."""

from __future__ import annotations

import importlib.util
import sqlite3

import pytest

from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, RecorderNotFoundError, TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.tasks.identity import fit_key
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training import pooled
from rollwright.training.pooled import TASK_ID_KEY, TrainerRM, list_preload
from rollwright.training.trainer import STATUS_BEGIN, STATUS_END, STATUS_KEY

RUNS: list[int] = []


def train(task, experiment_name, recorder_name=None):
    RUNS.append(task["x"])
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        if task.get("fail"):
            raise RuntimeError(f"task {task['x']} is poison")
        R.log_params(x=task["x"])
        return R.get_recorder()


@pytest.fixture(autouse=True)
def count():
    RUNS.clear()


def tasks(*numbers):
    return [{"x": number} for number in numbers]


def test_t1_recorders_come_back_through_the_pool_in_the_order_of_the_tasks():
    recorders = TrainerRM("exp", train_func=train).train(tasks(3, 1, 2))
    assert all(isinstance(recorder, Recorder) for recorder in recorders)
    assert [recorder.list_params()["x"] for recorder in recorders] == ["3", "1", "2"]
    documents = {document["_id"]: document["status"] for document in TaskManager("exp").query()}
    assert set(documents.values()) == {"done"}
    assert [recorder.list_tags()[TASK_ID_KEY] for recorder in recorders] == list(documents)
    assert {recorder.list_tags()[STATUS_KEY] for recorder in recorders} == {STATUS_BEGIN}


def test_r5_training_again_trains_nothing_and_keeps_the_state_of_what_is_finished():
    trainer = TrainerRM("exp", train_func=train)
    trainer(tasks(1, 2))
    again = trainer.train(tasks(1, 2, 3))
    assert RUNS == [1, 2, 3]
    assert [recorder.list_tags()[STATUS_KEY] for recorder in again] == [STATUS_END, STATUS_END, STATUS_BEGIN]


def test_a_definition_that_somebody_changed_in_the_database_is_put_back_before_it_is_trained(tmp_path):
    TaskManager("exp").create_task(tasks(1, 2))
    with sqlite3.connect(tmp_path / "pool.db") as connection:
        connection.execute("""UPDATE document SET definition = '{"x":9}' WHERE task = 1""")
    connection.close()
    recorders = TrainerRM("exp", train_func=train).train(tasks(1, 2))
    assert sorted(RUNS) == [1, 2]
    assert [recorder.list_params()["x"] for recorder in recorders] == ["1", "2"]


def test_t3_a_poison_task_stops_no_other_and_is_named():
    trainer = TrainerRM("exp", train_func=train)
    with pytest.raises(TaskFailedError) as caught:
        trainer.train([{"x": 1, "fail": True}, *tasks(2, 3)])
    ((_, error),) = caught.value.failures
    assert error.startswith("RuntimeError: task 1 is poison (test_pooled.py:")  # and where in the user's own code
    stat = TaskManager("exp").task_stat()
    assert (stat["done"], stat["failed"]) == (2, 1)


def test_only_submitting_leaves_the_work_to_others(monkeypatch):
    manager = TaskManager("exp")
    manager.create_task(tasks(1))
    assert TrainerRM("exp", train_func=train).worker()
    (recorder,) = TrainerRM("exp", train_func=train, skip_run_task=True).train(tasks(1))
    assert recorder.list_params()["x"] == "1"
    assert RUNS == [1]
    assert TrainerRM("exp").has_worker()


def test_a_pool_of_its_own_and_a_name_for_the_recorders():
    (recorder,) = TrainerRM("exp", task_pool="pool-b", train_func=train, default_rec_name="mine").train({"x": 1})
    assert recorder.name == "mine"
    assert TaskManager.list() == ["pool-b"]


def finish(recorder, experiment_name, recorder_name=None):
    with R.start(experiment_name=experiment_name, recorder_id=recorder.id, resume=True):
        R.log_params(finished="yes")
        return R.get_recorder()


def test_two_stages_each_wait_for_their_own_end_only():
    trainer = TrainerRM("exp", train_func=train)
    begun = trainer.train(tasks(1, 2), after_status="part_done", default_rec_name="staged")
    assert TaskManager("exp").task_stat() == {"part_done": 2}
    assert {recorder.name for recorder in begun} == {"staged"}
    ended = trainer.train(tasks(1, 2), finish, None, "part_done")
    assert TaskManager("exp").task_stat() == {"done": 2}
    assert [recorder.id for recorder in ended] == [recorder.id for recorder in begun]
    assert {recorder.list_params()["finished"] for recorder in ended} == {"yes"}
    assert trainer.end_train(recs=ended) == ended


def test_a_failure_of_the_first_stage_is_told():
    with pytest.raises(TaskFailedError, match="task 1 is poison"):
        TrainerRM("exp", train_func=train).train([{"x": 1, "fail": True}, *tasks(2)], after_status="part_done")


def preload(uri, *models):
    return list_preload(
        load_settings({"tracking.uri": uri}, environ={}), [{"model": {"module_path": m}} for m in models]
    )


def test_what_worker_processes_share_is_there_to_be_imported():
    """The server of the processes passes over what it cannot import, and each would import it again."""
    everything = preload("http://h", *(f"rollwright.models.{name}" for name in ("lightgbm", "linear", "sklearn")))
    assert [name for name in everything if importlib.util.find_spec(name) is None] == []


def test_worker_processes_share_the_library_of_the_model_and_mlflow_only_where_a_server_or_database_needs_it():
    lightgbm = "rollwright.models.lightgbm_preloaded"
    libraries = {lightgbm, "xgboost", "catboost", "sklearn"}
    for models, wanted in (
        (["rollwright.models.lightgbm"], {lightgbm}),
        (["rollwright.models.linear"], set()),
        (["rollwright.models.linear", "rollwright.models.catboost"], {"catboost"}),
        (["my_models.py"], {lightgbm}),
        ([], {lightgbm}),
    ):
        assert libraries & {*preload("memory:", *models)} == wanted
    with_mlflow = {
        uri: "mlflow" in " ".join(preload(uri)) for uri in ("memory:", "sqlite:///x.db", "http://h", "postgresql://h/d")
    }
    assert with_mlflow == {"memory:": False, "sqlite:///x.db": False, "http://h": True, "postgresql://h/d": True}


def test_the_first_failure_is_passed_on_when_it_is_asked_for():
    with pytest.raises(RuntimeError, match="task 1 is poison"):
        TrainerRM("exp", train_func=train).train([{"x": 1, "fail": True}, *tasks(2)], fail_fast=True)


def test_no_pool_and_no_experiment_is_an_error():
    with pytest.raises(ConfigError, match="neither a task_pool nor an experiment_name"):
        TrainerRM(train_func=train).train(tasks(1))
    assert TrainerRM(train_func=train).train([]) == []


def test_a_task_whose_result_is_another_tasks_recorder_is_not_taken_for_trained(monkeypatch):
    def train_as_ours(definition, experiment_name):
        with R.start(experiment_name=experiment_name) as recorder:
            recorder.set_tags(fit_key=fit_key(definition))
        return recorder

    monkeypatch.setattr(pooled, "task_train", train_as_ours)
    mine = {"class": "Mine", "module_path": "mine.py"}
    definitions = [{"model": {**mine, "kwargs": {"x": x}}, "dataset": mine} for x in (1, 2)]
    trainer = TrainerRM("exp", train_func=train_as_ours)
    first, _ = trainer.train(definitions)
    manager = TaskManager("exp")
    victim = manager.create_task(definitions)[1]
    manager.reset_status({"_id": victim}, "waiting")
    manager.commit_task_res(manager.fetch_task({"_id": victim}), first)
    with pytest.raises(RecorderNotFoundError, match=f"task {victim} is recorder {first.id}, which holds another task"):
        trainer.train(definitions)
