"""Writes of the PostgreSQL store, each in a transaction that its caller opened; and its notifications."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final

from rollwright.core.optional import require
from rollwright.core.text import storable_text
from rollwright.errors import IllegalTransitionError, PoolError
from rollwright.pool.notifier import topics_of
from rollwright.pool.query import Query
from rollwright.pool.states import OPEN_STATES, Status, amend_sources
from rollwright.pool.store import Amendment, HistoryRow, MovedTask, NewTask, PutResult, Topic
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.connection import Connection, Connections, run
from rollwright.pool.stores.postgres.query import where
from rollwright.pool.stores.postgres.session import channel_of, message_of

if TYPE_CHECKING:
    from psycopg import errors
else:
    errors = require("psycopg.errors", extra="postgres")

__all__ = ["ServerNotifier", "amend_tasks", "delete_tasks", "keepable", "put_chunk", "restore_tasks"]

_logger = logging.getLogger("rollwright.pool")

_AMONG: Final = " AND id = ANY(%(among)s::bigint[])"


def keepable(text: str | None) -> str | None:
    """Return a text as the server can keep it, as `storable_text` does; None stays None."""
    return None if text is None else storable_text(text)


class ServerNotifier:
    """The server's NOTIFY to those who listen to the pools of one schema."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._channel = channel_of(connections.address.schema)

    def values(self, pool: str, topic: Topic) -> dict[str, object]:
        """Return the values that a statement with a notification binds."""
        return {"channel": self._channel, "message": message_of(pool, topic)}

    def notify_within(self, connection: Connection, pools: set[str], topic: Topic) -> None:
        """Notify when the transaction of `connection` is committed."""
        for pool in sorted(pools):
            run(connection, sql.NOTIFY, self.values(pool, topic))

    def notify(self, pool: str, topic: Topic) -> None:
        """Notify now."""
        self._send(sql.NOTIFY, pool, topic)

    def notify_if_empty(self, pool: str) -> None:
        """Notify those who wait for the pool's tasks to end, once none of them is open."""
        self._send(sql.NOTIFY_WHEN_EMPTY, pool, "end")

    def _send(self, statement: str, pool: str, topic: Topic) -> None:
        values = {"pool": pool, **self.values(pool, topic)}
        try:
            self._connections.read(lambda connection: run(connection, statement, values))
        except PoolError as error:  # the change is done, and who listens looks now and then anyway
            _logger.info("store.notify_lost url=%s error=%s", self._connections.address.shown, error.message)


def put_chunk(
    connections: Connections, pool: str, tasks: dict[bytes, NewTask], *, notifier: ServerNotifier, now: float | None
) -> tuple[dict[bytes, int], int]:
    """Add the tasks the pool does not have yet; return the ids of all by fingerprint, and how many are new."""
    values = {
        "now": now,
        "pool": pool,
        "fingerprint": [*tasks],
        "priority": [task.priority for task in tasks.values()],
        "max_attempts": [task.max_attempts for task in tasks.values()],
        "delay": [float(task.delay) for task in tasks.values()],
        "definition": [task.canonical for task in tasks.values()],
        "needs": [task.needs.text for task in tasks.values()],
        **notifier.values(pool, "work"),
    }
    known: dict[bytes, int] = {}
    created = 0
    while len(known) < len(tasks):  # somebody may put, or remove, the same ones at this moment
        rows = connections.read(lambda connection: run(connection, sql.PUT, values))
        created += sum(row[2] for row in rows if row[0] is not None)
        known |= {bytes(row[0]): row[1] for row in rows if row[0] is not None}
        if len(known) < len(tasks):
            rows = connections.read(lambda connection: run(connection, sql.IDS_OF, values))
            known |= {bytes(row[0]): row[1] for row in rows}
    return known, created


def restore_tasks(
    connection: Connection, pool: str, tasks: list[MovedTask], *, notifier: ServerNotifier, now: float | None
) -> PutResult:
    """Take over tasks of another store, as they stood there, with their history."""
    restored = [_restore(connection, pool, task, now) for task in tasks]
    if any(new for _, new in restored):
        run(connection, sql.ENTER, {"pool": pool})
    for topic in topics_of([task.record.status for task in tasks]):
        notifier.notify_within(connection, {pool}, topic)
    return PutResult(ids=tuple(str(number) for number, _ in restored), created=sum(new for _, new in restored))


