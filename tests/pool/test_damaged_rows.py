"""Rows that somebody changed in the database beside rollwright: told, never run, and put back by submitting again."""

from __future__ import annotations

import json
import logging
import sqlite3

import pytest

from rollwright.cli.root import run
from rollwright.errors import DamagedTaskError, TaskFailedError
from rollwright.pool.document import last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.worker.worker import TaskFunction, Worker, run_task

TASKS = [{"name": name, "x": 2} for name in "abc"]
OTHER = '{"name":"z"}'


@pytest.fixture
def manager(tmp_path):
    store = SqliteStore(tmp_path / "work" / ".rollwright" / "pool.db", durable=False)
    manager = TaskManager("p", store=store, max_attempts=3)
    manager.create_task(TASKS)
    yield manager
    store.close()


def change(tmp_path, task, text):
    """Write another definition into the row, as SQL does."""
    with sqlite3.connect(tmp_path / "work" / ".rollwright" / "pool.db") as connection:
        assert connection.execute("UPDATE document SET definition = ? WHERE task = ?", (text, task)).rowcount == 1
    connection.close()


def ids(manager):
    return [record.task_id for record in manager.store.find("p")]


@pytest.mark.parametrize(("text", "reason"), [(OTHER, "was changed in the database"), ("{oops", "this is not JSON")])
@pytest.mark.parametrize("slots", [False, True])
def test_a_worker_fails_a_changed_task_at_once_and_runs_the_others(tmp_path, manager, trusting, text, reason, slots):
    first, *others = ids(manager)
    change(tmp_path, first, text)
    if slots:
        entry = TaskFunction(entry="functions.py:double", kwargs={})
        Worker(
            store=manager.store, pool="p", function=entry, slots=1, lease=30.0, settings=trusting, until_empty=True
        ).run()
    else:
        ran = []
        with pytest.raises(TaskFailedError, match=f"task {first}: .*DamagedTaskError"):
            run_task(lambda task: ran.append(task["name"]), "p")
        assert ran == ["b", "c"]
    records = {record.task_id: record for record in manager.store.find("p")}
    assert (records[first].status.value, records[first].attempts) == ("failed", 1)
    for part in ("DamagedTaskError", f"task {first} of pool `p`", reason, "rollwright roll"):
        assert part in records[first].error
    assert {records[task].status.value for task in others} == {"done"}


def test_a_fetch_of_an_unreadable_task_says_so_and_fails_it(tmp_path, manager):
    first = ids(manager)[0]
    change(tmp_path, first, "{oops")
    with pytest.raises(DamagedTaskError, match=f"task {first} of pool `p` cannot be read") as caught:
        manager.fetch_task()
    assert (caught.value.pool, caught.value.task_id, caught.value.exit_code) == ("p", first, 2)
    assert manager.task_stat() == {"failed": 1, "waiting": 2}
    assert manager.fetch_task()["def"] == TASKS[1]


def test_a_state_that_is_none_names_its_task_and_what_to_do(tmp_path, manager, capsys, monkeypatch):
    first = ids(manager)[0]
    with sqlite3.connect(tmp_path / "work" / ".rollwright" / "pool.db") as connection:
        connection.execute("UPDATE task SET status = ? WHERE id = ?", ("\x1b[2Jfine" * 99, first))
    connection.close()
    monkeypatch.chdir(tmp_path / "work")
    assert run(["pool", "tasks", "p"]) == 2
    said = capsys.readouterr().err
    assert f"the state of task {first} of pool `p` is '\\x1b[2Jfine" in said
    assert "write one of waiting" in said.replace("\n", " ")
    assert len(said) < 500


def test_an_error_text_of_any_length_is_told_in_one_short_line():
    assert last_line("ValueError: \x1b[2J" + "x" * 10_000_000).startswith("ValueError: \\x1b[2Jx")
    assert len(last_line("ValueError: " + "x" * 10_000_000)) == 1000


@pytest.mark.parametrize("text", [OTHER, "{oops", "[1]"])
def test_submitting_again_puts_the_definition_back_and_tells_it(tmp_path, manager, caplog, text):
    first = ids(manager)[0]
    change(tmp_path, first, text)
    with pytest.raises(TaskFailedError, match="DamagedTaskError"):
        run_task(lambda task: None, "p")
    again = manager.create_task(TASKS)
    with caplog.at_level(logging.WARNING, "rollwright.pool"):
        assert manager.restore_definitions(TASKS, again) == [first]
    assert f"task.damaged pool=p task={first}" in caplog.text
    assert manager.re_query(first)["def"] == TASKS[0]
    assert manager.re_query(first)["status"] == "waiting"
    assert manager.restore_definitions(TASKS, again) == []


def test_a_task_that_somebody_holds_is_left_to_its_worker(tmp_path, manager):
    task = manager.fetch_task()
    change(tmp_path, task["_id"], OTHER)
    assert manager.restore_definitions(TASKS, ids(manager)) == []
    manager.commit_task_res(task, 1)
    assert manager.restore_definitions(TASKS, ids(manager)) == [task["_id"]]
    assert manager.re_query(task["_id"])["res"] == 1


def test_every_view_shows_an_unreadable_task_among_the_others(tmp_path, manager, capsys):
    first = ids(manager)[0]
    change(tmp_path, first, "{oops\x1b[31m")
    for view in (
        ["ls"],
        ["stat", "p"],
        ["tasks", "p"],
        ["show", "p", first],
        ["tasks", "p", "-s", "waiting"],
    ):
        assert run(["pool", *view]) == 0, view
        shown = capsys.readouterr().out
        assert "Traceback" not in shown
        assert "\x1b[31m" not in shown
        if view[0] in ("tasks", "show"):
            assert "unreadable definition" in shown
            assert "waiting" in shown
    assert run(["pool", "show", "p", first, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert (told["definition"], told["label"]) == (None, "(unreadable definition)")
    assert run(["pool", "tasks", "p", "--json"]) == 0
    assert [task["task_id"] for task in json.loads(capsys.readouterr().out)["data"]["tasks"]] == ids(manager)
    assert run(["pool", "rm", "p", "--id", first, "--yes"]) == 0


def test_a_query_of_definitions_passes_over_an_unreadable_one(tmp_path, manager, capsys):
    first, second, _ = ids(manager)
    change(tmp_path, first, "{oops")
    assert run(["pool", "tasks", "p", "--where", "def.name=b", "--json"]) == 0
    assert [task["task_id"] for task in json.loads(capsys.readouterr().out)["data"]["tasks"]] == [second]
    assert manager.fetch_task({"def.name": "b"})["_id"] == second
    assert manager.get_task_stats({"def.x": {"$gte": 2}})["waiting"] == 1
