"""Retry policy while the task store is unreachable, and what became of the calls whose answers were lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from rollwright.core.clock import Clock
from rollwright.errors import StoreUnavailableError
from rollwright.pool.query import In
from rollwright.pool.states import Status
from rollwright.pool.store import Outcome, TaskLeases, TaskReader, TaskRecord

__all__ = ["Reconnect", "find_stored_outcomes", "release_unknown_leases"]

_logger = logging.getLogger("rollwright.pool")

Result = TypeVar("Result")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0

_ENDS: Final[Mapping[str, frozenset[Status]]] = {
    "done": frozenset({Status.DONE}),
    "part_done": frozenset({Status.PART_DONE}),
    "failed": frozenset({Status.FAILED, Status.WAITING, Status.PART_DONE}),
    "released": frozenset({Status.WAITING, Status.PART_DONE}),
    "cancelled": frozenset({Status.CANCELLED}),
}


class Reconnect:
    """Counts how long a store has been unreachable, and says when to try again.

    Parameters
    ----------
    pool : str
    patience : float
        Seconds from the first call without an answer until that is an error.
    clock : Clock

    Guarantees: a store that never answered is waited for only when it may return; else its address is probably wrong,
    which is an error at once.
    """

    def __init__(self, *, pool: str, patience: float, clock: Clock) -> None:
        self._pool = pool
        self._patience = patience
        self._clock = clock
        self._reached = False
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    @property
    def lost(self) -> bool:
        """Whether the last call went unanswered."""
        return self._since is not None

    @property
    def pause(self) -> float:
        """Seconds to wait before the store is asked again."""
        return self._pause

    def note_failure(self, error: StoreUnavailableError) -> bool:
        """Note that a call went unanswered; return whether it is the first in a row.

        Raises
        ------
        StoreUnavailableError
            When the store never answered and will not, or has not for as long as the patience.
        """
        if not self._reached and not error.may_return:
            raise error
        now = self._clock.monotonic()
        if self._since is None:
            self._since, self._pause = now, _FIRST_PAUSE
            _logger.warning("store.lost pool=%s patience=%g error=%s", self._pool, self._patience, error.message)
            return True
        if now - self._since > self._patience:
            raise StoreUnavailableError(
                f"{error.message} (given up after {now - self._since:.0f} s)",
                hint="bring the store back and start again: tasks in hand are run again then; "
                "`worker.store_patience` says how long a worker waits",
                may_return=error.may_return,
            ) from error
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return False

    def note_answer(self) -> bool:
        """Note that a call was answered; return whether calls before it were not."""
        self._reached = True
        if self._since is None:
            return False
        _logger.warning("store.back pool=%s seconds=%.1f", self._pool, self._clock.monotonic() - self._since)
        self._since = None
        return True

    def retry(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns, trying again for as long as the patience lasts; for calls that may be repeated.

        Raises
        ------
        StoreUnavailableError
        """
        while True:
            try:
                result = call()
            except StoreUnavailableError as error:
                self.note_failure(error)
                self._clock.sleep(self._pause)
            else:
                self.note_answer()
                return result


def find_stored_outcomes(store: TaskReader, pool: str, outcomes: Sequence[Outcome]) -> dict[str, Status]:
    """Return the state of those tasks whose outcome the store has kept, though its answer was lost.

    A task that still has the token of its outcome was given to nobody else since, so a state that only this outcome
    can have brought about is its doing.
    """
    if not outcomes:
        return {}
    query = In(path=("_id",), values=tuple(outcome.task_id for outcome in outcomes))
    found = {record.task_id: record for record in store.find(pool, query)}
    return {
        outcome.task_id: found[outcome.task_id].status
        for outcome in outcomes
        if outcome.task_id in found and _was_brought_about_by(outcome, found[outcome.task_id])
    }


def _was_brought_about_by(outcome: Outcome, record: TaskRecord) -> bool:
    return record.token == outcome.token and record.status in _ENDS[outcome.kind]


def release_unknown_leases(store: TaskLeases, pool: str, held: Mapping[str, int], known: Collection[str]) -> None:
    """Release what an owner holds without knowing it: the answer to its claim was lost.

    Parameters
    ----------
    held : mapping of str to int
        What `renew` returned for the owner: ids and tokens.
    known : collection of str
        Ids of the tasks it runs or has outcomes of.
    """
    unknown = [
        Outcome(task_id=task_id, token=token, kind="released")
        for task_id, token in held.items()
        if task_id not in known
    ]
    if unknown:
        _logger.warning(
            "tasks.released_unknown pool=%s tasks=%s", pool, ",".join(outcome.task_id for outcome in unknown)
        )
        store.settle(unknown)
