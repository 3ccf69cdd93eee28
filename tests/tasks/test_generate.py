"""task_generator, horizons, and the frozen spec."""

import dataclasses
from copy import deepcopy
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rollwright.calendar.adjuster import TimeAdjuster
from rollwright.calendar.trading import TradingCalendar
from rollwright.errors import ConfigError, SegmentError, TaskValueError
from rollwright.tasks.generate import MultiHorizonGen, MultiHorizonGenBase, TaskGen, task_generator, trunc_segments
from rollwright.tasks.spec import TaskSpec

CAL = TradingCalendar(pd.bdate_range("2020-01-01", periods=20))


class Numbered(TaskGen):
    def __init__(self, key, count):
        self.key = key
        self.count = count

    def generate(self, task):
        return [{**task, self.key: number} for number in range(self.count)]


def test_generators_apply_one_after_another_to_all_tasks():
    templates = [{"name": name} for name in "abc"]
    made = task_generator(templates, [Numbered("x", 2), Numbered("y", 3)])
    assert len(made) == 18
    assert made[:4] == [
        {"name": "a", "x": 0, "y": 0},
        {"name": "a", "x": 0, "y": 1},
        {"name": "a", "x": 0, "y": 2},
        {"name": "a", "x": 1, "y": 0},
    ]
    assert templates == [{"name": name} for name in "abc"]


def test_one_template_and_one_generator_need_no_lists():
    assert task_generator({"name": "a"}, Numbered("x", 2)) == [{"name": "a", "x": 0}, {"name": "a", "x": 1}]
    assert task_generator({"name": "a"}, []) == [{"name": "a"}]
    assert task_generator(({"name": "a"},), iter([Numbered("x", 1)])) == [{"name": "a", "x": 0}]


def test_what_is_no_generator_and_what_makes_no_list_are_refused():
    class Forgets(TaskGen):
        def generate(self, task):
            return None

    class One(TaskGen):
        def generate(self, task):
            return task

    for wrong, said in ((lambda task: [task], "is no generator"), (Forgets(), "NoneType"), (One(), "returned dict")):
        with pytest.raises(ConfigError, match=said):
            task_generator({"x": 1}, [wrong])


def test_calling_a_generator_is_generating():
    assert Numbered("x", 2)({}) == Numbered("x", 2).generate({})


def test_the_abstract_ones_are_abstract():
    with pytest.raises(TypeError, match="abstract"):
        TaskGen()


def template(**handler):
    return {
        "dataset": {
            "kwargs": {
                "handler": {"class": "Alpha158", "kwargs": dict(handler)},
                "segments": {
                    "train": ["2020-01-01", "2020-01-08"],
                    "valid": ["2020-01-09", "2020-01-21"],
                    "test": ["2020-01-22", None],
                },
            }
        }
    }


def test_each_horizon_has_its_label_and_its_distance_from_test():
    task = template(instruments="all")
    before = deepcopy(task)
    made = MultiHorizonGen([1, 5], calendar=CAL).generate(task)
    assert task == before
    assert [one["dataset"]["kwargs"]["handler"]["kwargs"] for one in made] == [
        {"instruments": "all", "label": ["Ref($close, -2)/Ref($close, -1) - 1"]},
        {"instruments": "all", "label": ["Ref($close, -6)/Ref($close, -1) - 1"]},
    ]
    # test begins at 15; the label of horizon 5 reads 6 sessions ahead, so the last sample is 15 - 7
    ends = [CAL.index(one["dataset"]["kwargs"]["segments"]["valid"][1]) for one in made]
    assert ends == [12, 8]
    assert made[0]["dataset"]["kwargs"]["segments"]["test"] == (CAL[15], None)


def test_without_a_session_between_signal_and_price():
    assert MultiHorizonGen([3], label_leak_n=1, calendar=CAL).label(3) == "Ref($close, -3)/$close - 1"


def test_g9_the_name_of_the_test_segment_and_the_default_are_one_s_own():
    task = template()
    segments = task["dataset"]["kwargs"]["segments"]
    segments["live"] = segments.pop("test")
    made = MultiHorizonGen([1], test_key="live", calendar=CAL).generate(task)
    assert made[0]["dataset"]["kwargs"]["segments"]["valid"][1] == CAL[12]
    one, other = MultiHorizonGen(calendar=CAL), MultiHorizonGen(calendar=CAL)
    one.horizon.append(10)
    assert other.horizon == [5]


def test_a_horizon_that_leaves_nothing_is_refused():
    with pytest.raises(SegmentError, match="leaves nothing"):
        MultiHorizonGen([10], calendar=CAL).generate(template())


