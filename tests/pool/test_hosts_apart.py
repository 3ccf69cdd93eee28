"""Hosts of their own, in network namespaces: cut off, an hour apart, and with a database that fails over."""

from __future__ import annotations

import collections
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import network_hosts
import postgres_server
from crash_size import sized
from host_workers import HostWorkers, check_kept, wait_until
from network_hosts import Network, shift_clock
from postgres_server import PostgresServer
from postgres_standby import PostgresStandby
from rollwright.pool.states import Status
from rollwright.pool.store import NewTask, PoolStore
from rollwright.pool.urls import store_from_url

_REASON = network_hosts.missing() or postgres_server.missing()
pytestmark = [pytest.mark.crash, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

_RULES = ("host all all 10.77.0.0/24 trust", "host replication all 10.77.0.0/24 trust")
_OPEN = {"listen_addresses": "'*'"}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(["db1", "db2", "w1", "w2", "w3"]) as hosts:
        yield hosts


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a short name: those of Unix sockets have at most a hundred characters."""
    path = Path(tempfile.mkdtemp(prefix="rw-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def start_server(network: Network, folder: Path, **settings: str) -> PostgresServer:
    with network.inside("db1"):
        server = PostgresServer(folder / "db1", settings={**_OPEN, **settings}, rules=_RULES)
        server.start()
    return server


@pytest.fixture
def server(network: Network, folder: Path) -> Iterator[PostgresServer]:
    found = start_server(network, folder)
    yield found
    for host in ("w1", "w2", "db1"):
        network.heal(host)
    found.remove()


@pytest.fixture
def truth(server: PostgresServer) -> Iterator[PoolStore]:
    """The pool as the server knows it, whatever becomes of the network."""
    with closing(store_from_url(server.local_url("postgres"))) as store:
        yield store


def pool_url(network: Network, server: PostgresServer) -> str:
    return f"postgresql://rollwright@{network.address('db1')}:{server.port}/postgres"


def put(store: PoolStore, count: int, **definition: Any) -> list[str]:
    tasks = [NewTask.of({"x": number, **definition}, max_attempts=100) for number in range(count)]
    return [*store.put("p", tasks).ids]


def counts(store: PoolStore) -> collections.Counter[Status]:
    return +collections.Counter(store.stat("p").counts)


def owner_of(store: PoolStore, task_id: str) -> str | None:
    (record,) = store.get("p", [task_id])
    return record.owner


def tell(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")


def test_a_live_worker_that_is_cut_off_for_less_than_its_lease_keeps_its_task(
    network: Network, server: PostgresServer, truth: PoolStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away, lease = sized(60, 15), sized(120, 30)
    (first,) = put(truth, 1, seconds=1.0)
    with HostWorkers(network, pool_url(network, server), tmp_path, lease=lease, seconds=0.05) as workers:
        workers.start("w1", host="w1")
        wait_until(lambda: counts(truth)[Status.RUNNING] == 1, seconds=30, workers=workers)
        network.cut("w1")
        put(truth, 50, more=True)
        workers.start("w2", host="w2")
        wait_until(lambda: counts(truth)[Status.DONE] == 50, seconds=30, workers=workers)
        time.sleep(away)
        assert counts(truth) == {Status.DONE: 50, Status.RUNNING: 1}
        network.heal("w1")
        seconds = wait_until(lambda: counts(truth)[Status.DONE] == 51, seconds=60, workers=workers)

        events = check_kept(truth, workers, 51)
        assert events["reaped"] == 0
        assert truth.get("p", [first])[0].attempts == 1
    tell(capsys, f"cut off for {away} s: its result was kept {seconds:.1f} s after the network was back")
    assert seconds < 15


def test_a_worker_that_is_cut_off_for_longer_than_its_lease_loses_its_task_then_and_its_result_is_refused(
    network: Network, server: PostgresServer, truth: PoolStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away, lease = sized(60, 12), sized(20, 4)
    (first,) = put(truth, 1, seconds=2.0)
    with HostWorkers(network, pool_url(network, server), tmp_path, lease=lease, seconds=0.05) as workers:
        workers.start("w1", host="w1")
        wait_until(lambda: counts(truth)[Status.RUNNING] == 1, seconds=30, workers=workers)
        network.cut("w1")
        cut = time.time()
        workers.start("w2", host="w2")
        time.sleep(away)
        network.heal("w1")
        wait_until(lambda: any(told.worker == "w1" for told in workers.told()), seconds=60, workers=workers)
        wait_until(lambda: counts(truth)[Status.DONE] == 1, seconds=60, workers=workers)

        events = check_kept(truth, workers, 1)
        (reaped,) = (row for row in truth.read_history("p") if row.event == "reaped")
        assert events["claimed"] == 2
        assert [told.what for told in workers.told() if told.worker == "w1"] == ["refused"]
        assert truth.get("p", [first])[0].result == '"w2"'
    after = reaped.at - cut
    tell(
        capsys, f"cut off for {away} s, lease {lease} s: run again {after:.1f} s after the cut, its own commit refused"
    )
    assert after > lease * 2 / 3 - 1  # it had renewed at most a third of a lease before it was cut off


def test_clocks_an_hour_apart_let_nobody_lose_a_task(
    network: Network, server: PostgresServer, truth: PoolStore, tmp_path: Path
) -> None:
    count = sized(200, 40)
    put(truth, count)
    put(truth, 3, seconds=7.0)
    with HostWorkers(network, pool_url(network, server), tmp_path, lease=3.0, seconds=0.1) as workers:
        workers.start("ahead", host="w1", environ=shift_clock(3600, folder=tmp_path))
        workers.start("behind", host="w2", environ=shift_clock(-3600, folder=tmp_path))
        workers.start("right", host="w3")
        wait_until(lambda: counts(truth)[Status.DONE] == count + 3, seconds=180, workers=workers)

        events = check_kept(truth, workers, count + 3)
        assert events["reaped"] == 0
        assert events["claimed"] == count + 3
        shifts = {told.worker: round((told.at - time.time()) / 3600) for told in workers.told()}
        assert shifts == {"ahead": 1, "behind": -1, "right": 0}
        assert max(abs(row.at - time.time()) for row in truth.read_history("p")) < 600


def test_a_database_that_fails_over_to_its_standby_loses_nothing_it_accepted(
    network: Network, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The primary's host is gone without a word: no connection is closed. Nobody who lives loses a task."""
    count = sized(2000, 300)
    primary = start_server(network, folder, synchronous_standby_names="'*'", wal_level="replica")
    with network.inside("db2"):
        standby = PostgresStandby(
            folder / "db2", primary=network.address("db1"), port=primary.port,
            settings={**_OPEN, "synchronous_standby_names": "''"},
        )  # fmt: skip
        standby.start()
    try:
        places = f"{network.address('db1')}:{primary.port},{network.address('db2')}:{standby.port}"
        url = f"postgresql://rollwright@{places}/postgres"
        with closing(store_from_url(primary.local_url("postgres"))) as store:
            put(store, count)
            put(store, 2, seconds=20.0)
            with HostWorkers(network, url, tmp_path, lease=90.0, seconds=0.05) as workers:
                for host in ("w1", "w2", "w3"):
                    workers.start(host, host=host)
                wait_until(lambda: counts(store)[Status.DONE] > count // 4, seconds=120, workers=workers)
                network.cut("db1")
                primary.crash()
                gone = time.monotonic()
                standby.promote()
                with closing(store_from_url(standby.local_url("postgres"))) as truth:
                    before = counts(truth)[Status.DONE]
                    wait_until(lambda: counts(truth)[Status.DONE] > before, seconds=60, workers=workers)
                    went_on = time.monotonic() - gone
                    wait_until(lambda: counts(truth)[Status.DONE] == count + 2, seconds=240, workers=workers)

                    events = check_kept(truth, workers, count + 2)
                    assert events["reaped"] == 0, "no live worker was taken for dead"
                    assert len([told for told in workers.told() if told.what == "done"]) == count + 2
        tell(
            capsys, f"failed over with {before} of {count} tasks done: workers went on after {went_on:.1f} s; {events}"
        )
        assert went_on < 60
    finally:
        network.heal("db1")
        primary.remove()
        standby.remove()
