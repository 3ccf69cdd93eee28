"""Workers of tests, with real slot processes, and tasks that take their time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from rollwright.pool.worker.backoff import Backoff
from rollwright.pool.worker.worker import TaskFunction, Worker

__all__ = ["gone", "make_worker", "napping", "naps", "start_worker_process", "until"]

FUNCTIONS = Path(__file__).parents[1] / "pool"
QUICK = Backoff(base=0.01, cap=0.01)


def make_worker(store, settings, entry="functions.py:double", **options):
    given = {"slots": 1, "lease": 30.0, "backoff": QUICK, **options}
    kwargs = given.pop("kwargs", {})
    return Worker(store=store, pool="p", function=TaskFunction(entry=entry, kwargs=kwargs), settings=settings, **given)


def until(condition, seconds=10.0):
    """Wait for something another process does; fails loudly rather than waiting for ever."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
    return found


def start_worker_process(path, *, entry, lease=30.0, slots=1, drain=4.0, **options):
    """Start a whole worker, parent and slots, as a process of its own."""
    code = f"""
from rollwright.config.settings import load_settings
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.worker.worker import TaskFunction, Worker
Worker(store=SqliteStore({str(path)!r}), pool="p", function=TaskFunction(entry={entry!r}), slots={slots}, lease={lease},
       settings=load_settings({{"trust.folder": {str(FUNCTIONS)!r}, "worker.drain": {drain}}})).run()
"""
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, **options)


def gone(pid):
    """Tell whether a process has ended; where nobody reaps orphans it stays behind as a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def naps(tmp_path, *, seconds, count=1):
    log = tmp_path / "naps.log"
    return log, [{"x": number, "log": str(log), "seconds": seconds} for number in range(count)]


def napping(log):
    """Return the ids of the processes that started to nap, once there is one."""
    return until(lambda: [int(line) for line in log.read_text().splitlines()] if log.exists() else [])
