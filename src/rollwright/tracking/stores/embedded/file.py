"""The SQLite file of MLflow's embedded database: whose tables it has, its connection, transactions, errors."""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rollwright.core.filesystems import find_network_filesystem
from rollwright.errors import TrackingUnavailableError
from rollwright.tracking.stores.mlflow import database
from rollwright.tracking.stores.mlflow.database import explain_failure

__all__ = ["KNOWN_REVISIONS", "EmbeddedFile", "read_revision"]

KNOWN_REVISIONS: Final = frozenset({
    "c3d6457b6d8a",  # MLflow 3.11
    "7d34483879f0",  # 3.12
    "da6fb0208061",  # 3.13
    "b7e4c1a90f23",  # 3.14
    "6f8d9c3b2a1e",  # 3.15
    "b7e2c1a4d9f3",  # 3.16
    "dc11669786a5",  # 3.17
})  # fmt: skip
"""Versions of MLflow's tables whose experiments and runs are laid out as this adapter reads and writes them."""
_INHERITED: Final[list[sqlite3.Connection]] = []
"""Connections of a parent process, kept so that nothing closes them."""


def read_revision(path: Path) -> str | None:
    """Return the version of MLflow's tables in `path`; None for a file that is not there, or not whole.

    Raises
    ------
    TrackingUnavailableError
        When the file is no database, or cannot be read.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    address = f"file:{quote(str(path.absolute()))}?mode=rw"  # not read-only: a killed writer's journal is undone
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=database.PATIENCE)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"alembic_version", "experiments"} <= tables:
                return None
            found = connection.execute(  # MLflow adds its default experiment last
                "SELECT version_num FROM alembic_version WHERE EXISTS (SELECT 1 FROM experiments)"
            ).fetchone()
    except sqlite3.Error as error:
        raise TrackingUnavailableError(
            f"the tracking store {path} cannot be opened: {error}", hint=explain_failure(error)
        ) from error
    return None if found is None else str(found[0])


class EmbeddedFile:
    """The database file that is there, and one connection to it for each process.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._open: sqlite3.Connection | None = None
        self._pid = 0
        self._identity: tuple[int, int] | None = None
        self._modern = False

    @contextmanager
    def read(self, what: str) -> Iterator[sqlite3.Connection]:
        """Give the connection to the block, which reads one moment of the database.

        Parameters
        ----------
        what : str
            What is asked about, for the error.
        """
        with self._mutex, self._translate(what):
            with _transaction(self._connection(), "BEGIN") as connection:
                yield connection
            self._refuse_gone()

    @contextmanager
    def write(self, what: str) -> Iterator[sqlite3.Connection]:
        """Open a transaction for the block: what it writes is on the disk when it ends, or nothing of it."""
        with self._mutex, self._translate(what):
            connection = self._connection()
            self._modernise(connection)
            with _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection
            self._refuse_gone()

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._mutex:
            if self._open is not None and self._pid == os.getpid():
                self._open.close()
                atexit.unregister(self.close)
            elif self._open is not None:
                _INHERITED.append(self._open)
            self._open = None

    def _connection(self) -> sqlite3.Connection:
        if self._open is not None and self._pid != os.getpid():
            # Forked: the connection is the parent's, and SQLite forbids even closing its copy here.
            _INHERITED.append(self._open)
            self._open = None
        if self._open is None:
            self._open = self._connect()
            self._pid = os.getpid()
        return self._open

    def _connect(self) -> sqlite3.Connection:
        address = f"file:{quote(str(self.path))}?mode=rw"  # a file that is gone is not made again, empty
        connection = sqlite3.connect(
            address,
            uri=True,
            timeout=database.PATIENCE,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute(f"PRAGMA busy_timeout = {round(database.PATIENCE * 1000)}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._identity = self._find_identity()
        except BaseException:
            connection.close()
            raise
        atexit.register(self.close)  # the last one to close brings the log of changes into the file itself
        return connection

    def _modernise(self, connection: sqlite3.Connection) -> None:
        """Let the file keep a log of changes (WAL), once: a change is then one write to the disk, not four.

        Left out on a network's file system, which cannot share the log, and while another program is at work.
        """
        if self._modern:
            return
        self._modern = True
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            return
        if find_network_filesystem(self.path.parent) is not None:
            return
        connection.execute("PRAGMA busy_timeout = 0")
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA busy_timeout = {round(database.PATIENCE * 1000)}")

    def _find_identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino

    def _refuse_gone(self) -> None:
        """Refuse to answer from a file that nobody will find again; asked after the work and before its answer."""
        found = self._find_identity()
        if found != self._identity:
            self.close()
            what = "removed" if found is None else "replaced by another file"
            raise TrackingUnavailableError(
                f"the tracking store {self.path} was {what} while it was open here: what it was told last is not kept",
                hint="end all workers, put the file back with its -wal beside it, and give the same command again",
            )

    @contextmanager
    def _translate(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise TrackingUnavailableError(
                f"the tracking store {self.path} did not answer about {what}: {error}", hint=explain_failure(error)
            ) from error
        except OSError as error:
            raise TrackingUnavailableError(
                f"the tracking store {self.path} cannot be reached for {what}: {error}"
            ) from error


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # on a full disk SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise
