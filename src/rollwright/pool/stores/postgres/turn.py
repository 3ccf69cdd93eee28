"""One turn of a worker on PostgreSQL: end attempts, take the next tasks, and write the history of both.

Mostly one statement, so that it takes one round trip and is one transaction. When something has to be freed first it
is a transaction of several statements, so that the claim sees what was freed and released.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from rollwright.core.clock import SystemClock
from rollwright.errors import StoreUnavailableError
from rollwright.pool.states import CLAIMABLE
from rollwright.pool.store import ClaimRequest, Lease, Outcome
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.connection import Connection, ConnectionLostError, Connections, run
from rollwright.pool.stores.postgres.query import where
from rollwright.pool.stores.postgres.rules import NO_RULE, Rule, locked_rule, rule_of_row
from rollwright.pool.stores.postgres.writes import ServerNotifier, keepable
from rollwright.pool.stores.sql_reads import sort_leases

__all__ = ["CLAIMED", "Row", "Turns", "leases_of"]

_logger = logging.getLogger("rollwright.pool")

Row = tuple[Any, ...]

CLAIMED: Final = "claimed"
"""The event of the rows of a turn that are taken tasks; the others are attempts that ended."""

_CHECK_EVERY: Final = 0.1
"""Seconds between two checks for ended leases and passed delays while a worker takes one task after another."""

_MOST_LOSSES: Final = 10
_MOST_WRITTEN: Final = 64
"""Tasks that are taken at once, up to which their number stands in the statement."""
_SAID: Final = (sql.DUE, sql.RULE, sql.SHORT)
"""The events of rows that are no tasks."""
_EVENT_KINDS: Final = {"retry": "failed"}


class Turns:
    """The turns of one store.

    Parameters
    ----------
    connections : Connections
    notifier : ServerNotifier
    process : callable
        Returns the number under which the server knows this process to be alive.
    now : callable
        Returns the time that decides, or None for the server's.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        notifier: ServerNotifier,
        process: Callable[[], int | None],
        now: Callable[[], float | None],
    ) -> None:
        self._connections = connections
        self._notifier = notifier
        self._process = process
        self._now = now
        self._clock = SystemClock()
        self._numbers = random.SystemRandom()  # forked processes must not draw the same
        self._checked = -math.inf
        self._rules: dict[str, Rule] = {}

    def take(self, outcomes: list[Outcome], request: ClaimRequest | None) -> list[Row]:
        """Do one turn and return its rows, as `statements.turn` orders them.

        1. An outcome that opens its task needs the long way: the claim has to see it. So does a pool with a cap, whose
           running tasks are counted under a lock.
        2. Otherwise one statement; now and then a gated one, which does nothing when leases ended or delays passed.
        3. When that is so, the long way.
        4. When the pool's cap or the needs of its tasks are not what was known of them, claim once more.
        5. When others had locked tasks of some needs, claim those of each.
        6. When there was less to take than asked for and nothing was checked, check and claim once more.
        """
        now = self._now()
        values: dict[str, object] = {"now": now, **_outcome_values(outcomes)}
        condition, rule = "", NO_RULE
        needed: tuple[str, ...] = ()
        if request is not None:
            rule = self._rules.get(request.pool, NO_RULE)
            condition, more = where(request.query)
            needed = request.offer.choose(rule.needs)
            values |= {**more, **self._claim_values(request), **_needs_values(needed), "known": [*rule.needs]}
        if rule.max_running is not None or any(_opens(outcome) for outcome in outcomes):
            return self._run_transaction(outcomes, request, condition, values)
        gated = request is not None and self._is_check_due(now)
        rows = self._run_statement(outcomes, request, condition, values, gated=gated)
        events = {row[0]: row for row in rows if row[0] in _SAID}
        rows = [row for row in rows if row[0] not in _SAID]
        if sql.DUE in events:
            self._checked = -math.inf
            return self._run_transaction(outcomes, request, condition, values)
        if request is None:
            return rows
        if sql.RULE in events:
            self._rules[request.pool] = rule_of_row(events[sql.RULE])
            return rows + self._claim_again(request, settled=bool(outcomes))
        if sql.SHORT in events:
            rows += self._claim_each(request, needed, rows, settled=bool(outcomes))
        if not gated and sum(row[0] == CLAIMED for row in rows) < request.limit:
            self._checked = -math.inf  # there is time: check before the next claim
            if not any(row[0] == CLAIMED for row in rows):
                rows += self._claim_again(request, settled=bool(outcomes))
        return rows

    def _claim_each(
        self, request: ClaimRequest, needed: tuple[str, ...], rows: list[Row], *, settled: bool
    ) -> list[Row]:
        """Claim what is left to claim, of one text of needs after another, and return the rows of that."""
        condition, more = where(request.query)
        taken: list[Row] = []
        for text in needed:
            limit = request.limit - sum(row[0] == CLAIMED for row in (*rows, *taken))
            if limit <= 0:
                break
            part = replace(request, limit=limit)
            values = {"now": self._now(), **more, **self._claim_values(part), "needs": text, "known": []}
            try:
                taken += self._run_statement([], part, condition, values, gated=False, checked=False)
            except StoreUnavailableError as error:
                if not settled and not rows and not taken:
                    raise
                self._warn_not_claimed(error)
                break
        return taken

    def _claim_again(self, request: ClaimRequest, *, settled: bool) -> list[Row]:
        try:
            return self.take([], request)
        except StoreUnavailableError as error:
            if not settled:
                raise
            # What was settled is kept, and has to be reported; the next call will meet the error if it lasts.
            self._warn_not_claimed(error)
            return []

    def _warn_not_claimed(self, error: StoreUnavailableError) -> None:
        _logger.warning("store.not_claimed url=%s error=%s", self._connections.address.shown, error.message)

    def _is_check_due(self, now: float | None) -> bool:
        """Tell whether a claim is to check what has to be freed first: each, but a quick sequence of them."""
        moment = self._clock.monotonic()
        if now is None and moment - self._checked < _CHECK_EVERY:
            return False
        self._checked = moment
        return True

    def _claim_values(self, request: ClaimRequest) -> dict[str, object]:
        return {
            "pool": request.pool,
            "owner": keepable(request.owner),
            "lease": request.lease,
            "limit": max(request.limit, 0),
            "process": self._process(),
            "claim": self._numbers.getrandbits(63),
        }

    def _run_statement(
        self,
        outcomes: list[Outcome],
        request: ClaimRequest | None,
        condition: str,
        values: dict[str, object],
        *,
        gated: bool,
        checked: bool = True,
    ) -> list[Row]:
        """Do it in one statement; when its answer is lost, find out what it did, and run it again if it did nothing."""
        status = request.status.value if request is not None else None
        needed = _needed(values) if request is not None else "one"
        statement = sql.turn(
            _amount(outcomes), status, condition, gated=gated, needed=needed, checked=checked, limit=_written(values)
        )
        for _ in range(_MOST_LOSSES):
            try:
                return self._connections.run_once(lambda connection: run(connection, statement, values, hot=True))
            except ConnectionLostError:
                rows = self._find_lost(outcomes, values if request is not None else None)
                if rows:
                    return rows
        raise StoreUnavailableError(
            f"the connection to {self._connections.address.shown} breaks each time it is used",
            hint="look into the server's log; what was asked for last was not kept",
        )

    def _find_lost(self, outcomes: list[Outcome], claim_values: dict[str, object] | None) -> list[Row]:
        """Return what a statement did whose answer was lost; nothing when it was not kept.

        The session that ran it has ended, so what is not there now will not come.
        """
        kinds = {(int(outcome.task_id), outcome.token): outcome.kind for outcome in outcomes}
        keys = {"ids": [key[0] for key in kinds], "tokens": [key[1] for key in kinds]}

        def read(connection: Connection) -> list[Row]:
            ended = run(connection, sql.ACCEPTED, keys) if outcomes else []
            rows = [row for row in ended if kinds.get((row[1], row[2])) == _EVENT_KINDS.get(row[0], row[0])]
            return rows + (run(connection, sql.CLAIMED, claim_values) if claim_values is not None else [])

        return self._connections.read(read)

    def _run_transaction(
        self, outcomes: list[Outcome], request: ClaimRequest | None, condition: str, values: dict[str, object]
    ) -> list[Row]:
        """Do it in one transaction: free and promote, then end attempts, then claim what all that left to take.

        A pool with a cap is locked first of all; what may be taken is counted last.
        """

        def write(connection: Connection) -> list[Row]:
            rows: list[Row] = []
            opened: set[str] = set()
            rule = NO_RULE
            if request is not None:
                rule = locked_rule(connection, request.pool)
                freed = run(connection, sql.REAP.format(where=" AND pool = %(pool)s"), {**values, "dead": []})
                opened = {row[1] for row in freed if row[2] in CLAIMABLE}
                run(connection, sql.PROMOTE, values)
            if outcomes:
                rows += run(connection, sql.turn(_amount(outcomes), None, "", gated=False), values, hot=True)
                opened |= {row[7] for row in rows if row[3] in CLAIMABLE}
            if request is not None:
                rows += self._claim_within(connection, request, condition, values, rule)
            self._notifier.notify_within(connection, opened, "work")
            learned.append(rule)
            return rows

        learned: list[Rule] = []
        rows = self._connections.write(write)
        if request is not None and learned:
            self._rules[request.pool] = learned[-1]
        return rows

    def _claim_within(
        self, connection: Connection, request: ClaimRequest, condition: str, values: dict[str, object], rule: Rule
    ) -> list[Row]:
        """Claim in an open transaction, as many as the pool's cap has room for."""
        limit = request.limit
        if rule.max_running is not None:
            ((running,),) = run(connection, sql.RUNNING, values)
            limit = min(limit, rule.max_running - running)
            if limit <= 0:
                return []
        status = request.status.value
        rows: list[Row] = []
        needed = request.offer.choose(rule.needs)
        for part in (needed, *((text,) for text in needed if len(needed) > 1)):
            if len(rows) == limit:
                break
            terms = {**values, **_needs_values(part), "limit": limit - len(rows)}
            statement = sql.turn(
                "none", status, condition, gated=False, needed=_needed(terms), checked=False, limit=_written(terms)
            )
            found = run(connection, statement, terms)
            rows += [row for row in found if row[0] not in _SAID]
            if not any(row[0] == sql.SHORT for row in found) and part is needed:
                break
        return rows


