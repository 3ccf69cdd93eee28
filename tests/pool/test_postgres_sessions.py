"""Many clients of one PostgreSQL pool: clocks, leases, sessions, deaths, and who is woken."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time as real_time
from contextlib import closing

import pytest

import postgres_server
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome
from rollwright.pool.worker.wakeup import StoreListener
from rollwright.pool.worker.worker import TaskFunction, Worker

REASON = postgres_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    import psycopg

    from rollwright.pool.stores.postgres.address import _SETTINGS as postgres_settings
    from rollwright.pool.stores.postgres.session import ServerSession, session_of
    from rollwright.pool.stores.postgres.store import PostgresStore

LEASE = 60.0


def new(*names, **fields):
    return [NewTask.of({"name": name, **fields}) for name in names]


def request(owner="w", **fields):
    return ClaimRequest(pool="p", owner=owner, lease=fields.pop("lease", LEASE), **fields)


@pytest.fixture
def server_store(postgres_url):
    """A pool on the server's clock."""
    store = PostgresStore(postgres_url)
    yield store
    store.close()


def together(number, act):
    barrier = threading.Barrier(number)
    failures = []

    def work(place):
        barrier.wait()
        try:
            act(place)
        except Exception as error:  # noqa: BLE001 - told by the caller
            failures.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


# -- many clients ------------------------------------------------------------------------------------------------------


def test_i8_sixteen_clients_put_the_same_thousand_tasks_once(postgres_url):
    tasks = [NewTask.of({"x": number}) for number in range(1000)]
    stores = [PostgresStore(postgres_url) for _ in range(16)]
    answers = {}

    def put(place):
        mine = tasks[:]
        random.Random(place).shuffle(mine)
        result = stores[place].put("p", mine)
        answers[place] = (dict(zip([task.fingerprint for task in mine], result.ids, strict=True)), result.created)

    assert together(16, put) == []
    assert stores[0].count("p")[Status.WAITING] == 1000
    assert len(stores[0].read_history("p")) == 1000
    assert all(ids == answers[0][0] for ids, _ in answers.values())
    assert sum(created for _, created in answers.values()) == 1000
    for store in stores:
        store.close()


def test_claims_and_changes_by_hand_at_once_do_not_fail(postgres_url):
    """Whoever locks many tasks meets those who lock them in another order: what the server breaks up is done again."""
    stores = [PostgresStore(postgres_url) for _ in range(4)]
    stores[0].put("p", new(*[f"n{number}" for number in range(60)]))

    def act(place):
        for turn in range(8):
            if place == 0:
                stores[0].amend("p", None, Amendment(priority=turn))
            elif place == 1:
                stores[1].amend("p", parse({"status": "running"}), Amendment(status=Status.WAITING))
            else:
                leases = stores[place].claim(request(owner=f"w{place}", limit=20))
                stores[place].settle([Outcome.released(lease) for lease in reversed(leases)], claim=request(limit=5))

    assert together(4, act) == []
    assert sum(stores[0].count("p").values()) == 60
    for store in stores:
        store.close()


# -- clocks, leases, sessions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1])
def test_i7_a_worker_whose_clock_is_wrong_changes_nothing(postgres_url, hours):
    program = """
import sys, time
from datetime import UTC, datetime, timedelta
from rollwright.core import clock
clock.SystemClock.now = lambda self: datetime.now(UTC) + timedelta(hours=int(sys.argv[2]))
real = time.time
time.time = lambda: real() + 3600 * int(sys.argv[2])
from rollwright.pool.store import ClaimRequest, NewTask
from rollwright.pool.stores.postgres.store import PostgresStore
store = PostgresStore(sys.argv[1])
store.put("p", [NewTask.of({"by": "skewed"}, delay=1800.0)])
print(len(store.claim(ClaimRequest(pool="p", owner="skewed", lease=60.0, limit=9))), store.reap())
"""
    store = PostgresStore(postgres_url)
    store.put("p", new("held", "free"))
    (held,) = store.claim(request())
    before = store._rows("SELECT extract(epoch FROM clock_timestamp())::double precision")[0][0]
    done = subprocess.run(
        [sys.executable, "-c", program, postgres_url, str(hours)], capture_output=True, text=True, check=True
    )
    after = store._rows("SELECT extract(epoch FROM clock_timestamp())::double precision")[0][0]
    assert done.stdout.split("\n")[0] == "1 []"
    for record in store.find("p", parse({"owner": "skewed"})):
        assert before + 60 <= record.lease_until <= after + 60
    (delayed,) = store.find("p", parse({"def.by": "skewed"}))
    assert before + 1800 <= delayed.run_at <= after + 1800
    store.settle([Outcome.done(held)]).check()
    store.close()


