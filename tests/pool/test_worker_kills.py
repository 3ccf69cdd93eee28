"""Whichever process beneath a worker is killed, the worker goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
import pytest

from rollwright.errors import SlotsDiedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.worker import supervisor as supervisor_module
from rollwright.pool.worker.supervisor import Supervisor
from rollwright.pool.worker.task_function import TaskFunction
from rollwright.pool.worker.worker import Worker

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="slots have no server here"
)
SERVER, TRACKER = "multiprocessing.forkserver", "multiprocessing.resource_tracker"


def wait_for(file: Path) -> None:
    """Wait until another process has written the file."""
    end = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < end, f"{file} never came"
        time.sleep(0.01)


def child(what: str) -> psutil.Process:
    """Return the process beneath this one that runs the module `what`."""
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    (found,) = [one for one in alive if what in " ".join(one.cmdline())]
    return found


def worker(manager, trusting, entry="functions.py:double", **given):
    return Worker(
        store=manager.store,
        pool="p",
        function=TaskFunction(entry=entry),
        settings=trusting,
        lease=60.0,
        **{"slots": 2, **given},
    )


@pytest.fixture
def manager(file_store):
    return TaskManager("p", store=file_store, max_attempts=5)


@pytest.mark.parametrize("victim", [SERVER, TRACKER, "slot"])
def test_whichever_process_is_killed_the_tasks_are_done(manager, trusting, tmp_path, victim):
    manager.create_task([{"seconds": 0.5, "log": str(tmp_path / str(number))} for number in range(3)])
    killed = []

    def kill(event):
        if event.kind == "started" and not killed:
            one = child(SERVER).children()[0] if victim == "slot" else child(victim)
            killed.append(one)
            one.kill()

    report = worker(manager, trusting, "functions.py:nap", on_event=kill).run()
    assert killed
    assert (report.done, report.failed, report.interrupted) == (3, 0, False)


def test_a_server_that_is_killed_while_all_slots_start_costs_one_start(manager, trusting):
    manager.create_task([{"x": number} for number in range(8)])
    running = worker(manager, trusting, slots=6)
    executor = running._loop._executor
    real = executor.open

    def open_and_kill():
        real()
        child(SERVER).kill()

    executor.open = open_and_kill
    assert running.run().done == 8


def test_a_server_that_is_killed_while_it_is_asked_for_a_slot_is_started_anew(trusting):
    supervisor = Supervisor(
        terms={"settings": trusting.model_dump_json(), "entry": "functions.py:double", "kwargs": {}}, preload=()
    )
    supervisor.start(0).kill()
    server = child(SERVER)
    server.send_signal(signal.SIGSTOP)  # it is alive when it is asked, and never answers
    timer = threading.Timer(0.3, server.kill)
    timer.start()
    slot = supervisor.start(1)
    timer.join()
    assert slot.receive() == {"kind": "ready"}
    assert child(SERVER).pid != server.pid
    slot.kill()


def test_a_server_that_always_ends_is_an_error_that_says_so(monkeypatch):
    class Context:
        Pipe = staticmethod(multiprocessing.Pipe)

        class Process:
            def __init__(self, **_given):
                pass

            def start(self):
                raise EOFError("unexpected EOF")

    monkeypatch.setattr(supervisor_module, "_SERVER_PAUSES", (0.0, 0.0))
    supervisor = Supervisor(terms={}, preload=())
    supervisor._context = Context()
    with warnings.catch_warnings(action="ignore"):  # another test may have killed the one there was
        resource_tracker.ensure_running()  # it is started once, and stays
    before = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else set()
    with pytest.raises(SlotsDiedError, match="the process that starts the slots ended 3 times") as caught:
        supervisor.start(0)
    assert caught.value.exit_code == 3
    assert not before or len(os.listdir("/proc/self/fd")) == len(before)


WARMS = """
import signal, sys, time
from rollwright.pool.worker.supervisor import WarmSlots

signal.signal(signal.SIGINT, lambda *_: None)
WarmSlots().start(["slow"])
sys.stdin.read()
"""
SLOW = """
import os, pathlib, time

pathlib.Path({here!r}).write_text(str(os.getpid()))
time.sleep(2)
pathlib.Path({done!r}).write_text("")
"""


def test_ctrl_c_in_a_terminal_does_not_reach_the_server_of_the_slots_while_it_still_imports(tmp_path):
    here, done = tmp_path / "here", tmp_path / "done"
    (tmp_path / "slow.py").write_text(SLOW.format(here=str(here), done=str(done)))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", WARMS],
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(here)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to all processes of the group
    wait_for(done)
    _, said = process.communicate("", timeout=20)
    assert said == ""
