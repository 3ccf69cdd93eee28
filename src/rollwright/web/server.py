"""Start the serving API on an address, and stop it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rollwright.app.online.serve import ServingReader
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError
from rollwright.web.api import make_application
from rollwright.web.guard import AccessRules
from rollwright.web.latest import LatestSignals

__all__ = ["ListenAddress", "is_loopback", "make_server", "open_socket", "run_server"]

_logger: Final = logging.getLogger("rollwright.web")

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_MOST_CONNECTIONS: Final = 128
_STOP_SECONDS: Final = 2
_IDLE_SECONDS: Final = 30
_HEAD_SECONDS: Final = 10.0
_MOST_UNREAD: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """Where the server listens, and under which names it is asked for.

    Attributes
    ----------
    host : str
        An address of this machine.
    port : int
        0 for one that is free.
    names : tuple of str
        Names beside those of the loopback interface and `host` that clients may give in the header ``Host``.
    token : str or None
        What clients show; needed for any address but the loopback interface.
    """

    host: str = "127.0.0.1"
    port: int = 8801
    names: tuple[str, ...] = ()
    token: str | None = None

    def check(self) -> None:
        """Refuse an address that others reach without a token, and one that goes by no name.

        Raises
        ------
        ConfigError
        """
        if is_loopback(self.host):
            return
        shown = escape_text(self.host, longest=80)
        if self.token is None:
            raise ConfigError(
                f"other machines reach {shown}, and no token says who may ask",
                hint="write one to a file that only you read, and name it: (umask 077; openssl rand -hex 32 > token); "
                "--token-file token",
            )
        if _is_wildcard(self.host) and not self.names:
            raise ConfigError(
                f"{shown} stands for every address of this machine, and nothing says by which name clients ask for it",
                hint="name them: --allow-name research.example.com",
            )

    def rules(self, port: int) -> AccessRules:
        """Return who is answered on a port."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return AccessRules.for_names((*LOOPBACK_NAMES, own, *self.names), port, token=self.token)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, wherever it leads
        return False


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def open_socket(address: ListenAddress) -> socket.socket:
    """Return a socket that is bound to an address, and to no other.

    Raises
    ------
    ConfigError
        When it is taken, or none of this machine.
    """
    address.check()
    host = "127.0.0.1" if address.host == "localhost" else address.host
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"{escape_text(host, longest=80)} is no address of this machine: {error}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
    except OSError as error:
        opened.close()
        hint = "choose another with --port, or 0 for any" if error.errno == errno.EADDRINUSE else None
        raise ConfigError(f"{host} port {address.port} cannot be listened on: {error.strerror}", hint=hint) from error
    return opened


class _LimitedProtocol(HttpToolsProtocol):
    """Closes a connection that sends more than a head may have, or takes too long for one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base narrows it
        super().connection_made(transport)
        self._unread, self._heads, self._heads_seen = 0, 0, -1
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._drop_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _MOST_UNREAD:
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._unread, self._heads = 0, self._heads + 1
        super().on_headers_complete()

    def _drop_slow(self) -> None:
        if self._heads == 0 or (self._unread and self._heads == self._heads_seen):
            self.transport.close()
            return
        self._heads_seen = self._heads
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._drop_slow)


def make_server(
    readers: Sequence[ServingReader],
    latest: LatestSignals,
    rules: AccessRules,
    read_metrics: Callable[[], str] | None = None,
) -> uvicorn.Server:
    """Return a server that is not started yet; it writes no log of requests, and so of no token."""
    application: Any = make_application(readers, latest, rules, read_metrics)
    config = uvicorn.Config(
        application,
        http=_LimitedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    return uvicorn.Server(config)


def run_server(
    readers: Sequence[ServingReader],
    address: ListenAddress,
    *,
    tell: Callable[[str], None] = lambda _: None,
    read_metrics: Callable[[], str] | None = None,
) -> None:
    """Answer requests until SIGINT or SIGTERM, which end it within seconds.

    Parameters
    ----------
    readers : sequence of ServingReader
    address : ListenAddress
    tell : callable
        Called with the server's URL when requests will be answered.
    read_metrics : callable, optional
        Returns what ``/metrics`` answers; without, there is no such route.

    Raises
    ------
    ConfigError
        When the address cannot be listened on, or others reach it without a token.
    """
    with open_socket(address) as opened, LatestSignals(readers) as latest:
        port = opened.getsockname()[1]
        server = make_server(readers, latest, address.rules(port), read_metrics)
        opened.listen(_MOST_CONNECTIONS)
        host = f"[{address.host}]" if ":" in address.host else address.host
        _logger.info("serve.started host=%s port=%d", host, port)
        tell(f"http://{host}:{port}")
        with suppress(KeyboardInterrupt):  # uvicorn stops for a signal, and raises it again when it has stopped
            server.run(sockets=[opened])
        _logger.info("serve.stopped host=%s port=%d", host, port)
