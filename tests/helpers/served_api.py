"""The serving API on a free port of this machine, in a thread of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress

import httpx

from rollwright.web.latest import LatestSignals
from rollwright.web.server import ListenAddress, make_server, open_socket


@contextmanager
def serve_api(*readers, address=None, every=0.01, clock=None, read_metrics=None):
    """Yield an HTTP client of the API of these readers."""
    address = address if address is not None else ListenAddress(port=0)
    with LatestSignals(readers, every=every, clock=clock) as latest, open_socket(address) as opened:
        port = opened.getsockname()[1]
        server = make_server(readers, latest, address.rules(port), read_metrics)
        opened.listen(64)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()


def send_raw(client, request):
    """Return what the server answers to these bytes, up to the end of the connection."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as connection:
        received = b""
        with suppress(ConnectionResetError, BrokenPipeError):  # the server may end it before it has read everything
            connection.sendall(request)
            while chunk := connection.recv(65_536):
                received += chunk
    return received


def ask_in_process(application, path="/v1/health", *, method="GET", headers=(), kind="http"):
    """Return the messages that an ASGI application sends for one request."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    target, _, query = path.partition("?")
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [*headers],
        "server": ("127.0.0.1", 8801),
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    asyncio.run(application(scope, receive, send))
    return sent
