"""The ledger of a serving: numbered entries in a task pool, each accepted once.

Entry ``n`` is the task ``{"serving": NAME, "entry": n}`` of the pool ``online.NAME``. A task has one accepted commit
(see `rollwright.pool.store`), so of all that would append entry ``n`` one does; the others find it there, look at how
the serving stands now, and decide anew. Whoever was killed between taking the task and its commit changed nothing:
the task is freed, and the next one takes it for what it wants to say.
"""

from __future__ import annotations

import itertools
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, Protocol

from rollwright import __version__
from rollwright.core.canonical import JSON, canonical_json, normalise, parse_json
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.posix import read_user_name
from rollwright.core.text import NAME_RULE, escape_text, is_name
from rollwright.errors import ConfigError, LeaseLostError, LedgerError, TaskValueError, WaitTimeoutError
from rollwright.online.entry import NO_DIGEST, Author, EntryKind, LedgerEntry
from rollwright.online.state import ServingState
from rollwright.online.transitions import apply_entry
from rollwright.pool.lookups import find_by_fingerprint
from rollwright.pool.query import In
from rollwright.pool.states import Status
from rollwright.pool.store import (
    Amendment,
    ClaimRequest,
    Lease,
    NewTask,
    Outcome,
    PoolControl,
    TaskEditor,
    TaskLeases,
    TaskReader,
    TaskRecord,
)
from rollwright.pool.worker.heartbeat import new_owner

__all__ = ["Decide", "Draft", "LedgerStore", "ServingLedger", "pool_of"]

_logger: Final = logging.getLogger("rollwright.online")

_ATTEMPTS: Final = 1_000
_LEASE: Final = 30.0
"""Seconds for which an entry is taken; to seal and commit it takes milliseconds."""
_AHEAD: Final = tuple(2**power for power in range(20))
_PROBES: Final = 16
_LONGEST: Final = 4_000_000
"""Characters of an entry; more than `append` can write."""


class LedgerStore(TaskReader, TaskLeases, TaskEditor, PoolControl, Protocol):
    """What a ledger needs of a task store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What somebody wants to append.

    Attributes
    ----------
    kind, session, body, reason
        As an `LedgerEntry` has them.
    """

    kind: EntryKind
    session: str | None = None
    body: Mapping[str, JSON] = field(default_factory=dict)
    reason: str = ""


Decide = Callable[["ServingState | None"], "Draft | None"]
"""Says by the present state what is to be appended; None when nothing is, any more."""


def pool_of(serving: str) -> str:
    """Return the name of the pool that holds the ledger of a serving.

    Raises
    ------
    ConfigError
        When the name is none.
    """
    if not is_name(serving):
        raise ConfigError(f"`{escape_text(serving, longest=80)}` names no serving: it needs {NAME_RULE}")
    return f"online.{serving}"


