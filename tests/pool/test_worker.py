"""Workers with real slot processes: work shared, deaths survived, stops graceful."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pool_workers import gone, make_worker, napping, naps, start_worker_process, until
from rollwright.config.context import install
from rollwright.core import canonical
from rollwright.errors import ConfigError, ConstructError, StoreUnavailableError, TaskFailedError, UntrustedModuleError
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.worker.backoff import Backoff
from rollwright.pool.worker.worker import TaskFunction, run_task

HERE = Path(__file__).parent
QUICK = Backoff(base=0.01, cap=0.01)


@pytest.fixture
def manager(file_store):
    return TaskManager("p", store=file_store, max_attempts=2)


# -- working -----------------------------------------------------------------------------------------------------


def test_the_work_is_done_and_told_about(manager, file_store, trusting):
    ids = manager.create_task([{"x": number} for number in range(12)])
    events = []
    report = make_worker(file_store, trusting, slots=2, kwargs={"factor": 3}, on_event=events.append).run()
    assert (report.done, report.failed, report.released, report.interrupted) == (12, 0, 0, False)
    assert [task["res"] for task in manager.query()] == [3 * number for number in range(12)]
    assert sorted(event.task_id for event in events if event.kind == "done") == sorted(ids)
    assert len([event for event in events if event.kind == "started"]) == 12


def test_two_slots_work_at_the_same_time(manager, file_store, trusting, tmp_path):
    manager.create_task([{"x": number, "log": str(tmp_path / "log")} for number in range(2)])
    events = []
    make_worker(file_store, trusting, "functions.py:meet", slots=2, on_event=events.append).run()
    assert manager.task_stat() == {"done": 2}
    assert {event.slot for event in events if event.kind == "started"} == {0, 1}


def test_only_the_tasks_it_was_given(manager, file_store, trusting):
    ids = manager.create_task([{"x": number} for number in range(4)])
    make_worker(file_store, trusting, only=ids[1:3], query={"def.x": {"$gte": 2}}).run()
    assert [task["_id"] for task in manager.query({"status": "done"})] == [ids[2]]


def test_validity_is_recorded_beside_the_result(manager, file_store, trusting):
    (task_id,) = manager.create_task([{"x": 1}])
    make_worker(file_store, trusting, "functions.py:validated").run()
    assert manager.re_query(task_id)["validity"] == {"data": "7"}


def test_a_failing_task_is_tried_again_then_failed_with_its_traceback(manager, file_store, trusting):
    ids = manager.create_task([{"x": 0, "bad": True}, {"x": 1}])
    report = make_worker(file_store, trusting, "functions.py:fail").run()
    assert (report.done, report.failed) == (1, 1)
    task = manager.re_query(ids[0])
    assert task["attempts"] == 2
    assert "RuntimeError: this one is bad" in task["error"]


def test_an_exit_in_a_body_is_its_failure(manager, file_store, trusting):
    manager.create_task([{"x": 1}])
    assert make_worker(file_store, trusting, "functions.py:leave").run().failed == 1


def test_i11_a_task_that_kills_its_slot_runs_as_often_as_it_may_and_costs_nobody_else_anything(
    manager, file_store, trusting, tmp_path
):
    log = tmp_path / "aborts.log"
    manager.create_task([{"x": number, "bad": number == 1, "log": str(log)} for number in range(5)])
    events = []
    report = make_worker(file_store, trusting, "functions.py:abort", slots=2, on_event=events.append).run()
    assert (report.done, report.failed) == (4, 1)
    assert log.read_text().count("ran") == 2
    assert [event.kind for event in events].count("slot died") == 2
    (task,) = manager.query({"status": "failed"})
    assert "SIGABRT" in task["error"]


def test_a_slot_that_hangs_up_and_freezes_is_ended(manager, file_store, trusting, tmp_path):
    log = tmp_path / "pid"
    manager.create_task([{"log": str(log)}])
    report = make_worker(file_store, trusting, "functions.py:hang_up").run()
    assert report.failed == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


def test_a_worker_whose_pool_was_removed_gives_up_with_exit_code_3_and_makes_no_new_one(manager, file_store, trusting):
    manager.create_task([{"path": str(file_store.path)}])
    impatient = trusting.with_values({"worker.store_patience": 0.1}, origin="test")
    with pytest.raises(StoreUnavailableError, match=r"was removed while it was open.*given up") as caught:
        make_worker(file_store, impatient, "functions.py:remove").run()
    assert caught.value.exit_code == 3
    assert not file_store.path.exists()


def test_a_task_beyond_its_timeout_has_failed(manager, file_store, trusting, tmp_path):
    log, definitions = naps(tmp_path, seconds=60)
    manager.create_task(definitions)
    assert make_worker(file_store, trusting, "functions.py:nap", timeout=0.2).run().failed == 1
    assert "no result within 0.2 s" in next(manager.query())["error"]
    assert not [pid for pid in napping(log) if not gone(pid)]


def test_an_untrusted_body_is_refused_before_anything_starts(file_store, trusting):
    with pytest.raises(UntrustedModuleError, match="`shutil` is not trusted"):
        make_worker(file_store, trusting, "shutil:rmtree")
    with pytest.raises(ConfigError, match="`no colon` names no function"):
        TaskFunction(entry="no colon")


def test_a_body_that_cannot_be_loaded_stops_the_worker_and_uses_no_attempt(manager, file_store, trusting):
    (task_id,) = manager.create_task([{"x": 1}])
    with pytest.raises(ConstructError, match="nothing_of_that_name"):
        make_worker(file_store, trusting, "functions.py:nothing_of_that_name").run()
    assert manager.re_query(task_id)["attempts"] == 0


def test_t18_force_release_runs_each_task_in_a_process_of_its_own(manager, trusting):
    install(trusting)
    manager.create_task([{"x": number} for number in range(2)])
    assert run_task(canonical.fingerprint, manager, force_release=True)
    assert [task["res"] for task in manager.query()] == [
        canonical.fingerprint({"x": 0}),
        canonical.fingerprint({"x": 1}),
    ]
    manager.create_task([{"x": 3}])
    with pytest.raises(TaskFailedError, match="TypeError: the JSON object must be str"):
        run_task(canonical.parse_json, TaskManager("p", store=manager.store, max_attempts=1), force_release=True)


def test_each_isolated_task_is_run_once_when_it_stays_part_done(manager, trusting):
    """From part_done to part_done it would be taken again and again."""
    install(trusting)
    (task_id,) = manager.create_task([{"x": 1}])
    manager.commit_task_res(manager.fetch_task(), {"x": 2}, "part_done")
    terms = {"before_status": "part_done", "after_status": "part_done", "force_release": True}
    assert run_task(canonical.fingerprint, manager, **terms)
    assert manager.re_query(task_id)["res"] == canonical.fingerprint({"x": 2})
    events = [row.event for row in manager.store.read_history("p")]
    assert events == ["created", "claimed", "part_done", "claimed", "part_done"]


@pytest.mark.parametrize("isolated", [False, True])
def test_run_task_does_not_wait_for_tasks_that_others_run(manager, trusting, isolated):
    install(trusting)
    manager.create_task([{"x": 1}])
    assert TaskManager("p", store=manager.store).fetch_task() is not None
    assert not run_task(canonical.fingerprint, manager, force_release=isolated)
    assert manager.task_stat() == {"running": 1}


@pytest.mark.parametrize(("isolated", "error"), [(False, TypeError), (True, TaskFailedError)])
def test_fail_fast_ends_with_the_first_failure_wherever_tasks_run(manager, trusting, isolated, error):
    install(trusting)
    manager.create_task([{"x": 1}, {"x": 2}])
    with pytest.raises(error, match="dict"):
        run_task(canonical.parse_json, manager, force_release=isolated, fail_fast=True)
    assert manager.task_stat() == {"failed": 1, "waiting": 1}  # a mistake in a program is not tried again
    assert [row.event for row in manager.store.read_history("p")].count("claimed") == 1


def test_t20_an_idle_worker_picks_up_what_comes_later(manager, file_store, trusting):
    running = make_worker(file_store, trusting, until_empty=False, poll=0.01)
    thread = threading.Thread(target=running.run)
    thread.start()
    (task_id,) = manager.create_task([{"x": 21}])
    until(lambda: manager.task_stat() == {"done": 1})
    running.stop()
    thread.join(10)
    assert manager.re_query(task_id)["res"] == 42


def test_t2_racing_processes_put_each_definition_once(manager, file_store):
    code = f"""
