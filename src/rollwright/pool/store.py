"""The port `TaskStore`: where tasks live, with their states, leases and history.

What every store promises: **at-least-once execution, exactly one accepted commit.** A task's body may run more than
once; the result of one run alone is accepted. It rests on the *fencing token*, a number of each task that is raised at
each claim and at each reap: whoever holds an older one is refused, whatever became of the task meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rollwright.pool.query import Query
from rollwright.pool.states import Status
from rollwright.pool.values import (
    Amendment,
    Claim,
    HistoryRow,
    Lease,
    NewTask,
    Outcome,
    OutcomeKind,
    PutResult,
    Settlement,
    TaskRecord,
    Traits,
    check_pool_name,
    document_of,
    encode_result,
)

__all__ = [
    "Amendment",
    "Claim",
    "History",
    "HistoryRow",
    "Lease",
    "NewTask",
    "Outcome",
    "OutcomeKind",
    "PoolAdmin",
    "PutResult",
    "Settlement",
    "TaskRecord",
    "TaskStore",
    "Traits",
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

        Tasks whose lease ended are freed first. Each taken task's token is raised and the attempt counted.
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
    """Looking after pools."""

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, sorted."""
        ...


class History(Protocol):
    """Reading what happened."""

    def read_history(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first; of all tasks of the pool when none is named."""
        ...
