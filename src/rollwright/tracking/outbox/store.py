"""A tracking server that may be away: what is recorded is on this disk first, and the server has it when it can.

Reading asks the server, and this project's own copy when it is away. What this project cannot know alone (all runs of
an experiment, an experiment nobody here has seen) is an error then, never half an answer.
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
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import RecorderNotFoundError, RecordError, TrackingUnavailableError
from rollwright.tracking.outbox.fetching import fetch_files
from rollwright.tracking.outbox.journal import Journal, metric_to_json
from rollwright.tracking.outbox.names import Names
from rollwright.tracking.outbox.sending import ID_TAG, FileSender, Sender
from rollwright.tracking.outbox.view import base_of, created_of
from rollwright.tracking.store import (
    PARENT_TAG,
    ExperimentRecord,
    Metric,
    RunRecord,
    RunView,
    TrackingStore,
    TrackingTraits,
    check_batch,
)

__all__ = ["OutboxStore"]

_logger: Final = logging.getLogger("rollwright.tracking")
PAUSE: Final = timedelta(seconds=60)  # after a server did not answer, nobody of this project asks it for so long
T = TypeVar("T")


class OutboxStore:
    """A `TrackingStore` in front of another one that may be away.

    Parameters
    ----------
    inner : TrackingStore
        The server.
    folder : Path
        Where the outbox lies; made when something is recorded.
    artifacts : Path
        Folder of the runs' files here.
    uri : str
        What the server is called in messages and in ``rollwright track status``; without a password.
    files : FileSender, optional
        Brings the files of runs to the server; without it they stay here.
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
        self._names = Names(folder / "experiments.jsonl")
        self._journals: dict[str, Journal] = {}
        self._mutex = threading.RLock()
        self.sender = Sender(
            store=inner, files=files, names=self._names, artifacts=artifacts, journal_of=self.journal_of
        )

    @property
    def traits(self) -> TrackingTraits:
        """Those of the server, and durable in any case."""
        return replace(self.inner.traits, durable=True)

    def create_experiment(self, name: str) -> ExperimentRecord:
        """Return the experiment `name`; while the server is away, one that it will have."""
        try:
            return self._names.seen(self._reach(lambda: self.inner.create_experiment(name)))
        except TrackingUnavailableError:
            self._prepare()
            known = self._names.born(name)
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
            if known is None or known.gone:
                raise
            return [ExperimentRecord(id=known.id, name=known.name)]
        wanted = name is not None or experiment_id is not None
        return [self._names.seen(record) if wanted else self._named(record) for record in found]

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs; not while the server is away."""
        self.settle()
        remote = self._names.remote_id(experiment_id) or experiment_id
        self._reach(lambda: self.inner.delete_experiment(remote))
        self._names.forget(experiment_id)

    def create_run(
        self, experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
    ) -> RunRecord:
        """Add a run and return it; while the server is away its id is one of ours, and stays so."""
        self._prepare()
        journal = Journal(self._path(uuid.uuid4().hex))
        journal.add(created_of(experiment_id, name=name, status=status, start=start, tags=tags))
        try:
            with journal.sending():
                self._reach(lambda: self.sender.send(journal))
                assert journal.remote is not None  # noqa: S101 - sending it created it
                journal.renamed(journal.remote)
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
        """Change what is given; a run that ends takes its files to the server."""
        ended = end.isoformat() if end is not None else None
        self._record(run_id, {"op": "update", "status": status, "end": ended, "name": name})

    def log_batch(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Sequence[Metric] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write parameters, metrics and tags: all of them or, when one is refused, none."""
        check_batch(self.traits, params or {}, metrics, tags or {})
        points = [metric_to_json(item) for item in metrics]
        self._record(run_id, {"op": "log", "params": dict(params or {}), "metrics": points, "tags": dict(tags or {})})

    def delete_tags(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove tags; a tag that is not there is no error."""
        self._record(run_id, {"op": "untag", "keys": list(keys)})

    def get_run(self, run_id: str) -> RunRecord:
        """Return the run as the server has it, or as this project recorded it while the server is away."""
        journal = self.journal_of(run_id)
        if journal is None:
            return self._public(self._reach(lambda: self._found(run_id)))
        try:
            if self._sent(journal):
                remote = journal.remote or run_id
                return self._public(self._reach(lambda: self.inner.get_run(remote)))
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
        """Return the matching runs, those that waited here among them; not while the server is away."""
        self.settle()
        for journal in self.journals():
            self._sent(journal)
        ids = [self._names.remote_id(item) or item for item in experiment_ids]
        found = self._reach(lambda: self.inner.search_runs(ids, where=where, order_by=order_by, view=view, limit=limit))
        return [self._public(run) for run in found]

    def delete_run(self, run_id: str) -> None:
        """Delete a run; not while the server is away."""
        journal = self.journal_of(run_id)
        if journal is not None:
            self._sent(journal)
        remote = journal.remote if journal is not None and journal.remote is not None else run_id
        self._reach(lambda: self.inner.delete_run(remote))

    def close(self) -> None:
        """Close the connection to the server; the next call opens it again."""
        self.inner.close()

    def journals(self) -> list[Journal]:
        """Return the journals of this outbox, the oldest run first: a parent comes before its children."""
        with self._mutex:
            names = [path.stem for path in (self.folder / "runs").glob("*.jsonl")]
            found = [journal for name in names if (journal := self.journal_of(name)) is not None]
            return sorted(found, key=lambda journal: (journal.operations[0]["start"], journal.id))

    def journal_of(self, run_id: str) -> Journal | None:
        """Return the journal of a run, as it is now; None for a run this project did not record."""
        if not run_id.isalnum():
            return None
        with self._mutex:
            journal = self._journals.get(run_id) or Journal(self._path(run_id))
            journal.load()
            if not journal.operations:
                return None
            self._journals[run_id] = journal
            return journal

    def fetch_files(self, run: RunRecord) -> None:
        """Bring a run's files here, when the server has them and this project neither recorded nor fetched them.

        Raises
        ------
        CorruptArtifactError, TrackingUnavailableError
            As `outbox.fetching.fetch_files`.
        """
        files, journal = self.sender.files, self.journal_of(run.id)
        folder = self.sender.artifacts / run.experiment_id / run.id
        known = journal is not None and journal.operations[0]["op"] == "create"
        if files is None or known or folder.exists() or not files.takes(run.location):
            return
        self._reach(lambda: fetch_files(files, run.location, folder))

    def retry_now(self) -> None:
        """Ask the server again at the next call, however lately it did not answer."""
        self._mark.unlink(missing_ok=True)

    def settle(self) -> None:
        """Create on the server the experiments that were named while it was away."""
        for known in self._names.waiting():
            self._names.seen(self._reach(partial(self.inner.create_experiment, known.name)))

    def send_all(self, journal: Journal) -> bool:
        """Send what waits of a run, its files too, and tell whether it was ours to send.

        Raises
        ------
        TrackingUnavailableError
            When the server, or where it keeps files, does not answer.
        """
        with journal.sending() as mine:
            if mine:
                self._reach(lambda: self.sender.send(journal))
                self.sender.send_files(journal)
        return mine

    def _record(self, run_id: str, item: dict[str, Any]) -> None:
        """Write an operation down, then send it when the server is there."""
        journal = self.journal_of(run_id) or self._taken_up(run_id)
        if journal.remote is None or journal.waiting:
            _check_params(journal, item)
        place = journal.add(item)
        try:
            with journal.sending() as mine:
                if mine:
                    self._reach(lambda: self.sender.send(journal, whole=place))
        except TrackingUnavailableError:
            return
        if journal.refused.get(place, ()) is None:
            raise RecordError(journal.reasons[-1])

    def _taken_up(self, run_id: str) -> Journal:
        """Return a new journal for a run that the server has and nobody here recorded."""
        run = self._public(self._reach(lambda: self._found(run_id)))
        if run.deleted:
            raise RecordError(f"run {run.id} is deleted and cannot change")
        self._prepare()
        journal = Journal(self._path(run.id))
        created = {"note": "created", "run": self._remote_of(run_id), "location": run.location}
        journal.add(base_of(run), created, {"note": "sent", "count": 1})
        with self._mutex:
            self._journals[journal.id] = journal
        return journal

    def _remote_of(self, run_id: str) -> str:
        return self._found(run_id).id

    def _sent(self, journal: Journal) -> bool:
        """Send what waits of a run, and tell whether the server has everything."""
        if journal.waiting:
            try:
                with journal.sending() as mine:
                    if mine:
                        self._reach(lambda: self.sender.send(journal))
            except TrackingUnavailableError:
                raise
            except RecordError as error:  # the server will not have the run: whoever reads has our own copy
                _logger.warning("outbox.refused run=%s %s", journal.id, error.message)
        return not journal.waiting

    def _found(self, run_id: str) -> RunRecord:
        """Return a run of the server by its id there, or by the id another project of ours gave it."""
        try:
            return self.inner.get_run(run_id)
        except RecorderNotFoundError:
            found = self.sender.find(run_id) if run_id.isalnum() else []
            if not found:
                raise
            return found[0]

    def _public(self, run: RunRecord) -> RunRecord:
        """Return a run of the server as everybody here knows it."""
        own = run.tags.get(ID_TAG, "")
        tags = {key: text for key, text in run.tags.items() if key != ID_TAG}
        known = self.journal_of(own)
        public = own if known is not None and known.remote == run.id else run.id
        experiment = self._names.by_id(run.experiment_id)
        parent = self._public_parent(tags.get(PARENT_TAG))
        if parent is not None:
            tags[PARENT_TAG] = parent
        return replace(
            run, id=public, experiment_id=run.experiment_id if experiment is None else experiment.id, tags=tags
        )

    def _public_parent(self, remote: str | None) -> str | None:
        if remote is None or self.journal_of(remote) is not None:
            return remote
        return next((journal.id for journal in self._journals.values() if journal.remote == remote), remote)

    def _named(self, record: ExperimentRecord) -> ExperimentRecord:
        known = self._names.by_id(record.id)
        return record if known is None else replace(record, id=known.id)

    def _reach(self, ask: Callable[[], T]) -> T:
        """Return what the server answers, and ask it nothing for a while once it did not."""
        self._refuse_while_away()
        try:
            answer = ask()
        except TrackingUnavailableError as error:
            self._prepare()
            write_text(self._mark, error.message)
            moment = self._clock.now().timestamp()
            os.utime(self._mark, (moment, moment))
            _logger.warning("tracking.away uri=%s: what is recorded waits in the outbox: %s", self.uri, error.message)
            raise
        self._mark.unlink(missing_ok=True)
        return answer

    def _refuse_while_away(self) -> None:
        try:
            since = self._mark.stat().st_mtime
            age = self._clock.now().timestamp() - since
            why = self._mark.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        if 0 <= age < PAUSE.total_seconds():
            raise TrackingUnavailableError(why, hint="`rollwright track sync` asks it again at once")

    @property
    def _mark(self) -> Path:
        return self.folder / "away"

    def _path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.jsonl"

    def _prepare(self) -> None:
        about = self.folder / "server.json"
        if not about.exists():
            write_text(about, json.dumps({"format": 1, "uri": self.uri}) + "\n")


def _check_params(journal: Journal, item: Mapping[str, Any]) -> None:
    """Refuse now what the server would refuse later: a parameter that changes."""
    held = journal.view().params
    for key, text in item.get("params", {}).items():
        if held.get(key, text) != text:
            raise RecordError(f"parameter {key!r} is {held[key]!r} already and never changes")
