"""Making MLflow's embedded database so that it is whole or absent at every kill (promise I24).

MLflow makes its tables by some fifty migrations, each of several statements that are committed one by one: killed
between two of them it leaves a file that neither it nor its next migration can use. So `ensure_database`

1. looks whether the file is there and whole, and sets a half-made one that holds nothing aside, under a name of its
   own;
2. lets MLflow make its tables in a draft beside it, which is flushed to the disk;
3. gives the draft its final name, unless another process, of another program, was first;
4. flushes the folder.

The caller holds the lock of the file, so the drafts that lie there are those of killed processes.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rollwright.core.atomic import DRAFT_MARK, put_new, sync_file, sync_folder
from rollwright.core.sqlite_urls import sqlalchemy_url, sqlite_url

__all__ = [
    "PATIENCE",
    "ensure_database",
    "explain_failure",
    "head_version",
    "location_of",
    "lock_path",
    "make_tables",
    "name_deleted",
    "wait_longer",
]

_logger: Final = logging.getLogger("rollwright.tracking")

PATIENCE: Final = 90
"""Seconds for which a database that another process has locked is waited for."""
_VERSION: Final = "alembic_version"
_SEEDED: Final = {"workspaces": 1}
"""Rows that MLflow's migrations themselves leave, by table."""
_DEFAULT_EXPERIMENT: Final = "0"
_BESIDE: Final = ("-journal", "-wal", "-shm")
"""Files of unfinished changes, beside a database."""


def ensure_database(path: Path, *, head: Callable[[], str], fill: Callable[[Path], object]) -> None:
    """Make the database `path` unless it is there; the caller holds its lock.

    Parameters
    ----------
    path : Path
    head : callable
        Returns the version of MLflow's tables that this MLflow makes.
    fill : callable
        Makes all tables in a file of the given path, which is not there yet.

    Raises
    ------
    sqlite3.Error
        When the file is no database, or is locked for longer than `PATIENCE`.
    OSError
        When the folder or the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_drafts(path)
    # 1. What is there.
    if path.exists():
        if not _is_half_made(path, head):
            return
        aside = path.with_name(f"{path.name}.half-made-{secrets.token_hex(4)}")
        os.rename(path, aside)
        _logger.warning("tracking.remade path=%s aside=%s reason=half-made", path, aside)
    for ending in _BESIDE:  # of a file that is gone: SQLite would take it for the new one's, and write it back
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
    # 2. The tables, in a draft.
    draft = path.with_name(f"{_draft_mark(path)}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        fill(draft)
        sync_file(draft)
        # 3. Its name, without replacing a file that is there by now.
        put_new(draft, path)
    finally:
        _remove(draft)
    # 4. The name on the disk.
    sync_folder(path.parent)


def _is_half_made(path: Path, head: Callable[[], str]) -> bool:
    """Tell whether the tables of an MLflow database without any record are not all there."""
    if not path.stat().st_size:
        return True
    address = f"file:{quote(str(path.absolute()))}?mode=rw"  # not read-only: a killed writer's journal is undone
    with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        tables = {name for name in tables if not name.startswith("sqlite_")}
        if tables - {_VERSION} and not tables & {"experiments", "runs"}:
            return False  # somebody else's tables: not ours to set aside
        if "experiments" in tables:
            ours = connection.execute(
                "SELECT count(*) FROM experiments WHERE experiment_id != ?", (_DEFAULT_EXPERIMENT,)
            )
            if ours.fetchone()[0]:
                return False  # it was whole once; what became of it is not for us to judge
        for table in sorted(tables - {_VERSION, "experiments"}):
            rows = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608 - a table's name
            if rows > _SEEDED.get(table, 0):
                return False
        found = connection.execute(f"SELECT version_num FROM {_VERSION}").fetchone() if _VERSION in tables else None  # noqa: S608 - a name of ours
        return found is None or found[0] != head()


def _draft_mark(path: Path) -> str:
    return f"{DRAFT_MARK}{path.name}-"


def _remove_drafts(path: Path) -> None:
    mark = _draft_mark(path)
    for found in [*path.parent.iterdir()]:
        if found.name.startswith(mark):
            found.unlink(missing_ok=True)


def _remove(draft: Path) -> None:
    for ending in ("", *_BESIDE):
        draft.with_name(f"{draft.name}{ending}").unlink(missing_ok=True)


def explain_failure(said: object) -> str:
    """Return what to do about what a database or a server said when it failed."""
    text = str(said)
    if "locked" in text:
        return "another process has it locked: when it has ended, the same command goes on"
    if any(sign in text for sign in ("disk I/O error", "disk is full", "readonly database", "unable to open")):
        return "is there room on its disk, and may you write there? the same command goes on afterwards"
    if "not a database" in text or "malformed" in text:
        return "restore it from a copy, or name another one in tracking.uri"
    return "is it reachable, and is tracking.uri the right one? see `rollwright config show`"


def lock_path(path: Path) -> Path:
    """Return the file whose lock holds back other processes on the database `path`."""
    return path.with_name(f"{path.name}.lock")


def location_of(folder: Path | str) -> str:
    """Return a folder of this machine as MLflow must be given it: it decodes ``%41`` in a path, too.

    A text is an address, or was returned by this function, and stays as it is.
    """
    if isinstance(folder, str):
        return folder
    return folder.as_uri() if "%" in str(folder) else str(folder)


def name_deleted(name: str, experiment_id: object) -> str:
    """Return the name a deleted experiment goes by, so that a new one can have its own."""
    return f"{name}.deleted-{experiment_id}"


def make_tables(path: Path) -> None:
    """Let MLflow make its tables in the new database `path`."""
    tables = importlib.import_module("mlflow.store.db.utils")
    engine = tables.create_sqlalchemy_engine(sqlalchemy_url(sqlite_url(path)))
    try:
        tables._initialize_tables(engine)  # noqa: SLF001 - MLflow makes them in no other way
    finally:
        engine.dispose()


def head_version() -> str:
    """Return the version of the tables that this MLflow makes."""
    version: str = importlib.import_module("mlflow.store.db.utils")._get_latest_schema_revision()  # noqa: SLF001 - as above
    return version


def wait_longer(engine: Any) -> None:
    """Let a locked database be waited for as long as we are patient, not the 20 seconds that MLflow asks for."""
    event = importlib.import_module("sqlalchemy.event")
    if not event.contains(engine, "before_cursor_execute", _rewrite_timeout):  # MLflow keeps one engine for each URI
        event.listen(engine, "before_cursor_execute", _rewrite_timeout, retval=True)


def _rewrite_timeout(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any
) -> tuple[str, Any]:
    if statement.startswith("PRAGMA busy_timeout"):
        statement = f"PRAGMA busy_timeout = {round(PATIENCE * 1000)}"
    return statement, parameters
