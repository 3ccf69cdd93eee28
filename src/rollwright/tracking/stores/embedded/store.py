"""The store of an embedded database: reads and writes MLflow's tables itself where it knows them, else lets MLflow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from rollwright.core.sqlite_urls import sqlite_path
from rollwright.errors import RecordError
from rollwright.tracking.store import (
    ExperimentRecord,
    MetricPoint,
    RunRecord,
    RunView,
    TrackingTraits,
)
from rollwright.tracking.stores.embedded.direct import TRAITS, DirectStore
from rollwright.tracking.stores.embedded.file import KNOWN_REVISIONS, read_revision
from rollwright.tracking.stores.filter import is_common
from rollwright.tracking.stores.mlflow.creation import make_database
from rollwright.tracking.stores.mlflow.store import MlflowStore

__all__ = ["EmbeddedStore"]

_logger: Final = logging.getLogger("rollwright.tracking")


class EmbeddedStore:
    """A `TrackingStore` over one SQLite file with MLflow's tables.

    MLflow itself is imported only for filters beyond what every adapter knows; for deletions where traces were
    assessed; and for tables of a version that is unknown here, which is said once.

    Parameters
    ----------
    uri : str
        ``sqlite:////absolute/path.db``.
    artifacts : Path
        Folder that MLflow is told the files of experiments lie in, so that its own page finds them.

    Raises
    ------
    RecordError
        For another URI.
    """

    def __init__(self, uri: str, *, artifacts: Path | str) -> None:
        path = sqlite_path(uri)
        if path is None:
            raise RecordError(
                f"MLflow cannot keep runs at {uri!r}",
                hint="name a file: sqlite:///.rollwright/mlflow.db",
            )
        self._path = path
        self._mutex = threading.RLock()
        self._chosen: DirectStore | MlflowStore | None = None
        self.artifacts = artifacts
        self.mlflow = MlflowStore(uri, artifacts=artifacts)
        """MLflow's own way to the same file; nothing is imported or opened before it is used."""

    @property
    def traits(self) -> TrackingTraits:
        """Durable, and open to many processes."""
        return TRAITS

    def create_experiment(self, name: str) -> ExperimentRecord:
        """Return the experiment `name`, creating it when there is none."""
        return self._store.create_experiment(name)

    def experiments(self, *, name: str | None = None, experiment_id: str | None = None) -> list[ExperimentRecord]:
        """Return the experiments that are not deleted."""
        return self._store.experiments(name=name, experiment_id=experiment_id)

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs; its name is free at once."""
        self._deleting.delete_experiment(experiment_id)

    def create_run(
        self, experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
    ) -> RunRecord:
        """Add a run and return it."""
        return self._store.create_run(experiment_id, name=name, status=status, start=start, tags=tags)

    def update_run(
        self,
        run_id: str,
        *,
        status: str | None = None,
        end: datetime | None = None,
        name: str | None = None,
    ) -> None:
        """Change what is given."""
        self._store.update_run(run_id, status=status, end=end, name=name)

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
        self._store.log_batch(run_id, params=params, metrics=metrics, tags=tags, status=status, end=end)

    def delete_tags(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove tags; a tag that is not there is no error."""
        self._store.delete_tags(run_id, keys)

    def get_run(self, run_id: str) -> RunRecord:
        """Return the run, deleted or not."""
        return self._store.get_run(run_id)

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
        store = self._store if is_common(where, order_by) else self.mlflow
        return store.search_runs(experiment_ids, where=where, order_by=order_by, view=view, limit=limit)

    def delete_run(self, run_id: str) -> None:
        """Delete a run; its record stays readable by id."""
        self._deleting.delete_run(run_id)

    def fetch_files(self, run: RunRecord) -> bool:  # noqa: ARG002 - the port's signature
        """Do nothing: the files of every run are in the folder of the artifacts."""
        return True

    def close(self) -> None:
        """Close the file; the next call opens it again, and looks anew what it is."""
        with self._mutex:
            if self._chosen is not None:
                self._chosen.close()
            self._chosen = None
            self.mlflow.close()

    @property
    def _store(self) -> DirectStore | MlflowStore:
        with self._mutex:
            if self._chosen is None:
                self._chosen = self._choose()
            return self._chosen

    @property
    def _deleting(self) -> DirectStore | MlflowStore:
        store = self._store
        return self.mlflow if isinstance(store, DirectStore) and store.has_assessments() else store

    def _choose(self) -> DirectStore | MlflowStore:
        revision = read_revision(self._path)
        if revision is None:
            make_database(self._path, artifacts=self.artifacts)
            revision = read_revision(self._path)
        if revision in KNOWN_REVISIONS:
            return DirectStore(self._path, artifacts=self.artifacts)
        _logger.warning("tracking.through_mlflow path=%s revision=%s reason=unknown-tables", self._path, revision)
        return self.mlflow
