"""TrainerR: every task gets its chance, and what succeeded is kept."""

from __future__ import annotations

import pytest

from rollwright.errors import ConfigError, RollwrightError, TaskFailedError
from rollwright.tracking.r import R
from rollwright.training.pooled import TrainerRM
from rollwright.training.trainer import STATUS_BEGIN, STATUS_END, STATUS_KEY, TrainerR


def train(task, experiment_name, recorder_name=None):
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        if task.get("fail"):
            raise RuntimeError(f"task {task['x']} is poison")
        R.log_params(x=task["x"])
        return R.get_recorder()


def test_recorders_come_back_in_the_order_of_the_tasks():
    recorders = TrainerR("exp", train).train([{"x": 1}, {"x": 2}])
    assert [recorder.list_params()["x"] for recorder in recorders] == ["1", "2"]
    assert [recorder.list_tags()[STATUS_KEY] for recorder in recorders] == [STATUS_BEGIN] * 2


def test_calling_trains_and_marks_as_trained():
    (recorder,) = TrainerR("exp", train, default_rec_name="mine")({"x": 1})
    assert recorder.name == "mine"
    assert recorder.list_tags()[STATUS_KEY] == STATUS_END
    assert recorder.status == recorder.STATUS_FI


def test_no_task_is_no_work():
    assert TrainerR("exp", train).train([]) == []


def test_r8_one_failure_loses_no_other_recorder():
    with pytest.raises(TaskFailedError) as caught:
        TrainerR("exp", train).train([{"x": 1}, {"x": 2, "fail": True}, {"x": 3}])
    assert caught.value.failures == (("1", "RuntimeError: task 2 is poison"),)
    assert caught.value.exit_code == 1
    statuses = sorted(r.status for r in R.list_recorders(experiment_name="exp").values())
    assert statuses == ["FAILED", "FINISHED", "FINISHED"]


@pytest.mark.parametrize(("args", "kwargs"), [((1,), {}), ((), {"experiment_name": "other"})])
def test_what_would_have_no_effect_on_trained_models_is_refused(args, kwargs):
    for trainer in (TrainerR("exp", train), TrainerRM("exp", train_func=train)):
        with pytest.raises(ConfigError, match=r"would have no effect(.|\n)*hint: give it to train"):
            trainer.end_train([], *args, **kwargs)


def test_the_states_have_qlibs_names_and_values():
    assert (TrainerR.STATUS_KEY, TrainerR.STATUS_BEGIN, TrainerR.STATUS_END) == (STATUS_KEY, STATUS_BEGIN, STATUS_END)
    assert TrainerRM.TM_ID == "_id in TaskManager"


@pytest.mark.parametrize("make", [TrainerR, TrainerRM])
def test_what_is_no_recorder_is_named_with_the_function_that_returned_it(make):
    def forgets(task, experiment_name, recorder_name=None):
        train(task, experiment_name, recorder_name)

    with pytest.raises(RollwrightError, match=r"forgets returned None, not a recorder"):
        make("exp", train_func=forgets).train([{"x": 1}])


@pytest.mark.parametrize("make", [TrainerR, TrainerRM])
@pytest.mark.parametrize(("tasks", "said"), [([{"x": 1}, 3], r"task \[1\] is int"), ("x", "str"), (None, "NoneType")])
def test_what_is_no_task_is_refused_before_any_is_trained(make, tasks, said):
    with pytest.raises(ConfigError, match=f"{said}.*a dictionary"):
        make("exp", train_func=train).train(tasks)
    assert R.list_recorders(experiment_name="exp") == {}


def test_a_trainer_without_workers_says_so():
    trainer = TrainerR("exp", train)
    assert not trainer.has_worker()
    assert not trainer.is_delay()
    with pytest.raises(RollwrightError, match="TrainerRM"):
        trainer.worker()
