"""Real processes on the demo market: started as a user starts them, watched for sockets and for time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

WATCH = '''\
"""Loaded by every Python process of the run: writes down each connection and look-up that is not loopback."""
import os, sys

LOCAL = ("127.", "::1", "localhost")

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host is not None and not str(host).startswith(LOCAL):
        with open(os.environ["WATCHED_SOCKETS"], "a") as file:
            file.write(f"{event} {host} {sys.argv}\\n")

with open(os.environ["WATCHED_SOCKETS"] + ".loaded", "a") as file:
    file.write(f"{os.getpid()}\\n")
sys.addaudithook(watch)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Starts rollwright as a user would, in an environment that watches sockets."""

    watch: Path
    home: Path

    @property
    def sockets(self) -> Path:
        return self.watch / "sockets"

    def environment(self) -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("ROLLWRIGHT_", "PYTEST_", "MLFLOW_"))
        }
        return {
            **kept,
            "HOME": str(self.home),
            "PYTHONPATH": str(self.watch),
            "WATCHED_SOCKETS": str(self.sockets),
            "NO_COLOR": "1",
        }

    def command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "rollwright", *arguments]

    def run(self, *arguments: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(arguments),
            cwd=cwd,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: str, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as file:
            return subprocess.Popen(
                self.command(arguments), cwd=cwd, env=self.environment(), stdout=file, stderr=subprocess.STDOUT
            )


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    watch = tmp_path_factory.mktemp("watch")
    (watch / "sitecustomize.py").write_text(WATCH)
    return Shell(watch=watch, home=tmp_path_factory.mktemp("home"))