@pytest.mark.crash
def test_a_killed_workers_task_is_free_within_two_seconds(postgres_url):
    store = PostgresStore(postgres_url)
    store.put("p", new("a"))
    with held_by_another_process(postgres_url) as worker:
        assert store.reap() == []
        worker.kill()
    start = real_time.monotonic()
    while not store.reap():
        assert real_time.monotonic() - start < 2.0
    assert len(store.claim(request())) == 1
    assert real_time.monotonic() - start < 2.0
    store.close()


def held_by_another_process(url, *, lease=600.0, then="input()"):
    program = f"""
import sys
from rollwright.pool.store import Amendment, ClaimRequest, Outcome
from rollwright.pool.stores.postgres.store import PostgresStore
store = PostgresStore(sys.argv[1])
(lease,) = store.claim(ClaimRequest(pool="p", owner="other", lease={lease}))
print("claimed", flush=True)
{then}
"""
    worker = subprocess.Popen(
        [sys.executable, "-c", program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout.readline() == "claimed\n"
    return worker


def test_a_store_that_is_closed_still_holds_its_tasks(server_store, postgres_url):
    other = PostgresStore(postgres_url)
    server_store.put("p", new("a"))
    other.claim(request())
    other.close()
    assert server_store.reap() == []


def test_a_process_that_lost_only_its_connection_is_not_taken_for_dead(server_store):
    server_store.put("p", new("a"))
    (lease,) = server_store.claim(request())
    session = session_of(server_store._address)
    number = session.number()
    server_store._rows(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND"
        " (classid::bigint << 32 | objid::bigint) = %(number)s",
        number=number,
    )
    assert server_store.reap() == []
    assert session.number() == number
    server_store.settle([Outcome.done(lease)]).check()


def test_a_forked_child_neither_ends_nor_keeps_its_parents_sessions(server_store):
    server_store.put("p", new("a", "b"))
    (mine,) = server_store.claim(request())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            (lease,) = server_store.claim(request(owner="child"))
            os.write(writer, lease.task_id.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    assert theirs not in ("", mine.task_id)
    freed, end = [], real_time.monotonic() + 10.0
    while not freed and real_time.monotonic() < end:  # a busy server takes a moment to end the child's session
        freed = server_store.reap()
    assert freed == [theirs]
    server_store.settle([Outcome.done(mine)]).check()


def test_who_another_run_of_the_server_knew_is_judged_by_its_lease_alone(server_store):
    """After a restart or a fail-over a living process may not have noticed yet that it has to connect anew."""
    server_store.put("p", new("a"))
    server_store.claim(request())
    number = session_of(server_store._address).number()
    server_store._rows("UPDATE task SET process = %(other)s", other=number + 1)  # of another run of the server
    assert server_store.reap() == []
    server_store._rows("UPDATE task SET process = %(gone)s", gone=number + (1 << 15))  # of this one, and not there
    assert len(server_store.reap()) == 1


def test_a_session_that_the_server_takes_to_be_there_still_is_ended_by_its_successor(server_store, monkeypatch):
    """As after a partition: this process gave its connection up, and the server never heard of it."""
    server_store.put("p", new("a"))
    server_store.claim(request())
    mark = session_of(server_store._address).number() % (1 << 15)
    monkeypatch.setattr("rollwright.pool.stores.postgres.session.secrets.randbits", lambda _: 4711)
    with server_store._address.connect() as unheard_of:
        unheard_of.execute("SELECT pg_advisory_lock(%s)", [(4711 << 15) + mark])
        successor = ServerSession(server_store._address)
        try:
            assert successor.number() == (4711 << 15) + mark
        finally:
            successor.close()
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            unheard_of.execute("SELECT 1")


def test_what_a_frozen_process_locked_in_a_transaction_is_free_again_and_the_process_starts_it_anew(
    server_store, postgres_url, monkeypatch
):
    server_store.put("p", new("a"))
    assert server_store._rows("SHOW idle_in_transaction_session_timeout") == [("30s",)]
    monkeypatch.setitem(postgres_settings, "idle_in_transaction_session_timeout", "300")
    froze = []

    def work(connection):
        rows = connection.execute("SELECT id FROM task FOR UPDATE").fetchall()
        if not froze:  # for as long as others wait for what it locked
            froze.append(True)
            assert server_store.claim(request()) == []
            end = real_time.monotonic() + 10
            while not (leases := server_store.claim(request())):
                assert real_time.monotonic() < end, "the task is locked for as long as the process is frozen"
            server_store.settle([Outcome.released(lease) for lease in leases])
        return connection.execute("SELECT count(*) FROM task WHERE id = %s", rows[0]).fetchall()

    with closing(PostgresStore(f"{postgres_url}&application_name=frozen")) as frozen:  # a connection of its own
        assert frozen._connections.write(work) == [(1,)]


def test_a_host_that_is_gone_is_given_up_within_seconds_and_a_standby_among_several_is_passed_over(postgres_url):
    with closing(PostgresStore(postgres_url)) as store, store._address.connect() as connection:
        assert connection.info.get_parameters()["tcp_user_timeout"] == "10000"
        assert "target_session_attrs" not in connection.info.get_parameters()
        port = connection.info.port
    several = postgres_url.replace(f"127.0.0.1:{port}", f"127.0.0.1:{port},127.0.0.1:{port}")
    with closing(PostgresStore(several)) as store, store._address.connect() as connection:
        assert connection.info.get_parameters()["target_session_attrs"] == "read-write"
        assert connection.info.get_parameters()["connect_timeout"] == "3"


def test_a_broken_session_rings_for_what_was_missed(server_store):
    waker = server_store.waker("p")
    assert not waker.wait(0)
    server_store._rows(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND"
        " (classid::bigint << 32 | objid::bigint) = %(number)s",
        number=session_of(server_store._address).number(),
    )
    assert waker.wait(10)
    waker.close()


# -- whole workers -----------------------------------------------------------------------------------------------------


def test_a_worker_with_slots_works_through_a_pool_on_the_server(server_store, trusting):
    server_store.put("p", [NewTask.of({"x": number}) for number in range(12)])
    worker = Worker(
        store=server_store,
        pool="p",
        function=TaskFunction(entry="functions.py:double"),
        slots=2,
        lease=LEASE,
        settings=trusting,
    )
    assert worker.run().done == 12
    assert {record.result for record in server_store.find("p")} == {str(2 * number) for number in range(12)}


def test_an_idle_worker_on_the_server_is_woken(server_store, postgres_url, trusting, monkeypatch):
    listening = threading.Event()
    start = StoreListener.start

    def note_start(listener):
        started = start(listener)
        if started:
            listening.set()
        return started

    monkeypatch.setattr(StoreListener, "start", note_start)
    worker = Worker(
        store=server_store,
        pool="p",
        function=TaskFunction(entry="functions.py:double"),
        slots=1,
        lease=LEASE,
        settings=trusting,
        until_empty=False,
        poll=3600.0,  # it looks by itself when this test is long over
        on_event=lambda event: worker.stop() if event.kind == "done" else None,
    )
    running = threading.Thread(target=worker.run)
    running.start()
    assert listening.wait(120)
    other = PostgresStore(postgres_url)
    other.put("p", [NewTask.of({"x": 4})])
    running.join(120)
    assert not running.is_alive()
    assert other.count("p")[Status.DONE] == 1
    other.close()
