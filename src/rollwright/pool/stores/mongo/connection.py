"""The MongoDB database behind a pool: connecting, versions, the server's clock, errors, notifications."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import pymongo
from pymongo import ASCENDING, DESCENDING, MongoClient, ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern

from rollwright.core.clock import Clock, SystemClock
from rollwright.core.masking import mask_secrets
from rollwright.errors import ConfigError, PoolError, SchemaVersionError, StoreUnavailableError
from rollwright.pool.notifier import PollingWaker
from rollwright.pool.store import Topic, Waker

__all__ = ["AMBIGUOUS", "PLAIN", "RETRIES", "SCHEMA_VERSION", "Document", "MongoConnection", "ServerClock", "too_large"]

Document: TypeAlias = dict[str, Any]

SCHEMA_VERSION: Final = 2
DEFAULT_DATABASE: Final = "rollwright"

AMBIGUOUS: Final = (ConnectionFailure, WTimeoutError, ExecutionTimeout)
"""Errors after which nobody knows whether the server did what it was asked."""

PLAIN: Final = {"def_nodes": 0, "res_nodes": 0, "validity_nodes": 0}
"""A task without what is only for queries."""

RETRIES: Final = (0.05, 0.2, 0.8)
"""Seconds to wait before each repetition."""

_NOT_IMPLEMENTED: Final = 238
_SAMPLE_EVERY: Final = 15.0
_FIRST_CONTACT: Final = 5.0
_FIRST_POLL: Final = 0.01
_LONGEST_POLL: Final = 0.4
# What the resolver of names says, in numbers below 0, and on macOS.
_UNRESOLVED: Final = re.compile(r"\[Errno -\d+\]|nodename nor servname")
_logger = logging.getLogger("rollwright.pool")


class ServerClock:
    """The server's wall time, asked for now and then and carried on by a steady clock between.

    Guarantees: never ahead of the server, and behind it by no more than one round trip, however wrong this machine's
    own wall clock is.
    """

    def __init__(self, ask: Callable[[], float], *, steady: Callable[[], float]) -> None:
        self._ask = ask
        self._steady = steady
        self._mutex = threading.Lock()
        self._base = 0.0
        self._taken: float | None = None

    def __call__(self) -> float:
        """Return seconds since 1970 UTC."""
        with self._mutex:
            moment = self._steady()
            if self._taken is None or moment - self._taken > _SAMPLE_EVERY:
                # The server answered before this moment: its clock is at least here now, and nothing comes early.
                self._base = self._ask()
                self._taken = moment = self._steady()
            return self._base + (moment - self._taken)

    def forget(self) -> None:
        """Ask again at the next call: another server may answer now."""
        with self._mutex:
            self._taken = None


class MongoConnection:
    """The database, its client, and what every call needs: retries, the server's clock, errors of the pool."""

    def __init__(
        self,
        url: str,
        *,
        database: str | None = None,
        clock: Callable[[], float] | None = None,
        timeout: float = 20.0,
        waiting: Clock | None = None,
    ) -> None:
        self._url = url
        self._name = database
        self._timeout = timeout
        self.waiting: Clock = waiting if waiting is not None else SystemClock()
        self._given_clock = clock
        self.clock = clock if clock is not None else ServerClock(self._ask_time, steady=self.waiting.monotonic)
        self._mutex = threading.RLock()
        self._client: MongoClient[Document] | None = None
        self._database: Database[Document] | None = None
        self._pid = 0
        self._random = random.Random()  # noqa: S311 - when to look is no secret
        self.registered: dict[str, frozenset[str]] = {}
        """The pools that are known to the server, each with the needs that its claims look for."""
        # What a changed task comes back as; None for servers that only return whole documents.
        self.returned: Mapping[str, Any] | None = PLAIN

    @property
    def shown(self) -> str:
        """The URL without its secrets, for people."""
        return mask_secrets(self._url)

    def __repr__(self) -> str:
        return f"MongoConnection({self.shown!r})"

    # -- connecting --------------------------------------------------------------------------------------------

    @property
    def database(self) -> Database[Document]:
        """The database, connected at the first use: majority reads and majority, journalled writes on the primary."""
        with self._mutex:
            if self._database is None or self._pid != os.getpid():  # a client is not to be used across a fork
                self._database = self._connect()
                self._pid = os.getpid()
            return self._database

    def connected(self) -> Database[Document]:
        """Return the database; the errors of the driver come as the pool's."""
        with self.translate():
            return self.database

    def _connect(self) -> Database[Document]:
        milliseconds = int(self._timeout * 1000)
        defaults: Document = {
            "appname": "rollwright",
            "serverSelectionTimeoutMS": milliseconds,
            "connectTimeoutMS": min(milliseconds, 10_000),
            "socketTimeoutMS": milliseconds,
        }
        given = self._url.partition("?")[2].lower()
        options = {key: value for key, value in defaults.items() if f"{key.lower()}=" not in given}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # the driver only warns of options it does not know
                client: MongoClient[Document] = MongoClient(self._url, tz_aware=True, **options)
            name = self._name or client.get_default_database(DEFAULT_DATABASE).name
        except (InvalidURI, ConfigurationError, ValueError, TypeError, UserWarning):
            # The driver's words quote the URL, password and all.
            raise ConfigError(
                f"`{mask_secrets(self._url)}` is no URL of MongoDB that the driver understands",
                hint="write mongodb://user:password@host:27017/database, with the user and password percent-encoded",
            ) from None
        self._client = client
        database = client.get_database(
            name,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True),
        )
        try:
            self._check_server(database)
            self.check_version(database)
        except BaseException:
            client.close()
            self._client = None
            raise
        return database

    def close(self) -> None:
        """Close the connections; they are made anew when the store is used again."""
        with self._mutex:
            if self._client is not None and self._pid == os.getpid():
                self._client.close()
            self._client = self._database = None
            self.registered.clear()
            if isinstance(self.clock, ServerClock):
                self.clock.forget()

    @property
    def tasks(self) -> Collection[Document]:
        """The tasks, each with its latest history."""
        return self.database["rollwright_tasks"]

    @property
    def latest(self) -> Collection[Document]:
        """The tasks as the primary has them this moment: to prepare a write, whose filter then decides."""
        return self.tasks.with_options(read_concern=ReadConcern("local"))

    @property
    def history(self) -> Collection[Document]:
        """The history that was moved out of the tasks."""
        return self.database["rollwright_history"]

    @property
    def pools(self) -> Collection[Document]:
        """The pools: their names, whether they are paused, and their notifications."""
        return self.database["rollwright_pools"]

    def _ask_time(self) -> float:
        admin = self.database.client.admin
        try:
            reply = admin.command("hello")
        except OperationFailure as error:
            if error.code != 59:  # an older server has it under another name
                raise
            reply = admin.command("isMaster")
        return float(reply["localTime"].timestamp())

    def _check_server(self, database: Database[Document]) -> None:
        """Refuse FerretDB 1: it finds nothing where values inside tasks are asked for, and changes in two steps."""
        # A wrong address fails soon; a server once found may be unreachable for longer.
        with pymongo.timeout(min(self._timeout, _FIRST_CONTACT)):
            version = str(database.client.admin.command("buildInfo").get("ferretdbVersion", ""))
        if version.startswith("v1."):
            raise StoreUnavailableError(
                f"{mask_secrets(self._url)} is FerretDB {version}, which answers queries about tasks wrongly",
                hint="use MongoDB, or a PostgreSQL pool: postgresql://",
            )

    # -- versions ----------------------------------------------------------------------------------------------

    def check_version(self, database: Database[Document]) -> None:
        """Bring `database` to this version's schema; refuse a later one."""
        meta = database["rollwright_meta"]
        found = meta.find_one({"_id": "schema"})
        if found is None:
            self._initialise(database)
            found = meta.find_one({"_id": "schema"}) or {"version": SCHEMA_VERSION}
        if found["version"] < SCHEMA_VERSION:
            self._upgrade(database)
        if found["version"] > SCHEMA_VERSION:
            raise SchemaVersionError(
                f"database `{database.name}` of {mask_secrets(self._url)} has schema {found['version']}, and this "
                f"rollwright knows up to {SCHEMA_VERSION}",
                hint="update rollwright, or use another database",
            )

    def _initialise(self, database: Database[Document]) -> None:
        """Make indexes first and the version last: whoever sees the version finds the indexes. Repeating is safe."""
        tasks = database["rollwright_tasks"]
        tasks.create_index([("pool", ASCENDING), ("fingerprint", ASCENDING)], name="identity", unique=True)
        _open_index(tasks)
        _partial_index(tasks, [("due", ASCENDING)], "due", {"due": {"$exists": True}})
        _partial_index(tasks, [("owner", ASCENDING)], "held", {"status": "running"})
        tasks.create_index([("pool", ASCENDING), ("status", ASCENDING)], name="tally")
        tasks.create_index([("pool", ASCENDING), ("_id", ASCENDING)], name="age")
        history = database["rollwright_history"]
        history.create_index([("pool", ASCENDING), ("task", ASCENDING), ("n", ASCENDING)], name="changes")
        meta = database["rollwright_meta"]
        for document in ({"_id": "task", "last": 0}, {"_id": "schema", "version": SCHEMA_VERSION}):
            with suppress(DuplicateKeyError):  # another client was first
                meta.insert_one(document)

    def _upgrade(self, database: Database[Document]) -> None:
        """Bring schema 1 to 2: tasks have needs, and an index by them. Repeating it is safe."""
        tasks = database["rollwright_tasks"]
        tasks.update_many({"needs": {"$exists": False}}, {"$set": {"needs": ""}})
        _open_index(tasks)
        with suppress(OperationFailure):  # it is gone already
            tasks.drop_index("ready")
        outdated = {"_id": "schema", "version": {"$lt": SCHEMA_VERSION}}
        database["rollwright_meta"].update_one(outdated, {"$set": {"version": SCHEMA_VERSION}})

    def allocate(self, count: int) -> int:
        """Take `count` new ids, one after another, and return the first.

        One document counts for all clients, and ids are taken at the put itself, never ahead: a put that began after
        another had returned gets greater ones.
        """
        meta = self.database["rollwright_meta"]
        found = self.retry(
            lambda: meta.find_one_and_update(
                {"_id": "task"}, {"$inc": {"last": count}}, return_document=pymongo.ReturnDocument.AFTER
            )
        )
        if found is None:
            raise StoreUnavailableError(
                f"database `{self.database.name}` has lost its counter of tasks",
                hint="restore the collection rollwright_meta from a backup",
            )
        return int(found["last"]) - count + 1

    # -- calls -------------------------------------------------------------------------------------------------

    def retry(self, call: Callable[[], Any]) -> Any:
        """Return the answer of a call that may be repeated, asking a few times while connections fail."""
        for pause in (*RETRIES, None):
            try:
                return call()
            except AMBIGUOUS as error:
                self.pause_after(error, pause)
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def pause_after(self, error: PyMongoError, pause: float | None) -> None:
        """Wait before the next try, or raise when there is none or no server can be found at all."""
        if isinstance(self.clock, ServerClock):
            self.clock.forget()
        if pause is None or isinstance(error, ServerSelectionTimeoutError):
            raise error
        _logger.info("store.retry url=%s error=%s", self.shown, type(error).__name__)
        self.waiting.sleep(pause)

    @contextmanager
    def translate(self) -> Iterator[None]:
        """Raise the driver's errors in the block as the pool's."""
        try:
            yield
        except DocumentTooLarge as error:
            raise too_large() from error
        except PyMongoError as error:
            words = _words(error, self._url)
            # A driver's error that quotes the password is not shown as the cause either.
            cause = None if "***" in words else error
            raise StoreUnavailableError(
                f"{mask_secrets(self._url)}: {words}", hint=_hint(error), may_return=_is_away(error)
            ) from cause

    # -- notifications -------------------------------------------------------------------------------------------------

    def waker(self, pool: str, *, topic: Topic = "work") -> Waker:
        """Return a new listener, which polls more and more seldom, about twice a second in the end."""
        longest = _LONGEST_POLL * self._random.uniform(0.8, 1.2)  # so that workers started together do not poll at once
        return PollingWaker(lambda: self._count_notified(pool, topic), first=_FIRST_POLL, longest=longest)

    def notify(self, pool: str, *, topic: Topic = "work") -> None:
        """Wake all who listen."""
        # A lost notification costs a poll later, so nobody waits for a majority.
        try:
            pools = self.pools.with_options(write_concern=WriteConcern(w=1))
            pools.update_one({"_id": pool}, {"$inc": {topic: 1}})
        except PyMongoError as error:
            _logger.debug("store.notify_lost url=%s error=%s", self.shown, type(error).__name__)

    def _count_notified(self, pool: str, topic: Topic) -> Hashable:
        # Read from the server that took the notification, not from a majority of them.
        with self.translate():
            pools = self.pools.with_options(read_concern=ReadConcern("local"))
            found = pools.find_one({"_id": pool}, {topic: 1}) or {}
        return int(found.get(topic, 0))


