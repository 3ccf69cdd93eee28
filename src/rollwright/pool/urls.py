"""Stores by URL: ``sqlite:///pool.db``, ``postgresql://host/database``, ``mongodb://host/database``, ``memory:``."""

from __future__ import annotations

import atexit
import threading
from typing import Any, Final

from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.masking import mask_secrets
from rollwright.core.optional import require
from rollwright.core.sqlite_urls import SQLITE, sqlite_path
from rollwright.errors import ConfigError
from rollwright.pool.store import PoolStore

__all__ = ["check_pool_url", "close_shared_stores", "get_mongodb", "open_pool_store", "shared_store", "store_from_url"]

_IN_MEMORY: Final = ("memory:", "memory://", f"{SQLITE}:memory:")
_MONGO: Final = ("mongodb", "mongodb+srv")
_POSTGRES: Final = ("postgresql", "postgres")


def store_from_url(url: str, *, patience: float | None = None) -> PoolStore:
    """Return a new store; a relative ``sqlite:///`` path is relative to the working directory.

    How many connections one on PostgreSQL makes, and whether it keeps a session there, is the current settings' matter.

    Parameters
    ----------
    url : str
    patience : float, optional
        Seconds each call waits for a PostgreSQL server that is away, over the store's own; little for a caller that
        tries again by itself and must go on taking signals meanwhile, as a worker.

    Raises
    ------
    ConfigError
        When no store has such a URL.
    """
    if url in _IN_MEMORY:
        from rollwright.pool.stores.memory import MemoryStore  # noqa: PLC0415 - only the chosen adapter is imported

        return MemoryStore()
    path = sqlite_path(url)
    if path is not None:
        from rollwright.pool.stores.sqlite.store import SqliteStore  # noqa: PLC0415 - only the chosen adapter is imported

        return SqliteStore(str(path))
    scheme = url.partition(":")[0]
    if scheme in _MONGO:
        require("pymongo", extra="mongodb")
        from rollwright.pool.stores.mongo.store import MongoStore  # noqa: PLC0415 - only the chosen adapter is imported

        return MongoStore(url)
    if scheme in _POSTGRES:
        from rollwright.pool.stores.postgres.store import (  # noqa: PLC0415 - only the chosen adapter is imported
            PATIENCE,
            PostgresStore,
        )

        settings, waits = current_settings().pool, PATIENCE if patience is None else patience
        return PostgresStore(url, patience=waits, connections=settings.connections, session=settings.session)
    raise _no_pool(url)


def check_pool_url(url: str) -> None:
    """Refuse what is the URL of no store, without opening one.

    Raises
    ------
    ConfigError
    """
    if url not in _IN_MEMORY and sqlite_path(url) is None and url.partition(":")[0] not in (*_MONGO, *_POSTGRES):
        raise _no_pool(url)


def _no_pool(url: str) -> ConfigError:
    return ConfigError(
        f"`{mask_secrets(url)}` is the URL of no task pool",
        hint="write sqlite:///path/to/pool.db, postgresql://host/database, mongodb://host:27017/database or memory:",
    )


class _Shared:
    mutex: Final = threading.Lock()
    stores: Final[dict[str, PoolStore]] = {}
    closing: bool = False


def shared_store(url: str | None = None) -> PoolStore:
    """Return this process's one store of a URL (the current settings' if not given), opened once and kept."""
    if url is None:
        url = current_settings().pool.url
    absolute = current_settings().resolve_url(url)
    with _Shared.mutex:
        if not _Shared.closing:
            atexit.register(close_shared_stores)
            _Shared.closing = True
        if absolute not in _Shared.stores:
            _Shared.stores[absolute] = store_from_url(absolute)
        return _Shared.stores[absolute]


def open_pool_store(settings: Settings) -> PoolStore:
    """Return this process's one store of the URL that `settings` name; what opens the pool of a context."""
    return shared_store(settings.resolve_url(settings.pool.url))


def close_shared_stores() -> None:
    """Close and forget every shared store; what was in memory is gone."""
    with _Shared.mutex:
        for store in _Shared.stores.values():
            store.close()
        _Shared.stores.clear()


def get_mongodb() -> Any:
    """Return the MongoDB database of the current pool (the driver's `Database`), over this process's one client.

    It is set by ``C["mongo"] = {"task_url": "mongodb://host:27017/", "task_db_name": "name"}``, by
    ``init(mongo={...})`` or by the setting ``pool.url``. What is in it belongs to the pool: read it, and change it
    through `TaskManager` alone, which keeps states, tokens and history together.

    Raises
    ------
    ConfigError
        When the pool is not in MongoDB.
    MissingExtraError
        When the driver is not installed.
    StoreUnavailableError
        When no server answers.
    """
    url = current_settings().pool.url
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise ConfigError(
            f"the pool is `{mask_secrets(url)}`, which is no MongoDB",
            hint='set C["mongo"] = {"task_url": "mongodb://localhost:27017/", "task_db_name": "default_task_db"}',
        )
    store: Any = shared_store()
    return store.connected()
