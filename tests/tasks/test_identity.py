"""Identity of tasks: another spelling, name or route is the same task; another fit or another question is not."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollwright.config.construct import Trust
from rollwright.core.canonical import canonical_json, parse_json
from rollwright.errors import TaskValueError
from rollwright.tasks.identity import TaskIdentity, fit_key, identify, record_keys, task_fingerprint, task_seed
from rollwright.tasks.spec import TaskSpec

Change = Callable[[dict[str, Any]], object]


def task() -> dict[str, Any]:
    """Return a task in the spelling that the tables below change."""
    return {
        "model": {
            "class": "LGBModel",
            "module_path": "rollwright.models.lightgbm",
            "kwargs": {"num_leaves": 31, "learning_rate": 0.1},
        },
        "dataset": {
            "class": "DatasetH",
            "module_path": "rollwright.dataset.dataset",
            "kwargs": {
                "handler": {
                    "class": "Alpha158",
                    "module_path": "rollwright.dataset.alpha",
                    "kwargs": {
                        "instruments": "csi300",
                        "start_time": "2015-01-01",
                        "end_time": "2019-12-31",
                        "fit_start_time": "2015-01-05",
                        "fit_end_time": "2017-12-29",
                        "infer_processors": [{"class": "ZScoreNorm", "kwargs": {"fields_group": "feature"}}],
                    },
                },
                "segments": {
                    "train": ("2015-01-05", "2017-12-29"),
                    "valid": ("2018-01-02", "2018-12-28"),
                    "test": ("2019-01-02", "2019-12-31"),
                },
            },
        },
        "record": [{"class": "SignalRecord", "module_path": "rollwright.analysis.records"}],
    }


def handler(task: dict[str, Any]) -> dict[str, Any]:
    return task["dataset"]["kwargs"]["handler"]


def segments(task: dict[str, Any]) -> dict[str, Any]:
    return task["dataset"]["kwargs"]["segments"]


def _qlib(task):
    task["model"]["module_path"] = "qlib.contrib.model.gbdt"
    task["dataset"]["module_path"] = "qlib.data.dataset"
    handler(task)["module_path"] = "qlib.contrib.data.handler"
    task["record"][0]["module_path"] = "qlib.workflow.record_temp"


def _dotted(task):
    task["model"] = {"class": "rollwright.models.lightgbm.LGBModel", "kwargs": task["model"]["kwargs"]}
    task["dataset"] = {"class": "rollwright.DatasetH", "kwargs": task["dataset"]["kwargs"]}
    task["record"] = ["rollwright.analysis.records.SignalRecord"]


def _timestamps(task):
    for role, pair in segments(task).items():
        segments(task)[role] = [pd.Timestamp(end) for end in pair]
    handler(task)["kwargs"]["end_time"] = date(2019, 12, 31)


def _numpy(task):
    task["model"]["kwargs"].update(num_leaves=np.int64(31), learning_rate=np.float64(0.1))


def _placeholders(task):
    handler(task)["kwargs"]["fit_start_time"] = "<dataset.kwargs.segments.train.0>"
    handler(task)["kwargs"]["fit_end_time"] = "<dataset.kwargs.segments.train.1>"


def _defaults(task):
    task["model"]["kwargs"].update(loss="mse", early_stopping_rounds=50, num_boost_round=1000, seed=None)
    handler(task)["kwargs"].update(freq="day", process_type="append", filter_pipe=None)
    handler(task)["kwargs"]["learn_processors"] = [
        "DropnaLabel",
        {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label"}},
    ]
    task["dataset"]["kwargs"]["fetch_kwargs"] = None
    task["seed"] = 0
    task["reweighter"] = None


SAME: dict[str, Change] = {
    "nothing": lambda task: None,
    "Qlib's modules": _qlib,
    "dotted names": _dotted,
    "dates of other types": _timestamps,
    "another way to write a date": lambda task: segments(task).update(train=["2015/1/5", "20171229"]),
    "NumPy numbers": _numpy,
    "placeholders": _placeholders,
    "arguments as they are anyway": _defaults,
    "one record, not in a list": lambda task: task.update(record=task["record"][0]),
    "a record without its module": lambda task: task.update(record=["SignalRecord"]),
    "the model and dataset that a record is given": lambda task: task["record"][0].update(
        kwargs={"model": "<MODEL>", "dataset": "<DATASET>"}
    ),
    "an empty kwargs": lambda task: task["record"][0].update(kwargs={}),
    "no kwargs": lambda task: task["record"][0].update(kwargs=None),
    "func for class": lambda task: task["model"].update(func=task["model"].pop("class")),
    "where a module stood before": lambda task: task["model"].update(module_path="rollwright.model.lightgbm"),
    "a module that only passes the class on": lambda task: handler(task)["kwargs"]["infer_processors"][0].update(
        module_path="rollwright.dataset.processors"
    ),
    "tags": lambda task: task.update(tags={"gpu": True}),
    "a name": lambda task: task.update(name="mine", recorder_name="run", experiment_name="e", environment={"A": "1"}),
    "another order of keys": lambda task: task.update(record=task.pop("record"), model=task.pop("model")),
}

SAME_FIT: dict[str, Change] = {
    "another record": lambda task: task["record"].append({"class": "SigAnaRecord"}),
    "no record": lambda task: task.update(record=[]),
    "a longer test segment": lambda task: segments(task).update(test=("2019-01-02", "2020-01-02")),
    "a longer test segment that the handler follows": lambda task: (
        segments(task).update(test=("2019-01-02", "2020-06-30")),
        handler(task)["kwargs"].update(end_time="2020-06-30"),
    ),
    "a later test segment": lambda task: segments(task).update(test=("2019-03-01", "2019-12-31")),
    "no end of the handler": lambda task: handler(task)["kwargs"].pop("end_time"),
}

OTHER_FIT: dict[str, Change] = {
    "a parameter": lambda task: task["model"]["kwargs"].update(num_leaves=32),
    "a number of another type": lambda task: task["model"]["kwargs"].update(num_leaves=31.0),
    "a parameter that is not the usual one": lambda task: task["model"]["kwargs"].update(num_boost_round=999),
    "another model": lambda task: task.update(
        model={"class": "LinearModel", "module_path": "rollwright.models.linear"}
    ),
    "another class of the same module": lambda task: handler(task).update({"class": "Alpha360"}),
    "train": lambda task: segments(task).update(train=("2015-01-06", "2017-12-29")),
    "valid": lambda task: segments(task).update(valid=("2018-01-02", "2018-12-27")),
    "no valid": lambda task: segments(task).pop("valid"),
    "the universe": lambda task: handler(task)["kwargs"].update(instruments="csi500"),
    "the fit range": lambda task: handler(task)["kwargs"].update(fit_end_time="2017-12-28"),
    "a processor": lambda task: handler(task)["kwargs"].update(infer_processors=[]),
    "the start of the handler": lambda task: handler(task)["kwargs"].update(start_time="2015-01-02"),
    "a reweighter": lambda task: task.update(reweighter={"class": "W", "module_path": "w.py"}),
    "the campaign's seed": lambda task: task.update(seed=1),
}


@pytest.mark.parametrize("change", SAME)
def test_another_spelling_is_the_same_task(change):
    other = task()
    SAME[change](other)
    assert task_fingerprint(other) == task_fingerprint(task())
    assert fit_key(other) == fit_key(task())
    assert task_seed(other) == task_seed(task())
    assert record_keys(other) == record_keys(task())
    assert TaskSpec.from_definition(other) == TaskSpec.from_definition(task())


@pytest.mark.parametrize("change", SAME_FIT)
def test_what_is_only_measured_otherwise_is_learnt_once(change):
    other = task()
    SAME_FIT[change](other)
    assert task_fingerprint(other) != task_fingerprint(task())
    assert fit_key(other) == fit_key(task())
    assert task_seed(other) == task_seed(task())


@pytest.mark.parametrize("change", OTHER_FIT)
def test_what_is_learnt_otherwise_is_another_fit(change):
    other = task()
    OTHER_FIT[change](other)
    assert task_fingerprint(other) != task_fingerprint(task())
    assert fit_key(other) != fit_key(task())


@pytest.mark.parametrize(
    "change", ["a parameter", "another model", "train", "valid", "no valid", "the campaign's seed"]
)
def test_models_windows_and_campaigns_draw_their_own_numbers(change):
    other = task()
    OTHER_FIT[change](other)
    assert task_seed(other) != task_seed(task())


@pytest.mark.parametrize("change", ["the universe", "a processor", "a reweighter", "the fit range"])
def test_other_data_for_the_same_segments_draw_the_same_numbers(change):
    other = task()
    OTHER_FIT[change](other)
    assert task_seed(other) == task_seed(task())


def test_a_seed_of_the_models_own_leaves_nothing_for_the_campaigns_to_decide():
    own, other = task(), task()
    own["model"]["kwargs"]["seed"] = other["model"]["kwargs"]["seed"] = 3
    other["seed"] = 7
    assert fit_key(own) == fit_key(other) != fit_key(task())


def test_a_dataset_that_is_cut_without_segments_tells_windows_apart_by_all_it_is_made_of():
    def window(start):
        return {"model": "m.M", "dataset": {"class": "D", "module_path": "own.py", "kwargs": {"start": start}}}

    assert task_seed(window("2015-01-05")) != task_seed(window("2016-01-05"))


# What a longer test segment changes of the data before it, if the handler's end moves with it.
ENDS_MATTER: dict[str, Change] = {
    "a processor of the user's own": lambda task: handler(task)["kwargs"].update(
        infer_processors=[{"class": "Mine", "module_path": "mine.py"}]
    ),
    "one that learns from an open range": lambda task: task["dataset"]["kwargs"].update(
        handler={
            "class": "DataHandlerLP",
            "kwargs": {
                "end_time": "2019-12-31",
                "data_loader": {"class": "QlibDataLoader", "kwargs": {"config": ["$close"]}},
                "infer_processors": [{"class": "ZScoreNorm", "kwargs": {"fit_start_time": None, "fit_end_time": None}}],
            },
        }
    ),
    "one that learns up to the end of the handler": lambda task: handler(task)["kwargs"].update(
        fit_end_time="2021-12-31"
    ),
    "what is done to whole series": lambda task: handler(task)["kwargs"].update(inst_processors=["TimeRangeFlt"]),
    "a handler of the user's own": lambda task: handler(task).update({"class": "Mine", "module_path": "mine.py"}),
    "a dataset of the user's own": lambda task: task["dataset"].update({"class": "Mine", "module_path": "mine.py"}),
}


@pytest.mark.parametrize("change", ENDS_MATTER)
def test_the_end_of_the_handler_counts_where_it_can_decide_what_is_learnt(change):
    one, other = task(), task()
    ENDS_MATTER[change](one)
    ENDS_MATTER[change](other)
    handler(other)["kwargs"]["end_time"] = "2020-12-31"
    assert fit_key(one) != fit_key(other)


def test_records_are_known_by_what_they_are_and_what_they_are_made_on():
    more = task()
    more["record"].append("SigAnaRecord")
    assert record_keys(more)[:1] == record_keys(task())
    assert len(set(record_keys(more))) == 2
    longer = task()
    segments(longer)["test"] = ("2019-01-02", "2020-01-02")
    assert record_keys(longer) != record_keys(task())


def test_any_other_definition_differs_with_every_value_of_it():
    assert task_fingerprint({"x": 1}) != task_fingerprint({"x": 1, "tags": {"gpu": True}})
    assert task_fingerprint({"model": {"class": "M"}}) != task_fingerprint({"model": "M"})


OWN = """\
from base import Base

