"""A worker of which the MongoDB server hears nothing for a while: its connections stay open, and nothing passes."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash_size import sized
from host_workers import HostWorkers, check_kept, wait_until
from rollwright.pool.states import Status
from rollwright.pool.store import NewTask
from rollwright.pool.stores.mongo.store import MongoStore

pytestmark = pytest.mark.crash


class Cable:
    """A way to a server that can be cut off: what is sent waits, and nobody is told."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._whole = threading.Event()
        self._whole.set()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole.clear()

    def heal(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self._whole.set()
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for end in [*self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
                self._whole.wait()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._open |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._whole.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)


@pytest.fixture
def cable(mongo_url: str) -> Iterator[Cable]:
    host, _, port = mongo_url.split("/")[2].partition(":")
    found = Cable(host, int(port))
    yield found
    found.close()


@pytest.fixture
def truth(mongo_url: str) -> Iterator[MongoStore]:
    with contextlib.closing(MongoStore(mongo_url)) as store:
        yield store


def through(cable: Cable, url: str) -> str:
    host = url.split("/")[2]
    return url.replace(host, f"127.0.0.1:{cable.port}", 1)


@pytest.mark.parametrize("outlived", [False, True], ids=["shorter_than_its_lease", "longer_than_its_lease"])
def test_a_worker_that_is_cut_off_keeps_its_task_for_its_lease_and_no_longer(
    mongo_url: str,
    cable: Cable,
    truth: MongoStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    outlived: bool,
) -> None:
    away = sized(60, 10)
    lease = away / 3 if outlived else away * 3
    (first,) = truth.put("p", [NewTask.of({"x": 0, "seconds": 2.0}, max_attempts=9)]).ids
    with HostWorkers(None, mongo_url, tmp_path, lease=lease, seconds=0.05) as workers:
        workers.start("away", url=through(cable, mongo_url))
        wait_until(lambda: truth.stat("p").counts[Status.RUNNING] == 1, seconds=30, workers=workers)
        cable.cut()
        cut = time.time()
        workers.start("here")
        time.sleep(away)
        cable.heal()
        wait_until(lambda: any(told.worker == "away" for told in workers.told()), seconds=90, workers=workers)
        wait_until(lambda: truth.stat("p").counts[Status.DONE] == 1, seconds=60, workers=workers)

        events = check_kept(truth, workers, 1)
    (record,) = truth.get("p", [first])
    told = [one.what for one in workers.told() if one.worker == "away"]
    with capsys.disabled():
        sys.stdout.write(f"\nmongodb: cut off for {away} s, lease {lease:.0f} s: {dict(events)}, {told}\n")
    if outlived:
        (reaped,) = (row for row in truth.read_history("p") if row.event == "reaped")
        assert reaped.at - cut > lease * 2 / 3 - 1
        assert told == ["refused"]
        assert record.result == '"here"'
    else:
        assert events["reaped"] == 0
        assert told == ["done"]
        assert record.attempts == 1
