"""Send a run's journal to the tracking server: in order, each operation once, however often it is interrupted.

An interrupted request is either harmless to repeat (parameters, metrics, tags, the status, a file) or its result can be
found: a run is created with a tag that names its journal, and searched for by it before it is created again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from rollwright.core.atomic import measure_file
from rollwright.errors import ExperimentNotFoundError, RecordError, TrackingUnavailableError
from rollwright.tracking.artifacts import MANIFEST as LOCAL_MANIFEST
from rollwright.tracking.artifacts import ArtifactRef, LocalArtifactStore
from rollwright.tracking.outbox.journal import Journal, metric_from_json
from rollwright.tracking.outbox.names import ExperimentNames
from rollwright.tracking.store import OPEN_STATUSES, PARENT_TAG, RunRecord, TrackingStore

__all__ = ["ID_TAG", "MANIFEST", "FileSender", "Sender"]

_logger: Final = logging.getLogger("rollwright.tracking")
ID_TAG: Final = "rollwright.outbox"
MANIFEST: Final = ".rollwright/artifacts.json"  # where the server stores the manifest


class FileSender(Protocol):
    """Uploads the files of runs to where a tracking server stores them, and downloads them."""

    def takes(self, location: str) -> bool:
        """Tell whether files can be sent to `location`: one that is a path of some machine takes none."""
        ...

    def put(self, location: str, name: str, path: Path) -> None:
        """Send a file; one of that name is replaced."""
        ...

    def remove(self, location: str, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def get(self, location: str, name: str, path: Path) -> bool:
        """Bring a file to `path`, and tell whether there is one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends journals to one tracking server.

    Attributes
    ----------
    store : TrackingStore
        The server.
    files : FileSender or None
        None where files stay where they are.
    names : ExperimentNames
    artifacts : Path
        Folder of the runs' files here.
    find_journal : callable
        Returns the journal of a local run id, None when there is none.
    """

    store: TrackingStore
    files: FileSender | None
    names: ExperimentNames
    artifacts: Path
    find_journal: Callable[[str], Journal | None]

    def send(self, journal: Journal, *, whole: int | None = None) -> None:
        """Send what the server does not have; the caller holds the journal's `lock_for_sending`.

        1. Create the run on the server, unless it is there.
        2. Send the operations in their order; before the one that ends the run, send its files.
        3. After each operation note that it was sent, so that an interrupted call goes on behind it.
        4. Delete what an earlier, interrupted attempt created twice.

        Parameters
        ----------
        whole : int, optional
            Index of the operation that is refused completely or not at all; of others each value is tried alone.

        Raises
        ------
        TrackingUnavailableError
            When the server does not answer; what it accepted is noted, the rest still waits.
        """
        if journal.remote is None:
            self._create(journal)
        while journal.sent < len(journal.operations):
            index = journal.sent
            item = journal.operations[index]
            if _ends_run(item):
                try:
                    self.send_files(journal)
                except TrackingUnavailableError as error:  # the status may arrive before the files
                    _logger.warning("outbox.files_wait run=%s error=%s", journal.id, error.message)
            self._apply(journal, index, item, split=index != whole)
            journal.add({"note": "sent", "count": index + 1}, sync=False)
        self.delete_duplicates(journal)

    def files_waiting(self, journal: Journal) -> int:
        """Return how many files have to be uploaded or removed on the server."""
        changed, removed, listed = self._find_unsent(journal)
        return len(changed) + len(removed) or int(listed is not None)

    def send_files(self, journal: Journal) -> None:
        """Upload the files the server does not have, and the manifest last."""
        if self.files is None or journal.remote is None:
            return
        changed, removed, listed = self._find_unsent(journal)
        local = self._files_of(journal)
        for ref in changed:
            with suppress(FileNotFoundError):  # replaced meanwhile; the next call finds its successor
                self.files.put(journal.location, ref.file, local.files / ref.file)
                journal.add({"note": "file", "name": ref.file, "sha256": ref.sha256}, sync=False)
        for name in removed:
            self.files.remove(journal.location, name)
            journal.add({"note": "no file", "name": name}, sync=False)
        if listed is not None:
            self.files.put(journal.location, MANIFEST, _manifest(local))
            journal.add({"note": "file", "name": MANIFEST, "sha256": listed}, sync=False)

    def _find_unsent(self, journal: Journal) -> tuple[list[ArtifactRef], list[str], str | None]:
        """Return the files to upload, the names of those to remove, and the SHA-256 of a manifest to upload."""
        local = self._files_of(journal)
        if self.files is None or (journal.location and not self.files.takes(journal.location)):
            return [], [], None
        if not _manifest(local).exists():
            return [], [], None
        digest = measure_file(_manifest(local)).sha256
        if journal.files.get(MANIFEST) == digest:
            return [], [], None
        refs = local.list()
        changed = [ref for ref in refs if journal.files.get(ref.file) != ref.sha256]
        removed = journal.files.keys() - {ref.file for ref in refs} - {MANIFEST}
        return changed, sorted(removed), digest

    def find(self, run_id: str, experiment_id: str | None = None) -> list[RunRecord]:
        """Return the server's runs that belong to journal `run_id`, by their ids; of one experiment, or of any."""
        experiments = [experiment_id] if experiment_id else [record.id for record in self.store.experiments()]
        found = self.store.search_runs(experiments, where=f"tags.`{ID_TAG}` = '{run_id}'")
        return sorted(found, key=lambda run: run.id)

    def _create(self, journal: Journal) -> None:
        experiment = self._experiment(journal.operations[0]["experiment"])
        found: list[RunRecord] = []
        if journal.attempts:  # an earlier request was interrupted: the run may be there
            found = self.find(journal.id, experiment)
        if not found:
            journal.add({"note": "creating"})
            found = [self._create_run(journal, experiment)]
        run = found[0]
        journal.add({"note": "created", "run": run.id, "location": run.location}, {"note": "sent", "count": 1})

    def delete_duplicates(self, journal: Journal) -> None:
        """Delete runs of this journal that an interrupted request created after it was repeated."""
        if journal.attempts > 1 and journal.remote is not None:
            first = journal.operations[0]["experiment"]
            for run in self.find(journal.id, self.names.remote_id(first)):
                if run.id != journal.remote:
                    self.store.delete_run(run.id)

    def _create_run(self, journal: Journal, experiment_id: str) -> RunRecord:
        first = journal.operations[0]
        make = partial(
            self.store.create_run,
            name=first["name"],
            status=first["status"],
            start=datetime.fromisoformat(first["start"]),
            tags=self._tags(first["tags"], journal),
        )
        try:
            return make(experiment_id)
        except ExperimentNotFoundError:  # deleted on the server meanwhile
            known = self.names.by_id(first["experiment"])
            if known is None:
                raise
            record = self.store.create_experiment(known.name)
            self.names.rebind(known.id, record.id)
            return make(record.id)

    def _experiment(self, experiment_id: str) -> str:
        remote = self.names.remote_id(experiment_id)
        if remote is not None:
            return remote
        known = self.names.by_id(experiment_id)
        assert known is not None  # noqa: S101 - it has no id on the server, so it is one of ours
        record = self.store.create_experiment(known.name)
        self.names.bind(record)
        return record.id

    def _tags(self, tags: Mapping[str, str], journal: Journal) -> dict[str, str]:
        """Return the tags as the server stores them, with the parent's id on the server."""
        sent_tags = {**tags, ID_TAG: journal.id}
        parent = self.find_journal(sent_tags.get(PARENT_TAG, ""))
        if parent is not None and parent.remote is not None:
            sent_tags[PARENT_TAG] = parent.remote
        return sent_tags

    def _apply(self, journal: Journal, index: int, item: Mapping[str, Any], *, split: bool) -> None:
        assert journal.remote is not None  # noqa: S101 - `send` created it
        try:
            self._ask(journal.remote, item)
        except TrackingUnavailableError:
            raise
        except RecordError as error:
            values = list(_split_values(item)) if split and item["op"] == "log" else []
            if len(values) < 2:
                _refuse(journal, index, None, error)
                return
            for key, value in values:
                try:
                    self._ask(journal.remote, value)
                except TrackingUnavailableError:
                    raise
                except RecordError as single:
                    _refuse(journal, index, key, single)

    def _ask(self, run_id: str, item: Mapping[str, Any]) -> None:
        if item["op"] == "update":
            end = datetime.fromisoformat(item["end"]) if item["end"] else None
            self.store.update_run(run_id, status=item["status"], end=end, name=item["name"])
        elif item["op"] == "untag":
            self.store.delete_tags(run_id, item["keys"])
        else:
            metrics = [metric_from_json(value) for value in item["metrics"]]
            self.store.log_batch(run_id, params=item["params"], metrics=metrics, tags=item["tags"])

    def _files_of(self, journal: Journal) -> LocalArtifactStore:
        return LocalArtifactStore(self.artifacts / journal.operations[0]["experiment"] / journal.id)


def _manifest(local: LocalArtifactStore) -> Path:
    return local.folder / LOCAL_MANIFEST


def _ends_run(item: Mapping[str, Any]) -> bool:
    return item["op"] == "update" and item["status"] is not None and item["status"] not in OPEN_STATUSES


def _split_values(item: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    empty: dict[str, Any] = {"op": "log", "params": {}, "metrics": [], "tags": {}}
    for kind in ("params", "tags"):
        for key, text in item[kind].items():
            yield f"{kind}.{key}", {**empty, kind: {key: text}}
    for value in item["metrics"]:
        yield f"metrics.{value[0]}", {**empty, "metrics": [value]}


def _refuse(journal: Journal, index: int, key: str | None, error: RecordError) -> None:
    keys = None if key is None else [key]
    why = f"{key or journal.operations[index]['op']}: {error.message}"
    journal.add({"note": "refused", "operation": index, "keys": keys, "why": why})
    _logger.warning("outbox.refused run=%s reason=%s", journal.id, why)
