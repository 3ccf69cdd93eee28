"""A pool through PgBouncer in transaction mode: the shipped suite, what a session would have given, and cuts."""

from __future__ import annotations

import collections
import logging
import threading

import pytest

import pgbouncer_server
import postgres_server
from crash_size import sized
from rollwright.core.clock import SystemClock
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome
from rollwright.testing.pool import StoreUnderTest, TaskStoreConformance

REASON = postgres_server.missing() or pgbouncer_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    import psycopg

    from rollwright.pool.stores.postgres import connection as postgres_connection
    from rollwright.pool.stores.postgres import writes as postgres_writes
    from rollwright.pool.stores.postgres.session import _Sessions
    from rollwright.pool.stores.postgres.store import PostgresStore


class FakeTime:
    def __init__(self):
        self.now = 1_000_000_000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture(scope="module")
def bouncer(postgres_database):
    pooler = pgbouncer_server.PgBouncer(postgres_database)
    pooler.start()
    yield pooler
    pooler.remove()


@pytest.fixture
def pooled_url(bouncer, postgres_url):
    return bouncer.url(postgres_url)


@pytest.fixture
def pooled_store(pooled_url):
    store = PostgresStore(pooled_url)
    yield store
    store.close()


def request(owner="w", **fields):
    return ClaimRequest(pool="p", owner=owner, lease=fields.pop("lease", 600.0), **fields)


def new(*names):
    return [NewTask.of({"name": name}) for name in names]


class TestThroughPgBouncer(TaskStoreConformance):
    @pytest.fixture
    def pool(self, pooled_url, monkeypatch):
        time = FakeTime()
        store = PostgresStore(pooled_url, clock=time)

        def before_replacing(function):
            def run(connection, statement, *arguments):
                if "SET definition = " in statement:
                    function()
                return postgres_connection.run(connection, statement, *arguments)

            monkeypatch.setattr(postgres_writes, "run", run)

        yield StoreUnderTest(store=store, advance=time.advance, before_replacing=before_replacing)
        store.close()


def test_it_is_known_by_itself_and_told_once(bouncer, postgres_url, caplog):
    caplog.set_level(logging.INFO, logger="rollwright.pool")
    first, second = PostgresStore(bouncer.url(postgres_url)), PostgresStore(bouncer.url(postgres_url))
    for store in (first, second):
        assert (store.traits.can_notify, store.traits.knows_dead_owners) == (False, False)
        store.put("p", new("a"))
        store.close()
    assert sum(record.getMessage().startswith("store.pooled") for record in caplog.records) == 1
    direct = PostgresStore(postgres_url)
    assert (direct.traits.can_notify, direct.traits.knows_dead_owners) == (True, True)
    direct.close()


def test_no_session_is_kept_through_it(pooled_store):
    pooled_store.put("p", new("a"))
    pooled_store.claim(request())
    assert pooled_store._address.server not in _Sessions.known
    assert pooled_store._rows("SELECT process FROM task") == [(None,)]
    assert pooled_store._rows("SELECT count(*) FROM pg_prepared_statements") == [(0,)]


def test_a_pooler_that_ignores_the_settings_of_a_session_is_known_too(postgres_url):
    pooler = pgbouncer_server.PgBouncer(postgres_url, settings={"ignore_startup_parameters": "options"})
    pooler.start()
    try:
        store = PostgresStore(pooler.url(postgres_url))
        store.put("p", new("a"))
        assert [lease.attempt for lease in store.claim(request())] == [1]
        assert not store.traits.can_notify
        store.close()
    finally:
        pooler.remove()


def test_our_settings_hold_for_our_transactions_and_for_nobody_elses(bouncer, pooled_store, postgres_url):
    names = ("search_path", "synchronous_commit", "enable_seqscan", "transaction_isolation")
    asked = ", ".join(f"current_setting('{name}')" for name in names)
    schema = pooled_store._address.schema
    with psycopg.connect(bouncer.url(postgres_url.partition("?")[0]), autocommit=True, prepare_threshold=None) as other:
        for _ in range(8):  # each time another session
            assert pooled_store._rows(f"SELECT {asked}") == [(schema, "on", "off", "read committed")]
            ((place, *rest),) = other.execute(f"SELECT {asked}").fetchall()
            assert (schema in place, rest) == (False, ["on", "on", "read committed"])


def test_who_waits_looks_now_and_then_and_hears_of_it(pooled_store, postgres_url):
    other = PostgresStore(postgres_url)
    waker = pooled_store.waker("p")
    assert not waker.wait(0.0)
    other.put("p", new("a"))
    assert waker.wait(10.0)
    while waker.wait(0.0):  # the writer's end is one more change
        pass
    waker.close()
    other.close()


