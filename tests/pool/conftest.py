"""Stores, settings and clocks for the tests of the pool."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rollwright.config.settings import load_settings
from rollwright.pool.stores.memory import MemoryStore
from rollwright.pool.stores.sqlite.store import SqliteStore
from rollwright.pool.urls import store_from_url

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


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request, tmp_path, time):
    if request.param == "memory":
        yield MemoryStore(clock=time)
        return
    if request.param == "postgres":
        store = store_from_url(request.getfixturevalue("postgres_url"))
        store._clock = time  # a URL names no clock
        yield store
        store.close()
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
def unknown_hosts(monkeypatch):
    """No name of a host can be resolved."""

    def look_up(host, *arguments, **terms):
        if host is not None and not host.startswith("127."):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found(host, *arguments, **terms)

    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def trusting():
    """Settings that trust the functions beside these tests."""
    return load_settings({"trust.folder": str(HERE)})
