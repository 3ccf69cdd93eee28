"""Making MLflow's embedded database beside other work: MLflow takes seconds to import, and makes it once for a project.

It is made in a process of its own, so that nobody else has to import MLflow, and as `database` says: whole or absent
at every kill.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from rollwright.core.sqlite_urls import sqlite_url
from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.stores.mlflow.store import MlflowStore

__all__ = ["begin_database", "main", "make_database"]

_START: Final = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n');"
    " from rollwright.tracking.stores.mlflow.creation import main; main()"
)
_HERE: Final = "mlflow.store.tracking.sqlalchemy_store"
_begun: Final[dict[tuple[int, Path], subprocess.Popen[str]]] = {}
_mutex: Final = threading.Lock()


def begin_database(path: Path, *, artifacts: Path) -> None:
    """Start to make the database `path` unless something has that name; `make_database` waits for it.

    Nothing is started where this process has imported MLflow already: it makes the database when it is needed.
    """
    with _mutex:
        key = (os.getpid(), path)
        if not path.exists() and key not in _begun and _HERE not in sys.modules:
            _begun[key] = _start(path, artifacts)


def make_database(path: Path, *, artifacts: Path) -> None:
    """Return when the database `path` is there, with MLflow's default experiment in it.

    Raises
    ------
    TrackingUnavailableError
        When it cannot be made.
    """
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
    """Make the database that the first argument names, with the second as folder of files, and print what came of it.

    What is printed is one line of JSON: ``ok``, and the message and the hint of an error.
    """
    path, artifacts = (Path(argument) for argument in sys.argv[1:3])
    told: dict[str, object] = {"ok": True}
    try:
        _make(path, artifacts)
    except RecordError as error:
        told = {"ok": False, "message": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(told))


def _make(path: Path, artifacts: Path) -> None:
    store = MlflowStore(sqlite_url(path), artifacts=artifacts)
    store.experiments(name="Default")
    store.close()


def _start(path: Path, artifacts: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", _START, "\n".join(sys.path), str(path), str(artifacts)]
    return subprocess.Popen(  # noqa: S603 - this very Python
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
