"""What the SQLite store runs within a transaction: claims, the ends of attempts, changes by hand."""

from __future__ import annotations

import functools
import sqlite3
from typing import Any

from rollwright.errors import LeaseLostError
from rollwright.pool.states import Status
from rollwright.pool.store import Outcome, TaskRecord
from rollwright.pool.stores.sql_reads import refusal_of
from rollwright.pool.stores.sqlite import statements as sql

__all__ = ["amend_terms", "claim_statement", "delay_values", "end_attempt", "find_refusal", "restore_values", "tally"]


@functools.lru_cache(maxsize=64)
def claim_statement(statement: str, status: str, among: str, picked: str, condition: str) -> str:
    """Return the statement of a claim; the same object each time, which SQLite's cache finds sooner."""
    return statement.format(status=status, among=among, picked=picked.format(status=status, where=condition))


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
