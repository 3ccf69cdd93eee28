"""Every suite must fail on MongoDB stores that are broken in the ways real ones are; here they are."""

from __future__ import annotations

import inspect
import time as real_time

import pytest
from bson import ObjectId
from pymongo import ReturnDocument

from rollwright.pool.states import Status
from rollwright.pool.stores.mongo import writes as mongo_changes
from rollwright.pool.stores.mongo.connection import MongoConnection
from rollwright.pool.stores.mongo.store import MongoStore
from rollwright.testing.pool import StoreUnderTest, TaskStoreConformance


@pytest.fixture
def passes(mongo_url, time):
    """Tell whether a kind of store passes one test of the suite."""

    def tell(name, kind=MongoStore):
        method = getattr(TaskStoreConformance(), name)
        arguments = {"kind": "done"} if "kind" in inspect.signature(method).parameters else {}
        store = kind(mongo_url, clock=time)
        try:
            method(StoreUnderTest(store=store, advance=time.advance), **arguments)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however the test fails, it has noticed
            return False
        finally:
            store.database.client.drop_database(store.database.name)
            store.close()
        return True

    return tell


NOTICED = {
    "no fence": ["test_a_second_commit_is_refused", "test_a_stale_outcome_is_refused_after_a_reap"],
    "status only": ["test_a_stale_outcome_is_refused_while_another_runs_the_task"],
    "racy claim": ["test_many_threads_claim_disjoint_tasks"],
    "no expiry": ["test_an_ended_lease_is_claimable_at_once", "test_dying_uses_attempts_too"],
    "two writes": ["test_nobody_sees_a_task_done_without_its_result"],
    "no unique key": ["test_many_threads_put_the_same_tasks_once"],
    "worker clock": ["test_a_live_lease_is_never_taken"],
    "token kept at the reap": ["test_tokens_only_rise"],
    "history apart": ["test_history_tells_the_state_of_every_task"],
    "pause forgotten": ["test_a_paused_pool_gives_nothing"],
}


def test_the_store_itself_passes_what_its_mutants_fail(passes):
    for names in NOTICED.values():
        assert all(passes(name) for name in names)


def assert_noticed(passes, mutant, kind=MongoStore):
    assert not any(passes(name, kind) for name in NOTICED[mutant])


def test_nofence_is_caught(passes, monkeypatch):
    monkeypatch.setattr(mongo_changes, "fence", lambda outcome: {"_id": int(outcome.task_id)})
    assert_noticed(passes, "no fence")


def test_statusonly_is_caught_by_the_directed_schedule(passes, monkeypatch):
    monkeypatch.setattr(
        mongo_changes, "fence", lambda outcome: {"_id": int(outcome.task_id), "status": Status.RUNNING.value}
    )
    assert_noticed(passes, "status only")


def test_racy_claim_is_caught(passes):
    class Racy(MongoStore):
        def _take(self, claim, needs):
            seen = self._db.tasks.find_one(mongo_changes.claimable(claim, needs), sort=[("_id", 1)])
            real_time.sleep(0.002)
            if seen is None:
                return None
            update = mongo_changes.claimed(claim, ObjectId(), self._db.clock())
            return self._db.tasks.find_one_and_update(
                {"_id": seen["_id"]}, update, return_document=ReturnDocument.AFTER
            )

    assert_noticed(passes, "racy claim", Racy)


def test_noexpire_is_caught(passes):
    class NoExpiry(MongoStore):
        def _reap(self, now, limits, condition=None):
            return []

    assert_noticed(passes, "no expiry", NoExpiry)


def test_two_writes_instead_of_one_are_caught(passes):
    class TwoWrites(MongoStore):
        def _change(self, allowed, change):
            whole = change.update
            late = {name: whole["$set"].pop(name) for name in ("result", "validity") if name in whole.get("$set", {})}
            found = self._db.tasks.find_one_and_update(allowed, whole, return_document=ReturnDocument.AFTER)
            if late and found is not None:
                real_time.sleep(0.005)
                self._db.tasks.update_one({"_id": allowed["_id"]}, {"$set": late})
            return found

    assert_noticed(passes, "two writes", TwoWrites)


def test_dup_is_caught(passes, monkeypatch):
    class NoUniqueKey(MongoConnection):
        def _initialise(self, database):
            super()._initialise(database)
            database["rollwright_tasks"].drop_index("identity")

        def allocate(self, count):
            real_time.sleep(0.005)
            return super().allocate(count)

    monkeypatch.setattr("rollwright.pool.stores.mongo.store.MongoConnection", NoUniqueKey)
    assert_noticed(passes, "no unique key")


def test_a_lease_by_the_workers_clock_is_caught(passes, time):
    class Skewed(MongoStore):
        def claim(self, claim):
            shift = 3600.0 if claim.owner == "w2" else 0.0
            time.advance(shift)
            try:
                return super().claim(claim)
            finally:
                time.advance(-shift)

    assert_noticed(passes, "worker clock", Skewed)


def test_a_token_not_raised_at_the_reap_is_caught(passes, monkeypatch):
    monkeypatch.setattr(mongo_changes.Change, "raise_token", lambda self: None)
    assert_noticed(passes, "token kept at the reap")


def test_history_that_is_not_written_with_the_change_is_caught(passes, monkeypatch):
    note = mongo_changes.Change.note
    monkeypatch.setattr(
        mongo_changes.Change, "note", lambda self, event, **more: event == "done" or note(self, event, **more)
    )
    assert_noticed(passes, "history apart")


def test_a_pause_that_is_not_looked_at_is_caught(passes):
    class Restless(MongoStore):
        def pause(self, pool, *, reason=None):
            super().pause(pool, reason=reason)
            return super().resume(pool)

    assert_noticed(passes, "pause forgotten", Restless)
