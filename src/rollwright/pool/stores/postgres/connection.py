"""Connections to a PostgreSQL server: retries, and what became of a COMMIT nobody answered."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from rollwright.core.clock import Clock, SystemClock
from rollwright.core.optional import require
from rollwright.errors import ConfigError, PoolError, SchemaVersionError, StoreUnavailableError
from rollwright.pool.stores.postgres import schema
from rollwright.pool.stores.postgres import statements as sql
from rollwright.pool.stores.postgres.address import Address, Connection, is_away, is_lost, run
from rollwright.pool.stores.postgres.process_pool import CONNECTIONS, ProcessPool, pool_of

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", extra="postgres")

__all__ = ["Address", "Connection", "ConnectionLostError", "Connections", "run"]

_logger = logging.getLogger("rollwright.pool")

Result = TypeVar("Result")

_OLDEST_SERVER: Final = 140000
_MIGRATION_LOCK: Final = "1919904876, 2004511079"
_DEADLOCK_RETRIES: Final = 20
_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 0.5
_FIRST_CONTACT: Final = 5.0
"""Seconds in which a server that was never reached may come up; who waits longer for it tries again by itself."""

_NO_OPTIONS: Final = "unsupported startup parameter"
"""What PgBouncer says of a session that wants settings as it starts."""

_TRACE: Final = "SELECT pg_backend_pid(), pg_current_xact_id()::text"


class ConnectionLostError(Exception):
    """The connection broke and what was asked for was not done; for this package alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """Which session of the server works for a connection, or, through a pooler, for a transaction.

    Attributes
    ----------
    condition : str
        Which row of ``pg_stat_activity`` it is.
    """

    condition: str
    pid: int
    mark: str


_SESSION: Final = "backend_start::text = %(mark)s"
_TRANSACTION: Final = "backend_xid = %(mark)s::xid8::xid"


