"""What calls a worker away from waiting for its slots: signals, other threads, and the store's bell."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from rollwright.errors import PoolError
from rollwright.pool.store import PoolStore, Waker

__all__ = ["Doorman", "Nudge", "Stopper"]

_logger = logging.getLogger("rollwright.pool")

_HOUR: Final = 3600.0


class Nudge:
    """A pipe to oneself: `descriptor` can be waited for, and `give` makes it readable from any thread or signal."""

    def __init__(self) -> None:
        self._ends = os.pipe()
        os.set_blocking(self._ends[1], False)

    @property
    def descriptor(self) -> int:
        """What to wait for."""
        return self._ends[0]

    def give(self) -> None:
        """Nudge."""
        try:
            os.write(self._ends[1], b"!")
        except BlockingIOError:  # nudged many thousand times already
            return

    def take(self) -> None:
        """Forget the nudges so far; there must be one."""
        os.read(self._ends[0], 4096)

    def close(self) -> None:
        """Give the pipe back."""
        for end in self._ends:
            os.close(end)


class Stopper:
    """Takes the signals that ask a process to stop, as long as the block lasts.

    SIGTERM and SIGINT, and SIGHUP, which a closed terminal sends. One that the process was started to ignore, as
    ``nohup`` and a shell's background do, stays ignored. Only the main thread may handle signals; in another one this
    does nothing.

    Parameters
    ----------
    stop : callable
        Called at the first signal, from the signal handler.

    Guarantees: the second signal ends the process at once.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: dict[signal.Signals, Any] = {}
        self._told = False

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
        if self._told:
            os._exit(128 + number)  # told twice; the slots follow by their lifelines
        self._told = True
        self._stop()


class Doorman:
    """A thread that waits at a pool's bell and passes each ring on, as long as the block lasts.

    Parameters
    ----------
    store : PoolStore
    pool : str
    answer : callable
        Called in the doorman's thread at each ring.

    Guarantees: a store that cannot be listened to is told once in the log; whoever waits looks now and then anyway.
    """

    def __init__(self, store: PoolStore, pool: str, *, answer: Callable[[], None]) -> None:
        self._store = store
        self._pool = pool
        self._answer = answer
        self._waker: Waker | None = None
        self._thread = threading.Thread(target=self._listen, name=f"doorman-{pool}", daemon=True)
        self._leaving = False

    def __enter__(self) -> Self:
        try:
            self._waker = self._store.waker(self._pool)
        except PoolError as error:
            self._cannot(error)
        else:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        if self._waker is not None:
            self._waker.close()
            self._thread.join()

    def _listen(self) -> None:
        if self._waker is None:
            return
        try:
            while not self._leaving:
                if self._waker.wait(_HOUR) and not self._leaving:
                    self._answer()
        except PoolError as error:
            self._cannot(error)

    def _cannot(self, error: PoolError) -> None:
        _logger.warning("bell.not_heard pool=%s error=%s", self._pool, error.message)
