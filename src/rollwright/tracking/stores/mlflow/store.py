"""Experiments and runs in MLflow: an embedded database or a tracking server.

MLflow is imported when a store is first used, with its telemetry switched off before. One store per process is opened
lazily and kept; after a fork the child drops the connections it inherited and opens its own.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from rollwright.core.locks import file_lock
from rollwright.core.masking import mask_secrets
from rollwright.core.sqlite_urls import SQLITE, sqlalchemy_url, sqlite_path
from rollwright.errors import (
    ExperimentNotFoundError,
    RecorderNotFoundError,
    RecordError,
    TrackingUnavailableError,
)
from rollwright.tracking.store import (
    OPEN_STATUSES,
    ExperimentRecord,
    MetricPoint,
    RunRecord,
    RunView,
    TrackingTraits,
    check_batch,
)
from rollwright.tracking.stores.mlflow.answers import limit_answers
from rollwright.tracking.stores.mlflow.database import (
    ensure_database,
    explain_failure,
    head_version,
    location_of,
    lock_path,
    make_tables,
    name_deleted,
    wait_longer,
)
from rollwright.tracking.stores.mlflow.importing import import_mlflow, load_mlflow, quiet_mlflow

__all__ = ["MlflowStore", "open_client"]

_SCHEMES: Final = (SQLITE, "postgresql", "mysql", "mssql", "http://", "https://", "databricks")
_PAGE: Final = 1000
_MAX_PAGES: Final = 1000
_MAX_IDLE_PAGES: Final = 3
_ABSENT: Final = "RESOURCE_DOES_NOT_EXIST"
_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"
# What MLflow says when a database or a server does not answer, or answers nobody like us; anything else is the fault
# of the request.
_UNAVAILABLE: Final = (
    "TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED",
    "ENDPOINT_NOT_FOUND", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED",
)  # fmt: skip
# MLflow waits two minutes for an answer and asks eight times. Whoever sets these variables is heeded.
_IMPATIENT: Final = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_CONNECT: Final = 5.0  # seconds a database server has to take a connection
_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class _Connections:
    """The connection pools of this process; MLflow keeps one for each URI, whoever asks."""

    pid: int = os.getpid()
    engines: ClassVar[set[Any]] = set()
    inherited: ClassVar[list[Any]] = []


def _drop_inherited() -> None:
    """Forget the connections a fork brought along, without closing them: their sockets and locks are the parent's."""
    if _Connections.pid != os.getpid():
        for engine in _Connections.engines:
            _Connections.inherited.append(engine.pool)  # kept, or collecting the pool would close them
            engine.dispose(close=False)
        _Connections.pid = os.getpid()


