"""Queries that ask for many ids or fingerprints: the same answers, from statements that do not grow with them."""

from __future__ import annotations

import random

import pytest

from rollwright.pool.lookups import find_by_fingerprint
from rollwright.pool.query import And, Compare, In, Not, Or, among, both, parse, split_ids
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, NewTask, Outcome
from rollwright.pool.stores import sql_reads
from rollwright.pool.stores.postgres import store as postgres_store
from rollwright.pool.stores.postgres.store import PostgresStore
from rollwright.pool.stores.sqlite.store import SqliteStore

IDS = [str(number) for number in range(1, 121)]


def test_ids_that_follow_one_another_are_two_numbers():
    for asked in (
        among(IDS),
        among(reversed(IDS)),
        parse({"_id": {"$in": IDS}}),
        parse({"_id": {"$in": [*range(1, 121)]}}),
    ):
        assert asked == And(
            parts=(Compare(path=("_id",), order="gte", value=1), Compare(path=("_id",), order="lte", value=120))
        )


def test_a_few_pieces_are_ranges_and_scattered_ids_a_list():
    pieces = among([*IDS[:50], *IDS[60:]])
    assert isinstance(pieces, And)
    assert isinstance(pieces.parts[1], Or)
    assert len(pieces.parts[1].parts) == 2
    assert among(IDS[::2]) == In(path=("_id",), values=tuple(IDS[::2]))
    assert among(IDS[:32]) == In(path=("_id",), values=tuple(IDS[:32]))


def test_what_is_no_id_is_nobodys():
    strange = [*IDS, "no id: x", "9" * 18, "1" * 25]
    assert isinstance(among(strange), And)
    assert among(["x"] * 40) == In(path=("_id",), values=("x",) * 40)
    assert isinstance(among([*IDS, "9" * 18]).parts[1], Or)


@pytest.mark.parametrize("seed", range(3))
def test_every_store_answers_as_a_list_of_ids_does(store, seed):
    generator = random.Random(seed)
    ids = store.put("p", [NewTask.of({"x": number}) for number in range(150)]).ids
    store.put("other", [NewTask.of({"x": number}) for number in range(20)])
    first, second = sorted(generator.sample(range(150), 2))
    for wanted in (ids[first:second], [*ids[:first], *ids[second:]], generator.sample(ids, 70), [*ids, "9" * 18]):
        shuffled = generator.sample(wanted, len(wanted))
        for query in (parse({"_id": {"$in": shuffled}}), among(shuffled)):
            assert [record.task_id for record in store.find("p", query)] == sorted(set(wanted) & {*ids}, key=int)
            assert store.count("p", query)[Status.WAITING] == len({*wanted} & {*ids})
        assert store.count("p", Not(part=among(shuffled)))[Status.WAITING] == 150 - len({*wanted} & {*ids})
        odd = parse({"_id": {"$nin": shuffled}, "def.x": {"$lt": 100}})
        left = [task for place, task in enumerate(ids) if place < 100 and task not in wanted]
        assert [record.task_id for record in store.find("p", odd)] == left


def test_many_scattered_ids_are_asked_for_in_parts_and_come_in_order(store, monkeypatch):
    for module in ("sqlite", "postgres"):
        monkeypatch.setattr(f"rollwright.pool.stores.{module}.store.IDS_CHUNK", 7)
    ids = store.put("p", [NewTask.of({"x": number}) for number in range(100)]).ids
    wanted = [*ids[::3]]
    mixed = random.Random(1).sample(wanted, len(wanted))
    assert [record.task_id for record in store.find("p", parse({"_id": {"$in": mixed}}))] == wanted
    some = {"_id": {"$in": mixed}, "def.x": {"$gte": 50}}
    assert [record.task_id for record in store.find("p", parse(some))] == [one for one in wanted if int(one) > 50]
    assert store.count("p", parse(some))[Status.WAITING] == sum(int(one) > 50 for one in wanted)


def test_only_a_list_that_must_hold_is_split():
    ids = In(path=("_id",), values=tuple(IDS[::2]))
    other = Compare(path=("priority",), order="gt", value=1)
    assert [*split_ids(None, 7)] == [None]
    assert [*split_ids(Not(part=ids), 7)] == [Not(part=ids)]
    assert [*split_ids(Or(parts=(ids, other)), 7)] == [Or(parts=(ids, other))]
    parts = [*split_ids(both(other, ids), 50)]
    assert [part.parts[1] for part in parts] == [other, other]
    assert [value for part in parts for value in part.parts[0].values] == [*IDS[::2]]


def test_tasks_are_found_by_many_fingerprints_in_few_statements(store):
    tasks = [NewTask.of({"x": number}) for number in range(900)]
    ids = store.put("p", tasks[:850]).ids
    asked = []

    class Counting:
        def find(self, pool, query=None):
            asked.append(len(query.values))
            return store.find(pool, query)

    found = {
        record.fingerprint: record.task_id
        for record in find_by_fingerprint(Counting(), "p", [one.fingerprint for one in tasks] * 2)
    }
    assert found == dict(zip([one.fingerprint for one in tasks], ids, strict=False))
    assert asked == [400, 400, 100]
    assert max(asked) < sql_reads.PAGE


