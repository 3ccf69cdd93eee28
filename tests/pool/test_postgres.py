"""The shipped suite on PostgreSQL, commands in any order, and proof that both would see what is broken."""

from __future__ import annotations

import inspect
import secrets
from dataclasses import replace

import pytest
from hypothesis import settings

import postgres_server
from rollwright.testing.pool import StoreUnderTest, TaskStoreConformance
from rollwright.testing.pool_machine import PoolMachine

REASON = postgres_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
if REASON is None:
    from rollwright.pool.stores.postgres import connection as postgres_connection
    from rollwright.pool.stores.postgres import schema as postgres_schema
    from rollwright.pool.stores.postgres import statements as postgres_sql
    from rollwright.pool.stores.postgres import writes as postgres_writes
    from rollwright.pool.stores.postgres.store import PostgresStore


class FakeTime:
    def __init__(self):
        self.now = 1_000_000_000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class TestPostgresStore(TaskStoreConformance):
    @pytest.fixture
    def pool(self, postgres_url, monkeypatch):
        time = FakeTime()
        store = PostgresStore(postgres_url, clock=time)

        def before_replacing(function):
            def run(connection, statement, *arguments):
                if "SET definition = " in statement:
                    function()
                return postgres_connection.run(connection, statement, *arguments)

            monkeypatch.setattr(postgres_writes, "run", run)

        yield StoreUnderTest(store=store, advance=time.advance, before_replacing=before_replacing)
        store.close()


# -- commands in any order ---------------------------------------------------------------------------------------------


class _Machines(PoolMachine):
    """Each example has a schema of its own, which `database` is the place for."""

    database = ""

    @classmethod
    def open_store(cls, clock):
        return PostgresStore(f"{cls.database}schema=m{secrets.token_hex(6)}", clock=clock)

    def teardown(self):
        store = self.store
        store._rows(f"DROP SCHEMA {store._address.schema} CASCADE")
        super().teardown()


@pytest.fixture
def _machines_database(postgres_database):
    _Machines.database = postgres_database + ("&" if "?" in postgres_database else "?")


@pytest.mark.usefixtures("_machines_database")
class TestFewCommands(_Machines.TestCase):
    settings = settings(max_examples=30, stateful_step_count=40)


@pytest.mark.slow
@pytest.mark.usefixtures("_machines_database")
class TestManyCommands(_Machines.TestCase):
    settings = settings(max_examples=200, stateful_step_count=40)


# -- mutants -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def passes(postgres_database, monkeypatch):
    """Tell whether a store with some statements broken passes one test of the suite."""
    mark = "&" if "?" in postgres_database else "?"

    def judge(name, *, kind=None, **broken):
        time = FakeTime()
        for statement, pairs in broken.items():
            place = postgres_sql if hasattr(postgres_sql, statement) else postgres_schema
            for good, bad in pairs:
                before = getattr(place, statement)
                changed = before.replace(good, bad) if isinstance(before, str) else _replaced(before, good, bad)
                assert changed != before, statement
                monkeypatch.setattr(place, statement, changed)
        postgres_sql.turn.cache_clear()
        url = f"{postgres_database}{mark}schema=x{secrets.token_hex(6)}"
        store = kind(url, time) if kind is not None else PostgresStore(url, clock=time)
        method = getattr(TaskStoreConformance(), name)
        arguments = {"kind": "done"} if "kind" in inspect.signature(method).parameters else {}
        try:
            method(StoreUnderTest(store=store, advance=time.advance), **arguments)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however the test fails, it has noticed
            return False
        finally:
            store.close()
            monkeypatch.undo()
            postgres_sql.turn.cache_clear()
        return True

    return judge


def _replaced(migrations, good, bad):
    return tuple(tuple(statement.replace(good, bad) for statement in version) for version in migrations)


def test_the_sound_store_passes_what_the_mutants_fail(passes):
    for name in (
        "test_a_stale_outcome_is_refused_while_another_runs_the_task",
        "test_an_ended_lease_is_claimable_at_once",
        "test_putting_again_changes_nothing",
        "test_tokens_only_rise",
        "test_a_live_lease_is_never_taken",
    ):
        assert passes(name)


def test_nofence_is_caught(passes):
    broken = (postgres_sql.FENCE, "task.id = {task}")
    assert not passes("test_a_second_commit_is_refused", FENCE=[broken])
    assert not passes("test_a_stale_outcome_is_refused_after_a_reap", FENCE=[broken])


def test_statusonly_is_caught_by_the_directed_schedule(passes):
    broken = ("AND task.token = {token} ", "")
    assert not passes("test_a_stale_outcome_is_refused_while_another_runs_the_task", FENCE=[broken])


def test_racy_claim_is_caught(passes):
    nap = ("SELECT id FROM picked)", "SELECT id FROM picked, LATERAL (SELECT pg_sleep(0.003)) AS nap)")
    assert passes("test_many_threads_claim_disjoint_tasks", _TAKEN=[nap])
    racy = ("FOR UPDATE SKIP LOCKED", "")
    assert not passes("test_many_threads_claim_disjoint_tasks", _TAKEN=[nap], PICKED=[racy])


def test_noexpire_is_caught(passes):
    broken = (f"lease_until < {postgres_sql.NOW}", "false")
    assert not passes("test_an_ended_lease_is_claimable_at_once", REAP=[broken])


def test_dup_is_caught(passes):
    index = ("CREATE UNIQUE INDEX task_identity", "CREATE INDEX task_identity")
    unlooked = ("ON task.pool = %(pool)s AND task.fingerprint = given.fingerprint)", "ON false)")
    assert passes("test_putting_again_changes_nothing", PUT=[unlooked])  # the index alone sees to it
    blind = ("ON CONFLICT (pool, fingerprint) DO NOTHING", "")
    assert not passes("test_putting_again_changes_nothing", MIGRATIONS=[index], PUT=[unlooked, blind])


def test_a_token_not_raised_at_the_reap_is_caught(passes):
    assert not passes("test_tokens_only_rise", REAP=[("token = token + 1", "token = token")])


def test_a_turn_that_writes_no_history_is_caught(passes):
    assert not passes("test_every_change_is_in_the_history", _LOGGED=[("{changed})", "{changed} LIMIT 0)")])


def test_twotxn_is_caught(passes):
    def two(url, time):
        class TwoTransactions(PostgresStore):
            def settle(self, outcomes, *, claim=None):
                settlement = super().settle([replace(outcome, result=None) for outcome in outcomes], claim=claim)
                for outcome in outcomes:
                    self._rows("UPDATE task SET result = '1' WHERE id = %(id)s", id=int(outcome.task_id))
                return settlement

        return TwoTransactions(url, clock=time)

    assert not passes("test_nobody_sees_a_task_done_without_its_result", kind=two)


def test_a_lease_by_the_workers_clock_is_caught(passes):
    def skewed(url, time):
        class Skewed(PostgresStore):
            def claim(self, claim):
                shift = 3600.0 if claim.owner == "w2" else 0.0
                time.advance(shift)
                try:
                    return super().claim(claim)
                finally:
                    time.advance(-shift)

        return Skewed(url, clock=time)

    assert not passes("test_a_live_lease_is_never_taken", kind=skewed)
