"""Connections to a PostgreSQL server: URLs, retries, and what became of a COMMIT nobody answered."""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from rollwright.core.clock import Clock, SystemClock
from rollwright.core.masking import mask_secrets
from rollwright.core.optional import require
from rollwright.core.posix import call_in_forked_child
from rollwright.errors import ConfigError, PoolError, SchemaVersionError, StoreUnavailableError
from rollwright.pool.stores.postgres import schema
from rollwright.pool.stores.postgres import statements as sql

if TYPE_CHECKING:
    import psycopg
    from psycopg import conninfo

    Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
else:
    psycopg = require("psycopg", extra="postgres")
    conninfo = require("psycopg.conninfo", extra="postgres")
    Connection = psycopg.Connection

__all__ = ["Address", "Connection", "ConnectionLostError", "Connections", "close_connection", "is_away", "is_lost",
           "run"]  # fmt: skip

_logger = logging.getLogger("rollwright.pool")

Result = TypeVar("Result")

_OLDEST_SERVER: Final = 140000
_SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_MIGRATION_LOCK: Final = (0x726F6C6C, 0x77726967)
_DEADLOCK_RETRIES: Final = 20
_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 0.5
_FIRST_CONTACT: Final = 5.0
"""Seconds in which a server that was never reached may come up; who waits longer for it tries again by itself."""

_REFUSALS: Final = ("authentication", "does not exist", "pg_hba.conf", "not permitted")
_UNRESOLVED: Final = ("failed to resolve host", "could not translate host name")
_SETTINGS: Final[Mapping[str, str]] = {
    # What a method returned is kept, whatever the server's default says.
    "synchronous_commit": "on",
    # Plans do not depend on how long ago the table was analysed: those few indexes are always the way to the rows.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "timezone": "UTC",
    "default_transaction_isolation": "read\\ committed",
}


class ConnectionLostError(Exception):
    """The connection broke and what was asked for was not done; for this package alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a pool lies: a database, and a schema in it.

    Attributes
    ----------
    shown : str
        The URL without its secrets, for people.
    parameters : mapping of str to str
        libpq's names and values, the password among them: never shown.
    """

    shown: str
    parameters: Mapping[str, str]
    schema: str

    def __repr__(self) -> str:
        return f"Address({self.shown!r}, schema={self.schema!r})"

    @property
    def server(self) -> tuple[tuple[str, str], ...]:
        """The parameters as a key: equal for two pools of one database."""
        return tuple(sorted(self.parameters.items()))

    @classmethod
    def of(cls, url: str) -> Address:
        """Return the address a URL names; ``?schema=`` chooses another schema than ``rollwright``.

        Raises
        ------
        ConfigError
            When it is no URL that libpq understands.
        """
        shown = mask_secrets(url)
        head, mark, query = url.partition("?")
        pairs = [pair for pair in query.split("&") if pair]
        chosen = [pair.partition("=")[2] for pair in pairs if pair.startswith("schema=")]
        rest = "&".join(pair for pair in pairs if not pair.startswith("schema="))
        name = chosen[-1] if chosen else "rollwright"
        if _SCHEMA_NAME.fullmatch(name) is None or name.startswith("pg_"):
            raise ConfigError(
                f"{name!r} cannot name the schema of a pool ({shown})",
                hint="use at most 41 lower-case letters, digits and underscores, not beginning with pg_",
            )
        head = head.replace("postgres://", "postgresql://", 1) if head.startswith("postgres://") else head
        try:
            found = conninfo.conninfo_to_dict(f"{head}{mark if rest else ''}{rest}")
        except psycopg.Error:  # its text may quote the password
            found = None
        if found is None:
            raise ConfigError(
                f"`{shown}` is no URL of a PostgreSQL database",
                hint="write postgresql://user:password@host:5432/database; percent-encode a password",
            )
        parameters = {key: str(value) for key, value in found.items()}
        return cls(shown=shown, parameters=parameters, schema=name)

    def scrub(self, text: str) -> str:
        """Return a text of the driver without the password."""
        password = self.parameters.get("password")
        return text.replace(password, "***") if password else text

    def connect(self) -> Connection:
        """Return a new connection, in autocommit.

        Raises
        ------
        psycopg.OperationalError
        """
        settings = {**_SETTINGS, "search_path": self.schema}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        terms: dict[str, Any] = {
            "connect_timeout": "10",
            "application_name": "rollwright",
            "keepalives_idle": "30",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            **self.parameters,
        }
        terms["options"] = f"{terms.get('options', '')} {options}".strip()
        connection = psycopg.connect(**terms, autocommit=True)
        with _Open.mutex:
            _Open.connections[id(connection)] = connection
            if not _Open.registered:
                call_in_forked_child(_forget_in_child)
                _Open.registered = True
        return connection


class _Open:
    """The connections of this process."""

    mutex: Final = threading.Lock()
    connections: Final[dict[int, Connection]] = {}
    inherited: Final[list[Connection]] = []
    registered: bool = False


def close_connection(connection: Connection) -> None:
    """Close a connection."""
    with _Open.mutex:
        _Open.connections.pop(id(connection), None)
    connection.close()


