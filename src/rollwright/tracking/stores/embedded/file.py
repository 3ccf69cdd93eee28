"""The SQLite file of MLflow's embedded database: whose tables it has, its connection, transactions, errors."""

from __future__ import annotations

import atexit
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rollwright.core.filesystems import find_network_filesystem
from rollwright.core.sqlite_connection import ProcessConnection, transaction
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
        self._session = ProcessConnection(path, self._connect)
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
            with transaction(self._session.get(), "BEGIN") as connection:
                yield connection
            self._refuse_gone()

    @contextmanager
    def write(self, what: str) -> Iterator[sqlite3.Connection]:
        """Open a transaction for the block: what it writes is on the disk when it ends, or nothing of it."""
        with self._mutex, self._translate(what):
            connection = self._session.get()
            self._modernise(connection)
            with transaction(connection):
                yield connection
            self._refuse_gone()

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._mutex:
            if self._session.close():
                atexit.unregister(self.close)

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

    def _refuse_gone(self) -> None:
        """Refuse to answer from a file that nobody will find again; asked after the work and before its answer."""
        if (what := self._session.find_loss()) is not None:
            self.close()
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
