"""Stores, settings and bodies for the tests of the pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.core.settings import load_settings
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite import SqliteStore

HERE = Path(__file__).parent


class FakeClock:
    """Time that passes only when somebody waits."""

    def __init__(self):
        self.seconds = 1_000_000_000.0

    def __call__(self):
        return self.seconds

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds

    advance = sleep


@pytest.fixture
def time():
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path, time):
    if request.param == "memory":
        yield MemoryStore(clock=time)
        return
    store = SqliteStore(tmp_path / "pool.db", clock=time, durable=False)
    yield store
    store.close()


@pytest.fixture
def file_store(tmp_path):
    """A SQLite pool on the machine's clock, as processes share it."""
    store = SqliteStore(tmp_path / "pool.db", durable=False)
    yield store
    store.close()


@pytest.fixture
def bodies():
    """Settings that trust the bodies beside these tests."""
    return load_settings({"trust.folder": str(HERE)})
