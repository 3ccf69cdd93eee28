"""What a worker may use up: tasks per process, and memory of the machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from rollwright.core.memory import MemoryGuard
from rollwright.pool.manager import TaskManager
from rollwright.pool.worker.worker import TaskFunction, Worker

HERE = Path(__file__).parent


def work(store, settings, entry="functions.py:pid", **options):
    return Worker(
        store=store, pool="p", function=TaskFunction(entry=entry), settings=settings, slots=1, lease=30.0, **options
    )


@pytest.fixture
def manager(file_store):
    manager = TaskManager("p", store=file_store)
    manager.create_task([{"x": number} for number in range(4)])
    return manager


def test_the_setting_replaces_a_slot_after_so_many_tasks(manager, file_store, trusting):
    limited = trusting.with_values({"worker.max_tasks_per_child": 2}, origin="test")
    assert work(file_store, limited).run().done == 4
    pids = [document["res"] for document in manager.query()]
    assert len(set(pids)) == 2
    assert pids[0] == pids[1]


def test_above_the_memory_limit_no_task_is_taken_until_memory_is_back(
    manager, file_store, trusting, monkeypatch, caplog
):
    answers = iter([False, False, False])
    asked = []

    def admits(self):
        asked.append(manager.get_task_stats()["done"])
        return next(answers, True)

    monkeypatch.setattr(MemoryGuard, "admits", admits)
    with caplog.at_level(logging.WARNING, logger="rollwright.pool"):
        assert work(file_store, trusting).run().done == 4
    assert asked[:3] == [0, 0, 0]
    said = [record.getMessage() for record in caplog.records if "worker.memory" in record.getMessage()]
    assert said == [
        "worker.memory_short pool=p action=no task is taken",
        "worker.memory_free pool=p action=tasks are taken again",
    ]
