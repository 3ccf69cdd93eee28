"""What a worker listens to, and what a task may take."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from rollwright.core.memory import process_memory
from rollwright.errors import StoreUnavailableError
from rollwright.pool.manager import TaskManager
from rollwright.pool.store import NewTask
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.worker import slots as slots_module
from rollwright.pool.worker.backoff import Backoff
from rollwright.pool.worker.task_function import TaskFunction
from rollwright.pool.worker.wakeup import SignalHandler, StoreListener, WakeupPipe
from rollwright.pool.worker.worker import Worker

QUICK = Backoff(base=0.01, cap=0.01)


@pytest.fixture
def manager(file_store):
    return TaskManager("p", store=file_store, max_attempts=2)


def worker(store, trusting, entry="functions.py:double", **given):
    return Worker(
        store=store,
        pool="p",
        function=TaskFunction(entry=entry),
        slots=1,
        lease=60,
        settings=trusting,
        backoff=QUICK,
        **given,
    )


def test_an_idle_worker_is_woken_by_what_is_put(manager, trusting):
    running = worker(manager.store, trusting, until_empty=False, poll=3600)
    thread = threading.Thread(target=running.run)
    thread.start()
    (first,) = manager.create_task([{"x": 1}])
    manager.wait(timeout=20)
    manager.pause()
    (second,) = manager.create_task([{"x": 2}])
    manager.resume()
    manager.wait(timeout=20)
    running.stop()
    thread.join(20)
    assert [manager.re_query(task_id)["res"] for task_id in (first, second)] == [2, 4]


@pytest.mark.skipif(process_memory(os.getpid()) is None, reason="the system does not tell what a process takes")
def test_a_task_beyond_its_memory_has_failed_and_the_others_go_on(manager, trusting):
    ids = manager.create_task([{"mb": 600}, {"mb": 1}])
    limited = worker(manager.store, trusting, "functions.py:hog", memory=0.3)
    report = limited.run()
    assert (report.done, report.failed) == (1, 1)
    task = manager.re_query(ids[0])
    assert task["error"].startswith("out of memory: its process took ")
    assert task["error"].endswith("0.3 GB are allowed")
    assert [row.event for row in manager.store.read_history("p", ids[:1])] == [
        "created", "claimed", "retry", "claimed", "failed",
    ]  # fmt: skip


def test_the_settings_limit_what_a_task_may_take(manager, trusting, monkeypatch):
    manager.create_task([{"seconds": 60, "log": os.devnull}])
    limited = trusting.with_values({"worker.task_timeout": 0.2}, origin="test")
    assert worker(manager.store, limited, "functions.py:nap").run().failed == 1
    assert "no result within 0.2 s" in next(manager.query())["error"]
    monkeypatch.setattr(slots_module, "process_memory", lambda pid: 10**12)
    limited = trusting.with_values({"worker.task_memory": 100}, origin="test")
    manager.reset_status({"status": "failed"}, "waiting")
    assert worker(manager.store, limited, "functions.py:nap").run().failed == 1
    assert "out of memory" in next(manager.query())["error"]


def test_a_signal_that_was_inherited_ignored_stays_ignored():
    told = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` runs the tests with it ignored
    try:
        with SignalHandler(lambda: told.append(1)):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
            assert told == []
            signal.raise_signal(signal.SIGHUP)
        assert told == [1]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGHUP, hangup)


def test_elsewhere_than_in_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def look():
        with SignalHandler(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_store_that_cannot_be_listened_to_is_told_and_does_no_harm(caplog):
    class Deaf(MemoryStore):
        def waker(self, pool, *, topic="work"):
            raise StoreUnavailableError("no listening")

    listener = StoreListener(Deaf(), "p", notify=lambda: None)
    assert not listener.start()
    listener.close()
    assert "store.not_listening pool=p error=no listening" in caplog.text


def test_a_store_that_goes_away_while_one_listens_is_told(caplog):
    class Leaving(MemoryStore):
        def waker(self, pool, *, topic="work"):
            listener = super().waker(pool, topic=topic)

            def wait(_timeout):
                raise StoreUnavailableError("gone")

            listener.wait = wait
            return listener

    listener = StoreListener(Leaving(), "p", notify=lambda: None)
    assert listener.start()
    assert not listener.start()
    listener._thread.join()  # so that it has logged
    listener.close()
    assert "error=gone" in caplog.text


def test_what_is_put_while_a_worker_begins_to_listen_is_not_missed(trusting):
    """Nobody was notified of it: the worker has to look once more before it waits."""

    class Late(MemoryStore):
        def waker(self, pool, *, topic="work"):
            if topic == "work":
                self.put(pool, [NewTask.of({"x": 1})])
            return super().waker(pool, topic=topic)

    store, done = Late(), threading.Event()
    running = Worker(
        store=store,
        pool="p",
        function=TaskFunction(entry="functions.py:double"),
        slots=1,
        lease=3600,
        poll=3600,
        until_empty=False,
        settings=trusting,
        on_event=lambda event: done.set() if event.kind == "done" else None,
    )
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        assert done.wait(20)
    finally:
        running.stop()
        thread.join(20)


def test_a_wakeup_never_blocks():
    pipe = WakeupPipe()
    for _ in range(70_000):
        pipe.wake()
    pipe.drain()
    pipe.close()


def test_a_worker_takes_only_tasks_with_its_tags(manager, trusting):
    ids = manager.create_task(
        [{"x": 1}, {"x": 2, "tags": {"gpu": True}}, {"x": 3, "tags": {"gpu": False}}, {"x": 4, "tags": {"gpu": "a100"}}]
    )
    assert worker(manager.store, trusting, tags=["gpu"]).run().done == 2
    assert [task["_id"] for task in manager.query({"status": "done"})] == [ids[1], ids[3]]


def test_a_worker_says_once_that_the_pool_is_paused_and_waits(manager, trusting, caplog):
    manager.create_task([{"x": 1}])
    manager.pause()
    looks = []
    real = manager.store.stat

    def stat(pool):
        looks.append(pool)
        if len(looks) == 3:
            manager.resume()
        return real(pool)

    manager.store.stat = stat
    assert worker(manager.store, trusting).run().done == 1
    assert caplog.text.count("rollwright pool resume p") == 1