import json, random
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
manager = TaskManager("p", store=SqliteStore({str(file_store.path)!r}))
ids = {{}}
for number in random.sample(range(100), 100):
    keys = [("x", number), ("y", [number])]
    random.shuffle(keys)
    ids[number] = manager.insert_task_def(dict(keys))
print(json.dumps(sorted(ids.items())))
"""
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        for _ in range(3)
    ]
    answers = {racer.communicate(timeout=60)[0] for racer in racers}
    assert len(answers) == 1
    assert manager.task_stat() == {"waiting": 100}


# -- dying -------------------------------------------------------------------------------------------------------


def test_a_killed_workers_slot_dies_within_a_second_and_its_task_is_free_at_once(
    manager, file_store, trusting, tmp_path
):
    log, definitions = naps(tmp_path, seconds=60)
    (task_id,) = manager.create_task(definitions)
    process = start_worker_process(file_store.path, entry="functions.py:nap", lease=3600.0)
    (slot,) = napping(log)
    process.kill()
    process.wait(5)
    until(lambda: gone(slot), 1.0)
    start = time.monotonic()
    report = make_worker(file_store, trusting, "functions.py:double", only=[task_id]).run()
    assert report.done == 1
    assert time.monotonic() - start < 5.0  # against a lease of an hour
    events = [row.event for row in file_store.read_history("p")]
    assert events == ["created", "claimed", "reaped", "claimed", "done"]


def test_a_slot_that_holds_the_interpreters_lock_dies_with_its_worker_too(manager, file_store, tmp_path):
    log, definitions = naps(tmp_path, seconds=60)
    manager.create_task(definitions)
    process = start_worker_process(file_store.path, entry="functions.py:hold")
    (slot,) = napping(log)
    process.kill()
    process.wait(5)
    assert until(lambda: gone(slot), 1.0)


def test_another_worker_takes_the_tasks_of_a_killed_one_while_it_runs(manager, file_store, trusting, tmp_path):
    log, definitions = naps(tmp_path, seconds=60)
    manager.create_task(definitions)
    victim = start_worker_process(file_store.path, entry="functions.py:nap", lease=3600.0)
    napping(log)
    helper = make_worker(file_store, trusting, "functions.py:double")  # waits, since the other's task may come back
    threading.Thread(target=lambda: (time.sleep(0.3), victim.kill(), victim.wait())).start()
    assert helper.run().done == 1


def test_i3_a_frozen_worker_that_wakes_is_refused(manager, file_store, tmp_path):
    """The directed schedule: W1 frozen, its lease over, W2 running, W1 wakes and commits."""
    (task_id,) = manager.create_task([{"x": 1}])
    go = tmp_path / "go"
    code = f"""
