"""Renewing the leases of one owner from a thread."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import threading
from typing import Self

from rollwright.core.text import storable_text
from rollwright.errors import PoolError
from rollwright.pool.store import TaskLeases

__all__ = ["Heartbeat", "new_owner"]

_logger = logging.getLogger("rollwright.pool")


def new_owner() -> str:
    """Return a name for one worker that nobody else has: host, process and chance."""
    return storable_text(f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}")


class Heartbeat:
    """Renews the leases of one owner from a thread: from `start` to `stop`, or as long as the block lasts.

    A process that hangs as a whole stops renewing, and its tasks go to somebody else: that is meant.
    """

    def __init__(self, store: TaskLeases, owner: str, *, lease: float) -> None:
        self._store = store
        self._owner = owner
        self._lease = lease
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"heartbeat-{owner}", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; a renewal that is on its way is waited for."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _renew(self) -> None:
        while not self._stop.wait(self._lease / 3):
            try:
                self._store.renew(self._owner, lease=self._lease)
            except PoolError as error:
                _logger.warning("lease.not_renewed owner=%s error=%s", self._owner, error.message)
