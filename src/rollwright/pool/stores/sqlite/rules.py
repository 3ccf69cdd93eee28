"""What the SQLite store knows of a whole pool: its pause, its share, the needs of its tasks, and its demand."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Final

from rollwright.pool.demand import NO_SHARE, DemandRow, Share, demand_of_rows
from rollwright.pool.needs import check_needs
from rollwright.pool.states import Status
from rollwright.pool.store import Amendment, ClaimRequest, PoolDemand, PoolShare, PoolStat
from rollwright.pool.stores.sqlite import statements as sql

__all__ = [
    "NO_TERMS",
    "PoolTerms",
    "adjustment",
    "allowed",
    "know_needs",
    "read_demand",
    "read_rules",
    "read_shares",
    "set_share",
    "stat_of",
]

_ANYBODY: Final = ("",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTerms:
    """The row of a pool in the table `rule`, without the needs."""

    paused_at: float | None = None
    reason: str | None = None
    share: Share = NO_SHARE


NO_TERMS: Final = PoolTerms()
"""Of a pool that was never paused and was given no share."""


def stat_of(connection: sqlite3.Connection, pool: str, counts: Mapping[Status, int]) -> PoolStat:
    """Return how a pool stands, whose tasks were counted."""
    terms = read_rules(connection).get(pool, NO_TERMS)
    return PoolStat(
        pool=pool,
        counts=counts,
        paused_at=terms.paused_at,
        reason=terms.reason,
        weight=terms.share.weight,
        max_running=terms.share.max_running,
    )


def read_demand(
    connection: sqlite3.Connection, pools: Sequence[str] | None, *, now: float, uptime: float
) -> tuple[PoolDemand, ...]:
    """Return the open work of these pools, or of all, by needs."""
    terms = read_rules(connection)
    return demand_of_rows(
        _demand_rows(connection, pools, now=now, uptime=uptime),
        lambda pool: terms.get(pool, NO_TERMS).share,
        lambda pool: terms.get(pool, NO_TERMS).paused_at is not None,
    )


def read_shares(connection: sqlite3.Connection, pools: Sequence[str]) -> tuple[PoolShare, ...]:
    """Return how many tasks of each pool run, and its share, in the order given."""
    terms = read_rules(connection)
    found = []
    for pool in pools:
        (running,) = connection.execute(sql.RUNNING, (pool,)).fetchone()
        of_pool = terms.get(pool, NO_TERMS)
        found.append(PoolShare(pool=pool, running=running, paused=of_pool.paused_at is not None, share=of_pool.share))
    return tuple(found)


def set_share(
    connection: sqlite3.Connection, pool: str, *, weight: float | None, max_running: int | EllipsisType | None
) -> None:
    """Set what is given of a pool's share."""
    before = read_rules(connection).get(pool, NO_TERMS).share
    share = before.changed(weight=weight, max_running=max_running)
    connection.execute(sql.SET_SHARE, (pool, share.weight, share.max_running))


def read_rules(connection: sqlite3.Connection) -> dict[str, PoolTerms]:
    """Return the rules of all pools that have some."""
    return {
        pool: PoolTerms(paused_at=paused_at, reason=reason, share=Share(weight=weight, max_running=max_running))
        for pool, paused_at, reason, weight, max_running in connection.execute(sql.ALL_RULES)
    }


def allowed(connection: sqlite3.Connection, claim: ClaimRequest, limit: int) -> tuple[tuple[str, ...], int]:
    """Return the texts of needs that a claim may take tasks of, and how many it may take."""
    rule = connection.execute(sql.RULE, (claim.pool,)).fetchone()
    if rule is None:
        return _ANYBODY, limit
    needs, paused_at, max_running = rule
    if paused_at is not None:
        return _ANYBODY, 0
    if max_running is not None:
        (running,) = connection.execute(sql.RUNNING, (claim.pool,)).fetchone()
        limit = min(limit, max_running - running)
    return claim.offer.choose(needs.split("\n")) if needs else _ANYBODY, limit


def know_needs(connection: sqlite3.Connection, pool: str, texts: set[str]) -> None:
    """Note needs that tasks of the pool are about to have, so that claims look for them."""
    if texts == {""}:
        return
    rule = connection.execute(sql.RULE, (pool,)).fetchone()
    known = {*rule[0].split("\n")} if rule is not None else set()
    check_needs(pool, known, texts)
    if not texts - {""} <= known:
        connection.execute(sql.SET_NEEDS, (pool, "\n".join(sorted((known | texts) - {""}))))


def adjustment(connection: sqlite3.Connection, pool: str, amendment: Amendment) -> tuple[object, ...]:
    """Return the values of what an amendment adjusts, for `statements.ADJUST`; None stays as it is."""
    needs = amendment.needs.text if amendment.needs is not None else None
    if needs is not None:
        know_needs(connection, pool, {needs})
    return amendment.priority, amendment.max_attempts, needs


def _demand_rows(
    connection: sqlite3.Connection, pools: Sequence[str] | None, *, now: float, uptime: float
) -> list[DemandRow]:
    """Return the open work of pools, for `demand_of_rows`."""
    names = [row[0] for row in connection.execute(sql.SIZES)] if pools is None else [*pools]
    found = connection.execute(sql.DEMAND, (json.dumps(names), uptime)).fetchall()
    firsts = json.dumps([row[4] for row in found])
    created = dict(connection.execute(sql.CREATED_AT, (firsts,)).fetchall())
    counts: dict[tuple[str, str], dict[str, int]] = {}
    oldest: dict[tuple[str, str], float] = {}
    for pool, needs, kind, tasks, first in found:
        key = (pool, needs)
        row = counts.setdefault(key, {"open": 0, "delayed": 0, "running": 0})
        row[kind] += tasks
        if kind == "open":
            oldest[key] = max(now - created[first], oldest.get(key, 0.0))
    return [(*key, row["open"], row["delayed"], row["running"], oldest.get(key)) for key, row in counts.items()]
