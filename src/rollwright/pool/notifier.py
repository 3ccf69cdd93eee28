"""Waking those who wait for a pool, as far as it needs no operating system: threads, and polling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from rollwright.pool.states import CLAIMABLE, OPEN_STATES, Status
from rollwright.pool.types import Topic

__all__ = ["PollingWaker", "ThreadNotifier", "ThreadWaker", "topics_of"]

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.05
_GROWTH: Final = 1.3


def topics_of(statuses: Iterable[Status]) -> list[Topic]:
    """Return the topics to notify when tasks came into `statuses`."""
    reached = set(statuses)
    topics: list[Topic] = []
    if reached & CLAIMABLE:
        topics.append("work")
    if reached - OPEN_STATES:
        topics.append("end")
    return topics


class ThreadNotifier:
    """Notifies the threads of one process."""

    def __init__(self) -> None:
        self._notified = threading.Condition()
        self._counts: dict[tuple[str, Topic], int] = {}

    def waker(self, pool: str, *, topic: Topic = "work") -> ThreadWaker:
        """Return a new listener."""
        with self._notified:
            self._counts.setdefault((pool, topic), 0)
        return ThreadWaker(self, (pool, topic))

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all who listen."""
        with self._notified:
            self._counts[pool, topic] = self._counts.get((pool, topic), 0) + 1
            self._notified.notify_all()

    def notify_all(self) -> None:
        """Wake all who ever listened, whatever to: what they were to hear may have been missed."""
        for pool, topic in [*self._counts]:
            self.notify(pool, topic=topic)

    def count(self, key: tuple[str, Topic]) -> int:
        """Return how many notifications of a topic there were."""
        return self._counts.get(key, 0)

    def wait_for(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until `ready` is true, asking at each notification."""
        with self._notified:
            self._notified.wait_for(ready, timeout)

    def wake_all(self) -> None:
        """Let everybody who waits ask again."""
        with self._notified:
            self._notified.notify_all()


class ThreadWaker:
    """A listener in the same process."""

    def __init__(self, notifier: ThreadNotifier, key: tuple[str, Topic]) -> None:
        self._notifier = notifier
        self._key = key
        self._seen = notifier.count(key)
        self._closed = False

    def wait(self, timeout: float) -> bool:
        """Wait until there is a notification; return whether there was one."""
        self._notifier.wait_for(lambda: self._closed or self._notifier.count(self._key) != self._seen, timeout)
        seen, self._seen = self._seen, self._notifier.count(self._key)
        return not self._closed and self._seen != seen

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        self._notifier.wake_all()


class PollingWaker:
    """A listener that polls: soon after something changed, then less and less often.

    Parameters
    ----------
    look : callable
        Returns something that differs after a change. It may raise what the store raises.
    first, longest : float
        Seconds before the second look, and the longest pause between two.
    """

    def __init__(
        self, look: Callable[[], Hashable], *, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE
    ) -> None:
        self._look = look
        self._first = self._pause = first
        self._longest = longest
        self._seen = look()
        self._closing = threading.Event()

    def wait(self, timeout: float) -> bool:
        """Poll until something changed; return whether it did."""
        left = timeout
        while not self._closing.is_set():
            now = self._look()
            if now != self._seen:
                self._seen, self._pause = now, self._first
                return True
            if left <= 0:
                return False
            pause = min(self._pause, left)
            self._closing.wait(pause)
            left -= pause
            self._pause = min(self._pause * _GROWTH, self._longest)
        return False

    def close(self) -> None:
        """Stop polling."""
        self._closing.set()
