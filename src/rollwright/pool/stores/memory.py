"""The reference store: everything in this process's memory, nothing durable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import EllipsisType

from rollwright.core.clock import Clock, SystemClock
from rollwright.core.text import storable_text
from rollwright.errors import IllegalTransitionError, LeaseLostError, PoolError, TaskNotFoundError
from rollwright.pool.demand import NO_SHARE, Share, check_share, demand_of_rows
from rollwright.pool.needs import check_needs
from rollwright.pool.notifier import ThreadNotifier, ThreadWaker, topics_of
from rollwright.pool.query import FINGERPRINT, In, Query, matches
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
    check_movable,
    check_pool_name,
    document_of,
)
from rollwright.pool.stores.memory_records import demand_rows, may_become, put_into, refusal_for

__all__ = ["MemoryStore", "reaped_reason"]


def steady_clock(clock: Clock) -> Callable[[], float]:
    """Return a wall clock that nobody can set: `clock`'s as it is now, carried on by its monotonic one."""
    start = clock.now().timestamp() - clock.monotonic()
    return lambda: start + clock.monotonic()


def reaped_reason(owner: str | None) -> str:
    """Return what a task taken from its holder says about it."""
    return f"worker {owner} died or did not renew its lease in time"


class MemoryStore:
    """Tasks of this process alone; what the other stores are measured against.

    Parameters
    ----------
    clock : callable, optional
        Returns seconds since 1970 UTC; if not given the machine's wall clock as it was when the store was made, carried
        on steadily: setting it changes no lease.
    """

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock if clock is not None else steady_clock(SystemClock())
        self._mutex = threading.RLock()
        self._tasks: dict[int, TaskRecord] = {}
        self._origins: dict[int, Status] = {}
        self._by_fingerprint: dict[tuple[str, str], int] = {}
        self._pools: set[str] = set()
        self._history: list[tuple[str, HistoryRow]] = []
        self._last = 0
        self._paused: dict[str, tuple[float, str | None]] = {}
        self._shares: dict[str, Share] = {}
        self._needs: dict[str, set[str]] = {}
        self._notifier = ThreadNotifier()

    @property
    def traits(self) -> Traits:
        """One process, microseconds; its threads can wake one another."""
        return Traits(time_precision=1e-6, multi_process=False, multi_host=False, can_notify=True)

    def migrate(self) -> None:
        """Do nothing: memory has no schema."""

    def close(self) -> None:
        """Do nothing: the tasks live as long as this object."""

    def put(self, pool: str, tasks: Sequence[NewTask]) -> PutResult:
        """Add the tasks the pool does not have yet."""
        check_pool_name(pool)
        with self._mutex:
            self._know_needs(pool, [task.needs.text for task in tasks])
            before = self._last
            now = self._clock()
            ids = tuple(str(self._put(pool, task, now)) for task in tasks)
            return PutResult(ids=ids, created=self._last - before)

    def _put(self, pool: str, task: NewTask, now: float) -> int:
        known = self._by_fingerprint.get((pool, task.fingerprint))
        if known is not None:
            return known
        self._last += 1
        self._pools.add(pool)
        self._by_fingerprint[pool, task.fingerprint] = self._last
        record = TaskRecord(
            task_id=str(self._last),
            pool=pool,
            fingerprint=task.fingerprint,
            status=Status.WAITING,
            priority=task.priority,
            token=0,
            attempts=0,
            max_attempts=task.max_attempts,
            canonical=task.canonical,
            created=now,
            run_at=now + task.delay if task.delay > 0 else None,
            needs=task.needs,
        )
        self._write(record, "created", now)
        return self._last

    def _know_needs(self, pool: str, texts: Sequence[str]) -> None:
        known = self._needs.get(pool, {""})
        check_needs(pool, known, texts)
        self._needs[pool] = known | {*texts}

    def claim(self, claim: ClaimRequest) -> list[Lease]:
        """Take tasks: highest priority first, then the oldest."""
        with self._mutex:
            now = self._clock()
            self._reap(self._expired(claim.pool, None, now), now)
            return self._claim(claim, now)

    def _claim(self, claim: ClaimRequest, now: float) -> list[Lease]:
        if claim.pool in self._paused:
            return []
        ready = [
            record
            for record in self._in_pool(claim.pool)
            if record.status is claim.status
            and claim.offer.meets(record.needs)
            and (record.run_at is None or record.run_at <= now)
            and matches(claim.query, document_of(record))
        ]
        ready.sort(key=lambda record: (-record.priority, int(record.task_id)))
        cap = self._shares.get(claim.pool, NO_SHARE).max_running
        room = claim.limit if cap is None else min(claim.limit, cap - self._count_running(claim.pool))
        return [self._take(record, claim, now) for record in ready[: max(room, 0)]]

    def _count_running(self, pool: str) -> int:
        return sum(record.status is Status.RUNNING for record in self._in_pool(pool))

    def _take(self, record: TaskRecord, claim: ClaimRequest, now: float) -> Lease:
        taken = replace(
            record,
            status=Status.RUNNING,
            token=record.token + 1,
            attempts=record.attempts + 1,
            owner=claim.owner,
            lease_until=now + claim.lease,
            run_at=None,
            started=now,
        )
        self._origins[int(record.task_id)] = claim.status
        self._write(taken, "claimed", now)
        return Lease(
            task_id=taken.task_id,
            pool=taken.pool,
            token=taken.token,
            attempt=taken.attempts,
            max_attempts=taken.max_attempts,
            owner=claim.owner,
            canonical=taken.canonical,
            fingerprint=taken.fingerprint,
            priority=taken.priority,
            origin=claim.status,
            result=taken.result,
        )

    def renew(self, owner: str, *, lease: float) -> dict[str, int]:
        """Extend the leases of all tasks `owner` holds."""
        with self._mutex:
            now = self._clock()
            held = [item for item in self._tasks.values() if item.status is Status.RUNNING and item.owner == owner]
            for record in held:
                self._tasks[int(record.task_id)] = replace(record, lease_until=now + lease)
            return {record.task_id: record.token for record in held}

    def settle(self, outcomes: Sequence[Outcome], *, claim: ClaimRequest | None = None) -> Settlement:
        """End attempts, and take the next tasks in the same transaction."""
        with self._mutex:
            now = self._clock()
            refused: list[LeaseLostError] = []
            statuses: dict[str, Status] = {}
            for outcome in outcomes:
                record = self._tasks.get(int(outcome.task_id))
                if record is None or record.status is not Status.RUNNING or record.token != outcome.token:
                    refused.append(refusal_for(outcome, record))
                else:
                    statuses[outcome.task_id] = self._end(record, outcome, now)
            leases = self.claim(claim) if claim is not None else []
            return Settlement(refused=tuple(refused), statuses=statuses, leases=tuple(leases))

    def _end(self, record: TaskRecord, outcome: Outcome, now: float) -> Status:
        origin = self._origins[int(record.task_id)]
        free = replace(record, lease_until=None, ended=now)
        event: str = outcome.kind
        match outcome.kind:
            case "done":
                free = replace(free, status=Status.DONE, result=outcome.result, validity=outcome.validity, error=None)
            case "part_done":
                free = replace(
                    free,
                    status=Status.PART_DONE,
                    result=outcome.result,
                    validity=outcome.validity,
                    error=None,
                    attempts=0,
                    ended=None,
                )
            case "failed" if outcome.retry and record.attempts < record.max_attempts:
                event = "retry"
                run_at = now + outcome.delay if outcome.delay > 0 else None
                free = replace(free, status=origin, error=outcome.error, run_at=run_at, ended=None)
            case "failed":
                free = replace(free, status=Status.FAILED, error=outcome.error)
            case "released":
                free = replace(free, status=origin, attempts=record.attempts - 1, ended=None)
            case "cancelled":
                free = replace(free, status=Status.CANCELLED)
        self._write(free, event, now, detail=outcome.error)
        return free.status

    def reap(self, pool: str | None = None, *, query: Query | None = None) -> list[str]:
        """Free the tasks whose lease ended; memory knows of no dead process."""
        with self._mutex:
            now = self._clock()
            expired = self._expired(pool, query, now)
            self._reap(expired, now)
            return [record.task_id for record in expired]

    def _expired(self, pool: str | None, query: Query | None, now: float) -> list[TaskRecord]:
        return [
            record
            for record in self._tasks.values()
            if record.status is Status.RUNNING
            and (pool is None or record.pool == pool)
            and record.lease_until is not None
            and record.lease_until < now
            and matches(query, document_of(record))
        ]

    def _reap(self, records: Sequence[TaskRecord], now: float) -> None:
        for record in records:
            reason = reaped_reason(record.owner)
            spent = record.attempts >= record.max_attempts
            freed = replace(
                record,
                status=Status.FAILED if spent else self._origins[int(record.task_id)],
                token=record.token + 1,
                lease_until=None,
                error=reason,
                ended=now if spent else None,
            )
            self._write(freed, "reaped", now, detail=reason)

    def get(self, pool: str, task_ids: Sequence[str]) -> list[TaskRecord]:
        """Return the tasks, in the order asked."""
        with self._mutex:
            return [self._get(pool, task_id) for task_id in task_ids]

    def _get(self, pool: str, task_id: str) -> TaskRecord:
        record = self._tasks.get(int(task_id)) if task_id.isascii() and task_id.isdecimal() else None
        if record is None or record.pool != pool:
            raise TaskNotFoundError(f"pool `{pool}` has no task {task_id}")
        return record

    def find(self, pool: str, query: Query | None = None) -> Iterator[TaskRecord]:
        """Return the tasks that match, oldest first."""
        with self._mutex:
            named = self._find_named(pool, query)
            if named is not None:
                return iter(named)
            found = [record for record in self._in_pool(pool) if matches(query, document_of(record))]
        return iter(found)

    def _find_named(self, pool: str, query: Query | None) -> list[TaskRecord] | None:
        """Return the tasks that a query names one by one, oldest first; None when it asks in another way."""
        match query:
            case In(path=(path,), values=values) if path == FINGERPRINT:
                numbers = {self._by_fingerprint.get((pool, str(value))) for value in values}
            case In(path=("_id",), values=values):
                numbers = {int(str(value)) for value in values if str(value).isascii() and str(value).isdecimal()}
            case _:
                return None
        found = [self._tasks.get(number) for number in sorted(number for number in numbers if number is not None)]
        return [record for record in found if record is not None and record.pool == pool]

    def count(self, pool: str, query: Query | None = None) -> dict[Status, int]:
        """Return how many tasks match, by state."""
        counts = dict.fromkeys(Status, 0)
        for record in self.find(pool, query):
            counts[record.status] += 1
        return counts

    def amend(self, pool: str, query: Query | None, amendment: Amendment) -> list[str]:
        """Change tasks by hand."""
        sources = amend_sources(amendment.status) if amendment.status is not None else None
        with self._mutex:
            now = self._clock()
            changed: list[str] = []
            if amendment.needs is not None:
                self._know_needs(pool, [amendment.needs.text])
            for record in list(self.find(pool, query)):
                if sources is not None and not may_become(record, amendment.status, sources):
                    continue
                self._amend(record, amendment, now)
                changed.append(record.task_id)
            if changed and amendment.needs is not None:
                self.notify(pool)
            return changed

    def _amend(self, record: TaskRecord, amendment: Amendment, now: float) -> None:
        if amendment.replacement is not None:
            record = self._replace(record, amendment.replacement, now)
        if amendment.priority is not None:
            record = replace(record, priority=amendment.priority)
        if amendment.max_attempts is not None:
            record = replace(record, max_attempts=amendment.max_attempts)
        if amendment.needs is not None:
            record = replace(record, needs=amendment.needs)
        self._tasks[int(record.task_id)] = record
        if amendment.status is not None:
            self._write(put_into(record, amendment.status, amendment.error, now), "amended", now)

    def _replace(self, record: TaskRecord, new: NewTask, now: float) -> TaskRecord:
        if record.status is Status.RUNNING:
            raise IllegalTransitionError(f"task {record.task_id} is running; its definition stays")
        known = self._by_fingerprint.get((record.pool, new.fingerprint))
        if known is not None and known != int(record.task_id):
            raise PoolError(f"task {known} has that definition already")
        del self._by_fingerprint[record.pool, record.fingerprint]
        self._by_fingerprint[record.pool, new.fingerprint] = int(record.task_id)
        changed = replace(record, canonical=new.canonical, fingerprint=new.fingerprint)
        self._write(changed, "replaced", now)
        return changed

    def delete(self, pool: str, query: Query | None, *, running: bool = False) -> int:
        """Remove tasks that match."""
        with self._mutex:
            now = self._clock()
            doomed = [item for item in self.find(pool, query) if running or item.status is not Status.RUNNING]
            for record in doomed:
                self._write(record, "deleted", now)
                del self._tasks[int(record.task_id)]
                del self._by_fingerprint[pool, record.fingerprint]
            return len(doomed)

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, are paused or have a share of their own, sorted."""
        with self._mutex:
            shared = {pool for pool, share in self._shares.items() if share != NO_SHARE}
            return sorted(self._pools | set(self._paused) | shared)

    def pause(self, pool: str, *, reason: str | None = None) -> bool:
        """Let nobody take tasks of `pool` until `resume`."""
        check_pool_name(pool)
        with self._mutex:
            before = len(self._paused)
            self._paused.setdefault(pool, (self._clock(), reason and storable_text(reason)))
            return len(self._paused) > before

    def resume(self, pool: str) -> bool:
        """Let tasks be taken again."""
        with self._mutex:
            paused = self._paused.pop(pool, None) is not None
        if paused:
            self.notify(pool)
        return paused

    def stat(self, pool: str) -> PoolStat:
        """Return how many tasks a pool has by state, whether it is paused, and its share."""
        with self._mutex:
            paused_at, reason = self._paused.get(pool, (None, None))
            share = self._shares.get(pool, NO_SHARE)
            return PoolStat(
                pool=pool,
                counts=self.count(pool),
                paused_at=paused_at,
                reason=reason,
                weight=share.weight,
                max_running=share.max_running,
            )

    def demand(self, pools: Sequence[str] | None = None) -> tuple[PoolDemand, ...]:
        """Return the open work of these pools, or of all, by needs."""
        with self._mutex:
            rows = demand_rows(self._tasks.values(), pools, self._clock())
            return demand_of_rows(rows, lambda pool: self._shares.get(pool, NO_SHARE), self._paused.__contains__)

    def shares(self, pools: Sequence[str]) -> tuple[PoolShare, ...]:
        """Return how many tasks of each pool run, and its share, in the order given."""
        with self._mutex:
            return tuple(
                PoolShare(
                    pool=pool,
                    running=self._count_running(pool),
                    paused=pool in self._paused,
                    share=self._shares.get(pool, NO_SHARE),
                )
                for pool in pools
            )

    def set_share(
        self, pool: str, *, weight: float | None = None, max_running: int | EllipsisType | None = ...
    ) -> None:
        """Set the weight of a pool, or the most of its tasks that run at once; what is not given stays."""
        check_pool_name(pool)
        check_share(weight=weight, max_running=max_running)
        with self._mutex:
            before = self._shares.get(pool, NO_SHARE)
            self._shares[pool] = before.changed(weight=weight, max_running=max_running)
        self.notify(pool)

    def restore(self, pool: str, tasks: Sequence[MovedTask]) -> PutResult:
        """Take over tasks of another store, as they stood there, with their history."""
        check_pool_name(pool)
        check_movable(tasks)
        with self._mutex:
            self._know_needs(pool, [task.record.needs.text for task in tasks])
            before = self._last
            now = self._clock()
            ids = tuple(str(self._restore(pool, task, now)) for task in tasks)
            return PutResult(ids=ids, created=self._last - before)

    def _restore(self, pool: str, task: MovedTask, now: float) -> int:
        known = self._by_fingerprint.get((pool, task.record.fingerprint))
        if known is not None:
            return known
        self._last += 1
        task_id = str(self._last)
        self._pools.add(pool)
        self._by_fingerprint[pool, task.record.fingerprint] = self._last
        self._history += [(pool, replace(row, task_id=task_id)) for row in task.history]
        self._write(replace(task.record, task_id=task_id, pool=pool), "moved", now)
        return self._last

    def waker(self, pool: str, *, topic: Topic = "work") -> ThreadWaker:
        """Return a new listener, for threads of this process."""
        return self._notifier.waker(pool, topic=topic)

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all threads that listen."""
        self._notifier.notify(pool, topic=topic)

    def read_history(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first."""
        wanted = None if task_ids is None else set(task_ids)
        with self._mutex:
            return [row for name, row in self._history if name == pool and (wanted is None or row.task_id in wanted)]

    def _in_pool(self, pool: str) -> Iterator[TaskRecord]:
        return (record for record in self._tasks.values() if record.pool == pool)

    def _write(self, record: TaskRecord, event: str, now: float, *, detail: str | None = None) -> None:
        self._tasks[int(record.task_id)] = record
        row = HistoryRow(
            task_id=record.task_id,
            at=now,
            event=event,
            status=record.status,
            token=record.token,
            attempt=record.attempts,
            owner=record.owner,
            detail=detail,
        )
        self._history.append((record.pool, row))
        # Who is woken looks, and waits there until this transaction is over.
        topics: Sequence[Topic] = ("end",) if event == "deleted" else topics_of([record.status])
        for topic in topics:
            self._notifier.notify(record.pool, topic=topic)
