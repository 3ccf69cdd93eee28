"""What goes into a task store and comes out: frozen values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from rollwright.core.canonical import JSON, canonical_json, parse_json
from rollwright.core.part_memo import Parts
from rollwright.core.references import from_reference, is_referable, is_reference, store_large_result, to_reference
from rollwright.core.stored_text import plain_of, read_stored, restore_definition, write_definition, write_stored
from rollwright.core.text import storable_text
from rollwright.errors import (
    ConfigError,
    IllegalTransitionError,
    LeaseLostError,
    TaskValueError,
    UnsupportedArtifactError,
)
from rollwright.pool.needs import ANY_OFFER, NO_NEEDS, Needs, Offer
from rollwright.pool.query import FINGERPRINT, Query
from rollwright.pool.states import CLAIMABLE, Status
from rollwright.tasks.identity import task_fingerprint
from rollwright.tasks.spec import TaskSpec

__all__ = [
    "Amendment",
    "ClaimRequest",
    "HistoryRow",
    "Lease",
    "MovedTask",
    "NewTask",
    "Outcome",
    "OutcomeKind",
    "PoolStat",
    "PutResult",
    "Settlement",
    "TaskRecord",
    "Topic",
    "Traits",
    "check_movable",
    "check_pool_name",
    "decode_result",
    "document_of",
    "encode_result",
]

MAX_RESULT_BYTES: Final = 64 * 1024
MAX_ERROR: Final = 32_000
"""Characters of an error text that are kept; what is longer loses its middle."""
Topic = Literal["work", "end"]
"""What can be listened for: that there may be a task to take, and that tasks ended."""

_POOL_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")


def check_pool_name(pool: str) -> str:
    """Return `pool` when it can name a pool: 1 to 200 characters without control characters.

    A pool is a value in a column, never the name of a table, so nothing else needs to be refused.
    """
    if not isinstance(pool, str) or _POOL_NAME.fullmatch(pool) is None:
        raise ConfigError(f"{pool!r} cannot name a task pool", hint="use 1 to 200 characters, none a control character")
    return pool


def encode_result(value: object) -> str:
    """Return the text that the pool keeps of a result, or of a reference to it; `decode_result` gives it back.

    A text of more than 64 KiB, and what has no typed form but a safe format (a frame, a model), is stored as an
    artifact of its own, on the disk when this returns, and referred to.

    Raises
    ------
    TaskValueError
        When `value` has no typed form and is not referable, and no safe format holds it.
    ArtifactStorageError
        When it cannot be stored.
    """
    if is_reference(value):
        raise TaskValueError("$.$reference", "this key is reserved for references to objects that are stored elsewhere")
    try:
        text = canonical_json(to_reference(value)) if is_referable(value) else write_stored(value)
    except TaskValueError as problem:
        try:
            return canonical_json(store_large_result(value))
        except UnsupportedArtifactError as error:
            raise problem from error
    return text if len(text.encode()) <= MAX_RESULT_BYTES else canonical_json(store_large_result(value))


def decode_result(text: str | None) -> Any:
    """Return the result that `encode_result` was given, looked up where the text is a reference.

    Raises
    ------
    TaskValueError
        When it is no text of a result.
    CorruptArtifactError, ArtifactNotFoundError, RecordError
        When it refers to what is not there.
    """
    return from_reference(read_stored(text)) if text is not None else None


_GREATEST: Final = 2**53 - 1
"""The largest priority, as exact in JSON as in every store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What adapters may differ in.

    Attributes
    ----------
    time_precision : float
        Seconds between two moments the store can tell apart.
    multi_process, multi_host : bool
        Whether several processes, or several machines, can share it.
    can_notify : bool
        Whether a `Waker` is woken by the store; without, it looks now and then.
    knows_dead_owners : bool
        Whether `reap` frees the tasks of a process that died before their leases end.
    one_transaction : bool
        Whether a call that changes several tasks is one transaction. Without, each task's change is one, with its row
        of history: a call that was killed has changed some of the tasks, and repeating it changes the others.
    """

    time_precision: float
    multi_process: bool
    multi_host: bool
    can_notify: bool
    knows_dead_owners: bool = False
    one_transaction: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to put; make it with `of`.

    Attributes
    ----------
    canonical : str
        The text of the definition, see `rollwright.core.stored_text`.
    fingerprint : str
        The identity of what it asks for, unique within a pool; see `rollwright.tasks.identity.task_fingerprint`.
    priority : int
        Higher goes first.
    max_attempts : int
        Attempts after which it counts as failed.
    delay : float
        Seconds from now before which it is not given to anybody.
    needs : Needs
        What it asks of the worker that takes it.
    """

    canonical: str
    fingerprint: str
    priority: int = 0
    max_attempts: int = 3
    delay: float = 0.0
    needs: Needs = NO_NEEDS

    def __post_init__(self) -> None:
        _check_priority(self.priority)
        _check_attempts(self.max_attempts)

    @classmethod
    def of(
        cls,
        definition: Mapping[str, Any] | TaskSpec,
        *,
        priority: int = 0,
        max_attempts: int = 3,
        delay: float = 0.0,
        needs: Needs = NO_NEEDS,
    ) -> NewTask:
        """Return the task of a definition, normalised; a spec is that already.

        Raises
        ------
        TaskValueError
            When a value has no JSON form, with its path.
        """
        if not isinstance(definition, Mapping | TaskSpec):
            raise TaskValueError("$", f"a task definition is a dictionary, not {type(definition).__name__}")
        if not isinstance(definition, TaskSpec):
            parts = Parts(definition)
            text, identity = write_definition(definition, parts=parts), task_fingerprint(definition, parts=parts)
        else:
            text, identity = definition.canonical, definition.fingerprint
        return cls(
            canonical=text,
            fingerprint=identity,
            priority=priority,
            max_attempts=max_attempts,
            delay=delay,
            needs=needs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """What became of the tasks put.

    Attributes
    ----------
    ids : tuple of str
        One id per task, in the order given; equal definitions share one.
    created : int
        How many were new.
    """

    ids: tuple[str, ...]
    created: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task as it stood when it was read.

    Attributes
    ----------
    task_id : str
        Ids of later tasks are greater numbers; none is ever used twice.
    canonical : str
        The text of the definition, see `rollwright.core.stored_text`.
    result, validity : str or None
        The text of the result, see `encode_result`, and a JSON text: the result of a ``part_done`` or ``done`` task
        and what it depends on beside the definition.
    error : str or None
        The last traceback, or why the last attempt ended.
    owner : str or None
        Who holds it, or held it last.
    lease_until, run_at, created, started, ended : float or None
        Seconds since 1970 UTC by the store's clock.
    """

    task_id: str
    pool: str
    fingerprint: str
    status: Status
    priority: int
    token: int
    attempts: int
    max_attempts: int
    canonical: str
    created: float
    owner: str | None = None
    result: str | None = None
    validity: str | None = None
    error: str | None = None
    lease_until: float | None = None
    run_at: float | None = None
    started: float | None = None
    ended: float | None = None
    needs: Needs = NO_NEEDS

    @property
    def definition(self) -> dict[str, Any]:
        """The definition as a new dictionary at each access, as it was given."""
        return _definition(self.canonical)


def _definition(canonical: str) -> dict[str, Any]:
    return cast("dict[str, Any]", restore_definition(parse_json(canonical)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """Which tasks an owner wants, and for how long.

    Attributes
    ----------
    pool, owner : str
    lease : float
        Seconds after which the task may be given to somebody else, unless renewed.
    limit : int
        The most tasks to take.
    status : Status
        ``waiting`` or ``part_done``: the state to take them from.
    query : Query or None
        Take only tasks that match.
    offer : Offer
        Take only tasks whose needs it meets.
    """

    pool: str
    owner: str
    lease: float
    limit: int = 1
    status: Status = Status.WAITING
    query: Query | None = None
    offer: Offer = ANY_OFFER

    def __post_init__(self) -> None:
        check_pool_name(self.pool)
        if self.status not in CLAIMABLE:
            raise ConfigError(
                f"no task is taken from state `{self.status.value}`", hint="take them from waiting or part_done"
            )
        if self.lease <= 0:
            raise ConfigError(f"a lease of {self.lease} seconds is none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A claimed task: the right, for a while, to settle it.

    Attributes
    ----------
    token : int
        The fencing token; greater at each claim.
    attempt : int
        Which attempt this is, from 1.
    origin : Status
        The state it was claimed from.
    result : str or None
        The intermediate result (JSON) when `origin` is ``part_done``.
    fingerprint : str
        The identity that the definition is stored under.
    """

    task_id: str
    pool: str
    token: int
    attempt: int
    max_attempts: int
    owner: str
    canonical: str
    fingerprint: str
    priority: int = 0
    origin: Status = Status.WAITING
    result: str | None = None

    @property
    def definition(self) -> dict[str, Any]:
        """The definition as a new dictionary at each access, as it was given."""
        return _definition(self.canonical)


OutcomeKind = Literal["done", "part_done", "failed", "released", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended; make it with one of the named constructors."""

    task_id: str
    token: int
    kind: OutcomeKind
    result: str | None = None
    validity: str | None = None
    error: str | None = None
    retry: bool = False
    delay: float = 0.0

    def __post_init__(self) -> None:
        _make_storable(self, "error", longest=MAX_ERROR)

    @classmethod
    def done(cls, lease: Lease, *, result: str = "null", validity: str | None = None) -> Outcome:
        """Return success; `result` and `validity` are JSON texts, see `encode_result`."""
        return cls(task_id=lease.task_id, token=lease.token, kind="done", result=result, validity=validity)

    @classmethod
    def part_done(cls, lease: Lease, *, result: str = "null", validity: str | None = None) -> Outcome:
        """Return an intermediate success, from which the next stage goes on; attempts count anew."""
        return cls(task_id=lease.task_id, token=lease.token, kind="part_done", result=result, validity=validity)

    @classmethod
    def failed(cls, lease: Lease, *, error: str, retry: bool = True, delay: float = 0.0) -> Outcome:
        """Return a failure with its traceback, as every store keeps it: see `storable_text`.

        With `retry` and attempts left the task goes back to the state it was claimed from, not before `delay`
        seconds have passed; otherwise it is ``failed``.
        """
        return cls(task_id=lease.task_id, token=lease.token, kind="failed", error=error, retry=retry, delay=delay)

    @classmethod
    def released(cls, lease: Lease) -> Outcome:
        """Return that the task is given back as it was; the attempt does not count."""
        return cls(task_id=lease.task_id, token=lease.token, kind="released")

    @classmethod
    def cancelled(cls, lease: Lease) -> Outcome:
        """Return that the task is given up for good."""
        return cls(task_id=lease.task_id, token=lease.token, kind="cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What `TaskStore.settle` did.

    Attributes
    ----------
    refused : tuple of LeaseLostError
        One for each outcome whose token is stale; nothing was changed for it.
    statuses : mapping of str to Status
        The state of each task that was settled.
    leases : tuple of Lease
        The tasks claimed in the same transaction.
    """

    refused: tuple[LeaseLostError, ...] = ()
    statuses: Mapping[str, Status] = field(default_factory=dict)
    leases: tuple[Lease, ...] = ()

    def check(self) -> None:
        """Raise the first refusal, if there is one."""
        for refusal in self.refused:
            raise refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """A change by hand; what is None stays.

    Attributes
    ----------
    status : Status or None
        ``waiting`` (forgets result, error and attempts), ``part_done``, ``failed`` or ``cancelled``. A running task
        is taken from its holder, whose token is then stale.
    priority : int or None
    max_attempts : int or None
        Attempts after which a task counts as failed; those it has used count.
    replacement : NewTask or None
        Another definition; only for tasks that nobody holds. Its priority, attempts and needs do not count.
    error : str or None
        Why, for a task put into ``failed``.
    needs : Needs or None
        What a task asks for from now on; a running one goes on where it runs.
    """

    status: Status | None = None
    priority: int | None = None
    max_attempts: int | None = None
    replacement: NewTask | None = None
    error: str | None = None
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check_priority(self.priority or 0)
        if self.max_attempts is not None:
            _check_attempts(self.max_attempts)
        _make_storable(self, "error", longest=MAX_ERROR)


def _make_storable(value: object, name: str, *, longest: int) -> None:
    """Let the text `name` of a frozen value be what every store can hold, so that all of them hold the same."""
    text: str | None = getattr(value, name)
    if text is not None:
        object.__setattr__(value, name, storable_text(text, longest=longest))


def _check_attempts(count: int) -> None:
    if not 1 <= count < 2**31:
        raise ConfigError(f"a task cannot have {count} attempts", hint="give 1 to 2147483647")


def _check_priority(priority: int) -> None:
    if not -_GREATEST <= priority <= _GREATEST:
        raise ConfigError(f"{priority} is too large for a priority", hint=f"give at most {_GREATEST}, or less than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One change of one task, written in the transaction that made it.

    Attributes
    ----------
    event : str
        ``created``, ``claimed``, ``done``, ``part_done``, ``retry``, ``failed``, ``released``, ``cancelled``,
        ``reaped``, ``amended``, ``replaced``, ``moved`` or ``deleted``.
    at : float
        Seconds since 1970 UTC by the store's clock.
    """

    task_id: str
    at: float
    event: str
    status: Status
    token: int
    attempt: int
    owner: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStat:
    """A pool at one moment.

    Attributes
    ----------
    counts : mapping of Status to int
        Every state is a key.
    paused_at : float or None
        Since when nobody is given a task, in seconds since 1970 UTC by the store's clock; None while it goes on.
    reason : str or None
        Why, as given to `PoolControl.pause`.
    weight : float
    max_running : int or None
        As given to `PoolControl.set_share`.
    """

    pool: str
    counts: Mapping[Status, int]
    paused_at: float | None = None
    reason: str | None = None
    weight: float = 1.0
    max_running: int | None = None

    @property
    def paused(self) -> bool:
        """Whether nobody is given a task."""
        return self.paused_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedTask:
    """A task on its way into another store.

    Attributes
    ----------
    record : TaskRecord
        As it stood; id and pool are those of where it comes from and do not count.
    history : tuple of HistoryRow
        Its changes there, oldest first.
    """

    record: TaskRecord
    history: tuple[HistoryRow, ...] = ()


def check_movable(tasks: Sequence[MovedTask]) -> None:
    """Refuse tasks of which one is running: its holder would be left with a task that is elsewhere now.

    Raises
    ------
    IllegalTransitionError
    """
    held = [task.record.task_id for task in tasks if task.record.status is Status.RUNNING]
    if held:
        raise IllegalTransitionError(
            f"task {held[0]} is running and cannot be taken over", hint="wait until it has ended, or reset it first"
        )


def document_of(record: TaskRecord) -> dict[str, JSON]:
    """Return the plain JSON document that queries see."""
    document: dict[str, JSON] = {
        "_id": record.task_id,
        "status": record.status.value,
        "priority": record.priority,
        "attempts": record.attempts,
        "owner": record.owner,
        "created": record.created,
        "ended": record.ended,
        "needs": record.needs.text,
        "def": plain_of(json.loads(record.canonical)),
        FINGERPRINT: record.fingerprint,
    }
    if record.result is not None:
        document["res"] = plain_of(json.loads(record.result))
    if record.validity is not None:
        document["validity"] = json.loads(record.validity)
    return document
