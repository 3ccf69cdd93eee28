"""Slots that are forked from the worker's own process: the same slots, without importing everything twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from rollwright.pool.worker.supervisor import WarmSlots

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="slots are forked on Linux only")
HERE = Path(__file__).parent

# As `rollwright roll` does: limits first, then slots, then everything else.
PROGRAM = """
import json, logging, os, signal, sys, threading, time
from pathlib import Path
from rollwright.core.library_threads import limit_libraries
limit_libraries()
import psutil
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.pool.worker.task_function import TaskFunction
from rollwright.pool.worker.worker import Worker

logging.basicConfig(handlers=[logging.NullHandler()])
settings = load_settings({{"trust.folder": {folder!r}}})
me = psutil.Process()

def work(entry, tasks, warm, **given):
    store = SqliteStore(Path("pool.db"), durable=False)
    manager = TaskManager("p", store=store, max_attempts=5)
    manager.create_task(tasks)
    given = {{"settings": settings, **given}}
    report = Worker(
        store=store, pool="p", function=TaskFunction(entry="functions.py:" + entry), lease=60.0, warm=warm, **given
    ).run()
    results = [task["res"] for task in manager.query()]
    store.close()
    return report, results

def has_server():
    return any("multiprocessing.forkserver" in " ".join(child.cmdline()) for child in me.children())

def comes_to_have_server():  # a process that was started shows our own program until it has begun its own
    patience = time.monotonic() + 10
    while not has_server() and time.monotonic() < patience:
        pass
    return has_server()

with using(settings), WarmSlots() as warm:
{body}
"""


def run(body, folder, *, code=0):
    """Run the program with this body; return what it printed, as JSON."""
    program = PROGRAM.format(folder=str(HERE), body=textwrap.indent(body.strip(), "    "))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_tasks_are_done_in_forks_of_this_process_and_no_server_is_started(tmp_path):
    said = run(
        """
warm.start(["sched"], fork=2)
forked = sorted(child.pid for child in me.children())
report, _ = work("nap", [{"seconds": 0.3, "log": "log", "x": number} for number in range(4)], warm, slots=2)
print(json.dumps([forked, report.done, Path("log").read_text().split(), len(me.children())]))
""",
        tmp_path,
    )
    forked, done, napped, left = said
    assert (len(forked), done, left) == (2, 4, 0)
    assert napped
    assert {*map(int, napped)} <= {*forked}


def test_a_forked_slot_knows_nothing_of_the_process_it_comes_from(tmp_path):
    (told,) = run(
        """
warm.start(["sched"], fork=1)
others = load_settings({"trust.folder": str(settings.trust.folder), "pool.lease": 77.0})
_, found = work("tell_surroundings", [{"x": 1}], warm, slots=1, settings=others)
print(json.dumps(found))
""",
        tmp_path,
    )
    assert told == {"main": [], "lease": 77.0, "ignored": ["SIGINT", "SIGTERM"], "preloaded": True, "foreign": []}


def test_a_forked_slot_that_is_killed_is_replaced_by_one_of_a_server(tmp_path):
    said = run(
        """
warm.start([], fork=1)
(victim,) = me.children()
def kill(event):
    if event.kind == "started" and victim.is_running():
        victim.kill()
report, _ = work("nap", [{"seconds": 0.3, "log": "log"}], warm, slots=1, on_event=kill)
print(json.dumps([report.done, report.failed, has_server()]))
""",
        tmp_path,
    )
    assert said == [1, 0, True]


def test_forked_slots_that_nobody_took_end_with_the_block(tmp_path):
    said = run(
        """
warm.start([], fork=3)
before = len(me.children())
report, _ = work("double", [{"x": 1}], warm, slots=1)
waiting = len(me.children())
warm.close()
print(json.dumps([before, waiting, len(me.children())]))
""",
        tmp_path,
    )
    assert said == [3, 2, 0]


def test_forked_slots_end_when_their_worker_is_killed(tmp_path):
    pids = run(
        """
warm.start([], fork=2)
print(json.dumps([child.pid for child in me.children()]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path,
        code=-signal.SIGKILL,
    )
    assert len(pids) == 2
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10)
    assert not alive


@pytest.mark.parametrize(
    "unsound",
    [
        "threading.Thread(target=threading.Event().wait, daemon=True).start()",
        'os.environ["OMP_NUM_THREADS"] = "2"',
        "many = 9",
    ],
)
def test_where_a_fork_is_not_sound_or_does_not_pay_a_server_starts_the_slots(tmp_path, unsound):
    said = run(
        f"""
many = 1
{unsound}
warm.start([], fork=many)
print(json.dumps([comes_to_have_server(), warm.take() is None]))
""",
        tmp_path,
    )
    assert said == [True, True]


def test_a_process_of_somebody_else_is_never_forked():
    with WarmSlots() as warm:
        warm.start([])
        assert warm.take() is None
