"""What is particular to a file: versions, damage, a full disk, networks, and the plan of a claim."""

from __future__ import annotations

import os
import random
import sqlite3
import threading

import pytest

from rollwright.core import posix
from rollwright.core.locks import probe_lock
from rollwright.errors import ConfigError, MissingExtraError, SchemaVersionError, StoreUnavailableError
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, NewTask, Outcome
from rollwright.pool.stores.sqlite import statements as sqlite_sql
from rollwright.pool.stores.sqlite.file import SqliteFile
from rollwright.pool.stores.sqlite.notify_pipe import NotifyPipe
from rollwright.pool.stores.sqlite.query import where
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.stores.sqlite.writes import claim_statement
from rollwright.pool.worker.backoff import Backoff, worth_retrying


def new(*names, **fields):
    return [NewTask.of({"name": name, **fields}) for name in names]


def test_a_later_schema_is_refused(file_store):
    file_store.put("p", new("a"))
    file_store.close()
    with sqlite3.connect(file_store.path) as connection:
        connection.execute(f"PRAGMA user_version = {sqlite_sql.SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(SchemaVersionError, match="update rollwright"):
        file_store.count("p")


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    before = path.read_bytes()
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailableError, match="another program's"):
        store.put("p", new("a"))
    store.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database at all, but it is long enough" * 40])
def test_a_file_that_is_no_database_is_named(tmp_path, content):
    path = tmp_path / "pool.db"
    path.write_bytes(content)
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailableError, match=r"pool\.db") as caught:
        store.put("p", new("a"))
    assert "you may move it away" in str(caught.value)
    store.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = SqliteStore(tmp_path / "file" / "pool.db")
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        store.count("p")


def test_i16_a_full_disk_is_told_as_such_and_nothing_is_half_done(file_store):
    """SQLite has rolled back by itself then; rolling back again would hide the true error."""
    ids = file_store.put("p", new("a")).ids
    with file_store._file.read() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    def fill():
        for number in range(1000):
            file_store.put("p", new(f"n{number}", pad="x" * 4000))

    with pytest.raises(StoreUnavailableError, match="full") as caught:
        fill()
    assert "free some space" in str(caught.value)
    with file_store._file.read() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert file_store.get("p", ids)[0].status is Status.WAITING
    stored = sum(1 for _ in file_store.find("p"))
    assert sum(file_store.count("p").values()) == stored
    assert len(file_store.read_history("p")) == stored
    assert file_store.put("p", new("later")).created == 1


def test_a_writer_that_does_not_end_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(posix, "fcntl", None)  # without the lock, SQLite's own waiting decides
    store = SqliteStore(tmp_path / "pool.db", timeout=0.05)
    store.put("p", new("a"))
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        store.put("p", new("b"))
    other.execute("ROLLBACK")
    other.close()
    assert store.put("p", new("b")).created == 1
    store.close()


def test_without_locks_leases_alone_decide(tmp_path, monkeypatch, time):
    monkeypatch.setattr(posix, "fcntl", None)
    store = SqliteStore(tmp_path / "pool.db", clock=time)
    store.put("p", new("a"))
    store.claim(ClaimRequest(pool="p", owner="w", lease=60))
    assert store.reap() == []
    time.advance(61)
    assert store.reap() == ["1"]
    store.close()


@pytest.mark.parametrize(
    ("kind", "refused"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("fuse.fuse-overlayfs", False)],
)
def test_network_filesystems_are_refused(tmp_path, monkeypatch, kind, refused):
    class Mount:
        mountpoint = str(tmp_path)
        fstype = kind

    monkeypatch.setattr("psutil.disk_partitions", lambda **_: [Mount()])
    store = SqliteStore(tmp_path / "pool.db")
    if refused:
        with pytest.raises(StoreUnavailableError, match=kind):
            store.count("p")
        assert not store.path.exists()
    else:
        assert store.count("p")[Status.WAITING] == 0
    store.close()


def test_an_injection_changes_nothing(file_store):
    name = "x'; DROP TABLE task;--"
    file_store.put(name, new("a"))
    for query in (
        {"def.x') OR 1=1 --": 1},
        {"def.name": name},
        {"owner": name},
        {"_id": name},
        {"_id": {"$in": [name]}},
    ):
        assert list(file_store.find(name, parse(query))) == []
    assert [record.pool for record in file_store.find(name)] == [name]


