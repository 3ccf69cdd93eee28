"""What shows a PostgreSQL server that this process lives, and what wakes the process: one session of its own.

The session holds an advisory lock on a number of chance, which the server frees when the process ends, however it
ends; and it listens. A thread waits on it, so that a broken connection is noticed and replaced at once.
"""

from __future__ import annotations

import logging
import os
import secrets
import select
import threading
from typing import TYPE_CHECKING, Final

from rollwright.core.optional import require
from rollwright.core.posix import call_in_forked_child
from rollwright.errors import StoreUnavailableError
from rollwright.pool.notifier import ThreadBells, ThreadWaker
from rollwright.pool.stores.postgres.connection import Address, Connection, hang_up
from rollwright.pool.types import Bell

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", extra="postgres")

__all__ = ["Presence", "channel_of", "close_presences", "message_of", "presence_of"]

_logger = logging.getLogger("rollwright.pool")

_PATIENCE: Final = 10.0
_BLINK: Final = 0.5
"""Seconds in which a session that broke is usually there again."""

_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 2.0


def channel_of(schema: str) -> str:
    """Return the channel on which the pools of a schema ring."""
    return f"rollwright.{schema}"


def message_of(pool: str, bell: Bell) -> str:
    """Return what is said on the channel: the pool is a value there too."""
    return f"{bell} {pool}"


class _Bells(ThreadBells):
    """Bells that can all be rung at once."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[tuple[str, Bell]] = set()

    def waker(self, pool: str, *, bell: Bell = "work") -> ThreadWaker:
        self._asked.add((pool, bell))
        return super().waker(pool, bell=bell)

    def ring_all(self) -> None:
        for pool, bell in [*self._asked]:
            self.ring(pool, bell=bell)


class Presence:
    """One session of this process on one database; made by `presence_of`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._number = secrets.randbits(63)
        self._bells: dict[str, _Bells] = {}
        self._listening: set[str] = set()
        self._changed = threading.Condition()
        self._held = False
        self._stopping = False
        self._refusal: Exception | None = None
        self._nudges = os.pipe()
        self._thread = threading.Thread(target=self._live, name="rollwright-presence", daemon=True)
        self._thread.start()

    def number(self) -> int | None:
        """Return the number this process holds its lock on; None while it cannot be held, when leases alone decide."""
        if self._held:
            return self._number
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._refusal is not None, _PATIENCE)
            self._changed.wait_for(lambda: self._held, _BLINK)
            return self._number if self._held else None

    def bells(self, schema: str) -> ThreadBells:
        """Return the bells of a schema's pools, once they are listened to.

        Raises
        ------
        StoreUnavailableError
        """
        channel = channel_of(schema)
        with self._changed:
            bells = self._bells.setdefault(channel, _Bells())
            if channel not in self._listening:
                os.write(self._nudges[1], b"!")
            self._changed.wait_for(lambda: channel in self._listening or self._refusal is not None, _PATIENCE)
            if channel not in self._listening:
                raise StoreUnavailableError(
                    f"{self._address.shown} cannot be listened to: {self._refusal or 'no answer'}",
                    hint="start the server, or check host and port",
                )
        return bells

    def close(self) -> None:
        """End the session."""
        self._stopping = True
        os.write(self._nudges[1], b"!")
        self._thread.join()
        for handle in self._nudges:
            os.close(handle)

    # -- the thread --------------------------------------------------------------------------------------------

    def _live(self) -> None:
        wait = _FIRST_WAIT
        while not self._stopping:
            connection: Connection | None = None
            try:
                connection = self._address.connect()
                connection.execute("SELECT pg_advisory_lock(%s)", (self._number,))
                wait = _FIRST_WAIT
                with self._changed:
                    self._held, self._refusal = True, None
                    self._changed.notify_all()
                self._attend(connection)
            except (psycopg.Error, OSError) as error:
                said = self._address.scrub(" ".join(str(error).split()))
                _logger.info("store.session_lost url=%s error=%s", self._address.shown, said)
                with self._changed:
                    self._held, self._refusal = False, StoreUnavailableError(said)
                    self._listening.clear()
                    self._changed.notify_all()
                select.select([self._nudges[0]], [], [], wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            finally:
                if connection is not None:
                    hang_up(connection)

    def _attend(self, connection: Connection) -> None:
        """Listen for as long as the connection lives."""
        connection.add_notify_handler(lambda notice: self._hear(notice.channel, notice.payload))
        while not self._stopping:
            self._listen(connection)
            ready, _, _ = select.select([connection.fileno(), self._nudges[0]], [], [])
            if self._nudges[0] in ready:
                os.read(self._nudges[0], 4096)
            if connection.fileno() in ready:
                connection.pgconn.consume_input()
                while (notice := connection.pgconn.notifies()) is not None:
                    self._hear(notice.relname.decode(), notice.extra.decode())

    def _listen(self, connection: Connection) -> None:
        with self._changed:
            wanted = [channel for channel in self._bells if channel not in self._listening]
        for channel in wanted:
            connection.execute(f'LISTEN "{channel}"')  # made of a checked name
            with self._changed:
                self._listening.add(channel)
                self._changed.notify_all()
            self._bells[channel].ring_all()  # what rang while nobody listened

    def _hear(self, channel: str, message: str) -> None:
        bells = self._bells.get(channel)
        bell, _, pool = message.partition(" ")
        if bells is not None and bell in ("work", "end"):
            bells.ring(pool, bell="work" if bell == "work" else "end")


class _Presences:
    mutex = threading.Lock()
    known: Final[dict[tuple[tuple[str, str], ...], Presence]] = {}
    watched: bool = False


def _forget_in_child() -> None:
    # The threads are gone, and the sessions are the parent's: a forked child has to show by itself that it lives.
    _Presences.mutex = threading.Lock()
    _Presences.known.clear()


def presence_of(address: Address) -> Presence:
    """Return this process's session on the database of `address`, made at the first call and kept until it ends."""
    with _Presences.mutex:
        if not _Presences.watched:
            call_in_forked_child(_forget_in_child)
            _Presences.watched = True
        if address.server not in _Presences.known:
            _Presences.known[address.server] = Presence(address)
        return _Presences.known[address.server]


def close_presences() -> None:
    """End all sessions of this process; its tasks then count as those of a dead one."""
    with _Presences.mutex:
        presences = [*_Presences.known.values()]
        _Presences.known.clear()
    for presence in presences:
        presence.close()
