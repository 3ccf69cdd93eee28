"""Waking those who wait for a pool, as far as it needs no operating system: threads, and looking now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from rollwright.pool.states import CLAIMABLE, OPEN_STATES, Status
from rollwright.pool.types import Bell

__all__ = ["PollingWaker", "ThreadBells", "bells_for"]

FIRST_LOOK: Final = 0.002
LONGEST: Final = 0.05
_GROWTH: Final = 1.3


def bells_for(statuses: Iterable[Status]) -> list[Bell]:
    """Return the bells to ring when tasks came into `statuses`."""
    reached = set(statuses)
    bells: list[Bell] = []
    if reached & CLAIMABLE:
        bells.append("work")
    if reached - OPEN_STATES:
        bells.append("end")
    return bells


class ThreadBells:
    """Bells for the threads of one process."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._counts: dict[tuple[str, Bell], int] = {}

    def waker(self, pool: str, *, bell: Bell = "work") -> ThreadWaker:
        """Return a new listener."""
        return ThreadWaker(self, (pool, bell))

    def ring(self, pool: str, *, bell: Bell = "work") -> None:
        """Wake all who listen."""
        with self._rung:
            self._counts[pool, bell] = self._counts.get((pool, bell), 0) + 1
            self._rung.notify_all()

    def count(self, key: tuple[str, Bell]) -> int:
        """Return how often a bell has rung."""
        return self._counts.get(key, 0)

    def wait_for(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until `ready` is true, looking at each ring."""
        with self._rung:
            self._rung.wait_for(ready, timeout)

    def wake_all(self) -> None:
        """Let everybody who waits look again."""
        with self._rung:
            self._rung.notify_all()


class ThreadWaker:
    """A listener in the same process."""

    def __init__(self, bells: ThreadBells, key: tuple[str, Bell]) -> None:
        self._bells = bells
        self._key = key
        self._heard = bells.count(key)
        self._closed = False

    def wait(self, timeout: float) -> bool:
        """Wait until the bell rings; return whether it rang."""
        self._bells.wait_for(lambda: self._closed or self._bells.count(self._key) != self._heard, timeout)
        heard, self._heard = self._heard, self._bells.count(self._key)
        return not self._closed and self._heard != heard

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        self._bells.wake_all()


class PollingWaker:
    """A listener that looks: soon after something changed, then less and less often.

    Parameters
    ----------
    look : callable
        Returns something that differs after a change. It may raise what the store raises.
    first, longest : float
        Seconds before the second look, and the longest wait between two.
    """

    def __init__(self, look: Callable[[], Hashable], *, first: float = FIRST_LOOK, longest: float = LONGEST) -> None:
        self._look = look
        self._first = self._pause = first
        self._longest = longest
        self._seen = look()
        self._closing = threading.Event()

    def wait(self, timeout: float) -> bool:
        """Look until something changed; return whether it did."""
        left = timeout
        while not self._closing.is_set():
            now = self._look()
            if now != self._seen:
                self._seen, self._pause = now, self._first
                return True
            if left <= 0:
                return False
            nap = min(self._pause, left)
            self._closing.wait(nap)
            left -= nap
            self._pause = min(self._pause * _GROWTH, self._longest)
        return False

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()