@pytest.mark.parametrize("among", ["=", "IN"])
@pytest.mark.parametrize("needs", ["one", "some"])
@pytest.mark.parametrize("status", [Status.WAITING, Status.PART_DONE])
def test_a_claim_reads_only_tasks_that_can_be_claimed(file_store, status, among, needs):
    condition, values = where(parse({"def.name": "a"}))
    pick = sqlite_sql.PICK_ONE if needs == "one" else sqlite_sql.PICK_SOME
    statement = claim_statement(sqlite_sql.CLAIM, status.value, among, pick, condition)
    picked = ("p", "", *values, 1) if needs == "one" else ("[]", "p", *values, 1, 1)
    with file_store._file.read() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", ("o", "p", 1.0, 1.0, *picked)).fetchall()
    text = " / ".join(row[3] for row in plan)
    assert "USING INDEX task_open (pool=? AND status=? AND lease_ends=? AND needs=?)" in text
    assert "SCAN task" not in text
    assert ("TEMP B-TREE" in text) is (needs == "some"), "only the few that are looked at are sorted"


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        (sqlite_sql.ANY_EXPIRED, (1.0,), "task_open (pool=? AND status=? AND lease_ends<?)"),
        (sqlite_sql.CHORES, (1.0, "p"), "task_open (pool=? AND status=? AND lease_ends<?)"),
        (sqlite_sql.PROMOTE, (1.0,), "task_delayed (due<?)"),
        (sqlite_sql.RENEW, (1.0, "o"), "task_open (pool=? AND status=?)"),
        (sqlite_sql.RUNNING_PROCESSES, (), "task_open (pool=? AND status=?)"),
        (sqlite_sql.REAP.format(where=""), (1.0, 1.0, "[]"), "task_open (pool=? AND status=?)"),
        (sqlite_sql.REAP.format(where=" AND pool = ?"), (1.0, 1.0, "[]", "p"), "task_open (pool=? AND status=?)"),
    ],
)
def test_looking_after_leases_and_due_tasks_reads_only_those(file_store, statement, values, index):
    with file_store._file.read() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    assert any(index in row[3] for row in plan)
    assert not any(row[3].startswith("SCAN task") for row in plan)


def test_counting_reads_no_finished_task(file_store):
    with file_store._file.read() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sqlite_sql.TALLY}", ("p",)).fetchall()
    reads = [row[3] for row in plan if " task " in f"{row[3]} "]
    assert len(reads) == 3
    assert all("task_open" in text or "task_delayed" in text or "task_failed" in text for text in reads)


def test_history_is_by_time_and_that_of_one_task_in_its_order_though_the_clock_was_set_back(tmp_path, time):
    store = SqliteStore(tmp_path / "pool.db", clock=time, durable=False)
    time.seconds = 1000.0
    first, second = store.put("p", new("a", "b")).ids
    time.seconds = 2000.0
    (lease,) = store.claim(ClaimRequest(pool="p", owner="w", lease=60))
    time.seconds = 1500.0
    (other,) = store.claim(ClaimRequest(pool="p", owner="w", lease=6000))
    store.settle([Outcome.done(lease)]).check()
    rows = store.read_history("p")
    assert [(row.task_id, row.event) for row in rows] == [
        (first, "created"),
        (second, "created"),
        (second, "claimed"),
        (first, "claimed"),
        (first, "done"),
    ]
    assert other.task_id == second
    store.close()


def test_what_a_task_was_is_told_when_it_is_gone(file_store):
    (kept, gone) = file_store.put("p", new("a", "b")).ids
    assert file_store.delete("p", parse({"_id": gone})) == 1
    assert [row.event for row in file_store.read_history("p", [gone])] == ["created", "deleted"]
    assert [row.event for row in file_store.read_history("p", [kept])] == ["created"]
    assert [row.event for row in file_store.read_history("p")] == ["created", "created", "deleted"]
    with file_store._file.read() as connection:
        assert connection.execute("SELECT task FROM document").fetchall() == [(int(kept),)]


def test_two_stores_of_one_file_see_the_same(file_store):
    other = SqliteStore(file_store.path)
    ids = file_store.put("p", new("a")).ids
    assert other.put("p", new("a")).ids == ids
    (lease,) = other.claim(ClaimRequest(pool="p", owner="w", lease=60))
    assert file_store.claim(ClaimRequest(pool="p", owner="v", lease=60)) == []
    other.close()  # the process lives, so its task is still its own
    assert file_store.reap() == []
    file_store.settle([Outcome.done(lease)]).check()


def test_threads_that_start_together_make_one_schema(tmp_path):
    stores = [SqliteStore(tmp_path / "pool.db") for _ in range(4)]
    barrier = threading.Barrier(4)
    failures = []

    def work(store):
        barrier.wait()
        try:
            store.put("p", new("a", "b"))
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stores[0].count("p")[Status.WAITING] == 2
    stores[0].close()


def test_a_file_is_made_by_one_process_at_a_time(tmp_path, monkeypatch):
    held = []
    make = SqliteFile._initialise

    def initialise(file, connection):
        held.append(probe_lock(file.beside("lock")))
        make(file, connection)

    monkeypatch.setattr(SqliteFile, "_initialise", initialise)
    store = SqliteStore(tmp_path / "pool.db")
    store.put("p", new("a"))
    store.close()
    assert held == [True]