import os, signal, sys
from pathlib import Path
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.errors import LeaseLostError
manager = TaskManager("p", store=SqliteStore({str(file_store.path)!r}), lease=0.2)
task = manager.fetch_task()
Path({str(go)!r}).touch()
os.kill(os.getpid(), signal.SIGSTOP)
refused = 0
for call in (lambda: manager.commit_task_res(task, "zombie"), lambda: manager.return_task(task),
             lambda: manager.mark_failed(task), lambda: manager.commit_task_res(task, "zombie", "part_done")):
    try:
        call()
    except LeaseLostError:
        refused += 1
renewed = manager.store.renew(manager.owner, lease=60.0)
sys.exit(refused * 10 + len(renewed))
"""
    zombie = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    until(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_STOPPED and go.exists())
    task = until(manager.fetch_task)
    zombie.send_signal(signal.SIGCONT)
    assert zombie.wait(10) == 40
    manager.commit_task_res(task, "good")
    assert manager.re_query(task_id)["res"] == "good"


def test_a_worker_that_lost_its_lease_throws_the_result_away_and_ends_the_body(manager, file_store, trusting, tmp_path):
    log, definitions = naps(tmp_path, seconds=60)
    (task_id,) = manager.create_task(definitions)
    events = []
    running = make_worker(file_store, trusting, "functions.py:nap", lease=0.3, only=[task_id], on_event=events.append)

    def steal():
        napping(log)
        manager.cancel({"_id": task_id})

    threading.Thread(target=steal).start()
    report = running.run()
    assert (report.done, report.failed) == (0, 0)
    assert "lost" in [event.kind for event in events]
    assert not [pid for pid in napping(log) if not gone(pid)]
    assert manager.task_stat() == {"cancelled": 1}


def test_an_exited_process_that_kept_its_tasks_is_found_out(manager, file_store):
    manager.create_task([{"x": 1}])
    code = f"""
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
assert TaskManager("p", store=SqliteStore({str(file_store.path)!r}), lease=3600).fetch_task() is not None
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL)
    assert manager.task_stat() == {"running": 1}
    assert manager.fetch_task()["attempts"] == 2


