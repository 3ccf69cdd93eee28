"""The comparison of signatures finds each kind of difference, and finds none that is not meant."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from uuid import uuid4

import pytest

import rollwright
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.pool.urls import store_from_url
from rollwright.tasks.generate import MultiHorizonGen

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    """Import modules of `tools/` as its scripts do."""
    monkeypatch.syspath_prepend(str(TOOLS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if (TOOLS / f"{name}.py").exists():
            del sys.modules[name]


def test_no_signature_differs_but_where_it_is_meant(tool):
    check = tool("check_signatures")
    assert [str(finding) for finding in check.findings(check.differences(), check.meant())] == []


def compare(tool, wanted, function, **options):
    found = tool("signatures").compare_signature("f", wanted, function, **options)
    return [(difference.parameter, difference.kind) for difference in found]


ONE = [["a"], ["b", 1]]


@pytest.mark.parametrize(
    ("wanted", "function", "expected"),
    [
        (ONE, lambda a, b=1: None, []),
        (ONE, lambda a, b=1, *, c=None: None, []),
        ([["a", None]], lambda a=(): None, []),
        ([["a", {}]], lambda a=None: None, []),
        ([["*args"], ["**kwargs"]], lambda a, b: None, []),
        ([["a"], ["*"], ["b"]], lambda a, *, b: None, []),
        ([["a"], ["*"], ["b"]], lambda a, b: None, []),
        ([["a", {"object": "print"}]], lambda a=print: None, []),
        (ONE, lambda a: None, [("b", "missing")]),
        (ONE, lambda a, **_: None, [("b", "gathered")]),
        (ONE, lambda a, *, b=1: None, [("b", "keyword-only")]),
        (ONE, lambda a, /, b=1: None, [("a", "position-only")]),
        (ONE, lambda a, x=0, b=1: None, [("b", "position"), ("x", "extra-position")]),
        (ONE, lambda a, b: None, [("b", "required")]),
        (ONE, lambda a, b=2: None, [("b", "default")]),
        (ONE, lambda a, b=True: None, [("b", "default")]),
        (ONE, lambda a, b=1, *, c: None, [("c", "extra-required")]),
        ([["a"], ["*args"]], lambda a: None, [("*", "no-args")]),
        ([["a"], ["**kwargs"]], lambda a: None, [("**", "no-kwargs")]),
        ([["a"], ["*args"]], lambda a, b=1, *args: None, []),
    ],
)
def test_each_difference_of_arguments_is_found(tool, wanted, function, expected):
    assert compare(tool, wanted, function) == expected


class Base:
    LIMIT = 3

    def __init__(self, kept=None):
        self.kept = kept

    def method(self, a):
        pass

    @staticmethod
    def static(a):
        pass


class Derived(Base):
    def __init__(self, own=1, **kwargs):
        super().__init__(**kwargs)


def test_a_keyword_that_a_base_class_takes_is_known(tool):
    wanted = [["own", 1], ["**kwargs"]]
    assert compare(tool, wanted, Derived, forwarded=[["kept", None]]) == []
    assert compare(tool, wanted, Derived, forwarded=[["lost", None]]) == [("lost", "gathered")]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"methods": {"method": [["a"]], "static": [["a"]]}, "static": ["static"], "constants": {"LIMIT": 3}}, []),
        ({"methods": {"absent": []}}, [("Base.absent", "no-method")]),
        ({"methods": {"__call__": []}}, [("Base.__call__", "no-method")]),
        ({"methods": {"method": [["a"]]}, "static": ["method"]}, [("Base.method", "not-static")]),
        ({"methods": {"method": [["b"]]}}, [("Base.method", "extra-required"), ("Base.method", "missing")]),
        ({"properties": ["absent"]}, [("Base.absent", "no-property")]),
        ({"constants": {"ABSENT": 1}}, [("Base.ABSENT", "no-constant")]),
        ({"constants": {"LIMIT": 4}}, [("Base.LIMIT", "constant")]),
    ],
)
def test_each_difference_of_members_is_found_also_in_what_is_inherited(tool, monkeypatch, entry, expected):
    monkeypatch.setattr(rollwright, "__all__", ["Derived"])
    monkeypatch.setattr(rollwright, "Derived", Derived, raising=False)
    names = {"Base": {"module": "qlib.m", **entry}, "Derived": {"module": "qlib.m", "bases": ["Base"]}}
    found = tool("signatures").compare_names(names, {})
    assert sorted((difference.name, difference.kind) for difference in found) == expected


def test_a_name_that_is_not_here_is_left_to_the_check_of_names(tool):
    assert list(tool("signatures").compare_names({"Nowhere": {"module": "qlib.m", "call": [["a"]]}}, {})) == []


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"name": "Base", "keywords": ["kept"]}, []),
        ({"name": "Base.method", "positional": 1}, []),
        ({"name": "Base.static", "positional": 1}, []),
        ({"name": "Base", "keywords": ["other"]}, ["call"]),
        ({"name": "Base.method", "positional": 2}, ["call"]),
        ({"name": "Base.absent"}, ["no-method"]),
    ],
)
def test_a_promised_call_that_is_not_taken_is_found(tool, monkeypatch, call, expected):
    monkeypatch.setattr(rollwright, "__all__", ["Base"])
    monkeypatch.setattr(rollwright, "Base", Base, raising=False)
    assert [difference.kind for difference in tool("signatures").compare_calls([call], {})] == expected


def entry(**values):
    return {"name": "f", "parameter": "b", "kind": "default", "reason": "it was a defect in the older one", **values}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry()], None),
        ([entry(parameter="*", kind="*")], None),
        ([entry(name="f.*", parameter="", kind="*")], None),
        ([entry(reason="as `g`")], None),
        ([], "another default"),
        ([entry(kind="missing")], "another default"),
        ([entry(), entry(parameter="c")], "it does not differ"),
        ([entry(), entry()], "twice"),
        ([entry(reason="because")], "no reason"),
    ],
)
def test_the_list_of_meant_differences_holds_what_is_needed_and_says_why(tool, entries, words):
    check = tool("check_signatures")
    difference = tool("signatures").Difference(name="f", parameter="b", kind="default")
    found = [finding.text for finding in check.findings([difference], entries)]
    assert any(words in text for text in found) if words else found == []


def test_the_table_is_of_the_version_that_is_promised(tool):
    table = json.loads((TOOLS / "qlib_signatures.json").read_text(encoding="utf-8"))
    assert table["pyqlib"] == "0.9.7"
    # Qlib has these in a script of its examples, or only in what is written about it
    scripted = {"create_env", "execute", "managed_environment", "cleanup_env"}
    assert set(table["names"]) > tool("check_public_names").SEED_NAMES - scripted


ATTRIBUTES = {
    "Collector": "process_list",
    "MergeCollector": "process_list collector_dict merge_func",
    "RecorderCollector": "process_list experiment artifacts_path artifacts_key list_kwargs status rec_key_func"
    " rec_filter_func",
    "RollingGen": "step rtype ds_extra_mod_func ta test_key train_key trunc_days task_copy_func",
    "MultiHorizonGen": "horizon label_leak_n ta test_key",
    "TaskManager": "task_pool",
    "ExpManager": "default_uri active_experiment",
    "Experiment": "id name active_recorder",
    "Recorder": "id name experiment_id status",
}


class Nothing(rollwright.Collector):
    def collect(self):
        return {}


@pytest.fixture
def made():
    """Return one object for each name."""
    settings = load_settings({"tracking.uri": f"memory:{uuid4().hex}"}, environ={})
    with using(settings), rollwright.R.start(experiment_name="e") as recorder:
        yield {
            "Collector": Nothing(),
            "MergeCollector": rollwright.MergeCollector({}),
            "RecorderCollector": rollwright.RecorderCollector("e"),
            "RollingGen": rollwright.RollingGen(),
            "MultiHorizonGen": MultiHorizonGen(),
            "TaskManager": rollwright.TaskManager("p", store=store_from_url("memory:")),
            "ExpManager": rollwright.R.exp_manager,
            "Experiment": rollwright.R.get_exp(),
            "Recorder": recorder,
        }


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_attributes_that_qlibs_users_read_are_there(made, name):
    """A constructor sets them, so the table, which reads classes, does not hold them."""
    assert [attribute for attribute in ATTRIBUTES[name].split() if not hasattr(made[name], attribute)] == []
