"""What becomes of a task's record, and what records count for: the rules of the reference store, without its state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from rollwright.errors import LeaseLostError
from rollwright.pool.demand import DemandRow
from rollwright.pool.states import CLAIMABLE, Status
from rollwright.pool.store import Outcome, TaskRecord

__all__ = ["demand_rows", "may_become", "put_into", "refusal_for"]

_TERMINAL: Final = (Status.DONE, Status.FAILED, Status.CANCELLED)


def demand_rows(records: Iterable[TaskRecord], pools: Sequence[str] | None, now: float) -> list[DemandRow]:
    """Return the open work of pools, for `demand_of_rows`; the records come oldest first."""
    counts: dict[tuple[str, str], list[int]] = {}
    oldest: dict[tuple[str, str], float] = {}
    for record in records:
        if pools is not None and record.pool not in pools:
            continue
        key = (record.pool, record.needs.text)
        delayed = record.run_at is not None and record.run_at > now
        row = counts.setdefault(key, [0, 0, 0])
        if record.status is Status.RUNNING:
            row[2] += 1
        elif record.status in CLAIMABLE:
            row[delayed] += 1
            if not delayed:
                oldest.setdefault(key, now - record.created)
    return [(*key, row[0], row[1], row[2], oldest.get(key)) for key, row in counts.items()]


def refusal_for(outcome: Outcome, record: TaskRecord | None) -> LeaseLostError:
    """Return why an outcome is refused."""
    if record is None:
        return LeaseLostError(outcome.task_id, token=outcome.token, current=None)
    return LeaseLostError(outcome.task_id, token=outcome.token, current=record.token, state=record.status.value)


def may_become(record: TaskRecord, target: Status | None, sources: frozenset[Status]) -> bool:
    """Tell whether a task may be put into a state by hand."""
    return record.status in sources and (target is not Status.PART_DONE or record.result is not None)


def put_into(record: TaskRecord, status: Status, error: str | None, now: float) -> TaskRecord:
    """Return a task after it was put into a state by hand."""
    held = record.status is Status.RUNNING
    changed = replace(
        record,
        status=status,
        token=record.token + 1 if held else record.token,
        lease_until=None,
        run_at=None,
        ended=now if status in _TERMINAL else None,
    )
    if status is Status.WAITING:
        return replace(changed, attempts=0, result=None, validity=None, error=None)
    if status is Status.PART_DONE:
        return replace(changed, attempts=0, error=None)
    return replace(changed, error=error if error is not None else changed.error)
