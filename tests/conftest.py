"""What every test starts from: an empty environment, a folder of its own, and no way to the network.

Servers that stores need are found here, before any test changes the environment, and named in the first lines. A run
that changes the checkout fails.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import ipaddress
import os
import secrets
import signal
import socket
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import crash_size
import network_hosts as hosts
import postgres_server
import slurm_server
from memory_folder import find_memory_folder
from rollwright.config.context import install
from rollwright.expression.operators.catalogue import OPERATORS

pytest_plugins = ["cpu_costs"]

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
_CHECKOUT = _tool("checkout")
_ROOT = Path(__file__).parents[1]
_LONGEST = ("golden", "security", "test_model_contract.py")
_BEFORE = pytest.StashKey[Any]()


def pytest_report_header() -> str:
    """Name the servers that stores are tested against; those absent are told as not run."""
    return f"MongoDB wire: {_WIRE.described(_MONGO)}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the checkout, once for all worker processes; end a run that lacks servers it requires."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        reasons = (postgres_server.missing(), None if _MONGO else _WIRE.ABSENT, slurm_server.absent(), hosts.absent())
        absent = [reason for reason in reasons if reason]
        if crash_size.REQUIRED and absent:
            pytest.exit("\n".join(["ROLLWRIGHT_TEST_REQUIRE_SERVERS is set", *absent]), returncode=3)
        session.config.stash[_BEFORE] = _CHECKOUT.take_snapshot(_ROOT)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that left the checkout other than it was: a test writes to its own folder only."""
    before = session.config.stash.get(_BEFORE, None)
    changes = _CHECKOUT.describe_changes(_ROOT, before) if before is not None else []
    if changes:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        shown = "".join(f"\n  {line}" for line in changes[:20])
        sys.stderr.write(f"\nthe checkout changed while the tests ran, by a test or by an editor:{shown}\n")


def pytest_configure() -> None:
    """Put the tests' files into memory, and hear interrupts, which tests send.

    A shell starts what it puts into the background without hearing them.
    """
    memory = find_memory_folder()
    if memory is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))  # pytest's own setting of where its folders are
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected, and never again among what is kept: it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders and files that take longest, so that no worker process waits for another at the end."""
    items.sort(key=lambda item: not {item.path.parent.name, item.path.name}.intersection(_LONGEST))


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server that speaks MongoDB's wire protocol; one for all worker processes."""
    if _MONGO is None:
        pytest.skip(_WIRE.ABSENT)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with _WIRE.running(_MONGO, shared / "mongo-wire") as url:
        yield url


@pytest.fixture
def mongo_url(mongo_server: str) -> Iterator[str]:
    """Return the URL of a database of its own on that server."""
    import pymongo  # noqa: PLC0415 - only where there is a server

    name = f"rollwright_test_{secrets.token_hex(6)}"
    yield f"{mongo_server}/{name}"
    with pymongo.MongoClient[Any](mongo_server) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """Return the URL of a database of this process on a server that the whole run shares."""
    reason = postgres_server.missing()
    if reason is not None:
        pytest.skip(reason)
    yield postgres_server.new_database(postgres_server.shared_server())
    from rollwright.pool.stores.postgres.session import close_sessions  # noqa: PLC0415 - needs the driver

    close_sessions()


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """Return the URL of an empty pool on it."""
    mark = "&" if "?" in postgres_database else "?"
    return f"{postgres_database}{mark}schema=t{secrets.token_hex(6)}"


class _CapabilityHead(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Let the rights of files bind this test as they bind a user, also where the tests run as root.

    Root passes them by two capabilities of Linux, which the test's thread and those it starts give up; as the owner
    of its files it may then do what their mode says. The checkout stays readable, as it might not for another user.
    """
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("not run: root cannot give up its rights here; run the tests as a user")
    libc = ctypes.CDLL(None, use_errno=True)
    head, held = _CapabilityHead(version=0x20080522, pid=0), (_Capabilities * 2)()
    assert libc.capget(ctypes.byref(head), held) == 0, os.strerror(ctypes.get_errno())
    before = held[0].effective
    held[0].effective = before & ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(ctypes.byref(head), held) == 0, os.strerror(ctypes.get_errno())
    try:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(PermissionError, match="Permission denied"):
            (closed / "file").touch()
        closed.rmdir()
        yield
    finally:
        held[0].effective = before
        assert libc.capset(ctypes.byref(head), held) == 0, os.strerror(ctypes.get_errno())


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


@pytest.fixture(autouse=True, scope="module")
def _built_in_operators() -> None:
    """Start every file with the built-in operators alone, whatever those before it registered in this process.

    The code of operators of one's own is part of what results are judged by: one that stays makes another file's stale.
    """
    OPERATORS._operators = {name: operator for name, operator in OPERATORS.operators.items() if not operator.code}
    OPERATORS.version += 1  # what was parsed with others is not taken for what is meant now
