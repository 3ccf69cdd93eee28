"""The MongoDB store: tasks shared by many machines, each change one write of one document."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import EllipsisType
from typing import Any, Final, TypeAlias

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from rollwright.core.clock import Clock
from rollwright.core.text import storable_text
from rollwright.errors import (
    IllegalTransitionError,
    LeaseLostError,
    PoolError,
    StoreUnavailableError,
)
from rollwright.pool.demand import check_share
from rollwright.pool.notifier import topics_of
from rollwright.pool.query import Query, split_ids
from rollwright.pool.states import CLAIMABLE, Status, amend_sources
from rollwright.pool.store import (
    Amendment,
    ClaimRequest,
    HistoryRow,
    Lease,
    MovedTask,
    NewTask,
    Outcome,
    PoolDemand,
    PoolShare,
    PoolStat,
    PutResult,
    Settlement,
    TaskRecord,
    Topic,
    Traits,
    Waker,
    check_movable,
    check_pool_name,
)
from rollwright.pool.stores.mongo import writes as changes
from rollwright.pool.stores.mongo.connection import AMBIGUOUS, PLAIN, RETRIES, Document, MongoConnection
from rollwright.pool.stores.mongo.history import DuplicatesOnly, MongoHistory
from rollwright.pool.stores.mongo.pools import MongoPools
from rollwright.pool.stores.mongo.query import where
from rollwright.pool.stores.mongo.reads import find_refusal, lease_of, read_named, read_page

__all__ = ["MongoStore"]

_PUT_CHUNK: Final = 1000
_IDS_CHUNK: Final = 10_000
_ROUNDS: Final = 6
_STATE: Final = {"status": 1, "token": 1}
_OLDEST: Final = [("_id", ASCENDING)]
_logger = logging.getLogger("rollwright.pool")
_Maker: TypeAlias = Callable[[int, float], Document]
_NEXT: Final = [("priority", DESCENDING), ("_id", ASCENDING)]


class MongoStore:
    """Tasks in a MongoDB database, shared by the processes of any number of machines.

    Parameters
    ----------
    url : str
        ``mongodb://user:password@host:27017/database``; the database is ``rollwright`` when the URL names none.
    database : str, optional
        Over the URL's.
    clock : callable, optional
        Returns seconds since 1970 UTC and decides leases; the server's clock if not given.
    timeout : float
        Seconds to look for a server, and to wait for one answer, where the URL does not say it.

    Guarantees: each task's change is one write of one document with its row of history, majority and journalled. A
    call that changes several tasks is one such write for each (`Traits.one_transaction` is False): killed half-way, it
    has changed some of them, and repeating it changes the others. An answer lost on the way is looked for by the
    write's own key before anything is done again.
    """

    def __init__(
        self,
        url: str,
        *,
        database: str | None = None,
        clock: Callable[[], float] | None = None,
        timeout: float = 20.0,
        waiting: Clock | None = None,
    ) -> None:
        self._db = MongoConnection(url, database=database, clock=clock, timeout=timeout, waiting=waiting)
        self._history = MongoHistory(self._db)
        self._pools = MongoPools(self._db)
        self._doubtful: deque[ObjectId] = deque(maxlen=100)

    def __repr__(self) -> str:
        return f"MongoStore({self._db.shown!r})"

    @property
    def database(self) -> Database[Document]:
        """The database, connected at the first use."""
        return self._db.database

    def connected(self) -> Database[Document]:
        """Return the database; the errors of the driver come as the pool's."""
        return self._db.connected()

    @property
    def traits(self) -> Traits:
        """Many machines, the server's clock in milliseconds, one transaction for each task."""
        return Traits(time_precision=1e-3, multi_process=True, multi_host=True, can_notify=False, one_transaction=False)

    def migrate(self) -> None:
        """Bring the database to this version's schema, and end what killed clients left half done."""
        with self._db.translate():
            self._db.check_version(self.database)
            for pool in self._db.pools.distinct("_id"):
                self._history.sweep(pool)

    def close(self) -> None:
        """Close the connections; they are made anew when the store is used again."""
        self._db.close()

    def waker(self, pool: str, *, topic: Topic = "work") -> Waker:
        """Return a new listener, which polls more and more seldom, about twice a second in the end."""
        return self._db.waker(pool, topic=topic)

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all who listen."""
        self._db.notify(pool, topic=topic)

    def read_history(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first: within a task in their order, between tasks by their times."""
        return self._history.read(pool, task_ids)

    # -- putting -----------------------------------------------------------------------------------------------

    def put(self, pool: str, tasks: Sequence[NewTask]) -> PutResult:
        """Add the tasks the pool does not have yet."""
        check_pool_name(pool)
        prints = [task.fingerprint for task in tasks]
        unique: dict[str, _Maker] = {}
        for task in tasks:
            unique.setdefault(task.fingerprint, partial(changes.created, pool=pool, task=task))
            changes.check_size(task.canonical, unique[task.fingerprint])
        return self._add(pool, prints, unique, {task.needs.text for task in tasks})

    def restore(self, pool: str, tasks: Sequence[MovedTask]) -> PutResult:
        """Take over tasks of another store, as they stood there, with their history."""
        check_pool_name(pool)
        check_movable(tasks)
        prints = [task.record.fingerprint for task in tasks]
        unique: dict[str, _Maker] = {}
        for task in tasks:
            unique.setdefault(task.record.fingerprint, partial(changes.moved, pool=pool, task=task))
            changes.check_size(task.record.canonical, unique[task.record.fingerprint])
        return self._add(pool, prints, unique, {task.record.needs.text for task in tasks})

    def _add(self, pool: str, prints: Sequence[str], unique: Mapping[str, _Maker], needs: set[str]) -> PutResult:
        """Insert what is new, in the order given; the unique index decides what that is."""
        known: dict[str, int] = {}
        mine: set[int] = set()
        wanted = [*unique]
        with self._db.translate():
            if wanted:
                self._pools.register(pool, needs)
            for start in range(0, len(wanted), _PUT_CHUNK):
                chunk = wanted[start : start + _PUT_CHUNK]
                self._add_chunk(pool, {name: unique[name] for name in chunk}, known, mine)
        added = mine & {*known.values()}
        if added:
            self.notify(pool)
        return PutResult(ids=tuple(str(known[name]) for name in prints), created=len(added))

    def _add_chunk(
        self,
        pool: str,
        makers: Mapping[str, _Maker],
        known: dict[str, int],
        mine: set[int],
    ) -> None:
        for pause in (0.0, *RETRIES, *RETRIES):
            if pause:  # what another client just put may not have reached a majority yet
                self._db.waiting.sleep(pause)
            missing = [name for name in makers if name not in known]
            found = self._db.tasks.find({"pool": pool, "fingerprint": {"$in": missing}}, {"fingerprint": 1})
            known |= {document["fingerprint"]: document["_id"] for document in found}
            missing = [name for name in missing if name not in known]
            if not missing:
                return
            first = self._db.allocate(len(missing))
            now = self._db.clock()
            mine |= {*range(first, first + len(missing))}
            documents = [makers[name](first + place, now) for place, name in enumerate(missing)]
            try:
                with DuplicatesOnly():
                    self._db.tasks.insert_many(documents, ordered=False)
                    known |= {document["fingerprint"]: document["_id"] for document in documents}
            except AMBIGUOUS as error:
                self._db.pause_after(error, 0.0)  # the next round finds out what was inserted
        raise StoreUnavailableError(
            f"pool `{pool}`: tasks were removed, or connections failed, as often as they were put",
            hint="put them again; what is there already stays as it is",
        )

    # -- claiming ----------------------------------------------------------------------------------------------

    def claim(self, claim: ClaimRequest) -> list[Lease]:
        """Take tasks: highest priority first, then the oldest; each by a write of its own."""
        with self._db.translate():
            return self._claim(claim)

    def _claim(self, claim: ClaimRequest) -> list[Lease]:
        self._free_and_promote(claim.pool)
        if claim.limit <= 0:
            return []
        rule = self._pools.read(claim.pool)
        if rule.paused:
            return []
        needs = claim.offer.choose(rule.needs)
        if rule.max_running is None:
            return self._take_all(claim, needs, claim.limit)
        leases: list[Lease] = []
        with self._pools.locked(claim.pool) as lock:
            room = self._pools.room(claim.pool, claim.limit) if lock.held else 0
            leases = self._take_all(claim, needs, room)
        if not lock.kept:
            # Somebody else may have counted without these: nobody has begun them.
            for document in [*self._db.latest.find({"_id": {"$in": [int(one.task_id) for one in leases]}}, PLAIN)]:
                self._settle_one(document, Outcome.released(lease_of(document)))
            return []
        return leases

    def _take_all(self, claim: ClaimRequest, needs: tuple[str, ...], limit: int) -> list[Lease]:
        leases: list[Lease] = []
        while len(leases) < limit:
            if (document := self._take(claim, needs)) is None:
                break
            leases.append(lease_of(document))
        return leases

    def _take(self, claim: ClaimRequest, needs: tuple[str, ...]) -> Document | None:
        condition, allowed = where(claim.query), changes.claimable(claim, needs)
        wanted = {"$and": [allowed, condition]} if condition else allowed
        for pause in (*RETRIES, None):
            key = ObjectId()
            try:
                document: Document | None = self._db.tasks.find_one_and_update(
                    wanted,
                    changes.claimed(claim, key, self._db.clock()),
                    sort=_NEXT,
                    projection=self._db.returned,
                    return_document=ReturnDocument.AFTER,
                )
            except AMBIGUOUS as error:
                # The server may have given a task away and the answer was lost: look for the claim's key, and should
                # the write come even later, `renew` gives back what this client does not know it has.
                self._doubtful.append(key)
                self._db.pause_after(error, pause)
                found = self._db.latest.find_one({"owner": claim.owner, "status": "running", "claim": key}, PLAIN)
                if found is not None:
                    with suppress(ValueError):
                        self._doubtful.remove(key)
                    return found
            else:
                if document is not None:
                    self._history.keep_short(document)
                return document
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def _free_and_promote(self, pool: str) -> None:
        """Free what leases of `pool` ended, and let delayed tasks be taken whose time has come."""
        now = self._db.clock()
        late: Document = {"pool": pool, "due": {"$lte": now}}
        if self._db.latest.find_one(late, _STATE) is None:
            return
        self._reap(now, {"pool": pool})
        delayed = late | {"status": {"$in": [status.value for status in sorted(CLAIMABLE)]}}
        self._db.retry(lambda: self._db.tasks.update_many(delayed, changes.promoted()))

    def renew(self, owner: str, *, lease: float) -> dict[str, int]:
        """Extend the leases of all tasks `owner` holds."""
        held: Document = {"owner": owner, "status": Status.RUNNING.value}
        with self._db.translate():
            if self._doubtful:  # taken after all by claims whose answers were lost: nobody works on these
                for document in [*self._db.latest.find(held | {"claim": {"$in": [*self._doubtful]}}, PLAIN)]:
                    self._settle_one(document, Outcome.released(lease_of(document)))
            until = {"$set": {"due": self._db.clock() + lease}}
            self._db.retry(lambda: self._db.tasks.update_many(held, until))
            return {str(document["_id"]): document["token"] for document in self._db.latest.find(held, _STATE)}

    # -- ending ------------------------------------------------------------------------------------------------

    def settle(self, outcomes: Sequence[Outcome], *, claim: ClaimRequest | None = None) -> Settlement:
        """End attempts one by one, then take the next tasks; killed between, it has ended some and taken none."""
        refused: list[LeaseLostError] = []
        statuses: dict[str, Status] = {}
        with self._db.translate():
            numbers = [int(outcome.task_id) for outcome in outcomes]
            held = {document["_id"]: document for document in self._db.latest.find({"_id": {"$in": numbers}}, PLAIN)}
            for outcome in outcomes:
                status = self._settle_one(held.get(int(outcome.task_id)), outcome)
                if status is None:
                    refused.append(find_refusal(self._db.latest, outcome))
                else:
                    statuses[outcome.task_id] = status
            leases = self._claim_after(claim, settled=bool(statuses))
            self._notify_for({document["pool"] for document in held.values()}, statuses.values(), more=bool(leases))
        return Settlement(refused=tuple(refused), statuses=statuses, leases=tuple(leases))

    def _claim_after(self, claim: ClaimRequest | None, *, settled: bool) -> list[Lease]:
        """Claim after outcomes were accepted: when connections fail now, taking nothing is better than hiding that."""
        if claim is None:
            return []
        try:
            return self._claim(claim)
        except AMBIGUOUS as error:
            if not settled:
                raise
            _logger.warning("store.not_claimed url=%s error=%s", self._db.shown, type(error).__name__)
            return []

    def _settle_one(self, document: Mapping[str, Any] | None, outcome: Outcome) -> Status | None:
        """Return the state reached, or None when the token is stale.

        What is taken from the document (attempts, the state it was claimed from) stays as it is as long as the token
        does; whether it still does is decided by the write.
        """
        if document is None or document["origin"] is None or document["status"] == changes.DELETED:
            return None
        change = changes.ended(document, outcome, self._db.clock())
        after = self._change(changes.fence(outcome), change)
        return change.status if after is not None else None

    def _change(self, allowed: Document, change: changes.Change) -> Document | None:
        """Make a change where the filter allows it; return the task after it, or None when it was not allowed."""
        doubt = False
        for pause in (*RETRIES, None):
            try:
                found: Document | None = self._db.tasks.find_one_and_update(
                    allowed, change.update, projection=self._db.returned, return_document=ReturnDocument.AFTER
                )
                if found is None and doubt:
                    found = self._history.find_change(allowed, change.key)
            except AMBIGUOUS as error:
                doubt = True
                self._db.pause_after(error, pause)
            else:
                if found is not None:
                    self._history.keep_short(found)
                return found
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def reap(self, pool: str | None = None, *, query: Query | None = None) -> list[str]:
        """Free the tasks whose lease ended; MongoDB knows of no dead process."""
        limits = {} if pool is None else {"pool": pool}
        with self._db.translate():
            return self._reap(self._db.clock(), limits, where(query))

    def _reap(self, now: float, limits: Document, condition: Document | None = None) -> list[str]:
        late: Document = {"status": Status.RUNNING.value, "due": {"$lt": now}}
        wanted = {"$and": [late | limits, condition]} if condition else late | limits
        freed: list[str] = []
        for document in [*self._db.latest.find(wanted, PLAIN | {"definition": 0}, sort=_OLDEST)]:
            change = changes.reaped(document, now)
            # Renewed or settled since it was read: then the filter does not meet it.
            if self._change(late | {"_id": document["_id"], "token": document["token"]}, change) is not None:
                freed.append(str(document["_id"]))
                self._notify_for({document["pool"]}, [change.status])
        return freed

    def _notify_for(self, pools: set[str], statuses: Any, *, more: bool = False) -> None:
        """Notify of tasks that came into `statuses`; with `more` at work, no end is near."""
        for topic in topics_of(statuses):
            if topic == "work" or not more:
                for pool in pools:
                    self.notify(pool, topic=topic)

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, pool: str, task_ids: Sequence[str]) -> list[TaskRecord]:
        """Return the tasks, in the order asked."""
        with self._db.translate():
            return read_named(self._db.tasks, pool, task_ids)

    def find(self, pool: str, query: Query | None = None) -> Iterator[TaskRecord]:
        """Return the tasks that match, oldest first, read in pages."""
        for part in split_ids(query, _IDS_CHUNK):
            yield from self._find(pool, part)

    def _find(self, pool: str, query: Query | None) -> Iterator[TaskRecord]:
        condition = where(query)
        last: int | None = 0
        while last is not None:
            with self._db.translate():
                records, last = read_page(self._db.tasks, pool, condition, last)
            yield from records

    def count(self, pool: str, query: Query | None = None) -> dict[Status, int]:
        """Return how many tasks match, by state."""
        counts = dict.fromkeys(Status, 0)
        for part in split_ids(query, _IDS_CHUNK):
            condition = where(part)
            wanted = {"$and": [{"pool": pool}, condition]} if condition else {"pool": pool}
            with self._db.translate():
                by_state: list[Document] = [{"$match": wanted}, {"$group": {"_id": "$status", "tasks": {"$sum": 1}}}]
                for row in [*self._db.tasks.aggregate(by_state)]:
                    counts[Status(row["_id"])] += row["tasks"]
        return counts

    # -- changing by hand --------------------------------------------------------------------------------------

    def amend(self, pool: str, query: Query | None, amendment: Amendment) -> list[str]:
        """Change tasks by hand, one after another."""
        status = amendment.status
        allowed: Document = {}
        if status is not None:
            allowed["status"] = {"$in": sorted(source.value for source in amend_sources(status))}
            if status is Status.PART_DONE:
                allowed["result"] = {"$ne": None}
        selection = {"$and": [{"pool": pool}, where(query), allowed]}
        with self._db.translate():
            if amendment.needs is not None:
                self._pools.register(pool, {amendment.needs.text})
            if amendment.replacement is not None:
                self._refuse_held(pool, query)
            try:
                changed = self._each(selection, lambda document: changes.amended(document, amendment, self._db.clock()))
            except DuplicateKeyError as error:
                raise PoolError("another task of the pool has that definition already") from error
            if changed and status is not None:
                self._notify_for({pool}, [status])
            if changed and amendment.needs is not None:
                self.notify(pool)
        return [str(number) for number in changed]

    def _refuse_held(self, pool: str, query: Query | None) -> None:
        held = self._db.latest.find_one(
            {"$and": [{"pool": pool, "status": Status.RUNNING.value}, where(query)]}, _STATE
        )
        if held is not None:
            raise IllegalTransitionError(f"task {held['_id']} is running; its definition stays")

    def _each(self, selection: Document, make: Callable[[Document], changes.Change]) -> list[int]:
        """Change every task selected; one that changed since it was read is looked at anew."""
        changed: list[int] = []
        without: Document = PLAIN | {"definition": 0}
        for seen in [*self._db.latest.find(selection, without, sort=_OLDEST)]:
            document: Document | None = seen
            for _ in range(_ROUNDS):
                if document is None:
                    break
                allowed = {"_id": seen["_id"], "version": document["version"]}
                if self._change(allowed, make(document)) is not None:
                    changed.append(seen["_id"])
                    break
                document = self._db.latest.find_one({"$and": [{"_id": seen["_id"]}, selection]}, without)
        return changed

    def delete(self, pool: str, query: Query | None, *, running: bool = False) -> int:
        """Remove tasks that match; their history stays."""
        allowed: Document = {} if running else {"status": {"$ne": Status.RUNNING.value}}
        selection = {"$and": [{"pool": pool}, where(query), allowed]}
        with self._db.translate():
            removed = self._each(selection, lambda document: changes.buried(document, self._db.clock()))
            self._history.sweep(pool)
        if removed:
            self.notify(pool, topic="end")
        return len(removed)

    # -- whole pools -------------------------------------------------------------------------------------------

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, are paused or have a share of their own, sorted."""
        with self._db.translate():
            return self._pools.names()

    def pause(self, pool: str, *, reason: str | None = None) -> bool:
        """Let nobody take tasks of `pool` until `resume`; a claim that is on its way may still take one."""
        check_pool_name(pool)
        with self._db.translate():
            return self._pools.pause(pool, reason and storable_text(reason))

    def resume(self, pool: str) -> bool:
        """Let tasks be taken again."""
        with self._db.translate():
            if resumed := self._pools.resume(pool):
                self.notify(pool)
        return resumed

    def set_share(
        self, pool: str, *, weight: float | None = None, max_running: int | EllipsisType | None = ...
    ) -> None:
        """Set the weight of a pool, or the most of its tasks that run at once; what is not given stays."""
        check_pool_name(pool)
        check_share(weight=weight, max_running=max_running)
        with self._db.translate():
            self._pools.set_share(pool, weight=weight, max_running=max_running)
        self.notify(pool)

    def stat(self, pool: str) -> PoolStat:
        """Return how many tasks a pool has by state, whether it is paused, and its share."""
        counts = self.count(pool)
        with self._db.translate():
            return self._pools.stat(pool, counts)

    def demand(self, pools: Sequence[str] | None = None) -> tuple[PoolDemand, ...]:
        """Return the open work of these pools, or of all, by needs."""
        with self._db.translate():
            return self._pools.demand(self._pools.names() if pools is None else pools)

    def shares(self, pools: Sequence[str]) -> tuple[PoolShare, ...]:
        """Return how many tasks of each pool run, and its share, in the order given."""
        with self._db.translate():
            return tuple(self._pools.share(pool) for pool in pools)