class Connections:
    """The connections of a store to its address, which wait for a server that restarts.

    They are shared with the other stores of the process that have the same address, and with its threads.

    Through a connection pooler, which gives each transaction another session of the server, everything is done in
    transactions that bring their settings with them, and no statement is prepared.

    Parameters
    ----------
    address : Address
    patience : float
        Seconds to go on trying; at most five while no connection was made yet. An address that cannot be resolved, and
        whatever the server itself refuses, is an error at once.
    connections : int
        The most to have open; threads wait for one another beyond. What the first store of a process says holds.
    """

    def __init__(
        self, address: Address, *, patience: float, connections: int = CONNECTIONS, clock: Clock | None = None
    ) -> None:
        self.address = address
        self._patience = patience
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._connections = connections

    # -- connections -------------------------------------------------------------------------------------------

    @property
    def _shared(self) -> ProcessPool:
        return pool_of(self.address, most=self._connections)

    def is_pooled(self) -> bool:
        """Tell whether a connection pooler answers at the address.

        Raises
        ------
        StoreUnavailableError
            When nothing answers.
        """
        if self._shared.is_pooled is None:
            self.read(lambda _: None)
        return bool(self._shared.is_pooled)

    def close(self) -> None:
        """Close what is idle, unless another store uses it; they open anew when it is used again."""
        self._shared.leave(self)

    def _borrow(self) -> AbstractContextManager[Connection]:
        return self._shared.borrow(self, self._open)

    def _open(self) -> Connection:
        connection = self._connect()
        try:
            self._check_server(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> Connection:
        if not self._shared.is_pooled:
            try:
                return self.address.connect()
            except psycopg.OperationalError as error:
                if _NO_OPTIONS not in str(error):
                    raise
            self._note_pooler()
        connection = self.address.connect(options=False)
        connection.prepare_threshold = None
        return connection

    def _note_pooler(self) -> None:
        if not self._shared.is_pooled:
            self._shared.is_pooled = True
            _logger.info("store.pooled url=%s", self.address.shown)

    def _check_server(self, connection: Connection) -> None:
        """Refuse what cannot hold a pool, and bring the schema up to date."""
        shown = self.address.shown
        if connection.info.server_version < _OLDEST_SERVER:
            raise StoreUnavailableError(
                f"{shown} is PostgreSQL {connection.info.server_version // 10000}; 14 is needed"
            )
        rows = run(
            connection,
            """SELECT pid, backend_start::text, pg_is_in_recovery(), current_setting('server_encoding'),
            to_regclass(%(table)s) IS NOT NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()""",
            {"table": f"{self.address.schema}.version"},
        )
        if not rows or rows[0][0] != connection.info.backend_pid:
            self._note_pooler()
            connection.prepare_threshold = None
        elif self._shared.is_pooled is None:
            self._shared.is_pooled = False
        row = rows[0]
        if row[2]:
            raise StoreUnavailableError(f"{shown} is a standby, which cannot be written", hint="name the primary")
        if row[3] != "UTF8":
            raise StoreUnavailableError(f"{shown} is encoded in {row[3]}", hint="make a database WITH ENCODING 'UTF8'")
        self._shared.started[connection] = row[1]
        if not row[4] or self._version(connection) != schema.SCHEMA_VERSION:
            self._migrate(connection)

    def _version(self, connection: Connection) -> int:
        ((version,),) = run(connection, f"SELECT version FROM {self.address.schema}.version")  # noqa: S608 - checked
        if version > schema.SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{self.address.shown} has schema {version}, and this rollwright knows up to {schema.SCHEMA_VERSION}",
                hint="update rollwright, or use another pool",
            )
        return int(version)

    def _migrate(self, connection: Connection) -> None:
        with self._begin(connection) if self._shared.is_pooled else connection.transaction():
            run(connection, f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            self._upgrade(connection)

    def _upgrade(self, connection: Connection) -> None:
        name = self.address.schema
        ((ours, filled),) = run(
            connection,
            """SELECT bool_or(relname = 'version') IS TRUE, count(*) > 0 FROM pg_class
            JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %(name)s""",
            {"name": name},
        )
        if filled and not ours:
            raise StoreUnavailableError(
                f"schema {name} of {self.address.shown} is another program's",
                hint="choose another one for the pool: ?schema=NAME at the end of the URL",
            )
        version = self._version(connection) if ours else 0  # anew: somebody may have been faster
        if not ours:
            run(connection, f"CREATE SCHEMA IF NOT EXISTS {name}")
        for statements in schema.MIGRATIONS[version:]:
            for statement in statements:
                run(connection, statement)
        connection.execute("UPDATE version SET version = %s", (schema.SCHEMA_VERSION,))

    # -- reading and writing -----------------------------------------------------------------------------------

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work`, which is a single statement or only reads, and again when the connection breaks.

        Raises
        ------
        StoreUnavailableError
        """
        return self._retry(lambda: self._once(work))

    def write(self, work: Callable[[Connection], Result], *, receipt: bool = True) -> Result:
        """Run `work` in a transaction of its own.

        Guarantees: when the connection breaks at COMMIT it is found out whether the change was kept, and `work` runs
        again only when it was not. Without a `receipt` it runs again in either case: for what changes nothing twice.
        """
        number = secrets.randbits(63)

        def whole(connection: Connection) -> Result:
            with nullcontext() if self._shared.is_pooled else connection.transaction():
                result = work(connection)
                if receipt:
                    run(connection, sql.RECEIPT, {"number": number, "now": None})
                kept.append(result)
            return result

        def attempt() -> Result:
            kept.clear()
            try:
                return self._once(whole, traced=True)
            except ConnectionLostError:
                if receipt and kept and self._has_receipt(number):
                    return kept[0]
                raise

        kept: list[Result] = []
        return self._retry(attempt)

    def _has_receipt(self, number: int) -> bool:
        return bool(self.read(lambda connection: run(connection, sql.HAS_RECEIPT, {"number": number})))

    def run_once(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` once.

        Raises
        ------
        ConnectionLostError
            When the connection broke; the server has ended the session, and what it asked for was kept or was not.
        StoreUnavailableError
        """
        return self._retry(lambda: self._once(work, traced=True), again=False)

    def _once(self, work: Callable[[Connection], Result], *, traced: bool = False) -> Result:
        """Run `work` once; when the connection breaks, end what the server may still do for it.

        Through a pooler only what is `traced` is ended; the rest may be done again beside itself.
        """
        trace: list[_Trace] = []
        lost: Exception | None = None
        with self._borrow() as connection:
            started = self._shared.started.get(connection)
            try:
                if self._shared.is_pooled:
                    with self._begin(connection, trace if traced else None):
                        return work(connection)
                if started is not None:
                    trace.append(_Trace(condition=_SESSION, pid=connection.info.backend_pid, mark=started))
                return work(connection)
            except (psycopg.Error, OSError) as error:
                if not is_lost(error, connection):
                    raise
                connection.close()  # the others are as old as this one, and go with it
                lost = error
        for one in trace:
            self._retry(lambda one=one: self._end(one))  # type: ignore[misc]  # mypy cannot infer a default's type
        raise ConnectionLostError(str(lost)) from lost

    @contextmanager
    def _begin(self, connection: Connection, trace: list[_Trace] | None = None) -> Iterator[None]:
        """Run the block in a transaction with our settings, and note in `trace` where."""
        traced = [] if trace is None else [_TRACE]
        cursor = connection.execute("; ".join([self.address.begin(), *traced]).encode())
        if trace is not None:
            cursor.set_result(-1)
            for pid, number in cursor:
                trace.append(_Trace(condition=_TRANSACTION, pid=pid, mark=number))
        try:
            yield
        except BaseException:
            with suppress(psycopg.Error):  # what went wrong before is told
                connection.rollback()
            raise
        connection.commit()

    def _end(self, trace: _Trace) -> None:
        """Wait until the server has ended what worked for a connection we lost: until then it may still commit."""
        values = {"pid": trace.pid, "mark": trace.mark}
        source = f"FROM pg_stat_activity WHERE pid = %(pid)s AND {trace.condition}"
        with self._borrow() as connection:
            run(connection, f"SELECT pg_terminate_backend(pid, 5000) {source}", values)
            if run(connection, f"SELECT 1 {source}", values):
                raise psycopg.OperationalError("the server has not ended the session that was lost")

    # -- retries and errors ------------------------------------------------------------------------------------

    def _retry(self, attempt: Callable[[], Result], *, again: bool = True) -> Result:
        """Run `attempt` until the server answers; what was lost on the way is only run once more if `again`."""
        start, wait, deadlocks = self._clock.monotonic(), _FIRST_WAIT, 0
        while True:
            try:
                return attempt()
            except (psycopg.Error, ConnectionLostError) as error:
                if isinstance(error, ConnectionLostError) and not again:
                    raise
                if isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
                    deadlocks += 1
                    if deadlocks > _DEADLOCK_RETRIES:
                        raise self._translate(error) from error
                elif self._clock.monotonic() - start >= self._patience_for(error):
                    raise self._translate(error) from error
                _logger.info("store.retry url=%s error=%s", self.address.shown, self._text(error))
            self._clock.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _patience_for(self, error: Exception) -> float:
        """Return how many seconds to go on trying after an error; 0 when trying again cannot help."""
        if isinstance(error, ConnectionLostError):
            return self._patience
        text = str(error)
        if any(words in text for words in ("starting up", "shutting down", "in recovery mode", "too many clients")):
            return self._patience
        if getattr(error, "sqlstate", None) == "53300":  # too many connections
            return self._patience
        if not is_away(error):
            return 0.0
        return self._patience if self._shared.is_pooled is not None else min(self._patience, _FIRST_CONTACT)

    def _text(self, error: Exception) -> str:
        return self.address.scrub(" ".join(str(error).split()))

    def _translate(self, error: Exception) -> PoolError | ConfigError:
        if isinstance(error, psycopg.DataError):
            return ConfigError(f"a value cannot be kept by {self.address.shown}: {self._text(error)}")
        return StoreUnavailableError(
            f"the pool {self.address.shown} failed: {self._text(error)}",
            hint=_hint(str(error)),
            may_return=self._patience_for(error) > 0 or is_away(error),
        )


def _hint(text: str) -> str | None:
    if "authentication" in text or "pg_hba" in text:
        return "check user and password; the password may also stand in ~/.pgpass"
    if "does not exist" in text:
        return "make the database first (createdb), or name another one"
    if "permission denied" in text:
        return "let the user create a schema in the database, or make the schema for it"
    if "No space" in text or "disk full" in text:
        return "free some space on the server; nothing of the last change was kept, and everything before it is"
    if "refused" in text or "timeout" in text or "translate host" in text:
        return "start the server, or check host and port"
    return None
