"""Workers take what they can do, and say when nothing of what is left is for them."""

from __future__ import annotations

import logging

import pytest

from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.needs import Needs, Offer
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, Outcome
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker.worker import TaskFunction, Worker, offer_of, run_task, work_through

GPU = Needs(tags=("gpu",))


def square(definition):
    return definition["x"] ** 2


@pytest.fixture
def manager():
    return TaskManager("p", store=MemoryStore())


def states(manager):
    return {task["def"]["x"]: task["status"] for task in manager.query()}


def test_a_worker_leaves_what_it_has_not_and_says_so(manager, caplog):
    manager.create_task([{"x": 1}])
    manager.create_task([{"x": 2}, {"x": 3}], needs=[GPU, Needs(memory=64)])
    with caplog.at_level(logging.WARNING), using(load_settings({"worker.memory": 16})):
        assert run_task(square, manager)
        assert not run_task(square, manager)
    assert states(manager) == {1: "done", 2: "waiting", 3: "waiting"}
    (said, _again) = [record.getMessage() for record in caplog.records if "worker.unfit" in record.getMessage()]
    assert said == "worker.unfit pool=p tasks=2 needs=gpu;memory=64"


def test_settings_say_what_a_worker_has(manager, caplog):
    manager.create_task([{"x": 2}, {"x": 3}], needs=[GPU, Needs(memory=64)])
    settings = load_settings({"worker.tags": ["gpu"], "worker.memory": "64G"})
    assert offer_of(settings) == Offer(tags=frozenset({"gpu"}), memory=64.0)
    with using(settings):
        assert run_task(square, manager)
    assert set(states(manager).values()) == {"done"}
    assert not [record for record in caplog.records if "worker.unfit" in record.getMessage()]


@pytest.mark.parametrize(
    ("name", "value"), [("worker.tags", ["G P U"]), ("worker.memory", "much"), ("worker.memory", 0)]
)
def test_no_other_setting_says_what_a_worker_has(name, value):
    with pytest.raises(ConfigError):
        load_settings({name: value})


def test_a_worker_waits_for_delayed_tasks_that_it_may_take_alone(manager):
    """With ``until_empty`` it ends though tasks wait that are for others, delayed ones included."""
    manager.create_task([{"x": 1}], needs=GPU)
    lease = manager.store.claim(manager_request(manager))[0]
    manager.store.settle([Outcome.failed(lease, error="no", delay=500.0)])
    assert not run_task(square, manager)


def manager_request(manager):
    return ClaimRequest(pool="p", owner="w", lease=60, offer=Offer(tags=frozenset({"gpu"})))


def test_a_task_is_fetched_by_who_has_what_it_needs(manager):
    manager.create_task([{"x": 2}], needs=GPU)
    assert manager.fetch_task() is None
    with using(load_settings({"worker.tags": ["gpu"]})):
        assert manager.fetch_task()["def"] == {"x": 2}


def test_slots_take_what_the_worker_offers(file_store, trusting):
    manager = TaskManager("p", store=file_store)
    manager.create_task([{"x": 1}, {"x": 2}], needs=[GPU, Needs(tags=("tpu",))])
    function = TaskFunction(entry="functions.py:double")
    offer = Offer(tags=frozenset({"gpu"}))
    report = Worker(store=file_store, pool="p", function=function, slots=1, lease=30.0, settings=trusting, offer=offer)
    assert report.run().done == 1
    assert file_store.count("p")[Status.WAITING] == 1


def test_tags_of_a_definition_still_choose_among_tasks_without_needs(manager):
    manager.create_task([{"x": 1, "tags": {"gpu": True}}, {"x": 2}])
    manager.create_task([{"x": 3}], needs=GPU)
    offer = Offer(tags=frozenset({"gpu"}))
    assert work_through(manager, square, {}, tags=["gpu"], offer=offer).done == 2
    assert states(manager) == {1: "done", 2: "waiting", 3: "done"}
