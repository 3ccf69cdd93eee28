"""A server that is stopped under a worker, for longer than the adapter itself is patient."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

import postgres_server
from rollwright.errors import StoreUnavailableError
from rollwright.pool.manager import TaskManager
from rollwright.pool.worker.worker import TaskFunction, Worker

REASON = postgres_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    from rollwright.pool.stores.postgres.session import close_sessions
    from rollwright.pool.stores.postgres.store import PostgresStore


@pytest.fixture
def own_server():
    """A durable server that may be crashed."""
    server = postgres_server.PostgresServer(Path(tempfile.mkdtemp(prefix="rollwright-pg-away-")))
    server.start()
    yield server
    close_sessions()
    server.remove()


def test_a_worker_that_starts_while_the_server_restarts_waits_for_it(own_server, trusting, tmp_path):
    url = postgres_server.new_database(own_server.url("postgres"))
    store = PostgresStore(url, patience=0.2)
    (task_id,) = TaskManager("p", store=store).create_task([{"x": 1, "log": str(tmp_path / "naps.log"), "seconds": 0}])
    store.close()
    close_sessions()
    own_server.stop()
    over = threading.Event()

    def bring_back():
        own_server.start()  # it ends with the thread that started it
        over.wait()

    def note(event):
        if event.kind == "store away":
            threading.Thread(target=bring_back, daemon=True).start()

    started = PostgresStore(url, patience=0.2)  # as a new process has it: no connection was ever made
    worker = Worker(
        store=started,
        pool="p",
        function=TaskFunction(entry="functions.py:nap"),
        slots=1,
        lease=30.0,
        settings=trusting,
        on_event=note,
    )
    assert worker.run().done == 1
    assert started.get("p", [task_id])[0].attempts == 1
    started.close()
    over.set()


@pytest.mark.parametrize(
    ("address", "may_return"),
    [
        ("postgresql://127.0.0.1:1/database", True),
        ("postgresql:///database?host=/nowhere", True),
        ("postgresql://no-such-host.invalid/database", False),
    ],
)
def test_only_an_address_that_can_be_found_is_waited_for(address, may_return, time, unknown_hosts):
    store = PostgresStore(address, patience=60.0)
    store._connections._clock = time
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="failed") as caught:
        store.count("p")
    assert caught.value.may_return is may_return
    assert (time.monotonic() - began >= 5.0) is may_return
    assert time.monotonic() - began < 6.0  # whoever asks, a person perhaps, is told soon


def test_what_the_server_refuses_is_told_at_once(own_server, time):
    for url in (own_server.url("no_such_database"), own_server.url("postgres", user="nobody")):
        store = PostgresStore(url, patience=60.0)
        store._connections._clock = time
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="does not exist") as caught:
            store.count("p")
        assert not caught.value.may_return
        assert time.monotonic() == began


def test_a_worker_goes_on_when_the_server_comes_back(own_server, trusting, tmp_path):
    url = postgres_server.new_database(own_server.url("postgres"))
    store = PostgresStore(url, patience=0.2)
    manager = TaskManager("p", store=store)
    log = tmp_path / "naps.log"
    ids = manager.create_task([{"x": number, "log": str(log), "seconds": 0.3} for number in range(4)])
    away, gone, over = [], threading.Event(), threading.Event()

    def bring_back():
        over.wait(1.0)
        own_server.start()  # it ends with the thread that started it
        over.wait()

    def note(event):
        if event.kind == "started" and not gone.is_set():
            gone.set()
            own_server.stop(mode="immediate")
        away.append(event.kind)
        if event.kind == "store away":  # its tasks end meanwhile, and cannot be committed
            threading.Thread(target=bring_back, daemon=True).start()

    worker = Worker(
        store=store,
        pool="p",
        function=TaskFunction(entry="functions.py:nap"),
        slots=2,
        lease=30.0,
        settings=trusting,
        on_event=note,
    )
    report = worker.run()
    assert report.done == 4
    assert (away.count("store away"), away.count("store back")) == (1, 1)
    commits = [row.task_id for row in store.read_history("p") if row.event == "done"]
    assert sorted(commits) == sorted(ids)
    assert len(log.read_text().splitlines()) == 4  # nothing was run twice
    store.close()
    over.set()
