"""Commands in any order, on both stores, against the model."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.testing.pool_machine import PoolMachine

QUICK = settings(max_examples=100, stateful_step_count=40)
LONG = settings(max_examples=2000, stateful_step_count=60)


class MemoryMachine(PoolMachine):
    open_store = staticmethod(lambda clock: MemoryStore(clock=clock))


class SqliteMachine(PoolMachine):
    @staticmethod
    def open_store(clock):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))  # in memory, where it is
        store = SqliteStore(Path(folder.name) / "pool.db", clock=clock, durable=False)
        store.folder = folder  # lives as long as the store
        return store

    def teardown(self):
        super().teardown()
        self.store.folder.cleanup()


class LongMemoryMachine(MemoryMachine):
    pass


class LongSqliteMachine(SqliteMachine):
    pass


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = QUICK
TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = QUICK
TestLongMemoryMachine = pytest.mark.slow(LongMemoryMachine.TestCase)
TestLongMemoryMachine.settings = LONG
TestLongSqliteMachine = pytest.mark.slow(LongSqliteMachine.TestCase)
TestLongSqliteMachine.settings = LONG
