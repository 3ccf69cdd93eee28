"""A store for several machines: one PostgreSQL database, primary and of version 14 or later."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from rollwright.core.clock import SystemClock
from rollwright.errors import LeaseLostError, StoreUnavailableError
from rollwright.pool.query import Query
from rollwright.pool.states import CLAIMABLE, OPEN_STATES, Status
from rollwright.pool.store import Claim, Lease, Outcome, Settlement, Traits
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.connection import Connection, ConnectionLostError, run
from rollwright.pool.stores.postgres.query import where
from rollwright.pool.stores.postgres.reads import plain
from rollwright.pool.stores.postgres.writes import Changing

__all__ = ["PostgresStore"]

_logger = logging.getLogger("rollwright.pool")

_Row = tuple[Any, ...]

_SECOND_LOOK: Final = 0.4
"""Seconds in which a process whose connection broke comes back; it tries at once."""

_AFTER_START: Final = 5.0
"""Seconds after the server's start in which nobody is taken for dead: all had to connect anew."""

_LOOK_EVERY: Final = 0.1
"""Seconds between two looks for ended leases and passed delays while a worker takes one task after another."""

_MOST_LOSSES: Final = 10
_CLAIMED: Final = "claimed"


class PostgresStore(Changing):
    """Tasks in one schema of a PostgreSQL database.

    Parameters
    ----------
    url : str
        ``postgresql://user:password@host:5432/database``, with libpq's parameters after a ``?``; ``schema=name``
        among them chooses another schema than ``rollwright``. The address of the server itself, not of a pooler.
    patience : float
        Seconds to wait for a server that was reached before and is away, restarting or unreachable, before
        `StoreUnavailableError`.
    clock : callable, optional
        Returns seconds since 1970 UTC and decides leases; the server's clock if not given. For tests alone: several
        processes would differ.

    Guarantees: the server's clock decides, whatever the clocks of the workers say. When a connection breaks before an
    answer has come, it is found out on the server whether the change was kept; nothing is done twice or taken for
    done that was not. A process that is killed loses its tasks at the next `reap`, not only when their leases end.
    """

    def __init__(self, url: str, *, patience: float = 30.0, clock: Callable[[], float] | None = None) -> None:
        super().__init__(url, patience=patience, clock=clock)
        self._real = SystemClock()
        self._numbers = random.SystemRandom()  # forked processes must not draw the same
        self._looked = -math.inf

    @property
    def traits(self) -> Traits:
        """Many processes of many machines, the server's clock."""
        return Traits(time_precision=1e-6, multi_process=True, multi_host=True, can_notify=True, knows_dead_owners=True)

    def migrate(self) -> None:
        """Bring the schema to this version's; every first connection does it too."""
        self._rows("SELECT 1")

    def close(self) -> None:
        """Close the connections. The session that shows that this process lives stays: its tasks are still its own."""
        self._link.close()

    # -- turns -------------------------------------------------------------------------------------------------

    def claim(self, claim: Claim) -> list[Lease]:
        """Take tasks: highest priority first, then the oldest."""
        return _leases(self._turn([], claim), claim)

    def settle(self, outcomes: Sequence[Outcome], *, claim: Claim | None = None) -> Settlement:
        """End attempts, and take the next tasks in the same transaction, mostly one statement."""
        if not outcomes and claim is None:
            return Settlement()
        unique = {(outcome.task_id, outcome.token): outcome for outcome in reversed(outcomes)}
        rows = self._turn(sorted(unique.values(), key=lambda outcome: int(outcome.task_id)), claim)
        ended = {(str(row[1]), row[2]): row for row in rows if row[0] != _CLAIMED}
        accepted = {id(unique[key]) for key in ended}
        refused = [outcome for outcome in outcomes if id(outcome) not in accepted]
        leases = _leases(rows, claim) if claim is not None else []
        self._ring_for([*ended.values()], claim, short=claim is None or len(leases) < claim.limit)
        return Settlement(
            refused=tuple(self._refusals(refused)),
            statuses={key[0]: Status(row[3]) for key, row in ended.items()},
            leases=tuple(leases),
        )

    def _turn(self, outcomes: list[Outcome], claim: Claim | None) -> list[_Row]:
        values = {"now": self._now(), **_outcome_values(outcomes)}
        condition = ""
        if claim is not None:
            condition, more = where(claim.query)
            values |= {**more, **self._wish(claim)}
        if any(_opens(outcome) for outcome in outcomes):
            return self._long_way(outcomes, claim, condition, values)
        looking = claim is not None and self._looks()
        rows = self._short_way(outcomes, claim, condition, values, gated=looking)
        if any(row[0] == sql.DUE for row in rows):
            self._looked = -math.inf
            return self._long_way(outcomes, claim, condition, values)
        if claim is not None and not looking and sum(row[0] == _CLAIMED for row in rows) < claim.limit:
            self._looked = -math.inf  # there is time: look before the next claim
            if not any(row[0] == _CLAIMED for row in rows):
                rows += self._late_claim(claim, ended=bool(outcomes))
        return rows

    def _late_claim(self, claim: Claim, *, ended: bool) -> list[_Row]:
        try:
            return self._turn([], claim)
        except StoreUnavailableError as error:
            if not ended:
                raise
            # What ended is kept, and has to be told; the next call will meet the error if it lasts.
            _logger.warning("store.not_claimed url=%s error=%s", self._address.shown, error.message)
            return []

    def _looks(self) -> bool:
        """Tell whether a claim is to look for what has to be freed first: each, but a quick sequence of them."""
        now = self._real.monotonic()
        if self._clock is None and now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        return True

    def _wish(self, claim: Claim) -> dict[str, object]:
        return {
            "pool": claim.pool,
            "owner": plain(claim.owner),
            "lease": claim.lease,
            "limit": max(claim.limit, 0),
            "process": self._presence().number(),
            "claim": self._numbers.getrandbits(63),
        }

    def _short_way(
        self, outcomes: list[Outcome], claim: Claim | None, condition: str, values: dict[str, object], *, gated: bool
    ) -> list[_Row]:
        """Do it in one statement; a gated one does nothing when something has to be freed first."""
        status = claim.status.value if claim is not None else None
        statement = sql.turn(_amount(outcomes), status, condition, gated=gated)
        for _ in range(_MOST_LOSSES):
            try:
                return self._link.once(lambda connection: run(connection, statement, values, hot=True))
            except ConnectionLostError:
                rows = self._found_again(outcomes, values if claim is not None else None)
                if rows:
                    return rows
        raise self._no_end_of_losses()

    def _found_again(self, outcomes: list[Outcome], wish: dict[str, object] | None) -> list[_Row]:
        """Return what a statement did whose answer was lost; nothing when it was not kept.

        The session that ran it has ended, so what is not there now will not come.
        """
        kinds = {(int(outcome.task_id), outcome.token): outcome.kind for outcome in outcomes}
        keys = {"ids": [key[0] for key in kinds], "tokens": [key[1] for key in kinds]}

        def look(connection: Connection) -> list[_Row]:
            ended = run(connection, sql.ACCEPTED, keys) if outcomes else []
            rows = [row for row in ended if kinds.get((row[1], row[2])) == _KINDS.get(row[0], row[0])]
            return rows + (run(connection, sql.CLAIMED, wish) if wish is not None else [])

        return self._link.ask(look)

    def _long_way(
        self, outcomes: list[Outcome], claim: Claim | None, condition: str, values: dict[str, object]
    ) -> list[_Row]:
        """Do it in a transaction of several statements, so that the claim sees what was freed and given back."""

        def work(connection: Connection) -> list[_Row]:
            rows: list[_Row] = []
            opened: set[str] = set()
            if claim is not None:
                freed = run(connection, sql.REAP.format(where=" AND pool = %(pool)s"), {**values, "dead": []})
                opened = {row[1] for row in freed if row[2] in CLAIMABLE}
                run(connection, sql.PROMOTE, values)
            if outcomes:
                rows += run(connection, sql.turn(_amount(outcomes), None, "", gated=False), values, hot=True)
                opened |= {row[7] for row in rows if row[3] in CLAIMABLE}
            if claim is not None:
                rows += run(connection, sql.turn("none", claim.status.value, condition, gated=False), values)
            self._notify(connection, opened, "work")
            return rows

        return self._link.change(work)

    def _refusals(self, outcomes: list[Outcome]) -> list[LeaseLostError]:
        if not outcomes:
            return []
        rows = self._rows(sql.STATE_OF, ids=[int(outcome.task_id) for outcome in outcomes])
        found = {str(row[0]): row for row in rows}
        refusals = []
        for outcome in outcomes:
            _, current, state = found.get(outcome.task_id, (0, None, ""))
            refusals.append(LeaseLostError(outcome.task_id, token=outcome.token, current=current, state=state))
        return refusals

    def _ring_for(self, ended: list[_Row], claim: Claim | None, *, short: bool) -> None:
        """Tell those who wait for a pool's tasks to end, once none of them is open."""
        for pool in {row[7] for row in ended if row[3] not in OPEN_STATES}:
            if short or claim is None or claim.pool != pool:
                self._ring(sql.NOTIFY_WHEN_EMPTY, pool, "end")

    def _no_end_of_losses(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the connection to {self._address.shown} breaks each time it is used",
            hint="look into the server's log; what was asked for last was not kept",
        )

    # -- leases ------------------------------------------------------------------------------------------------

    def renew(self, owner: str, *, lease: float) -> dict[str, int]:
        """Extend the leases of all tasks `owner` holds."""
        rows = self._rows(sql.RENEW, owner=plain(owner), lease=lease, now=self._now())
        return {str(task_id): token for task_id, token in rows}

    def reap(self, pool: str | None = None, *, query: Query | None = None) -> list[str]:
        """Free the tasks whose lease ended or whose process is dead.

        A process whose session is gone is looked for twice, within half a second: it may only have lost its
        connection.
        """
        condition, values = where(query)
        if pool is not None:
            condition, values = f" AND pool = %(pool)s{condition}", {**values, "pool": plain(pool)}
        values["now"] = self._now()
        held = self._rows(sql.HELD.format(where=condition), **values)
        dead = self._dead({row[0] for row in held if row[0] is not None})
        if not dead and not any(row[1] for row in held):
            return []

        def work(connection: Connection) -> list[_Row]:
            rows = run(connection, sql.REAP.format(where=condition), {**values, "dead": dead})
            self._notify(connection, {row[1] for row in rows if row[2] in CLAIMABLE}, "work")
            return rows

        freed = self._link.change(work)
        for name in {row[1] for row in freed if row[2] not in OPEN_STATES}:
            self._ring(sql.NOTIFY_WHEN_EMPTY, name, "end")
        return [str(row[0]) for row in freed]

    def _dead(self, processes: set[int]) -> list[int]:
        missing = processes - self._alive() if processes else set()
        if not missing or self._rows(sql.UP_FOR)[0][0] < _AFTER_START:
            return []
        self._real.sleep(_SECOND_LOOK)
        return sorted(missing - self._alive())

    def _alive(self) -> set[int]:
        return {row[0] for row in self._rows(sql.ALIVE)}


