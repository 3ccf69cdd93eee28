"""Every change of a task as one update of its one document, with its row of history inside.

A task's document holds its latest changes in ``log``; ``version`` counts all there ever were. So state, result and
history change in the same single-document write, which MongoDB makes whole or not at all. Each entry has a ``key`` that
no other has: by it a client finds out whether a write it got no answer for was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bson import ObjectId, encode

from rollwright.errors import IllegalTransitionError
from rollwright.pool.states import CLAIMABLE, Status
from rollwright.pool.store import Amendment, ClaimRequest, MovedTask, NewTask, Outcome
from rollwright.pool.stores.memory import reaped_reason
from rollwright.pool.stores.mongo.connection import Document, too_large
from rollwright.pool.stores.mongo.query import nodes_of

__all__ = ["DELETED", "GRAVE", "Change", "amended", "buried", "check_size", "claimable", "claimed", "created", "ended",
           "fence", "moved", "promoted", "reaped"]  # fmt: skip

DELETED: Final = "deleted"
GRAVE: Final = "\x7fdeleted:"
"""Begins the pool of a removed task until its history is moved out; no pool of a user begins so."""

_LONG: Final = 64 * 1024
_LARGEST: Final = 12 * 1024 * 1024
"""Bytes of a new task; results, errors and history come on top, up to 16 MiB."""
_TERMINAL: Final = (Status.DONE, Status.FAILED, Status.CANCELLED)


class Change:
    """One update in the making: fields to set and unset, and entries of history.

    Parameters
    ----------
    document : mapping
        The task as it was read; the filter the update is used with pins what is taken from here.
    now : float
    """

    def __init__(self, document: Mapping[str, Any], now: float) -> None:
        self.key = ObjectId()
        self.status = Status(document["status"]) if document["status"] != DELETED else Status.CANCELLED
        self._document = document
        self._now = now
        self._set: Document = {}
        self._unset: set[str] = set()
        self._log: list[Document] = []
        self._token: int = document["token"]
        self._attempts: int = document["attempts"]

    def set(self, **fields: Any) -> None:
        """Give fields values."""
        self._set |= fields

    def unset(self, *names: str) -> None:
        """Take fields away."""
        self._unset |= {*names}

    def texts(self, outcome: Outcome) -> None:
        """Keep the result and the validity of an outcome, each with its nodes."""
        self.set(result=outcome.result, validity=outcome.validity, error=None)
        for name, text in (("res_nodes", outcome.result), ("validity_nodes", outcome.validity)):
            if text is None:
                self.unset(name)
            else:
                self._set[name] = nodes_of(text)

    def forget(self) -> None:
        """Take the result away."""
        self.set(result=None, validity=None, error=None)
        self.unset("res_nodes", "validity_nodes")

    def go(self, status: Status, *, due: float | None = None) -> None:
        """Come into a state that nobody holds, to be taken at once or when it is `due`."""
        self.status = status
        self.set(status=status.value)
        self.unset("due", "ready")
        if status in CLAIMABLE:
            name, value = ("ready", True) if due is None else ("due", due)
            self._unset.discard(name)
            self._set[name] = value
        if status in _TERMINAL:
            self.set(ended=self._now)

    def raise_token(self) -> None:
        """Refuse from now on whoever holds it."""
        self._token += 1
        self.set(token=self._token)

    def count_attempts(self, attempts: int) -> None:
        """Set the number of attempts."""
        self._attempts = attempts
        self.set(attempts=attempts)

    def note(self, event: str, *, detail: str | None = None) -> None:
        """Add an entry of history with the state reached so far."""
        self._log.append(
            {
                "key": self.key,
                "at": self._now,
                "event": event,
                "status": self.status.value,
                "token": self._token,
                "attempt": self._attempts,
                "owner": self._document["owner"],
                "detail": detail,
                "before": [self._document["token"], self._document["attempts"]],
            }
        )

    @property
    def update(self) -> Document:
        """The update that the server is sent."""
        update: Document = {}
        if self._set:
            update["$set"] = self._set
        if self._unset:
            update["$unset"] = dict.fromkeys(sorted(self._unset), "")
        if self._log:
            update["$push"] = {"log": {"$each": self._log}}
            update["$inc"] = {"version": len(self._log)}
        return update


def fence(outcome: Outcome) -> Document:
    """Return the filter under which alone an outcome changes anything."""
    return {"_id": int(outcome.task_id), "token": outcome.token, "status": Status.RUNNING.value}


def created(number: int, now: float, *, pool: str, task: NewTask) -> Document:
    """Return the document of a new task."""
    document: Document = {
        "_id": number,
        "pool": pool,
        "fingerprint": task.fingerprint,
        "status": Status.WAITING.value,
        "priority": task.priority,
        "token": 0,
        "attempts": 0,
        "max_attempts": task.max_attempts,
        "origin": None,
        "owner": None,
        "created": now,
        "started": None,
        "ended": None,
        "needs": task.needs.text,
        "definition": task.canonical,
        "def_nodes": nodes_of(task.canonical),
        "result": None,
        "validity": None,
        "error": None,
        "version": 1,
        "log": [_plain(now, "created", Status.WAITING, 0, 0)],
    }
    _make_ready(document, now + task.delay if task.delay > 0 else None)
    return document


def moved(number: int, now: float, *, pool: str, task: MovedTask) -> Document:
    """Return the document of a task taken over from another store."""
    record = task.record
    rows = [
        _plain(row.at, row.event, row.status, row.token, row.attempt, owner=row.owner, detail=row.detail)
        for row in task.history
    ]
    rows.append(_plain(now, "moved", record.status, record.token, record.attempts, owner=record.owner))
    bare = NewTask(canonical=record.canonical, fingerprint=record.fingerprint)
    document = created(number, now, pool=pool, task=bare) | {
        "status": record.status.value,
        "priority": record.priority,
        "token": record.token,
        "attempts": record.attempts,
        "max_attempts": record.max_attempts,
        "owner": record.owner,
        "created": record.created,
        "started": record.started,
        "ended": record.ended,
        "result": record.result,
        "validity": record.validity,
        "error": record.error,
        "needs": record.needs.text,
        "version": len(rows),
        "log": rows,
    }
    for name, text in (("res_nodes", record.result), ("validity_nodes", record.validity)):
        if text is not None:
            document[name] = nodes_of(text)
    document.pop("ready", None)
    if record.status in CLAIMABLE:
        _make_ready(document, record.run_at)
    return document


def _make_ready(document: Document, due: float | None) -> None:
    document |= {"ready": True} if due is None else {"due": due}


def _plain(
    at: float,
    event: str,
    status: Status,
    token: int,
    attempt: int,
    *,
    owner: str | None = None,
    detail: str | None = None,
) -> Document:
    return {
        "key": ObjectId(),
        "at": at,
        "event": event,
        "status": status.value,
        "token": token,
        "attempt": attempt,
        "owner": owner,
        "detail": detail,
        "before": [token, attempt],
    }


def claimable(claim: ClaimRequest, needs: tuple[str, ...]) -> Document:
    """Return the filter of what may be taken, without the claim's query; `needs` are the texts that its offer meets."""
    wanted = needs[0] if len(needs) == 1 else {"$in": [*needs]}
    return {"pool": claim.pool, "status": claim.status.value, "ready": True, "needs": wanted}


