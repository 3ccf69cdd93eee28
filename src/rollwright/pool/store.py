"""The ports of the pool: `TaskStore`, where tasks live, and beside it `PoolAdmin`, `History`, `Notifier` with `Waker`.

Who needs no more than a part takes that part: `TaskReader`, `TaskLeases`, `TaskEditor`, `PoolStats` and `PoolControl`
are parts of the ports; `WorkerStore` and `ManagerStore` are what a worker and a `TaskManager` need.

What every store promises: **at-least-once execution, exactly one accepted commit.** A task may be run more than
once; the result of one run alone is accepted. It rests on the *fencing token*, a number of each task that is raised at
each claim and at each reap: whoever holds an older one is refused, whatever became of the task meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import Protocol

from rollwright.pool.demand import PoolDemand, PoolShare, Share
from rollwright.pool.needs import Needs, Offer
from rollwright.pool.query import Query
from rollwright.pool.states import Status
from rollwright.pool.types import (
    Amendment,
    ClaimRequest,
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
    Topic,
    Traits,
    check_movable,
    check_pool_name,
    document_of,
    encode_result,
)

__all__ = [
    "Amendment",
    "ClaimRequest",
    "History",
    "HistoryRow",
    "Lease",
    "ManagerStore",
    "MovedTask",
    "Needs",
    "NewTask",
    "Notifier",
    "Offer",
    "Outcome",
    "OutcomeKind",
    "PoolAdmin",
    "PoolControl",
    "PoolDemand",
    "PoolShare",
    "PoolStat",
    "PoolStats",
    "PoolStore",
    "PutResult",
    "Settlement",
    "Share",
    "TaskEditor",
    "TaskLeases",
    "TaskReader",
    "TaskRecord",
    "TaskStore",
    "Topic",
    "Traits",
    "Waker",
    "WorkerStore",
    "check_movable",
    "check_pool_name",
    "document_of",
    "encode_result",
]


class TaskReader(Protocol):
    """Reading tasks."""

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


class TaskLeases(Protocol):
    """Claiming tasks and ending attempts."""

    def claim(self, claim: ClaimRequest) -> list[Lease]:
        """Take tasks whose needs the offer meets: highest priority first, then the oldest.

        Tasks whose lease ended are freed first. Each taken task's token is raised and the attempt counted. A paused
        pool gives nothing, and one with a cap no more than may run beside what is running. Tasks whose needs are not
        met cost nothing, however many stand before the others.
        """
        ...

    def renew(self, owner: str, *, lease: float) -> dict[str, int]:
        """Extend the leases of all tasks `owner` holds; return their ids and tokens. What is missing was lost."""
        ...

    def settle(self, outcomes: Sequence[Outcome], *, claim: ClaimRequest | None = None) -> Settlement:
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


class TaskEditor(Protocol):
    """Putting tasks in, and changing them by hand."""

    def put(self, pool: str, tasks: Sequence[NewTask]) -> PutResult:
        """Add the tasks the pool does not have yet; putting again what it has changes nothing."""
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


class TaskStore(TaskReader, TaskLeases, TaskEditor, Protocol):
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

    def close(self) -> None:
        """Close what the store holds open. It opens anew when it is used again."""
        ...


class PoolStats(Protocol):
    """Counting the tasks of a pool."""

    def stat(self, pool: str) -> PoolStat:
        """Return how many tasks a pool has by state, whether it is paused, and its share, as of one moment."""
        ...

    def demand(self, pools: Sequence[str] | None = None) -> tuple[PoolDemand, ...]:
        """Return the open work of these pools, or of all, by needs; sorted by pool and needs.

        What has no open and no running task is left out; finished tasks cost nothing.
        """
        ...

    def shares(self, pools: Sequence[str]) -> tuple[PoolShare, ...]:
        """Return how many tasks of each pool run, and its share, in the order given; waiting tasks cost nothing."""
        ...


class PoolControl(PoolStats, Protocol):
    """Pausing a pool, and saying how it is served beside others."""

    def pause(self, pool: str, *, reason: str | None = None) -> bool:
        """Let nobody take tasks of `pool` until `resume`; return whether it went on before.

        Guarantees: durable, for every process; tasks that are running may end as they like. Pausing again changes
        nothing, the reason included; a pool that has no tasks yet can be paused.
        """
        ...

    def resume(self, pool: str) -> bool:
        """Let tasks be taken again, and notify; return whether it was paused."""
        ...

    def set_share(
        self, pool: str, *, weight: float | None = None, max_running: int | EllipsisType | None = ...
    ) -> None:
        """Set the weight of a pool, or the most of its tasks that run at once; what is not given stays.

        Guarantees: durable, for every process; from then on no claim lets more than `max_running` tasks of the pool be
        held, by however many workers. None takes the cap away. What runs already is not stopped, and a claim that is
        under way at this moment may still take its tasks. A pool that has no tasks yet can be given a share.

        Raises
        ------
        ConfigError
            For a weight that is not above 0, or a cap below 1.
        """
        ...


class PoolAdmin(PoolControl, Protocol):
    """Looking after whole pools."""

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, are paused or have a share of their own, sorted."""
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
    """One listener to one topic of one pool.

    Guarantees: a notification after it was made is not missed: the next `wait` returns at once. Several may come as
    one, and one may come without need: look for yourself. One thread waits; any thread may close.
    """

    def wait(self, timeout: float) -> bool:
        """Wait until there is a notification, for at most `timeout` real seconds; return whether there was one.

        False at once when it was closed.
        """
        ...

    def close(self) -> None:
        """Stop listening, also a `wait` that another thread is in."""
        ...


class Notifier(Protocol):
    """Waking those who wait for a pool: workers for work, and whoever waits for tasks to end.

    A store notifies by itself, after the change can be seen: ``work`` when a task may be taken (put, released, to be
    tried again, part_done, reset, reaped, restored; the pool resumed), ``end`` when tasks ended (done, failed,
    cancelled, removed), where it may leave out all but the last open task of a pool. A delay that passes notifies
    nobody. Where `Traits.can_notify` is False a `Waker` polls.
    """

    def waker(self, pool: str, *, topic: Topic = "work") -> Waker:
        """Return a new listener."""
        ...

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all who listen. What cannot be notified is passed over: who listens looks now and then anyway."""
        ...


class PoolStore(TaskStore, PoolAdmin, History, Notifier, Protocol):
    """What every adapter is: the whole of the ports."""


class WorkerStore(TaskReader, TaskLeases, TaskEditor, PoolStats, Notifier, Protocol):
    """What a worker, or whoever waits for one, needs: tasks, leases, whether the pool is paused, and to be woken."""


class ManagerStore(TaskReader, TaskLeases, TaskEditor, PoolControl, History, Notifier, Protocol):
    """What a `TaskManager` needs, and shows as its `store`: one pool, not the store as a whole."""
