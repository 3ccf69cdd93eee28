"""What the parts of the pool's conformance suite share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rollwright.pool.needs import ANY_OFFER, Offer
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import ClaimRequest, HistoryRow, Lease, NewTask, Outcome, PoolStore

__all__ = ["LEASE", "POOL", "StoreUnderTest", "names_of", "outcome_of"]

POOL: Final = "pool"
LEASE: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnderTest:
    """An empty store and a way to let time pass for it.

    Attributes
    ----------
    store : PoolStore
    advance : callable
        Makes the store's clock go on by so many seconds (a store whose clock cannot be set may wait).
    before_replacing : callable, optional
        Needed by the test of a task that is claimed while it is replaced. Given a function, makes the store's next
        `amend` with a replacement call it right before it writes the new definition, after all that it reads; the
        function uses the store from another thread.
    """

    store: PoolStore
    advance: Callable[[float], None]
    before_replacing: Callable[[Callable[[], None]], None] | None = None

    def put(self, *names: str, pool: str = POOL, **fields: Any) -> list[str]:
        """Put a task ``{"name": …}`` for each name and return the ids."""
        return [*self.store.put(pool, [NewTask.of({"name": name}, **fields) for name in names]).ids]

    def claim(
        self,
        *,
        owner: str = "w1",
        limit: int = 1,
        pool: str = POOL,
        status: Status = Status.WAITING,
        offer: Offer = ANY_OFFER,
        **query: Any,
    ) -> list[Lease]:
        """ClaimRequest for `owner` with the suite's lease; `query` are equalities on the definition."""
        tree = parse({f"def.{name}": value for name, value in query.items()})
        return self.store.claim(
            ClaimRequest(pool=pool, owner=owner, lease=LEASE, limit=limit, status=status, query=tree, offer=offer),
        )

    def take(self, **request: Any) -> Lease:
        """ClaimRequest the one task there must be."""
        leases = self.claim(**request)
        assert len(leases) == 1, "there is a task to claim"
        return leases[0]

    def status(self, task_id: str) -> Status:
        """Return the state of a task."""
        return self.store.get(POOL, [task_id])[0].status

    def history(self, *task_ids: str) -> list[HistoryRow]:
        """Return the changes of tasks, or of all."""
        return self.store.read_history(POOL, task_ids or None)


def names_of(leases: list[Lease]) -> list[str]:
    """Return the names of the tasks, in order."""
    return [lease.definition["name"] for lease in leases]


def outcome_of(kind: str, lease: Lease) -> Outcome:
    """Return the outcome of a kind, with something in it that must not be found afterwards."""
    match kind:
        case "done":
            return Outcome.done(lease, result='"stale"')
        case "part_done":
            return Outcome.part_done(lease, result='"stale"')
        case "failed":
            return Outcome.failed(lease, error="stale")
        case "released":
            return Outcome.released(lease)
        case _:
            return Outcome.cancelled(lease)
