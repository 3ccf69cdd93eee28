"""One task from its definition to a finished recorder, with a dataset and a model of the test's own."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from rollwright.config.context import current_settings, install
from rollwright.errors import ConfigError, ConstructError, UnsupportedArtifactError
from rollwright.models.learning import Learning
from rollwright.tasks.identity import identify, task_seed
from rollwright.tracking.r import R
from rollwright.training import validity
from rollwright.training.execute import execute, flatten, log_task, task_train
from rollwright.training.phases import begin_task_train, end_task_train
from rollwright.training.pooled import train_in_slot
from rollwright.training.validity import TaskParts, Validity

OWN = """\
from rollwright.dataset.dataset import Dataset as Answers
from rollwright.models.learning import Learning


class Dataset(dict, Answers):
    generation = "g1"

    def __init__(self, start=None):
        super().__init__(start=start)


class Timeless(dict, Answers):
    pass


class Model(dict):
    def __init__(self, seed=None, fail=False):
        super().__init__(seed=seed, fail=fail, fitted=False)

    def fit(self, dataset, reweighter=None):
        if self["fail"]:
            raise TypeError("the body raised this, not the call")
        self["fitted"] = dataset["start"]

    def predict(self, dataset, segment="test"):
        return None


class Telling(Model):
    def tell_learning(self):
        return Learning.of({"valid": {"l2": [2.0, 1.0]}}, basis="gain", weights=[("x", 3.0)])


class Record:
    def __init__(self, model, dataset, recorder, extra=None):
        self.model, self.dataset, self.recorder, self.extra = model, dataset, recorder, extra

    def generate(self):
        self.recorder.save_objects(**{"seen.pkl": {"fitted": self.model["fitted"], "extra": self.extra}})


class Doubled(Record):
    def generate(self):
        self.recorder.save_objects(**{"seen.pkl": {"doubled": self.recorder.load_object("seen.pkl")}})


class Deleting(Record):
    def generate(self):
        self.recorder.delete_artifact("seen.pkl")


class Further(Record):
    def generate(self):
        self.recorder.save_objects(**{"further.pkl": 1})
