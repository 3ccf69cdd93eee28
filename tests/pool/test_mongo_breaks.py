"""Connections cut on the way to MongoDB's wire: before the server reads, and after it did, before it is heard."""

from __future__ import annotations

import collections
import contextlib
import random
import socket
import threading

import pytest

from crash_size import sized
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.mongo.store import MongoStore


class Cutter:
    """A proxy that now and then closes a connection: before it passes a question on, or instead of its answer."""

    def __init__(self, target, generator):
        self._target = target
        self._generator = generator
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.rate = 0.0
        self.cuts = collections.Counter()
        self._open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open |= {client, server}
            threading.Thread(target=self._forward, args=(client, server, "question"), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, "answer"), daemon=True).start()

    def _forward(self, source, target, what):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self._generator.random() < self.rate:
                    self.cuts[what] += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in [*self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class NoWaiting:
    monotonic = staticmethod(lambda: 1.0)
    sleep = staticmethod(lambda seconds: None)


@pytest.mark.parametrize("count", [30, pytest.param(sized(600, 150), id="whole", marks=pytest.mark.crash)])
def test_i14_cut_connections_lose_nothing_acknowledged_and_commit_nothing_twice(mongo_url, count):
    place, _, name = mongo_url.removeprefix("mongodb://").rpartition("/")
    host, _, port = place.rpartition(":")
    cutter = Cutter((host, int(port)), random.Random(5))
    store = MongoStore(f"mongodb://127.0.0.1:{cutter.port}/{name}", waiting=NoWaiting(), timeout=10)
    acknowledged = {}
    refused = collections.Counter()
    try:
        ids = store.put("p", [NewTask.of({"x": number}, max_attempts=1000) for number in range(count)]).ids
        cutter.rate = 0.03
        while len(acknowledged) < count:
            try:
                leases = store.claim(ClaimRequest(pool="p", owner="w", lease=600))
                for lease in leases:
                    settlement = store.settle([Outcome.done(lease, result=str(lease.token))])
                    for task_id in settlement.statuses:
                        acknowledged[task_id] = lease.token
                    refused["refused"] += len(settlement.refused)
                if not leases:
                    store.renew("w", lease=600)  # gives back what was taken unseen
                    if store.count("p")[Status.WAITING] == 0:
                        break
            except Exception as error:  # noqa: BLE001 - as a worker meets it: it goes on with the next
                refused[type(error).__name__] += 1
        cutter.rate = 0.0
        assert sum(cutter.cuts.values()) >= count * 0.05
        done = {record.task_id: record for record in store.find("p", None) if record.status is Status.DONE}
        assert set(acknowledged) <= set(done), "nothing acknowledged is lost"
        assert all(done[task_id].result == str(token) for task_id, token in acknowledged.items())
        events = collections.Counter((row.task_id, row.event) for row in store.read_history("p"))
        assert [events[task_id, "done"] for task_id in ids] == [int(task_id in done) for task_id in ids]
        # What is not done is held by an owner who does not know it, or waits: nothing is in between.
        assert sum(store.count("p").values()) == count
        assert len(done) >= count - refused.total()
        assert refused["refused"] == 0, "what was accepted is never refused to the one it was accepted from"
    finally:
        store.close()
        cutter.close()
