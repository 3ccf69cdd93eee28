"""The ports of the pool: `TaskStore`, where tasks live, and beside it `PoolAdmin`, `History`, `Bells` with `Waker`.

What every store promises: **at-least-once execution, exactly one accepted commit.** A task's body may run more than
once; the result of one run alone is accepted. It rests on the *fencing token*, a number of each task that is raised at
each claim and at each reap: whoever holds an older one is refused, whatever became of the task meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rollwright.pool.query import Query
from rollwright.pool.states import Status
from rollwright.pool.types import (
    Amendment,
    Bell,
    Claim,
    HistoryRow,
    Lease,
    MovedTask,
    NewTask,
    Outcome,
    OutcomeKind,
    PoolStat,
    PutResult,
    Settlement,
    TaskRecord,
    Traits,
    check_movable,
    check_pool_name,
    document_of,
    encode_result,
)

__all__ = [
    "Amendment",
    "Bell",
    "Bells",
    "Claim",
    "History",
    "HistoryRow",
    "Lease",
    "MovedTask",
    "NewTask",
    "Outcome",
    "OutcomeKind",
    "PoolAdmin",
    "PoolStat",
    "PoolStore",
    "PutResult",
    "Settlement",
    "TaskRecord",
    "TaskStore",
    "Traits",
    "Waker",
    "check_movable",
    "check_pool_name",
    "document_of",
    "encode_result",
]


class TaskStore(Protocol):
    """Where tasks live.

    Guarantees: every method is one transaction (`put` of more than 10,000 tasks and `find` are several), durable when
    it returns, with a history row for every change of state; time is the store's own clock; errors of the driver
    come as `StoreUnavailableError`. A store may be used by several threads.
    """

    @property
    def traits(self) -> Traits:
        """What this adapter can do."""
        ...

    def migrate(self) -> None:
        """Bring the store to this version's schema; a store of a later version is refused.

        Raises
        ------
        SchemaVersionError
        """
        ...

    def put(self, pool: str, tasks: Sequence[NewTask]) -> PutResult:
        """Add the tasks the pool does not have yet; putting again what it has changes nothing."""
        ...

    def claim(self, claim: Claim) -> list[Lease]:
        """Take tasks: highest priority first, then the oldest.

        Tasks whose lease ended are freed first. Each taken task's token is raised and the attempt counted. A paused
        pool gives nothing.
        """
        ...

    def renew(self, owner: str, *, lease: float) -> dict[str, int]:
        """Extend the leases of all tasks `owner` holds; return their ids and tokens. What is missing was lost."""
        ...

    def settle(self, outcomes: Sequence[Outcome], *, claim: Claim | None = None) -> Settlement:
        """End attempts, and take the next tasks in the same transaction.

        An outcome is accepted only when the task is running under its token; the others are refused one by one and
        change nothing.
        """
        ...

    def reap(self, pool: str | None = None, *, query: Query | None = None) -> list[str]:
        """Free the tasks whose lease ended or whose process is known to be dead; return their ids.

        Tokens are raised. A task out of attempts is ``failed``, another goes back to the state it was claimed from.
        """
        ...

    def get(self, pool: str, task_ids: Sequence[str]) -> list[TaskRecord]:
        """Return the tasks, in the order asked.

        Raises
        ------
        TaskNotFoundError
            When the pool has no task of such an id.
        """
        ...

    def find(self, pool: str, query: Query | None = None) -> Iterator[TaskRecord]:
        """Return the tasks that match, oldest first, read in pages."""
        ...

    def count(self, pool: str, query: Query | None = None) -> dict[Status, int]:
        """Return how many tasks match, by state; every state is a key."""
        ...

    def amend(self, pool: str, query: Query | None, amendment: Amendment) -> list[str]:
        """Change tasks by hand; return the ids of those changed.

        Tasks whose state cannot become the one asked for (`states.TRANSITIONS`) are left as they are.

        Raises
        ------
        IllegalTransitionError
            When no task may be put into the state asked for by hand.
        """
        ...

    def delete(self, pool: str, query: Query | None, *, running: bool = False) -> int:
        """Remove tasks that match; those somebody holds are kept unless `running`. Their history stays."""
        ...

    def close(self) -> None:
        """Give back what the store holds open. It opens anew when it is used again."""
        ...


class PoolAdmin(Protocol):
    """Looking after whole pools."""

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, or are paused, sorted."""
        ...

    def pause(self, pool: str, *, reason: str | None = None) -> bool:
        """Let nobody take tasks of `pool` until `resume`; return whether it went on before.

        Guarantees: durable, for every process; tasks that are running may end as they like. Pausing again changes
        nothing, the reason included; a pool that has no tasks yet can be paused.
        """
        ...

    def resume(self, pool: str) -> bool:
        """Let tasks be taken again, and ring; return whether it was paused."""
        ...

    def stat(self, pool: str) -> PoolStat:
        """Return how many tasks a pool has by state, and whether it is paused, as of one moment."""
        ...

    def restore(self, pool: str, tasks: Sequence[MovedTask]) -> PutResult:
        """Take over tasks of another store, as they stood there, with their history.

        Guarantees: one transaction; a definition that `pool` has already is left as it is, so that restoring again
        changes nothing. Ids are new ones, in the order given; everything else is kept, and a last row of history says
        ``moved``. A running task cannot be taken over.

        Raises
        ------
        IllegalTransitionError
            When one is running; nothing was taken over.
        """
        ...


class History(Protocol):
    """Reading what happened."""

    def read_history(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first; of all tasks of the pool when none is named."""
        ...


class Waker(Protocol):
    """One listener at one bell of one pool.

    Guarantees: a ring after it was made is not missed: the next `wait` returns at once. Several rings may come as one,
    and one may come without need: look for yourself. One thread waits; any thread may close.
    """

    def wait(self, timeout: float) -> bool:
        """Wait until the bell rings, for at most `timeout` real seconds; return whether it rang.

        False at once when it was closed.
        """
        ...

    def close(self) -> None:
        """Stop listening, also a `wait` that another thread is in."""
        ...


class Bells(Protocol):
    """Waking those who wait for a pool: workers for work, and whoever waits for tasks to end.

    A store rings by itself, after the change can be seen: ``work`` when a task may be taken (put, released, to be
    tried again, part_done, reset, reaped, restored; the pool resumed), ``end`` when tasks ended (done, failed,
    cancelled, removed), where it may leave out all but the last open task of a pool. A delay that passes rings nothing.
    Where `Traits.can_notify` is False a `Waker` finds out by looking now and then.
    """

    def waker(self, pool: str, *, bell: Bell = "work") -> Waker:
        """Return a new listener."""
        ...

    def ring(self, pool: str, *, bell: Bell = "work") -> None:
        """Wake all who listen. What cannot be rung is passed over: who listens looks now and then anyway."""
        ...


class PoolStore(TaskStore, PoolAdmin, History, Bells, Protocol):
    """What every adapter is: the whole of the ports."""
