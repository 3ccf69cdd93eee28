"""What the SQLite store runs within a transaction: claims, the ends of attempts, changes by hand."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from rollwright.errors import IllegalTransitionError, LeaseLostError, PoolError
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, HistoryRow, Lease, MovedTask, NewTask, Outcome, TaskRecord
from rollwright.pool.stores.sql_reads import refusal_of
from rollwright.pool.stores.sqlite import statements as sql

__all__ = [
    "amend_terms",
    "claim_statement",
    "delay_values",
    "end_attempt",
    "find_refusal",
    "leases_of_rows",
    "moved_history",
    "picking",
    "replace_tasks",
    "restore_values",
    "tally",
]


@functools.lru_cache(maxsize=64)
def claim_statement(statement: str, status: str, among: str, picked: str, condition: str) -> str:
    """Return the statement of a claim; the same object each time, which SQLite's cache finds sooner."""
    return statement.format(status=status, among=among, picked=picked.format(status=status, where=condition))


def picking(pool: str, needs: tuple[str, ...], values: Sequence[object], limit: int) -> tuple[str, tuple[object, ...]]:
    """Return the part of a claim's statement that picks tasks of these texts of needs, and its values."""
    if len(needs) == 1:
        return sql.PICK_ONE, (pool, needs[0], *values, limit)
    return sql.PICK_SOME, (json.dumps(needs), pool, *values, limit, limit)


def leases_of_rows(rows: Iterable[Sequence[Any]], claim: ClaimRequest) -> list[Lease]:
    """Return the leases of the rows of `statements.CLAIM`."""
    return [
        Lease(
            task_id=str(row[0]),
            pool=claim.pool,
            token=row[1],
            attempt=row[2],
            max_attempts=row[3],
            owner=claim.owner,
            canonical=row[4],
            fingerprint=row[7],
            priority=row[5],
            origin=claim.status,
            result=row[6],
        )
        for row in rows
    ]


def tally(connection: sqlite3.Connection, pool: str) -> dict[Status, int]:
    """Return how many tasks a pool has by state, without reading those that are done."""
    counts = dict.fromkeys(Status, 0)
    for status, tasks in connection.execute(sql.TALLY, (pool,)):
        # Done are those in no small index: of the whole, less all others.
        if status is not None:
            counts[Status(status)] += tasks
        counts[Status.DONE] += tasks if status is None else -tasks
    return counts


def delay_values(delay: float, now: float, uptime: float) -> tuple[float | None, float | None, float | None]:
    """Return when a task may be taken by the wall clock and by the boot clock, and the delay; all None without one."""
    return (now + delay, uptime + delay, delay) if delay > 0 else (None, None, None)


def end_attempt(
    connection: sqlite3.Connection, outcome: Outcome, now: float, uptime: float
) -> tuple[str, tuple[Any, ...] | None]:
    """Run the one statement that ends an attempt; return the event and the row it changed, if it was allowed to."""
    key = (int(outcome.task_id), outcome.token)
    match outcome.kind:
        case "done":
            found = connection.execute(sql.DONE, (outcome.result, outcome.validity, now, *key)).fetchone()
        case "part_done":
            found = connection.execute(sql.PART_DONE, (outcome.result, outcome.validity, *key)).fetchone()
        case "released":
            found = connection.execute(sql.RELEASED, key).fetchone()
        case "cancelled":
            found = connection.execute(sql.CANCELLED, (now, *key)).fetchone()
        case "failed":
            if outcome.retry:
                delay = delay_values(outcome.delay, now, uptime)
                found = connection.execute(sql.RETRY, (outcome.error, *delay, *key)).fetchone()
                if found is not None:
                    return "retry", found
            found = connection.execute(sql.FAILED, (outcome.error, now, *key)).fetchone()
    return outcome.kind, found


def find_refusal(connection: sqlite3.Connection, outcome: Outcome) -> LeaseLostError:
    """Return why an outcome is refused."""
    return refusal_of(outcome, connection.execute(sql.STATE_OF, (int(outcome.task_id),)).fetchone())


def amend_terms(status: Status, error: str | None) -> tuple[str, tuple[object, ...]]:
    """Return what else changes when a task is put into a state by hand, and the values of that."""
    if status is Status.WAITING:
        return sql.FORGET, ()
    if status is Status.PART_DONE:
        return sql.REOPEN, ()
    return sql.EXPLAIN, (error,)


def replace_tasks(
    connection: sqlite3.Connection, pool: str, new: NewTask, condition: str, values: list[object]
) -> list[tuple[Any, ...]]:
    """Give tasks another definition; return the rows of history that tell of it.

    Raises
    ------
    IllegalTransitionError
        When one of them is running.
    PoolError
        When another task has that definition.
    """
    held = connection.execute(sql.RUNNING_MATCH.format(where=condition), (pool, *values)).fetchone()
    if held is not None:
        raise IllegalTransitionError(f"task {held[0]} is running; its definition stays")
    try:
        rows = connection.execute(sql.REPLACE.format(where=condition), (new.fingerprint, pool, *values)).fetchall()
        connection.execute(sql.REDEFINE, (new.canonical, json.dumps([row[0] for row in rows])))
    except sqlite3.IntegrityError as error:
        raise PoolError("another task of the pool has that definition already") from error
    return rows


def restore_values(pool: str, record: TaskRecord, now: float, uptime: float) -> tuple[object, ...]:
    """Return the values of a task that is taken over from another store."""
    left = max(0.0, record.run_at - now) if record.run_at is not None else 0.0
    return (
        pool,
        record.fingerprint,
        record.status.value,
        record.priority,
        record.token,
        record.attempts,
        record.max_attempts,
        record.owner,
        record.run_at,
        uptime + left if record.run_at is not None else None,
        left if record.run_at is not None else None,
        record.created,
        record.started,
        record.ended,
        record.result,
        record.validity,
        record.error,
        record.needs.text,
    )


def moved_history(pool: str, number: int, task: MovedTask, now: float) -> list[tuple[object, ...]]:
    """Return the rows of history of a task that is taken over, the last of which says so."""
    record = task.record
    last = HistoryRow(
        task_id="",
        at=now,
        event="moved",
        status=record.status,
        token=record.token,
        attempt=record.attempts,
        owner=record.owner,
    )
    return [
        (number, place, pool, row.at, row.event, row.status.value, row.token, row.attempt, row.owner, row.detail)
        for place, row in enumerate((*task.history, last))
    ]
