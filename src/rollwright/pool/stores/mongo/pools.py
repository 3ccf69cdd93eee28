"""What MongoDB knows of whole pools: pauses, shares, caps, the needs of their tasks, and their demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import Any, Final

from bson import ObjectId

from rollwright.pool.demand import DemandRow, PoolDemand, PoolShare, Share, demand_of_rows
from rollwright.pool.needs import check_needs
from rollwright.pool.states import CLAIMABLE, Status
from rollwright.pool.store import PoolStat
from rollwright.pool.stores.mongo.connection import Document, MongoConnection

__all__ = ["Lock", "MongoPools", "PoolRule"]

_LOCK_LEASE: Final = 5.0
"""Seconds after which another client takes the lock of one that stopped while it claimed."""

_LOCK_PATIENCE: Final = 10.0
_LOCK_PAUSES: Final = (0.002, 0.005, 0.01, 0.02, 0.04)
_OPEN: Final = [status.value for status in sorted(CLAIMABLE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRule:
    """What is said of a pool."""

    paused_at: float | None = None
    reason: str | None = None
    weight: float = 1.0
    max_running: int | None = None
    needs: tuple[str, ...] = ()

    @property
    def paused(self) -> bool:
        """Whether nobody is given a task."""
        return self.paused_at is not None

    @property
    def share(self) -> Share:
        """Its share."""
        return Share(weight=self.weight, max_running=self.max_running)


@dataclass(slots=True, kw_only=True)
class Lock:
    """The right to claim tasks of a pool with a cap.

    Attributes
    ----------
    held : bool
        Whether it was got.
    kept : bool
        Once it is given back: whether nobody else had it meanwhile. What was claimed under one that was not kept may
        be too much.
    """

    held: bool
    kept: bool = False


class MongoPools:
    """The documents of pools."""

    def __init__(self, connection: MongoConnection) -> None:
        self._db = connection

    def read(self, pool: str) -> PoolRule:
        """Return what is said of a pool."""
        return _rule_of(self._db.pools.find_one({"_id": pool}) or {})

    def stat(self, pool: str, counts: Mapping[Status, int]) -> PoolStat:
        """Return how a pool stands, whose tasks were counted."""
        rule = self.read(pool)
        return PoolStat(
            pool=pool,
            counts=counts,
            paused_at=rule.paused_at,
            reason=rule.reason,
            weight=rule.weight,
            max_running=rule.max_running,
        )

    def register(self, pool: str, needs: set[str]) -> None:
        """Let the pool be known before it has tasks, and their needs before a task has them.

        Raises
        ------
        ConfigError
            When the different needs of the pool would be too many.
        """
        known = self._db.registered.get(pool)
        added = needs - {""}
        if known is not None and added <= known:
            return
        before = frozenset(self.read(pool).needs)
        check_needs(pool, before, added)
        update: Document = {"$set": {"used": True}}
        if added:
            update["$addToSet"] = {"needs": {"$each": sorted(added)}}
        self._db.retry(lambda: self._db.pools.update_one({"_id": pool}, update, upsert=True))
        self._db.registered[pool] = before | added

    def names(self) -> list[str]:
        """Return the names of all pools that are used, paused or have a share of their own, sorted."""
        own = [{"weight": {"$exists": True, "$ne": 1.0}}, {"max_running": {"$gt": 0}}]
        rows = self._db.pools.find({"$or": [{"used": True}, {"paused_at": {"$gt": 0}}, *own]}, {"_id": 1})
        return sorted(str(row["_id"]) for row in rows)

    def pause(self, pool: str, reason: str | None) -> bool:
        """Pause a pool; return whether it went on before."""
        self._make(pool)
        update = {"$set": {"paused_at": self._db.clock(), "reason": reason}}
        going = {"_id": pool, "paused_at": None}
        return self._db.retry(lambda: self._db.pools.find_one_and_update(going, update)) is not None

    def resume(self, pool: str) -> bool:
        """Let a pool go on; return whether it was paused."""
        update = {"$unset": {"paused_at": "", "reason": ""}}
        paused = {"_id": pool, "paused_at": {"$gt": 0}}
        return self._db.retry(lambda: self._db.pools.find_one_and_update(paused, update)) is not None

    def set_share(self, pool: str, *, weight: float | None, max_running: int | EllipsisType | None) -> None:
        """Set what is given of a pool's share."""
        self._make(pool)
        fields: Document = {} if weight is None else {"weight": float(weight)}
        if not isinstance(max_running, EllipsisType):
            fields["max_running"] = max_running
        if fields:
            self._db.retry(lambda: self._db.pools.update_one({"_id": pool}, {"$set": fields}))

    def _make(self, pool: str) -> None:
        self._db.retry(lambda: self._db.pools.update_one({"_id": pool}, {"$setOnInsert": {"work": 0}}, upsert=True))

    # -- caps ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, pool: str) -> Iterator[Lock]:
        """Hold the lock of a pool with a cap during the block, so that its claims come one after another.

        A client that stopped in the block loses it after some seconds. When it goes on it has not kept the lock: that
        is found by the write that gives it back, which only the holder of the lock's key can make.
        """
        key = ObjectId()
        lock = Lock(held=self._acquire(pool, key))
        try:
            yield lock
        finally:
            if lock.held:
                # Given back by the same key again and again, should an answer be lost.
                mine = {"_id": pool, "lock.key": key}
                ended = {"$set": {"lock.until": 0.0}}
                lock.kept = self._db.retry(lambda: self._db.pools.find_one_and_update(mine, ended)) is not None

    def _acquire(self, pool: str, key: ObjectId) -> bool:
        pauses = iter(_LOCK_PAUSES)
        pause, waited = 0.0, 0.0
        while waited < _LOCK_PATIENCE:
            now = self._db.clock()
            free = {"_id": pool, "$or": [{"lock": None}, {"lock.until": {"$lt": now}}, {"lock.key": key}]}
            taken = {"$set": {"lock": {"key": key, "until": now + _LOCK_LEASE}}}
            if self._db.retry(partial(self._db.pools.find_one_and_update, free, taken)) is not None:
                return True
            pause = next(pauses, pause)
            self._db.waiting.sleep(pause)
            waited += pause
        return False

    def room(self, pool: str, limit: int) -> int:
        """Return how many of `limit` tasks more may run in a pool; asked under its lock."""
        cap = self.read(pool).max_running
        return limit if cap is None else max(0, min(limit, cap - self._count_running(pool)))

    def _count_running(self, pool: str) -> int:
        return self._db.latest.count_documents({"pool": pool, "status": Status.RUNNING.value})

    # -- demand --------------------------------------------------------------------------------------------------------

    def share(self, pool: str) -> PoolShare:
        """Return how many tasks of a pool run, and its share."""
        rule = self.read(pool)
        return PoolShare(pool=pool, running=self._count_running(pool), paused=rule.paused, share=rule.share)

    def demand(self, pools: Sequence[str]) -> tuple[PoolDemand, ...]:
        """Return the open work of pools by needs."""
        now = self._db.clock()
        rules = {pool: self.read(pool) for pool in pools}
        rows: list[DemandRow] = []
        for pool in dict.fromkeys(pools):
            rows += self._demand_of(pool, now)
        return demand_of_rows(rows, lambda pool: rules[pool].share, lambda pool: rules[pool].paused)

    def _demand_of(self, pool: str, now: float) -> list[DemandRow]:
        """Return the rows of one pool, counted by the server from the indexes of open tasks."""
        running = Status.RUNNING.value
        parts: tuple[tuple[str, Document], ...] = (
            ("open", {"status": {"$in": _OPEN}, "ready": True}),
            ("open", {"status": {"$in": _OPEN}, "due": {"$lte": now}}),
            ("delayed", {"status": {"$in": _OPEN}, "due": {"$gt": now}}),
            ("running", {"status": running}),
        )
        counts: dict[str, dict[str, int]] = {}
        oldest: dict[str, float] = {}
        for name, part in parts:
            group = {"$group": {"_id": "$needs", "tasks": {"$sum": 1}, "first": {"$min": "$created"}}}
            for row in self._db.tasks.aggregate([{"$match": {"pool": pool} | part}, group]):
                row_of = counts.setdefault(row["_id"], {"open": 0, "delayed": 0, "running": 0})
                row_of[name] += row["tasks"]
                if name == "open":
                    oldest[row["_id"]] = max(now - row["first"], oldest.get(row["_id"], 0.0))
        return [
            (pool, needs, row["open"], row["delayed"], row["running"], oldest.get(needs))
            for needs, row in counts.items()
        ]


def _rule_of(document: dict[str, Any]) -> PoolRule:
    return PoolRule(
        paused_at=document.get("paused_at"),
        reason=document.get("reason"),
        weight=document.get("weight", 1.0),
        max_running=document.get("max_running"),
        needs=tuple(sorted(document.get("needs", ()))),
    )
