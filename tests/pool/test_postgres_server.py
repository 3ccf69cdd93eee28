"""What is particular to a server: versions, strangers, secrets, clocks, plans, sessions, and many clients at once."""

from __future__ import annotations

import logging
import random
import secrets
import sys
import threading
from types import SimpleNamespace

import pytest

import postgres_server
from rollwright.core import optional as lazy
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
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome, document_of
from rollwright.pool.urls import store_from_url

REASON = postgres_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    import psycopg

    from rollwright.pool.stores.postgres import schema as postgres_schema
    from rollwright.pool.stores.postgres import statements as postgres_sql
    from rollwright.pool.stores.postgres import store as postgres_store
    from rollwright.pool.stores.postgres.connection import Address, is_lost
    from rollwright.pool.stores.postgres.query import where
    from rollwright.pool.stores.postgres.session import close_sessions
    from rollwright.pool.stores.postgres.store import PostgresStore
    from rollwright.pool.stores.postgres.turn import Turns

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


def request(owner="w", **fields):
    return ClaimRequest(pool="p", owner=owner, lease=fields.pop("lease", LEASE), **fields)


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
    monkeypatch.delattr("rollwright.pool.stores.postgres", raising=False)
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
    close_sessions()
    assert "s3cret" not in " ".join([*seen, caplog.text])
    assert any("check user and password" in text for text in seen)


def test_a_server_that_is_not_there_is_told_soon(postgres_database, time):
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/none", patience=60.0)
    store._connections._clock = time
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="refused") as caught:
        store.count("p")
    assert time.monotonic() - start < 6
    assert "start the server" in str(caught.value)


def test_a_database_that_is_not_there_is_named(postgres_database):
    url = postgres_database.rpartition("/")[0] + "/no_such_database"
    with pytest.raises(StoreUnavailableError, match="no_such_database"):
        PostgresStore(url).count("p")


def test_a_standby_is_refused(server_store, monkeypatch):
    monkeypatch.setattr(Address, "connect", _answered_by_a_standby())
    with pytest.raises(StoreUnavailableError, match="standby"):
        server_store.count("p")


def _answered_by_a_standby():
    connect, asking = Address.connect, threading.current_thread()

    def connect_elsewhere(self, **terms):
        connection = connect(self, **terms)
        if threading.current_thread() is not asking:  # the thread that shows that this process lives, for all tests
            return connection
        execute = connection.execute

        class Cursor:
            pgresult = SimpleNamespace(status=psycopg.pq.ExecStatus.TUPLES_OK)

            def fetchall(self):
                return [(connection.info.backend_pid, "", True, "UTF8", True)]

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
    (lease,) = server_store.claim(ClaimRequest(pool=name, owner=name, lease=LEASE, query=parse({"def.name": name})))
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
    (lease,) = server_store.claim(request(owner="a\x00b"))
    server_store.settle([Outcome.failed(lease, error="bytes \x00 and \ud800", retry=False)]).check()
    record = server_store.get("p", [lease.task_id])[0]
    assert (record.error, record.owner) == ("bytes \\x00 and \\ud800", "a\\x00b")
    assert [*server_store.find("p\x00")] == []
    assert [*server_store.find("p", parse({"def.\ud800": {"$exists": True}}))] == []
    assert len([*server_store.find("p", parse({"def.\ud800": None}))]) == 1


def test_numbers_that_a_column_cannot_hold_are_bad_input(server_store):
    with pytest.raises(ConfigError, match="too large for a priority"):
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


# -- plans -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "index"), [(Status.WAITING, "task_waiting"), (Status.PART_DONE, "task_part_done")])
@pytest.mark.parametrize("query", [None, {"def.name": "a"}])
def test_a_claim_on_the_server_reads_only_tasks_that_can_be_claimed(server_store, status, index, query):
    server_store.put("p", [NewTask.of({"x": number}) for number in range(2000)])
    condition, values = where(parse(query))
    statement = postgres_sql.turn("one", status.value, condition, gated=True)
    terms = {
        **values, "now": None, "pool": "p", "owner": "w", "lease": 1.0, "limit": 1, "process": 1, "claim": 1, "task": 1,
        "needs": "", "known": [], "token": 1, "kind": "done", "result": None, "validity": None, "error": None,
        "retry": False, "delay": 0.0,
    }  # fmt: skip
    plan = "\n".join(row[0] for row in server_store._rows(f"EXPLAIN {statement}", **terms))
    assert f"using {index}" in plan
    assert "Sort" not in plan
    assert "Seq Scan on task" not in plan


def count_reads(server_store, sql):
    """Return how often the table of tasks was read whole, and how many rows and entries were read by its indexes."""
    server_store._rows("SELECT pg_stat_force_next_flush()")
    (found,) = sql(
        "SELECT seq_scan, idx_tup_fetch, (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes AS one"
        " WHERE one.relid = a.relid) FROM pg_stat_user_tables AS a"
        " WHERE relname = 'task' AND schemaname = current_schema()"
    )
    return found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "running"}, 3),
        ({"status": "failed"}, 2),
        ({"status": {"$in": ["failed", "cancelled"]}}, 2),
        ({"status": "running", "def.x": 4}, 1),
        ({"$and": [{"def.x": {"$lt": 3}}, {"status": "failed"}]}, 2),
    ],
)
def test_the_few_tasks_of_a_state_are_found_without_the_others(server_store, sql, monkeypatch, query, found):
    """Who looks at what runs or failed, as the elastic controller does again and again, reads no million of others."""
    monkeypatch.setattr(postgres_store, "_MANY_TASKS", 1000)
    server_store.put("p", [NewTask.of({"x": number}, max_attempts=1) for number in range(3000)])
    failed = server_store.claim(request(limit=2))
    server_store.settle([Outcome.failed(lease, error="e") for lease in failed])
    server_store.claim(request(limit=3))
    sql("ANALYZE task")
    before = count_reads(server_store, sql)

    assert len([*server_store.find("p", parse(query))]) == found

    scans, fetched, entries = (now - then for now, then in zip(count_reads(server_store, sql), before, strict=True))
    assert scans == 0
    assert fetched <= 20
    assert entries <= 20


