"""Workers killed and frozen at random, then the history is checked: nothing lost, nothing committed twice."""

from __future__ import annotations

import collections
import random
import signal
import subprocess
import sys
import time

import pytest

from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status

WORKER = """
import sys
import time
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite import SqliteStore
from rollwright.pool.worker import run_task
manager = TaskManager("p", store=SqliteStore(sys.argv[1], durable=False), lease=0.5)


def step(value):
    time.sleep(0.01)
    return value * 3 + 1


run_task(lambda definition: step(definition["x"]), manager, after_status="part_done")
run_task(step, manager, before_status="part_done")
"""


def check_history(file_store):
    tokens = collections.defaultdict(list)
    events = collections.Counter()
    for row in file_store.read_history("p"):
        events[row.task_id, row.event] += 1
        if row.event == "claimed":
            tokens[row.task_id].append(row.token)
    for record in file_store.find("p"):
        assert record.status is Status.DONE
        assert events[record.task_id, "part_done"] == events[record.task_id, "done"] == 1
        assert record.result == str((record.definition["x"] * 3 + 1) * 3 + 1)
        assert tokens[record.task_id] == sorted(set(tokens[record.task_id]))


@pytest.mark.crash
def test_i1_i2_i4_i10_kill_chaos_loses_nothing_and_commits_nothing_twice(file_store):
    generator = random.Random(11)
    manager = TaskManager("p", store=file_store, max_attempts=1000)
    count = 500
    manager.create_task([{"x": number} for number in range(count)])

    def start():
        return subprocess.Popen([sys.executable, "-c", WORKER, str(file_store.path)], stdin=subprocess.DEVNULL)

    workers = [start() for _ in range(4)]
    kills = freezes = 0
    end = time.monotonic() + 120
    while manager.task_stat() != {"done": count}:
        assert time.monotonic() < end, manager.task_stat()
        time.sleep(generator.uniform(0.02, 0.2))
        place = generator.randrange(len(workers))
        if kills < 20 and generator.random() < 0.7:
            workers[place].kill()
            kills += 1
        elif freezes < 5:
            workers[place].send_signal(signal.SIGSTOP)
            time.sleep(0.6)
            workers[place].send_signal(signal.SIGCONT)
            freezes += 1
        for number, worker in enumerate(workers):
            if worker.poll() is not None:
                workers[number] = start()
    for worker in workers:
        worker.kill()
        worker.wait()
    check_history(file_store)
    assert kills >= 10
