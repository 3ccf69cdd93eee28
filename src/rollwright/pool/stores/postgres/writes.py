"""The half of the PostgreSQL store that puts tasks in and changes them by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rollwright.core.optional import require
from rollwright.errors import IllegalTransitionError, PoolError
from rollwright.pool.notifier import bells_for
from rollwright.pool.query import Query
from rollwright.pool.states import OPEN_STATES, Status, amend_sources
from rollwright.pool.store import Amendment, HistoryRow, MovedTask, NewTask, PutResult, check_movable, check_pool_name
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.connection import Connection, run
from rollwright.pool.stores.postgres.query import where
from rollwright.pool.stores.postgres.reads import Asking, plain

if TYPE_CHECKING:
    from psycopg import errors
else:
    errors = require("psycopg.errors", extra="postgres")

__all__ = ["Changing"]

_PUT_CHUNK: Final = 10_000
_AMONG: Final = " AND id = ANY(%(among)s::bigint[])"


class Changing(Asking):
    """Putting, restoring, amending, removing, pausing."""

    # -- putting -----------------------------------------------------------------------------------------------

    def put(self, pool: str, tasks: Sequence[NewTask]) -> PutResult:
        """Add the tasks the pool does not have yet; one statement for each 10,000.

        `created` leaves out tasks whose making was answered by a broken connection.
        """
        check_pool_name(pool)
        ids: list[str] = []
        created = 0
        for start in range(0, len(tasks), _PUT_CHUNK):
            chunk = tasks[start : start + _PUT_CHUNK]
            unique: dict[bytes, NewTask] = {}
            for task in chunk:
                unique.setdefault(bytes.fromhex(task.fingerprint), task)
            known, new = self._put(pool, unique)
            ids += [str(known[bytes.fromhex(task.fingerprint)]) for task in chunk]
            created += new
        return PutResult(ids=tuple(ids), created=created)

    def _put(self, pool: str, tasks: dict[bytes, NewTask]) -> tuple[dict[bytes, int], int]:
        values = {
            "now": self._now(),
            "pool": pool,
            "fingerprint": [*tasks],
            "priority": [task.priority for task in tasks.values()],
            "max_attempts": [task.max_attempts for task in tasks.values()],
            "delay": [float(task.delay) for task in tasks.values()],
            "definition": [task.canonical for task in tasks.values()],
            **self._said(pool, "work"),
        }
        known: dict[bytes, int] = {}
        created = 0
        while len(known) < len(tasks):  # somebody may put, or remove, the same ones at this moment
            rows = self._link.ask(lambda connection: run(connection, sql.PUT, values))
            created += sum(row[2] for row in rows if row[0] is not None)
            known |= {bytes(row[0]): row[1] for row in rows if row[0] is not None}
            if len(known) < len(tasks):
                known |= {bytes(row[0]): row[1] for row in self._link.ask(lambda c: run(c, sql.IDS_OF, values))}
        return known, created

    def restore(self, pool: str, tasks: Sequence[MovedTask]) -> PutResult:
        """Take over tasks of another store, as they stood there, with their history."""
        check_pool_name(pool)
        check_movable(tasks)

        def work(connection: Connection) -> PutResult:
            restored = [self._restore(connection, pool, task) for task in tasks]
            if any(new for _, new in restored):
                run(connection, sql.ENTER, {"pool": pool})
            for bell in bells_for([task.record.status for task in tasks]):
                self._notify(connection, {pool}, bell)
            return PutResult(ids=tuple(str(number) for number, _ in restored), created=sum(new for _, new in restored))

        return self._link.change(work)

    def _restore(self, connection: Connection, pool: str, task: MovedTask) -> tuple[int, bool]:
        record = task.record
        values = {
            "pool": pool,
            "fingerprint": bytes.fromhex(record.fingerprint),
            "status": record.status.value,
            "priority": record.priority,
            "token": record.token,
            "attempts": record.attempts,
            "max_attempts": record.max_attempts,
            "owner": plain(record.owner),
            "run_at": record.run_at,
            "created": record.created,
            "started": record.started,
            "ended": record.ended,
            "definition": record.canonical,
            "result": record.result,
            "validity": record.validity,
            "error": plain(record.error),
        }
        rows = run(connection, sql.RESTORE, values)
        if not rows:
            found = run(connection, sql.IDS_OF, {"pool": pool, "fingerprint": [values["fingerprint"]]})
            return found[0][1], False
        number = rows[0][0]
        moved = HistoryRow(
            task_id=record.task_id,
            at=math.nan,  # now, by the server's clock
            event="moved",
            status=record.status,
            token=record.token,
            attempt=record.attempts,
            owner=record.owner,
        )
        for row in (*task.history, moved):
            self._log(connection, pool, number, row)
        return number, True

    def _log(self, connection: Connection, pool: str, number: int, row: HistoryRow) -> None:
        values = {
            "now": None,
            "task": number,
            "pool": pool,
            "at": self._now() if math.isnan(row.at) else row.at,
            "event": row.event,
            "status": row.status.value,
            "token": row.token,
            "attempt": row.attempt,
            "owner": plain(row.owner),
            "detail": plain(row.detail),
        }
        run(connection, sql.HISTORY, values)

    # -- by hand -----------------------------------------------------------------------------------------------

    def amend(self, pool: str, query: Query | None, amendment: Amendment) -> list[str]:
        """Change tasks by hand."""
        sources = sorted(source.value for source in amend_sources(amendment.status)) if amendment.status else []
        condition, given = where(query)
        values = {**given, "pool": plain(pool), "now": self._now(), "sources": sources}

        def work(connection: Connection) -> set[int]:
            # The last of them may change whether the query matches, so the state comes last.
            text, changed = condition, set[int]()
            if amendment.replacement is not None:
                values["among"] = among = self._replace(connection, amendment.replacement, text, values)
                text, changed = _AMONG, changed | {*among}
            if amendment.priority is not None:
                rows = run(connection, sql.PRIORITISE.format(where=text), {**values, "priority": amendment.priority})
                values["among"] = among = [row[0] for row in rows]
                text, changed = _AMONG, changed | {*among}
            if amendment.status is not None:
                changed |= self._put_into(connection, pool, amendment.status, amendment.error, text, values)
            return changed

        return [str(number) for number in sorted(self._link.change(work))]

    def _put_into(
        self, connection: Connection, pool: str, status: Status, error: str | None, text: str, values: dict[str, Any]
    ) -> set[int]:
        more = {Status.WAITING: sql.FORGET, Status.PART_DONE: sql.REOPEN}.get(status, sql.EXPLAIN)
        text += " AND status = ANY(%(sources)s::text[])"
        text += " AND result IS NOT NULL" if status is Status.PART_DONE else ""
        terms = {"status": status.value, "terminal": status not in OPEN_STATES, "error": plain(error)}
        changed = {row[0] for row in run(connection, sql.AMEND.format(more=more, where=text), {**values, **terms})}
        for bell in bells_for([status]) if changed else []:
            self._notify(connection, {pool}, bell)
        return changed

    def _replace(self, connection: Connection, new: NewTask, text: str, values: dict[str, Any]) -> list[int]:
        held = run(connection, sql.RUNNING_MATCH.format(where=text), values)
        if held:
            raise IllegalTransitionError(f"task {held[0][0]} is running; its definition stays")
        terms = {"definition": new.canonical, "fingerprint": bytes.fromhex(new.fingerprint)}
        try:
            return [row[0] for row in run(connection, sql.REPLACE.format(where=text), {**values, **terms})]
        except errors.UniqueViolation as error:
            raise PoolError("another task of the pool has that definition already") from error

    def delete(self, pool: str, query: Query | None, *, running: bool = False) -> int:
        """Remove tasks that match; their history stays."""
        condition, given = where(query)
        condition += "" if running else " AND status <> 'running'"
        values = {**given, "pool": plain(pool), "now": self._now()}

        def work(connection: Connection) -> int:
            removed = len(run(connection, sql.DELETE.format(where=condition), values))
            if removed:
                self._notify(connection, {pool}, "end")
            return removed

        return self._link.change(work)

    def pause(self, pool: str, *, reason: str | None = None) -> bool:
        """Let nobody take tasks of `pool` until `resume`."""
        check_pool_name(pool)
        values = {"pool": pool, "reason": plain(reason), "now": self._now()}
        return self._link.change(lambda connection: bool(run(connection, sql.PAUSE, values)))

    def resume(self, pool: str) -> bool:
        """Let tasks be taken again."""

        def work(connection: Connection) -> bool:
            paused = bool(run(connection, sql.RESUME, {"pool": plain(pool)}))
            if paused:
                self._notify(connection, {pool}, "work")
            return paused

        return self._link.change(work)
