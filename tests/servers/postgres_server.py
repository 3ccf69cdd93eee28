"""A PostgreSQL server of the tests' own: a temporary cluster made from the machine's binaries, gone when they end.

`shared_server` gives every process of a test run the same one. `PostgresServer` is one to be stopped, crashed and
started again. Neither outlives the processes that use it, however those end.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pwd
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from rollwright.core.clock import SystemClock
from rollwright.core.locks import file_lock
from rollwright.core.optional import require

__all__ = ["PostgresServer", "find_binaries", "missing", "new_database", "shared_server"]

URL_VARIABLE: Final = "ROLLWRIGHT_TEST_POSTGRES_URL"
_GIVEN: Final = os.environ.get(URL_VARIABLE)  # read once: tests run in an empty environment
USER: Final = "rollwright"
FAST: Final[Mapping[str, str]] = {"fsync": "off", "full_page_writes": "off"}
"""Settings of a server that need not survive a power cut."""

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "'127.0.0.1'",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "log_min_messages": "fatal",
    "logging_collector": "off",
    "timezone": "'UTC'",
}
_PATIENCE: Final = 60.0
_PR_SET_PDEATHSIG: Final = 1
_UNPRIVILEGED: Final = ("postgres", "nobody")


def find_binaries() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``: on PATH, or where Debian keeps them."""
    found = shutil.which("initdb")
    if found is not None and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def missing() -> str | None:
    """Return why there is no PostgreSQL to test against, or None when there is one."""
    if _GIVEN or (sys.platform != "win32" and find_binaries() is not None):
        return None
    return f"not run: no PostgreSQL (neither {URL_VARIABLE} nor initdb on this machine)"


class PostgresServer:
    """A cluster in a folder, run by a child of this process, which dies with it.

    Parameters
    ----------
    folder : Path
        Made if it is not there; of an unprivileged user when this process is root, whom PostgreSQL refuses.
    settings : mapping, optional
        Lines of ``postgresql.conf`` over those that suit tests; ``FAST`` gives durability up.
    rules : sequence of str
        Lines of ``pg_hba.conf`` beside those of this machine.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None, rules: Sequence[str] = ()) -> None:
        binaries = find_binaries()
        if binaries is None:
            raise FileNotFoundError("no PostgreSQL on this machine")
        self._binaries = binaries
        self._clock = SystemClock()
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder
        self.port = _free_port()
        self._rules = ("host all guarded 127.0.0.1/32 scram-sha-256", *rules)
        self._initialise({**_SETTINGS, **(settings or {}), "port": str(self.port)})

    def _initialise(self, settings: Mapping[str, str]) -> None:
        self._make_folder()
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._configure(settings)
        rules = (data / "pg_hba.conf").read_text()
        (data / "pg_hba.conf").write_text("\n".join([*self._rules, rules]))

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._account() is not None:
            account = pwd.getpwnam(str(self._account()))
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    def _configure(self, settings: Mapping[str, str]) -> None:
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        with (self.folder / "data" / "postgresql.conf").open("a") as file:  # a restart would forget the command line
            file.writelines([*lines, f"unix_socket_directories = '{self.folder}'\n"])

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls one function of the C library
                **self._as_account(),
            )
        end = self._clock.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or self._clock.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            self._clock.sleep(0.02)

    def _answers(self) -> bool:
        psycopg = require("psycopg", extra="postgres")
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, *, mode: str = "fast") -> None:
        """Stop it: ``fast`` with a last checkpoint, ``immediate`` as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if mode == "immediate" else signal.SIGINT)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.stop(mode="immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self) -> int:
        """Return the process of the server, whose children are its sessions."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    def url(self, database: str, *, user: str = USER) -> str:
        """Return the URL of a database, by TCP."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def local_url(self, database: str) -> str:
        """Return the URL of a database, by the Unix socket in its folder: it reaches into a network namespace."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def crash(self) -> None:
        """Let all its processes die at once, without a word to anybody."""
        if self._process is not None:
            processes = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()  # first, so that it does not start again what dies
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
            self._process = None

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._binaries / program), *(str(argument) for argument in arguments)]
        terms = self._as_account()
        done = subprocess.run(command, capture_output=True, text=True, check=False, **terms)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")

    def _account(self) -> str | None:
        if os.getuid() != 0:
            return None
        names = {account.pw_name for account in pwd.getpwall()}
        return next((name for name in _UNPRIVILEGED if name in names), None)

    def _as_account(self) -> dict[str, Any]:
        terms: dict[str, Any] = {"cwd": self.folder, "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}}
        account = self._account()
        if account is not None:
            terms |= {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
        return terms


def _die_with_parent() -> None:
    if sys.platform == "linux":  # elsewhere only an orderly end stops the server
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Shared:
    """What this process keeps open for as long as it uses the shared server."""

    url: str | None = None
    hold: socket.socket | None = None


def shared_server() -> str:
    """Return the URL of the run's one server, started by whoever asks first and stopped after the last has ended."""
    if _Shared.url is None:
        _Shared.url = _GIVEN if _GIVEN else _join()
    return _Shared.url


def _join() -> str:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}-{secrets.token_hex(4)}")
    folder = Path(tempfile.gettempdir()) / f"rollwright-pg-{os.getuid()}-{run}"
    with file_lock(Path(f"{folder}.lock")):
        try:
            _hold(folder)
        except OSError:
            _start_keeper(folder)
            _hold(folder)
    return (folder / "url").read_text()


def _hold(folder: Path) -> None:
    hold = socket.socket(socket.AF_UNIX)
    try:
        hold.connect(str(folder / "keeper"))
    except OSError:
        hold.close()
        raise
    _Shared.hold = hold
    atexit.register(hold.close)


def _start_keeper(folder: Path) -> None:
    keeper = subprocess.Popen(  # this very file
        [sys.executable, __file__, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert keeper.stdout is not None
    with keeper.stdout as output:
        if output.readline() != b"ready\n":
            raise RuntimeError("the tests' PostgreSQL does not start")
    keeper.returncode = 0  # it ends after this process: nobody is to wait for it


def _keep(folder: Path) -> None:
    """Run a server for as long as somebody holds a connection to this process."""
    server = PostgresServer(folder, settings=FAST)
    try:
        server.start()
        (folder / "url").write_text(server.url("postgres"))
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(folder / "keeper"))
            door.listen()
            os.write(1, b"ready\n")
            os.close(1)
            _wait_for_the_last(door)
    finally:
        server.remove()
        Path(f"{folder}.lock").unlink(missing_ok=True)


def _wait_for_the_last(door: socket.socket) -> None:
    looking = selectors.DefaultSelector()
    looking.register(door, selectors.EVENT_READ)
    holders = 0
    # Whoever is late finds the door closed and starts another server.
    while looking.select(timeout=None if holders else 5.0):
        for key, _ in looking.select(timeout=0):
            if key.fileobj is door:
                looking.register(door.accept()[0], selectors.EVENT_READ)
                holders += 1
            elif isinstance(key.fileobj, socket.socket) and not key.fileobj.recv(1):
                looking.unregister(key.fileobj)
                key.fileobj.close()
                holders -= 1


def new_database(url: str) -> str:
    """Make a database of a new name on the server of `url` and return its URL."""
    psycopg = require("psycopg", extra="postgres")
    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    head, _, tail = url.partition("://")
    login, _, rest = tail.partition("/")
    options = f"?{rest.partition('?')[2]}" if "?" in rest else ""
    return f"{head}://{login}/{name}{options}"


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
