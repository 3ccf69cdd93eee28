"""Making MLflow's embedded database, whole or absent at every kill, as `database` says.

Where the tables that the installed MLflow makes are known (`tables`), they are written here. Else MLflow makes them,
which takes seconds, beside other work and in a process of its own, so that nobody else has to import MLflow.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Final

from rollwright.core.locks import file_lock
from rollwright.core.sqlite_urls import sqlite_url
from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.stores.mlflow.database import ensure_database, explain_failure, location_of, lock_path
from rollwright.tracking.stores.mlflow.store import MlflowStore
from rollwright.tracking.stores.mlflow.tables import find_installed_revision, list_revisions, make_known_tables

__all__ = ["begin_database", "main", "make_database"]

_START: Final = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n');"
    " from rollwright.tracking.stores.mlflow.creation import main; main()"
)
_HERE: Final = "mlflow.store.tracking.sqlalchemy_store"
_begun: Final[dict[tuple[int, Path], subprocess.Popen[str]]] = {}
_mutex: Final = threading.Lock()


def begin_database(path: Path, *, artifacts: Path | str) -> None:
    """Start to make the database `path` unless something has that name; `make_database` waits for it.

    Nothing is started where its tables are known, nor where this process has imported MLflow already: it makes the
    database when it is needed.
    """
    if _find_known() is not None:
        return
    with _mutex:
        key = (os.getpid(), path)
        if not path.exists() and key not in _begun and _HERE not in sys.modules:
            _begun[key] = _start(path, artifacts)


def make_database(path: Path, *, artifacts: Path | str) -> None:
    """Return when the database `path` is there, with MLflow's default experiment in it.

    Raises
    ------
    TrackingUnavailableError
        When it cannot be made.
    """
    revision = _find_known()
    if revision is not None:
        _make_known(path, artifacts, revision)
        return
    if _HERE in sys.modules:
        _make(path, artifacts)
        return
    with _mutex:
        process = _begun.pop((os.getpid(), path), None) or _start(path, artifacts)
        out, err = process.communicate()
    try:
        told = json.loads(out)
    except ValueError as error:
        said = err.strip().rpartition("\n")[2] or f"exit code {process.returncode}"
        raise TrackingUnavailableError(f"the tracking store {path} was not made: {said}") from error
    if not told["ok"]:
        raise TrackingUnavailableError(told["message"], hint=told["hint"])


def main() -> None:
    """Make the database that the first argument names, with the second as place of files, and print what came of it.

    What is printed is one line of JSON: ``ok``, and the message and the hint of an error.
    """
    path, artifacts = Path(sys.argv[1]), sys.argv[2]
    told: dict[str, object] = {"ok": True}
    try:
        _make(path, artifacts)
    except RecordError as error:
        told = {"ok": False, "message": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(told))


def _find_known() -> str | None:
    """Return the version of the tables that the installed MLflow makes, if they are known here."""
    revision = find_installed_revision()
    return revision if revision in list_revisions() else None


def _make_known(path: Path, artifacts: Path | str, revision: str) -> None:
    try:
        with file_lock(lock_path(path)):
            fill = partial(make_known_tables, revision=revision, artifacts=artifacts)
            ensure_database(path, head=lambda: revision, fill=fill)
    except sqlite3.DatabaseError as error:
        raise TrackingUnavailableError(
            f"the tracking store {path} cannot be made: {error}", hint=explain_failure(error)
        ) from error
    except OSError as error:
        raise TrackingUnavailableError(f"the tracking store {path} cannot be made: {error}") from error


def _make(path: Path, artifacts: Path | str) -> None:
    store = MlflowStore(sqlite_url(path), artifacts=artifacts)
    store.experiments(name="Default")
    store.close()


def _start(path: Path, artifacts: Path | str) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", _START, "\n".join(sys.path), str(path), location_of(artifacts)]
    return subprocess.Popen(  # noqa: S603 - this very Python
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
