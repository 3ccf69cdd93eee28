"""The connections of this process to one address: few, shared by its stores and threads, and closed when unused."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from rollwright.core.optional import require
from rollwright.core.posix import call_in_forked_child
from rollwright.pool.stores.postgres.address import Address, Connection

if TYPE_CHECKING:
    import psycopg
    import psycopg_pool

    _Pool: TypeAlias = psycopg_pool.ConnectionPool[Connection]
else:
    psycopg = require("psycopg", extra="postgres")
    psycopg_pool = require("psycopg_pool", extra="postgres")

__all__ = ["CONNECTIONS", "ProcessPool", "pool_of"]

CONNECTIONS: Final = 4
"""The most connections of a process to one address, where nobody says otherwise."""

IDLE: Final = 30.0
"""Seconds after which a connection that nobody used is closed; it takes up to twice as long, and one goes at a time."""

_LIFETIME: Final = 10 * 365 * 86400.0  # a session is as good as new after any time
_LOOK: Final = 10.0
"""Seconds after which who waits for a connection looks once more whether it can open one itself."""


class _HandedOver:
    """What psycopg_pool calls to connect: it is given what the thread that needs the connection has opened.

    So an error of connecting is raised to who asked, at once and as it is; psycopg_pool by itself logs it, tries again
    in a thread of its own and lets who asked wait for a timeout.
    """

    @staticmethod
    def connect(_conninfo: str = "", *, opened: queue.SimpleQueue[Connection]) -> Connection:
        return opened.get_nowait()


class ProcessPool:
    """The connections of this process to one address; made by `pool_of`.

    Parameters
    ----------
    most : int
        How many there are at most; threads wait for one another beyond.

    Attributes
    ----------
    is_pooled : bool or None
        Whether a connection pooler answers there, whose sessions change with each transaction; None until known.
    started : mapping of Connection to str
        When the session of each connection began, as the server writes it.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._pool: _Pool | None = None
        self._opened: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self.is_pooled: bool | None = None
        self.started: weakref.WeakKeyDictionary[Connection, str] = weakref.WeakKeyDictionary()

    @contextmanager
    def borrow(self, user: object, open_one: Callable[[], Connection]) -> Iterator[Connection]:
        """Lend a connection for the block: an idle one, or what `open_one` returns, which may raise.

        One that is broken or in a transaction afterwards is closed, and the idle ones with it.
        """
        self._users.add(user)
        pool, connection = self._take(open_one)
        try:
            yield connection
        finally:
            if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.close()
                self._drop(pool)  # before it is returned: an open pool would replace it by itself
            pool.putconn(connection)

    def _take(self, open_one: Callable[[], Connection]) -> tuple[_Pool, Connection]:
        with self._turn:  # one after another, so that what is opened is for who opened it
            while True:
                pool, opened = self._current()
                state = pool.get_stats()
                if not state["pool_available"] and state["pool_size"] < state["pool_max"] and opened.empty():
                    opened.put(open_one())
                try:
                    connection = pool.getconn(timeout=_LOOK)
                except (psycopg_pool.PoolClosed, psycopg_pool.PoolTimeout):
                    continue
                _hand_over(pool, opened)
                return pool, connection

    def _current(self) -> tuple[_Pool, queue.SimpleQueue[Connection]]:
        with self._mutex:
            if self._pool is None:
                self._opened = queue.SimpleQueue()
                self._pool = psycopg_pool.ConnectionPool(
                    connection_class=cast("Any", _HandedOver),
                    kwargs={"opened": self._opened},
                    min_size=0,
                    max_size=self._most,
                    max_idle=IDLE,
                    max_lifetime=_LIFETIME,
                    reconnect_timeout=0.0,
                    num_workers=1,
                    open=True,
                )
            return self._pool, self._opened

    def leave(self, user: object) -> None:
        """Close what is idle if nobody else uses it; connections are opened anew when somebody asks again."""
        self._users.discard(user)
        if not self._users:
            self.close()

    def close(self) -> None:
        """Close what is idle, and what is lent when it comes back."""
        self._drop(self._pool)

    def _drop(self, pool: _Pool | None) -> None:
        with self._mutex:
            if pool is None or pool is not self._pool:
                return
            self._pool, opened = None, self._opened
        pool.close()
        while not opened.empty():
            opened.get().close()


def _hand_over(pool: _Pool, opened: queue.SimpleQueue[Connection]) -> None:
    """Let the pool have what was opened for who was given another that came back: it would not know, nor close, it.

    The pool takes it when it has no idle one left; so what is idle is held meanwhile.
    """
    held: list[Connection] = []
    try:
        while not opened.empty():
            held.append(pool.getconn(timeout=_LOOK))
    except (psycopg_pool.PoolClosed, psycopg_pool.PoolTimeout):
        return
    finally:
        for one in held:
            pool.putconn(one)


class _Pools:
    mutex = threading.Lock()
    known: Final[dict[tuple[object, ...], ProcessPool]] = {}
    inherited: Final[list[ProcessPool]] = []
    registered: bool = False


def pool_of(address: Address, *, most: int) -> ProcessPool:
    """Return this process's connections to `address`, made at the first call, whose `most` holds.

    A forked child has connections of its own: those of its parent are not used, and not closed.
    """
    with _Pools.mutex:
        if not _Pools.registered:
            call_in_forked_child(_forget_in_child)
            atexit.register(_close_pools)
            _Pools.registered = True
        key = (address.server, address.schema)
        if key not in _Pools.known:
            _Pools.known[key] = ProcessPool(most=most)
        return _Pools.known[key]


def _forget_in_child() -> None:
    _Pools.mutex = threading.Lock()
    _Pools.inherited.extend(_Pools.known.values())
    _Pools.known.clear()


def _close_pools() -> None:
    for pool in [*_Pools.known.values()]:
        pool.close()