def test_a_forked_child_neither_speaks_for_its_parent_nor_keeps_it_alive(file_store):
    """A child that outlives its parent must not hold the lock by which the parent is known to live."""
    TaskManager("p", store=file_store).create_task([{"x": 1}])
    code = f"""
import os, time
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
manager = TaskManager("p", store=SqliteStore({str(file_store.path)!r}), lease=3600)
manager.fetch_task()
if os.fork() == 0:
    assert manager.task_stat() == {{"running": 1}}
    print(os.getpid(), flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    child = json.loads(process.stdout.readline())
    process.wait(10)
    try:
        assert file_store.reap("p") == ["1"]
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_many_processes_claim_every_task_once(file_store):
    manager = TaskManager("p", store=file_store)
    manager.create_task([{"x": number} for number in range(60)])
    code = f"""
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.worker.worker import run_task
run_task(lambda definition: definition["x"], TaskManager("p", store=SqliteStore({str(file_store.path)!r})))
"""
    workers = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(30) for process in workers] == [0, 0, 0]
    assert manager.task_stat() == {"done": 60}
    events = [row.event for row in file_store.read_history("p")]
    assert (events.count("claimed"), events.count("done")) == (60, 60)


def test_a_store_is_the_same_after_a_killed_writer(file_store):
    """What was acknowledged is there, and nothing else, whenever the writer is killed."""
    code = f"""
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.sqlite.store import SqliteStore
manager = TaskManager("p", store=SqliteStore({str(file_store.path)!r}))
for number in range(100000):
    print(manager.create_task([{{"x": number}}])[0], flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip().decode() for _ in range(30)]
    process.kill()
    acknowledged += [line.strip().decode() for line in process.stdout if line.endswith(b"\n")]
    process.wait()
    process.stdout.close()
    store = SqliteStore(file_store.path)
    present = [record.task_id for record in store.find("p")]
    store.close()
    assert set(acknowledged) <= set(present)
    assert len(present) - len(acknowledged) <= 1


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_a_slot_logs_at_the_workers_level_and_its_warnings_are_said_once(
    file_store, manager, trusting, monkeypatch, level, caplog
):
    monkeypatch.setattr(logging.getLogger("rollwright"), "level", level)
    task, *_ = manager.create_task([{"x": 3}, {"x": 33}, {"x": 333}])
    make_worker(file_store, trusting, "functions.py:complain").run()
    logged = manager.re_query(task)["res"]
    assert logged["lines"] == ["WARNING rollwright.models [slot-0]: rows_dropped rows=3"]
    assert logged["details"] is (level == logging.INFO)
    assert caplog.messages.count("rows_dropped rows=3") == 1