def _forget_in_child() -> None:
    # A forked child must neither end its parent's sessions, which closing would do, nor keep them alive after it.
    nothing = os.open(os.devnull, os.O_RDWR)
    for connection in _Open.connections.values():
        if not connection.closed:
            os.dup2(nothing, connection.fileno())
        _Open.inherited.append(connection)
    os.close(nothing)
    _Open.connections.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """Which session of the server a connection is."""

    pid: int
    started: str


def is_lost(error: Exception, connection: Connection | None = None) -> bool:
    """Tell whether an error is about the connection and not about what was asked."""
    if connection is not None and (connection.closed or connection.broken):
        return True
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    state = getattr(error, "sqlstate", None)
    return state is None or state.startswith("08") or state in ("57P01", "57P02", "57P03", "25P03")


def is_away(error: Exception) -> bool:
    """Tell whether an error says that nothing answers at an address that can be found, and nothing was refused."""
    text = str(error)
    return is_lost(error) and not any(word in text for word in (*_REFUSALS, *_UNRESOLVED))


class Connections:
    """The connections of one process to one address, shared by its threads, which wait for a server that restarts.

    Parameters
    ----------
    address : Address
    patience : float
        Seconds to go on trying; at most five while no connection was made yet. An address that cannot be resolved, and
        whatever the server itself refuses, is an error at once.
    connections : int
        The most to have open; threads wait for one another beyond.
    """

    def __init__(self, address: Address, *, patience: float, connections: int = 8, clock: Clock | None = None) -> None:
        self.address = address
        self._patience = patience
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._mutex = threading.Lock()
        self._connections = connections
        self._room = threading.BoundedSemaphore(connections)
        self._idle: list[Connection] = []
        self._identities: dict[int, _Identity] = {}
        self._ever = False
        self._pid = os.getpid()

    # -- connections -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close what is idle; they open anew when it is used again."""
        with self._mutex:
            idle, self._idle = self._idle, []
        for connection in idle:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._identities.pop(id(connection), None)
        close_connection(connection)

    @contextmanager
    def _borrow(self) -> Iterator[Connection]:
        if self._pid != os.getpid():  # forked: what is open is the parent's
            self._mutex, self._room = threading.Lock(), threading.BoundedSemaphore(self._connections)
            self._idle, self._identities, self._pid = [], {}, os.getpid()
        with self._room:
            with self._mutex:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._open()
            try:
                yield connection
            finally:
                if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    self._drop(connection)
                else:
                    with self._mutex:
                        self._idle.append(connection)

    def _open(self) -> Connection:
        connection = self.address.connect()
        try:
            self._check_server(connection)
        except BaseException:
            close_connection(connection)
            raise
        self._ever = True
        return connection

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
            raise StoreUnavailableError(
                f"{shown} is answered by a connection pooler, which gives each transaction another session",
                hint="give the address of PostgreSQL itself: workers show by a lock of their session that they live",
            )
        (row,) = rows
        if row[2]:
            raise StoreUnavailableError(f"{shown} is a standby, which cannot be written", hint="name the primary")
        if row[3] != "UTF8":
            raise StoreUnavailableError(f"{shown} is encoded in {row[3]}", hint="make a database WITH ENCODING 'UTF8'")
        self._identities[id(connection)] = _Identity(pid=row[0], started=row[1])
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
        # Locked before the transaction begins: it would not see what was made while it waited.
        connection.execute("SELECT pg_advisory_lock(%s, %s)", _MIGRATION_LOCK)
        try:
            with connection.transaction():
                self._upgrade(connection)
        finally:
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock(%s, %s)", _MIGRATION_LOCK)

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
            with connection.transaction():
                result = work(connection)
                if receipt:
                    run(connection, sql.RECEIPT, {"number": number, "now": None})
                kept.append(result)
            return result

        def attempt() -> Result:
            kept.clear()
            try:
                return self._once(whole)
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
        return self._retry(lambda: self._once(work), again=False)

    def _once(self, work: Callable[[Connection], Result]) -> Result:
        identity: _Identity | None = None
        lost: Exception | None = None
        with self._borrow() as connection:
            identity = self._identities.get(id(connection))
            try:
                return work(connection)
            except (psycopg.Error, OSError) as error:
                if not is_lost(error, connection):
                    raise
                close_connection(connection)
                lost = error
        self.close()  # the others are as old as this one
        if identity is not None:
            self._retry(lambda: self._end_session(identity))
        raise ConnectionLostError(str(lost)) from lost

    def _end_session(self, identity: _Identity) -> None:
        """Wait until the server has ended a session we lost: until then it may still commit."""
        values = {"pid": identity.pid, "started": identity.started}
        source = "FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start::text = %(started)s"
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
        return self._patience if self._ever else min(self._patience, _FIRST_CONTACT)

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


@lru_cache(maxsize=512)
def _encoded(statement: str) -> bytes:
    return statement.encode()


def run(
    connection: Connection, statement: str, values: Mapping[str, object] | None = None, *, hot: bool = False
) -> list[tuple[Any, ...]]:
    """Run a statement of ours and return its rows; a `hot` one is prepared at once."""
    cursor = connection.execute(_encoded(statement), values, prepare=True if hot else None)
    result = cursor.pgresult  # `description` would describe each column, at some expense
    return cursor.fetchall() if result is not None and result.status == psycopg.pq.ExecStatus.TUPLES_OK else []


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
