"""Whether an SQLite file is whole, asked without changing it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from rollwright.errors import StoreUnavailableError

__all__ = ["sqlite_problems"]

MOST: Final = 20
PATIENCE: Final = 10.0
"""Seconds for which a lock of somebody else is waited for."""
_AWAY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_PERM")
"""Somebody has it locked, or it cannot be opened: nothing is known to be wrong in it."""
_UNFINISHED: Final = ("SQLITE_READONLY_ROLLBACK", "SQLITE_READONLY_RECOVERY", "SQLITE_READONLY_CANTINIT")
"""A killed writer left a journal: whoever writes next undoes what it began, and a reader alone may not."""


def sqlite_problems(path: Path) -> list[str]:
    """Return what SQLite's own check finds wrong in the file `path`, at most 20 lines; nothing when it is whole.

    A file that is no database is a problem too. One that a killed writer left with its
    journal is none: a copy of both is checked, and SQLite undoes the unfinished change there.

    Raises
    ------
    StoreUnavailableError
        When it is locked, or cannot be opened.
    """
    try:
        return _problems(path, mode="ro")
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(_AWAY):
            raise StoreUnavailableError(
                f"{path} cannot be checked now: {error}", hint="is another process at work, and may you read it?"
            ) from error
        if name not in _UNFINISHED:
            return [str(error)]
    try:
        with tempfile.TemporaryDirectory(prefix="rollwright-check-") as folder:
            for ending in ("-journal", "-wal", ""):
                if path.with_name(path.name + ending).exists():
                    shutil.copyfile(path.with_name(path.name + ending), Path(folder) / f"copy{ending}")
            return _problems(Path(folder) / "copy", mode="rw")
    except (sqlite3.Error, OSError) as error:
        return [str(error)]


def _problems(path: Path, *, mode: str) -> list[str]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=PATIENCE)) as connection:
        rows = connection.execute(f"PRAGMA integrity_check({MOST})").fetchall()
    return [str(row[0]) for row in rows if row[0] != "ok"]
