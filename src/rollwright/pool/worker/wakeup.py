"""What wakes a worker that waits: signals, other threads, and the store's notifications."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import PoolError
from rollwright.pool.store import Notifier, Waker

__all__ = ["SignalHandler", "StoreListener", "WakeupPipe"]

_logger = logging.getLogger("rollwright.pool")

_HOUR: Final = 3600.0
_SAME: Final = 1.0
"""Seconds in which SIGTERM counts as sent once: engines tell a job's shell, which passes it on, and all else in it."""


class WakeupPipe:
    """A pipe to oneself: `descriptor` can be waited for, and `wake` makes it readable from any thread or signal."""

    def __init__(self) -> None:
        self._ends = os.pipe()
        os.set_blocking(self._ends[1], False)

    @property
    def descriptor(self) -> int:
        """What to wait for."""
        return self._ends[0]

    def wake(self) -> None:
        """Make `descriptor` readable."""
        try:
            os.write(self._ends[1], b"!")
        except BlockingIOError:  # woken many thousand times already
            return

    def drain(self) -> None:
        """Forget the calls of `wake` so far; there must be one."""
        os.read(self._ends[0], 4096)

    def close(self) -> None:
        """Close the pipe."""
        for end in self._ends:
            os.close(end)


class SignalHandler:
    """Takes the signals that ask a process to stop, as long as the block lasts.

    SIGTERM and SIGINT, and SIGHUP, which a closed terminal sends. One that the process was started to ignore, as
    ``nohup`` and a shell's background do, stays ignored. Only the main thread may handle signals; in another one this
    does nothing.

    Parameters
    ----------
    stop : callable
        Called at the first signal, from the signal handler.
    clock : Clock, optional

    Guarantees: the second signal ends the process at once. SIGTERM that comes again within a second is the first one,
    which engines send in more than one way.
    """

    def __init__(self, stop: Callable[[], None], *, clock: Clock | None = None) -> None:
        self._stop = stop
        self._clock = clock or SystemClock()
        self._before: dict[signal.Signals, Any] = {}
        self._stopping: float | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGTERM", "SIGINT", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: object) -> None:
        now = self._clock.monotonic()
        if self._stopping is None:
            self._stopping = now
            self._stop()
        elif number != signal.SIGTERM or now - self._stopping >= _SAME:
            os._exit(128 + number)  # told twice; the slots follow by their lifelines


class StoreListener:
    """A thread that waits for a pool's notifications and passes each on, from `start` to `close`.

    Parameters
    ----------
    store : Notifier
    pool : str
    notify : callable
        Called in the listener's thread at each notification.

    Guarantees: a store that cannot be listened to is logged once; whoever waits looks now and then anyway.
    """

    def __init__(self, store: Notifier, pool: str, *, notify: Callable[[], None]) -> None:
        self._store = store
        self._pool = pool
        self._notify = notify
        self._waker: Waker | None = None
        self._thread: threading.Thread | None = None
        self._started = False
        self._closing = False

    def start(self) -> bool:
        """Begin to listen; return whether that is now, and not long since or impossible."""
        if self._started:
            return False
        self._started = True
        try:
            self._waker = self._store.waker(self._pool)
        except PoolError as error:
            self._log_failure(error)
            return False
        self._thread = threading.Thread(target=self._listen, name=f"store-listener-{self._pool}", daemon=True)
        self._thread.start()
        return True

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        if self._waker is not None:
            self._waker.close()
        if self._thread is not None:
            self._thread.join()

    def _listen(self) -> None:
        if self._waker is None:
            return
        try:
            while not self._closing:
                if self._waker.wait(_HOUR) and not self._closing:
                    self._notify()
        except PoolError as error:
            self._log_failure(error)

    def _log_failure(self, error: PoolError) -> None:
        _logger.warning("store.not_listening pool=%s error=%s", self._pool, error.message)