@pytest.mark.parametrize(("horizon", "leak"), [([], 2), ([0], 2), (5, 2), ([5], 0)])
def test_what_is_no_horizon_is_refused(horizon, leak):
    with pytest.raises(ConfigError, match=r"no list of positive numbers|label_leak_n = 0"):
        MultiHorizonGen(horizon, leak)


def test_the_base_can_be_made_and_has_the_return_over_the_horizon_as_its_label():
    made = MultiHorizonGenBase(horizon=[1, 5], label_leak_n=2, calendar=CAL).generate(template())
    assert made == MultiHorizonGen([1, 5], calendar=CAL).generate(template())

    class Open(MultiHorizonGenBase):
        def label(self, hr):
            return f"Ref($open, -{hr + 1})/Ref($open, -1) - 1"

    class Own(MultiHorizonGenBase):
        def set_horizon(self, task, hr):
            task["hr"] = hr

    (task,) = Open(horizon=[5], calendar=CAL).generate(template())
    assert task["dataset"]["kwargs"]["handler"]["kwargs"]["label"] == ["Ref($open, -6)/Ref($open, -1) - 1"]
    assert [task["hr"] for task in Own(horizon=[1, 2], calendar=CAL)(template())] == [1, 2]


def test_a_handler_that_is_no_dictionary_has_no_label_to_set():
    task = template()
    task["dataset"]["kwargs"]["handler"] = "handler.pkl"
    with pytest.raises(ConfigError, match="its label cannot be changed"):
        MultiHorizonGen([1], calendar=CAL).generate(task)


def test_trunc_segments_cuts_in_place_all_but_test():
    segments = {"train": (CAL[0], CAL[5]), "valid": [CAL[3], CAL[8]], "test": (CAL[9], None)}
    trunc_segments(TimeAdjuster(calendar=CAL), segments, 3)
    assert segments == {"train": (CAL[0], CAL[5]), "valid": (CAL[3], CAL[6]), "test": (CAL[9], None)}


SPELLINGS = [
    {"segments": {"train": ("2020-01-01", "2020-06-30")}, "n": 3},
    {"n": 3, "segments": {"train": ["2020-01-01", "2020-06-30"]}},
    {"segments": {"train": (date(2020, 1, 1), datetime(2020, 6, 30))}, "n": np.int64(3)},  # noqa: DTZ001 - a label
    {"segments": {"train": (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-06-30"))}, "n": 3},
]


@pytest.mark.parametrize("definition", SPELLINGS)
def test_what_means_the_same_is_the_same_spec(definition):
    spec = TaskSpec.from_definition(definition)
    assert spec == TaskSpec.from_definition(SPELLINGS[0])
    assert hash(spec) == hash(TaskSpec.from_definition(SPELLINGS[0]))
    assert spec.fingerprint == TaskSpec.from_definition(SPELLINGS[0]).fingerprint
    assert spec.definition == definition
    assert repr(spec.definition["segments"]) == repr(definition["segments"])


def test_what_differs_has_another_fingerprint():
    prints = {TaskSpec.from_definition({"n": value}).fingerprint for value in (1, 2, "1", None, True, [1])}
    assert len(prints) == 6
    assert all(len(one) == 64 for one in prints)


def test_a_spec_cannot_be_changed_from_outside():
    definition = {"model": {"kwargs": {"seed": 1}}}
    spec = TaskSpec.from_definition(definition)
    definition["model"]["kwargs"]["seed"] = 2
    spec.definition["model"]["kwargs"]["seed"] = 3
    assert spec.definition == {"model": {"kwargs": {"seed": 1}}}
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'canonical'"):
        spec.canonical = "{}"
    assert repr(spec) == f"TaskSpec({spec.fingerprint[:12]}…)"


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        ({"model": {"kwargs": {"f": print}}}, "$.model.kwargs.f"),
        ({"x": [1, object()]}, "$.x[1]"),
        ({"x": {1: print}}, "$.x"),
        ([1], "$"),
    ],
)
def test_what_has_no_json_form_is_refused_with_its_place(definition, path):
    with pytest.raises(TaskValueError) as caught:
        TaskSpec.from_definition(definition)
    assert caught.value.path == path


def test_a_path_means_its_text_and_stays_a_path():
    spec = TaskSpec.from_definition({"p": Path("a/b")})
    assert spec == TaskSpec.from_definition({"p": "a/b"})
    assert spec.definition == {"p": Path("a/b")}