def claimed(claim: ClaimRequest, key: ObjectId, now: float) -> Document:
    """Return the update that takes whatever task it meets.

    Token and attempt are not known here; what follows in the log, or the document itself, has them.
    """
    entry = {"key": key, "at": now, "event": "claimed", "status": Status.RUNNING.value, "owner": claim.owner}
    return {
        "$set": {
            "status": Status.RUNNING.value,
            "origin": claim.status.value,
            "owner": claim.owner,
            "claim": key,
            "due": now + claim.lease,
            "started": now,
        },
        "$unset": {"ready": ""},
        "$inc": {"token": 1, "attempts": 1, "version": 1},
        "$push": {"log": {"$each": [entry]}},
    }


def promoted() -> Document:
    """Return the update of tasks whose delay has passed."""
    return {"$set": {"ready": True}, "$unset": {"due": ""}}


def ended(document: Mapping[str, Any], outcome: Outcome, now: float) -> Change:
    """Return the change that ends an attempt; `fence` pins what it takes from the document."""
    change = Change(document, now)
    event: str = outcome.kind
    origin = Status(document["origin"])
    match outcome.kind:
        case "done":
            change.go(Status.DONE)
            change.texts(outcome)
        case "part_done":
            change.go(Status.PART_DONE)
            change.texts(outcome)
            change.count_attempts(0)
        case "failed" if outcome.retry and document["attempts"] < document["max_attempts"]:
            event = "retry"
            change.go(origin, due=now + outcome.delay if outcome.delay > 0 else None)
            change.set(error=outcome.error)
        case "failed":
            change.go(Status.FAILED)
            change.set(error=outcome.error)
        case "released":
            change.go(origin)
            change.count_attempts(document["attempts"] - 1)
        case "cancelled":
            change.go(Status.CANCELLED)
    change.note(event, detail=outcome.error)
    return change


