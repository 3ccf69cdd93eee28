"""The journal of one run: what was recorded, in order, and how much of it the tracking server has.

An append-only file of JSON lines. An operation is flushed to the disk before the call that records it returns; a note
follows when the server accepted it. A process killed while it appends leaves an incomplete line: every append begins
with a line break, so that it damages nothing that follows, and the call that wrote it never returned.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rollwright.core.atomic import make_folder, name_in_errors, sync_folder
from rollwright.core.bounded_read import MEDIUM, open_regular, read_rest
from rollwright.core.locks import try_file_lock
from rollwright.errors import RecordError
from rollwright.tracking.outbox.view import build_run
from rollwright.tracking.store import OPEN_STATUSES, MetricPoint, RunRecord, check_id

__all__ = ["Journal", "metric_from_json", "metric_to_json"]

_logger: Final = logging.getLogger("rollwright.tracking")


class Journal:
    """One run's journal; several processes and threads may append to it.

    Parameters
    ----------
    path : Path
        Its file, named by the run's id in this project.

    Attributes
    ----------
    operations : list of dict
        What was recorded, in the order of the file.
    sent : int
        How many of them the server accepted or refused.
    remote : str or None
        The run's id on the server; None until it is there.
    location : str
        Where the server stores the run's files.
    attempts : int
        How many times creating the run on the server was tried.
    refused : dict of int to (list of str or None)
        Operations the server refused: None for all of one, else which of its values.
    reasons : list of str
        Why, one line for each refusal.
    files : dict of str to str
        The SHA-256 of each file the server has.
    damaged : int
        Lines that cannot be read: incomplete after a killed process, or changed on the disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.operations: list[dict[str, Any]] = []
        self.sent = 0
        self.remote: str | None = None
        self.location = ""
        self.attempts = 0
        self.refused: dict[int, list[str] | None] = {}
        self.reasons: list[str] = []
        self.files: dict[str, str] = {}
        self.damaged = 0
        self._offset = 0
        self._mutex = threading.RLock()

    @property
    def id(self) -> str:
        """The run's id in this project."""
        return self.path.stem

    @property
    def waiting(self) -> int:
        """How many operations the server does not have."""
        return len(self.operations) - self.sent + (self.remote is None)

    def view(self) -> RunRecord:
        """Return the run as its operations make it."""
        with self._mutex:
            return build_run(self.id, self.operations, self.refused)

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self.view().status not in OPEN_STATUSES

    def add(self, *operations: Mapping[str, Any], sync: bool = True) -> int:
        """Append operations or notes, written when this returns, and return the index of the first operation.

        Parameters
        ----------
        sync : bool
            Flush to the disk. A lost note is recovered by asking the server again, so most notes are not flushed.
        """
        body = "".join(f"\n{json.dumps(item, ensure_ascii=False)}\n" for item in operations)
        with self._mutex:
            with name_in_errors(self.path):
                self._append(body.encode("utf-8"), sync=sync)
            return self._index_of(operations)

    def _append(self, body: bytes, *, sync: bool) -> None:
        make_folder(self.path.parent)
        new = not self.path.exists()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _write(handle, body)
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        if new:
            sync_folder(self.path.parent)

    def load(self) -> None:
        """Read what this or any other process appended since the last call."""
        with self._mutex:
            try:
                with open_regular(self.path) as file:
                    file.seek(self._offset)
                    body = read_rest(file, limit=MEDIUM)
            except FileNotFoundError:
                return
            whole = body[: body.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.split(b"\n"):
                if line:
                    self._read_line(line)

    @contextmanager
    def lock_for_sending(self) -> Iterator[bool]:
        """Lock this run for sending in the block; yield False when another thread or process holds the lock."""
        with try_file_lock(self.path) as free:
            self.load()
            yield free

    def rename_to(self, run_id: str) -> None:
        """Name the journal by the id that the server gave, before any other id was returned."""
        path = self.path.with_stem(run_id)
        self.path.rename(path)
        sync_folder(path.parent)
        self.path = path

    def _index_of(self, operations: tuple[Mapping[str, Any], ...]) -> int:
        """Return the index of the first of the operations, which were just appended."""
        before = len(self.operations)
        self.load()
        first = next((dict(item) for item in operations if "op" in item), None)
        if first is None:
            return before
        # Another process may have appended between; one of equal content is as good as ours.
        wanted = json.dumps(first)  # as text: NaN is equal to itself there
        return next(
            index for index in range(before, len(self.operations)) if json.dumps(self.operations[index]) == wanted
        )

    def _read_line(self, line: bytes) -> None:
        try:
            item = json.loads(line)
            if "op" in item:
                if "experiment" in item:  # a folder is named by it
                    check_id(item["experiment"], what="experiment")
                self.operations.append(item)
            else:
                self._read_note(item)
        except (ValueError, KeyError, TypeError, RecordError):
            self.damaged += 1
            _logger.warning("outbox.damaged file=%s", self.path)

    def _read_note(self, item: dict[str, Any]) -> None:
        note = item["note"]
        if note == "creating":
            self.attempts += 1
        elif note == "created":
            self.remote, self.location = check_id(item["run"], what="run"), str(item["location"])
        elif note == "sent":
            self.sent = max(self.sent, int(item["count"]))
        elif note == "refused":
            index, keys = int(item["operation"]), item["keys"]
            known = self.refused.get(index, [])
            self.refused[index] = None if keys is None or known is None else [*known, *keys]
            self.reasons.append(item["why"])
        elif note == "file":
            self.files[item["name"]] = item["sha256"]
        elif note == "no file":
            self.files.pop(item["name"], None)


def metric_to_json(item: MetricPoint) -> list[Any]:
    """Return a metric as JSON."""
    return [item.key, item.value, item.step, item.at.isoformat()]


def metric_from_json(value: list[Any]) -> MetricPoint:
    """Return the metric that `metric_to_json` was given."""
    key, number, step, at = value
    return MetricPoint(key=key, value=float(number), step=int(step), at=datetime.fromisoformat(at))


def _write(handle: int, body: bytes) -> None:
    """Write all of it with one call, which no other append can interleave, or fail."""
    done = os.write(handle, body)
    if done != len(body):  # a full disk: an incomplete line stays, and the caller gets the error
        raise OSError(28, f"only {done} of {len(body)} bytes could be written to the outbox")
