"""A store that does not answer for a while: how long that is borne, and what became of what was asked meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from rollwright.core.clock import Clock
from rollwright.errors import StoreUnavailableError
from rollwright.pool.query import In
from rollwright.pool.states import Status
from rollwright.pool.store import Outcome, PoolStore, TaskRecord

__all__ = ["Outage", "give_back_strays", "kept_outcomes"]

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


class Outage:
    """Counts how long a store has been away.

    Parameters
    ----------
    pool : str
    patience : float
        Seconds from the first call without an answer until that is an error.
    clock : Clock

    Guarantees: a store that never answered is an error at once, since its address is probably wrong.
    """

    def __init__(self, *, pool: str, patience: float, clock: Clock) -> None:
        self._pool = pool
        self._patience = patience
        self._clock = clock
        self._reached = False
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    @property
    def lasts(self) -> bool:
        """Whether the last call went unanswered."""
        return self._since is not None

    @property
    def pause(self) -> float:
        """Seconds to wait before the store is asked again."""
        return self._pause

    def met(self, error: StoreUnavailableError) -> bool:
        """Note that a call went unanswered; return whether it is the first in a row.

        Raises
        ------
        StoreUnavailableError
            When the store never answered, or not for as long as is borne.
        """
        if not self._reached:
            raise error
        now = self._clock.monotonic()
        if self._since is None:
            self._since, self._pause = now, _FIRST_PAUSE
            _logger.warning(
                "store.away pool=%s error=%s; tried again for %g s", self._pool, error.message, self._patience
            )
            return True
        if now - self._since > self._patience:
            raise StoreUnavailableError(
                f"{error.message} (given up after {now - self._since:.0f} s)",
                hint="bring the store back and start again: tasks in hand are run again then; "
                "`worker.store_patience` says how long a worker waits",
            ) from error
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return False

    def answered(self) -> bool:
        """Note that a call was answered; return whether that ended an outage."""
        self._reached = True
        if self._since is None:
            return False
        _logger.warning("store.back pool=%s after=%.1f s", self._pool, self._clock.monotonic() - self._since)
        self._since = None
        return True

    def bear(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns, asking again for as long as is borne; for calls that may be repeated.

        Raises
        ------
        StoreUnavailableError
        """
        while True:
            try:
                result = call()
            except StoreUnavailableError as error:
                self.met(error)
                self._clock.sleep(self._pause)
            else:
                self.answered()
                return result


def kept_outcomes(store: PoolStore, pool: str, outcomes: Sequence[Outcome]) -> dict[str, Status]:
    """Return the state of those tasks whose outcome the store has kept, though its answer was lost.

    A task that still has the token of its outcome was given to nobody else since, so a state that only this outcome
    can have brought about is its doing.
    """
    if not outcomes:
        return {}
    asked = In(path=("_id",), values=tuple(outcome.task_id for outcome in outcomes))
    found = {record.task_id: record for record in store.find(pool, asked)}
    return {
        outcome.task_id: found[outcome.task_id].status
        for outcome in outcomes
        if outcome.task_id in found and _is_doing_of(outcome, found[outcome.task_id])
    }


def _is_doing_of(outcome: Outcome, record: TaskRecord) -> bool:
    return record.token == outcome.token and record.status in _ENDS[outcome.kind]


def give_back_strays(store: PoolStore, pool: str, held: Mapping[str, int], known: Collection[str]) -> None:
    """Give back what an owner holds without knowing it: the answer to its claim was lost.

    Parameters
    ----------
    held : mapping of str to int
        What `renew` returned for the owner: ids and tokens.
    known : collection of str
        Ids of the tasks it runs or has outcomes of.
    """
    strays = [
        Outcome(task_id=task_id, token=token, kind="released")
        for task_id, token in held.items()
        if task_id not in known
    ]
    if strays:
        _logger.warning("task.strays pool=%s tasks=%s", pool, ",".join(stray.task_id for stray in strays))
        store.settle(strays)
