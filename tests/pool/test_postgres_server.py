"""What is particular to a server: versions, strangers, secrets, clocks, plans, sessions, and many clients at once."""

from __future__ import annotations

import logging
import os
import random
import secrets
import subprocess
import sys
import threading
import time as real_time
from types import SimpleNamespace

import pytest

from rollwright.core import lazy
from rollwright.errors import (
    ConfigError,
    LeaseLostError,
    MissingExtraError,
    QueryError,
    SchemaVersionError,
    StoreUnavailableError,
)
from rollwright.pool.query import matches, parse
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, Claim, NewTask, Outcome, document_of
from rollwright.pool.urls import store_from_url
from rollwright.testing import postgres_server

REASON = postgres_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    import psycopg

    from rollwright.pool.stores import postgres_schema, postgres_sql
    from rollwright.pool.stores.postgres import PostgresStore
    from rollwright.pool.stores.postgres_link import Address, is_lost
    from rollwright.pool.stores.postgres_presence import close_presences, presence_of
    from rollwright.pool.stores.postgres_query import where

LEASE = 60.0


def new(*names, **fields):
    return [NewTask.of({"name": name, **fields}) for name in names]


@pytest.fixture
def server_store(postgres_url):
    """A pool on the server's clock."""
    store = PostgresStore(postgres_url)
    yield store
    store.close()


@pytest.fixture
def sql(server_store):
    """Run a statement in the store's schema, as somebody at psql would."""

    def run(text, *values):
        address = server_store._address
        with psycopg.connect(**address.parameters, options=f"-c search_path={address.schema}", autocommit=True) as c:
            cursor = c.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    return run


def wish(owner="w", **fields):
    return Claim(pool="p", owner=owner, lease=fields.pop("lease", LEASE), **fields)


# -- the schema --------------------------------------------------------------------------------------------------------


def test_a_later_schema_on_the_server_is_refused(server_store, sql):
    server_store.put("p", new("a"))
    server_store.close()
    sql("UPDATE version SET version = %s", postgres_schema.SCHEMA_VERSION + 1)
    with pytest.raises(SchemaVersionError, match="update rollwright"):
        server_store.count("p")


def test_another_programs_schema_is_left_alone(server_store, sql):
    sql(f"CREATE SCHEMA {server_store._address.schema}")
    sql("CREATE TABLE theirs(x int)")
    with pytest.raises(StoreUnavailableError, match="another program's"):
        server_store.put("p", new("a"))
    assert sql("SELECT count(*) FROM pg_class WHERE relnamespace = %s::regnamespace", server_store._address.schema) == [
        (1,)
    ]


def test_clients_that_start_together_make_one_schema(postgres_url):
    stores = [PostgresStore(postgres_url) for _ in range(6)]
    failures = together(6, lambda number: stores[number].put("p", new("a", "b")))
    assert failures == []
    assert stores[0].count("p")[Status.WAITING] == 2
    for store in stores:
        store.close()


def test_an_upgrade_keeps_the_tasks(server_store, monkeypatch):
    (task_id,) = server_store.put("p", new("a")).ids
    server_store.close()
    later = (*postgres_schema.MIGRATIONS, ("ALTER TABLE task ADD COLUMN more text",))
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", later)
    monkeypatch.setattr(postgres_schema, "SCHEMA_VERSION", len(later))
    assert server_store.get("p", [task_id])[0].definition == {"name": "a"}
    server_store.migrate()


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


# -- addresses and secrets ---------------------------------------------------------------------------------------------


def test_the_url_chooses_the_store(postgres_url):
    for url in (postgres_url, postgres_url.replace("postgresql://", "postgres://")):
        store = store_from_url(url)
        assert isinstance(store, PostgresStore)
        store.close()


