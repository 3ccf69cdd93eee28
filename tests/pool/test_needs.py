"""What tasks need and workers offer: the values, what a claim costs, and stores of before there were needs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import postgres_server
from rollwright.errors import ConfigError, DamagedTaskError
from rollwright.pool.needs import MOST_NEEDS, NO_NEEDS, Needs, Offer, read_needs
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.mongo.store import MongoStore
from rollwright.pool.stores.sqlite import statements as sqlite_sql
from rollwright.pool.stores.sqlite.store import SqliteStore

FIXTURES = Path(__file__).parent / "fixtures"
GPU = Needs(tags=("gpu",))
TAGS = st.lists(st.sampled_from(["gpu", "fast", "a-b", "x_1"]), max_size=3).map(tuple)
MEMORY = st.one_of(st.just(0.0), st.floats(0.001, 999_999, allow_nan=False))
REASON = postgres_server.missing()
if REASON is None:
    import psycopg

    from rollwright.pool.stores.postgres import statements as postgres_sql
    from rollwright.pool.stores.postgres.store import PostgresStore
needs_postgres = pytest.mark.skipif(REASON is not None, reason=REASON or "")


def request(pool="p", **fields):
    return ClaimRequest(pool=pool, owner="w", lease=60, **fields)


def names(leases):
    return [lease.definition["name"] for lease in leases]


# -- values ------------------------------------------------------------------------------------------------------------


@given(tags=TAGS, memory=MEMORY)
def test_needs_come_back_from_their_text(tags, memory):
    needs = Needs(tags=tags, memory=memory)
    assert Needs.of_text(needs.text) == needs
    assert bool(needs) is bool(needs.text)


@given(one=TAGS, other=TAGS, memory=MEMORY, have=st.one_of(st.none(), MEMORY))
def test_an_offer_meets_what_it_has_all_of(one, other, memory, have):
    offer = Offer(tags=frozenset(other), memory=have)
    needs = Needs(tags=one, memory=memory)
    assert offer.meets(needs) is (set(one) <= set(other) and (have is None or needs.memory <= offer.memory))
    assert offer.choose([needs.text, "", "no needs!"]) == ("",) + (needs.text,) * (bool(needs) and offer.meets(needs))


def test_the_text_of_needs_can_be_read():
    assert Needs(tags=("gpu", "big", "gpu"), memory=16).text == "big,gpu,memory=16"
    assert Needs(memory=0.5).text == "memory=0.5"
    assert NO_NEEDS.text == ""


def test_needs_are_joined_to_ask_for_all():
    assert GPU.joined(Needs(tags=("big",), memory=4)) == Needs(tags=("big", "gpu"), memory=4)


@pytest.mark.parametrize("tag", ["", "GPU", "g pu", "1gpu", "a" * 41, "gpu,big", "memory=3", None])
def test_no_other_name_is_a_tag(tag):
    with pytest.raises(ConfigError, match="no tag"):
        Needs(tags=(tag,))
    with pytest.raises(ConfigError, match="no tag"):
        Offer(tags=frozenset({tag}))


@pytest.mark.parametrize("memory", [-1, float("nan"), float("inf"), 1e9, "16", True])
def test_no_other_number_is_an_amount_of_memory(memory):
    with pytest.raises(ConfigError, match="no amount of memory"):
        Needs(memory=memory)


@pytest.mark.parametrize("text", ["gpu,big", "memory=", "memory=16.0", "gpu,", "x;y", "memory=nan", "memory=1,gpu"])
def test_a_text_that_no_needs_have_is_told(text):
    with pytest.raises(ConfigError):
        Needs.of_text(text)
    with pytest.raises(DamagedTaskError, match="somebody wrote into the database"):
        read_needs(text, pool="p", task_id="7")


# -- what a claim costs ------------------------------------------------------------------------------------------------


def test_tasks_that_a_worker_may_not_take_cost_its_claim_nothing(tmp_path):
    """Counted in the steps of SQLite's machine: 5,000 tasks for a GPU before the one that is taken, or none."""

    def steps(others):
        store = SqliteStore(tmp_path / f"{others}.db", durable=False)
        tasks = [NewTask.of({"name": number}, priority=9, needs=GPU) for number in range(others)]
        store.put("p", [*tasks, NewTask.of({"name": "g"}, needs=GPU), *[NewTask.of({"name": n}) for n in "abc"]])
        assert names(store.claim(request())) == ["a"]  # the first prepares statements
        count = [0]
        with store._file.read() as connection:
            connection.set_progress_handler(lambda: count.__setitem__(0, count[0] + 1), 1)
        assert names(store.claim(request())) == ["b"]
        store.close()
        return count[0]

    few, many = steps(0), steps(5000)
    assert few > 50
    assert many <= few * 1.1 + 20


