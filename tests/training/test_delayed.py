"""Training in two phases: prepared in one place, trained in another, in one recorder, whatever is killed between."""

from __future__ import annotations

import os
import threading

import pytest

import rollwright
from rollwright.config.context import current_settings, install
from rollwright.errors import ConfigError, RecorderNotFoundError, RunError, TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.delayed import DelayTrainerR, DelayTrainerRM
from rollwright.training.phases import begin_task_train, end_in_slot, end_task_train
from rollwright.training.pooled import TASK_ID_KEY, TrainerRM, train_in_pool
from rollwright.training.trainer import STATUS_BEGIN, STATUS_END, STATUS_KEY, TrainerR

OWN = """\
import os
from pathlib import Path

from rollwright.dataset.dataset import Dataset as Answers

HERE = Path(__file__).parent


def happens_once(name):
    try:
        (HERE / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Dataset(dict, Answers):
    generation = "g1"

    def __init__(self, x=0):
        super().__init__(x=x)


class Model(dict):
    def __init__(self, x=0, trouble=None, seed=None):
        super().__init__(x=x, trouble=trouble)

    def fit(self, dataset):
        with (HERE / "fits.txt").open("a") as log:
            log.write(f"{self['x']}\\n")
        if self["trouble"] == "poison":
            raise TypeError(f"model {self['x']} is poison")
        if self["trouble"] == "killed" and happens_once("killed"):
            os.kill(os.getpid(), 9)
        if self["trouble"] == "interrupted" and happens_once("interrupted"):
            raise KeyboardInterrupt

    def predict(self, dataset, segment="test"):
        return None


class Record:
    def __init__(self, model, dataset, recorder, trouble=None):
        self.model, self.recorder, self.trouble = model, recorder, trouble

    def generate(self):
        if self.trouble == "interrupted" and happens_once("record"):
            raise KeyboardInterrupt
        self.recorder.save_objects(**{"seen.pkl": {"x": self.model["x"]}})
"""