@pytest.mark.parametrize(
    "query", [{}, {"status": "waiting"}, {"_id": {"$in": [*range(1, 4000, 2)]}}, {"_id": {"$gt": 0}}]
)
def test_a_page_of_a_large_pool_costs_what_one_of_a_small_pool_costs(tmp_path, query):
    """The steps that SQLite takes for a task do not grow with the pool."""

    def steps_of_a_task(count):
        store = SqliteStore(tmp_path / f"{count}.db", durable=False)
        store.put("p", [NewTask.of({"x": number}) for number in range(count)])
        steps = []
        with store._file.read() as connection:
            connection.set_progress_handler(lambda: steps.append(1), 100)
            found = sum(1 for _ in store.find("p", parse(query)))
            counted = sum(store.count("p", parse(query)).values())
            connection.set_progress_handler(None, 0)
        store.close()
        assert found == counted > 0
        return len(steps) / found

    assert steps_of_a_task(8000) < 1.5 * steps_of_a_task(2000)


def test_a_small_pool_beside_a_large_one_is_found_by_its_own_index(tmp_path):
    store = SqliteStore(tmp_path / "pool.db", durable=False)
    store.put("large", [NewTask.of({"x": number}) for number in range(8000)])
    store.put("small", [NewTask.of({"x": number}) for number in range(5)])
    steps = []
    with store._file.read() as connection:
        connection.set_progress_handler(lambda: steps.append(1), 100)
        assert sum(1 for _ in store.find("small")) == 5
    assert len(steps) < 100
    store.close()


@pytest.mark.parametrize("asked", [["failed"], ["cancelled", "failed"], ["running"], ["waiting", "running"], []])
def test_tasks_of_certain_states_are_found_and_counted_as_they_are(store, asked):
    ids = store.put("p", [NewTask.of({"x": number}, max_attempts=1) for number in range(12)]).ids
    store.put("other", [NewTask.of({"x": number}) for number in range(3)])
    leases = store.claim(ClaimRequest(pool="p", owner="w", lease=60.0, limit=9))
    store.settle([Outcome.failed(one, error="x") for one in leases[:3]] + [Outcome.done(one) for one in leases[3:5]])
    store.amend("p", among(ids[9:10]), Amendment(status=Status.CANCELLED))
    states = ["failed"] * 3 + ["done"] * 2 + ["running"] * 4 + ["cancelled"] + ["waiting"] * 2
    wanted = [task for task, state in zip(ids, states, strict=True) if state in asked]
    for query in ({"status": {"$in": asked}}, {"$and": [{"status": {"$in": asked}}, {"status": {"$ne": "part_done"}}]}):
        assert [record.task_id for record in store.find("p", parse(query))] == wanted
        assert store.count("p", parse(query)) == {one: (one in asked) * states.count(one) for one in Status}
    others = store.count("p", parse({"status": {"$nin": asked}, "priority": 0}))
    assert sum(others.values()) == 12 - len(wanted)


@pytest.mark.parametrize("status", ["failed", "running"])
def test_the_few_of_a_state_are_found_without_reading_the_pool(tmp_path, status):
    store = SqliteStore(tmp_path / "pool.db", durable=False)
    store.put("p", [NewTask.of({"x": number}, max_attempts=1) for number in range(8000)])
    (lease, _) = store.claim(ClaimRequest(pool="p", owner="w", lease=60.0, limit=2))
    store.settle([Outcome.failed(lease, error="x")])
    steps = []
    with store._file.read() as connection:
        connection.set_progress_handler(lambda: steps.append(1), 100)
        assert sum(1 for _ in store.find("p", parse({"status": status}))) == 1
        taken = len(steps)
        assert sum(store.count("p", parse({"status": status})).values()) == 1
    store.close()
    assert taken < 50


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 100),
        ({"status": {"$in": ["waiting", "done"]}}, 100),
        ({"def.x": {"$gte": 0}}, 100),
        ({"status": "done"}, 0),
    ],
)
def test_a_page_of_a_large_postgres_pool_begins_where_the_one_before_ended(postgres_url, query, found, analysed):
    store = PostgresStore(postgres_url)
    store.put("p", [NewTask.of({"x": number}) for number in range(100)])
    if analysed:
        store._rows("ANALYZE task")
    store._rows(
        "UPDATE pg_class SET reltuples = 1e6, relpages = 1 WHERE oid = 'task'::regclass"
    )  # as the server sees it
    asked = []
    store._are_many = lambda *_: True
    read = store._rows
    store._rows = lambda statement, /, **values: asked.append((statement, values)) or read(statement, **values)
    assert sum(1 for _ in store.find("p", parse(query))) == found
    plan = "\n".join(row[0] for row in read(f"EXPLAIN {asked[0][0]}", **asked[0][1]))
    assert "Index Scan using task_pkey" in plan
    assert "Sort" not in plan
    store.close()


def test_which_postgres_pools_are_large(postgres_url, monkeypatch):
    monkeypatch.setattr(postgres_store, "_MANY_TASKS", 5)
    store = PostgresStore(postgres_url)
    for name, count in (("small", 4), ("large", 5), ("larger", 9)):
        store.put(name, [NewTask.of({"x": number}) for number in range(count)])
    assert [store._are_many(name, "") for name in ("none", "small", "large", "larger")] == [False, False, True, True]
    store.claim(ClaimRequest(pool="larger", owner="w", lease=60.0, limit=4))
    assert not store._are_many("larger", " AND status = 'running'")
    store.close()