def reaped(document: Mapping[str, Any], now: float) -> Change:
    """Return the change that takes a task from who did not renew its lease."""
    change = Change(document, now)
    reason = reaped_reason(document["owner"])
    spent = document["attempts"] >= document["max_attempts"]
    change.go(Status.FAILED if spent else Status(document["origin"]))
    change.raise_token()
    change.set(error=reason)
    change.note("reaped", detail=reason)
    return change


def amended(document: Mapping[str, Any], amendment: Amendment, now: float) -> Change:
    """Return a change by hand; the filter it is used with pins the document as it was read.

    Raises
    ------
    IllegalTransitionError
        When somebody runs the task whose definition is to be replaced.
    """
    change = Change(document, now)
    new = amendment.replacement
    if new is not None:
        if document["status"] == Status.RUNNING.value:
            raise IllegalTransitionError(f"task {document['_id']} is running; its definition stays")
        change.set(definition=new.canonical, fingerprint=new.fingerprint, def_nodes=nodes_of(new.canonical))
        change.note("replaced")
    needs = amendment.needs.text if amendment.needs is not None else None
    given = {"priority": amendment.priority, "max_attempts": amendment.max_attempts, "needs": needs}
    change.set(**{name: value for name, value in given.items() if value is not None})
    if amendment.status is not None:
        held = document["status"] == Status.RUNNING.value
        change.set(ended=None)
        change.go(amendment.status)
        if held:
            change.raise_token()
        if amendment.status is Status.WAITING:
            change.count_attempts(0)
            change.forget()
        elif amendment.status is Status.PART_DONE:
            change.count_attempts(0)
            change.set(error=None)
        elif amendment.error is not None:
            change.set(error=amendment.error)
        change.note("amended")
    return change


def buried(document: Mapping[str, Any], now: float) -> Change:
    """Return the change that removes a task from its pool; its history is still inside."""
    change = Change(document, now)
    change.note("deleted")
    change.set(
        pool=f"{GRAVE}{document['pool']}",
        fingerprint=f"{document['fingerprint']}:{document['_id']}",
        status=DELETED,
    )
    change.unset("due", "ready", "definition", "def_nodes", "result", "res_nodes", "validity", "validity_nodes")
    return change


def check_size(canonical: str, make: Callable[[int, float], Document]) -> None:
    """Refuse, before anything is put, what MongoDB cannot hold: 1 MiB of text may be 16 times as much in values."""
    if len(canonical) > _LONG and len(encode(make(0, 0.0))) > _LARGEST:
        raise too_large()
