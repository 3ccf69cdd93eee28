"""``pool share``, ``pool demand``, and who waits for a worker that has what it needs."""

from __future__ import annotations

import json

import pytest

from rollwright.app.pool_move import move_pool
from rollwright.cli.root import run
from rollwright.pool.manager import TaskManager
from rollwright.pool.needs import NO_NEEDS, Needs
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite.store import SqliteStore

GPU = Needs(tags=("gpu",), memory=16)


@pytest.fixture
def manager(tmp_path):
    store = SqliteStore(tmp_path / "work" / ".rollwright" / "pool.db", durable=False)
    manager = TaskManager("p", store=store)
    manager.create_task([{"x": 1}, {"x": 2}, {"x": 3}], needs=[GPU, GPU, NO_NEEDS])
    yield manager
    store.close()


def data(capsys):
    return json.loads(capsys.readouterr().out)["data"]


def test_a_share_is_shown_and_set(manager, capsys):
    assert run(["pool", "share", "p"]) == 0
    assert capsys.readouterr().out == "p: weight 1, no cap\n"
    assert run(["pool", "share", "p", "--weight", "2.5", "--max-running", "4"]) == 0
    assert capsys.readouterr().out == "p: weight 2.5, at most 4 run\n"
    assert run(["pool", "share", "p", "--no-max-running", "--json"]) == 0
    assert data(capsys) == {"pool": "p", "weight": 2.5, "max_running": None}
    assert manager.store.stat("p").weight == 2.5
    assert run(["pool", "ls"]) == 0
    assert "weight 2.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--weight", "0"], "no weight"),
        (["--max-running", "0"], "pool pause"),
        (["--max-running", "1", "--no-max-running"], "contradict"),
    ],
)
def test_no_other_share_is_set(manager, capsys, options, said):
    assert run(["pool", "share", "p", *options]) == 2
    assert said in capsys.readouterr().err
    assert (manager.store.stat("p").weight, manager.store.stat("p").max_running) == (1.0, None)


def test_demand_is_told_by_needs(manager, capsys):
    assert run(["pool", "demand"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:5] for line in lines[1:]] == [
        ["p", "-", "1", "0", "0"],
        ["p", "gpu,memory=16", "2", "0", "0"],
    ]
    assert run(["pool", "demand", "p", "--json"]) == 0
    plain, gpu = data(capsys)
    assert (gpu["tags"], gpu["memory"], gpu["open"], plain["needs"]) == (["gpu"], 16.0, 2, "")
    assert gpu["oldest"] >= 0
    assert run(["pool", "demand", "q"]) == 2
    assert "no pool 'q'" in capsys.readouterr().err


def test_demand_of_nothing(capsys, tmp_path):
    assert run(["pool", "demand"]) == 0
    assert capsys.readouterr().out == "no pool has open work\n"
    assert run(["pool", "demand", "--json"]) == 0
    assert data(capsys) == []


def test_a_list_of_pools_says_who_waits_for_a_worker(manager, capsys):
    assert run(["pool", "ls"]) == 0
    said = capsys.readouterr().err
    assert "p: 2 tasks need gpu,memory=16, and none of them runs" in said
    assert "rollwright worker run p --tag gpu --memory 16G" in said
    assert run(["pool", "show", "p", "1"]) == 0
    assert "gpu,memory=16" in capsys.readouterr().out
    assert run(["pool", "tasks", "p", "--json", "-w", "needs=gpu,memory=16"]) == 0
    assert [task["needs"] for task in data(capsys)["tasks"]] == ["gpu,memory=16"] * 2


def test_a_move_takes_needs_and_share_along(manager, capsys):
    manager.store.set_share("p", weight=3, max_running=2)
    target = MemoryStore()
    assert move_pool("p", manager.store, target, where="elsewhere").moved == 3
    stat = target.stat("p")
    assert (stat.weight, stat.max_running) == (3.0, 2)
    assert [record.needs for record in target.find("p")] == [GPU, GPU, NO_NEEDS]
