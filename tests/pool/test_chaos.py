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
from rollwright.pool.urls import store_from_url

WORKER = """
import sys
import time
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import run_task
url = sys.argv[1]
is_file = url.startswith("sqlite:///")
store = SqliteStore(url.removeprefix("sqlite:///"), durable=False) if is_file else store_from_url(url)
manager = TaskManager("p", store=store, lease=0.5)


def step(value):
    time.sleep(0.01)
    return value * 3 + 1


run_task(lambda definition: step(definition["x"]), manager, after_status="part_done")
run_task(step, manager, before_status="part_done")
"""


def check_history(store):
    tokens = collections.defaultdict(list)
    events = collections.Counter()
    for row in store.read_history("p"):
        events[row.task_id, row.event] += 1
        if row.event == "claimed":
            tokens[row.task_id].append(row.token)
    for record in store.find("p"):
        assert record.status is Status.DONE
        assert events[record.task_id, "part_done"] == events[record.task_id, "done"] == 1
        assert record.result == str((record.definition["x"] * 3 + 1) * 3 + 1)
        assert tokens[record.task_id] == sorted(set(tokens[record.task_id]))


def chaos(store, url, *, tasks, workers, kills, freezes, seconds=120.0):
    """Let workers finish `tasks` of two stages while they are killed and frozen that often; check what is left."""
    generator = random.Random(11)
    manager = TaskManager("p", store=store, max_attempts=1000)
    manager.create_task([{"x": number} for number in range(tasks)])

    def start():
        return subprocess.Popen([sys.executable, "-c", WORKER, url], stdin=subprocess.DEVNULL)

    running = [start() for _ in range(workers)]
    killed = frozen = 0
    end = time.monotonic() + seconds
    while manager.task_stat() != {"done": tasks}:
        assert time.monotonic() < end, manager.task_stat()
        time.sleep(generator.uniform(0.02, 0.2))
        place = generator.randrange(len(running))
        if killed < kills and generator.random() < 0.7:
            running[place].kill()
            killed += 1
        elif frozen < freezes:
            running[place].send_signal(signal.SIGSTOP)
            time.sleep(0.6)
            running[place].send_signal(signal.SIGCONT)
            frozen += 1
        for number, worker in enumerate(running):
            if worker.poll() is not None:
                running[number] = start()
    for worker in running:
        worker.kill()
        worker.wait()
    check_history(store)
    assert killed >= kills / 2


def test_i1_i2_i4_i10_kill_chaos_loses_nothing_and_commits_nothing_twice(file_store):
    """Among the fast tests although it kills: what it proves is what the pool is for, in a few seconds."""
    chaos(file_store, f"sqlite:///{file_store.path}", tasks=500, workers=4, kills=20, freezes=5)


@pytest.mark.crash
def test_i1_i2_i4_i10_kill_chaos_at_full_size(file_store):
    url = f"sqlite:///{file_store.path}"
    chaos(file_store, url, tasks=10_000, workers=8, kills=200, freezes=50, seconds=1800.0)


@pytest.mark.crash
def test_i1_i2_i4_i10_kill_chaos_on_postgres(postgres_url):
    store = store_from_url(postgres_url)
    chaos(store, postgres_url, tasks=2000, workers=4, kills=50, freezes=20, seconds=400.0)
    store.close()