class ServingLedger:
    """The entries of one serving, in order.

    Parameters
    ----------
    serving : str
        Its name.
    store : LedgerStore
    clock : Clock, optional
        Stamps the entries, and is waited by.
    author : Author, optional
        Who appends; the user of this process if not given.

    Guarantees: an entry that `append` returned is durable, was accepted once, and follows from the one before it. Two
    processes that append at the same time append one after the other. What is read is checked: an entry that was
    changed in the database is an error, not an answer.
    """

    def __init__(
        self, serving: str, store: LedgerStore, *, clock: Clock | None = None, author: Author | None = None
    ) -> None:
        self.serving = serving
        self.pool = pool_of(serving)
        self._store = store
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._author = author if author is not None else find_author()
        self._owner = new_owner()
        self._last: LedgerEntry | None = None

    def __repr__(self) -> str:
        return f"ServingLedger({self.serving!r})"

    @property
    def store(self) -> LedgerStore:
        """The task store that holds it."""
        return self._store

    @property
    def clock(self) -> Clock:
        """Stamps the entries."""
        return self._clock

    def read_head(self) -> LedgerEntry | None:
        """Return the last entry; None when there is none yet.

        Its cost does not grow with the ledger but by its logarithm, and is one query where nothing was appended since
        the last call.
        """
        known = 0 if self._last is None else self._last.number
        if known and not dict(self._find_records([known + 1])):  # the usual case, and the cheapest question
            return self._last
        while found := dict(self._find_records([known + step for step in _AHEAD])):
            there = max(found)
            self._last = self._decode(found[there], there)
            if there == known + _AHEAD[-1]:
                known = there
                continue
            self._bisect_end(there, absent=known + 2 * (there - known))
            break
        return self._last

    def _bisect_end(self, there: int, *, absent: int) -> None:
        """Find the last entry, which is `there` or later and before `absent`."""
        while absent - there > 1:
            step = max(1, (absent - there) // _PROBES)
            probes = range(there + step, absent, step)
            found = dict(self._find_records(probes))
            if found:
                there = max(found)
                self._last = self._decode(found[there], there)
            absent = min([absent, *(number for number in probes if number > there)])

    def read(self, number: int) -> LedgerEntry:
        """Return entry `number`, from 1 on.

        Raises
        ------
        LedgerError
            When there is none.
        """
        found = self._find([number])
        if not found:
            raise LedgerError(f"serving {self.serving} has no entry {number}")
        return found[number]

    def read_many(self, numbers: Sequence[int]) -> dict[int, LedgerEntry]:
        """Return those of the entries that there are, by number, in one query."""
        return self._find(sorted({*numbers}))

    def examine_many(self, numbers: Sequence[int]) -> dict[int, LedgerEntry | LedgerError]:
        """Return those of the entries that there are, by number, and for a damaged one what is wrong with it."""
        found: dict[int, LedgerEntry | LedgerError] = {}
        for number, record in self._find_records(sorted({*numbers})):
            try:
                found[number] = self._decode(record, number)
            except LedgerError as error:
                found[number] = error
        return found

    def read_state(self) -> ServingState | None:
        """Return how the serving stands; None before its first entry."""
        head = self.read_head()
        return None if head is None else ServingState.from_json(head.state)

    def list_entries(self, start: int = 1, stop: int | None = None) -> Iterator[LedgerEntry]:
        """Yield the entries from `start` up to and without `stop`, in order, read in pages.

        Raises
        ------
        LedgerError
            At an entry that is damaged.
        """
        ends = itertools.count(start, 500) if stop is None else range(start, stop, 500)
        for first in ends:
            wanted = range(first, first + 500 if stop is None else min(first + 500, stop))
            found = self._find(wanted)
            for number in wanted:
                if number not in found:
                    return
                yield found[number]

    def find_last(self, is_before: Callable[[LedgerEntry], bool]) -> LedgerEntry | None:
        """Return the last entry for which `is_before` holds, where it holds for a first part of the ledger and no more.

        Its cost grows with the logarithm of the ledger.
        """
        head = self.read_head()
        if head is None or is_before(head):
            return head
        low, high, best = 0, head.number, None
        while high - low > 1:
            step = max(1, (high - low) // _PROBES)
            records = sorted(self._find_records(range(low + step, high, step)), key=lambda pair: pair[0])
            first, last = 0, len(records)  # the first record that is not before lies in [first, last]
            while first < last:
                middle = (first + last) // 2
                entry = self._decode(records[middle][1], records[middle][0])
                if is_before(entry):
                    low, best, first = entry.number, entry, middle + 1
                else:
                    high, last = entry.number, middle
            if not records:
                raise LedgerError(
                    f"entries {low + 1} to {high - 1} of serving {self.serving} are missing",
                    hint="`rollwright online audit --verify` names what is wrong; restore the database",
                )
        return best

    def append(self, decide: Decide, *, timeout: float | None = None) -> LedgerEntry | None:
        """Append what `decide` says, and return the entry; None when it says that nothing is to be done.

        Parameters
        ----------
        decide : callable
            Called with the present state, again whenever somebody else was first. It may raise, and nothing is
            appended then.
        timeout : float, optional
            Seconds to wait for whoever has taken the next entry and does not commit it.

        Raises
        ------
        LedgerError
            When what it says cannot follow.
        WaitTimeoutError
        """
        began = self._clock.monotonic()
        while True:
            head = self.read_head()
            state = None if head is None else ServingState.from_json(head.state)
            draft = decide(state)
            if draft is None:
                return None
            entry = self._seal(draft, head, state)
            if self._commit(entry):
                self._last = entry
                _logger.info(
                    "ledger.appended serving=%s entry=%d kind=%s session=%s",
                    self.serving, entry.number, entry.kind, entry.session,
                )  # fmt: skip
                return entry
            if timeout is not None and self._clock.monotonic() - began > timeout:
                raise WaitTimeoutError(
                    f"entry {entry.number} of serving {self.serving} is taken by another process since {timeout:g} s",
                    hint="look for one that hangs; it loses the entry when its lease ends",
                )

    def _seal(self, draft: Draft, head: LedgerEntry | None, state: ServingState | None) -> LedgerEntry:
        number = 1 if head is None else head.number + 1
        body = normalise(dict(draft.body))
        if not isinstance(body, dict):
            raise LedgerError("the body of an entry is no JSON object")
        after = apply_entry(state, kind=draft.kind, session=draft.session, body=body, number=number)
        now = _write_time(self._clock.now())
        entry = LedgerEntry(
            serving=self.serving,
            number=number,
            kind=draft.kind,
            at=now if head is None else max(now, head.at),
            by=self._author,
            reason=draft.reason,
            session=draft.session,
            before=NO_DIGEST if head is None else head.digest,
            body=body,
            state=after.to_json(),
        )
        # What could not be read again would end the ledger, so it is read before it is committed.
        return LedgerEntry.from_json(entry.to_json(), serving=self.serving, number=number)

    def _commit(self, entry: LedgerEntry) -> bool:
        """Commit `entry` when its number is free; False when somebody else has it, who is waited for a little."""
        (task_id,) = self._store.put(self.pool, [self._task(entry.number)]).ids
        lease = self._take(task_id)
        if lease is None:
            return False
        settlement = self._store.settle([Outcome.done(lease, result=canonical_json(entry.to_json()))])
        try:
            settlement.check()
        except LeaseLostError:
            return False
        return True

    def _take(self, task_id: str) -> Lease | None:
        wanted = In(path=("_id",), values=(task_id,))
        request = ClaimRequest(pool=self.pool, owner=self._owner, lease=_LEASE, query=wanted)
        for attempt in range(2):
            leases = self._store.claim(request)
            if leases:
                return leases[0]
            if attempt:
                break
            self._store.reap(self.pool, query=wanted)
            (record,) = self._store.get(self.pool, [task_id])
            if record.status in (Status.FAILED, Status.CANCELLED):  # by hand, or by a worker that strayed here
                self._store.amend(self.pool, wanted, Amendment(status=Status.WAITING))
            elif record.status is Status.RUNNING:
                self._clock.sleep(0.02)
        return None

    def fingerprint_of(self, number: int) -> str:
        """Return the identity of the task that is entry `number`."""
        return self._task(number).fingerprint

    def _task(self, number: int) -> NewTask:
        return _make_task(self.serving, number)

    def _find(self, numbers: Sequence[int]) -> dict[int, LedgerEntry]:
        """Return those of the entries that are committed, by number."""
        return {number: self._decode(record, number) for number, record in self._find_records(numbers)}

    def _find_records(self, numbers: Sequence[int]) -> Iterator[tuple[int, TaskRecord]]:
        by_fingerprint = {self._task(number).fingerprint: number for number in numbers}
        for record in find_by_fingerprint(self._store, self.pool, by_fingerprint):
            if record.status is Status.DONE:
                yield by_fingerprint[record.fingerprint], record

    def _decode(self, record: TaskRecord, number: int) -> LedgerEntry:
        text = record.result or "null"
        if len(text) > _LONGEST:
            raise LedgerError(
                f"entry {number} of serving {self.serving} has {len(text):,} characters, too many for one"
            )
        try:
            return LedgerEntry.from_json(parse_json(text), serving=self.serving, number=number)
        except (TaskValueError, ValueError) as error:
            reason = escape_text(error, longest=200)
            raise LedgerError(f"entry {number} of serving {self.serving} is no JSON of an entry: {reason}") from error


@lru_cache(maxsize=8192)
def _make_task(serving: str, number: int) -> NewTask:
    """Return the task that is an entry; to find its fingerprint costs more than to look it up."""
    return NewTask.of({"serving": serving, "entry": number}, max_attempts=_ATTEMPTS)


def find_author() -> Author:
    """Return who this process works for."""
    return Author(user=read_user_name(), host=platform.node() or "unknown", version=__version__)


def _write_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
