"""Move a pool to another store: complete, repeatable, and verified before anything is removed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from rollwright.core.masking import mask_secrets
from rollwright.errors import ConfigError, IllegalTransitionError, PoolError
from rollwright.pool.query import In
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, HistoryRow, ManagerStore, MovedTask, PoolStore, TaskRecord

__all__ = ["MoveReport", "move_pool"]

_logger: Final = logging.getLogger("rollwright.app")

BATCH: Final = 500
_RUNNING: Final = In(path=("status",), values=(Status.RUNNING.value,))


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """Result of a move.

    Attributes
    ----------
    moved : int
        Tasks that the new store did not have.
    known : int
        Tasks that it had already: of an earlier move that was interrupted, or put there by others.
    restarted : int
        Running tasks that were taken from their workers.
    """

    moved: int
    known: int
    restarted: int


def move_pool(
    pool: str,
    source: ManagerStore,
    target: PoolStore,
    *,
    where: str,
    force: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> MoveReport:
    """Move all tasks of `pool` with their states, needs, results and history, and its share, from `source` to `target`.

    Parameters
    ----------
    pool : str
    source, target : PoolStore
    where : str
        The URL of `target`, for the reason that `source` is paused with.
    force : bool
        True: running tasks are taken from their workers and begin anew in the new store.
    on_progress : callable, optional
        Called with how many tasks are copied, of how many.

    Guarantees: killed at any moment and given again, it ends with every task in the new store once, and none in the
    old one. The pool is paused meanwhile, and stays so when the move is interrupted; nothing is removed before the
    whole is found in the new store. History of the old store stays there.

    Raises
    ------
    ConfigError
        When both are one and the same.
    IllegalTransitionError
        When tasks are running, without `force`; the pool goes on as before then.
    PoolError
        When the new store has a task of the same definition without the result that the old one has; nothing was
        removed then.
    """
    target.list_pools()  # says now, before anything is paused, when it cannot be opened
    reason = f"moving to {mask_secrets(where)}"
    stat = source.stat(pool)
    ours = stat.reason == reason
    paused_by_user = stat.paused and not ours
    source.pause(pool, reason=reason)
    try:
        _check_different_store(pool, source, target)
        restarted = _end_running(pool, source, force=force)
        moved, known = _copy_all(
            pool, source, target, on_progress if on_progress is not None else (lambda _done, _total: None)
        )
    except (IllegalTransitionError, ConfigError):
        if not stat.paused:
            source.resume(pool)
        raise
    target.set_share(pool, weight=stat.weight, max_running=stat.max_running)
    if paused_by_user:
        target.pause(pool, reason=stat.reason)
    else:
        source.resume(pool)
    _logger.info("pool.moved pool=%s moved=%d known=%d restarted=%d", pool, moved, known, restarted)
    return MoveReport(moved=moved, known=known, restarted=restarted)


def _check_different_store(pool: str, source: ManagerStore, target: PoolStore) -> None:
    """Refuse a target that is the source, by whatever name: what is found there would then be removed here."""
    here, there = source.stat(pool), target.stat(pool)
    if there.paused and (there.paused_at, there.reason) == (here.paused_at, here.reason):
        raise ConfigError(f"pool {pool!r} is in that store already", hint="name another one with --to")


def _end_running(pool: str, source: ManagerStore, *, force: bool) -> int:
    source.reap(pool)
    running = source.stat(pool).counts[Status.RUNNING]
    if not running:
        return 0
    if not force:
        raise IllegalTransitionError(
            f"{running} tasks of pool {pool!r} are running",
            hint="wait until they have ended, or start them anew: --force",
        )
    return len(source.amend(pool, _RUNNING, Amendment(status=Status.WAITING)))


def _copy_all(pool: str, source: ManagerStore, target: PoolStore, tell: Callable[[int, int], None]) -> tuple[int, int]:
    """Copy until nothing is left, since tasks may be put meanwhile; each round removes what it has copied."""
    moved = known = 0
    while total := sum(source.stat(pool).counts.values()):
        ids: list[str] = []
        for batch in _batches(source.find(pool)):
            result = target.restore(pool, _with_history(pool, source, batch))
            copies = target.get(pool, result.ids)
            _check_copies(pool, batch, copies)
            moved += result.created
            known += len(batch) - result.created
            ids += [record.task_id for record in batch]
            tell(len(ids), max(total, len(ids)))
        if not ids:
            raise PoolError(f"pool {pool!r} counts {total} tasks and shows none", hint="give the same command again")
        removed = 0
        for start in range(0, len(ids), BATCH):
            removed += source.delete(pool, In(path=("_id",), values=tuple(ids[start : start + BATCH])))
        if removed < len(ids):
            raise PoolError(
                f"{len(ids) - removed} tasks of pool {pool!r} changed while they were moved",
                hint="stop its workers and give the same command again; nothing is lost",
            )
    return moved, known


def _batches(records: Iterator[TaskRecord]) -> Iterator[list[TaskRecord]]:
    while batch := [*islice(records, BATCH)]:
        yield batch


def _with_history(pool: str, source: ManagerStore, batch: Sequence[TaskRecord]) -> list[MovedTask]:
    rows: dict[str, list[HistoryRow]] = {record.task_id: [] for record in batch}
    for row in source.read_history(pool, [*rows]):
        rows[row.task_id].append(row)
    return [MovedTask(record=record, history=tuple(rows[record.task_id])) for record in batch]


def _check_copies(pool: str, batch: Sequence[TaskRecord], copies: Sequence[TaskRecord]) -> None:
    for record, copy in zip(batch, copies, strict=True):
        if copy.fingerprint != record.fingerprint:
            raise PoolError(f"task {record.task_id} of pool {pool!r} is not the one that arrived as {copy.task_id}")
        if record.result is not None and copy.result is None:
            here, there = record.status.value, copy.status.value
            raise PoolError(
                f"task {record.task_id} of pool {pool!r} is {here} here, and {there} there as task {copy.task_id}",
                hint="let it end there, or remove it there, and give the same command again; nothing was removed",
            )
