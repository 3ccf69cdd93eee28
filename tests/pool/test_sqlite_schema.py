"""Files of earlier schemas go on as they are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, Outcome
from rollwright.pool.stores.sqlite import statements as sqlite_sql
from rollwright.pool.stores.sqlite.store import SqliteStore

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def old_store(tmp_path, time):
    path = tmp_path / "pool.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript((FIXTURES / "pool-schema-1.sql").read_text(encoding="utf-8"))
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    time.seconds = 1_700_000_010.0
    store = SqliteStore(path, clock=time, durable=False)
    yield store
    store.close()


def test_a_file_of_schema_1_keeps_its_tasks_and_their_history(old_store):
    records = {record.task_id: record for record in old_store.find("p")}
    assert [records[task_id].status for task_id in "12345"] == [
        Status.WAITING,
        Status.RUNNING,
        Status.PART_DONE,
        Status.FAILED,
        Status.DONE,
    ]
    assert (records["5"].result, records["5"].validity) == ('{"ic":0.05}', '{"data":"7"}')
    assert records["4"].error == "RuntimeError: no"
    assert [row.event for row in old_store.read_history("p", ["5"])] == ["created", "claimed", "done"]
    assert [row.event for row in old_store.read_history("p", ["1"])] == ["created"]
    assert len(old_store.read_history("p")) == 12
    assert old_store.count("p") == dict.fromkeys(Status, 1) | {Status.CANCELLED: 0}
    assert old_store.count("q") == dict.fromkeys(Status, 0) | {Status.WAITING: 1}
    assert [record.task_id for record in old_store.find("p", parse({"def.name": "c"}))] == ["3"]
    with sqlite3.connect(old_store.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (sqlite_sql.SCHEMA_VERSION,)
    connection.close()


def test_a_file_of_schema_1_goes_on_and_can_be_paused(old_store, time):
    old_store.settle([Outcome(task_id="2", token=1, kind="done", result="2")]).check()
    assert old_store.pause("p")
    assert old_store.claim(ClaimRequest(pool="p", owner="w", lease=60)) == []
    assert old_store.resume("p")
    (lease,) = old_store.claim(ClaimRequest(pool="p", owner="w", lease=60))
    assert lease.task_id == "1"
    time.advance(30)
    (later,) = old_store.claim(ClaimRequest(pool="q", owner="w", lease=60))
    assert later.definition == {"name": "later"}


def test_what_goes_on_in_an_old_file_is_told_after_what_was_before(old_store):
    old_store.settle([Outcome(task_id="2", token=1, kind="done", result="2")]).check()
    assert [row.event for row in old_store.read_history("p", ["2"])] == ["created", "claimed", "done"]
    assert old_store.count("p")[Status.DONE] == 2
    assert old_store.delete("p", parse({"_id": "1"})) == 1
    assert [row.event for row in old_store.read_history("p", ["1"])] == ["created", "deleted"]
