"""What every test starts from: an empty environment, a folder of its own, and no way to the network.

Servers that stores need are found here, before any test changes the environment, and named in the first lines.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from rollwright.config.context import install

# Examples are derived from the test's source, so that a run can be repeated; `--hypothesis-profile explore` looks
# further. The shared fixtures below hold nothing an example could spoil.
_SHARED_FIXTURES = [HealthCheck.function_scoped_fixture]
settings.register_profile(
    "house", derandomize=True, deadline=None, database=None, suppress_health_check=_SHARED_FIXTURES
)
settings.register_profile("explore", max_examples=2000, deadline=None, suppress_health_check=_SHARED_FIXTURES)
settings.load_profile("house")


def _tool(name: str) -> Any:
    """Return the module of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_WIRE = _tool("mongo_wire")
_MONGO = _WIRE.find_server()


def pytest_report_header() -> str:
    """Name the servers that stores are tested against; those absent are told as not run."""
    return f"MongoDB wire: {_WIRE.described(_MONGO)}"


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server that speaks MongoDB's wire protocol; one for all worker processes."""
    if _MONGO is None:
        pytest.skip(_WIRE.ABSENT)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with _WIRE.running(_MONGO, shared / "mongo-wire") as url:
        yield url


class NetworkTouchedError(AssertionError):
    """A test tried to leave the machine."""


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):  # a Unix socket's path
        return True
    host = str(address[0])
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:  # a name: looking it up would already ask the network
        return False


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection, datagram and name look-up beyond the loopback interface."""
    look_up = socket.getaddrinfo

    def guarded(method: str) -> None:
        original = getattr(socket.socket, method)

        def call(self: socket.socket, *args: Any) -> Any:
            address = args[-1]
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address):
                raise NetworkTouchedError(f"a test would {method} to {address}")
            return original(self, *args)

        monkeypatch.setattr(socket.socket, method, call)

    def local_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _is_local((name, 0)):
            raise NetworkTouchedError(f"a test would look up {name!r}")
        return look_up(host, *args, **kwargs)

    for method in ("connect", "connect_ex", "sendto"):
        guarded(method)
    monkeypatch.setattr(socket, "getaddrinfo", local_look_up)


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without settings, in an empty working directory, with a home nobody lives in."""
    for name in [name for name in os.environ if name.startswith(("ROLLWRIGHT_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (("CONFIG", ".config"), ("CACHE", ".cache"), ("DATA", ".local/share")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / folder))
    monkeypatch.chdir(work)
    install(None)
    yield
    install(None)