def too_large() -> PoolError:
    """Return the error for what does not fit into one document."""
    return PoolError(
        "MongoDB takes documents of 16 MiB; this task with all its values, or this query, has more",
        hint="keep long lists in a file and name it in the task; ask for fewer values at once",
    )


def _open_index(tasks: Collection[Document]) -> None:
    """Make the index of the tasks that can be claimed.

    A million finished ones do not slow a claim down, nor do those whose needs a worker does not meet.
    """
    keys = [
        ("pool", ASCENDING),
        ("status", ASCENDING),
        ("needs", ASCENDING),
        ("priority", DESCENDING),
        ("_id", ASCENDING),
    ]
    _partial_index(tasks, keys, "open", {"ready": True})


def _partial_index(tasks: Collection[Document], keys: list[tuple[str, int]], name: str, part: Document) -> None:
    try:
        tasks.create_index(keys, name=name, partialFilterExpression=part)
    except OperationFailure as error:
        if error.code != _NOT_IMPLEMENTED:
            raise
        tasks.create_index(keys, name=name)  # some servers of the same protocol have none: slower, the same answers


def _words(error: PyMongoError, url: str) -> str:
    """Return what the driver says, shortened, without the password of `url`."""
    text = str(error)
    for noise in (", full error:", ", Timeout:", " (configured timeouts:"):
        text = text.partition(noise)[0]
    login = url.partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    for secret in {password, unquote(password)} - {""}:
        text = text.replace(secret, "***")
    return text[:500]


def _is_away(error: PyMongoError) -> bool:
    """Tell whether nothing answers at an address that can be found."""
    return isinstance(error, ConnectionFailure) and _UNRESOLVED.search(str(error)) is None


def _hint(error: PyMongoError) -> str:
    code = error.code if isinstance(error, OperationFailure) else None
    if code in (13, 18):
        return "check the user, the password and the user's rights on the database (readWrite)"
    if isinstance(error, ConnectionFailure):
        return "look whether the server runs and can be reached from here; the tasks in it are as they were"
    return "look into the server's log"
