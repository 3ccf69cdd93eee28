"""``rollwright pool``: what people and programs see, and that nothing is lost without a yes."""

from __future__ import annotations

import io
import json
import re

import pytest

from rollwright.cli.console import stderr
from rollwright.cli.root import run
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore

FIVE = [{"name": name, "size": place} for place, name in enumerate("abcde")]


@pytest.fixture
def manager(tmp_path):
    """A pool of the project in the working directory: a done, b failed at its second stage, c failed, d, e waiting."""
    store = SqliteStore(tmp_path / "work" / ".rollwright" / "pool.db", durable=False)
    manager = TaskManager("p", store=store, max_attempts=1)
    manager.create_task(FIVE)
    manager.commit_task_res(manager.fetch_task(), {"ic": 0.05})
    manager.commit_task_res(manager.fetch_task(), 1, "part_done")
    manager.mark_failed(manager.fetch_task(status="part_done"), "ValueError: second stage")
    error = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nRuntimeError: \x1b[31mred\x1b[0m \u202eno'
    manager.mark_failed(manager.fetch_task(), error)
    yield manager
    store.close()


@pytest.fixture
def answer(monkeypatch):
    """Say what a person types."""

    def type_in(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))

    return type_in


def stats(manager):
    return {name: tasks for name, tasks in manager.get_task_stats().items() if tasks}


def data(capsys):
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    return answer["data"]


# -- looking -----------------------------------------------------------------------------------------------------


def test_without_a_pool_there_is_nothing_and_nothing_is_made(capsys, tmp_path):
    assert run(["pool", "ls"]) == 0
    assert "no pool has tasks" in capsys.readouterr().out
    assert run(["pool", "stat", "p"]) == 2
    assert "rollwright roll" in capsys.readouterr().err
    assert list((tmp_path / "work").iterdir()) == []


def test_pools_and_their_counts_are_listed(capsys, manager):
    assert run(["pool", "ls"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["pool", "waiting", "running", "part_done", "done", "failed", "cancelled", "total", "paused"]
    assert row.split() == ["p", "2", "0", "0", "1", "2", "0", "5"]
    assert run(["pool", "ls", "--json"]) == 0
    (pool,) = data(capsys)
    assert (pool["pool"], pool["counts"]["failed"], pool["paused"]) == ("p", 2, False)


def test_a_selection_is_counted(capsys, manager):
    assert run(["pool", "stat", "p", "-w", "def.size>1", "-w", "def.name!=e", "--json"]) == 0
    counts = data(capsys)["counts"]
    assert {name: tasks for name, tasks in counts.items() if tasks} == {"failed": 1, "waiting": 1}
    assert run(["pool", "stat", "p", "-w", '{"$or": [{"def.name": "a"}, {"def.size": 4}]}']) == 0
    assert "total              2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("def.name=a", "a"),
        ("def.size=1", "b"),
        ('def.size="1"', ""),
        ("def.size<=1", "ab"),
        ("def.size<1", "a"),
        ("def.size>=4", "e"),
        ("res.ic>0.01", "a"),
        ("def.gone=null", "abcde"),
        ("def.name=NaN", ""),
        ("_id=2", "b"),
    ],
)
def test_a_condition_means_what_it_says(capsys, manager, where, names):
    assert run(["pool", "tasks", "p", "--where", where, "--json"]) == 0
    ids = [task["task_id"] for task in data(capsys)["tasks"]]
    assert "".join(manager.re_query(task_id)["def"]["name"] for task_id in ids) == names


def test_tasks_are_listed_with_their_last_error_and_nothing_moves_the_cursor(capsys, manager):
    assert run(["pool", "tasks", "p", "--status", "failed", "--limit", "5"]) == 0
    printed = capsys.readouterr().out
    assert "ValueError: second stage" in printed
    assert r"\x1b[31mred\x1b[0m \u202eno" in printed
    assert "\x1b" not in printed
    assert run(["pool", "tasks", "p", "--limit", "2"]) == 0
    assert "2 of 5 tasks" in capsys.readouterr().err


def test_one_task_is_shown_whole(capsys, manager):
    assert run(["pool", "show", "p", "3"]) == 0
    printed = capsys.readouterr().out
    for expected in ('"name": "c"', "last error:", 'File "x.py"', "RuntimeError", "claimed", "1 of 1"):
        assert expected in printed
    assert "\x1b" not in printed
    assert run(["pool", "show", "p", "1", "--json"]) == 0
    task = data(capsys)
    assert (task["definition"], task["result"]) == ({"name": "a", "size": 0}, {"ic": 0.05})
    assert [row["event"] for row in task["history"]] == ["created", "claimed", "done"]


def test_a_pools_name_cannot_move_the_cursor(capsys, manager):
    TaskManager("滚动 \u202e%'; DROP", store=manager.store).create_task([{"x": 1}])
    assert run(["pool", "ls"]) == 0
    assert r"滚动 \u202e%'; DROP" in capsys.readouterr().out


def test_watching_ends_after_a_while(capsys, manager):
    manager.pause()
    assert run(["pool", "watch", "p", "--for", "0"]) == 0
    assert "2 waiting, 1 done, 2 failed, paused" in capsys.readouterr().out
    assert run(["pool", "watch", "p", "--for", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["waiting"] == 2


# -- waiting -----------------------------------------------------------------------------------------------------


def test_waiting_ends_with_1_and_names_what_failed(capsys, manager):
    assert run(["pool", "wait", "p", "-w", "def.size<3"]) == 1
    assert "task 2: ValueError: second stage" in capsys.readouterr().err
    assert run(["pool", "wait", "p", "--id", "1", "--json"]) == 0
    assert data(capsys)["counts"]["done"] == 1


def test_what_tasks_say_of_themselves_cannot_move_the_cursor(capsys, manager):
    assert run(["pool", "wait", "p", "--id", "3"]) == 1
    said = capsys.readouterr().err
    assert r"RuntimeError: \x1b[31mred\x1b[0m \u202eno" in said
    assert "\x1b" not in said


def test_waiting_too_long_ends_with_3_and_says_what_to_look_for(capsys, manager):
    assert run(["pool", "wait", "p", "--timeout", "0"]) == 3
    assert "rollwright worker" in capsys.readouterr().err
    manager.pause()
    assert run(["pool", "wait", "p", "--timeout", "0", "--json"]) == 3
    captured = capsys.readouterr()
    assert "rollwright pool resume p" in captured.err
    assert json.loads(captured.out)["ok"] is False


# -- changing ----------------------------------------------------------------------------------------------------


def test_what_failed_is_tried_again_from_where_it_stood(capsys, manager):
    assert run(["pool", "retry", "p"]) == 0
    assert "2 tasks" in capsys.readouterr().out
    assert stats(manager) == {"waiting": 3, "part_done": 1, "done": 1}
    assert manager.fetch_task(status="part_done")["res"] == 1
    manager.cancel({"def.name": "e"})
    assert run(["pool", "retry", "p", "--cancelled", "--json"]) == 0
    assert data(capsys) == {"changed": 1}


def test_a_pool_is_paused_and_resumed(capsys, manager):
    assert run(["pool", "pause", "p", "--reason", "for lunch"]) == 0
    assert manager.fetch_task() is None
    assert run(["pool", "ls"]) == 0
    assert "for lunch" in capsys.readouterr().out
    assert run(["pool", "stat", "p"]) == 0
    assert "for lunch" in capsys.readouterr().out
    assert run(["pool", "pause", "p"]) == 0
    assert "already" in capsys.readouterr().out
    assert run(["pool", "resume", "p", "--json"]) == 0
    assert data(capsys) == {"changed": True}
    assert manager.fetch_task() is not None


def test_priorities_change(capsys, manager):
    assert run(["pool", "priority", "p", "5", "-w", "def.name=e"]) == 0
    assert manager.fetch_task()["def"]["name"] == "e"
    assert run(["pool", "priority", "p", "--all", "--", "-2"]) == 0
    assert manager.re_query("4")["priority"] == -2


def test_dead_workers_tasks_are_freed_without_a_question_and_live_ones_only_by_force(capsys, manager):
    task = manager.fetch_task()
    assert run(["pool", "reset", "p"]) == 0
    assert "0 tasks waiting again" in capsys.readouterr().out
    assert run(["pool", "reset", "p", "--force", "--yes"]) == 0
    assert "1 tasks waiting again" in capsys.readouterr().out
    assert manager.re_query(task["_id"])["status"] == "waiting"


def test_finished_tasks_are_done_again_only_when_asked(capsys, manager):
    assert run(["pool", "reset", "p", "--again"]) == 2
    assert run(["pool", "reset", "p", "--again", "-s", "done", "--yes"]) == 0
    assert manager.re_query("1")["res"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["cancel", "p", "--all"],
        ["rm", "p", "--all"],
        ["rm", "p", "-s", "failed"],
        ["reset", "p", "--again", "-s", "done"],
        ["move", "p", "--to", "sqlite:///other.db"],
    ],
)
@pytest.mark.parametrize("typed", ["", "n", "y", "4"])
def test_a_verb_that_loses_something_asks(capsys, manager, answer, tmp_path, arguments, typed):
    before = stats(manager)
    answer(typed)
    code = run(["pool", *arguments])
    captured = capsys.readouterr()
    assert "tasks of pool p" in captured.err
    yes = typed == "y" and arguments[0] != "rm"  # there, the number has to be typed
    if yes:
        assert code == 0
        assert stats(manager) != before
    else:
        assert code == 2
        assert "--yes" in captured.err
        assert stats(manager) == before
        assert not (tmp_path / "work" / "other.db").exists()


def test_removing_wants_the_number_of_tasks(capsys, manager, answer):
    answer("5")
    assert run(["pool", "rm", "p", "--all"]) == 0
    assert "5 tasks removed" in capsys.readouterr().out
    assert stats(manager) == {}
    assert run(["pool", "ls"]) == 0
    assert "no pool has tasks" in capsys.readouterr().out
    assert run(["pool", "ls", "--empty"]) == 0
    assert "p " in capsys.readouterr().out


def test_running_tasks_are_removed_only_by_force(capsys, manager):
    task = manager.fetch_task()
    assert run(["pool", "rm", "p", "--all", "--yes"]) == 0
    assert "4 tasks removed" in capsys.readouterr().out
    assert stats(manager) == {"running": 1}
    assert run(["pool", "rm", "p", "--id", task["_id"], "--force", "--yes", "--json"]) == 0
    assert stats(manager) == {}


def test_cancelling_what_a_worker_runs_refuses_its_commit(capsys, manager):
    manager.fetch_task()
    assert run(["pool", "cancel", "p", "--all", "--yes", "--json"]) == 0
    assert data(capsys) == {"changed": 2}
    assert stats(manager) == {"done": 1, "failed": 2, "cancelled": 2}


def test_a_pool_moves_to_another_store(capsys, manager, tmp_path):
    assert run(["pool", "move", "p", "--to", "sqlite:///other.db", "--yes"]) == 0
    captured = capsys.readouterr()
    assert "5 tasks moved" in captured.out
    assert "pool.url = sqlite:///other.db" in captured.err
    assert run(["pool", "stat", "p", "--url", "sqlite:///other.db", "--json"]) == 0
    assert data(capsys)["counts"] | {"part_done": 0} == {
        "waiting": 2, "running": 0, "part_done": 0, "done": 1, "failed": 2, "cancelled": 0,
    }  # fmt: skip
    assert stats(manager) == {}


class Terminal(io.StringIO):
    """A terminal, and what is on it without the colours."""

    def isatty(self):
        return True

    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def test_on_a_terminal_a_bar_shows_how_a_wait_and_a_move_go(manager, capsys, monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(stderr, "_console", None)  # the one it has looked at another stderr when it was made
    assert run(["pool", "wait", "p", "--timeout", "0"]) == 3
    assert "p: 0 running, 2 failed" in terminal.text()
    assert run(["pool", "move", "p", "--to", "sqlite:///other.db", "--yes"]) == 0
    assert "p: copied" in terminal.text()
    assert capsys.readouterr().out == "5 tasks moved\n"


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["stat", "q"], "there is no pool 'q'"),
        (["stat", "pp"], "did you mean 'p'?"),
        (["tasks", "q\x1b[2J"], r"q\x1b[2J"),
        (["tasks", "p", "-w", "statu=done"], "did you mean `status`"),
        (["tasks", "p", "-w", "status=don"], "did you mean `done`"),
        (["tasks", "p", "-s", "don"], "did you mean `done`"),
        (["tasks", "p", "-w", "def.name"], "not a condition"),
        (["tasks", "p", "-w", "=1"], "not a condition"),
        (["tasks", "p", "-w", "{"], "no JSON object"),
        (["tasks", "p", "-w", "{}"], "selects everything"),
        (["tasks", "p", "-w", '{"$where": "1"}'], "$where"),
        (["tasks", "p", "-w", '{"def.x": {"$regex": "(a+)+$"}}'], "$regex"),
        (["tasks", "p", "--limit", "0"], "--limit"),
        (["show", "p", "99"], "no task 99"),
        (["show", "p", "x"], "no task x"),
        (["wait", "p", "--timeout", "-1"], "--timeout"),
        (["priority", "p", "high", "--all"], "priority"),
        (["priority", "p", str(10**20), "--all"], "too large for a priority"),
        (["priority", "p", "1"], "--all"),
        (["cancel", "p"], "--all"),
        (["rm", "p"], "--all"),
        (["rm", "p", "--id", "1", "--yes", "-w", "def.x={"], ""),
        (["move", "p"], "--to"),
        (["move", "p", "--to", "sqlite:///.rollwright/pool.db", "--yes"], "already"),
        (["move", "p", "--to", "memory:", "--yes"], "lasts"),
        (["move", "p", "--to", "ftp://me:secret@host/x", "--yes"], "ftp"),
        (["ls", "--url", "nonsense"], "nonsense"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(capsys, manager, arguments, named):
    before = (stats(manager), manager.store.read_history("p"))
    code = run(["pool", *arguments])
    captured = capsys.readouterr()
    if named:
        assert code == 2
        assert named in captured.err
    assert "secret" not in captured.err
    assert "\x1b[2J" not in captured.err
    assert (stats(manager), manager.store.read_history("p")) == before
