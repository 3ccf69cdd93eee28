"""An hour of small tasks with random kills, half of it on each store: nothing that is held there grows."""

from __future__ import annotations

import collections
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from crash_size import SMALL, sized
from rollwright.pool.states import Status
from rollwright.pool.store import NewTask, PoolStore
from rollwright.pool.urls import store_from_url

pytestmark = pytest.mark.crash

_SECONDS = sized(1800, 15)
_BATCH = 100
_MOST_LOG = {"sqlite": 16, "postgresql": 512 + 64}
"""MB of the log of changes: SQLite copies it back from 4 MB on, PostgreSQL at ``max_wal_size``, 512 in these tests."""
_WORKER = """\
import sys
import time
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import run_task

manager = TaskManager("p", store=store_from_url(sys.argv[1], patience=1.0), lease=5.0)


def work(definition):
    time.sleep(0.02)
    return definition["x"] * 3 + 1


while True:
    run_task(work, manager)
    time.sleep(0.02)
"""
_HOLDERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rollwright'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was held at a moment: by the worker that nobody kills, by the server, and in the log of changes."""

    memory: int
    files: int
    connections: int
    log: int


class Crew:
    """Workers, of which all but the first are killed at random and replaced."""

    def __init__(self, url: str, *, count: int, seed: int) -> None:
        self._url = url
        self._generator = random.Random(seed)
        self._workers = [self._start() for _ in range(count)]
        self.elder = psutil.Process(self._workers[0].pid)
        self.pids = {worker.pid for worker in self._workers}
        self.kills = 0

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _WORKER, self._url], stdin=subprocess.DEVNULL)

    def kill_one(self) -> None:
        place = self._generator.randrange(1, len(self._workers))
        self._workers[place].kill()
        self._workers[place].wait()
        self._workers[place] = self._start()
        self.kills += 1

    def end(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()


def growth(values: list[int]) -> float:
    """Return by how much a straight line through the values rises, over the last three quarters of them."""
    kept = np.asarray(values[len(values) // 4 :], dtype=float)
    if len(kept) < 3:
        return 0.0
    return float(np.polyfit(np.arange(len(kept)), kept, 1)[0] * (len(kept) - 1))


@pytest.fixture(params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, PoolStore, Callable[[], tuple[int, int]]]]:
    """A pool's URL, the pool, and what tells the connections of its server and the bytes of its log of changes."""
    if request.param == "sqlite":
        path = tmp_path / "pool.db"
        with closing(store_from_url(f"sqlite:///{path}")) as store:
            yield f"sqlite:///{path}", store, lambda: (0, _size(path.with_name("pool.db-wal")))
        return
    url = request.getfixturevalue("postgres_url")
    from rollwright.pool.stores.postgres.store import PostgresStore  # noqa: PLC0415 - only where there is a driver

    with closing(PostgresStore(url)) as store:
        wal = "SELECT sum(size)::bigint FROM pg_ls_waldir()"
        yield url, store, lambda: (int(store._rows(_HOLDERS)[0][0]), int(store._rows(wal)[0][0]))


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def put(store: PoolStore, given: int) -> int:
    tasks = [NewTask.of({"x": given + number}, max_attempts=1000) for number in range(_BATCH)]
    return len(store.put("p", tasks).ids)


def pids_at_work(store: PoolStore) -> set[int]:
    """Return the processes that have claimed a task: an owner's name holds its process."""
    owners = {record.owner for record in store.find("p") if record.owner is not None}
    return {int(owner.rsplit(":", 2)[1]) for owner in owners}


def test_an_hour_of_small_tasks_with_random_kills_lets_nothing_grow_and_loses_nothing(
    place: tuple[str, PoolStore, Callable[[], tuple[int, int]]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, store, look = place
    crew = Crew(url, count=3, seed=5)
    given, samples = 0, []
    try:
        given += put(store, given)
        while not crew.pids <= pids_at_work(store):  # what starting takes does not count
            given += put(store, given) if store.stat("p").counts[Status.WAITING] < _BATCH else 0
            time.sleep(0.1)
        start = time.monotonic()
        while (now := time.monotonic() - start) < _SECONDS:
            counts = store.stat("p").counts
            if counts[Status.WAITING] < _BATCH:
                given += put(store, given)
            if now > _SECONDS * (crew.kills + 1) / (sized(300, 5) + 1):
                crew.kill_one()
            if now > _SECONDS * (len(samples) + 1) / sized(241, 13):
                connections, log = look()
                memory, files = crew.elder.memory_info().rss, crew.elder.num_fds()
                samples.append(Sample(memory=memory, files=files, connections=connections, log=log))
            time.sleep(0.1)
        end = time.monotonic() + 120
        while store.stat("p").counts[Status.DONE] < given:
            assert time.monotonic() < end, store.stat("p").counts
            time.sleep(0.1)
    finally:
        crew.end()

    events: collections.Counter[str] = collections.Counter()
    done: collections.Counter[str] = collections.Counter()
    for row in store.read_history("p"):
        events[row.event] += 1
        done[row.task_id] += row.event == "done"
    assert events["done"] == given
    assert {*done.values()} == {1}
    assert events["claimed"] == given + events["reaped"]
    assert all(record.result == str(record.definition["x"] * 3 + 1) for record in store.find("p"))
    assert crew.kills >= sized(290, 4)
    memory = [sample.memory for sample in samples]
    log = max(sample.log for sample in samples) / 2**20
    rises = {
        "memory": growth(memory) / 2**20,
        "files": growth([sample.files for sample in samples]),
        "connections": growth([sample.connections for sample in samples]),
    }
    with capsys.disabled():
        shown = ", ".join(f"{name} {value:+.1f}" for name, value in rises.items())
        sys.stdout.write(
            f"\n{url.partition(':')[0]}: {given:,} tasks in {_SECONDS} s, {crew.kills} kills, {events['reaped']} run "
            f"again; {memory[-1] / 2**20:.0f} MB, log at most {log:.0f} MB; rises (MB, files, connections): {shown}\n"
        )
    assert rises["memory"] < (8 if SMALL else 4)
    assert rises["files"] < 2
    assert rises["connections"] < 3
    assert log < _MOST_LOG[url.partition(":")[0]]
