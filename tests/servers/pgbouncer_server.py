"""A PgBouncer of the tests' own, in transaction mode before a PostgreSQL server, gone when they end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from postgres_server import USER, _die_with_parent, _free_port
from rollwright.core.clock import SystemClock

__all__ = ["PgBouncer", "missing"]

_PATIENCE = 30.0


def missing() -> str | None:
    """Return why there is no PgBouncer to test with, or None when there is one."""
    return None if _binary() is not None else "not run: no pgbouncer on this machine"


def _binary() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """A pooler in transaction mode before the server of `url`.

    Parameters
    ----------
    url : str
        Any database of the server; the pooler passes all of them on.
    sessions : int
        The most sessions of the server for each database.
    settings : mapping, optional
        More lines of its configuration.
    """

    def __init__(self, url: str, *, sessions: int = 4, settings: dict[str, str] | None = None) -> None:
        binary = _binary()
        if binary is None:
            raise FileNotFoundError("no pgbouncer on this machine")
        server = urlsplit(url)
        self.folder = Path(tempfile.mkdtemp(prefix="rollwright-bouncer-"))
        self.port = _free_port()
        self._binary = binary
        self._clock = SystemClock()
        self._process: subprocess.Popen[bytes] | None = None
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": str(self.folder / "users"),
            "pool_mode": "transaction",
            "default_pool_size": str(sessions),
            "max_client_conn": "1000",
            "server_round_robin": "1",  # the next transaction has another session
            **(settings or {}),
        }
        (self.folder / "users").write_text(f'"{USER}" ""\n')
        (self.folder / "ini").write_text(
            f"[databases]\n* = host={server.hostname} port={server.port}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        self._account = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # PgBouncer refuses root
        if self._account is not None:
            for path in (self.folder, self.folder / "users", self.folder / "ini"):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, self.folder / "ini"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls one function of the C library
                user=None if self._account is None else self._account.pw_uid,
                group=None if self._account is None else self._account.pw_gid,
            )
        end = self._clock.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or self._clock.monotonic() > end:
                raise RuntimeError(f"PgBouncer does not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            self._clock.sleep(0.01)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it as a crash does: all connections are cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, direct: str) -> str:
        """Return the URL of a database of the server through the pooler."""
        return direct.replace(f":{urlsplit(direct).port}/", f":{self.port}/", 1)