"""

TASK = {
    "model": {"class": "Model", "module_path": "own.py"},
    "dataset": {"class": "Dataset", "module_path": "own.py", "kwargs": {"start": "<segments.train.0>"}},
    "segments": {"train": ("2015-01-05", "2016-12-30")},
    "record": {"class": "Record", "module_path": "own.py", "kwargs": {"extra": "<MODEL>"}},
}


@pytest.fixture(autouse=True)
def own_module(project, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)
    install(current_settings().with_values({"trust.folder": str(folder)}, origin="test"))


def test_a_task_leaves_model_task_and_records_in_a_finished_recorder():
    recorder = task_train(TASK, "exp")
    assert recorder.status == recorder.STATUS_FI
    assert recorder.load_object("params.pkl")["fitted"] == "2015-01-05"
    assert recorder.load_object("seen.pkl")["extra"]["fitted"] == "2015-01-05"
    assert recorder.load_object("task")["model"] == TASK["model"]
    assert recorder.list_params()["dataset.kwargs.start"] == "<segments.train.0>"


def test_a_model_that_tells_how_it_learnt_leaves_that_beside_it_and_another_leaves_nothing():
    recorder = task_train({**TASK, "model": {**TASK["model"], "class": "Telling"}}, "exp")
    told = Learning.from_json(recorder.load_object("learning"))
    assert told.curves[0].values == (2.0, 1.0)
    assert told.importance == {"x": 1.0}
    assert "learning" not in task_train(TASK, "exp").list_artifacts()


def test_r2_r3_placeholders_are_filled_before_the_dataset_is_built_and_the_task_stays_as_it_was():
    before = copy.deepcopy(TASK)
    assert task_train(TASK, "exp").load_object("dataset") == {"start": "2015-01-05"}
    assert before == TASK


def test_the_seed_is_the_tasks_unless_given():
    assert task_train(TASK, "exp").load_object("params.pkl")["seed"] == task_seed(TASK)
    given = {**TASK, "model": {**TASK["model"], "kwargs": {"seed": 3}}}
    assert task_train(given, "exp").load_object("params.pkl")["seed"] == 3
    open_seed = {**TASK, "model": {**TASK["model"], "kwargs": {"seed": None}}}
    assert task_train(open_seed, "exp").load_object("params.pkl")["seed"] == task_seed(TASK)


@pytest.mark.parametrize(
    "more",
    [
        {"tags": {"gpu": True}},
        {"name": "mine"},
        {"record": [TASK["record"], {**TASK["record"], "kwargs": {"extra": 2}}]},
        {"model": {**TASK["model"], "kwargs": {"fail": False}}},
    ],
)
def test_tags_records_and_spelling_leave_the_seed_alone(more):
    assert task_train({**TASK, **more}, "exp").load_object("params.pkl")["seed"] == task_seed(TASK)


def test_a_seed_of_the_campaigns_own_gives_others():
    assert task_train({**TASK, "seed": 5}, "exp").load_object("params.pkl")["seed"] == task_seed({**TASK, "seed": 5})
    assert task_seed({**TASK, "seed": 5}) != task_seed(TASK)


def test_a_failing_fit_leaves_a_failed_recorder_and_its_own_error():
    with pytest.raises(TypeError, match="the body raised this"):
        task_train({**TASK, "model": {**TASK["model"], "kwargs": {"fail": True}}}, "exp")
    assert [recorder.status for recorder in R.list_recorders(experiment_name="exp").values()] == ["FAILED"]


def test_a_model_that_no_codec_stores_is_refused_before_it_learns():
    own = Path(current_settings().trust.folder) / "own.py"
    kept = "\n\nclass Kept:\n    def __init__(self):\n        self.lock = threading.Lock()\n"
    learns = "\n    def fit(self, dataset):\n        raise AssertionError('it learnt')\n"
    learns += "\n    def predict(self, dataset, segment='test'):\n        raise AssertionError('it predicted')\n"
    own.write_text(f"import threading\n{OWN}{kept}{learns}")
    with pytest.raises(UnsupportedArtifactError, match="Kept"):
        task_train({**TASK, "model": {"class": "Kept", "module_path": "own.py"}}, "exp")


def test_code_edited_while_it_runs_is_not_recorded_as_what_gave_the_result():
    editor = "\n\nclass Editor(Model):\n    def fit(self, dataset, reweighter=None):\n        super().fit(dataset)\n"
    own = Path(current_settings().trust.folder) / "own.py"
    text = (
        "from pathlib import Path\n"
        + OWN
        + editor
        + "        Path(__file__).write_text(Path(__file__).read_text() + '# edited')\n"
    )
    own.write_text(text)
    task = {**TASK, "model": {"class": "Editor", "module_path": "own.py"}}
    started_from = TaskParts.of(task).fit.code
    with R.start(experiment_name="exp"):
        recorded = execute(task, R.get_recorder())
    assert own.read_text() != text
    assert Validity.from_json(recorded).fit.code == started_from != TaskParts.of(task).fit.code


def test_r4_a_reweighter_that_cannot_be_built_is_an_error_not_a_dictionary():
    with pytest.raises(ConstructError, match="Weights"):
        task_train({**TASK, "reweighter": {"class": "Weights", "module_path": "own.py"}}, "exp")


def test_a_dataset_that_cannot_say_what_it_reads_is_refused_before_the_fit():
    with pytest.raises(ConfigError, match="which generation"):
        task_train({**TASK, "dataset": {"class": "Timeless", "module_path": "own.py"}}, "exp")


def test_a_dataset_that_lacks_what_a_task_asks_is_refused_with_all_of_it():
    own = Path(current_settings().trust.folder) / "own.py"
    own.write_text(OWN + "\n\nclass Bare:\n    generation = 'g1'\n    segments = {}\n")
    with pytest.raises(
        ConfigError, match=r"Bare, which has no label_lookahead, label_reach, fit_ranges, prepare, fold, .*scope_until"
    ) as caught:
        task_train({**TASK, "dataset": {"class": "Bare", "module_path": "own.py"}}, "exp")
    assert "rollwright.dataset.dataset.Dataset" in str(caught.value.hint)


def test_two_phases_give_what_one_gives():
    begun = begin_task_train(TASK, "exp")
    assert "params.pkl" not in begun.list_artifacts()
    ended = end_task_train(rec=begun, experiment_name="exp")
    assert ended.id == begun.id
    assert ended.load_object("params.pkl") == task_train(TASK, "exp").load_object("params.pkl")


def test_flattening_keeps_empty_leaves_and_positions():
    assert flatten({"a": {"b": [1, {"c": 2}]}, "d": {}, "e": []}) == {"a.b.0": 1, "a.b.1.c": 2, "d": {}, "e": []}


def test_a_run_that_is_killed_in_its_fit_has_said_what_it_trains():
    with R.start(experiment_name="exp") as recorder:
        log_task(TASK, recorder)
        (stored,) = R.exp_manager.location.store.search_runs([recorder.experiment_id])
        assert stored.status == "RUNNING"
        assert stored.params["model.class"] == "Model"
        assert "fingerprint" in stored.tags


def test_a_task_of_a_pool_is_brought_into_normal_form_once(project, monkeypatch):
    asked = []
    monkeypatch.setattr(validity, "identify", lambda task, *, trust: asked.append(task) or identify(task, trust=trust))
    train_in_slot(TASK, experiment_name="exp")
    assert asked == [TASK]


SEEN = {"fitted": "2015-01-05", "extra": None}


def asking(*records):
    return {**TASK, "record": [{"class": name, "module_path": "own.py"} for name in records]}


def train(*records):
    return train_in_slot(asking(*records), experiment_name="exp").value


@pytest.mark.parametrize("order", [("plain", "doubled"), ("doubled", "plain")])
def test_tasks_of_which_one_replaces_the_others_prediction_share_no_recorder(order):
    wanted = {"plain": ("Record",), "doubled": ("Record", "Doubled")}
    for _ in range(2):  # given again, nothing changes
        made = {name: train(*wanted[name]) for name in order}
        assert made["plain"].load_object("seen.pkl") == SEEN
        assert made["doubled"].load_object("seen.pkl") == {"doubled": SEEN}
        assert made["plain"].load_object("task")["record"] == asking("Record")["record"]
        assert all(one.read_again().status == "FINISHED" for one in made.values())
    assert len(R.get_exp(experiment_name="exp").list_recorders()) == 2


def test_a_record_that_deletes_what_another_task_has_is_made_apart():
    plain = train("Record")
    assert train("Record", "Deleting").id != plain.id
    assert plain.read_again().load_object("seen.pkl") == SEEN


def test_a_record_that_only_adds_goes_on_in_the_same_recorder():
    assert train("Record").id == train("Record", "Further").id == train("Record").id


def test_what_a_killed_task_began_in_anothers_recorder_replaces_nothing_later(monkeypatch):
    plain = train("Record")
    monkeypatch.setattr("rollwright.training.execute.execute", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train("Record", "Doubled")
    monkeypatch.undo()
    assert train("Record", "Doubled").id != plain.id
    assert plain.read_again().load_object("seen.pkl") == SEEN
