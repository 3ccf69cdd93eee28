"""One connection to an SQLite file for each process, and transactions on it: what every store in such a file needs."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["ProcessConnection", "transaction"]

_INHERITED: Final[list[sqlite3.Connection]] = []
"""Connections of a parent process, kept so that nothing closes them."""


class ProcessConnection:
    """The connection of this process to a file, opened when it is first asked for.

    Guarantees: a forked process opens its own, and neither uses nor closes that of its parent, which SQLite forbids;
    `find_loss` tells when the path no longer leads to the file that was opened. Nothing is guaranteed between threads:
    the caller holds a lock.

    Parameters
    ----------
    path : Path
    connect : callable
        Opens and prepares a new connection.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = str(path)
        self._connect = connect
        self._open: sqlite3.Connection | None = None
        self._pid = 0
        self._identity: tuple[int, int] | None = None

    def get(self) -> sqlite3.Connection:
        """Return the connection, a new one after `close` and in a process that was forked."""
        if self._open is None or self._pid != os.getpid():
            self._leave_inherited()
            connection = self._connect()
            try:
                self._identity = self._find_identity()
            except BaseException:
                connection.close()
                raise
            self._open, self._pid = connection, os.getpid()
        return self._open

    def close(self) -> bool:
        """Close the connection, and tell whether this process had one."""
        self._leave_inherited()
        connection, self._open = self._open, None
        if connection is not None:
            connection.close()
        return connection is not None

    def find_loss(self) -> str | None:
        """Return what became of the file that was opened: ``removed``, ``replaced by another file``, or None."""
        found = self._find_identity()
        if found == self._identity:
            return None
        return "removed" if found is None else "replaced by another file"

    def _leave_inherited(self) -> None:
        if self._open is not None and self._pid != os.getpid():
            _INHERITED.append(self._open)
            self._open = None

    def _find_identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino


class transaction:  # noqa: N801 - it reads as what a block is run in
    """Runs a block in a transaction: all of it is kept, or nothing.

    A class, since a turn of the pool is so short that a generator's steps show.
    """

    __slots__ = ("_begin", "_connection")

    def __init__(self, connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> None:
        self._connection = connection
        self._begin = begin

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute(self._begin)
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None:
            self._roll_back()
            return
        try:
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # On a full disk SQLite has rolled back by itself; rolling back again would hide the error.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
