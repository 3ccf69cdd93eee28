"""A worker that is told to end: what it has in hand is finished, or given back without using an attempt."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from pool_workers import gone, make_worker, napping, naps, start_worker_process, until
from rollwright.pool.manager import TaskManager


@pytest.fixture
def manager(file_store):
    return TaskManager("p", store=file_store, max_attempts=2)


def test_i22_a_stopped_worker_gives_its_task_back_without_using_an_attempt(manager, file_store, trusting, tmp_path):
    trusting = trusting.with_values({"worker.drain": 0.1}, origin="test")
    log, definitions = naps(tmp_path, seconds=60, count=2)
    manager.create_task(definitions)
    running = make_worker(file_store, trusting, "functions.py:nap")
    threading.Thread(target=lambda: (napping(log), running.stop())).start()
    report = running.run()
    assert (report.released, report.done, report.interrupted) == (1, 0, True)
    assert manager.task_stat() == {"waiting": 2}
    assert [task["attempts"] for task in manager.query()] == [0, 0]
    assert not [pid for pid in napping(log) if not gone(pid)]


def test_a_task_that_ends_within_the_grace_counts(manager, file_store, trusting, tmp_path):
    log, definitions = naps(tmp_path, seconds=0.3, count=2)
    manager.create_task(definitions)
    running = make_worker(file_store, trusting, "functions.py:nap")
    threading.Thread(target=lambda: (napping(log), running.stop())).start()
    assert running.run().done == 1
    assert manager.task_stat() == {"waiting": 1, "done": 1}


def test_a_worker_goes_on_with_what_it_has_in_hand_for_as_long_as_it_was_set(manager, file_store, trusting, tmp_path):
    """Longer than the lease, which is renewed meanwhile, so that nobody else is given the task."""
    log, definitions = naps(tmp_path, seconds=6, count=2)
    manager.create_task(definitions)
    trusting = trusting.with_values({"worker.drain": 30.0}, origin="test")
    running = make_worker(file_store, trusting, "functions.py:nap", lease=2.0)
    told = []

    def stop_and_look():
        napping(log)
        running.stop()
        time.sleep(3)
        told.append(file_store.reap("p"))

    looking = threading.Thread(target=stop_and_look)
    looking.start()
    report = running.run()
    looking.join()
    assert told == [[]]
    assert (report.done, report.released, report.interrupted) == (1, 0, True)
    assert manager.task_stat() == {"waiting": 1, "done": 1}


def test_i22_sigterm_ends_a_whole_worker_and_a_second_one_at_once(manager, file_store, tmp_path):
    log, definitions = naps(tmp_path, seconds=60)
    manager.create_task(definitions)
    process = start_worker_process(file_store.path, entry="functions.py:nap")
    (slot,) = napping(log)
    process.terminate()
    time.sleep(1.1)
    process.terminate()
    process.wait(2)
    until(lambda: gone(slot), 1.0)
    assert manager.reset_waiting() == 1  # told twice it leaves at once, so the task is freed by its death


def test_i22_one_sigterm_that_comes_in_two_ways_lets_the_worker_give_its_task_back(manager, file_store, tmp_path):
    log, definitions = naps(tmp_path, seconds=60)
    manager.create_task(definitions)
    process = start_worker_process(file_store.path, entry="functions.py:nap", drain=0.3)
    napping(log)
    for _ in range(2):  # an engine tells all processes of a job, and its shell passes on what it was told
        process.terminate()
        time.sleep(0.05)
    assert process.wait(5) == 0
    assert manager.task_stat() == {"waiting": 1}
    assert next(manager.query())["attempts"] == 0


def test_i22_sigterm_to_the_whole_group_still_lets_the_worker_give_its_task_back(manager, file_store, tmp_path):
    log, definitions = naps(tmp_path, seconds=60)
    manager.create_task(definitions)
    process = start_worker_process(file_store.path, entry="functions.py:nap", drain=0.3, start_new_session=True)
    (slot,) = napping(log)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(5) == 0
    assert gone(slot)
    assert manager.task_stat() == {"waiting": 1}
    assert next(manager.query())["attempts"] == 0
