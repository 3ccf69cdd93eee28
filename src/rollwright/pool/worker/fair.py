"""One worker for several pools: whose turn it is when a slot is free."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from rollwright.core.clock import Clock
from rollwright.errors import StoreUnavailableError
from rollwright.pool.store import PoolShare

__all__ = ["FairGate", "FairShares", "PoolGate", "SlotGate"]

_LOOK_EVERY: Final = 0.25
"""Seconds for which what other workers run is not asked for again."""

_ASKED: Final = 1.0
"""Seconds for which a pool that asked for a slot, and is not heard of since, is kept a place."""

_MEMORY: Final = 300.0
"""Seconds, and mean tasks, over which the shares are evened out at least."""

_SHORTEST: Final = 0.05
"""Seconds that a task takes at least, for the memory."""


class FairShares:
    """Whose turn it is, by the weights of pools and by what ran of late.

    What runs alone would not do: of two slots a pool of weight 2 and one of weight 1 would have one each for ever. So
    the slot-seconds of each pool are summed, those of long ago counting less and less, and what runs is added as if it
    took as long as tasks took so far. A pool that had nothing to do saves nothing up.
    """

    def __init__(self, pools: Sequence[str]) -> None:
        self._served = dict.fromkeys(pools, 0.0)
        self._weights = dict.fromkeys(pools, 1.0)
        self._running = dict.fromkeys(pools, 0)
        self._here = 0
        self._busy = 0.0
        self._started = 0
        self._last: float | None = None

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Set weights."""
        self._weights |= weights

    def pass_time(self, now: float, running: Mapping[str, int], here: int) -> None:
        """Note what runs from `now` on, of each pool and `here` by this worker; until now it was what was noted."""
        passed = 0.0 if self._last is None else max(0.0, now - self._last)
        self._last = now
        fading = math.exp(-passed / (_MEMORY * max(1.0, self._usual)))
        for pool, tasks in self._running.items():
            self._served[pool] = self._served[pool] * fading + tasks * passed
        self._busy += self._here * passed
        self._running, self._here = {**running}, here

    @property
    def _usual(self) -> float:
        """Seconds that a task took so far, on the average."""
        return max(_SHORTEST, self._busy / self._started) if self._started else 1.0

    def choose(self, wanting: Collection[str], running: Mapping[str, int]) -> str:
        """Return the pool among `wanting` that has had the least of what its weight gives it."""
        usual = self._usual
        return min(
            wanting,
            key=lambda pool: (
                (self._served[pool] + running.get(pool, 0) * usual) / self._weights[pool],
                -self._weights[pool],
                pool,
            ),
        )

    def note_started(self, pool: str, tasks: int) -> None:
        """Note that so many tasks of a pool were begun here."""
        self._running[pool] += tasks
        self._here += tasks
        self._started += tasks

    def note_idle(self, pool: str, others: Collection[str]) -> None:
        """Note that a pool had nothing to take: it will be no further behind than the furthest of the others."""
        if others:
            least = min(self._served[other] / self._weights[other] for other in others)
            self._served[pool] = max(self._served[pool], least * self._weights[pool])


class SlotGate(Protocol):
    """What a loop asks before it claims."""

    def join(self, *, held: Callable[[], int], wake: Callable[[], None], stop: Callable[[], None]) -> None:
        """Say how many tasks the loop runs, how it is woken, and how it is stopped."""
        ...

    def ask(self, free: int) -> int:
        """Return how many of `free` slots may be filled now."""
        ...

    def took(self, granted: int, taken: int) -> None:
        """Say how many tasks were found for the slots that were granted."""
        ...

    def leave(self) -> None:
        """Say that the loop has ended."""
        ...


@dataclass(slots=True)
class _Member:
    held: Callable[[], int]
    wake: Callable[[], None]
    stop: Callable[[], None]
    granted: int = 0
    free: int = 0
    asked: float = field(default=-math.inf)


