"""A store for several machines: one PostgreSQL database, primary and of version 14 or later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import EllipsisType
from typing import Any, Final

from rollwright.core.clock import SystemClock
from rollwright.errors import LeaseLostError
from rollwright.pool.demand import Share, check_share, demand_of_rows
from rollwright.pool.notifier import PollingWaker
from rollwright.pool.query import Query, is_by_status, matches, split_ids
from rollwright.pool.states import CLAIMABLE, OPEN_STATES, Status
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
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.connection import Address, Connection, Connections, run
from rollwright.pool.stores.postgres.process_pool import CONNECTIONS
from rollwright.pool.stores.postgres.query import narrowed, where
from rollwright.pool.stores.postgres.rules import KnownNeeds
from rollwright.pool.stores.postgres.session import session_of
from rollwright.pool.stores.postgres.turn import CLAIMED, Turns, leases_of
from rollwright.pool.stores.postgres.writes import (
    ServerNotifier,
    amend_tasks,
    delete_tasks,
    keepable,
    put_chunk,
    restore_tasks,
)
from rollwright.pool.stores.sql_query import asks_for_fingerprints, asks_for_ids
from rollwright.pool.stores.sql_reads import (
    IDS_CHUNK,
    PAGE,
    PUT_CHUNK,
    count_by_status,
    history_of_row,
    order_records,
    parse_ids,
    read_pages,
    refusal_of,
)

__all__ = ["PATIENCE", "PostgresStore"]

PATIENCE: Final = 30.0
"""Seconds a call waits for a server that is away, where nobody says otherwise."""

_Row = tuple[Any, ...]

_SECOND_CHECK: Final = 0.4
"""Seconds in which a process whose connection broke comes back; it tries at once."""

_MANY_TASKS: Final = 20_000
_MANY: Final = "SELECT count(*) FROM (SELECT FROM task WHERE pool = %(pool)s{where} LIMIT %(many)s) AS several"

# A page begins where the one before ended: no index of the pool is of use to it, and none is taken for one. The number
# stands in the statement, or it would be planned for a tenth of the table.
_FIND_BY_ID: Final = sql.FIND.replace("pool = %(pool)s", "COALESCE(pool = %(pool)s, false)").replace(
    "%(page)s", str(PAGE)
)

_LOOK: Final = """SELECT (SELECT last_value + is_called::int FROM history_seq_seq),
    (SELECT pool.xmin::text FROM pool WHERE name = %(pool)s),
    ARRAY(SELECT virtualtransaction FROM pg_locks WHERE relation = 'history'::regclass AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1)::text"""

_LONGEST_PAUSE: Final = 1.0
"""Seconds between two looks of who waits without a session."""


class PostgresStore:
    """Tasks in one schema of a PostgreSQL database.

    Parameters
    ----------
    url : str
        ``postgresql://user:password@host:5432/database``, with libpq's parameters after a ``?``; ``schema=name``
        among them chooses another schema than ``rollwright``. The address of the server, or of PgBouncer.
    patience : float
        Seconds to wait for a server that is away, restarting or unreachable, before `StoreUnavailableError`; at most
        five when it was never reached.
    clock : callable, optional
        Returns seconds since 1970 UTC and decides leases; the server's clock if not given. For tests alone: several
        processes would differ.
    connections : int
        The most connections of this process, beside the one of its session.
    session : bool
        Whether this process keeps a session by which the server knows that it lives, and wakes it. Without, and
        through a pooler in any case, leases alone decide who is dead, and who waits for work looks now and then.

    Guarantees: the server's clock decides, whatever the clocks of the workers say. When a connection breaks before an
    answer has come, it is found out on the server whether the change was kept; nothing is done twice or taken for
    done that was not. A process with a session that is killed loses its tasks at the next `reap`, not only when their
    leases end.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] | None = None,
        connections: int = CONNECTIONS,
        session: bool = True,
    ) -> None:
        self._address = Address.of(url)
        self._connections = Connections(self._address, patience=patience, connections=connections)
        self._session = session
        self._clock = clock
        self._real = SystemClock()
        self._notifier = ServerNotifier(self._connections)
        self._needs = KnownNeeds(self._connections)
        self._turns = Turns(
            self._connections,
            notifier=self._notifier,
            process=self._process,
            now=self._now,
        )

    def __repr__(self) -> str:
        return f"PostgresStore({self._address.shown!r})"

    @property
    def traits(self) -> Traits:
        """Many processes of many machines, the server's clock; notifications and the dead with a session.

        Raises
        ------
        StoreUnavailableError
            When nothing answers that could say whether it is a pooler.
        """
        session = self._has_session()
        return Traits(
            time_precision=1e-6, multi_process=True, multi_host=True, can_notify=session, knows_dead_owners=session
        )

    def migrate(self) -> None:
        """Bring the schema to this version's; every first connection does it too."""
        self._rows("SELECT 1")

    def close(self) -> None:
        """Close the connections. The session that shows that this process lives stays: its tasks are still its own."""
        self._connections.close()
        self._needs.forget()

    def _has_session(self) -> bool:
        return self._session and not self._connections.is_pooled()

    def _process(self) -> int | None:
        return session_of(self._address).number() if self._has_session() else None

    def _now(self) -> float | None:
        return self._clock() if self._clock is not None else None

    def _rows(self, statement: str, /, **values: object) -> list[_Row]:
        return self._connections.read(lambda connection: run(connection, statement, values))

    # -- reading -----------------------------------------------------------------------------------------------

    def get(self, pool: str, task_ids: Sequence[str]) -> list[TaskRecord]:
        """Return the tasks, in the order asked."""
        return order_records(pool, task_ids, self._rows(sql.GET, pool=keepable(pool), ids=parse_ids(task_ids)))

    def find(self, pool: str, query: Query | None = None) -> Iterator[TaskRecord]:
        """Return the tasks that match, oldest first, read in pages."""
        for part in split_ids(query, IDS_CHUNK):
            condition, values = where(part)
            indexed = narrowed(part)
            by_id = asks_for_ids(part) or (not asks_for_fingerprints(part) and self._are_many(pool, indexed))
            statement = _FIND_BY_ID.format(where=condition) if by_id else sql.FIND.format(where=condition + indexed)
            yield from read_pages(partial(self._read_page, pool, statement, values))

    def _are_many(self, pool: str, indexed: str) -> bool:
        """Tell whether sorting what an index has for each page costs more than reading the table once in its order."""
        statement = _MANY.format(where=indexed)
        return bool(self._rows(statement, pool=keepable(pool), many=_MANY_TASKS)[0][0] == _MANY_TASKS)

    def _read_page(self, pool: str, statement: str, values: Mapping[str, object], last: int) -> list[_Row]:
        return self._rows(statement, pool=keepable(pool), last=last, page=PAGE, **values)

    def count(self, pool: str, query: Query | None = None) -> dict[Status, int]:
        """Return how many tasks match, by state; without a query, or of states, only indexes are read.

        More ids than `IDS_CHUNK`, unless they follow one another, are asked for in several statements.
        """
        if query is None or is_by_status(query):
            tally = count_by_status(self._rows(sql.TALLY, pool=keepable(pool)))
            return {status: number * matches(query, {"status": status}) for status, number in tally.items()}
        rows: list[_Row] = []
        for part in split_ids(query, IDS_CHUNK):
            condition, values = where(part)
            rows += self._rows(sql.COUNT.format(where=condition), pool=keepable(pool), **values)
        return count_by_status(rows)

    def stat(self, pool: str) -> PoolStat:
        """Return how many tasks a pool has by state, whether it is paused, and its share; one statement, one moment."""
        rows = self._rows(sql.STAT, pool=keepable(pool))
        cap, paused_at, reason, weight = next((row[1:] for row in rows if not row[0]), (None, None, None, 1.0))
        counts = count_by_status(row for row in rows if row[0])
        return PoolStat(pool=pool, counts=counts, paused_at=paused_at, reason=reason, weight=weight, max_running=cap)

    def demand(self, pools: Sequence[str] | None = None) -> tuple[PoolDemand, ...]:
        """Return the open work of these pools, or of all, by needs, as the view ``pool_demand`` does."""
        names = None if pools is None else [keepable(pool) for pool in pools]
        rows = self._rows(sql.DEMAND, pools=names, now=self._now())
        said = {row[0]: (row[6], Share(weight=row[7], max_running=row[8])) for row in rows}
        return demand_of_rows((row[:6] for row in rows), lambda pool: said[pool][1], lambda pool: said[pool][0])

    def shares(self, pools: Sequence[str]) -> tuple[PoolShare, ...]:
        """Return how many tasks of each pool run, and its share, in the order given; waiting tasks cost nothing."""
        rows = self._rows(sql.SHARES, pools=[keepable(pool) for pool in pools])
        return tuple(
            PoolShare(pool=pool, running=row[1], paused=bool(row[2]), share=Share(weight=row[3], max_running=row[4]))
            for pool, row in zip(pools, rows, strict=True)
        )

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, are paused or have a share of their own, sorted."""
        return [row[0] for row in self._rows(sql.POOLS)]

    def read_history(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first."""
        if task_ids is None:
            rows = self._rows(sql.READ_HISTORY, pool=keepable(pool))
        else:
            rows = self._rows(sql.READ_HISTORY_OF, pool=keepable(pool), ids=[int(task_id) for task_id in task_ids])
        return [history_of_row(row) for row in rows]

    # -- notifications -----------------------------------------------------------------------------------------

    def waker(self, pool: str, *, topic: Topic = "work") -> Waker:
        """Return a new listener, woken by the server's NOTIFY; without a session, one that looks at most once a second.

        Raises
        ------
        StoreUnavailableError
            When the server cannot be listened to.
        """
        if not self._has_session():
            return PollingWaker(lambda: self._look(pool), longest=_LONGEST_PAUSE)
        return session_of(self._address).notifier(self._address.schema).waker(pool, topic=topic)

    def _look(self, pool: str) -> _Row:
        """Return what differs after a change of any pool of the schema.

        The number of the last row of history; the version of the row that says whether `pool` is paused; and who
        writes history now: a row has its number before it is kept, and when its writer ends that is one more change.
        """
        return self._rows(_LOOK, pool=keepable(pool))[0]

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all who listen, on whatever machine."""
        self._notifier.notify(pool, topic)

    # -- claiming and settling ---------------------------------------------------------------------------------

    def claim(self, claim: ClaimRequest) -> list[Lease]:
        """Take tasks: highest priority first, then the oldest."""
        return leases_of(self._turns.take([], claim), claim)

    def settle(self, outcomes: Sequence[Outcome], *, claim: ClaimRequest | None = None) -> Settlement:
        """End attempts, and take the next tasks in the same transaction, mostly one statement."""
        if not outcomes and claim is None:
            return Settlement()
        unique = {(outcome.task_id, outcome.token): outcome for outcome in reversed(outcomes)}
        rows = self._turns.take(sorted(unique.values(), key=lambda outcome: int(outcome.task_id)), claim)
        ended = {(str(row[1]), row[2]): row for row in rows if row[0] != CLAIMED}
        accepted = {id(unique[key]) for key in ended}
        refused = [outcome for outcome in outcomes if id(outcome) not in accepted]
        leases = leases_of(rows, claim) if claim is not None else []
        all_taken = claim is None or len(leases) < claim.limit
        for pool in {row[7] for row in ended.values() if row[3] not in OPEN_STATES}:
            if all_taken or claim is None or claim.pool != pool:
                self._notifier.notify_if_empty(pool)
        return Settlement(
            refused=tuple(self._refusals(refused)),
            statuses={key[0]: Status(row[3]) for key, row in ended.items()},
            leases=tuple(leases),
        )

    def _refusals(self, outcomes: list[Outcome]) -> list[LeaseLostError]:
        if not outcomes:
            return []
        rows = self._rows(sql.STATE_OF, ids=[int(outcome.task_id) for outcome in outcomes])
        states = {str(row[0]): (row[1], row[2]) for row in rows}
        return [refusal_of(outcome, states.get(outcome.task_id)) for outcome in outcomes]

    def renew(self, owner: str, *, lease: float) -> dict[str, int]:
        """Extend the leases of all tasks `owner` holds."""
        rows = self._rows(sql.RENEW, owner=keepable(owner), lease=lease, now=self._now())
        return {str(task_id): token for task_id, token in rows}

    def reap(self, pool: str | None = None, *, query: Query | None = None) -> list[str]:
        """Free the tasks whose lease ended or whose process is dead.

        1. Read whose leases ended, and which processes hold the other running tasks.
        2. Of those processes, find the dead: their session is gone. A process whose session is gone is looked for
           twice, within half a second: it may only have lost its connection. One that this run of the server never
           met, as it took over from another, is judged by its lease alone: it may not have noticed yet.
        3. Free both, and notify.
        """
        condition, values = where(query)
        if pool is not None:
            condition, values = f" AND pool = %(pool)s{condition}", {**values, "pool": keepable(pool)}
        values["now"] = self._now()
        held = self._rows(sql.HELD.format(where=condition), **values)
        dead = self._find_dead({row[0] for row in held if row[0] is not None})
        if not dead and not any(row[1] for row in held):
            return []

        def write(connection: Connection) -> list[_Row]:
            rows = run(connection, sql.REAP.format(where=condition), {**values, "dead": dead})
            self._notifier.notify_within(connection, {row[1] for row in rows if row[2] in CLAIMABLE}, "work")
            return rows

        freed = self._connections.write(write)
        for name in {row[1] for row in freed if row[2] not in OPEN_STATES}:
            self._notifier.notify_if_empty(name)
        return [str(row[0]) for row in freed]

    def _find_dead(self, processes: set[int]) -> list[int]:
        ((mark,),) = self._rows(sql.SERVER_MARK) if processes else ((None,),)
        known = {process for process in processes if process % sql.SERVER_MARKS == mark}
        missing = known - self._find_alive() if known else set()
        if not missing:
            return []
        self._real.sleep(_SECOND_CHECK)
        return sorted(missing - self._find_alive())

    def _find_alive(self) -> set[int]:
        return {row[0] for row in self._rows(sql.ALIVE)}

    # -- putting, and changing by hand -------------------------------------------------------------------------

    def put(self, pool: str, tasks: Sequence[NewTask]) -> PutResult:
        """Add the tasks the pool does not have yet; one statement for each 10,000.

        `created` leaves out tasks whose making was answered by a broken connection.
        """
        check_pool_name(pool)
        ids: list[str] = []
        created = 0
        for start in range(0, len(tasks), PUT_CHUNK):
            chunk = tasks[start : start + PUT_CHUNK]
            unique: dict[bytes, NewTask] = {}
            for task in chunk:
                unique.setdefault(bytes.fromhex(task.fingerprint), task)
            self._needs.note(pool, {task.needs.text for task in chunk})
            known, new = put_chunk(self._connections, pool, unique, notifier=self._notifier, now=self._now())
            ids += [str(known[bytes.fromhex(task.fingerprint)]) for task in chunk]
            created += new
        return PutResult(ids=tuple(ids), created=created)

    def restore(self, pool: str, tasks: Sequence[MovedTask]) -> PutResult:
        """Take over tasks of another store, as they stood there, with their history."""
        check_pool_name(pool)
        check_movable(tasks)
        self._needs.note(pool, {task.record.needs.text for task in tasks})
        now = self._now()
        return self._connections.write(
            lambda connection: restore_tasks(connection, pool, [*tasks], notifier=self._notifier, now=now)
        )

    def amend(self, pool: str, query: Query | None, amendment: Amendment) -> list[str]:
        """Change tasks by hand."""
        now = self._now()
        if amendment.needs is not None:
            self._needs.note(pool, {amendment.needs.text})
        changed = self._connections.write(
            lambda connection: amend_tasks(connection, pool, query, amendment, notifier=self._notifier, now=now)
        )
        return [str(number) for number in sorted(changed)]

    def delete(self, pool: str, query: Query | None, *, running: bool = False) -> int:
        """Remove tasks that match; their history stays."""
        now = self._now()
        return self._connections.write(
            lambda connection: delete_tasks(connection, pool, query, running=running, notifier=self._notifier, now=now)
        )

    def pause(self, pool: str, *, reason: str | None = None) -> bool:
        """Let nobody take tasks of `pool` until `resume`."""
        check_pool_name(pool)
        values = {"pool": pool, "reason": keepable(reason), "now": self._now()}
        return self._connections.write(lambda connection: bool(run(connection, sql.PAUSE, values)))

    def resume(self, pool: str) -> bool:
        """Let tasks be taken again."""

        def write(connection: Connection) -> bool:
            paused = bool(run(connection, sql.RESUME, {"pool": keepable(pool)}))
            if paused:
                self._notifier.notify_within(connection, {pool}, "work")
            return paused

        return self._connections.write(write)

    def set_share(
        self, pool: str, *, weight: float | None = None, max_running: int | EllipsisType | None = ...
    ) -> None:
        """Set the weight of a pool, or the most of its tasks that run at once; what is not given stays."""
        check_pool_name(pool)
        check_share(weight=weight, max_running=max_running)
        capped = not isinstance(max_running, EllipsisType)
        values = {"pool": pool, "weight": weight, "capped": capped, "max_running": max_running if capped else None}

        def write(connection: Connection) -> None:
            run(connection, sql.SET_SHARE, values)
            self._notifier.notify_within(connection, {pool}, "work")

        self._connections.write(write)