@pytest.mark.parametrize("limit", [1, 3])
def test_a_turn_reads_no_more_of_a_large_pool_whose_statistics_are_known(server_store, sql, limit):
    """The server plans a statement that it ran five times without its values: a plan for many tasks reads them all."""
    server_store.put("p", [NewTask.of({"x": number}) for number in range(3000)])
    sql("ANALYZE task")
    asked = request(limit=limit)
    leases = server_store.claim(asked)

    for _ in range(8):
        leases = server_store.settle([Outcome.done(lease) for lease in leases], claim=asked).leases
    before = count_reads(server_store, sql)
    for _ in range(20):
        leases = server_store.settle([Outcome.done(lease) for lease in leases], claim=asked).leases
    scans, fetched, entries = (now - then for now, then in zip(count_reads(server_store, sql), before, strict=True))
    assert len(leases) == limit
    assert scans == 0
    assert fetched <= 20 * 5 * limit
    assert entries <= 20 * 10 * limit


def test_whether_a_task_is_open_is_asked_of_the_small_indexes(server_store):
    server_store.put("p", [NewTask.of({"x": number}) for number in range(500)])
    terms = {"pool": "p", "channel": "c", "message": "m"}
    for statement in (postgres_sql.NOTIFY_WHEN_EMPTY, postgres_sql.TALLY):
        plan = "\n".join(row[0] for row in server_store._rows(f"EXPLAIN {statement}", **terms))
        assert all(f"task_{name}" in plan for name in ("waiting", "running", "part_done", "delayed"))
        assert "task_identity" not in plan
        assert "task_pkey" not in plan
        assert "Seq Scan" not in plan


@pytest.mark.parametrize(("passes", "found"), [(0.2, ["late", "lost", "lowest"]), (0.0, ["lowest", "late", "lost"])])
def test_a_quick_worker_still_finds_what_has_to_be_freed_first(server_store, sql, time, passes, found):
    """While one task follows the other it looks now and then, and always before it goes without."""
    server_store._turns._clock = time
    server_store.put("p", new("low", "lower", "lowest"))
    server_store.put("p", [NewTask.of({"name": "late"}, priority=9, delay=LEASE)])
    server_store.put("p", [NewTask.of({"name": "lost"}, priority=8)])
    (lost,) = server_store.claim(request())
    (held,) = server_store.claim(request())
    assert (lost.definition["name"], held.definition["name"]) == ("lost", "low")
    sql("UPDATE task SET lease_until = 0 WHERE id = %s", int(lost.task_id))
    sql("UPDATE task SET run_at = 0 WHERE run_at IS NOT NULL")
    names = []
    while held is not None:
        leases = server_store.settle([Outcome.done(held)], claim=request()).leases
        held = leases[0] if leases else None
        names += [lease.definition["name"] for lease in leases]
        time.advance(passes)
    assert names == ["lower", *found]


def test_errors_about_what_was_asked_are_not_taken_for_a_lost_connection():
    assert is_lost(psycopg.OperationalError("server closed the connection"))
    assert is_lost(psycopg.errors.AdminShutdown())
    assert not is_lost(psycopg.errors.DeadlockDetected())
    assert not is_lost(psycopg.errors.UniqueViolation())
    assert not is_lost(psycopg.errors.DiskFull())


def test_a_lost_lease_is_told_with_the_token_that_counts(server_store):
    server_store.put("p", new("a"))
    (lease,) = server_store.claim(request())
    server_store.amend("p", None, Amendment(status=Status.WAITING))
    with pytest.raises(LeaseLostError, match="current 2, state waiting"):
        server_store.settle([Outcome.done(lease)]).check()


def test_an_outcome_given_twice_counts_once(server_store):
    server_store.put("p", new("a", "b"))
    leases = server_store.claim(request(limit=2))
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
    stores[0].notify("p")
    stores[1].notify("p")
    assert waker.wait(10)
    for store in stores:
        store.close()


def test_what_ended_is_reported_though_the_next_claim_fails(server_store, monkeypatch):
    server_store.put("p", new("a"))
    (lease,) = server_store.claim(request())
    run_statement, calls = Turns._run_statement, []

    def once(*arguments, **terms):
        calls.append(terms)
        if len(calls) > 1:
            raise StoreUnavailableError("away")
        return run_statement(*arguments, **terms)

    monkeypatch.setattr(Turns, "_run_statement", once)
    monkeypatch.setattr(Turns, "_is_check_due", lambda *_: False)
    settlement = server_store.settle([Outcome.done(lease)], claim=request())
    assert settlement.statuses == {lease.task_id: Status.DONE}
    assert (settlement.leases, len(calls)) == ((), 2)
    with pytest.raises(StoreUnavailableError, match="away"):
        server_store.claim(request())
