"""A server that is stopped under a worker, for longer than the adapter itself is patient."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

import postgres_server
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
