"""The stores on which a ledger is tried, each by the URL that several processes share."""

from __future__ import annotations

import pytest

from replay_serving import close_stores
from rollwright.pool.urls import store_from_url


@pytest.fixture(params=["sqlite", "postgres", "mongo"])
def pool_url(request, tmp_path):
    """The URL of an empty pool, ready for use."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/pool.db"
    else:
        url = request.getfixturevalue(f"{request.param}_url")
    store = store_from_url(url)
    store.migrate()
    store.close()
    return url


@pytest.fixture(autouse=True)
def _stores_are_closed():
    yield
    close_stores()
