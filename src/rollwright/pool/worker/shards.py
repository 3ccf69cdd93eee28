"""Tasks in shards, as a worker sees them in the pool: put the shards, set the task aside, wake it when they have ended.

1. A task that has shards is claimed as any other. Its shards are put into the pool, each a task like all, and the task
   is committed as ``part_done``: nobody claims it, and nobody asks for it again and again.
2. Whoever settles a shard looks whether it was the last of its task that was open. Then the task becomes ``waiting``,
   and whoever claims it joins what the shards have made; a shard that failed makes it ``failed``, with the cause.
3. A task whose shards have ended while nobody was left to wake it is found by each worker that has nothing to do.

All of this may be done twice and by several at once: putting is idempotent, and a task is woken by a comparison of its
state and of the turn in which it was set aside. What counts is the one accepted commit of the task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from rollwright.core.canonical import canonical_json, parse_json
from rollwright.errors import RollwrightError, TaskNotFoundError, TaskValueError
from rollwright.pool.document import last_hint, last_line
from rollwright.pool.query import FINGERPRINT, And, Exists, In, among
from rollwright.pool.states import OPEN_STATES, Status
from rollwright.pool.store import Amendment, Lease, NewTask, Outcome, TaskEditor, TaskReader, TaskRecord
from rollwright.pool.stored_definition import check_definition, restore_definitions
from rollwright.tasks.shards import SHARD, SHARDS, Shard, read_sharding

__all__ = ["TURN", "ShardKeeper", "WokenTask", "find_shards", "list_fingerprints", "read_set_aside"]

_logger: Final = logging.getLogger("rollwright.pool")

TURN: Final = "turn"
"""The key of a result that says which claim set a task aside."""
_ASIDE: Final = In(path=("status",), values=(Status.PART_DONE.value,))
_SHOWN: Final = 3


class ShardStore(TaskReader, TaskEditor, Protocol):
    """What keeping shards needs of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WokenTask:
    """A task whose shards have ended.

    Attributes
    ----------
    task_id : str
    status : {"waiting", "failed"}
        What became of it: to be joined, or failed because a shard has.
    reason : str
        Which shard failed, and why.
    """

    task_id: str
    status: Literal["waiting", "failed"]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aside:
    """How a task stands that was set aside."""

    shards: tuple[str, ...]
    turn: int

    @classmethod
    def of(cls, record: TaskRecord) -> _Aside | None:
        """Return what the result of a task says; None when it is another's."""
        try:
            result: Any = parse_json(record.result or "null")
        except TaskValueError:
            return None
        if not isinstance(result, dict) or set(result) != {SHARDS, TURN} or not isinstance(result[TURN], int):
            return None
        ids = result[SHARDS]
        known = isinstance(ids, list) and all(isinstance(one, str) for one in ids)
        return cls(shards=tuple(ids), turn=result[TURN]) if known else None

    def to_json(self) -> str:
        return canonical_json({SHARDS: [*self.shards], TURN: self.turn})


