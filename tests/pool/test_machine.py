"""Commands in any order, on both stores, against the model."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings

from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite import SqliteStore
from rollwright.testing.pool_machine import PoolMachine


class MemoryMachine(PoolMachine):
    open_store = staticmethod(lambda clock: MemoryStore(clock=clock))


class SqliteMachine(PoolMachine):
    @staticmethod
    def open_store(clock):
        folder = tempfile.TemporaryDirectory()
        store = SqliteStore(Path(folder.name) / "pool.db", clock=clock, durable=False)
        store.folder = folder  # lives as long as the store
        return store

    def teardown(self):
        super().teardown()
        self.store.folder.cleanup()


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=100, stateful_step_count=40)
TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = settings(max_examples=30, stateful_step_count=40)
