"""The SQLite file behind a pool: opening, versions, transactions, errors."""

from __future__ import annotations

import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rollwright.core.canonical import sha256_hex
from rollwright.core.clock import BootClock
from rollwright.core.filesystems import find_network_filesystem
from rollwright.core.locks import FileLock
from rollwright.core.sqlite_connection import ProcessConnection, transaction
from rollwright.errors import (
    SchemaVersionError,
    StoreUnavailableError,
)
from rollwright.pool.notifier import PollingWaker
from rollwright.pool.store import Topic, Waker
from rollwright.pool.stores.sqlite import statements as sql
from rollwright.pool.stores.sqlite.notify_pipe import NotifyPipe, notify_listeners
from rollwright.pool.stores.sqlite.query import add_functions

__all__ = ["GivenClock", "SqliteFile"]

_APPLICATION_ID: Final = 0x726F6C6C


class GivenClock:
    """A clock that a caller gave, as the boot clock too."""

    boot_id: Final = "given"

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds = clock


class SqliteFile:
    """The file, its connection, transactions in it, and the notifications of what they changed."""

    def __init__(
        self,
        path: Path | str,
        *,
        durable: bool,
        timeout: float,
        clock: Callable[[], float],
        boot: BootClock,
    ) -> None:
        self.path = Path(path).absolute()
        self._durable = durable
        self._timeout = timeout
        self._clock = clock
        self._boot = boot
        self._mutex = threading.RLock()
        self._write_lock = FileLock(self.beside("lock"))
        self._pipes = self.beside("notify")
        self._session = ProcessConnection(self.path, self._connect)
        self._changed: set[tuple[str, Topic]] = set()
        self._commits = 0

    def beside(self, suffix: str) -> Path:
        """Return the name of what lies beside the file: locks, and pipes of listeners."""
        return self.path.with_name(f"{self.path.name}-{suffix}")

    def _connect(self) -> sqlite3.Connection:
        self._write_lock = FileLock(self.beside("lock"))  # a lock is no more shared with a parent than a connection
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kind = find_network_filesystem(self.path.parent)
        if kind is not None:
            raise StoreUnavailableError(
                f"{self.path} lies on a network filesystem ({kind}), whose locks SQLite cannot trust",
                hint="put the pool on a local disk, or use a database server for several machines",
            )
        connection = sqlite3.connect(
            self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            add_functions(connection)
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_gone(self) -> None:
        """Refuse to answer from a file that nobody will find again; asked after the work and before its answer."""
        if (what := self._session.find_loss()) is not None:
            raise StoreUnavailableError(
                f"the pool {self.path} was {what} while it was open here: what it was told last is not kept",
                hint="end all workers, put the file back with its -wal beside it, or make a new pool, and start again",
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")
        connection.execute("PRAGMA synchronous = FULL" if self._durable else "PRAGMA synchronous = NORMAL")
        version = _pragma(connection, "user_version")
        if version > sql.SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{self.path} has schema {version}, and this rollwright knows up to {sql.SCHEMA_VERSION}",
                hint="update rollwright, or use another pool",
            )
        if version < sql.SCHEMA_VERSION:
            with self._write_lock.hold():
                self._initialise(connection)
        if connection.execute(sql.BOOT).fetchone() != (self._boot.boot_id,):
            with self._write_lock.hold():
                self._note_boot(connection)

    def _note_boot(self, connection: sqlite3.Connection) -> None:
        """Carry over what another start of the machine left: its seconds mean nothing any more."""
        with transaction(connection):
            if connection.execute(sql.BOOT).fetchone() == (self._boot.boot_id,):
                return  # somebody was faster
            values = {"now": self._clock(), "uptime": self._boot.seconds(), "boot": self._boot.boot_id}
            for statement in sql.NEW_BOOT:
                connection.execute(statement, values)

    def _initialise(self, connection: sqlite3.Connection) -> None:
        if _pragma(connection, "user_version") == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise StoreUnavailableError(
                f"{self.path} is another program's database", hint="name a file of its own for the pool"
            )
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreUnavailableError(f"{self.path} cannot be used in WAL mode (it stays in `{mode}`)")
        self._upgrade(connection)

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            version = _pragma(connection, "user_version")  # anew: somebody may have been faster
            for statements in sql.MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {sql.SCHEMA_VERSION}")

    def _translate(self, error: sqlite3.Error | OSError) -> StoreUnavailableError:
        if isinstance(error, sqlite3.Error):
            busy = "locked" in str(error)
            return StoreUnavailableError(f"the pool {self.path} failed: {error}", hint=_hint(error), may_return=busy)
        return StoreUnavailableError(f"the pool {self.path} cannot be opened: {error}")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to the block; each statement in it reads a moment of its own."""
        with self._mutex:
            try:
                yield self._session.get()
                self._refuse_gone()
            except (sqlite3.Error, OSError) as error:
                raise self._translate(error) from error

    @contextmanager
    def read_moment(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to the block; all statements in it read the same moment."""
        with self.read() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction for the block, and when it is committed notify of what `note_change` got."""
        with self._mutex:
            try:
                connection = self._session.get()
                self._changed.clear()
                with self._write_lock.hold():
                    with transaction(connection):
                        yield connection
                    self._refuse_gone()
                    # One that changed nothing does not count, or a worker that polls would wake itself.
                    self._commits += bool(self._changed)
            except (sqlite3.Error, OSError) as error:
                raise self._translate(error) from error
            changed = [*self._changed]
        for pool, topic in changed:
            self.notify(pool, topic=topic)

    def note_change(self, pool: str, topic: Topic) -> None:
        """Notify of `topic` when the open transaction is committed."""
        self._changed.add((pool, topic))

    def waker(self, pool: str, *, topic: Topic = "work") -> Waker:
        """Return a new listener; on systems without named pipes it looks whether the file changed."""
        pipe = NotifyPipe.create(self._pipes, _pipe_name(pool, topic))
        return pipe if pipe is not None else PollingWaker(self._version)

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all who listen, in whatever process."""
        notify_listeners(self._pipes, _pipe_name(pool, topic))

    def _version(self) -> tuple[int, int]:
        with self.read() as connection:
            return _pragma(connection, "data_version"), self._commits

    def upgrade(self) -> None:
        """Bring the file to this version's schema."""
        with self.read() as connection, self._write_lock.hold():
            self._upgrade(connection)

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            if self._session.close():
                self._write_lock.close()


@functools.lru_cache(maxsize=256)
def _pipe_name(pool: str, topic: Topic) -> str:
    return f"{topic}-{sha256_hex(pool.encode())[:16]}"


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


_DAMAGED: Final = (
    "the file is no pool or is damaged. Restore it from a copy, with its -wal beside it; or save what can be read: "
    "sqlite3 pool.db .recover | sqlite3 new.db. A pool holds tasks, states and small results: recorders and artifacts "
    "lie elsewhere, so when it cannot be saved you may move it away, its -wal, -shm, -lock, -owners and -notify too, "
    "and give `rollwright roll` again: windows are then trained anew. Never remove the -wal alone"
)


def _hint(error: sqlite3.Error) -> str | None:
    text = str(error)
    if "full" in text:
        return "free some space; nothing of the last change was kept, and everything before it is"
    if "locked" in text:
        return "another process holds the file in a transaction; look for one that is stopped"
    if "not a database" in text or "malformed" in text:
        return _DAMAGED
    if "readonly" in text or "unable to open" in text:
        return "check the permissions of the file and of its folder, which must be writable too"
    return None
