"""The half of the PostgreSQL store that only looks, listens and rings."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from rollwright.errors import PoolError, TaskNotFoundError
from rollwright.pool.query import Query
from rollwright.pool.states import Status
from rollwright.pool.store import Bell, HistoryRow, PoolStat, TaskRecord, Waker
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.connection import Address, Connection, Link, run
from rollwright.pool.stores.postgres.query import where
from rollwright.pool.stores.postgres.session import Presence, channel_of, message_of, presence_of

__all__ = ["Asking", "plain"]

_logger = logging.getLogger("rollwright.pool")

_PAGE: Final = 500
_UNKEEPABLE: Final = re.compile("[\x00\ud800-\udfff]")


def plain(text: str | None) -> str | None:
    r"""Return a text as the server can keep it: NUL and lone surrogates are written as ``\x00`` and ``\ud800``."""
    if text is None or _UNKEEPABLE.search(text) is None:
        return text
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


class Asking:
    """The link to the server, and what is read over it."""

    def __init__(self, url: str, *, patience: float = 30.0, clock: Callable[[], float] | None = None) -> None:
        self._address = Address.of(url)
        self._link = Link(self._address, patience=patience)
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address.shown!r})"

    def _now(self) -> float | None:
        return self._clock() if self._clock is not None else None

    def _presence(self) -> Presence:
        return presence_of(self._address)

    def _rows(self, statement: str, /, **values: object) -> list[tuple[Any, ...]]:
        return self._link.ask(lambda connection: run(connection, statement, values))

    def get(self, pool: str, task_ids: Sequence[str]) -> list[TaskRecord]:
        """Return the tasks, in the order asked."""
        numbers = [int(item) for item in task_ids if item.isascii() and item.isdecimal() and len(item) < 19]
        found = {str(row[0]): _record(row) for row in self._rows(sql.GET, pool=plain(pool), ids=numbers)}
        for task_id in task_ids:
            if task_id not in found:
                raise TaskNotFoundError(f"pool `{pool}` has no task {task_id}")
        return [found[task_id] for task_id in task_ids]

    def find(self, pool: str, query: Query | None = None) -> Iterator[TaskRecord]:
        """Return the tasks that match, oldest first, read in pages."""
        condition, values = where(query)
        statement = sql.FIND.format(where=condition)
        last = 0
        while True:
            rows = self._rows(statement, pool=plain(pool), last=last, page=_PAGE, **values)
            yield from (_record(row) for row in rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    def count(self, pool: str, query: Query | None = None) -> dict[Status, int]:
        """Return how many tasks match, by state; without a query only indexes are read."""
        if query is None:
            return _by_status(self._rows(sql.TALLY, pool=plain(pool)))
        condition, values = where(query)
        return _by_status(self._rows(sql.COUNT.format(where=condition), pool=plain(pool), **values))

    def stat(self, pool: str) -> PoolStat:
        """Return how many tasks a pool has by state, and whether it is paused; one statement, so one moment."""
        rows = self._rows(sql.STAT, pool=plain(pool))
        paused = next(((row[2], row[3]) for row in rows if not row[0]), (None, None))
        counts = _by_status([row for row in rows if row[0]])
        return PoolStat(pool=pool, counts=counts, paused_at=paused[0], reason=paused[1])

    def list_pools(self) -> list[str]:
        """Return the names of all pools that have or had tasks, or are paused, sorted."""
        return [row[0] for row in self._rows(sql.POOLS)]

    def read_history(self, pool: str, task_ids: Sequence[str] | None = None) -> list[HistoryRow]:
        """Return the changes, oldest first."""
        if task_ids is None:
            rows = self._rows(sql.READ_HISTORY, pool=plain(pool))
        else:
            rows = self._rows(sql.READ_HISTORY_OF, pool=plain(pool), ids=[int(task_id) for task_id in task_ids])
        return [
            HistoryRow(
                task_id=str(row[0]),
                at=row[1],
                event=row[2],
                status=Status(row[3]),
                token=row[4],
                attempt=row[5],
                owner=row[6],
                detail=row[7],
            )
            for row in rows
        ]

    # -- bells -------------------------------------------------------------------------------------------------

    def waker(self, pool: str, *, bell: Bell = "work") -> Waker:
        """Return a new listener, woken by the server's NOTIFY.

        Raises
        ------
        StoreUnavailableError
            When the server cannot be listened to.
        """
        return self._presence().bells(self._address.schema).waker(pool, bell=bell)

    def ring(self, pool: str, *, bell: Bell = "work") -> None:
        """Wake all who listen, on whatever machine."""
        self._ring(sql.NOTIFY, pool, bell)

    def _ring(self, statement: str, pool: str, bell: Bell) -> None:
        try:
            self._rows(statement, pool=pool, **self._said(pool, bell))
        except PoolError as error:  # what was to be told is done, and who listens looks now and then anyway
            _logger.info("store.not_rung url=%s error=%s", self._address.shown, error.message)

    def _said(self, pool: str, bell: Bell) -> dict[str, object]:
        return {"channel": channel_of(self._address.schema), "message": message_of(pool, bell)}

    def _notify(self, connection: Connection, pools: set[str], bell: Bell) -> None:
        """Ring when the transaction of `connection` is committed."""
        for pool in sorted(pools):
            run(connection, sql.NOTIFY, self._said(pool, bell))


def _by_status(rows: list[tuple[Any, ...]]) -> dict[Status, int]:
    counts = dict.fromkeys(Status, 0)
    for row in rows:
        counts[Status(row[0])] += row[1]
    return counts


def _record(row: tuple[Any, ...]) -> TaskRecord:
    return TaskRecord(
        task_id=str(row[0]),
        pool=row[1],
        fingerprint=row[2],
        status=Status(row[3]),
        priority=row[4],
        token=row[5],
        attempts=row[6],
        max_attempts=row[7],
        canonical=row[8],
        created=row[9],
        owner=row[10],
        result=row[11],
        validity=row[12],
        error=row[13],
        lease_until=row[14],
        run_at=row[15],
        started=row[16],
        ended=row[17],
    )