_KINDS: Final = {"retry": "failed"}


def _amount(outcomes: list[Outcome]) -> sql.Outcomes:
    return "none" if not outcomes else "one" if len(outcomes) == 1 else "many"


def _opens(outcome: Outcome) -> bool:
    """Tell whether an outcome makes its task one that can be taken at once: a claim must see that, and others hear.

    One that has to wait before it is tried again is nobody's yet.
    """
    return outcome.kind in ("part_done", "released") or (
        outcome.kind == "failed" and outcome.retry and outcome.delay <= 0
    )


def _outcome_values(outcomes: list[Outcome]) -> dict[str, object]:
    if not outcomes:
        return {}
    if len(outcomes) == 1:
        (outcome,) = outcomes
        return {
            "task": int(outcome.task_id),
            "token": outcome.token,
            "kind": outcome.kind,
            "result": outcome.result,
            "validity": outcome.validity,
            "error": plain(outcome.error),
            "retry": outcome.retry,
            "delay": float(outcome.delay),
        }
    return {
        "task": [int(outcome.task_id) for outcome in outcomes],
        "token": [outcome.token for outcome in outcomes],
        "kind": [outcome.kind for outcome in outcomes],
        "result": [outcome.result for outcome in outcomes],
        "validity": [outcome.validity for outcome in outcomes],
        "error": [plain(outcome.error) for outcome in outcomes],
        "retry": [outcome.retry for outcome in outcomes],
        "delay": [float(outcome.delay) for outcome in outcomes],
    }


def _leases(rows: list[_Row], claim: Claim) -> list[Lease]:
    leases = [
        Lease(
            task_id=str(row[1]),
            pool=claim.pool,
            token=row[2],
            attempt=row[4],
            max_attempts=row[5],
            owner=claim.owner,
            canonical=row[7],
            priority=row[6],
            origin=claim.status,
            result=row[8],
        )
        for row in rows
        if row[0] == _CLAIMED
    ]
    leases.sort(key=lambda lease: (-lease.priority, int(lease.task_id)))  # RETURNING promises no order
    return leases
