"""A window whose definition somebody changed in the pool's database beside rollwright."""

from __future__ import annotations

import logging
import sqlite3

import pytest

from rolling_project import Project, config, day
from rollwright.campaign.plan import make_plan
from rollwright.campaign.run import submit, train_windows
from rollwright.config.context import current_context, install
from rollwright.core.stored_text import write_definition
from rollwright.errors import TaskFailedError
from rollwright.market.folder.provider import provider_from_settings
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.tracking.r import R
from rollwright.training.pooled import train_in_pool, train_in_slot


@pytest.fixture
def project(tmp_path, market):
    project = Project(tmp_path / "project", market)
    store = SqliteStore(tmp_path / "pool.db", durable=False)
    project.manager = TaskManager("p", store=store)
    yield project
    store.close()


def change(path, task, text):
    with sqlite3.connect(path) as connection:
        assert connection.execute("UPDATE document SET definition = ? WHERE task = ?", (text, task)).rowcount == 1
    connection.close()


@pytest.mark.parametrize("kind", ["another model", "no JSON"])
@pytest.mark.parametrize("state", ["waiting", "done"])
def test_the_worker_trains_nothing_and_the_same_command_puts_the_window_back(tmp_path, project, caplog, kind, state):
    asked = config(day(199))
    submission, before = project.roll(asked)
    learnt = project.learnt
    task = project.manager.re_query(next(iter(submission.ids.values())))
    kwargs = {"num_boost_round": 1, "min_data_in_leaf": 5}
    other = write_definition({**task["def"], "model": {**task["def"]["model"], "kwargs": kwargs}})
    change(tmp_path / "pool.db", task["_id"], other if kind == "another model" else "{oops")
    if state == "waiting":
        project.manager.reset_status({"_id": task["_id"]}, "waiting")
        install(project.settings)
        known = len(R.get_exp(experiment_name="p").list_recorders("list"))
        train_in_pool(project.manager, experiment_name="p", function=train_in_slot)
        (record,) = project.manager.store.get("p", [task["_id"]])
        assert record.status.value == "failed"
        assert f"the definition of task {task['_id']} of pool `p`" in record.error
        assert len(R.get_exp(experiment_name="p").list_recorders("list")) == known
    with caplog.at_level(logging.WARNING, "rollwright.pool"):
        again, after = project.roll(asked)
    assert f"tasks.restored pool=p tasks={task['_id']}" in caplog.text
    assert (again.ids, after, project.learnt) == (submission.ids, before, learnt)
    assert len(again.todo) == (state == "waiting")


def test_a_roll_names_the_window_that_was_made_unreadable_while_it_waited(tmp_path, project, market):
    asked = config(day(199))
    install(project.settings)
    plan = make_plan(asked, name="p", calendar=provider_from_settings(project.settings).calendar())
    submission = submit(plan, project.manager)
    key, task_id = next(iter(submission.ids.items()))
    change(tmp_path / "pool.db", task_id, "{oops")
    project.manager.reset_status({"_id": {"$ne": task_id}}, "cancelled")
    train_in_pool(project.manager, experiment_name="p", function=train_in_slot)
    with pytest.raises(TaskFailedError, match=f"{key}: .*DamagedTaskError.*task {task_id} of pool `p` cannot be read"):
        train_windows(plan, submission, project.manager, context=current_context(), jobs=1)


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("result", '{"kind": "recorder"}', "no recorder"),
        ("result", "{oops", "not JSON"),
        ("validity", '{"schema": Infinity}', ""),
    ],
)
def test_a_result_that_is_none_does_not_stand_and_the_same_command_makes_it_again(
    tmp_path, project, column, text, reason
):
    asked = config(day(199))
    submission, before = project.roll(asked)
    task_id = next(iter(submission.ids.values()))
    with sqlite3.connect(tmp_path / "pool.db") as connection:
        assert connection.execute(f"UPDATE task SET {column} = ? WHERE id = ?", (text, task_id)).rowcount == 1
    connection.close()
    again, after = project.roll(asked)
    (told,) = [*again.stale, *again.incomplete]
    assert reason in told[1]
    assert after == before
