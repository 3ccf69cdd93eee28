"""History in MongoDB: written inside the task's document, moved out later, read from both."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, PyMongoError

from rollwright.pool.states import Status
from rollwright.pool.store import HistoryRow
from rollwright.pool.stores.mongo.connection import PLAIN, Document, MongoConnection
from rollwright.pool.stores.mongo.writes import GRAVE

__all__ = ["DuplicatesOnly", "MongoHistory", "rows_of"]

MAX_LOG: Final = 12
"""Changes that may stay in a task's document; whoever makes one more moves them out."""

_LOG: Final = {"pool": 1, "log": 1, "version": 1, "token": 1, "attempts": 1}
_BURIED_AT_ONCE: Final = 200
_logger = logging.getLogger("rollwright.pool")


def rows_of(document: Mapping[str, Any]) -> list[Document]:
    """Return the changes kept in a task's document, oldest first, each with its number ``n`` and nothing left open.

    ``version`` counts all changes, so the last entry has that number. What a claim could not know stands in the next
    change or, where there is none, in the document.
    """
    rows: list[Document] = []
    token, attempt = document["token"], document["attempts"]
    for back, entry in enumerate(reversed(document["log"])):
        known = "before" in entry
        rows.append(
            {
                "task": document["_id"],
                "pool": document["pool"].removeprefix(GRAVE),
                "n": document["version"] - back,
                "key": entry["key"],
                "at": entry["at"],
                "event": entry["event"],
                "status": entry["status"],
                "token": entry["token"] if known else token,
                "attempt": entry["attempt"] if known else attempt,
                "owner": entry["owner"],
                "detail": entry.get("detail"),
            }
        )
        if known:
            token, attempt = entry["before"]
    rows.reverse()
    return rows


class DuplicatesOnly:
    """A context that passes over rows that were there already, and over nothing else."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: object, _trace: object) -> bool:
        if not isinstance(error, BulkWriteError):
            return False
        details = error.details or {}
        codes = {item.get("code") for item in details.get("writeErrors", [])}
        return codes <= {11000} and not details.get("writeConcernErrors")


class MongoHistory:
    """Reading the history, and keeping the log in each document short."""

    def __init__(self, connection: MongoConnection) -> None:
        self._db = connection

    def read(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first: within a task in their order, between tasks by their times."""
        where: Document = {"pool": {"$in": [pool, f"{GRAVE}{pool}"]}}
        moved: Document = {"pool": pool}
        if task_ids is not None:
            numbers = [int(item) for item in task_ids if item.isascii() and item.isdecimal() and len(item) < 19]
            where["_id"] = moved["task"] = {"$in": numbers}
        found: dict[tuple[int, int], Document] = {}
        with self._db.translate():
            # Documents first: what is moved out meanwhile is then met twice, and never missed.
            for document in self._db.tasks.find(where, _LOG):
                found |= {(row["task"], row["n"]): row for row in rows_of(document)}
            for row in self._db.history.find(moved):
                found.setdefault((row["task"], row["n"]), row)
        return _in_order(found)

    def drain(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Move the logs of documents into the history.

        Idempotent: a row's id is its task and number, and an entry is taken out by its key, so that any number of
        clients may do it at once, and stop at any point.
        """
        rows = [row for document in documents for row in rows_of(document)]
        if rows:
            with DuplicatesOnly():
                self._db.history.insert_many(
                    [{"_id": f"{row['task']}:{row['n']}"} | row for row in rows], ordered=False
                )
        for document in documents:
            keys = [*{entry["key"] for entry in document["log"]}]
            self._db.tasks.update_one({"_id": document["_id"]}, {"$pull": {"log": {"key": {"$in": keys}}}})

    def keep_short(self, document: Mapping[str, Any]) -> None:
        """Move a log out that has become long; when that fails, the next change will do it."""
        if len(document["log"]) > MAX_LOG:
            try:
                self.drain([document])
            except PyMongoError as error:
                _logger.debug("history.not_moved task=%s error=%s", document["_id"], type(error).__name__)

    def sweep(self, pool: str) -> None:
        """Move the history of removed tasks out, and then the tasks themselves."""
        while documents := [*self._db.tasks.find({"pool": f"{GRAVE}{pool}"}, _LOG, limit=_BURIED_AT_ONCE)]:
            rows = [row for document in documents for row in rows_of(document)]
            if rows:
                with DuplicatesOnly():
                    self._db.history.insert_many(
                        [{"_id": f"{row['task']}:{row['n']}"} | row for row in rows], ordered=False
                    )
            self._db.tasks.delete_many({"_id": {"$in": [document["_id"] for document in documents]}})

    def find_change(self, where: Mapping[str, Any], key: ObjectId) -> Document | None:
        """Return the task when a change of that key was made to it, although no answer came.

        The question is itself a write: it sees the latest state, and is answered when a majority has it.
        """
        number = where["_id"]
        found = self._db.tasks.find_one_and_update(
            {"_id": number, "log.key": key},
            {"$set": {"asked": key}},
            projection=self._db.returned,
            return_document=ReturnDocument.AFTER,
        )
        if found is None and self._db.history.find_one({"task": number, "key": key}) is not None:
            return self._db.tasks.find_one({"_id": number}, PLAIN)
        return found


def _in_order(found: Mapping[tuple[int, int], Mapping[str, Any]]) -> list[HistoryRow]:
    """Return rows with times that never go back within a task, sorted by them."""
    latest: dict[int, float] = {}
    rows: list[tuple[float, int, int, HistoryRow]] = []
    for task, number in sorted(found):
        row = found[task, number]
        # Two clients' readings of the server's clock differ by a round trip; the order of the changes does not.
        at = latest[task] = max(row["at"], latest.get(task, row["at"]))
        rows.append(
            (
                at,
                task,
                number,
                HistoryRow(
                    task_id=str(task),
                    at=at,
                    event=row["event"],
                    status=Status(row["status"]),
                    token=row["token"],
                    attempt=row["attempt"],
                    owner=row["owner"],
                    detail=row["detail"],
                ),
            )
        )
    rows.sort(key=lambda item: item[:3])
    return [row for *_, row in rows]
