"""Liveness and LISTEN on PostgreSQL: one session by which the server knows that this process lives, and wakes it.

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
from rollwright.pool.notifier import ThreadNotifier
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.address import Address, Connection, is_away, run
from rollwright.pool.types import Topic

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", extra="postgres")

__all__ = ["ServerSession", "channel_of", "close_sessions", "message_of", "session_of"]

_logger = logging.getLogger("rollwright.pool")

_PATIENCE: Final = 10.0
_RECONNECT: Final = 0.5
"""Seconds in which a session that broke is usually there again."""

_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 2.0


def channel_of(schema: str) -> str:
    """Return the channel on which a schema notifies of its pools."""
    return f"rollwright.{schema}"


def message_of(pool: str, topic: Topic) -> str:
    """Return what is sent on the channel: the pool is a value there too."""
    return f"{topic} {pool}"


class ServerSession:
    """One session of this process on one database; made by `session_of`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._secret = secrets.randbits(47)
        self._number = 0
        self._notifiers: dict[str, ThreadNotifier] = {}
        self._listening: set[str] = set()
        self._changed = threading.Condition()
        self._held = False
        self._stopping = False
        self._refusal: StoreUnavailableError | None = None
        self._wakeup = os.pipe()
        self._thread = threading.Thread(target=self._keep, name="rollwright-session", daemon=True)
        self._thread.start()

    def number(self) -> int | None:
        """Return the number this process holds its lock on; None while it cannot be held, when leases alone decide.

        Its last digits tell which run of which server knows it. Another one, after a restart or a fail-over, cannot say
        who of those that it never met is dead.
        """
        if self._held:
            return self._number
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._refusal is not None, _PATIENCE)
            self._changed.wait_for(lambda: self._held, _RECONNECT)
            return self._number if self._held else None

    def notifier(self, schema: str) -> ThreadNotifier:
        """Return the notifier of a schema's pools, once the server is listened to.

        Raises
        ------
        StoreUnavailableError
        """
        channel = channel_of(schema)
        with self._changed:
            notifier = self._notifiers.setdefault(channel, ThreadNotifier())
            if channel not in self._listening:
                os.write(self._wakeup[1], b"!")
            self._changed.wait_for(lambda: channel in self._listening or self._refusal is not None, _PATIENCE)
            if channel not in self._listening:
                raise StoreUnavailableError(
                    f"{self._address.shown} cannot be listened to: {self._refusal or 'no answer'}",
                    hint="start the server, or check host and port",
                    may_return=self._refusal is None or self._refusal.may_return,
                )
        return notifier

    def close(self) -> None:
        """End the session."""
        self._stopping = True
        os.write(self._wakeup[1], b"!")
        self._thread.join()
        for handle in self._wakeup:
            os.close(handle)

    # -- the thread --------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        wait = _FIRST_WAIT
        while not self._stopping:
            connection: Connection | None = None
            try:
                connection = self._address.connect()
                ((mark,),) = run(connection, sql.SERVER_MARK)
                number = self._secret * sql.SERVER_MARKS + mark
                run(connection, sql.END_PREDECESSOR, {"number": number})
                run(connection, "SELECT pg_advisory_lock(%(number)s)", {"number": number})
                wait = _FIRST_WAIT
                with self._changed:
                    self._number, self._held, self._refusal = number, True, None
                    self._changed.notify_all()
                self._listen_until_lost(connection)
            except (psycopg.Error, OSError) as error:
                text = self._address.scrub(" ".join(str(error).split()))
                _logger.info("store.session_lost url=%s error=%s", self._address.shown, text)
                with self._changed:
                    self._held, self._refusal = False, StoreUnavailableError(text, may_return=is_away(error))
                    self._listening.clear()
                    self._changed.notify_all()
                select.select([self._wakeup[0]], [], [], wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            finally:
                if connection is not None:
                    connection.close()

    def _listen_until_lost(self, connection: Connection) -> None:
        """Listen for as long as the connection lives."""
        connection.add_notify_handler(lambda notice: self._pass_on(notice.channel, notice.payload))
        while not self._stopping:
            self._listen(connection)
            ready, _, _ = select.select([connection.fileno(), self._wakeup[0]], [], [])
            if self._wakeup[0] in ready:
                os.read(self._wakeup[0], 4096)
            if connection.fileno() in ready:
                connection.pgconn.consume_input()
                while (notice := connection.pgconn.notifies()) is not None:
                    self._pass_on(notice.relname.decode(), notice.extra.decode())

    def _listen(self, connection: Connection) -> None:
        with self._changed:
            wanted = [channel for channel in self._notifiers if channel not in self._listening]
        for channel in wanted:
            connection.execute(f'LISTEN "{channel}"')  # made of a checked name
            with self._changed:
                self._listening.add(channel)
                self._changed.notify_all()
            self._notifiers[channel].notify_all()  # of what nobody heard until now

    def _pass_on(self, channel: str, message: str) -> None:
        notifier = self._notifiers.get(channel)
        topic, _, pool = message.partition(" ")
        if notifier is not None and topic in ("work", "end"):
            notifier.notify(pool, topic="work" if topic == "work" else "end")


class _Sessions:
    mutex = threading.Lock()
    known: Final[dict[tuple[tuple[str, str], ...], ServerSession]] = {}
    registered: bool = False


def _forget_in_child() -> None:
    # The threads are gone, and the sessions are the parent's: a forked child has to show by itself that it lives.
    _Sessions.mutex = threading.Lock()
    _Sessions.known.clear()


def session_of(address: Address) -> ServerSession:
    """Return this process's session on the database of `address`, made at the first call and kept until it ends."""
    with _Sessions.mutex:
        if not _Sessions.registered:
            call_in_forked_child(_forget_in_child)
            _Sessions.registered = True
        if address.server not in _Sessions.known:
            _Sessions.known[address.server] = ServerSession(address)
        return _Sessions.known[address.server]


def close_sessions() -> None:
    """End all sessions of this process; its tasks then count as those of a dead one."""
    with _Sessions.mutex:
        sessions = [*_Sessions.known.values()]
        _Sessions.known.clear()
    for session in sessions:
        session.close()