class MlflowStore:
    """A `TrackingStore` over one MLflow tracking URI.

    Parameters
    ----------
    uri : str
        ``sqlite:////absolute/path.db``, another database URL MLflow knows, or the URL of a tracking server.
    artifacts : Path or str
        Folder, or address, that MLflow is told the files of experiments lie in, so that its own page finds them. A
        server decides that for itself.
    """

    def __init__(self, uri: str, *, artifacts: Path | str) -> None:
        if not uri.startswith(_SCHEMES):
            raise RecordError(
                f"MLflow cannot keep runs at {mask_secrets(uri)!r}",
                hint="use a database, as sqlite:///.rollwright/mlflow.db, or the URL of a tracking server",
            )
        self._uri = uri
        self._path = sqlite_path(uri)
        self.artifacts = artifacts
        self._opened: Any = None
        self._mutex = threading.RLock()

    @property
    def traits(self) -> TrackingTraits:
        """Durable, and open to many processes."""
        return TrackingTraits(durable=True, multi_process=True)

    def create_experiment(self, name: str) -> ExperimentRecord:
        """Return the experiment `name`, creating it when there is none."""
        with self._translate(f"experiment {name!r}"):
            found = self._store.get_experiment_by_name(name)
            if found is None or found.lifecycle_stage != "active":
                with self.exclusive():
                    found = self._create(name)
        return _experiment(found)

    def experiments(self, *, name: str | None = None, experiment_id: str | None = None) -> list[ExperimentRecord]:
        """Return the experiments that are not deleted."""
        if name is not None:
            with self._translate(f"experiment {name!r}"):
                found = [self._store.get_experiment_by_name(name)]
        elif experiment_id is not None:
            try:
                with self._translate(f"experiment {experiment_id}", missing=ExperimentNotFoundError):
                    found = [self._store.get_experiment(experiment_id)]
            except ExperimentNotFoundError:
                return []
        else:
            with self._translate("the list of experiments"):
                found = self._all_experiments()
        records = [_experiment(item) for item in found if item is not None]
        if name is None and experiment_id is not None:
            _check_answer("experiment", [record.id for record in records], asked=[experiment_id])
        return [record for record in records if not record.deleted]

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs; its name is free at once."""
        with self._translate(f"experiment {experiment_id}", missing=ExperimentNotFoundError), self.exclusive():
            found = self._store.get_experiment(experiment_id)
            if found.lifecycle_stage != "active":
                raise ExperimentNotFoundError(f"experiment {experiment_id} is deleted already")
            self._store.rename_experiment(experiment_id, name_deleted(found.name, found.experiment_id))
            self._store.delete_experiment(experiment_id)

    def create_run(
        self, experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
    ) -> RunRecord:
        """Add a run and return it."""
        entities = import_mlflow().entities
        with self._translate(f"experiment {experiment_id}", missing=ExperimentNotFoundError):
            run = self._store.create_run(
                experiment_id,
                user_id="",
                start_time=_to_millis(start),
                tags=[entities.RunTag(key, value) for key, value in tags.items()],
                run_name=name,
            )
            made = _run(run, status=status)
            _check_answer("experiment", [made.experiment_id], asked=[experiment_id])
            if status != run.info.status:
                self._store.update_run_info(run.info.run_id, entities.RunStatus.from_string(status), None, None)
        return made

    def update_run(
        self,
        run_id: str,
        *,
        status: str | None = None,
        end: datetime | None = None,
        name: str | None = None,
    ) -> None:
        """Change what is given."""
        code = import_mlflow().entities.RunStatus.from_string(status) if status is not None else None
        with self._translate(f"run {run_id}", missing=RecorderNotFoundError):
            self._store.update_run_info(run_id, code, _to_millis(end) if end is not None else None, name)

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
        """Write parameters, metrics and tags, in as few requests as MLflow's limits allow, then the status."""
        check_batch(self.traits, params or {}, metrics, tags or {})
        entities = import_mlflow().entities
        points = [entities.Metric(item.key, item.value, _to_millis(item.at), item.step) for item in metrics]
        pairs = [entities.Param(key, value) for key, value in (params or {}).items()]
        labels = [entities.RunTag(key, value) for key, value in (tags or {}).items()]
        with self._translate(f"run {run_id}", missing=RecorderNotFoundError):
            while points or pairs or labels:
                self._store.log_batch(run_id, metrics=points[:500], params=pairs[:50], tags=labels[:50])
                points, pairs, labels = points[500:], pairs[50:], labels[50:]
        if status is not None:
            self.update_run(run_id, status=status, end=end)

    def delete_tags(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove tags; a tag that is not there is no error."""
        present = self.get_run(run_id).tags
        with self._translate(f"run {run_id}", missing=RecorderNotFoundError):
            for key in keys:
                if key in present:
                    self._store.delete_tag(run_id, key)

    def get_run(self, run_id: str) -> RunRecord:
        """Return the run, deleted or not."""
        with self._translate(f"run {run_id}", missing=RecorderNotFoundError):
            found = _run(self._store.get_run(run_id))
        _check_answer("run", [found.id], asked=[run_id])
        return found

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        where: str = "",
        order_by: Sequence[str] = (),
        view: RunView = "active",
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return the matching runs, page after page until there are no more (defect M11)."""
        kind = getattr(
            import_mlflow().entities.ViewType, {"active": "ACTIVE_ONLY", "deleted": "DELETED_ONLY"}.get(view, "ALL")
        )
        order = [*order_by, "attributes.start_time DESC"]
        pages = _Pages()
        found: dict[str, RunRecord] = {}  # by id: a run added between two pages shifts the next one
        token = None
        with self._translate(f"experiments {', '.join(experiment_ids)}"):
            while experiment_ids and (limit is None or len(found) < limit):
                wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
                page = self._store.search_runs(list(experiment_ids), where, kind, wanted, order, token)
                records = [_run(item) for item in page]
                _check_answer("experiment", [record.experiment_id for record in records], asked=experiment_ids)
                found.update((record.id, record) for record in records)
                token = page.token
                if not token:
                    break
                pages.count(len(found))
        return list(found.values())[:limit]

    def delete_run(self, run_id: str) -> None:
        """Delete a run; its record stays readable by id."""
        with self._translate(f"run {run_id}", missing=RecorderNotFoundError):
            self._store.delete_run(run_id)

    def fetch_files(self, run: RunRecord) -> bool:  # noqa: ARG002 - the port's signature
        """Do nothing: with an embedded database the files of every run are in the folder of the artifacts."""
        return True

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        with self._mutex:
            _drop_inherited()
            engine = getattr(self._opened, "engine", None)
            if engine is not None:
                engine.dispose()
            self._opened = None

    def engine(self) -> Any:
        """Return SQLAlchemy's engine for the database; None for a tracking server."""
        return getattr(self._store, "engine", None)

    @property
    def _store(self) -> Any:
        with self._mutex:
            _drop_inherited()
            if self._opened is None:
                self._opened = self._open()
                engine = getattr(self._opened, "engine", None)
                if engine is not None:
                    _Connections.engines.add(engine)
            return self._opened

    def _open(self) -> Any:
        import_mlflow()
        services = importlib.import_module("mlflow.tracking._tracking_service.utils")
        # Several processes that find no tables would all create them: they take turns, and MLflow looks again.
        with self._translate(mask_secrets(self._uri)), self.exclusive(), quiet_mlflow():
            self._check_reachable()
            # MlflowClient cannot be told where the files of new experiments lie.
            opened = services._get_store(sqlalchemy_url(self._uri), location_of(self.artifacts))  # noqa: SLF001 - see above
            if self._path is not None:
                wait_longer(opened.engine)
            if urlsplit(self._uri).scheme in ("http", "https"):
                limit_answers(opened)
            return opened

    def _check_reachable(self) -> None:
        """Make an embedded database that is not there, and ask a server whether it is there, before MLflow does.

        It would ask a database ten times, for three minutes.
        """
        if self._path is None:
            self._check_server()
            return
        try:
            ensure_database(self._path, head=head_version, fill=make_tables)
        except sqlite3.DatabaseError as error:
            raise TrackingUnavailableError(
                f"the tracking store {self._path} cannot be opened: {error}", hint=explain_failure(error)
            ) from error

    def _check_server(self) -> None:
        parts = urlsplit(self._uri)
        kind = parts.scheme.partition("+")[0]
        if kind in {"http", "https"}:
            for name, value in _IMPATIENT.items():
                os.environ.setdefault(name, value)
        elif kind in _PORTS and parts.hostname:
            socket.create_connection((parts.hostname, parts.port or _PORTS[kind]), timeout=_CONNECT).close()

    def _translate(self, what: str, *, missing: type[RecordError] = RecordError) -> AbstractContextManager[None]:
        return _translate_errors(what, missing=missing, path=self._path)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold back other processes on an embedded database, and other threads everywhere."""
        lock = nullcontext() if self._path is None else file_lock(lock_path(self._path))
        with self._mutex, lock:
            yield

    def _create(self, name: str) -> Any:
        errors = importlib.import_module("mlflow.exceptions")
        while True:
            found = self._store.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "active":
                return found
            if found is not None:  # deleted by MLflow's own page: free its name (defect M9)
                self._store.restore_experiment(found.experiment_id)
                self._store.rename_experiment(found.experiment_id, name_deleted(found.name, found.experiment_id))
                self._store.delete_experiment(found.experiment_id)
                continue
            try:
                self._store.create_experiment(name)
            except errors.MlflowException as error:
                if error.error_code != _EXISTS:  # another host was first; look again
                    raise

    def _all_experiments(self) -> list[Any]:
        found: dict[str, Any] = {}
        token = None
        pages = _Pages()
        while True:
            page = self._store.search_experiments(max_results=_PAGE, order_by=["experiment_id ASC"], page_token=token)
            found.update((str(item.experiment_id), item) for item in page)
            token = page.token
            if not token:
                return list(found.values())
            pages.count(len(found))


class _Pages:
    """Counts the pages of an answer, which a server could go on with for ever."""

    def __init__(self) -> None:
        self.pages = self.idle = self.found = 0

    def count(self, found: int) -> None:
        """Count one page that is not the last, after which there are `found` records.

        Raises
        ------
        TrackingUnavailableError
            After a thousand pages, or three that brought nothing new.
        """
        self.pages += 1
        self.idle = 0 if found > self.found else self.idle + 1
        self.found = found
        if self.idle >= _MAX_IDLE_PAGES or self.pages >= _MAX_PAGES:
            raise TrackingUnavailableError(
                f"the tracking store gave {self.pages:,} pages with {found:,} records, and says that there are more",
                hint="ask for less: name the experiment, or give a limit",
            )


def open_client(uri: str) -> Any:
    """Return an ``MlflowClient`` for a tracking URI; an embedded database is there by then."""
    load_mlflow(databases=True)
    with quiet_mlflow():
        return import_mlflow().MlflowClient(tracking_uri=sqlalchemy_url(uri))


@contextmanager
def _translate_errors(what: str, *, missing: type[RecordError], path: Path | None) -> Iterator[None]:
    """Turn MLflow's and the database's errors about `what` into ours, which name an embedded database."""
    store = "the tracking store" if path is None else f"the tracking store {path}"
    try:
        yield
    except _external_errors() as error:
        code = getattr(error, "error_code", "TEMPORARILY_UNAVAILABLE")
        first = mask_secrets(str(error).strip().partition("\n")[0])[:500]
        if code == _ABSENT:
            raise missing(f"the tracking store does not know {what}: {first}") from error
        if code in _UNAVAILABLE:
            raise TrackingUnavailableError(
                f"{store} did not answer about {what}: {first}", hint=explain_failure(first)
            ) from error
        raise RecordError(f"the tracking store refused {what}: {first}") from error
    except (OSError, json.JSONDecodeError) as error:  # nothing there, or something that is no tracking server
        raise TrackingUnavailableError(f"{store} cannot be reached for {what}: {mask_secrets(error)}") from error


def _external_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions MLflow lets through; by then it is imported."""
    return (
        importlib.import_module("mlflow.exceptions").MlflowException,
        importlib.import_module("sqlalchemy.exc").SQLAlchemyError,
        importlib.import_module("google.protobuf.json_format").ParseError,  # an answer of another kind of server
    )


def _check_answer(what: str, answered: Sequence[str], *, asked: Sequence[str]) -> None:
    """Refuse an answer about another run or experiment than was asked about: a tracking server chooses none."""
    for item in answered:
        if item not in asked:
            raise RecordError(
                f"the tracking store was asked about {what} {', '.join(asked)[:200]!r} and answered about {item!r}",
                hint="does tracking.uri name a tracking server that you trust?",
            )


def _to_millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _from_millis(millis: int | None) -> datetime | None:
    return datetime.fromtimestamp(millis / 1000, UTC) if millis is not None else None


def _experiment(found: Any) -> ExperimentRecord:
    return ExperimentRecord(
        id=str(found.experiment_id),
        name=found.name,
        location=found.artifact_location or "",
        deleted=found.lifecycle_stage != "active",
    )


def _run(found: Any, *, status: str | None = None) -> RunRecord:
    info, data = found.info, found.data
    shown = "FAILED" if info.status == "KILLED" else info.status  # what MLflow's page makes of a run it stops
    state = status or shown
    return RunRecord(
        id=info.run_id,
        experiment_id=str(info.experiment_id),
        name=info.run_name or "",
        status=state,
        start=_from_millis(info.start_time or 0) or datetime.fromtimestamp(0, UTC),
        end=None if state in OPEN_STATUSES else _from_millis(info.end_time),  # MLflow keeps the end of a resumed run
        location=info.artifact_uri or "",
        deleted=info.lifecycle_stage != "active",
        params=dict(data.params),
        metrics=dict(data.metrics),
        tags=dict(data.tags),
    )