def test_migrating_removes_the_files_of_dead_processes_but_those_that_hold_tasks(file_store):
    """By that file alone `reap` finds out that the process is dead."""
    file_store.put("p", new("a"))
    file_store.claim(ClaimRequest(pool="p", owner="w", lease=600))
    folder = file_store.path.with_name("pool.db-owners")
    with file_store._file.write() as connection:  # as a process that was killed leaves it: nobody holds the locks
        connection.execute("UPDATE task SET process = '1-dead'")
    for name in ("1-dead", "2-dead"):
        (folder / name).touch()
    file_store.migrate()
    left = {path.name for path in folder.iterdir()}
    assert "1-dead" in left
    assert "2-dead" not in left
    assert file_store.reap() == ["1"]


def test_i12_waiting_times_double_and_stay_within_their_jitter():
    backoff = Backoff(base=1.0, cap=60.0, jitter=0.2)
    generator = random.Random(7)
    for attempt in range(1, 100):
        middle = min(2.0 ** (attempt - 1), 60.0)
        for _ in range(100):
            assert 0.8 * middle <= backoff.delay(attempt, generator=generator) <= 1.2 * middle


def test_only_what_may_go_better_is_tried_again():
    assert worth_retrying(RuntimeError())
    assert worth_retrying(StoreUnavailableError("away"))
    assert not worth_retrying(ConfigError("never good"))
    assert not worth_retrying(MissingExtraError("lightgbm", "lightgbm"))
    assert not any(worth_retrying(mistake()) for mistake in (TypeError, KeyError, ZeroDivisionError, NameError))


def test_a_listener_that_has_to_look_hears_others_and_this_process_but_not_that_nothing_changed(
    file_store, monkeypatch
):
    """Without named pipes; a worker that woke itself by looking would never rest."""
    monkeypatch.setattr(NotifyPipe, "create", classmethod(lambda *_: None))
    other = SqliteStore(file_store.path)
    waker = file_store.waker("p")
    assert file_store.claim(ClaimRequest(pool="p", owner="w", lease=60)) == []
    assert other.claim(ClaimRequest(pool="p", owner="w", lease=60)) == []
    assert file_store.reap() == []
    assert not waker.wait(0.01)
    for store in (file_store, other):
        store.put("p", new(f"{id(store)}"))
        assert waker.wait(20)
        assert not waker.wait(0.0)
    waker.close()
    other.close()


def test_the_pipes_of_dead_listeners_are_removed(file_store):
    file_store.put("p", new("a"))
    folder = file_store.path.with_name("pool.db-notify")
    waker = file_store.waker("p")
    (pipe,) = folder.iterdir()
    dead = folder / f"{pipe.name}x"
    os.mkfifo(dead)  # as a killed process leaves it: nobody has it open
    file_store.put("p", new("b"))
    assert list(folder.iterdir()) == [pipe]
    assert waker.wait(20)
    waker.close()
    assert list(folder.iterdir()) == []


def test_a_folder_without_named_pipes_is_polled_instead(file_store, monkeypatch):
    def refused(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkfifo", refused)
    waker = file_store.waker("p")
    file_store.put("p", new("a"))
    assert waker.wait(20)
    waker.close()


def test_a_pipe_that_nobody_reads_never_blocks_who_notifies(file_store):
    waker = file_store.waker("p")
    (pipe,) = file_store.path.with_name("pool.db-notify").iterdir()
    full = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    while True:
        try:
            os.write(full, b"!" * 4096)
        except BlockingIOError:
            break
    os.close(full)
    file_store.notify("p")
    assert waker.wait(0)
    waker.close()


def test_an_ended_lease_is_seen_within_moments_while_other_tasks_wait(tmp_path):
    now = [1000.0]
    store = SqliteStore(tmp_path / "pool.db", durable=False, clock=lambda: now[0])
    asked = ClaimRequest(pool="p", owner="w", lease=10.0)
    (first,) = store.put("p", new("a")).ids
    store.put("p", new("b", "c", "d"))
    assert [one.task_id for one in store.claim(asked)] == [first]
    now[0] += 9.99
    store.claim(asked)  # looks, and finds the lease not ended
    now[0] += 0.02
    assert [one.task_id for one in store.claim(asked)] != [first]
    now[0] += 0.05
    assert [one.task_id for one in store.claim(asked)] == [first]
    store.close()


def test_a_claim_that_finds_too_few_looks_for_ended_leases_at_once(tmp_path):
    now = [1000.0]
    store = SqliteStore(tmp_path / "pool.db", durable=False, clock=lambda: now[0])
    asked = ClaimRequest(pool="p", owner="w", lease=0.02, limit=2)
    store.put("p", new("a", "b"))
    assert len(store.claim(asked)) == 2
    now[0] += 0.03
    assert len(store.claim(asked)) == 2
    store.close()