def test_without_the_driver_the_install_line_is_told(monkeypatch, postgres_url):
    for name in [name for name in sys.modules if "rollwright.pool.stores.postgres" in name]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(lazy.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("rollwright.pool.stores.postgres", None, raising=False)
    with pytest.raises(MissingExtraError, match=r"rollwright\[postgres\]"):
        store_from_url(postgres_url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret%zz@host/db",
        "postgresql://user:s3cret@host/db?colour=red",
        "postgresql://user:s3cret@[::1/db",
        "postgresql://user:s3cret@host/db?schema=Robert';--",
        "postgresql://user:s3cret@host/db?schema=pg_mine",
        "postgresql://user:s3cret@host/db?schema=",
    ],
)
def test_a_bad_url_is_refused_without_its_password(url):
    with pytest.raises(ConfigError) as caught:
        store_from_url(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_password_is_in_no_error_log_or_repr(postgres_database, caplog):
    caplog.set_level(logging.DEBUG)
    host = postgres_database.rpartition("@")[2]
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'guarded'").fetchall():
            connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'the right one'")
    seen = []
    for url in (
        f"postgresql://guarded:s3cret@{host}",
        f"postgresql://guarded:s3cret@{host}?schema=x",
        "postgresql://guarded:s3cret@127.0.0.1:1/none",
    ):
        store = PostgresStore(url)
        with pytest.raises(StoreUnavailableError) as caught:
            store.put("p", new("a"))
        with pytest.raises(StoreUnavailableError) as deaf:
            store.waker("p")
        seen += [repr(store), repr(store._address), str(caught.value), str(deaf.value), repr(caught.value.__cause__)]
    close_presences()
    assert "s3cret" not in " ".join([*seen, caplog.text])
    assert any("check user and password" in text for text in seen)


def test_a_server_that_is_not_there_is_told_at_once(postgres_database):
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/none", patience=60.0)
    start = real_time.monotonic()
    with pytest.raises(StoreUnavailableError, match="refused") as caught:
        store.count("p")
    assert real_time.monotonic() - start < 5
    assert "start the server" in str(caught.value)


def test_a_database_that_is_not_there_is_named(postgres_database):
    url = postgres_database.rpartition("/")[0] + "/no_such_database"
    with pytest.raises(StoreUnavailableError, match="no_such_database"):
        PostgresStore(url).count("p")


def test_a_pooler_and_a_standby_are_refused(server_store, monkeypatch):
    monkeypatch.setattr(type(Address.of("postgresql://h/d")), "connect", _answered_by(pid=-1))
    with pytest.raises(StoreUnavailableError, match="pooler"):
        server_store.count("p")
    monkeypatch.undo()
    monkeypatch.setattr(Address, "connect", _answered_by(standby=True))
    with pytest.raises(StoreUnavailableError, match="standby"):
        server_store.count("p")


def _answered_by(*, pid=None, standby=False):
    connect = Address.connect

    def connect_elsewhere(self):
        connection = connect(self)
        execute = connection.execute

        class Cursor:
            pgresult = SimpleNamespace(status=psycopg.pq.ExecStatus.TUPLES_OK)

            def fetchall(self):
                return [(pid or connection.info.backend_pid, "", standby, "UTF8", True)]

        connection.execute = lambda query, *_, **__: Cursor() if b"pg_is_in_recovery" in query else execute(query)
        return connection

    return connect_elsewhere


# -- bad input ---------------------------------------------------------------------------------------------------------


NASTY = [
    "x'; DROP TABLE task;--",
    "name",
    "client",
    "task",
    "pg_catalog",
    'a"b',
    "%",
    "%s",
    "%(pool)s",
    "{where}",
    "$1",
    "\\x00",
    "../x",
    "滚动",
    "\u202ertl",
]


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_text_is_a_value_everywhere(server_store, name):
    (task_id,) = server_store.put(name, [NewTask.of({"name": name, f"key {name}": 1})]).ids
    server_store.put("p", new("other"))
    assert server_store.list_pools() == sorted([name, "p"])
    for query in ({"def.name": name}, {"def.name": {"$gte": name}}, {"def.name": {"$in": [name, 1]}}):
        assert [record.task_id for record in server_store.find(name, parse(query))] == [task_id]
        assert [*server_store.find("p", parse(query))] == ([] if "$gte" not in str(query) or name > "other" else ANY)
    (lease,) = server_store.claim(Claim(pool=name, owner=name, lease=LEASE, query=parse({"def.name": name})))
    assert server_store.renew(name, lease=LEASE) == {task_id: lease.token}
    server_store.settle([Outcome.failed(lease, error=name, retry=False)]).check()
    record = server_store.get(name, [task_id])[0]
    assert (record.error, record.owner, record.definition["name"]) == (name, name, name)
    assert server_store.pause(name, reason=name)
    assert server_store.stat(name).reason == name
    assert len(server_store.read_history(name)) == 3
    assert server_store.delete(name, parse({"owner": name})) == 1


class _Any:
    def __eq__(self, other):
        return True

    __hash__ = None


ANY = _Any()


def test_text_that_the_server_cannot_keep_is_shown_escaped(server_store):
    server_store.put("p", new("a"))
    (lease,) = server_store.claim(wish(owner="a\x00b"))
    server_store.settle([Outcome.failed(lease, error="bytes \x00 and \ud800", retry=False)]).check()
    record = server_store.get("p", [lease.task_id])[0]
    assert (record.error, record.owner) == ("bytes \\x00 and \\ud800", "a\\x00b")
    assert [*server_store.find("p\x00")] == []
    assert [*server_store.find("p", parse({"def.\ud800": {"$exists": True}}))] == []
    assert len([*server_store.find("p", parse({"def.\ud800": None}))]) == 1


def test_numbers_that_a_column_cannot_hold_are_bad_input(server_store):
    with pytest.raises(ConfigError, match="cannot be kept"):
        server_store.put("p", [NewTask.of({"a": 1}, priority=2**70)])
    assert server_store.count("p")[Status.WAITING] == 0


def test_more_conditions_than_a_statement_has_are_refused(server_store):
    many = parse({"$or": [{"def.x": number} for number in range(40_000)]})
    with pytest.raises(QueryError, match="conditions"):
        server_store.count("p", many)
    assert server_store.count("p", parse({"def.x": {"$in": [*range(40_000)]}}))[Status.WAITING] == 0


VALUES = [
    0, 1, -1, 1.0, 0.1, 1e-7, 1e22, 1.5e300, 2**53, -(2**53), 9007199254740991.0, True, False, None, "", "a", "B", "é",
    "z", "中", "😀", "￿", "1", "null", [], [1], [1.0], [[1]], {}, {"a": 1}, {"a": 1.0}, {"b": {"c": [1, {"d": None}]}},
    {"5": "digits"}, {"a": [{"a": 1}]},
]  # fmt: skip
PATHS = ["def", "def.x", "def.x.a", "def.x.0", "def.x.0.0", "def.x.b.c.1.d", "def.x.5", "def.x.-1", "def.x.a.0.a"]


def test_every_query_answers_as_memory_does(server_store):
    """The reference decides: each value, asked for in each way, at each path."""
    ids = server_store.put("p", [NewTask.of({"x": value, "n": place}) for place, value in enumerate(VALUES)]).ids
    documents = [document_of(record) for record in server_store.get("p", ids)]
    generator = random.Random(5)
    queries = []
    for path in PATHS:
        for value in VALUES:
            queries += [{path: value}, {path: {"$ne": value}}, {path: {"$in": [value, generator.choice(VALUES)]}}]
            if isinstance(value, int | float | str) and not isinstance(value, bool):
                queries += [{path: {operator: value}} for operator in ("$gt", "$gte", "$lt", "$lte")]
        queries += [{path: {"$exists": True}}, {path: {"$exists": False}}]
    queries += [{"def": document["def"]} for document in documents]
    for query in queries:
        tree = parse(query)
        expected = [document["_id"] for document in documents if matches(tree, document)]
        assert [record.task_id for record in server_store.find("p", tree)] == expected, query


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
                leases = stores[place].claim(wish(owner=f"w{place}", limit=20))
                stores[place].settle([Outcome.released(lease) for lease in reversed(leases)], claim=wish(limit=5))

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
from rollwright.pool.store import Claim, NewTask
from rollwright.pool.stores.postgres import PostgresStore
store = PostgresStore(sys.argv[1])
store.put("p", [NewTask.of({"by": "skewed"}, delay=1800.0)])
print(len(store.claim(Claim(pool="p", owner="skewed", lease=60.0, limit=9))), store.reap())
"""
    store = PostgresStore(postgres_url)
    store.put("p", new("held", "free"))
    (held,) = store.claim(wish())
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


@pytest.fixture
def long_up(monkeypatch):
    """A server that nobody has to connect to anew, though it was started a moment ago."""
    monkeypatch.setattr("rollwright.pool.stores.postgres._AFTER_START", 0.0)


@pytest.mark.crash
@pytest.mark.usefixtures("long_up")
def test_a_killed_workers_task_is_free_within_two_seconds(postgres_url):
    store = PostgresStore(postgres_url)
    store.put("p", new("a"))
    with held_by_another_process(postgres_url) as worker:
        assert store.reap() == []
        worker.kill()
    start = real_time.monotonic()
    while not store.reap():
        assert real_time.monotonic() - start < 2.0
    assert len(store.claim(wish())) == 1
    assert real_time.monotonic() - start < 2.0
    store.close()


def held_by_another_process(url, *, lease=600.0, then="input()"):
    program = f"""
import sys
from rollwright.pool.store import Amendment, Claim, Outcome
from rollwright.pool.stores.postgres import PostgresStore
store = PostgresStore(sys.argv[1])
(lease,) = store.claim(Claim(pool="p", owner="other", lease={lease}))
print("claimed", flush=True)
{then}
"""
    worker = subprocess.Popen(
        [sys.executable, "-c", program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout.readline() == "claimed\n"
    return worker


@pytest.mark.usefixtures("long_up")
def test_a_store_that_is_closed_still_holds_its_tasks(server_store, postgres_url):
    other = PostgresStore(postgres_url)
    server_store.put("p", new("a"))
    other.claim(wish())
    other.close()
    assert server_store.reap() == []


@pytest.mark.usefixtures("long_up")
def test_a_process_that_lost_only_its_connection_is_not_taken_for_dead(server_store):
    server_store.put("p", new("a"))
    (lease,) = server_store.claim(wish())
    presence = presence_of(server_store._address)
    number = presence.number()
    server_store._rows(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND"
        " (classid::bigint << 32 | objid::bigint) = %(number)s",
        number=number,
    )
    assert server_store.reap() == []
    assert presence.number() == number
    server_store.settle([Outcome.done(lease)]).check()


@pytest.mark.usefixtures("long_up")
def test_a_forked_child_neither_ends_nor_keeps_its_parents_sessions(server_store):
    server_store.put("p", new("a", "b"))
    (mine,) = server_store.claim(wish())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            (lease,) = server_store.claim(wish(owner="child"))
            os.write(writer, lease.task_id.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    assert theirs not in ("", mine.task_id)
    assert server_store.reap() == [theirs]
    server_store.settle([Outcome.done(mine)]).check()


def test_right_after_the_servers_start_nobody_is_taken_for_dead(server_store, monkeypatch):
    server_store.put("p", new("a"))
    server_store.claim(wish())
    server_store._rows("UPDATE task SET process = 1")  # nobody's
    monkeypatch.setattr("rollwright.pool.stores.postgres._AFTER_START", 1e9)
    assert server_store.reap() == []
    monkeypatch.setattr("rollwright.pool.stores.postgres._AFTER_START", 0.0)
    assert len(server_store.reap()) == 1


def test_a_broken_session_rings_for_what_was_missed(server_store):
    waker = server_store.waker("p")
    assert not waker.wait(0)
    server_store._rows(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND"
        " (classid::bigint << 32 | objid::bigint) = %(number)s",
        number=presence_of(server_store._address).number(),
    )
    assert waker.wait(10)
    waker.close()


# -- plans -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "index"), [(Status.WAITING, "task_waiting"), (Status.PART_DONE, "task_part_done")])
@pytest.mark.parametrize("query", [None, {"def.name": "a"}])
def test_a_claim_on_the_server_reads_only_tasks_that_can_be_claimed(server_store, status, index, query):
    server_store.put("p", [NewTask.of({"x": number}) for number in range(2000)])
    condition, values = where(parse(query))
    statement = postgres_sql.turn("one", status.value, condition, gated=True)
    terms = {
        **values, "now": None, "pool": "p", "owner": "w", "lease": 1.0, "limit": 1, "process": 1, "claim": 1, "task": 1,
        "token": 1, "kind": "done", "result": None, "validity": None, "error": None, "retry": False, "delay": 0.0,
    }  # fmt: skip
    plan = "\n".join(row[0] for row in server_store._rows(f"EXPLAIN {statement}", **terms))
    assert f"using {index}" in plan
    assert "Sort" not in plan
    assert "Seq Scan on task" not in plan


def test_a_quick_worker_still_finds_what_has_to_be_freed_first(server_store):
    """While one task follows the other it looks now and then, and always before it goes without."""
    server_store.put("p", new("low", "lower"))
    server_store.put("p", [NewTask.of({"name": "late"}, priority=9, delay=0.05)])
    server_store.put("p", [NewTask.of({"name": "lost"}, priority=8)])
    (lost,) = server_store.claim(wish(lease=0.05))
    (first,) = server_store.claim(wish())
    assert (lost.definition["name"], first.definition["name"]) == ("lost", "low")
    names, held = [], [first]
    while held:
        real_time.sleep(0.06)
        held = server_store.settle([Outcome.done(lease) for lease in held], claim=wish()).leases
        names += [lease.definition["name"] for lease in held]
    assert sorted(names) == ["late", "lost", "lower"]


def test_errors_about_what_was_asked_are_not_taken_for_a_lost_connection():
    assert is_lost(psycopg.OperationalError("server closed the connection"))
    assert is_lost(psycopg.errors.AdminShutdown())
    assert not is_lost(psycopg.errors.DeadlockDetected())
    assert not is_lost(psycopg.errors.UniqueViolation())
    assert not is_lost(psycopg.errors.DiskFull())


def test_a_lost_lease_is_told_with_the_token_that_counts(server_store):
    server_store.put("p", new("a"))
    (lease,) = server_store.claim(wish())
    server_store.amend("p", None, Amendment(status=Status.WAITING))
    with pytest.raises(LeaseLostError, match="current 2, state waiting"):
        server_store.settle([Outcome.done(lease)]).check()


def test_an_outcome_given_twice_counts_once(server_store):
    server_store.put("p", new("a", "b"))
    leases = server_store.claim(wish(limit=2))
    twice = Outcome.done(leases[0], result="1")
    settlement = server_store.settle([twice, Outcome.done(leases[0], result="2"), Outcome.done(leases[1])])
    assert [refusal.task_id for refusal in settlement.refused] == [leases[0].task_id]
    assert len(settlement.statuses) == 2
    assert server_store.get("p", [leases[0].task_id])[0].result == "1"


def test_two_schemas_of_one_database_are_two_stores(postgres_database):
    mark = "&" if "?" in postgres_database else "?"
    stores = [PostgresStore(f"{postgres_database}{mark}schema=two{secrets.token_hex(4)}") for _ in range(2)]
    stores[0].put("p", new("a"))
    assert stores[1].list_pools() == []
    waker = stores[1].waker("p")
    stores[0].ring("p")
    stores[1].ring("p")
    assert waker.wait(10)
    for store in stores:
        store.close()
