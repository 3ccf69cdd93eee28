"""A tracking server that may be unreachable: records are written to the local disk first and sent when it answers.

Reads ask the server, and the project's own copy while it is unreachable. What the project cannot know alone (all runs
of an experiment, an experiment it never used) is an error then, never a partial answer.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import RecorderNotFoundError, RecordError, TrackingUnavailableError
from rollwright.tracking.outbox.fetching import fetch_files
from rollwright.tracking.outbox.journal import Journal, metric_to_json
from rollwright.tracking.outbox.names import ExperimentNames
from rollwright.tracking.outbox.sending import ID_TAG, FileSender, Sender
from rollwright.tracking.outbox.view import make_base_operation, make_create_operation
from rollwright.tracking.store import (
    PARENT_TAG,
    ExperimentRecord,
    MetricPoint,
    RunRecord,
    RunView,
    TrackingStore,
    TrackingTraits,
    check_batch,
    check_id,
    is_id,
)

__all__ = ["OutboxStore"]

_logger: Final = logging.getLogger("rollwright.tracking")
PAUSE: Final = timedelta(seconds=60)  # how long no process of this project asks a server that did not answer
T = TypeVar("T")


class OutboxStore:
    """A `TrackingStore` in front of another one that may be unreachable.

    Parameters
    ----------
    inner : TrackingStore
        The server.
    folder : Path
        The outbox's folder; created when something is recorded.
    artifacts : Path
        Folder of the runs' files here.
    uri : str
        The server's address in messages and in ``rollwright track status``; without a password.
    files : FileSender, optional
        Uploads the files of runs; without it they stay here.
    clock : Clock, optional
        For the pause after a server did not answer.
    """

    def __init__(
        self,
        inner: TrackingStore,
        *,
        folder: Path,
        artifacts: Path,
        uri: str,
        files: FileSender | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.inner = inner
        self.folder = folder
        self.uri = uri
        self._clock = clock or SystemClock()
        self._names = ExperimentNames(folder / "experiments.jsonl")
        self._journals: dict[str, Journal] = {}
        self._mutex = threading.RLock()
        self.sender = Sender(
            store=inner, files=files, names=self._names, artifacts=artifacts, find_journal=self.find_journal
        )

    @property
    def traits(self) -> TrackingTraits:
        """Those of the server, and durable in any case, also while it is unreachable."""
        return replace(self.inner.traits, durable=True, records_while_away=True)

    def create_experiment(self, name: str) -> ExperimentRecord:
        """Return the experiment `name`; while the server is unreachable, one that is created there later."""
        try:
            return self._names.bind(self._reach(lambda: self.inner.create_experiment(name)))
        except TrackingUnavailableError:
            self._prepare()
            known = self._names.create(name)
            return ExperimentRecord(id=known.id, name=known.name)

    def experiments(self, *, name: str | None = None, experiment_id: str | None = None) -> list[ExperimentRecord]:
        """Return the experiments that are not deleted."""
        remote = None if experiment_id is None else self._names.remote_id(experiment_id) or experiment_id
        try:
            self.settle()
            if experiment_id is not None:
                remote = self._names.remote_id(experiment_id)
            found = self._reach(lambda: self.inner.experiments(name=name, experiment_id=remote))
        except TrackingUnavailableError:
            known = self._names.by_name(name) if name is not None else self._names.by_id(experiment_id or "")
            if known is None or known.deleted:
                raise
            return [ExperimentRecord(id=known.id, name=known.name)]
        wanted = name is not None or experiment_id is not None
        return [self._names.bind(record) if wanted else self._to_local_experiment(record) for record in found]

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs; an error while the server is unreachable."""
        self.settle()
        remote = self._names.remote_id(experiment_id) or experiment_id
        self._reach(lambda: self.inner.delete_experiment(remote))
        self._names.mark_deleted(experiment_id)

    def create_run(
        self, experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
    ) -> RunRecord:
        """Add a run and return it; while the server is unreachable it gets a local id, which it keeps here."""
        check_id(experiment_id, what="experiment")
        self._prepare()
        journal = Journal(self._path(uuid.uuid4().hex))
        journal.add(make_create_operation(experiment_id, name=name, status=status, start=start, tags=tags))
        try:
            with journal.lock_for_sending():
                self._reach(lambda: self.sender.send(journal))
                assert journal.remote is not None  # noqa: S101 - sending it created it
                journal.rename_to(journal.remote)
        except TrackingUnavailableError:
            pass
        except RecordError:
            journal.path.unlink()
            raise
        with self._mutex:
            self._journals[journal.id] = journal
        return replace(journal.view(), location=journal.location)

    def update_run(
        self, run_id: str, *, status: str | None = None, end: datetime | None = None, name: str | None = None
    ) -> None:
        """Change what is given; when a run ends its files are uploaded."""
        ended = end.isoformat() if end is not None else None
        self._record(run_id, {"op": "update", "status": status, "end": ended, "name": name})

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
        """Write parameters, metrics and tags: all of them or, when one is refused, none; then the status."""
        check_batch(self.traits, params or {}, metrics, tags or {})
        values = {"params": dict(params or {}), "metrics": [*map(metric_to_json, metrics)], "tags": dict(tags or {})}
        if status is None or any(values.values()):
            self._record(run_id, {"op": "log", **values})
        if status is not None:
            self.update_run(run_id, status=status, end=end)

    def delete_tags(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove tags; a tag that is not there is no error."""
        self._record(run_id, {"op": "untag", "keys": list(keys)})

    def get_run(self, run_id: str) -> RunRecord:
        """Return the run as the server has it, or as this project recorded it while the server is unreachable."""
        journal = self.find_journal(run_id)
        if journal is None:
            return self._to_local_run(self._reach(lambda: self._find_run(run_id)))
        try:
            if self._send_waiting(journal):
                remote = journal.remote or run_id
                return self._to_local_run(self._reach(lambda: self.inner.get_run(remote)))
        except TrackingUnavailableError:
            pass
        return replace(journal.view(), location=journal.location)

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        where: str = "",
        order_by: Sequence[str] = (),
        view: RunView = "active",
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return the matching runs, after sending those that wait; an error while the server is unreachable."""
        self.settle()
        for journal in self.journals():
            self._send_waiting(journal)
        ids = [self._names.remote_id(item) or item for item in experiment_ids]
        found = self._reach(lambda: self.inner.search_runs(ids, where=where, order_by=order_by, view=view, limit=limit))
        return [self._to_local_run(run) for run in found]

    def delete_run(self, run_id: str) -> None:
        """Delete a run; an error while the server is unreachable."""
        journal = self.find_journal(run_id)
        if journal is not None:
            self._send_waiting(journal)
        remote = journal.remote if journal is not None and journal.remote is not None else run_id
        self._reach(lambda: self.inner.delete_run(remote))

    def close(self) -> None:
        """Close the connection to the server; the next call opens it again."""
        self.inner.close()

    def journals(self) -> list[Journal]:
        """Return the journals of this outbox, the oldest run first: a parent comes before its children."""
        with self._mutex:
            names = [path.stem for path in (self.folder / "runs").glob("*.jsonl")]
            found = [journal for name in names if (journal := self.find_journal(name)) is not None]
            return sorted(found, key=lambda journal: (journal.operations[0]["start"], journal.id))

    def find_journal(self, run_id: str) -> Journal | None:
        """Return the journal of a run, up to date; None for a run this project did not record."""
        if not is_id(run_id):
            return None
        with self._mutex:
            journal = self._journals.get(run_id) or Journal(self._path(run_id))
            journal.load()
            if not journal.operations or "experiment" not in journal.operations[0]:  # its first line is damaged
                return None
            self._journals[run_id] = journal
            return journal

    def fetch_files(self, run: RunRecord) -> bool:
        """Download a run's files, when the server has them and this project neither recorded nor downloaded them.

        Raises
        ------
        CorruptArtifactError, TrackingUnavailableError
            As `outbox.fetching.fetch_files`.
        """
        files, journal = self.sender.files, self.find_journal(run.id)
        folder = self.sender.artifacts / run.experiment_id / run.id
        known = journal is not None and journal.operations[0]["op"] == "create"
        if files is None or known or folder.exists():
            return True
        return files.takes(run.location) and self._reach(lambda: fetch_files(files, run.location, folder))

    def retry_now(self) -> None:
        """End the pause: the next call asks the server again."""
        self._away_file.unlink(missing_ok=True)

    def settle(self) -> None:
        """Create on the server the experiments that were named while it was unreachable."""
        for known in self._names.waiting():
            self._names.bind(self._reach(partial(self.inner.create_experiment, known.name)))

    def send_all(self, journal: Journal) -> bool:
        """Send what waits of a run, with its files, and return False when another process is sending it.

        Raises
        ------
        TrackingUnavailableError
            When the server, or its artifact store, does not answer.
        """
        with journal.lock_for_sending() as mine:
            if mine:
                self._reach(lambda: self.sender.send(journal))
                self.sender.send_files(journal)
        return mine

    def _record(self, run_id: str, item: dict[str, Any]) -> None:
        """Append an operation to the journal, then send it if the server answers."""
        journal = self.find_journal(run_id) or self._adopt_run(run_id)
        if journal.remote is None or journal.waiting:
            _check_params(journal, item)
        index = journal.add(item)
        try:
            with journal.lock_for_sending() as mine:
                if mine:
                    self._reach(lambda: self.sender.send(journal, whole=index))
        except TrackingUnavailableError:
            return
        if journal.refused.get(index, ()) is None:
            raise RecordError(journal.reasons[-1])

    def _adopt_run(self, run_id: str) -> Journal:
        """Return a new journal for a run that is on the server and was not recorded here."""
        run = self._to_local_run(self._reach(lambda: self._find_run(run_id)))
        if run.deleted:
            raise RecordError(f"run {run.id} is deleted and cannot change")
        self._prepare()
        journal = Journal(self._path(run.id))
        created = {"note": "created", "run": self._remote_of(run_id), "location": run.location}
        journal.add(make_base_operation(run), created, {"note": "sent", "count": 1})
        with self._mutex:
            self._journals[journal.id] = journal
        return journal

    def _remote_of(self, run_id: str) -> str:
        return self._find_run(run_id).id

    def _send_waiting(self, journal: Journal) -> bool:
        """Send what waits of a run, and return whether the server has everything."""
        if journal.waiting:
            try:
                with journal.lock_for_sending() as mine:
                    if mine:
                        self._reach(lambda: self.sender.send(journal))
            except TrackingUnavailableError:
                raise
            except RecordError as error:  # the server refuses the run: readers get our own copy
                _logger.warning("outbox.refused run=%s reason=%s", journal.id, error.message)
        return not journal.waiting

    def _find_run(self, run_id: str) -> RunRecord:
        """Return a run of the server by its id there, or by the local id that another project gave it."""
        try:
            return self.inner.get_run(run_id)
        except RecorderNotFoundError:
            found = self.sender.find(run_id) if is_id(run_id) else []
            if not found:
                raise
            return found[0]

    def _to_local_run(self, run: RunRecord) -> RunRecord:
        """Return a run of the server with the ids that this project uses."""
        own = run.tags.get(ID_TAG, "")
        tags = {key: text for key, text in run.tags.items() if key != ID_TAG}
        known = self.find_journal(own)
        public = own if known is not None and known.remote == run.id else run.id
        experiment = self._names.by_id(run.experiment_id)
        parent = self._to_local_parent(tags.get(PARENT_TAG))
        if parent is not None:
            tags[PARENT_TAG] = parent
        return replace(
            run,
            id=public,
            experiment_id=run.experiment_id if experiment is None else experiment.id,
            tags=tags,
            recorded_as=own if known is None and is_id(own) else "",
        )

    def _to_local_parent(self, remote: str | None) -> str | None:
        if remote is None or self.find_journal(remote) is not None:
            return remote
        return next((journal.id for journal in self._journals.values() if journal.remote == remote), remote)

    def _to_local_experiment(self, record: ExperimentRecord) -> ExperimentRecord:
        known = self._names.by_id(record.id)
        return record if known is None else replace(record, id=known.id)

    def _reach(self, ask: Callable[[], T]) -> T:
        """Return what the server answers; when it does not, start a pause in which it is not asked."""
        self._raise_while_away()
        try:
            answer = ask()
        except TrackingUnavailableError as error:
            self._prepare()
            write_text(self._away_file, error.message)
            moment = self._clock.now().timestamp()
            os.utime(self._away_file, (moment, moment))
            _logger.warning("tracking.unreachable uri=%s error=%s", self.uri, error.message)
            raise
        self._away_file.unlink(missing_ok=True)
        return answer

    def _raise_while_away(self) -> None:
        try:
            since = self._away_file.stat().st_mtime
            age = self._clock.now().timestamp() - since
            why = read_text(self._away_file, limit=SMALL)
        except FileNotFoundError:
            return
        if 0 <= age < PAUSE.total_seconds():
            raise TrackingUnavailableError(why, hint="`rollwright track sync` asks it again at once")

    @property
    def _away_file(self) -> Path:
        return self.folder / "away"

    def _path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.jsonl"

    def _prepare(self) -> None:
        about = self.folder / "server.json"
        if not about.exists():
            write_text(about, json.dumps({"format": 1, "uri": self.uri}) + "\n")


def _check_params(journal: Journal, item: Mapping[str, Any]) -> None:
    """Refuse now what the server would refuse later: a changed parameter."""
    held = journal.view().params
    for key, text in item.get("params", {}).items():
        if held.get(key, text) != text:
            raise RecordError(f"parameter {key!r} is {held[key]!r} already and never changes")
