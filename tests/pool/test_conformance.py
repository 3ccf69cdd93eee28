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


class InterruptedMemoryStore(MemoryStore):
    """Calls a function right before it replaces a definition."""

    interrupt = None

    def _write(self, record, event, now, **more):
        if event == "replaced" and self.interrupt is not None:
            self.interrupt()
        super()._write(record, event, now, **more)


class TestMemoryStore(TaskStoreConformance):
    @pytest.fixture
    def pool(self):
        time = FakeTime()
        store = InterruptedMemoryStore(clock=time)

        def before_replacing(function):
            store.interrupt = function

        return StoreUnderTest(store=store, advance=time.advance, before_replacing=before_replacing)


class TestSqliteStore(TaskStoreConformance):
    @pytest.fixture
    def pool(self, tmp_path: Path):
        time = FakeTime()
        store = SqliteStore(tmp_path / "pool.db", clock=time, durable=False)

        def before_replacing(function):
            def trace(statement):
                if statement.startswith("UPDATE task SET fingerprint"):
                    function()

            with store._file.read() as connection:
                connection.set_trace_callback(trace)

        yield StoreUnderTest(store=store, advance=time.advance, before_replacing=before_replacing)
        store.close()
