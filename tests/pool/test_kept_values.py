"""What a task was defined as, and what came of it, is given back as it was, by every store."""

# ruff: noqa: DTZ001 - naive moments are among what has to come back

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import run_task

DAY = pd.Timestamp("2020-01-02")
VALUE = {
    "pair": (1, "a"),
    "window": (DAY, None),
    "list": ["2020-01-02", [1]],
    "date": date(2020, 1, 2),
    "moment": datetime(2020, 1, 2, 9, 30),
    "zoned": pd.Timestamp("2020-01-02 09:30", tz="Asia/Shanghai"),
    "length": timedelta(days=1),
    "number": np.float64(0.25),
    "count": np.int64(3),
    "set": {1, 2},
    "bytes": b"\x00",
    "nested": [{"keys": {None: 1, 2: ("b", {"c": (DAY,)})}}],
    "infinite": float("inf"),
    "large": 2**70,
}
DEFINITION = {**VALUE, "segments": {"train": (DAY, DAY), "test": ["2021-01-01", "2021-12-31"]}}


def in_order(value):
    """Canonical JSON sorts the keys of dictionaries."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value, key=repr)}
    return type(value)(map(in_order, value)) if isinstance(value, list | tuple) else value


def same(one, other):
    return one == other and repr(in_order(one)) == repr(in_order(other))


@pytest.fixture(params=["memory", "sqlite", "postgres", "mongo"])
def manager(request, tmp_path):
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "sqlite":
        store = SqliteStore(tmp_path / "pool.db", durable=False)
    else:
        store = store_from_url(request.getfixturevalue(f"{request.param}_url"))
    yield TaskManager("kept", store=store)
    if request.param != "memory":
        store.close()


def test_definitions_and_results_come_back_and_can_be_asked_for(manager):
    (task_id,) = manager.create_task([DEFINITION])
    assert same(next(manager.query())["def"], DEFINITION)
    assert same(manager.re_query(task_id)["def"], DEFINITION)
    for query in (
        {"def.pair": [1, "a"]},
        {"def.pair.1": "a"},
        {"def.window.0": "2020-01-02"},
        {"def.number": {"$gt": 0.2}},
        {"def.segments.train.0": {"$lt": "2020-02"}},
        {"def": DEFINITION},
        {"def": {**DEFINITION, "pair": [1, "a"], "window": ["2020-01-02", None], "number": 0.25}},
    ):
        assert [task["_id"] for task in manager.query(query)] == [task_id], query
    task = manager.fetch_task()
    assert same(task["def"], DEFINITION)
    manager.commit_task_res(task, VALUE)
    found = manager.re_query(task_id)
    assert same(found["res"], VALUE)
    assert same(next(manager.query({"res.number": 0.25, "res.nested.0.keys": {"$exists": True}}))["res"], VALUE)
    plain = next(manager.query(decode=False))
    assert plain["res"]["pair"] == plain["def"]["pair"] == [1, "a"]
    assert plain["res"]["window"] == ["2020-01-02", None]


@pytest.mark.parametrize("result", [(1, (2, 3)), np.float64(0.5), DAY, None, float("-inf"), {1: 2}, {"a"}], ids=repr)
def test_a_result_of_any_kind_comes_back(manager, result):
    manager.create_task([{"a": 1}])
    manager.commit_task_res(manager.fetch_task(), result)
    found = next(manager.query())["res"]
    assert same(found, result)


def test_a_result_that_is_no_dictionary_can_be_asked_for(manager):
    manager.create_task([{"a": 1}, {"a": 2}])
    manager.commit_task_res(manager.fetch_task(), ("x", {"ic": np.float64(0.5)}))
    assert [task["res"] for task in manager.query({"res.0": "x", "res.1.ic": {"$gte": 0.5}})] == [("x", {"ic": 0.5})]
    assert manager.task_stat({"res.0": {"$exists": False}}) == {"waiting": 1}
    assert manager.task_stat({"res.0": None}) == {"waiting": 1}
    assert manager.task_stat({"res.value": {"$exists": True}}) == {}


def test_an_intermediate_result_is_given_to_the_next_stage_as_it_was(manager):
    manager.create_task([{"pair": (1, DAY)}])
    run_task(lambda definition: definition["pair"], manager, after_status="part_done")
    run_task(lambda pair: {"seen": pair}, manager, before_status="part_done")
    assert same(next(manager.query())["res"], {"seen": (1, DAY)})


def test_a_pair_and_a_list_of_the_same_are_one_task_which_keeps_its_first_form(manager):
    first = manager.create_task([{"pair": (1, 2), "day": DAY}])
    assert (
        manager.create_task([{"pair": [1, 2], "day": "2020-01-02"}, {"day": date(2020, 1, 2), "pair": (1, 2)}])
        == first * 2
    )
    assert same(next(manager.query())["def"], {"pair": (1, 2), "day": DAY})


def test_values_without_a_json_form_tell_tasks_apart(manager):
    tasks = [{"x": x} for x in ({1}, {2}, frozenset({1}), b"a", "a", float("inf"), {1: 2}, {"1": 2}, {"$is": 1}, 2**70)]
    assert len(set(manager.create_task(tasks))) == len(tasks)
    assert len(manager.create_task(tasks, dry_run=True)) == 0
