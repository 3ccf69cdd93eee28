"""A task's document in MongoDB as the values of the ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollwright.pool.needs import read_needs
from rollwright.pool.states import CLAIMABLE, Status, read_status
from rollwright.pool.store import Lease, TaskRecord

__all__ = ["lease_of", "record_of"]


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
