"""The suite notices stores whose caps and needs do not hold."""

from __future__ import annotations

import inspect
import secrets
import time as real_time

import pytest

import postgres_server
from rollwright.pool.needs import Offer
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.mongo.pools import MongoPools
from rollwright.pool.stores.mongo.store import MongoStore
from rollwright.pool.stores.sqlite import rules as sqlite_rules
from rollwright.pool.stores.sqlite import statements as sqlite_sql
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.testing.pool import StoreUnderTest, TaskStoreConformance

REASON = postgres_server.missing()
if REASON is None:
    from rollwright.pool.stores.postgres import statements as postgres_sql
    from rollwright.pool.stores.postgres import turn as postgres_turn
    from rollwright.pool.stores.postgres.store import PostgresStore
needs_postgres = pytest.mark.skipif(REASON is not None, reason=REASON or "")

CAP = "test_no_more_run_than_the_cap_allows"
RACE = "test_many_threads_never_hold_more_than_the_cap"
NEEDS = "test_a_task_goes_to_a_worker_that_meets_its_needs"
ORDER = "test_priority_and_age_go_over_all_needs_that_are_met"
NEW = "test_needs_that_a_worker_has_not_met_before_are_seen_by_its_next_claim"


def passes(store, time, name):
    method = getattr(TaskStoreConformance(), name)
    arguments = {"kind": "released"} if "kind" in inspect.signature(method).parameters else {}
    try:
        method(StoreUnderTest(store=store, advance=time.advance), **arguments)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however the test fails, it has noticed
        return False
    finally:
        store.close()
    return True


@pytest.fixture
def sqlite(tmp_path, time):
    return lambda: SqliteStore(tmp_path / f"{secrets.token_hex(4)}.db", clock=time, durable=False)


def test_the_sound_store_passes_what_the_mutants_fail(sqlite, time):
    for name in (CAP, RACE, NEEDS, ORDER, NEW):
        assert passes(sqlite(), time, name), name


def test_a_store_that_does_not_count_what_runs_is_caught(sqlite, time, monkeypatch):
    monkeypatch.setattr(sqlite_sql, "RUNNING", "SELECT 0 WHERE ? NOT NULL")
    assert not passes(sqlite(), time, CAP)


def test_a_store_that_takes_the_needs_in_any_order_is_caught(sqlite, time, monkeypatch):
    picked = sqlite_sql.PICK_SOME.replace("ORDER BY best.priority DESC, best.id LIMIT", "LIMIT")
    monkeypatch.setattr(sqlite_sql, "PICK_SOME", picked)
    assert not passes(sqlite(), time, ORDER)


def test_a_store_that_gives_anything_to_anybody_is_caught(time, monkeypatch):
    monkeypatch.setattr(Offer, "meets", lambda self, needs: True)
    assert not passes(MemoryStore(clock=time), time, NEEDS)


def test_a_store_that_forgets_needs_is_caught(sqlite, time, monkeypatch):
    monkeypatch.setattr(sqlite_rules, "check_needs", lambda *_: None)
    monkeypatch.setattr(sqlite_sql, "SET_NEEDS", sqlite_sql.SET_NEEDS.replace("excluded.needs", "rule.needs"))
    assert not passes(sqlite(), time, ORDER)


@needs_postgres
def test_a_cap_counted_without_a_lock_is_caught(postgres_url, time, monkeypatch):
    slow = "SELECT count(*), pg_sleep(0.3)::text FROM task WHERE pool = %(pool)s AND status = 'running'"

    def run(connection, statement, values=None, *, hot=False):
        rows = real_run(connection, slow if statement == postgres_sql.RUNNING else statement, values, hot=hot)
        return [row[:1] for row in rows] if statement == postgres_sql.RUNNING else rows

    real_run = postgres_turn.run
    monkeypatch.setattr(postgres_turn, "run", run)
    monkeypatch.setattr(postgres_turn, "locked_rule", unlocked)
    assert not passes(PostgresStore(postgres_url, clock=time), time, RACE)
    monkeypatch.undo()


def unlocked(connection, pool):
    from rollwright.pool.stores.postgres.rules import NO_RULE, Rule  # noqa: PLC0415 - only where there is a server

    rows = postgres_turn.run(connection, postgres_sql.READ_RULE, {"pool": pool})
    return Rule(needs=tuple(rows[0][1]), max_running=rows[0][0]) if rows else NO_RULE


@needs_postgres
def test_needs_that_are_remembered_for_ever_are_caught(postgres_url, time, monkeypatch):
    turn = postgres_sql.turn

    def unchecked(*arguments, **terms):
        return turn(*arguments, **{**terms, "checked": False})

    monkeypatch.setattr(postgres_turn.sql, "turn", unchecked)
    assert not passes(PostgresStore(postgres_url, clock=time), time, NEW)


def test_a_cap_of_mongodb_without_its_lock_is_caught(mongo_url, time, monkeypatch):
    count = MongoPools.room

    def slow(self, pool, limit):
        found = count(self, pool, limit)
        real_time.sleep(0.01)
        return found

    monkeypatch.setattr(MongoPools, "room", slow)
    monkeypatch.setattr(MongoPools, "_acquire", lambda self, pool, key: True)
    monkeypatch.setattr("rollwright.pool.stores.mongo.pools.Lock.kept", property(lambda _: True, lambda *_: None))
    assert not passes(MongoStore(mongo_url, clock=time), time, RACE)


def test_a_client_that_lost_the_lock_gives_back_what_it_took(mongo_url, time):
    """A client stands still in the block while another takes the lock over."""
    slow, other = MongoStore(mongo_url, clock=time), MongoStore(mongo_url, clock=time)
    pool = StoreUnderTest(store=slow, advance=time.advance)
    pool.put("a", "b", "c")
    slow.set_share("pool", max_running=1)
    room, taken = slow._pools.room, []

    def stand_still(name, limit):
        found = room(name, limit)
        time.advance(6.0)
        taken.extend(StoreUnderTest(store=other, advance=time.advance).claim(owner="w2"))
        return found

    slow._pools.room = stand_still
    assert pool.claim(owner="w1") == []
    assert [lease.owner for lease in taken] == ["w2"]
    assert slow.shares(["pool"])[0].running == 1
    slow.close()
    other.close()
