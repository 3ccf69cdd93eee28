"""MLflow's tables as it makes them, kept as SQL: a new database needs neither MLflow nor its sixty migrations.

``tables.json`` holds, for each version (revision) of the tables, the statements that MLflow's own file has. Which one
the installed MLflow would make stands in the names of its migrations, which are read as text.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.clock import SystemClock
from rollwright.core.sqlite_connection import transaction
from rollwright.tracking.stores.mlflow.database import location_of

__all__ = ["find_installed_revision", "list_revisions", "make_known_tables"]

_FILE: Final = "tables.json"
_MIGRATIONS: Final = ("store", "db_migrations", "versions")
_REVISION: Final = re.compile(r"""^(revision|down_revision) = ["'](\w+)["']""", re.MULTILINE)


@cache
def _read() -> Mapping[str, Any]:
    text = files("rollwright.tracking.stores.mlflow").joinpath(_FILE).read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def list_revisions() -> dict[str, str]:
    """Return each version of the tables that is kept here, with a version of MLflow that makes it."""
    return dict(_read()["revisions"])


@cache
def find_installed_revision() -> str | None:
    """Return the version of the tables that the installed MLflow makes; None when its files do not tell.

    MLflow is not imported: each of its migrations is a file that names itself and its predecessor, and the newest is
    nobody's predecessor.
    """
    package = importlib.util.find_spec("mlflow")
    if package is None or not package.submodule_search_locations:
        return None
    own: set[str] = set()
    former: set[str] = set()
    for path in Path(package.submodule_search_locations[0]).joinpath(*_MIGRATIONS).glob("*.py"):
        for kind, revision in _REVISION.findall(read_text(path, limit=SMALL)):
            (own if kind == "revision" else former).add(revision)
    newest = own - former
    return newest.pop() if len(newest) == 1 else None


def make_known_tables(path: Path, *, revision: str, artifacts: Path | str) -> None:
    """Make the new database `path` with the tables of one version and MLflow's default experiment, in one transaction.

    Parameters
    ----------
    path : Path
        A file that is not there yet; flushing it is the caller's.
    revision : str
        One of `list_revisions`.
    artifacts : Path or str
        Folder, or address, in which MLflow is told that the files of experiments lie.
    """
    statements = [one["sql"] for one in _read()["objects"] if revision in one.get("revisions", [revision])]
    now = int(SystemClock().now().timestamp() * 1000)
    folder = location_of(artifacts)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
            connection.execute(
                "INSERT INTO workspaces (name, description) VALUES ('default', ?)",
                ("Default workspace for legacy resources",),
            )
            connection.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time,"
                " last_update_time, workspace) VALUES (0, 'Default', ?, 'active', ?, ?, 'default')",
                (f"{folder}/0", now, now),
            )
