"""What SQLite and PostgreSQL read alike: rows into records, in the column order of both stores' statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from rollwright.errors import LeaseLostError, TaskNotFoundError
from rollwright.pool.needs import NO_NEEDS, read_needs
from rollwright.pool.states import Status, read_status
from rollwright.pool.store import HistoryRow, Lease, Outcome, TaskRecord

__all__ = [
    "IDS_CHUNK",
    "PAGE",
    "PUT_CHUNK",
    "count_by_status",
    "history_of_row",
    "order_records",
    "parse_ids",
    "read_pages",
    "record_of_row",
    "refusal_of",
    "sort_leases",
]

PAGE: Final = 500
"""Tasks that one page of `find` holds."""

IDS_CHUNK: Final = 10_000
"""Ids that one statement asks for at most: each page of an answer sends them again."""

PUT_CHUNK: Final = 10_000
"""Tasks that one transaction of `put` adds at most."""

Row = Sequence[Any]


def parse_ids(task_ids: Iterable[str]) -> list[int]:
    """Return the numbers of those ids that can be a task's."""
    return [int(item) for item in task_ids if item.isascii() and item.isdecimal() and len(item) < 19]


def record_of_row(row: Row) -> TaskRecord:
    """Return the record of a row: the nineteen columns that ``GET`` and ``FIND`` select."""
    return TaskRecord(
        task_id=str(row[0]),
        pool=row[1],
        fingerprint=row[2],
        status=read_status(row[3], pool=row[1], task_id=str(row[0])),
        priority=row[4],
        token=row[5],
        attempts=row[6],
        max_attempts=row[7],
        canonical=row[8],
        created=row[9],
        owner=row[10],
        result=row[11],
        validity=row[12],
        error=row[13],
        lease_until=row[14],
        run_at=row[15],
        started=row[16],
        ended=row[17],
        needs=read_needs(row[18], pool=row[1], task_id=str(row[0])) if row[18] else NO_NEEDS,
    )


def order_records(pool: str, task_ids: Sequence[str], rows: Iterable[Row]) -> list[TaskRecord]:
    """Return the records of rows in the order of `task_ids`.

    Raises
    ------
    TaskNotFoundError
        When one is missing.
    """
    found = {str(row[0]): record_of_row(row) for row in rows}
    for task_id in task_ids:
        if task_id not in found:
            raise TaskNotFoundError(f"pool `{pool}` has no task {task_id}")
    return [found[task_id] for task_id in task_ids]


def read_pages(read: Callable[[int], Sequence[Row]]) -> Iterator[TaskRecord]:
    """Return the records of all pages; `read` returns the rows of ids greater than its argument, `PAGE` at most."""
    last = 0
    while True:
        rows = read(last)
        yield from (record_of_row(row) for row in rows)
        if len(rows) < PAGE:
            return
        last = rows[-1][0]


def count_by_status(rows: Iterable[Row]) -> dict[Status, int]:
    """Return how many tasks each state has, from rows of a state and a number; a state may come several times."""
    counts = dict.fromkeys(Status, 0)
    for row in rows:
        counts[Status(row[0])] += row[1]
    return counts


def history_of_row(row: Row) -> HistoryRow:
    """Return the change of a row: the eight columns that ``READ_HISTORY`` selects."""
    return HistoryRow(
        task_id=str(row[0]),
        at=row[1],
        event=row[2],
        status=Status(row[3]),
        token=row[4],
        attempt=row[5],
        owner=row[6],
        detail=row[7],
    )


def sort_leases(leases: list[Lease]) -> list[Lease]:
    """Return leases in the order in which tasks are taken, since RETURNING promises none."""
    if len(leases) < 2:
        return leases
    return sorted(leases, key=lambda lease: (-lease.priority, int(lease.task_id)))


def refusal_of(outcome: Outcome, state: tuple[int, str] | None) -> LeaseLostError:
    """Return why an outcome is refused, from the token and the state that its task has now, if it is there."""
    current, status = state if state is not None else (None, "")
    return LeaseLostError(outcome.task_id, token=outcome.token, current=current, state=status)