@pytest.fixture(autouse=True)
def folder(project, tmp_path):
    """Return where the code of the tests' own is."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    install(current_settings().with_values({"trust.folder": str(folder)}, origin="test"))
    return folder


@pytest.fixture
def stored_runs(folder, tmp_path):
    """Keep recorders where other processes find them."""
    install(current_settings().with_values({"tracking.uri": f"sqlite:///{tmp_path / 'runs.db'}"}, origin="test"))


def task(x, trouble=None, record_trouble=None, **more):
    record = {"class": "Record", "module_path": "own.py"}
    return {
        "model": {"class": "Model", "module_path": "own.py", "kwargs": {"x": x, "trouble": trouble}},
        "dataset": {"class": "Dataset", "module_path": "own.py", "kwargs": {"x": x}},
        "record": {**record, "kwargs": {"trouble": record_trouble}} if record_trouble else record,
        **more,
    }


def fits(folder):
    path = folder / "fits.txt"
    return path.read_text().split() if path.exists() else []


def xs(recorders):
    return [recorder.load_object("seen.pkl")["x"] for recorder in recorders]


def states(recorders):
    return [(R.get_recorder(recorder_id=r.id).status, r.list_tags()[STATUS_KEY]) for r in recorders]


BOTH = pytest.mark.parametrize("make", [DelayTrainerR, DelayTrainerRM])


@BOTH
def test_train_prepares_and_end_train_trains_in_the_same_recorders_in_order(make, folder):
    trainer = make("exp")
    assert trainer.is_delay()
    begun = trainer.train([task(3), task(1), task(2)])
    assert states(begun) == [(Recorder.STATUS_S, STATUS_BEGIN)] * 3
    assert [recorder.load_object("task")["model"]["kwargs"]["x"] for recorder in begun] == [3, 1, 2]
    assert fits(folder) == []
    ended = trainer.end_train(begun)
    assert [recorder.id for recorder in ended] == [recorder.id for recorder in begun]
    assert xs(ended) == [3, 1, 2]
    assert states(ended) == [(Recorder.STATUS_FI, STATUS_END)] * 3
    again = trainer.end_train(begun)  # which were read before they were trained
    assert [recorder.status for recorder in again] == [Recorder.STATUS_FI] * 3
    assert len(R.list_recorders(experiment_name="exp")) == 3


@BOTH
def test_calling_does_both_and_doing_it_again_trains_nothing(make, folder):
    trainer = make("exp")
    ended = trainer([task(1), task(2)])
    assert xs(ended) == [1, 2]
    assert xs(trainer.end_train(ended)) == [1, 2]
    assert fits(folder) == ["1", "2"]
    assert trainer([]) == []


@BOTH
def test_what_is_trained_is_not_given_to_a_function_of_ones_own_again(make):
    given: list[str] = []

    def end(recorder, experiment_name):
        given.append(recorder.id)
        return end_task_train(recorder, experiment_name)

    trainer = make("exp", end_train_func=end)
    ended = trainer([task(1), task(2)])
    assert xs(trainer.end_train(ended)) == [1, 2]
    assert given == [recorder.id for recorder in ended]


@BOTH
def test_another_process_trains_what_was_prepared(make, folder):
    begun = make("exp", default_rec_name="mine").train(task(1))
    assert begun[0].name == "mine"
    found = list(R.list_recorders(experiment_name="exp").values())  # all that is known there
    assert xs(make("exp").end_train(found)) == [1]


@BOTH
def test_a_failure_in_either_phase_is_named_and_loses_no_other(make, folder):
    trainer = make("exp")
    with pytest.raises(TaskFailedError, match=r"segments\.gone"):
        trainer.train(
            [task(1), task(2, dataset={"class": "<segments.gone>"}), task(3)], train_func=_prepare_unless_gone
        )
    begun = trainer.train([task(1), task(4, "poison"), task(3)])
    with pytest.raises(TaskFailedError, match="model 4 is poison") as caught:
        trainer.end_train(begun)
    assert len(caught.value.failures) == 1
    assert [status for status, _ in states(begun)] == [Recorder.STATUS_FI, Recorder.STATUS_FA, Recorder.STATUS_FI]
    assert [state for _, state in states(begun)] == [STATUS_END, STATUS_BEGIN, STATUS_END]


def _prepare_unless_gone(task_config, experiment_name, recorder_name=None):
    if task_config["dataset"]["class"].startswith("<"):
        raise ConfigError("segments.gone")
    return begin_task_train(task_config, experiment_name, recorder_name)


def test_an_interrupt_in_the_fit_is_repeated_in_the_same_recorder(folder):
    begun = begin_task_train(task(1, "interrupted"), "exp")
    with pytest.raises(KeyboardInterrupt):
        end_task_train(begun, "exp")
    assert R.get_recorder(recorder_id=begun.id).status == Recorder.STATUS_FA
    ended = end_task_train(R.get_recorder(recorder_id=begun.id), "exp")
    assert (ended.id, ended.status) == (begun.id, Recorder.STATUS_FI)
    assert fits(folder) == ["1", "1"]


def test_an_interrupt_after_the_fit_keeps_the_fit(folder):
    begun = begin_task_train(task(1, record_trouble="interrupted"), "exp")
    with pytest.raises(KeyboardInterrupt):
        end_task_train(begun, "exp")
    ended = end_task_train(begun, "exp")
    assert (ended.id, xs([ended]), fits(folder)) == (begun.id, [1], ["1"])
    assert R.get_recorder(recorder_id=begun.id).status == Recorder.STATUS_FI


def test_what_is_trained_is_not_trained_again_unless_its_code_changed(folder):
    ended = end_task_train(begin_task_train(task(1), "exp"), "exp")
    assert end_task_train(ended, "exp").id == ended.id
    assert fits(folder) == ["1"]
    (folder / "own.py").write_text(OWN + "\n# edited\n")
    end_task_train(ended, "exp")
    assert fits(folder) == ["1", "1"]


def test_a_pool_takes_what_another_recorder_has_learnt(folder):
    first = end_task_train(begin_task_train(task(1), "exp"), "exp")
    second = begin_task_train(task(1), "exp")
    result = end_in_slot(second, experiment_name="exp")
    assert result.value.id == second.id != first.id
    assert result.validity is not None
    assert second.list_tags()["fit_from"] == first.id
    assert fits(folder) == ["1"]


def test_a_recorder_that_holds_no_task_is_an_error():
    with R.start(experiment_name="exp") as recorder:
        recorder.save_objects(task=["nothing"])
    with pytest.raises(RunError, match=r"holds no task, but list(.|\n)*hint: prepare it with begin_task_train"):
        end_task_train(recorder, "exp")


def test_a_prepared_task_is_part_done_and_its_tags_are_no_part_of_its_identity():
    trainer = DelayTrainerRM("exp")
    trainer.train([task(1), task(2, tags={"gpu": True})])
    assert TaskManager("exp").task_stat() == {"part_done": 2}
    trainer.train([task(1, tags={"team": "a"}), task(2)])
    assert TaskManager("exp").task_stat() == {"part_done": 2}
    assert len(R.list_recorders(experiment_name="exp")) == 2


def test_what_needs_a_tag_is_trained_by_a_worker_that_has_it(folder):
    trainer = DelayTrainerRM("exp", task_pool="pool")
    begun = trainer.train([task(1), task(2, tags={"gpu": True}), task(3, tags={"gpu": False})])
    first, _, third = (recorder.list_tags()[TASK_ID_KEY] for recorder in begun)
    trained: list[bool] = []

    def work_elsewhere():
        TaskManager("pool").wait(query={"_id": {"$in": [first, third]}}, timeout=60)
        trained.append(DelayTrainerRM("exp", "pool", tags=["gpu"]).worker())

    assert not DelayTrainerRM("exp", "pool", tags=["tpu"]).worker()
    elsewhere = threading.Thread(target=work_elsewhere)
    elsewhere.start()
    ended = trainer.end_train(begun)
    elsewhere.join()
    assert trained == [True]  # what needs a tag was left to it
    assert xs(ended) == [1, 2, 3]
    assert fits(folder) == ["1", "3", "2"]


def test_without_running_tasks_end_train_waits_for_workers(folder):
    begun = DelayTrainerRM("exp").train([task(1), task(2)])
    worker = DelayTrainerRM("exp")
    assert worker.has_worker()
    assert worker.worker()
    assert not worker.worker()
    assert states(begun) == [(Recorder.STATUS_FI, STATUS_BEGIN)] * 2
    ended = DelayTrainerRM("exp", skip_run_task=True).end_train(begun)
    assert states(ended) == [(Recorder.STATUS_FI, STATUS_END)] * 2
    assert fits(folder) == ["1", "2"]


def test_r6_preparing_never_skips_and_leaves_the_trainer_as_it_was():
    trainer = DelayTrainerRM("exp", skip_run_task=True)
    with pytest.raises(TaskFailedError):
        trainer.train([task(1, dataset={"class": "<gone>"})], train_func=_prepare_unless_gone)
    assert trainer.skip_run_task
    assert len(trainer.train([task(2)])) == 1


def test_a_task_that_was_trained_whole_meanwhile_comes_back_trained():
    TrainerRM("exp")([task(1)])
    trainer = DelayTrainerRM("exp")
    begun = trainer.train([task(1), task(2)])
    assert [tags for _, tags in states(begun)] == [STATUS_END, STATUS_BEGIN]
    assert xs(trainer.end_train(begun)) == [1, 2]


def test_a_result_that_is_another_tasks_recorder_is_not_taken_for_trained():
    trainer = DelayTrainerRM("exp")
    first, second = trainer.train([task(1), task(2)])
    manager = TaskManager("exp")
    task_id = second.list_tags()[TASK_ID_KEY]
    manager.commit_task_res(manager.fetch_task({"_id": task_id}, "part_done"), first, "part_done")
    with pytest.raises(RecorderNotFoundError, match="which holds another task"):
        trainer.end_train([second])


def test_recorders_of_no_pool_are_refused():
    begun = DelayTrainerR("exp").train([task(1)])
    with pytest.raises(ConfigError, match=r"no tag `_id in TaskManager`(.|\n)*hint: .*DelayTrainerRM.train"):
        DelayTrainerRM("exp").end_train(begun)


def test_each_phase_runs_in_a_process_of_its_own_when_asked(stored_runs):
    trainer = DelayTrainerR("exp", call_in_subproc=True)
    ended = trainer([task(1)])
    assert states(ended) == [(Recorder.STATUS_FI, STATUS_END)]
    assert ended[0].load_object("provenance")["process"] != os.getpid()
    assert xs(ended) == [1]


@pytest.mark.crash
def test_a_worker_process_that_is_killed_in_the_fit_costs_an_attempt_and_no_second_recorder(folder, stored_runs):
    begun = DelayTrainerRM("exp").train([task(1, "killed"), task(2)])
    report = train_in_pool(TaskManager("exp"), experiment_name="exp", before=Status.PART_DONE, slots=2)
    assert (report.done, report.failed) == (2, 0)
    ended = DelayTrainerRM("exp", skip_run_task=True).end_train(begun)
    assert xs(ended) == [1, 2]
    assert sorted(fits(folder)) == ["1", "1", "2"]
    assert [recorder.id for recorder in ended] == [recorder.id for recorder in begun]
    assert len(R.list_recorders(experiment_name="exp")) == 2


def test_the_names_are_public_and_qlibs_strings_find_them():
    assert rollwright.DelayTrainerR is DelayTrainerR
    assert rollwright.DelayTrainerRM is DelayTrainerRM
    from rollwright.model.trainer import DelayTrainerR as known  # noqa: PLC0415 - Qlib's place

    assert known is DelayTrainerR
    assert issubclass(DelayTrainerR, TrainerR)
    assert issubclass(DelayTrainerRM, TrainerRM)