def _restore(connection: Connection, pool: str, task: MovedTask, now: float | None) -> tuple[int, bool]:
    record = task.record
    values = {
        "pool": pool,
        "fingerprint": bytes.fromhex(record.fingerprint),
        "status": record.status.value,
        "priority": record.priority,
        "token": record.token,
        "attempts": record.attempts,
        "max_attempts": record.max_attempts,
        "owner": keepable(record.owner),
        "run_at": record.run_at,
        "created": record.created,
        "started": record.started,
        "ended": record.ended,
        "definition": record.canonical,
        "result": record.result,
        "validity": record.validity,
        "error": keepable(record.error),
        "needs": record.needs.text,
    }
    rows = run(connection, sql.RESTORE, values)
    if not rows:
        found = run(connection, sql.IDS_OF, {"pool": pool, "fingerprint": [values["fingerprint"]]})
        return found[0][1], False
    number = rows[0][0]
    moved = HistoryRow(
        task_id=record.task_id,
        at=math.nan,  # now, by the server's clock
        event="moved",
        status=record.status,
        token=record.token,
        attempt=record.attempts,
        owner=record.owner,
    )
    for row in (*task.history, moved):
        _log(connection, pool, number, row, now)
    return number, True


def _log(connection: Connection, pool: str, number: int, row: HistoryRow, now: float | None) -> None:
    values = {
        "now": None,
        "task": number,
        "pool": pool,
        "at": now if math.isnan(row.at) else row.at,
        "event": row.event,
        "status": row.status.value,
        "token": row.token,
        "attempt": row.attempt,
        "owner": keepable(row.owner),
        "detail": keepable(row.detail),
    }
    run(connection, sql.HISTORY, values)


def amend_tasks(
    connection: Connection,
    pool: str,
    query: Query | None,
    amendment: Amendment,
    *,
    notifier: ServerNotifier,
    now: float | None,
) -> set[int]:
    """Change tasks by hand: the definition first, then the priority, the limit and the needs, then the state.

    Each step after the first works on the tasks that the one before changed: the query may not match them any more.
    """
    sources = sorted(source.value for source in amend_sources(amendment.status)) if amendment.status else []
    text, given = where(query)
    values: dict[str, Any] = {**given, "pool": keepable(pool), "now": now, "sources": sources}
    changed: set[int] = set()
    if amendment.replacement is not None:
        values["among"] = among = _replace(connection, amendment.replacement, text, values)
        text, changed = _AMONG, changed | {*among}
    if amendment.priority is not None or amendment.max_attempts is not None or amendment.needs is not None:
        needs = amendment.needs.text if amendment.needs is not None else None
        given = {"priority": amendment.priority, "max_attempts": amendment.max_attempts, "needs": needs}
        rows = run(connection, sql.ADJUST.format(where=text), {**values, **given})
        if rows and needs is not None:
            notifier.notify_within(connection, {pool}, "work")
        values["among"] = among = [row[0] for row in rows]
        text, changed = _AMONG, changed | {*among}
    if amendment.status is not None:
        put = _put_into(connection, amendment.status, amendment.error, text, values)
        for topic in topics_of([amendment.status]) if put else []:
            notifier.notify_within(connection, {pool}, topic)
        changed |= put
    return changed


def _put_into(connection: Connection, status: Status, error: str | None, text: str, values: dict[str, Any]) -> set[int]:
    more = {Status.WAITING: sql.FORGET, Status.PART_DONE: sql.REOPEN}.get(status, sql.EXPLAIN)
    text += " AND status = ANY(%(sources)s::text[])"
    text += " AND result IS NOT NULL" if status is Status.PART_DONE else ""
    terms = {"status": status.value, "terminal": status not in OPEN_STATES, "error": keepable(error)}
    return {row[0] for row in run(connection, sql.AMEND.format(more=more, where=text), {**values, **terms})}


def _replace(connection: Connection, new: NewTask, text: str, values: dict[str, Any]) -> list[int]:
    found = run(connection, sql.LOCK_MATCH.format(where=text), values)
    for number, status in found:
        if status == Status.RUNNING:
            raise IllegalTransitionError(f"task {number} is running; its definition stays")
    terms = {
        "among": [row[0] for row in found],
        "definition": new.canonical,
        "fingerprint": bytes.fromhex(new.fingerprint),
    }
    try:
        return [row[0] for row in run(connection, sql.REPLACE.format(where=_AMONG), {**values, **terms})]
    except errors.UniqueViolation as error:
        raise PoolError("another task of the pool has that definition already") from error


def delete_tasks(
    connection: Connection,
    pool: str,
    query: Query | None,
    *,
    running: bool,
    notifier: ServerNotifier,
    now: float | None,
) -> int:
    """Remove tasks that match; their history stays."""
    condition, given = where(query)
    condition += "" if running else " AND status <> 'running'"
    values = {**given, "pool": keepable(pool), "now": now}
    removed = len(run(connection, sql.DELETE.format(where=condition), values))
    if removed:
        notifier.notify_within(connection, {pool}, "end")
    return removed
