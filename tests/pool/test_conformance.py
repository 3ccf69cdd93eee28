"""The shipped suite over the stores, and proof that it would see what is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.testing.pool import StoreUnderTest, TaskStoreConformance


class FakeTime:
    def __init__(self):
        self.now = 1_000_000_000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class TestMemoryStore(TaskStoreConformance):
    @pytest.fixture
    def pool(self):
        time = FakeTime()
        return StoreUnderTest(store=MemoryStore(clock=time), advance=time.advance)


class TestSqliteStore(TaskStoreConformance):
    @pytest.fixture
    def pool(self, tmp_path: Path):
        time = FakeTime()
        store = SqliteStore(tmp_path / "pool.db", clock=time, durable=False)
        yield StoreUnderTest(store=store, advance=time.advance)
        store.close()
