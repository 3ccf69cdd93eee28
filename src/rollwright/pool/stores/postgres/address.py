"""Addresses of a PostgreSQL pool, and the connections of this process to them."""

from __future__ import annotations

import logging
import os
import re
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rollwright.core.masking import mask_secrets
from rollwright.core.optional import require
from rollwright.core.posix import call_in_forked_child
from rollwright.errors import ConfigError

if TYPE_CHECKING:
    import psycopg
    from psycopg import conninfo

    Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
else:
    psycopg = require("psycopg", extra="postgres")
    conninfo = require("psycopg.conninfo", extra="postgres")
    Connection = psycopg.Connection

__all__ = ["Address", "Connection", "is_away", "is_lost", "run"]

_logger = logging.getLogger("rollwright.pool")

_SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_REFUSALS: Final = ("authentication", "does not exist", "pg_hba.conf", "not permitted")
_UNRESOLVED: Final = ("failed to resolve host", "could not translate host name")
_ISOLATION: Final = "default_transaction_isolation"
_SETTINGS: Final[Mapping[str, str]] = {
    # What a method returned is kept, whatever the server's default says.
    "synchronous_commit": "on",
    # Plans do not depend on how long ago the table was analysed: those few indexes are always the way to the rows.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "timezone": "UTC",
    _ISOLATION: "read\\ committed",
    # What a host that froze or is gone in the middle of a transaction has locked is free again after a while.
    "idle_in_transaction_session_timeout": "30000",
}


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

    def connect(self, *, options: bool = True) -> Connection:
        """Return a new connection, in autocommit.

        Parameters
        ----------
        options : bool
            Whether the session is given our settings as it starts, which PgBouncer refuses; `settings` says what a
            transaction is to set for itself then.

        Raises
        ------
        psycopg.OperationalError
        """
        several = "," in self.parameters.get("host", "")
        terms: dict[str, Any] = {
            "connect_timeout": "3" if several else "10",  # the next one may answer
            "application_name": "rollwright",
            "keepalives_idle": "30",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            # Without it, who sends to a host that is gone without a word waits for a quarter of an hour.
            "tcp_user_timeout": "10000",
            # A standby among several hosts is passed over, not taken for the store.
            **({"target_session_attrs": "read-write"} if several else {}),
            **self.parameters,
        }
        if options:
            ours = " ".join(f"-c {name}={value}" for name, value in {**_SETTINGS, **self._place()}.items())
            terms["options"] = f"{terms.get('options', '')} {ours}".strip()
        connection = psycopg.connect(**terms, autocommit=True)
        with _Open.mutex:
            _Open.connections.add(connection)
            if not _Open.registered:
                call_in_forked_child(_forget_in_child)
                _Open.registered = True
        return connection

    def begin(self) -> str:
        """Return what begins a transaction that has our settings, on a session that was not given them."""
        ours = {name: value for name, value in {**_SETTINGS, **self._place()}.items() if name != _ISOLATION}
        return "; ".join(
            ["BEGIN ISOLATION LEVEL READ COMMITTED", *(f"SET LOCAL {name} = {value}" for name, value in ours.items())]
        )

    def _place(self) -> Mapping[str, str]:
        return {"search_path": self.schema}  # a checked name


class _Open:
    """The connections of this process."""

    mutex = threading.Lock()
    connections: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()
    inherited: Final[list[object]] = []
    registered: bool = False


def _forget_in_child() -> None:
    # A forked child must neither end its parent's sessions, which closing would do, nor keep them alive after it.
    _Open.mutex = threading.Lock()
    nothing = os.open(os.devnull, os.O_RDWR)
    for connection in [*_Open.connections]:
        if not connection.closed:
            os.dup2(nothing, connection.fileno())
        _Open.inherited.append(connection)
    os.close(nothing)
    _Open.connections.clear()


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
