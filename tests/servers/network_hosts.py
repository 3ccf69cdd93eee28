"""Hosts on one machine: network namespaces on a bridge, whose cables can be pulled out. Needs root and Linux.

A process that is started ``with network.inside(host)`` runs on that host: it sees that host's addresses alone, and what
it sends is lost, without a word, while the host is cut off. Unix sockets reach across: by them a test sees the truth.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

__all__ = ["Network", "absent", "missing", "shift_clock"]

_NEWNET: Final = 0x40000000
_FOLDER: Final = Path("/run/netns")
_OWN: Final = Path("/proc/thread-self/ns/net")
_SHIFT: Final = Path(__file__).with_name("shifted_clock.c")


def missing() -> str | None:
    """Return why hosts cannot be made here, or None when they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "not run: network namespaces need Linux and root"
    if (reason := absent()) is not None:
        return reason
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0:
        return "not run: this machine allows no network namespaces"
    return None


def absent() -> str | None:
    """Return what is not installed on this machine, or None; None, too, for who could not use it."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return None
    if shutil.which("ip") is None:
        return "not run: no `ip` (iproute2) on this machine"
    return None if shutil.which("cc") else "not run: no C compiler (`cc`) on this machine"


def shift_clock(seconds: float, *, folder: Path) -> dict[str, str]:
    """Return the variables with which a process has a wall clock that many seconds ahead; its other clocks go on.

    The library that does it is compiled into `folder`.
    """
    library = folder / "shifted_clock.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, _SHIFT, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_AHEAD": f"{seconds:.0f}"}


class Network:
    """Hosts on one bridge; a context manager.

    Parameters
    ----------
    hosts : sequence of str
        Their names. The first has the address 10.77.0.1, the next 10.77.0.2, and so on.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self._tag = f"rw{secrets.token_hex(3)}"
        self._hosts = tuple(hosts)
        self._made: list[str] = []

    def __enter__(self) -> Self:
        atexit.register(self.close)
        bridge = self._namespace("lan")
        self._make(bridge)
        _ip("-n", bridge, "link", "add", "lan", "type", "bridge")
        _ip("-n", bridge, "link", "set", "lan", "up")
        for host in self._hosts:
            name, port = self._namespace(host), self._port(host)
            self._make(name)
            _ip("-n", bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", bridge, "link", "set", port, "master", "lan", "up")
            _ip("-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the hosts; what runs there must have ended."""
        for name in self._made:
            _ip("netns", "delete", name)
        self._made.clear()
        atexit.unregister(self.close)

    def address(self, host: str) -> str:
        """Return a host's address."""
        return f"10.77.0.{self._hosts.index(host) + 1}"

    def cut(self, host: str) -> None:
        """Lose all that goes to a host and comes from it; nobody is told."""
        _ip("-n", self._namespace("lan"), "link", "set", self._port(host), "nomaster")

    def heal(self, host: str) -> None:
        """Undo `cut`."""
        _ip("-n", self._namespace("lan"), "link", "set", self._port(host), "master", "lan")

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Let this thread, and the processes that it starts, be on a host."""
        before = os.open(_OWN, os.O_RDONLY)
        try:
            _enter(_FOLDER / self._namespace(host))
            yield
        finally:
            _set_namespace(before)
            os.close(before)

    def _namespace(self, host: str) -> str:
        return f"{self._tag}-{host}"

    def _port(self, host: str) -> str:
        return f"port{self._hosts.index(host)}"

    def _make(self, name: str) -> None:
        _ip("netns", "add", name)
        self._made.append(name)


def _enter(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _set_namespace(descriptor)
    finally:
        os.close(descriptor)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