def test_what_is_kept_only_after_it_was_looked_at_is_heard_of(pooled_store, postgres_url):
    """A row of history has its number before its transaction ends, beside others that take long."""
    pooled_store.put("p", new("a"))
    schema = pooled_store._address.schema
    place = postgres_url.partition("?")[0]
    with psycopg.connect(place) as slow, psycopg.connect(place) as slower:
        for connection in (slower, slow):
            connection.execute(f"UPDATE {schema}.history SET detail = NULL WHERE false")
        slow.execute(f"SELECT nextval('{schema}.history_seq_seq')")
        waker = pooled_store.waker("p")
        assert not waker.wait(0.01)
        slow.commit()
        assert waker.wait(10.0)
        assert not waker.wait(0.01)
        waker.close()


def test_who_has_a_session_hears_of_what_came_through_it(pooled_store, postgres_url):
    other = PostgresStore(postgres_url)
    other.migrate()
    waker = other.waker("p")
    pooled_store.put("p", new("a"))
    assert waker.wait(10.0)
    waker.close()
    other.close()


def test_many_stores_need_few_sessions_of_the_server(bouncer, postgres_url):
    stores = [PostgresStore(bouncer.url(postgres_url), connections=2) for _ in range(12)]
    ids = stores[0].put("p", [NewTask.of({"x": number}) for number in range(60)]).ids
    done, failures = [], []

    def work(number):
        try:
            while leases := stores[number].claim(request(f"w{number}")):
                done.extend(stores[number].settle([Outcome.done(lease) for lease in leases]).statuses)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(done, key=int) == [*ids]
    database = psycopg.conninfo.conninfo_to_dict(postgres_url.partition("?")[0])["dbname"]
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %(name)s AND application_name = 'rollwright'"
    assert stores[0]._rows(asked, name=database)[0][0] <= 4 + 1  # the pooler's, and the session of these tests
    for store in stores:
        store.close()


def work_while_cut(bouncer, url, *, tasks, workers, cuts):
    """Workers turn through a pool while sessions are ended and the pooler is killed, `cuts` times in all."""
    truth = PostgresStore(url)
    ids = truth.put("p", [NewTask.of({"x": number}, max_attempts=100_000) for number in range(tasks)]).ids
    accepted, tokens, failures, over = [], [], [], threading.Event()
    clock, mutex, made = SystemClock(), threading.Lock(), [0]

    def work(number):
        store = PostgresStore(bouncer.url(url), patience=60.0, connections=1 + number % 2)
        try:
            held = store.claim(request(f"w{number}"))
            while held or not over.is_set():
                with mutex:
                    tokens.extend((lease.task_id, lease.token) for lease in held)
                    again = made[0] < cuts  # as long as there are cuts, the tasks come round again
                kind = Outcome.released if again else Outcome.done
                settlement = store.settle([kind(lease) for lease in held], claim=request(f"w{number}"))
                with mutex:
                    accepted.extend([] if again else settlement.statuses)
                held = settlement.leases
                if not held:
                    over.wait(0.01)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    database = psycopg.conninfo.conninfo_to_dict(url.partition("?")[0])["dbname"]
    ending = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %(name)s
        AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name = 'rollwright'"""
    rounds = 0
    with psycopg.connect(url.partition("?")[0], autocommit=True) as knife:
        while made[0] < cuts and not failures:
            clock.sleep(0.02)
            rounds += 1
            if rounds % 5 == 0:
                ended = workers
                bouncer.kill()
                bouncer.start()
            else:
                ended = knife.execute(ending, {"name": database}).fetchone()[0]
            with mutex:
                made[0] += ended
    while not failures and truth.stat("p").counts[Status.DONE] < tasks:
        clock.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(tokens)) == len(tokens), "no two claims share a token"
    assert sorted(accepted, key=int) == [*ids], "each was accepted once"
    events = collections.Counter((row.task_id, row.event) for row in truth.read_history("p"))
    assert all(events[task_id, "done"] == 1 for task_id in ids)
    assert sum(count for (_, event), count in events.items() if event == "claimed") == len(tokens)
    truth.close()
    return made[0]


def test_sessions_ended_and_poolers_killed_lose_nothing(bouncer, postgres_url):
    assert work_while_cut(bouncer, postgres_url, tasks=20, workers=3, cuts=20) >= 20


@pytest.mark.crash
def test_five_hundred_connections_cut_behind_and_before_the_pooler_lose_nothing(bouncer, postgres_url):
    assert work_while_cut(bouncer, postgres_url, tasks=200, workers=8, cuts=sized(500, 120)) >= sized(500, 120)


def test_what_is_changed_by_hand_is_changed_through_it(pooled_store):
    ids = pooled_store.put("p", new("a", "b", "c")).ids
    assert pooled_store.amend("p", parse({"def.name": "b"}), Amendment(priority=5)) == [ids[1]]
    assert pooled_store.pause("p", reason="so")
    assert pooled_store.claim(request()) == []
    assert pooled_store.resume("p")
    assert [lease.task_id for lease in pooled_store.claim(request())] == [ids[1]]
    assert pooled_store.delete("p", None) == 2