RATE = 0.1
raise AssertionError("it ran")


class Own:
    def __init__(self, *, rate=RATE, size=print):
        pass
"""


def test_classes_of_the_users_own_are_read_where_they_are_and_not_run(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    trust = Trust(folder=tmp_path)

    def own(**kwargs):
        return fit_key({**task(), "model": {"class": "Own", "module_path": "own.py", "kwargs": kwargs}}, trust=trust)

    assert own() == own(rate=0.1)
    assert own() != own(rate=0.2)
    assert own() != own(size=None)  # a default that the text does not tell
    (tmp_path / "own.py").write_text("class Own:\n    def __init__(self, rate=0.25):\n        pass\n")
    assert own() == own(rate=0.25) != own(rate=0.1)
    dotted = {**task(), "model": {"class": "Own", "module_path": "./own.py"}}
    assert fit_key(dotted, trust=trust) == own()
    assert fit_key({**task(), "model": {"class": "Own", "module_path": "../own.py"}}, trust=trust) != own()


def test_identities_are_told_without_the_packages_that_models_need():
    code = (
        "import sys, json, rollwright\n"
        "from rollwright.tasks.identity import task_fingerprint\n"
        "print(task_fingerprint(json.load(sys.stdin)))\n"
        "assert not {'lightgbm', 'rollwright.models.lightgbm', 'rollwright.dataset.alpha'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=canonical_json(task()), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == task_fingerprint(task())


def test_a_value_without_a_json_form_is_refused_with_its_place():
    broken = task()
    broken["model"]["kwargs"]["f"] = print
    with pytest.raises(TaskValueError) as caught:
        task_fingerprint(broken)
    assert caught.value.path == "$.model.kwargs.f"


def test_a_placeholder_that_leads_nowhere_stands_for_itself():
    broken = task()
    broken["model"]["kwargs"]["f"] = "<nowhere.at.all>"
    assert task_fingerprint(broken) == task_fingerprint(copy.deepcopy(broken)) != task_fingerprint(task())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, "", "x", "2020-01-02", "a.B", "<X>"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class", "kwargs", "module_path", "handler", "segments", "test", "k"]), inner
        )
    ),
    max_leaves=12,
)
DEFINITIONS = st.fixed_dictionaries(
    {"model": st.dictionaries(st.sampled_from(["class", "kwargs", "module_path"]), VALUES), "dataset": st.just("a.B")},
    optional={"record": VALUES, "reweighter": VALUES, "tags": VALUES, "seed": st.integers(0, 3), "other": VALUES},
)


@given(DEFINITIONS)
def test_whatever_is_written_has_one_identity_that_storing_does_not_change(definition):
    stored = parse_json(canonical_json(definition))
    assert task_fingerprint(stored) == task_fingerprint(definition)
    assert fit_key(stored) == fit_key(definition)
    backwards = dict(reversed(definition.items()))
    assert task_fingerprint(backwards) == task_fingerprint(definition)


@given(DEFINITIONS, VALUES)
def test_tags_and_names_are_in_no_identity(definition, value):
    named = {**definition, "tags": value, "name": value}
    assert task_fingerprint(named) == task_fingerprint(definition)
    assert task_seed(named) == task_seed(definition)


@given(VALUES, VALUES)
def test_arguments_are_equal_exactly_if_their_json_is(one, other):
    def key(value):
        return fit_key(
            {"model": {"class": "M", "module_path": "m.py", "kwargs": {"a": {"v": [value, 0]}}}, "dataset": "a.B"}
        )

    if canonical_json({"": one}) == canonical_json({"": other}):
        assert key(one) == key(other)


@given(
    DEFINITIONS,
    DEFINITIONS,
    st.sampled_from([pd.Timestamp("2020-01-02"), np.float64(0.5), "\ud7ff", (1, "x"), "x" * 2000]),
)
def test_parts_that_are_known_change_no_identity(definition, other, leaf):
    one = {**task(), "model": {**definition["model"], "kwargs": {"leaf": leaf}}, "record": other.get("record")}
    two = {**task(), **other, "model": definition["model"]}
    for each in (definition, one, two, definition, one, two):
        assert identify(each) == identify(OrderedDict(each))  # a derived mapping is never known


def test_a_definition_that_is_changed_is_another_task():
    changed = task()
    before = task_fingerprint(changed)
    handler(changed)["kwargs"]["infer_processors"].append("Fillna")
    after = task_fingerprint(changed)
    handler(changed)["kwargs"]["infer_processors"].pop()
    assert before == task_fingerprint(changed) != after


def test_defaults_of_the_users_own_classes_are_those_of_their_text_now(tmp_path):
    trust = Trust(folder=tmp_path)
    own = {"class": "Own", "module_path": "own.py", "kwargs": {"rate": 0.25, "size": [1, 2]}}
    (tmp_path / "own.py").write_text("class Own:\n    def __init__(self, rate=0.25, size=(1, 2)):\n        pass\n")
    first = fit_key({**task(), "model": own}, trust=trust)
    (tmp_path / "own.py").write_text("class Own:\n    def __init__(self, rate=0.75, size=(1, 2)):\n        pass\n")
    assert fit_key({**task(), "model": own}, trust=trust) != first


def test_all_identities_of_a_task_are_had_at_once():
    assert identify(task()) == TaskIdentity(
        fingerprint=task_fingerprint(task()),
        fit_key=fit_key(task()),
        record_keys=record_keys(task()),
        seed=task_seed(task()),
    )


def test_a_value_without_a_form_is_told_by_its_place_whichever_identity_is_asked_for():
    bad = {**task(), "record": [{"class": "SignalRecord", "kwargs": {"at": object()}}]}
    for ask in (identify, task_fingerprint):
        with pytest.raises(TaskValueError) as caught:
            ask(bad)
        assert caught.value.path == "$.record[0].kwargs.at"