@needs_postgres
@pytest.mark.parametrize("needed", ["one", "some"])
def test_a_claim_on_the_server_reads_no_task_that_it_may_not_take(postgres_url, needed):
    store = PostgresStore(postgres_url)
    store.put("p", [NewTask.of({"name": number}, priority=9, needs=GPU) for number in range(3000)])
    store.put("p", [NewTask.of({"name": name}, needs=Needs(memory=ord(name))) for name in "abc"])
    store.put("p", [NewTask.of({"name": name}) for name in "def"])
    store._rows("ANALYZE task")
    statement = postgres_sql.turn("none", "waiting", "", gated=False, needed=needed, checked=True)
    needs = "" if needed == "one" else ["", "memory=97", "memory=98"]
    values = {"pool": "p", "owner": "w", "lease": 60.0, "limit": 1, "process": None, "claim": 1, "now": None}
    rows = store._rows(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", **values, needs=needs, known=[])
    plan = "\n".join(row[0] for row in rows)
    assert "task_waiting" in plan
    assert "needs = " in plan
    assert "Seq Scan on task" not in plan
    read = [int(line.split("rows=")[1].split()[0].rstrip(")")) for line in plan.splitlines() if "actual rows=" in line]
    assert max(read) <= 5
    assert "Rows Removed by Filter: 3" not in plan
    store.close()


@needs_postgres
@pytest.mark.parametrize("limit", [3, 100])
def test_a_claim_of_many_keeps_to_the_cap_and_takes_tasks_of_all_needs(postgres_url, limit):
    store = PostgresStore(postgres_url)
    store.put("p", [NewTask.of({"name": name}, needs=Needs(memory=ord(name))) for name in "abc"])
    store.put("p", [NewTask.of({"name": name}) for name in "def"])
    store.set_share("p", max_running=200)
    offer = Offer(memory=200.0)
    assert len(store.claim(request(limit=limit, offer=offer))) == min(limit, 6)
    store.set_share("p", max_running=5)
    store.put("p", [NewTask.of({"name": number}) for number in range(9)])
    assert len(store.claim(request(limit=limit, offer=offer))) == max(0, 5 - min(limit, 6))
    store.close()


def test_needs_that_somebody_wrote_into_the_database_are_met_by_nobody(tmp_path):
    store = SqliteStore(tmp_path / "pool.db", durable=False)
    store.put("p", [NewTask.of({"name": "a"}, needs=GPU), NewTask.of({"name": "b"})])
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE task SET needs = 'no needs!' WHERE id = 1")
        connection.execute("UPDATE rule SET needs = 'no needs!'")
    connection.close()
    assert names(store.claim(request(limit=9, offer=Offer(tags=frozenset({"gpu"}))))) == ["b"]
    with pytest.raises(DamagedTaskError, match="task 1 of pool `p`"):
        store.get("p", ["1"])
    store.close()


def test_too_many_needs_are_refused_over_several_puts():
    store = MemoryStore()
    for number in range(1, MOST_NEEDS + 1):
        store.put("p", [NewTask.of({"name": number}, needs=Needs(memory=number))])
    with pytest.raises(ConfigError, match="round the memory"):
        store.put("p", [NewTask.of({"name": "x"}, needs=GPU)])
    assert store.put("q", [NewTask.of({"name": "x"}, needs=GPU)]).created == 1


# -- stores of before --------------------------------------------------------------------------------------------------


def test_a_file_of_schema_4_keeps_its_tasks_and_its_pause(tmp_path, time):
    path = tmp_path / "pool.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript((FIXTURES / "pool-schema-4.sql").read_text(encoding="utf-8"))
    connection.close()
    time.seconds = 1_700_000_010.0
    store = SqliteStore(path, clock=time, durable=False)
    assert [record.needs for record in store.find("p")] == [NO_NEEDS] * 5
    stat = store.stat("q")
    assert (stat.paused, stat.reason, stat.weight, stat.max_running) == (True, "for lunch", 1.0, None)
    assert names(store.claim(request("p", limit=9))) == ["c", "d"]
    assert names(store.claim(request("p", limit=9, status=Status.PART_DONE))) == ["a"]
    assert [(one.pool, one.open, one.delayed, one.running) for one in store.demand()] == [
        ("p", 0, 1, 4),
        ("q", 1, 0, 0),
    ]
    with store._file.read() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (sqlite_sql.SCHEMA_VERSION,)
    store.close()


@needs_postgres
def test_a_schema_1_on_the_server_keeps_its_tasks_and_its_pause(postgres_url):
    store = PostgresStore(postgres_url)
    schema = store._address.schema
    with psycopg.connect(**store._address.parameters, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"SET search_path = {schema}")
        connection.execute((FIXTURES / "pool-postgres-1.sql").read_text(encoding="utf-8").encode())
    assert [(record.definition["name"], record.needs) for record in store.find("p")] == [
        ("a", NO_NEEDS),
        ("b", NO_NEEDS),
        ("d", NO_NEEDS),
    ]
    assert (store.stat("q").paused, store.stat("q").reason) == (True, "for lunch")
    store.put("p", [NewTask.of({"name": "g"}, priority=9, needs=GPU)])
    assert names(store.claim(request(limit=9))) == ["b", "a"]
    assert names(store.claim(request(limit=9, offer=Offer(tags=frozenset({"gpu"}))))) == ["g"]
    assert [(one.pool, one.needs, one.open, one.running) for one in store.demand()] == [
        ("p", NO_NEEDS, 0, 2),
        ("p", GPU, 0, 1),
        ("q", NO_NEEDS, 1, 0),
    ]
    store.close()


def test_a_database_of_schema_1_keeps_its_tasks(mongo_url):
    store = MongoStore(mongo_url)
    store.put("p", [NewTask.of({"name": name}) for name in "ab"])
    tasks = store.database["rollwright_tasks"]
    tasks.update_many({}, {"$unset": {"needs": ""}})
    store.database["rollwright_meta"].update_one({"_id": "schema"}, {"$set": {"version": 1}})
    store.close()
    assert [record.needs for record in store.find("p")] == [NO_NEEDS] * 2
    assert names(store.claim(request(limit=9))) == ["a", "b"]
    assert "open" in store.database["rollwright_tasks"].index_information()
    store.close()


# -- the view ----------------------------------------------------------------------------------------------------------


@needs_postgres
def test_the_view_of_demand_says_what_the_store_says(postgres_url):
    store = PostgresStore(postgres_url)
    store.put("p", [NewTask.of({"name": name}, needs=GPU) for name in "abc"])
    store.put("p", [NewTask.of({"name": "later"}, delay=500.0), NewTask.of({"name": "d"})])
    store.set_share("p", weight=2, max_running=4)
    store.pause("p")
    store._rows("UPDATE task SET created = created - 100")
    columns = "pool, needs, open, delayed, running, paused, weight, max_running, oldest"
    rows = store._rows(f"SELECT {columns} FROM pool_demand ORDER BY needs")
    assert [row[:8] for row in rows] == [("p", "", 1, 1, 0, True, 2.0, 4), ("p", "gpu", 3, 0, 0, True, 2.0, 4)]
    assert all(100.0 <= row[8] < 130.0 for row in rows)
    assert [one.open for one in store.demand()] == [1, 3]
    store.close()
