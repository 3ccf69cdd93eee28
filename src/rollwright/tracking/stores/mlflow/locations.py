"""Where MLflow believes files to lie: absolute paths in its database, wrong after the project folder moved.

Our own reading never uses them. MLflow's page does, and shows no files until they are rewritten.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from rollwright.tracking.stores.mlflow.database import location_of
from rollwright.tracking.stores.mlflow.store import MlflowStore

__all__ = ["MisplacedPath", "find_misplaced", "relocate"]

_TABLES: Final = {
    "experiment": ("experiments", "experiment_id", "artifact_location", "experiment_id"),
    "run": ("runs", "run_uuid", "artifact_uri", "experiment_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MisplacedPath:
    """One path in MLflow's database that is not where the files lie.

    Attributes
    ----------
    kind : str
        ``experiment`` or ``run``.
    id : str
        Its id.
    before, after : str
        What stands there, and what should.
    """

    kind: str
    id: str
    before: str
    after: str


def find_misplaced(store: MlflowStore) -> list[MisplacedPath]:
    """Return what `relocate` would rewrite; empty for a tracking server, which keeps files itself."""
    engine = store.engine()
    if engine is None:
        return []
    with engine.connect() as connection:
        return list(_find_misplaced(connection, store.artifacts))


def relocate(store: MlflowStore) -> list[MisplacedPath]:
    """Rewrite, in one transaction, every path that leads to where this project's files were, and return them.

    A path that leads to a folder which still exists, and whose files are not in this project, is left alone.
    """
    engine = store.engine()
    if engine is None:
        return []
    with store.exclusive(), engine.begin() as connection:
        found = list(_find_misplaced(connection, store.artifacts))
        for item in found:
            table, key, column, _ = _TABLES[item.kind]
            statement = _text(f"UPDATE {table} SET {column} = :after WHERE {key} = :id")  # noqa: S608 - names of ours
            identity: Any = int(item.id) if item.kind == "experiment" else item.id
            connection.execute(statement, {"after": item.after, "id": identity})
        return found


def _find_misplaced(connection: Any, artifacts: Path | str) -> Iterator[MisplacedPath]:
    for kind, (table, key, column, experiment) in _TABLES.items():
        rows = connection.execute(_text(f"SELECT {key}, {column}, {experiment} FROM {table}"))  # noqa: S608 - see above
        for identity, location, experiment_id in rows:
            tail = f"/{experiment_id}" if kind == "experiment" else f"/{experiment_id}/{identity}/artifacts"
            place = f"{artifacts}{tail}"
            after = location_of(place if isinstance(artifacts, str) else Path(place))
            before = _path_of(location)
            if before is None or not before.endswith(tail) or before == place:
                continue
            here = Path(place.removesuffix("/artifacts"))
            if here.is_dir() or not Path(before.removesuffix(tail)).exists():
                yield MisplacedPath(kind=kind, id=str(identity), before=location, after=after)


def _path_of(location: str | None) -> str | None:
    """Return the path that a location is; None for an address, and for what is none at all."""
    parts = urlsplit(location or "")
    if parts.scheme == "file":
        return unquote(parts.path)
    return location if location and not parts.scheme else None


def _text(statement: str) -> Any:
    return importlib.import_module("sqlalchemy").text(statement)