def leases_of(rows: list[Row], request: ClaimRequest) -> list[Lease]:
    """Return the leases of the tasks that a turn took."""
    return sort_leases(
        [
            Lease(
                task_id=str(row[1]),
                pool=request.pool,
                token=row[2],
                attempt=row[4],
                max_attempts=row[5],
                owner=request.owner,
                canonical=row[7],
                fingerprint=row[9],
                priority=row[6],
                origin=request.status,
                result=row[8],
            )
            for row in rows
            if row[0] == CLAIMED
        ]
    )


def _needs_values(needed: tuple[str, ...]) -> dict[str, object]:
    return {"needs": needed[0] if len(needed) == 1 else [*needed]}


def _needed(values: dict[str, object]) -> sql.Needed:
    return "one" if isinstance(values["needs"], str) else "some"


def _written(values: dict[str, object]) -> int | None:
    """Return how many to take where that is to stand in the statement: a few numbers, so that it stays prepared."""
    limit = values.get("limit")
    return limit if isinstance(limit, int) and limit <= _MOST_WRITTEN else None


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
            "error": keepable(outcome.error),
            "retry": outcome.retry,
            "delay": float(outcome.delay),
        }
    return {
        "task": [int(outcome.task_id) for outcome in outcomes],
        "token": [outcome.token for outcome in outcomes],
        "kind": [outcome.kind for outcome in outcomes],
        "result": [outcome.result for outcome in outcomes],
        "validity": [outcome.validity for outcome in outcomes],
        "error": [keepable(outcome.error) for outcome in outcomes],
        "retry": [outcome.retry for outcome in outcomes],
        "delay": [float(outcome.delay) for outcome in outcomes],
    }
