"""The suite must fail on stores that are broken in the ways real ones are; here they are."""

from __future__ import annotations

import inspect
import time as real_time
from dataclasses import replace

import pytest

from rollwright.pool.query import matches
from rollwright.pool.store import document_of
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite import statements as sqlite_sql
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.testing.pool import StoreUnderTest, TaskStoreConformance

ENDINGS = ("DONE", "PART_DONE", "RETRY", "FAILED", "RELEASED", "CANCELLED")


def passes(make_store, clock, name):
    """Tell whether a store passes one test of the suite."""
    method = getattr(TaskStoreConformance(), name)
    arguments = {"kind": "done"} if "kind" in inspect.signature(method).parameters else {}
    store = make_store()
    try:
        method(StoreUnderTest(store=store, advance=clock.advance), **arguments)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however the test fails, it has noticed
        return False
    finally:
        store.close()
    return True


@pytest.fixture
def sqlite_files(tmp_path, time):
    numbers = iter(range(1000))
    return lambda: SqliteStore(tmp_path / f"{next(numbers)}.db", clock=time, durable=False)


def test_nofence_is_caught(sqlite_files, time, monkeypatch):
    for name in ENDINGS:
        statement = getattr(sqlite_sql, name)
        broken = statement.replace("AND token = ? AND status = 'running'", "AND (? OR 1)")
        assert broken != statement
        monkeypatch.setattr(sqlite_sql, name, broken)
    assert not passes(sqlite_files, time, "test_a_second_commit_is_refused")
    assert not passes(sqlite_files, time, "test_a_stale_outcome_is_refused_after_a_reap")


def test_statusonly_is_caught_by_the_directed_schedule(sqlite_files, time, monkeypatch):
    for name in ENDINGS:
        monkeypatch.setattr(sqlite_sql, name, getattr(sqlite_sql, name).replace("AND token = ?", "AND (? OR 1)"))
    assert not passes(sqlite_files, time, "test_a_stale_outcome_is_refused_while_another_runs_the_task")


def test_racy_claim_is_caught(time):
    class Racy(MemoryStore):
        def claim(self, claim):
            ready = [
                record
                for record in list(self._tasks.values())
                if record.status is claim.status and matches(claim.query, document_of(record))
            ][: claim.limit]
            real_time.sleep(0.001)
            return [self._take(record, claim, self._clock()) for record in ready]

    assert not passes(lambda: Racy(clock=time), time, "test_many_threads_claim_disjoint_tasks")


def test_noexpire_is_caught(sqlite_files, time, monkeypatch):
    monkeypatch.setattr(sqlite_sql, "CHORES", "SELECT 0, 0 WHERE ? OR ?")
    assert not passes(sqlite_files, time, "test_an_ended_lease_is_claimable_at_once")


def test_twotxn_is_caught(time):
    class TwoTransactions(MemoryStore):
        def _end(self, record, outcome, now):
            status = super()._end(record, replace(outcome, result=None), now)
            self._mutex.release()
            real_time.sleep(0.001)
            self._mutex.acquire()
            key = int(record.task_id)
            self._tasks[key] = replace(self._tasks[key], result=outcome.result)
            return status

    assert not passes(lambda: TwoTransactions(clock=time), time, "test_nobody_sees_a_task_done_without_its_result")


def test_dup_is_caught(sqlite_files, time, monkeypatch):
    first = tuple(statement.replace("CREATE UNIQUE INDEX", "CREATE INDEX") for statement in sqlite_sql.MIGRATIONS[0])
    monkeypatch.setattr(sqlite_sql, "MIGRATIONS", (first, *sqlite_sql.MIGRATIONS[1:]))
    monkeypatch.setattr(sqlite_sql, "INSERT", sqlite_sql.INSERT.partition("ON CONFLICT")[0])
    assert not passes(sqlite_files, time, "test_putting_again_changes_nothing")


def test_a_lease_by_the_workers_clock_is_caught(time):
    class Skewed(MemoryStore):
        def claim(self, claim):
            shift = 3600.0 if claim.owner == "w2" else 0.0
            time.advance(shift)
            try:
                return super().claim(claim)
            finally:
                time.advance(-shift)

    assert not passes(lambda: Skewed(clock=time), time, "test_a_live_lease_is_never_taken")


def test_a_token_not_raised_at_the_reap_is_caught(sqlite_files, time, monkeypatch):
    monkeypatch.setattr(sqlite_sql, "REAP", sqlite_sql.REAP.replace("token = token + 1", "token = token"))
    assert not passes(sqlite_files, time, "test_tokens_only_rise")
