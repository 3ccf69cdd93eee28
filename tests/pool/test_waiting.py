"""Waiting for tasks, and pausing a pool: at once, with a live count, and with words that say what to do."""

from __future__ import annotations

import threading

import pytest

from rollwright.errors import PoolError, TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker.worker import run_task


@pytest.fixture
def manager(store, time):
    return TaskManager("p", store=store, clock=time, lease=60, max_attempts=1)


def tasks(*numbers):
    return [{"x": number} for number in numbers]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_t17_a_wait_is_woken_when_the_last_task_ends(kind, file_store):
    manager = TaskManager("p", store=MemoryStore() if kind == "memory" else file_store, poll=3600)
    manager.create_task(tasks(1, 2))
    begun = threading.Event()

    def work():
        begun.wait(20)
        run_task(lambda definition: definition["x"], manager)

    thread = threading.Thread(target=work)
    thread.start()
    progress = manager.wait(timeout=3000, on_progress=lambda _: begun.set())
    thread.join()
    assert (progress.finished, progress.open, progress.total) == (2, 0, 2)


def test_a_wait_tells_how_it_stands_at_first_and_at_each_change(manager, time):
    manager.create_task(tasks(1, 2))
    heard = []

    class Helping:
        monotonic = time.monotonic
        turns = iter(["nothing", "commit", "put", "commit", "commit"])

        def sleep(self, seconds):
            time.sleep(seconds)
            match next(self.turns):
                case "commit":
                    manager.commit_task_res(manager.fetch_task(), 0)
                case "put":
                    manager.create_task(tasks(3))

    manager.clock = Helping()
    manager.wait(on_progress=heard.append)
    assert [(told.finished, told.total) for told in heard] == [(0, 2), (1, 2), (1, 3), (2, 3), (3, 3)]
    assert [told.seconds for told in heard] == sorted(told.seconds for told in heard)


def test_the_time_between_two_looks_can_be_set(store, time):
    manager = TaskManager("p", store=store, clock=time, poll=40)
    manager.create_task(tasks(1))
    naps = []
    real = time.sleep
    time.sleep = lambda seconds: (naps.append(seconds), real(seconds))
    with pytest.raises(PoolError, match="after 100 s"):
        manager.wait(timeout=100)
    assert naps == [40, 40, 20]


def test_a_wait_for_nothing_returns_at_once_and_one_for_failures_names_them(manager):
    assert manager.wait(timeout=0).total == 0
    manager.create_task(tasks(1, 2))
    manager.mark_failed(manager.fetch_task(), "ValueError: bad")
    manager.cancel({"def.x": 2})
    with pytest.raises(TaskFailedError, match="2 tasks failed") as caught:
        manager.wait()
    assert [error for _, error in caught.value.failures] == ["ValueError: bad", "it was cancelled"]


def test_a_wait_for_a_paused_pool_says_that_it_is_paused(manager):
    manager.create_task(tasks(1))
    manager.pause()
    with pytest.raises(PoolError) as caught:
        manager.wait(timeout=1)
    assert "rollwright pool resume p" in caught.value.hint


def test_a_paused_pool_gives_no_task_by_any_word(manager):
    manager.create_task(tasks(1))
    assert [manager.pause("for lunch"), manager.pause()] == [True, False]
    assert manager.fetch_task() is None
    assert manager.get_waiting_task() is None
    assert list(manager.task_fetcher_iter()) == []
    with manager.safe_fetch_task() as task:
        assert task is None
    assert [manager.resume(), manager.resume()] == [True, False]
    assert manager.fetch_task() is not None


def test_run_task_waits_for_a_paused_pool_to_go_on(file_store):
    manager = TaskManager("p", store=file_store, poll=3600)
    manager.create_task(tasks(1))
    manager.pause()
    thread = threading.Thread(target=run_task, args=(lambda definition: 5, manager))
    thread.start()
    manager.resume()
    thread.join(20)
    assert manager.task_stat() == {"done": 1}


def test_run_task_says_once_that_the_pool_is_paused(manager, time, caplog):
    manager.create_task(tasks(1))
    manager.pause()
    real, naps = time.sleep, []

    def sleep(seconds):
        real(seconds)
        naps.append(seconds)
        if len(naps) == 3:
            manager.resume()

    time.sleep = sleep
    assert run_task(lambda definition: 5, manager)
    assert caplog.text.count("rollwright pool resume p") == 1


def test_a_retry_is_not_late_where_looks_are_rare(store, time):
    manager = TaskManager("p", store=store, clock=time, poll=3600, max_attempts=2)
    manager.create_task(tasks(1))
    begun = time.monotonic()
    with pytest.raises(TaskFailedError, match="ZeroDivisionError: division by zero"):
        run_task(lambda definition: 1 / 0, manager)
    assert time.monotonic() - begun < 2
    assert store.count("p")[Status.FAILED] == 1