class FairGate:
    """Divides the slots of one worker among the loops of several pools.

    Parameters
    ----------
    slots : int
        Tasks of all pools together that run at the same time.
    pools : sequence of str
    read : callable
        Returns the shares of pools, as `PoolStats.shares` does; what cannot be read stays as it was.
    clock : Clock

    Guarantees: never more than `slots` run; a free slot is never kept for a pool that has nothing to take. Loops are
    in threads of their own.
    """

    def __init__(
        self, slots: int, pools: Sequence[str], *, read: Callable[[Sequence[str]], Sequence[PoolShare]], clock: Clock
    ) -> None:
        self._slots = slots
        self._pools = tuple(pools)
        self._read = read
        self._clock = clock
        self._mutex = threading.Lock()
        self._members: dict[str, _Member] = {}
        self._shares = FairShares(pools)
        self._elsewhere = dict.fromkeys(pools, 0)
        self._looked = -math.inf

    def of(self, pool: str) -> PoolGate:
        """Return the gate as the loop of one pool sees it."""
        return PoolGate(self, pool)

    def stop(self) -> None:
        """Stop all loops."""
        for member in [*self._members.values()]:
            member.stop()

    def join(self, pool: str, member: _Member) -> None:
        """Let a loop take part."""
        with self._mutex:
            self._members[pool] = member

    def leave(self, pool: str) -> None:
        """Let a loop take part no more."""
        with self._mutex:
            self._members.pop(pool, None)
        self._wake_next()

    def ask(self, pool: str, free: int) -> int:
        """Return how many of `free` slots a pool may fill now; the pool whose turn it is instead is woken."""
        if free <= 0:
            return 0
        self._look()
        with self._mutex:
            now = self._clock.monotonic()
            mine = self._members[pool]
            mine.free, mine.asked = free, now
            running = self._running()
            here = sum(one.held() + one.granted for one in self._members.values())
            self._shares.pass_time(now, running, here)
            room = self._slots - here
            granted = 0
            while granted < min(room, free) and self._shares.choose(self._wanting(now), running) == pool:
                granted += 1
                running[pool] += 1
            mine.granted += granted
            blocked = room > 0 and granted == 0
        if blocked:
            self._wake_next()
        return granted

    def took(self, pool: str, granted: int, taken: int) -> None:
        """Note what was found for the slots that were granted to a pool."""
        with self._mutex:
            now = self._clock.monotonic()
            mine = self._members[pool]
            mine.granted -= granted
            self._shares.note_started(pool, taken)
            mine.free -= granted
            if taken < granted:
                mine.free = 0
                self._shares.note_idle(pool, self._wanting(now))
        if granted:
            self._wake_next()

    def _look(self) -> None:
        """Read the weights, and what other workers run, now and then."""
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        try:
            shares = self._read(self._pools)
        except StoreUnavailableError:  # the loops find that out, and wait for it
            return
        with self._mutex:
            self._shares.weigh({one.pool: one.share.weight for one in shares})
            for one in shares:
                member = self._members.get(one.pool)
                self._elsewhere[one.pool] = max(0, one.running - (member.held() if member is not None else 0))

    def _running(self) -> dict[str, int]:
        here = {pool: member.held() + member.granted for pool, member in self._members.items()}
        return {pool: self._elsewhere[pool] + here.get(pool, 0) for pool in self._pools}

    def _wanting(self, now: float) -> list[str]:
        return [pool for pool, one in self._members.items() if one.free > 0 and now - one.asked < _ASKED]

    def _wake_next(self) -> None:
        """Wake the loop whose turn it is, if a slot is free and some loop wants it."""
        with self._mutex:
            room = self._slots - sum(one.held() + one.granted for one in self._members.values())
            wanting = self._wanting(self._clock.monotonic())
            if room <= 0 or not wanting:
                return
            wake = self._members[self._shares.choose(wanting, self._running())].wake
        wake()


class PoolGate:
    """A `SlotGate` of one pool."""

    def __init__(self, gate: FairGate, pool: str) -> None:
        self._gate = gate
        self._pool = pool

    def join(self, *, held: Callable[[], int], wake: Callable[[], None], stop: Callable[[], None]) -> None:
        """Let the loop of the pool take part."""
        self._gate.join(self._pool, _Member(held=held, wake=wake, stop=stop))

    def ask(self, free: int) -> int:
        """Return how many of `free` slots may be filled now."""
        return self._gate.ask(self._pool, free)

    def took(self, granted: int, taken: int) -> None:
        """Say how many tasks were found for the slots that were granted."""
        self._gate.took(self._pool, granted, taken)

    def leave(self) -> None:
        """Say that the loop has ended."""
        self._gate.leave(self._pool)
