"""How many connections a process has to PostgreSQL, and when they are closed."""

from __future__ import annotations

import logging
import secrets
import threading

import pytest

import postgres_server
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.core.clock import SystemClock
from rollwright.errors import StoreUnavailableError
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.urls import store_from_url

REASON = postgres_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    import psycopg

    from rollwright.pool.stores.postgres import process_pool
    from rollwright.pool.stores.postgres.address import Address
    from rollwright.pool.stores.postgres.session import session_of
    from rollwright.pool.stores.postgres.store import PostgresStore


@pytest.fixture
def named_url(postgres_url):
    """A pool whose connections the server knows apart from all others."""
    return f"{postgres_url}&application_name=t{secrets.token_hex(6)}"


@pytest.fixture
def count_open(named_url, postgres_database):
    """How many connections the server has from the test's stores."""
    name = named_url.rpartition("=")[2]
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        yield lambda: connection.execute(asked, (name,)).fetchone()[0]


def wait_until(condition, seconds=20.0):
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while not condition():
        assert clock.monotonic() < end
        clock.sleep(0.01)


def in_threads(number, act):
    failures = []

    def work(place):
        try:
            act(place)
        except Exception as error:  # noqa: BLE001 - told by the caller
            failures.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_and_stores_share_a_few(named_url, count_open):
    stores = [PostgresStore(named_url, connections=2, session=False) for _ in range(3)]
    stores[0].put("p", [NewTask.of({"x": number}) for number in range(30)])
    most = []

    def act(place):
        store = stores[place % 3]
        while leases := store.claim(ClaimRequest(pool="p", owner=f"w{place}", lease=60.0)):
            store.settle([Outcome.done(lease) for lease in leases])
            most.append(count_open())

    in_threads(9, lambda place: act(place) if place else [act(0), most.append(count_open())])
    assert 1 <= max(most) <= 2
    stores[0].close()
    assert stores[1].count("p")
    for store in stores[1:]:
        store.close()
    wait_until(lambda: count_open() == 0)


def test_one_connection_is_enough_for_everything(named_url, count_open):
    store = PostgresStore(named_url, connections=1, session=False)
    store.put("p", [NewTask.of({"x": number}) for number in range(5)])
    in_threads(5, lambda place: store.claim(ClaimRequest(pool="p", owner=f"w{place}", lease=60.0)))
    assert store.reap() == []
    assert store.pause("p")
    assert count_open() == 1
    store.close()


def test_what_nobody_uses_is_closed(named_url, count_open, monkeypatch):
    monkeypatch.setattr(process_pool, "IDLE", 0.05)
    store = PostgresStore(named_url, session=False)
    in_threads(3, lambda _: store.put("p", [NewTask.of({"x": 1})]))
    assert 1 <= count_open() <= 3
    wait_until(lambda: count_open() == 0)
    assert sum(store.count("p").values()) == 1
    store.close()


@pytest.mark.parametrize("coming", [1, 2])
def test_one_that_was_opened_while_others_came_back_does_not_stay_open(named_url, count_open, monkeypatch, coming):
    monkeypatch.setattr(process_pool, "IDLE", 0.05)
    address = Address.of(named_url)
    pool, user = process_pool.pool_of(address, most=3), threading.Event()
    lent = [pool.borrow(user, address.connect) for _ in range(coming)]
    for one in lent:
        one.__enter__()

    def open_one():
        opened = address.connect()
        for one in lent:
            one.__exit__(None, None, None)
        return opened

    with pool.borrow(user, open_one):
        wait_until(lambda: count_open() == 1)
    pool.close()
    wait_until(lambda: count_open() == 0)


def test_without_a_session_leases_decide_and_who_waits_looks(named_url, count_open):
    store = PostgresStore(named_url, session=False)
    assert (store.traits.can_notify, store.traits.knows_dead_owners) == (False, False)
    store.put("p", [NewTask.of({"x": 1})])
    store.claim(ClaimRequest(pool="p", owner="w", lease=60.0))
    assert store._rows("SELECT process FROM task") == [(None,)]
    waker = store.waker("p")
    store.put("p", [NewTask.of({"x": 2})])
    assert waker.wait(10.0)
    waker.close()
    assert count_open() == 1
    store.close()


def test_the_settings_say_how_many_and_whether_there_is_a_session(named_url):
    settings = load_settings({"pool.connections": 2, "pool.session": False})
    with using(settings):
        store = store_from_url(named_url)
    assert not store.traits.can_notify
    assert store._connections._shared._most == 2
    store.close()


def test_with_a_session_there_is_one_more(named_url, count_open):
    store = PostgresStore(named_url)
    store.put("p", [NewTask.of({"x": 1})])
    store.claim(ClaimRequest(pool="p", owner="w", lease=60.0))
    assert count_open() == 2
    store.close()
    wait_until(lambda: count_open() == 1)
    assert session_of(store._address).number() is not None


def test_a_broken_connection_is_replaced_without_a_word_of_the_library(named_url, count_open, caplog):
    caplog.set_level(logging.WARNING)
    store = PostgresStore(named_url, session=False)
    store.put("p", [NewTask.of({"x": 1})])
    (pid,) = store._rows("SELECT pg_backend_pid()")[0]
    with psycopg.connect(named_url.partition("?")[0], autocommit=True) as knife:
        knife.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    assert store.put("p", [NewTask.of({"x": 2})]).created == 1
    assert count_open() == 1
    assert caplog.records == []
    store.close()


def test_who_cannot_connect_is_told_why_at_once(postgres_url, caplog):
    caplog.set_level(logging.WARNING)
    began = SystemClock().monotonic()
    with pytest.raises(StoreUnavailableError, match="no_such_role"):
        PostgresStore(postgres_url.replace("rollwright@", "no_such_role@")).count("p")
    assert SystemClock().monotonic() - began < 5.0
    assert caplog.records == []
