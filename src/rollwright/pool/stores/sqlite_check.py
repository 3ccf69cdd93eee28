"""Whether an SQLite file is whole, asked without changing it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

__all__ = ["sqlite_problems"]

MOST: Final = 20


def sqlite_problems(path: Path) -> list[str]:
    """Return what SQLite's own check finds wrong in the file `path`, at most 20 lines; nothing when it is whole.

    A file that cannot be opened or is no database is told as a problem too.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            rows = connection.execute(f"PRAGMA integrity_check({MOST})").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    return [str(row[0]) for row in rows if row[0] != "ok"]
