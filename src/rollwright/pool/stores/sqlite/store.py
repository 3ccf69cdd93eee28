"""The default store: one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

import functools
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any, Final, TypeAlias

from rollwright.core.clock import BootClock, SystemBootClock, SystemClock
from rollwright.core.text import storable_text
from rollwright.errors import (
    LeaseLostError,
)
from rollwright.pool.demand import check_share
from rollwright.pool.notifier import topics_of
from rollwright.pool.query import Query, is_by_status, matches, split_ids
from rollwright.pool.states import Status, amend_sources
from rollwright.pool.store import (
    Amendment,
    ClaimRequest,
    HistoryRow,
    Lease,
    MovedTask,
    NewTask,
    Outcome,
    PoolDemand,
    PoolShare,
    PoolStat,
    PutResult,
    Settlement,
    TaskRecord,
    Topic,
    Traits,
    Waker,
    check_movable,
    check_pool_name,
)
from rollwright.pool.stores.sql_reads import (
    IDS_CHUNK,
    PAGE,
    PUT_CHUNK,
    count_by_status,
    history_of_row,
    order_records,
    parse_ids,
    read_pages,
    sort_leases,
)
from rollwright.pool.stores.sqlite import statements as sql
from rollwright.pool.stores.sqlite.file import GivenClock, SqliteFile
from rollwright.pool.stores.sqlite.liveness import find_dead_processes, register_process, remove_process
from rollwright.pool.stores.sqlite.query import where
from rollwright.pool.stores.sqlite.reads import find_statement, read_counts
from rollwright.pool.stores.sqlite.rules import (
    adjustment,
    allowed,
    know_needs,
    read_demand,
    read_shares,
    set_share,
    stat_of,
)
from rollwright.pool.stores.sqlite.writes import (
    amend_terms,
    claim_statement,
    delay_values,
    end_attempt,
    find_refusal,
    leases_of_rows,
    moved_history,
    picking,
    replace_tasks,
    restore_values,
    tally,
)

__all__ = ["SqliteStore"]

_TERMINAL: Final = (Status.DONE, Status.FAILED, Status.CANCELLED)
_RUNNING: Final = Status.RUNNING.value
_LOOK_EVERY: Final = 0.05
"""Seconds for which a claim that finds enough tasks does not look for ended leases and delays again."""
_STEP: Final = 0.01
"""Seconds by which the wall clock has to leave its course for moments to be shown anew."""


_Change: TypeAlias = tuple[Any, ...]
"""A row of history: task, pool, time, event, status, token, attempt, owner, detail."""


@functools.cache
def _topics(event: str, status: str) -> tuple[Topic, ...]:
    """Return whom to notify of an event that left a task in a state; nobody waits for claims."""
    if event == "claimed":
        return ()
    return ("end",) if event == "deleted" else tuple(topics_of([Status(status)]))


class SqliteStore:
    """Tasks in one SQLite file in WAL mode.

    Parameters
    ----------
    path : Path or str
        The file; it is made, with its folder, at the first use. Not on a network filesystem: its locks are not
        to be trusted there.
    durable : bool
        True: what a method returned survives a power cut. False: it survives a killed process, and a power cut may
        lose the last commits, never corrupt.
    clock : callable, optional
        Returns seconds since 1970 UTC, which dates what happens; the machine's wall clock if not given.
    boot : BootClock, optional
        Decides when leases end and delayed tasks are due; the machine's own if not given, or `clock` when that is.
    timeout : float
        Seconds to wait for another writer before `StoreUnavailableError`.

    Guarantees: writers take turns in the order they came; a process that is killed loses its tasks at the next
    `reap`, not only when their leases end. However the wall clock is set, no lease ends and no delayed task is given
    to anybody early or late; when the machine was started anew all leases are over, and delayed tasks wait on, at most
    their whole delay. When the file was removed or replaced, every call is an error: nothing is said to be kept that
    is gone.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        durable: bool = True,
        clock: Callable[[], float] | None = None,
        boot: BootClock | None = None,
        timeout: float = 60.0,
    ) -> None:
        system = SystemClock()
        if boot is None:
            boot = SystemBootClock() if clock is None else GivenClock(clock)
        self._clock = clock if clock is not None else lambda: system.now().timestamp()
        self._uptime = boot.seconds
        self._shift = 0.0
        self._file = SqliteFile(path, durable=durable, timeout=timeout, clock=self._clock, boot=boot)
        self._owners = self._file.beside("owners")
        self._looked: dict[str, float] = {}

    @property
    def path(self) -> Path:
        """The file, absolute."""
        return self._file.path

    @property
    def traits(self) -> Traits:
        """Many processes of one machine, the machine's boot clock."""
        return Traits(
            time_precision=1e-6, multi_process=True, multi_host=False, can_notify=True, knows_dead_owners=True
        )

    def migrate(self) -> None:
        """Bring the file to this version's schema, and remove the files of processes that ended."""
        self._file.upgrade()
        if self._owners.is_dir():
            with self._file.read() as connection:
                holding = {row[0] for row in connection.execute(sql.RUNNING_PROCESSES)}
            names = [path.name for path in self._owners.iterdir() if path.name not in holding]
            for name in find_dead_processes(self._owners, names):
                remove_process(self._owners, name)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def waker(self, pool: str, *, topic: Topic = "work") -> Waker:
        """Return a new listener; on systems without named pipes it polls whether the file changed."""
        return self._file.waker(pool, topic=topic)

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all who listen, in whatever process."""
        self._file.notify(pool, topic=topic)

    def put(self, pool: str, tasks: Sequence[NewTask]) -> PutResult:
        """Add the tasks the pool does not have yet."""
        check_pool_name(pool)
        ids: list[str] = []
        created = 0
        for start in range(0, len(tasks), PUT_CHUNK):
            chunk = tasks[start : start + PUT_CHUNK]
            with self._file.write() as connection:
                known, new = self._put(connection, pool, chunk)
            ids += [str(known[task.fingerprint]) for task in chunk]
            created += new
        return PutResult(ids=tuple(ids), created=created)

    def _put(self, connection: sqlite3.Connection, pool: str, tasks: Sequence[NewTask]) -> tuple[dict[str, int], int]:
        """Insert what is new; return the ids of all by fingerprint, and how many are new."""
        know_needs(connection, pool, {task.needs.text for task in tasks})
        now, uptime = self._clock(), self._uptime()
        (last,) = connection.execute(sql.LAST_ID).fetchone()
        rows = (
            (
                pool,
                task.fingerprint,
                task.priority,
                task.max_attempts,
                *delay_values(task.delay, now, uptime),
                now,
                task.needs.text,
            )
            for task in tasks
        )
        connection.executemany(sql.INSERT, rows)
        prints = json.dumps([task.fingerprint for task in tasks])
        known: dict[str, int] = dict(connection.execute(sql.IDS_OF, (pool, prints)))
        # This transaction is the only writer, so everything beyond `last` is new here.
        texts = {number: task.canonical for task in tasks if (number := known[task.fingerprint]) > last}
        if texts:
            connection.executemany(sql.DOCUMENT, sorted(texts.items()))
            connection.execute(sql.GROW, (pool, len(texts)))
            self._file.note_change(pool, "work")
        return known, len(texts)

    def claim(self, claim: ClaimRequest) -> list[Lease]:
        """Take tasks: highest priority first, then the oldest."""
        with self._file.write() as connection:
            leases, changes = self._claim(connection, claim, self._clock(), self._uptime())
            self._write_history(connection, changes)
        return leases

    def _claim(
        self, connection: sqlite3.Connection, claim: ClaimRequest, now: float, uptime: float
    ) -> tuple[list[Lease], list[_Change]]:
        """Take tasks; return their leases, and the history of that to write.

        Ended leases and delays are looked for before, if nobody did of late, or after when there are too few tasks.
        """
        looked = abs(uptime - self._looked.get(claim.pool, -math.inf)) >= _LOOK_EVERY
        if looked:
            self._free_tasks(connection, claim.pool, uptime)
        leases = self._take(connection, claim, claim.limit, now, uptime)
        if not looked and len(leases) < claim.limit and self._free_tasks(connection, claim.pool, uptime):
            leases += self._take(connection, claim, claim.limit - len(leases), now, uptime)
        leases = sort_leases(leases)
        return leases, [
            (int(one.task_id), one.pool, now, "claimed", _RUNNING, one.token, one.attempt, one.owner, None)
            for one in leases
        ]

    def _free_tasks(self, connection: sqlite3.Connection, pool: str, uptime: float) -> bool:
        """Free the tasks of a pool whose lease ended, and those of all that are due; return whether there was any."""
        self._looked[pool] = uptime
        expired, due = connection.execute(sql.CHORES, (uptime, pool)).fetchone()
        if expired:
            self._reap(connection, [], " AND pool = ?", [pool])
        if due:
            connection.execute(sql.PROMOTE, (uptime,))
        return bool(expired or due)

    def _take(
        self, connection: sqlite3.Connection, claim: ClaimRequest, limit: int, now: float, uptime: float
    ) -> list[Lease]:
        needs, limit = allowed(connection, claim, limit)
        if limit <= 0:
            return []
        condition, values = where(claim.query)
        process = register_process(self._owners)
        pick, picked = picking(claim.pool, needs, values, limit)
        rows = connection.execute(
            claim_statement(sql.CLAIM, claim.status.value, "=" if limit == 1 else "IN", pick, condition),
            (claim.owner, process, uptime + claim.lease, now, *picked),
        ).fetchall()
        return leases_of_rows(rows, claim)

    def renew(self, owner: str, *, lease: float) -> dict[str, int]:
        """Extend the leases of all tasks `owner` holds."""
        with self._file.write() as connection:
            rows = connection.execute(sql.RENEW, (self._uptime() + lease, owner)).fetchall()
        return {str(task_id): token for task_id, token in rows}

    def settle(self, outcomes: Sequence[Outcome], *, claim: ClaimRequest | None = None) -> Settlement:
        """End attempts, and take the next tasks in the same transaction."""
        refused: list[LeaseLostError] = []
        statuses: dict[str, Status] = {}
        leases: list[Lease] = []
        changes: list[_Change] = []
        with self._file.write() as connection:
            now, uptime = self._clock(), self._uptime()
            for outcome in outcomes:
                event, row = end_attempt(connection, outcome, now, uptime)
                if row is None:
                    refused.append(find_refusal(connection, outcome))
                    continue
                statuses[outcome.task_id] = Status(row[1])
                changes.append((int(outcome.task_id), row[0], now, event, *row[1:], outcome.error))
            if claim is not None:
                leases, claimed = self._claim(connection, claim, now, uptime)
                changes += claimed
            self._write_history(connection, changes)
        return Settlement(refused=tuple(refused), statuses=statuses, leases=tuple(leases))

    def reap(self, pool: str | None = None, *, query: Query | None = None) -> list[str]:
        """Free the tasks whose lease ended or whose process is dead."""
        condition, values = where(query)
        if pool is not None:
            condition, values = f" AND pool = ?{condition}", [pool, *values]
        with self._file.read() as connection:
            processes = [row[0] for row in connection.execute(sql.RUNNING_PROCESSES)]
            dead = find_dead_processes(self._owners, processes)
            if not dead and connection.execute(sql.ANY_EXPIRED, (self._uptime(),)).fetchone() is None:
                return []  # nothing to write: looking costs no transaction
        with self._file.write() as connection:
            freed = self._reap(connection, dead, condition, values)
            holding = {row[0] for row in connection.execute(sql.RUNNING_PROCESSES)}
        for name in dead:
            if name not in holding:
                remove_process(self._owners, name)
        return freed

    def _reap(self, connection: sqlite3.Connection, dead: list[str], condition: str, values: list[object]) -> list[str]:
        now, statement = self._clock(), sql.REAP.format(where=condition)
        rows = connection.execute(statement, (now, self._uptime(), json.dumps(dead), *values)).fetchall()
        self._log(connection, now, "reaped", rows)
        return sorted((str(row[0]) for row in rows), key=int)

    def _log(self, connection: sqlite3.Connection, now: float, event: str, rows: Iterable[Sequence[Any]]) -> None:
        """Write one row of history for each (task, pool, status, token, attempt, owner[, detail]); note the changes."""
        changes = [
            (int(row[0]), row[1], now, event, row[2], row[3], row[4], row[5], row[6] if len(row) > 6 else None)
            for row in rows
        ]
        self._write_history(connection, changes)

    def _write_history(self, connection: sqlite3.Connection, changes: Sequence[_Change]) -> None:
        """Write the history of changes, those of one task in their order; note whom to notify."""
        if not changes:
            return
        connection.executemany(sql.HISTORY, changes)
        for pool, event, status in {(change[1], change[3], change[4]) for change in changes}:
            for topic in _topics(event, status):
                self._file.note_change(pool, topic)

    def _wall_shift(self) -> float:
        """Return what turns moments of the boot clock into those of the wall clock that are shown."""
        shift = self._clock() - self._uptime()
        if abs(shift - self._shift) > _STEP:
            self._shift = shift
        return self._shift

    def get(self, pool: str, task_ids: Sequence[str]) -> list[TaskRecord]:
        """Return the tasks, in the order asked."""
        with self._file.read() as connection:
            rows = connection.execute(sql.GET, (self._wall_shift(), pool, json.dumps(parse_ids(task_ids)))).fetchall()
        return order_records(pool, task_ids, rows)

    def find(self, pool: str, query: Query | None = None) -> Iterator[TaskRecord]:
        """Return the tasks that match, oldest first, read in pages."""
        for part in split_ids(query, IDS_CHUNK):
            yield from read_pages(self._reader(pool, part))

    def _reader(self, pool: str, query: Query | None) -> Callable[[int], list[tuple[Any, ...]]]:
        with self._file.read() as connection:
            statement, values = find_statement(connection, pool, query)

        def read(last: int) -> list[tuple[Any, ...]]:
            with self._file.read() as connection:
                return connection.execute(statement, (self._wall_shift(), pool, last, *values, PAGE)).fetchall()

        return read

    def count(self, pool: str, query: Query | None = None) -> dict[Status, int]:
        """Return how many tasks match, by state; without a query, finished tasks cost nothing."""
        with self._file.read() as connection:
            if query is None or is_by_status(query):
                return {
                    status: number * matches(query, {"status": status})
                    for status, number in tally(connection, pool).items()
                }
            rows = read_counts(connection, pool, query)
        return count_by_status(rows)

    def amend(self, pool: str, query: Query | None, amendment: Amendment) -> list[str]:
        """Change tasks by hand."""
        status = amendment.status
        sources = sorted(source.value for source in amend_sources(status)) if status is not None else []
        condition, values = where(query)
        changed: set[str] = set()
        with self._file.write() as connection:
            now = self._clock()
            # The last of them may change whether the query matches, so the state comes last.
            if amendment.replacement is not None:
                rows = replace_tasks(connection, pool, amendment.replacement, condition, values)
                self._log(connection, now, "replaced", rows)
                changed |= {str(row[0]) for row in rows}
                ids = json.dumps([int(task_id) for task_id in changed])
                condition, values = " AND id IN (SELECT value FROM json_each(?))", [ids]
            if amendment.priority is not None or amendment.max_attempts is not None or amendment.needs is not None:
                rows = connection.execute(
                    sql.ADJUST.format(where=condition), (*adjustment(connection, pool, amendment), pool, *values)
                ).fetchall()
                changed |= {str(row[0]) for row in rows}
                if rows and amendment.needs is not None:
                    self._file.note_change(pool, "work")
                ids = json.dumps([row[0] for row in rows])
                condition, values = " AND id IN (SELECT value FROM json_each(?))", [ids]
            if status is not None:
                more, extra = amend_terms(status, amendment.error)
                condition += " AND result IS NOT NULL" if status is Status.PART_DONE else ""
                rows = connection.execute(
                    sql.AMEND.format(more=more, where=condition),
                    (status.value, now if status in _TERMINAL else None, *extra, pool, json.dumps(sources), *values),
                ).fetchall()
                self._log(connection, now, "amended", rows)
                changed |= {str(row[0]) for row in rows}
        return sorted(changed, key=int)

    def delete(self, pool: str, query: Query | None, *, running: bool = False) -> int:
        """Remove tasks that match; their history stays."""
        condition, values = where(query)
        with self._file.write() as connection:
            connection.execute(sql.KEEP_CREATED.format(where=condition), (pool, running, *values))
            rows = connection.execute(sql.DELETE.format(where=condition), (pool, running, *values)).fetchall()
            if rows:
                connection.execute(sql.FORGET_DOCUMENTS, (json.dumps([row[0] for row in rows]),))
                connection.execute(sql.GROW, (pool, -len(rows)))
            self._log(connection, self._clock(), "deleted", rows)
        return len(rows)

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, are paused or have a share of their own, sorted."""
        with self._file.read() as connection:
            return [row[0] for row in connection.execute(sql.POOLS)]

    def pause(self, pool: str, *, reason: str | None = None) -> bool:
        """Let nobody take tasks of `pool` until `resume`."""
        check_pool_name(pool)
        with self._file.write() as connection:
            return connection.execute(sql.PAUSE, (pool, self._clock(), reason and storable_text(reason))).rowcount > 0

    def resume(self, pool: str) -> bool:
        """Let tasks be taken again."""
        with self._file.write() as connection:
            paused = connection.execute(sql.RESUME, (pool,)).rowcount > 0
            if paused:
                self._file.note_change(pool, "work")
        return paused

    def stat(self, pool: str) -> PoolStat:
        """Return how many tasks a pool has by state, whether it is paused, and its share; done ones cost nothing."""
        with self._file.read_moment() as connection:
            return stat_of(connection, pool, tally(connection, pool))

    def demand(self, pools: Sequence[str] | None = None) -> tuple[PoolDemand, ...]:
        """Return the open work of these pools, or of all, by needs; finished tasks cost nothing."""
        with self._file.read_moment() as connection:
            return read_demand(connection, pools, now=self._clock(), uptime=self._uptime())

    def shares(self, pools: Sequence[str]) -> tuple[PoolShare, ...]:
        """Return how many tasks of each pool run, and its share, in the order given; waiting tasks cost nothing."""
        with self._file.read_moment() as connection:
            return read_shares(connection, pools)

    def set_share(
        self, pool: str, *, weight: float | None = None, max_running: int | EllipsisType | None = ...
    ) -> None:
        """Set the weight of a pool, or the most of its tasks that run at once; what is not given stays."""
        check_pool_name(pool)
        check_share(weight=weight, max_running=max_running)
        with self._file.write() as connection:
            set_share(connection, pool, weight=weight, max_running=max_running)
            self._file.note_change(pool, "work")

    def restore(self, pool: str, tasks: Sequence[MovedTask]) -> PutResult:
        """Take over tasks of another store, as they stood there, with their history."""
        check_pool_name(pool)
        check_movable(tasks)
        ids: list[int] = []
        created = 0
        with self._file.write() as connection:
            know_needs(connection, pool, {task.record.needs.text for task in tasks})
            now, uptime = self._clock(), self._uptime()
            for task in tasks:
                found = connection.execute(sql.RESTORE, restore_values(pool, task.record, now, uptime)).fetchone()
                if found is None:
                    found = connection.execute(sql.ID_OF, (pool, task.record.fingerprint)).fetchone()
                else:
                    created += 1
                    connection.execute(sql.DOCUMENT, (found[0], task.record.canonical))
                    connection.execute(sql.GROW, (pool, 1))
                    connection.executemany(sql.MOVED_HISTORY, moved_history(pool, found[0], task, now))
                    for topic in topics_of([task.record.status]):
                        self._file.note_change(pool, topic)
                ids.append(found[0])
        return PutResult(ids=tuple(str(number) for number in ids), created=created)

    def read_history(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first."""
        with self._file.read() as connection:
            if task_ids is None:
                rows = connection.execute(sql.READ_HISTORY, (pool,)).fetchall()
            else:
                wanted = json.dumps([int(task_id) for task_id in task_ids])
                rows = connection.execute(sql.READ_HISTORY_OF, (pool, wanted)).fetchall()
        return [history_of_row(row) for row in rows]
