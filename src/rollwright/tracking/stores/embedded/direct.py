"""Experiments and runs, read from and written to MLflow's own tables without MLflow.

What is written is what MLflow would write, so that its page and its client read and change it as their own, at the
same time; but a batch is one transaction here, and is whole or absent.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import ExperimentNotFoundError, RecorderNotFoundError, RecordError
from rollwright.tracking.store import (
    OPEN_STATUSES,
    ExperimentRecord,
    MetricPoint,
    RunRecord,
    RunView,
    TrackingTraits,
    check_batch,
)
from rollwright.tracking.stores.embedded.file import EmbeddedFile
from rollwright.tracking.stores.embedded.rows import (
    EXPERIMENT,
    find_runs,
    read_runs,
    stored_number,
    to_experiment,
    to_millis,
)
from rollwright.tracking.stores.mlflow.database import location_of, name_deleted

__all__ = ["TRAITS", "DirectStore"]

TRAITS: Final = TrackingTraits(durable=True, multi_process=True)
_WORKSPACE: Final = "default"
_NAME_TAG: Final = "mlflow.runName"
_INSERT_RUN: Final = (
    "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
    " source_version, lifecycle_stage, artifact_uri, experiment_id)"
    " VALUES (?, ?, 'UNKNOWN', '', '', '', ?, ?, '', 'active', ?, ?)"
)
_PUT_TAG: Final = (
    "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)"
    " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value"
)
_PUT_METRIC: Final = (
    "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
)
_PUT_LATEST: Final = (
    "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp,"
    " step = excluded.step, is_nan = excluded.is_nan"
    " WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)"
)


class DirectStore:
    """A `TrackingStore` over an MLflow database that is there and whose tables are known.

    Parameters
    ----------
    path : Path
    artifacts : Path or str
        Folder, or address, that the files of new experiments lie in, as MLflow is told.
    clock : Clock, optional
        Stamps what is created and deleted.
    """

    def __init__(self, path: Path, *, artifacts: Path | str, clock: Clock | None = None) -> None:
        self._file = EmbeddedFile(path)
        self._root = location_of(artifacts)
        self._clock = clock or SystemClock()

    @property
    def traits(self) -> TrackingTraits:
        """Durable, and open to many processes."""
        return TRAITS

    def create_experiment(self, name: str) -> ExperimentRecord:
        """Return the experiment `name`, creating it when there is none."""
        found = self.experiments(name=name)
        if found:
            return found[0]
        now = to_millis(self._clock.now())
        with self._file.write(f"experiment {name!r}") as connection:
            held = _one(connection, f"{EXPERIMENT} WHERE name = ? AND workspace = ?", (name, _WORKSPACE))
            if held is not None and not to_experiment(connection, held).deleted:
                return to_experiment(connection, held)
            if held is not None:  # deleted by MLflow's own page: free its name (defect M9)
                _rename(connection, held, now)
            identity = connection.execute(
                "INSERT INTO experiments (name, lifecycle_stage, creation_time, last_update_time, workspace)"
                " VALUES (?, 'active', ?, ?, ?)",
                (name, now, now, _WORKSPACE),
            ).lastrowid
            location = f"{self._root}/{identity}"
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (location, identity)
            )
        return ExperimentRecord(id=str(identity), name=name, location=location)

    def experiments(self, *, name: str | None = None, experiment_id: str | None = None) -> list[ExperimentRecord]:
        """Return the experiments that are not deleted."""
        statement, values = f"{EXPERIMENT} WHERE lifecycle_stage = 'active' AND workspace = ?", [_WORKSPACE]
        if name is not None:
            if not _is_text(name):
                return []
            statement, values = f"{statement} AND name = ?", [*values, name]
        if experiment_id is not None:
            if not experiment_id.isdecimal():
                return []
            statement, values = f"{statement} AND experiment_id = ?", [*values, experiment_id]
        with self._file.read("experiments") as connection:
            rows = connection.execute(f"{statement} ORDER BY experiment_id", values).fetchall()
            return [to_experiment(connection, row) for row in rows]

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs; its name is free at once."""
        now = to_millis(self._clock.now())
        with self._file.write(f"experiment {experiment_id}") as connection:
            held = _active_experiment(connection, experiment_id)
            _rename(connection, held, now)
            connection.execute("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE experiment_id = ?", held[:1])
            connection.execute(
                "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ? WHERE experiment_id = ?", (now, held[0])
            )

    def create_run(
        self, experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
    ) -> RunRecord:
        """Add a run and return it."""
        identity, begun = uuid.uuid4().hex, to_millis(start)
        with self._file.write(f"experiment {experiment_id}") as connection:
            held = to_experiment(connection, _active_experiment(connection, experiment_id))
            location = f"{held.location}/{identity}/artifacts"
            connection.execute(_INSERT_RUN, (identity, name, status, begun, location, int(held.id)))
            _put_tags(connection, identity, {**tags, _NAME_TAG: name})
            return read_runs(connection, [identity])[0]

    def update_run(
        self,
        run_id: str,
        *,
        status: str | None = None,
        end: datetime | None = None,
        name: str | None = None,
    ) -> None:
        """Change what is given."""
        with self._file.write(f"run {run_id}") as connection:
            _check_active(connection, run_id)
            _update(connection, run_id, status=status, end=end, name=name)

    def log_batch(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Sequence[MetricPoint] = (),
        tags: Mapping[str, str] | None = None,
        status: str | None = None,
        end: datetime | None = None,
    ) -> None:
        """Write parameters, metrics and tags, and the status, in one transaction."""
        check_batch(self.traits, params or {}, metrics, tags or {})
        with self._file.write(f"run {run_id}") as connection:
            _check_active(connection, run_id)
            if params:
                _put_params(connection, run_id, params)
            points = [
                (item.key, value, to_millis(item.at), run_id, item.step, is_nan)
                for item in metrics
                for value, is_nan in (stored_number(item.value),)
            ]
            connection.executemany(_PUT_METRIC, points)
            connection.executemany(_PUT_LATEST, points)
            _put_tags(connection, run_id, tags or {})
            _update(connection, run_id, status=status, end=end, name=(tags or {}).get(_NAME_TAG))

    def delete_tags(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove tags; a tag that is not there is no error."""
        with self._file.write(f"run {run_id}") as connection:
            _check_active(connection, run_id)
            connection.executemany("DELETE FROM tags WHERE run_uuid = ? AND key = ?", [(run_id, key) for key in keys])

    def get_run(self, run_id: str) -> RunRecord:
        """Return the run, deleted or not."""
        with self._file.read(f"run {run_id}") as connection:
            found = read_runs(connection, [run_id])
        if not found:
            raise _unknown(run_id)
        return found[0]

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        where: str = "",
        order_by: Sequence[str] = (),
        view: RunView = "active",
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return the matching runs."""
        known = [int(one) for one in experiment_ids if one.isdecimal()]
        if not known:
            return []
        with self._file.read(f"experiments {', '.join(experiment_ids)}") as connection:
            ids = find_runs(connection, known, where=where, order_by=order_by, view=view, limit=limit)
            return read_runs(connection, ids)

    def delete_run(self, run_id: str) -> None:
        """Delete a run; its record stays readable by id."""
        with self._file.write(f"run {run_id}") as connection:
            changed = connection.execute(
                "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ? WHERE run_uuid = ?",
                (to_millis(self._clock.now()), run_id),
            ).rowcount
            if not changed:
                raise _unknown(run_id)

    def has_assessments(self) -> bool:
        """Tell whether anybody judged traces here: what MLflow deletes together with a run is its own affair then."""
        with self._file.read("assessments") as connection:
            return _one(connection, "SELECT 1 FROM assessments LIMIT 1", ()) is not None

    def fetch_files(self, run: RunRecord) -> bool:  # noqa: ARG002 - the port's signature
        """Do nothing: the files of every run are in the folder of the artifacts."""
        return True

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._file.close()


def _is_text(name: object) -> bool:
    """Tell whether a database can hold `name`: a lone surrogate is no character, and a number no name."""
    return isinstance(name, str) and not any("\ud800" <= one <= "\udfff" for one in name)


def _one(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> Any:
    return connection.execute(statement, values).fetchone()


def _active_experiment(connection: sqlite3.Connection, experiment_id: str) -> Any:
    found = _one(connection, f"{EXPERIMENT} WHERE experiment_id = ?", (experiment_id,))
    if found is None:
        raise ExperimentNotFoundError(f"the tracking store does not know experiment {experiment_id}")
    if to_experiment(connection, found).deleted:
        raise ExperimentNotFoundError(f"experiment {experiment_id} is deleted already")
    return found


def _check_active(connection: sqlite3.Connection, run_id: str) -> None:
    found = _one(connection, "SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", (run_id,))
    if found is None:
        raise _unknown(run_id)
    if found[0] != "active":
        raise RecordError(f"run {run_id} is deleted and cannot change")


def _unknown(run_id: str) -> RecorderNotFoundError:
    return RecorderNotFoundError(f"the tracking store does not know run {run_id}")


def _rename(connection: sqlite3.Connection, held: Sequence[Any], now: int) -> None:
    """Free the name of an experiment that is deleted, or is about to be."""
    connection.execute(
        "UPDATE experiments SET name = ?, last_update_time = ? WHERE experiment_id = ?",
        (name_deleted(held[1], held[0]), now, held[0]),
    )


def _update(
    connection: sqlite3.Connection, run_id: str, *, status: str | None, end: datetime | None, name: str | None
) -> None:
    if end is not None:
        connection.execute("UPDATE runs SET end_time = ? WHERE run_uuid = ?", (to_millis(end), run_id))
    if status is not None:
        cleared = ", end_time = NULL" if status in OPEN_STATUSES else ""
        connection.execute(f"UPDATE runs SET status = ?{cleared} WHERE run_uuid = ?", (status, run_id))  # noqa: S608 - ours
    if name:
        connection.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (name, run_id))
        _put_tags(connection, run_id, {_NAME_TAG: name})


def _put_params(connection: sqlite3.Connection, run_id: str, params: Mapping[str, str]) -> None:
    held = dict(connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)).fetchall())
    changed = [key for key, value in params.items() if held.get(key, value) != value]
    if changed:
        shown = "; ".join(f"parameter {key!r} is {held[key]!r} already, not {params[key]!r}" for key in changed[:5])
        raise RecordError(f"{shown[:500]}: parameters of run {run_id} never change")
    connection.executemany(
        "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
        [(key, value, run_id) for key, value in params.items() if key not in held],
    )


def _put_tags(connection: sqlite3.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    connection.executemany(_PUT_TAG, [(key, value, run_id) for key, value in tags.items()])
