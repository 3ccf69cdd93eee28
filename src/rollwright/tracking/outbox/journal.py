"""The journal of one run: what was recorded, in order, and how much of it the tracking server has.

One file of JSON lines that only ever grows. An operation is on the disk before anybody hears that it was recorded; a
note about it follows when the server took it. A process killed while it appends leaves a line without an end: every
append begins on a line of its own, so that such a rest spoils nothing after it, and nobody was told it was there.
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

from rollwright.core.atomic import sync_folder
from rollwright.core.locks import try_file_lock
from rollwright.tracking.outbox.view import view_of
from rollwright.tracking.store import OPEN_STATUSES, Metric, RunRecord

__all__ = ["Journal", "metric_from_json", "metric_to_json"]

_logger: Final = logging.getLogger("rollwright.tracking")


class Journal:
    """One run's journal; several processes and threads may append to it.

    Parameters
    ----------
    path : Path
        Its file, named by the run's id here.

    Attributes
    ----------
    operations : list of dict
        What was recorded, in the order of the file.
    sent : int
        How many of them the server has taken or refused for good.
    remote : str or None
        The run's id on the server; None until it is there.
    location : str
        Where the server keeps the run's files.
    attempts : int
        How often the run was to be created there.
    refused : dict of int to (list of str or None)
        Operations the server refused: None for all of one, else which of its values.
    reasons : list of str
        Why, one line for each refusal.
    files : dict of str to str
        The SHA-256 of each file the server has.
    damaged : int
        Lines that say nothing: what a killed process left, or a disk changed.
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
        """The run's id as everybody here knows it."""
        return self.path.stem

    @property
    def waiting(self) -> int:
        """How many operations the server does not have."""
        return len(self.operations) - self.sent + (self.remote is None)

    def view(self) -> RunRecord:
        """Return the run as its operations make it."""
        with self._mutex:
            return view_of(self.id, self.operations, self.refused)

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self.view().status not in OPEN_STATUSES

    def add(self, *operations: Mapping[str, Any], sync: bool = True) -> int:
        """Append operations or notes, on the disk when this returns, and return the place of the first operation.

        Parameters
        ----------
        sync : bool
            Flush to the disk. A note that is lost is found out by asking the server again, so most go without.
        """
        body = "".join(f"\n{json.dumps(item, ensure_ascii=False)}\n" for item in operations)
        with self._mutex:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
            try:
                _write(handle, body.encode("utf-8"))
                if sync:
                    os.fsync(handle)
            finally:
                os.close(handle)
            if new:
                sync_folder(self.path.parent)
            return self._place_of(operations)

    def load(self) -> None:
        """Read what was appended since the last time, by whomever."""
        with self._mutex:
            try:
                with self.path.open("rb") as file:
                    file.seek(self._offset)
                    body = file.read()
            except FileNotFoundError:
                return
            whole = body[: body.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.split(b"\n"):
                if line:
                    self._take(line)

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Be the one who sends this run in the block; yield False when somebody else is."""
        with try_file_lock(self.path) as free:
            self.load()
            yield free

    def renamed(self, run_id: str) -> None:
        """Name the journal by the id that the server gave, before anybody was told another."""
        path = self.path.with_stem(run_id)
        self.path.rename(path)
        sync_folder(path.parent)
        self.path = path

    def _place_of(self, operations: tuple[Mapping[str, Any], ...]) -> int:
        """Return where the first of the operations, which were just appended, stands among all."""
        before = len(self.operations)
        self.load()
        first = next((dict(item) for item in operations if "op" in item), None)
        if first is None:
            return before
        # Another process may have appended between; one of equal content is as good as ours.
        wanted = json.dumps(first)  # as text: NaN is equal to itself there
        return next(
            place for place in range(before, len(self.operations)) if json.dumps(self.operations[place]) == wanted
        )

    def _take(self, line: bytes) -> None:
        try:
            item = json.loads(line)
            if "op" in item:
                self.operations.append(item)
            else:
                self._note(item)
        except (ValueError, KeyError, TypeError):
            self.damaged += 1
            _logger.warning("outbox.damaged file=%s: a line was not written whole", self.path)

    def _note(self, item: dict[str, Any]) -> None:
        note = item["note"]
        if note == "creating":
            self.attempts += 1
        elif note == "created":
            self.remote, self.location = item["run"], item["location"]
        elif note == "sent":
            self.sent = max(self.sent, int(item["count"]))
        elif note == "refused":
            place, keys = int(item["operation"]), item["keys"]
            known = self.refused.get(place, [])
            self.refused[place] = None if keys is None or known is None else [*known, *keys]
            self.reasons.append(item["why"])
        elif note == "file":
            self.files[item["name"]] = item["sha256"]
        elif note == "no file":
            self.files.pop(item["name"], None)


def metric_to_json(item: Metric) -> list[Any]:
    """Return a metric as JSON."""
    return [item.key, item.value, item.step, item.at.isoformat()]


def metric_from_json(value: list[Any]) -> Metric:
    """Return the metric that `metric_to_json` was given."""
    key, number, step, at = value
    return Metric(key=key, value=float(number), step=int(step), at=datetime.fromisoformat(at))


def _write(handle: int, body: bytes) -> None:
    """Write all of it in one go, which no other append can split, or fail."""
    done = os.write(handle, body)
    if done != len(body):  # a full disk: the rest is a line without an end, and nobody is told it was recorded
        raise OSError(28, f"only {done} of {len(body)} bytes could be written to the outbox")
