"""The ids of experiments: the one this project uses, and the one on a tracking server that may be unreachable.

An experiment that is first named while the server does not answer gets an id of this project's and keeps it here; the
server gives it another one later. The first line about a name decides, so that all processes agree.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rollwright.core.atomic import name_in_errors, sync_folder
from rollwright.core.bounded_read import MEDIUM, open_regular, read_rest
from rollwright.core.locks import file_lock
from rollwright.errors import RecordError
from rollwright.tracking.store import ExperimentRecord, check_id

__all__ = ["ExperimentNames", "KnownExperiment"]

_DELETED: Final = "gone"  # as the file spells it


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownExperiment:
    """An experiment as this project knows it; `remote` is its id on the server, None before it was created there."""

    id: str
    name: str
    remote: str | None
    deleted: bool = False


class ExperimentNames:
    """The experiments of one tracking server, in a file of JSON lines that only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, KnownExperiment] = {}
        self._offset = 0

    def by_name(self, name: str) -> KnownExperiment | None:
        """Return what is known of a name."""
        self._load()
        found = [item for item in self._known.values() if item.name == name and not item.deleted]
        return found[0] if found else None

    def by_id(self, experiment_id: str) -> KnownExperiment | None:
        """Return what is known of an id, ours or the server's."""
        self._load()
        return next((item for item in self._known.values() if experiment_id in {item.id, item.remote}), None)

    def remote_id(self, experiment_id: str) -> str | None:
        """Return the server's id; None for an experiment that is not there yet, and what was given if unknown."""
        known = self.by_id(experiment_id)
        return experiment_id if known is None else known.remote

    def waiting(self) -> list[KnownExperiment]:
        """Return the experiments that are not on the server yet."""
        self._load()
        return [item for item in self._known.values() if item.remote is None and not item.deleted]

    def create(self, name: str) -> KnownExperiment:
        """Return the experiment of that name, with a new id if this project knows none."""
        with self._lock():
            known = self.by_name(name)
            if known is None:
                known = KnownExperiment(id=f"x{secrets.token_hex(8)}", name=name, remote=None)
                self._append(known)
            return known

    def bind(self, record: ExperimentRecord) -> ExperimentRecord:
        """Record the server's id of an experiment, and return it under the id it has here."""
        known = self.by_id(record.id)
        if known is None or known.name != record.name:
            with self._lock():
                known = (
                    self.by_id(record.id)
                    or self._find_unbound(record)
                    or KnownExperiment(id=record.id, name=record.name, remote=record.id)
                )
                known = replace(known, name=record.name, remote=record.id)
                self._append(known)
        return replace(record, id=known.id)

    def rebind(self, experiment_id: str, remote: str) -> None:
        """Record another id on the server for an experiment, after the one it had was deleted there."""
        known = self.by_id(experiment_id)
        if known is not None:
            with self._lock():
                self._append(replace(known, remote=remote))

    def mark_deleted(self, experiment_id: str) -> None:
        """Record that an experiment was deleted."""
        known = self.by_id(experiment_id)
        if known is not None:
            with self._lock():
                self._append(replace(known, deleted=True))

    def _find_unbound(self, record: ExperimentRecord) -> KnownExperiment | None:
        found = self.by_name(record.name)
        return found if found is not None and found.remote is None else None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with file_lock(self._path):
            self._load()
            yield

    def _append(self, item: KnownExperiment) -> None:
        line = {"id": item.id, "name": item.name, "remote": item.remote, _DELETED: item.deleted}
        with name_in_errors(self._path), self._path.open("ab") as file:
            new = not file.tell()
            file.write(f"\n{json.dumps(line)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(self._path.parent)
        self._load()

    def _load(self) -> None:
        try:
            with open_regular(self._path) as file:
                file.seek(self._offset)
                body = read_rest(file, limit=MEDIUM)
        except FileNotFoundError:
            return
        whole = body[: body.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.split(b"\n"):
            try:
                item = _from_json(json.loads(line)) if line else None
            except (ValueError, TypeError, KeyError, RecordError):
                item = None  # an incomplete line of a killed process, whose caller never returned, or none of ours
            if item is not None:
                self._known[item.id] = item


def _from_json(line: Any) -> KnownExperiment:
    remote = None if line["remote"] is None else check_id(line["remote"], what="experiment")
    known = check_id(line["id"], what="experiment")
    return KnownExperiment(id=known, name=line["name"], remote=remote, deleted=line[_DELETED])
