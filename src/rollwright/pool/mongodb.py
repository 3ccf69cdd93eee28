"""`get_mongodb`: Qlib's way to the database of the pool."""

from __future__ import annotations

from typing import Any

from rollwright.config.context import current_settings
from rollwright.config.settings import mask_secrets
from rollwright.errors import ConfigError
from rollwright.pool.urls import shared_store

__all__ = ["get_mongodb"]


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
