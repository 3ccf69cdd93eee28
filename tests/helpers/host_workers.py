"""Workers on hosts of a network of the tests' own, what they were told was kept, and the history they left."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from network_hosts import Network
from rollwright.core.clock import SystemClock
from rollwright.pool.states import Status
from rollwright.pool.store import PoolStore

__all__ = ["HostWorkers", "check_kept", "wait_until"]

_WORKER = """\
import os
import sys
import time
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import run_task

url, name, log, lease, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5])
store = store_from_url(url, patience=1.0)
told = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Store:
    def __getattr__(self, attribute):
        return getattr(store, attribute)

    def settle(self, outcomes, *, claim=None):
        settlement = store.settle(outcomes, claim=claim)
        for task_id, status in settlement.statuses.items():
            os.write(told, f"{task_id} {status.value} {name} {time.time():.0f}\\n".encode())
        for refusal in settlement.refused:
            os.write(told, f"{refusal.task_id} refused {name} {time.time():.0f}\\n".encode())
        return settlement


def work(definition):
    time.sleep(definition.get("seconds", seconds))
    return name


manager = TaskManager("p", store=Store(), lease=lease)
while True:
    run_task(work, manager)
    time.sleep(0.05)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a worker was told became of an outcome: the state of its task, or ``refused``; and when, by its clock."""

    task_id: str
    what: str
    worker: str
    at: float


class HostWorkers:
    """Worker processes on hosts; a context manager that ends them.

    Parameters
    ----------
    network : Network or None
        None: all of them are on this machine.
    url : str
        The pool, as the hosts reach it.
    folder : Path
        Where they write what they were told.
    lease, seconds : float
        Of each claim, and of each task that does not say its own.
    """

    def __init__(self, network: Network | None, url: str, folder: Path, *, lease: float, seconds: float) -> None:
        self._network = network
        self._words = [url, str(lease), str(seconds)]
        self._log = folder / "told"
        self._output = folder / "output"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._running.values():
            worker.kill()
            worker.wait()

    def start(
        self, name: str, *, host: str = "", url: str | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start a worker on a host; with a `url` of its own if it reaches the pool in another way."""
        usual, lease, seconds = self._words
        place = self._network.inside(host) if self._network is not None else nullcontext()
        with place, self._output.open("ab") as output:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-c", _WORKER, url or usual, name, str(self._log), lease, seconds],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environ or {})},
            )

    def check(self) -> None:
        """Check that all of them live."""
        for name, worker in self._running.items():
            assert worker.poll() is None, f"{name} ended:\n{self._output.read_text()[-3000:]}"

    def told(self) -> list[Told]:
        """Return what they were told, in order."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [
            Told(task_id=parts[0], what=parts[1], worker=parts[2], at=float(parts[3]))
            for parts in map(str.split, lines)
        ]


def wait_until(condition: Callable[[], bool], *, seconds: float, workers: HostWorkers | None = None) -> float:
    """Wait for a condition; return how many seconds that took."""
    clock = SystemClock()
    start = clock.monotonic()
    while not condition():
        assert clock.monotonic() - start < seconds, f"not within {seconds} s"
        if workers is not None:
            workers.check()
        clock.sleep(0.05)
    return clock.monotonic() - start


def check_kept(store: PoolStore, workers: HostWorkers, count: int) -> collections.Counter[str]:
    """Check that each task was committed once, and that all that anybody was told was kept is; return the events.

    A result is the name of the worker whose commit was accepted.
    """
    history = store.read_history("p")
    events = collections.Counter(row.event for row in history)
    records = {record.task_id: record for record in store.find("p")}
    assert len(records) == count
    assert {record.status for record in records.values()} == {Status.DONE}
    assert events["done"] == len({row.task_id for row in history if row.event == "done"}) == count
    for told in workers.told():
        if told.what == "done":
            assert records[told.task_id].result == f'"{told.worker}"'
    claims = [(row.task_id, row.token) for row in history if row.event == "claimed"]
    assert len({*claims}) == len(claims), "no two claims share a token"
    return events