class ShardKeeper:
    """Looks after the shards of a pool's tasks, for one worker.

    Parameters
    ----------
    store : ShardStore
    pool : str
    """

    def __init__(self, store: ShardStore, pool: str) -> None:
        self._store = store
        self._pool = pool
        self._tasks: dict[str, str] = {}
        self._ended: set[str] = set()

    def divide(self, lease: Lease) -> Outcome | None:
        """Put what is missing of the shards of a claimed task, and return how it is set aside; None: it is to be run.

        It is to be run when it has no shards or all of them are done, and when its definition is none: then the task
        function says what is wrong with it. Shards that failed are tried again.
        """
        if f'"{SHARDS}"' not in lease.canonical:
            self._note_shard(lease)
            return None
        try:
            definition = check_definition(
                lease.canonical, fingerprint=lease.fingerprint, pool=lease.pool, task_id=lease.task_id
            )
            sharding = read_sharding(definition)
        except RollwrightError:
            return None
        if sharding is None:
            return None
        for stage in sharding.stages(definition, fingerprint=lease.fingerprint):
            ids = self._put(stage, lease)
            if any(record.status is not Status.DONE for record in self._store.get(self._pool, ids)):
                self._tasks[lease.task_id] = lease.fingerprint
                _logger.info("task.divided pool=%s task=%s shards=%d", self._pool, lease.task_id, len(ids))
                return Outcome.part_done(lease, result=_Aside(shards=tuple(ids), turn=lease.token).to_json())
        return None

    def note_settled(self, outcome: Outcome, status: Status) -> bool:
        """Take note of a task that was settled; return whether it is one that was set aside."""
        is_aside = outcome.kind == "part_done" and outcome.task_id in self._tasks
        if outcome.task_id in self._tasks and (is_aside or status not in OPEN_STATES):
            # A task that was just set aside is looked at, too: its last shard may have ended before.
            self._ended.add(self._tasks.pop(outcome.task_id))
        return is_aside

    def wake(self) -> list[WokenTask]:
        """Wake the tasks whose last open shard was settled here, and return those that this very call woke."""
        if not self._ended:
            return []
        query = And(parts=(In(path=(FINGERPRINT,), values=tuple(sorted(self._ended))), _ASIDE))
        woken = self._wake(self._store.find(self._pool, query))
        self._ended.clear()
        return woken

    def find_forgotten(self) -> list[WokenTask]:
        """Wake the tasks that are set aside though no shard of theirs is open: whoever was to wake them is gone."""
        return self._wake(self._store.find(self._pool, And(parts=(_ASIDE, Exists(path=("res", TURN))))))

    def _note_shard(self, lease: Lease) -> None:
        if f'"{SHARD}"' not in lease.canonical:
            return
        try:
            shard: Any = lease.definition.get(SHARD)
        except (RollwrightError, AttributeError):  # the task function says what is wrong with it
            return
        if isinstance(shard, dict) and isinstance(shard.get("of"), str):
            self._tasks[lease.task_id] = shard["of"]

    def _put(self, stage: Sequence[Shard], lease: Lease) -> list[str]:
        (record,) = self._store.get(self._pool, [lease.task_id])
        terms: Any = {"priority": lease.priority, "max_attempts": lease.max_attempts, "needs": record.needs}
        tasks = [NewTask.of(shard.definition, **terms) for shard in stage]
        ids = self._store.put(self._pool, tasks).ids
        restore_definitions(self._store, self._pool, dict(zip(ids, tasks, strict=True)))
        ended = (Status.FAILED.value, Status.CANCELLED.value)
        again = And(parts=(In(path=("_id",), values=ids), In(path=("status",), values=ended)))
        change = Amendment(status=Status.WAITING, max_attempts=lease.max_attempts, needs=record.needs)
        self._store.amend(self._pool, again, change)
        return [*ids]

    def _wake(self, records: Iterator[TaskRecord]) -> list[WokenTask]:
        return [woken for record in [*records] if (woken := self._wake_one(record)) is not None]

    def _wake_one(self, record: TaskRecord) -> WokenTask | None:
        aside = _Aside.of(record)
        if aside is None:
            return None
        try:
            shards = self._store.get(self._pool, aside.shards)
        except TaskNotFoundError:  # somebody removed one: the task puts it again
            shards = []
        if any(shard.status in OPEN_STATES for shard in shards):
            return None
        failed = [shard for shard in shards if shard.status is not Status.DONE]
        reason = _describe(failed, len(shards)) if failed else ""
        amendment = Amendment(status=Status.FAILED, error=reason) if failed else Amendment(status=Status.WAITING)
        # Only from the turn that was looked at: another worker may have woken it, and somebody set it aside again.
        turn = In(path=("res", TURN), values=(aside.turn,))
        seen = And(parts=(In(path=("_id",), values=(record.task_id,)), _ASIDE, turn))
        if not self._store.amend(self._pool, seen, amendment):
            return None
        status: Literal["waiting", "failed"] = "failed" if failed else "waiting"
        _logger.info("task.woken pool=%s task=%s status=%s", self._pool, record.task_id, status)
        return WokenTask(task_id=record.task_id, status=status, reason=last_line(reason) if failed else "")


def _describe(failed: Sequence[TaskRecord], count: int) -> str:
    """Return why shards have no result: a line that names them, and the traceback of the first that failed."""
    told = []
    for shard in failed[:_SHOWN]:
        name = (shard.definition.get(SHARD) or {}).get("name", shard.task_id)
        if shard.status is Status.CANCELLED:
            told.append(f"shard {name} was cancelled")
        else:
            told.append(f"shard {name} failed: {last_line(shard.error or 'nobody knows why')}")
    more = f"; and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    trace = next((shard.error for shard in failed if shard.error), "")
    lines = [f"{len(failed)} of {count} shards have no result: {'; '.join(told)}{more}"]
    lines += [f"| {line}" for line in trace.rstrip().splitlines()]
    hint = last_hint(trace)
    return "\n".join([*lines, *([] if hint is None else [f"hint: {hint}"])])


def read_set_aside(record: TaskRecord) -> tuple[str, ...]:
    """Return the ids of the shards for which a task is set aside; none where it is not."""
    found = _Aside.of(record) if record.status is Status.PART_DONE else None
    return () if found is None else found.shards


def find_shards(store: TaskReader, pool: str, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the fingerprints of the shards of those among the tasks `ids` that have some, by the id of the task.

    A task whose definition is damaged, or asks for what cannot be, has none.
    """
    chosen = among(ids)
    found: dict[str, tuple[str, ...]] = {}
    for record in store.find(pool, And(parts=(chosen, Exists(path=("def", SHARDS))))):
        try:
            found[record.task_id] = list_fingerprints(record)
        except RollwrightError:
            continue
    return {task_id: shards for task_id, shards in found.items() if shards}


def list_fingerprints(record: TaskRecord) -> tuple[str, ...]:
    """Return the fingerprints of the shards of a task.

    Raises
    ------
    ConfigError
        When it asks for what cannot be.
    """
    definition = record.definition
    sharding = read_sharding(definition)
    stages = () if sharding is None else sharding.stages(definition, fingerprint=record.fingerprint)
    return tuple(NewTask.of(shard.definition).fingerprint for stage in stages for shard in stage)
