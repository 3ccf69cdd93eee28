"""Workers that kill and freeze themselves at stated moments, then the history is checked: nothing lost, nothing twice.

The harm is paced by the work: each order says after how many commits it is due, and whichever worker reaches its
moment first carries it out. So all of it is done before the work is, however fast or slow the machine.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from crash_size import sized
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.urls import store_from_url

LEASE = 0.5

WORKER = """
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import run_task

url, folder = sys.argv[1], Path(sys.argv[2])
is_file = url.startswith("sqlite:///")
store = SqliteStore(url.removeprefix("sqlite:///"), durable=False) if is_file else store_from_url(url)
manager = TaskManager("p", store=store, lease=0.5)
log = os.open(folder / "commits", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def harm(name):
    if "kill" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGSTOP)


def reach(moment):
    # An order's name: after how many commits, its number, kill or freeze, at which moment.
    commits = os.fstat(log).st_size
    for name in sorted(os.listdir(folder / "orders")):
        due, _, _, wanted = name.split("-")
        if int(due) > commits:
            return
        if wanted not in (moment, "anywhere"):
            continue
        try:
            os.rename(folder / "orders" / name, folder / "done" / f"{name}-{os.getpid()}")
        except OSError:
            continue  # another worker carries it out
        if wanted == "anywhere":
            threading.Timer(random.uniform(0.0, 0.02), harm, (name,)).start()
        else:
            harm(name)


class Store:
    def __getattr__(self, name):
        return getattr(store, name)

    def settle(self, outcomes, *, claim=None):
        if outcomes:
            reach("finished")
        settlement = store.settle(outcomes, claim=claim)
        os.write(log, b"." * len(settlement.statuses))
        if settlement.statuses:
            reach("settled")
        if settlement.leases:
            reach("claimed")
        return settlement


if is_file:
    with store._file.read() as connection:
        connection.set_trace_callback(lambda statement: reach("writing") if statement == "COMMIT" else None)
manager = TaskManager("p", store=Store(), lease=0.5)


def step(value):
    time.sleep(0.005)
    reach("working")
    time.sleep(0.005)
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


def give_orders(folder, *, kills, freezes, commits, moments):
    """Lay down all the harm there is to be, spread over the first nine tenths of the work and over the moments."""
    generator = random.Random(11)
    acts = ["kill"] * kills + ["freeze"] * freezes
    generator.shuffle(acts)
    (folder / "orders").mkdir(parents=True)
    (folder / "done").mkdir()
    for number, act in enumerate(acts):
        due = commits * 9 * (number + 1) // (10 * (len(acts) + 1))
        (folder / "orders" / f"{due:06}-{number}-{act}-{moments[number % len(moments)]}").touch()


class Herd:
    """The workers: those that died are replaced, and those that froze are woken when their leases are over."""

    def __init__(self, url, folder, workers):
        self.folder = folder
        self.command = [sys.executable, "-c", WORKER, url, str(folder)]
        self.running = [self.start() for _ in range(workers)]
        self.woken_at = {}

    def start(self):
        return subprocess.Popen(self.command, stdin=subprocess.DEVNULL)

    def look_after(self):
        now = time.monotonic()
        for name in os.listdir(self.folder / "done"):
            if "freeze" in name:
                self.woken_at.setdefault(int(name.rpartition("-")[2]), now + 1.2 * LEASE)
        for place, worker in enumerate(self.running):
            if worker.poll() is not None:
                self.running[place] = self.start()
            elif now > self.woken_at.get(worker.pid, now):
                worker.send_signal(signal.SIGCONT)

    def end(self):
        for worker in self.running:
            worker.kill()
            worker.wait()


def chaos(store, url, folder, *, tasks, workers, kills, freezes, seconds=120.0):
    """Let workers finish `tasks` of two stages while they are killed and frozen that often; check what is left.

    Returns
    -------
    dict of str to int
        How often each harm was done at each moment.
    """
    moments = ["claimed", "working", "finished", "settled", "anywhere"]
    moments += ["writing"] if url.startswith("sqlite") else []
    give_orders(folder, kills=kills, freezes=freezes, commits=2 * tasks, moments=moments)
    manager = TaskManager("p", store=store, max_attempts=1000)
    manager.create_task([{"x": number} for number in range(tasks)])
    herd = Herd(url, folder, workers)
    end = time.monotonic() + seconds
    try:
        while manager.task_stat() != {"done": tasks}:
            assert time.monotonic() < end, manager.task_stat()
            time.sleep(0.05)
            herd.look_after()
    finally:
        herd.end()
    check_history(store)
    assert os.listdir(folder / "orders") == [], "all of the harm was done"
    done = collections.Counter(" ".join(name.split("-")[2:4]) for name in os.listdir(folder / "done"))
    assert sum(count for name, count in done.items() if "kill" in name) == kills
    assert sum(count for name, count in done.items() if "freeze" in name) == freezes
    assert {name.split()[1] for name in done} == {*moments}
    return dict(sorted(done.items()))


def test_i1_i2_i4_i10_kill_chaos_loses_nothing_and_commits_nothing_twice(file_store, tmp_path):
    """Among the fast tests although it kills: what it proves is what the pool is for, in a few seconds."""
    url = f"sqlite:///{file_store.path}"
    chaos(file_store, url, tmp_path / "harm", tasks=240, workers=3, kills=12, freezes=3)


def tell(capsys, url, done, **terms):
    with capsys.disabled():
        numbers = ", ".join(f"{value:,} {name}" for name, value in terms.items())
        sys.stdout.write(f"\n{url.partition(':')[0]}: {numbers}; done: {done}\n")


@pytest.mark.crash
def test_i1_i2_i4_i10_kill_chaos_at_full_size(file_store, tmp_path, capsys):
    url = f"sqlite:///{file_store.path}"
    terms = {"tasks": sized(10_000, 1500), "workers": 8, "kills": sized(200, 40), "freezes": sized(50, 10)}
    done = chaos(file_store, url, tmp_path / "harm", **terms, seconds=1800.0)
    tell(capsys, url, done, **terms)


@pytest.mark.crash
def test_i1_i2_i4_i10_kill_chaos_on_postgres(postgres_url, tmp_path, capsys):
    store = store_from_url(postgres_url)
    terms = {"tasks": sized(2000, 400), "workers": 4, "kills": sized(50, 15), "freezes": sized(20, 5)}
    done = chaos(store, postgres_url, tmp_path / "harm", **terms, seconds=900.0)
    tell(capsys, postgres_url, done, **terms)
    store.close()
