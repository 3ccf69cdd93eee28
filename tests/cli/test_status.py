"""``status``: how a campaign stands, who works on it, what failed of which cause, and the one command that goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rollwright.app.pool import open_pool
from rollwright.cli.root import run
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.pool.manager import TaskManager

WINDOWS = ("2020-05-29..2020-07-02", "2020-07-03..2020-08-06", "2020-08-07..2020-09-10", "2020-09-11..2020-10-05")


@contextmanager
def pool() -> Iterator[TaskManager]:
    with using(load_settings()), open_pool("small") as manager:
        yield manager


def fail(manager: TaskManager, error: str) -> None:
    manager.mark_failed(manager.fetch_task(), error)


def answer(capsys, *arguments: str) -> dict:
    capsys.readouterr()
    run(["status", "--json", *arguments])
    return json.loads(capsys.readouterr().out)["data"]


def test_a_finished_campaign_names_its_report_and_has_nothing_to_do(rolled, capsys):
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("small: 4 windows: 4 done\n████\n")
    assert str(rolled / "results" / "small" / "report.html") in out
    assert "next:" not in out
    assert answer(capsys)["command"] is None


def test_windows_are_told_by_state_with_who_holds_them_since_when(rolled, capsys):
    with pool() as manager:
        manager.reset_status({}, "waiting")
        task = manager.fetch_task()
        data = answer(capsys, "small")
        manager.commit_task_res(task, 1)
    assert data["counts"] == {"running": 1, "waiting": 3}
    (worker,) = data["workers"]
    assert worker["owner"] == manager.owner
    assert worker["windows"] == [WINDOWS[0]]
    assert worker["since"] > 1e9
    assert data["command"] == "rollwright status small --watch"
    assert answer(capsys)["command"] == "rollwright resume small"


def test_failures_of_one_cause_are_told_once_with_the_command_that_shows_them(rolled, capsys):
    with pool() as manager:
        manager.reset_status({}, "waiting")
        for error in ("ValueError: row 17 is odd", "ValueError: row 4 is odd", "KeyError: 'x'\nhint: name it"):
            fail(manager, error)
    assert run(["status"]) == 1
    out = capsys.readouterr().out
    assert "✗✗✗·" in out
    assert f"failed: 2 windows ({WINDOWS[0]}, {WINDOWS[1]}): ValueError: row 17 is odd" in out
    assert out.count("ValueError") == 1
    assert "hint: name it" in out
    assert f"next: rollwright logs small {WINDOWS[0]}" in out
    data = answer(capsys)
    assert [len(group["windows"]) for group in data["failures"]] == [2, 1]
    assert data["windows"][0]["error"] == "ValueError: row 17 is odd"


def test_a_paused_pool_is_told_and_so_is_what_lets_it_go_on(rolled, capsys):
    with pool() as manager:
        manager.reset_status({}, "waiting")
        manager.store.pause("small")
    data = answer(capsys)
    assert data["paused"]
    assert data["command"] == "rollwright pool resume small"


def test_tasks_that_somebody_removed_are_missing_and_not_those_of_others(rolled, capsys):
    with pool() as manager:
        manager.remove({})
        manager.create_task([{"anything": "else"}])
    assert answer(capsys)["counts"] == {"missing": 4}


def test_watching_ends_when_nothing_is_left_and_says_each_change_once(rolled, capsys):
    assert run(["status", "--watch"]) == 0
    assert capsys.readouterr().out == "small: 4 windows: 4 done\n"


def test_many_windows_fit_the_width_and_the_worst_of_them_is_seen(rolled, capsys, monkeypatch):
    from rollwright.app.status import WindowStatus  # noqa: PLC0415
    from rollwright.cli.status import draw_states  # noqa: PLC0415
    from rollwright.pool.states import Status  # noqa: PLC0415

    many = [WindowStatus(name=str(n), variant="main", status=Status.DONE) for n in range(2_000)]
    many[1_234] = WindowStatus(name="x", variant="main", status=Status.FAILED)
    drawn = draw_states(many, width=60)
    assert len(drawn) == 60
    assert drawn.count("✗") == 1


def test_nothing_heavy_is_imported_for_it(rolled):
    code = (
        "import sys; from rollwright.cli.root import run; code = run(['status']); "
        "heavy = {'pandas', 'numpy', 'pyarrow', 'mlflow', 'yaml', 'rich'} & {*sys.modules}; "
        "sys.exit(str(sorted(heavy)) if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=rolled, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["status", "--watch"]])
def test_where_nothing_was_started_it_says_how_to_start(fresh, capsys, arguments):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert "no campaign was started" in captured.err
    assert "rollwright roll FILE" in captured.err
    assert not (fresh / ".rollwright").exists()
