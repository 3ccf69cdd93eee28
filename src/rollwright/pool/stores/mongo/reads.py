"""A task's document in MongoDB as the values of the ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo import ASCENDING
from pymongo.collection import Collection

from rollwright.errors import LeaseLostError, TaskNotFoundError
from rollwright.pool.needs import read_needs
from rollwright.pool.states import CLAIMABLE, Status, read_status
from rollwright.pool.store import Lease, Outcome, TaskRecord
from rollwright.pool.stores.mongo.connection import PLAIN, Document
from rollwright.pool.stores.mongo.writes import DELETED

__all__ = ["find_refusal", "lease_of", "read_named", "read_page", "record_of"]

_PAGE: Final = 500


def lease_of(document: Mapping[str, Any]) -> Lease:
    """Return the lease of a task that was claimed."""
    return Lease(
        task_id=str(document["_id"]),
        pool=document["pool"],
        token=document["token"],
        attempt=document["attempts"],
        max_attempts=document["max_attempts"],
        owner=document["owner"],
        canonical=document["definition"],
        fingerprint=document["fingerprint"],
        priority=document["priority"],
        origin=Status(document["origin"]),
        result=document["result"],
    )


def record_of(document: Mapping[str, Any]) -> TaskRecord:
    """Return the record of a task's document."""
    status = read_status(document["status"], pool=document["pool"], task_id=str(document["_id"]))
    due = document.get("due")
    return TaskRecord(
        task_id=str(document["_id"]),
        pool=document["pool"],
        fingerprint=document["fingerprint"],
        status=status,
        priority=document["priority"],
        token=document["token"],
        attempts=document["attempts"],
        max_attempts=document["max_attempts"],
        canonical=document["definition"],
        created=document["created"],
        owner=document["owner"],
        result=document["result"],
        validity=document["validity"],
        error=document["error"],
        lease_until=due if status is Status.RUNNING else None,
        run_at=due if status in CLAIMABLE else None,
        started=document["started"],
        ended=document["ended"],
        needs=read_needs(document.get("needs", ""), pool=document["pool"], task_id=str(document["_id"])),
    )


def read_named(tasks: Collection[Document], pool: str, task_ids: Sequence[str]) -> list[TaskRecord]:
    """Return the tasks of these ids, in the order asked.

    Raises
    ------
    TaskNotFoundError
        When one is not there.
    """
    numbers = [int(item) for item in task_ids if item.isascii() and item.isdecimal() and len(item) < 19]
    rows = tasks.find({"_id": {"$in": numbers}, "pool": pool}, PLAIN | {"log": 0})
    found = {str(document["_id"]): record_of(document) for document in rows}
    for task_id in task_ids:
        if task_id not in found:
            raise TaskNotFoundError(f"pool `{pool}` has no task {task_id}")
    return [found[task_id] for task_id in task_ids]


def read_page(
    tasks: Collection[Document], pool: str, condition: Document, last: int
) -> tuple[list[TaskRecord], int | None]:
    """Return the next tasks that match, after the id `last`, and where to go on; None after the last page."""
    page: Document = {"pool": pool, "_id": {"$gt": last}}
    wanted = {"$and": [page, condition]} if condition else page
    rows = [*tasks.find(wanted, PLAIN | {"log": 0}, sort=[("_id", ASCENDING)], limit=_PAGE)]
    return [record_of(document) for document in rows], rows[-1]["_id"] if len(rows) == _PAGE else None


def find_refusal(tasks: Collection[Document], outcome: Outcome) -> LeaseLostError:
    """Return why an outcome is refused."""
    found = tasks.find_one({"_id": int(outcome.task_id), "status": {"$ne": DELETED}}, {"status": 1, "token": 1})
    if found is None:
        return LeaseLostError(outcome.task_id, token=outcome.token, current=None)
    return LeaseLostError(outcome.task_id, token=outcome.token, current=found["token"], state=found["status"])
