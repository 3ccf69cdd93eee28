"""Tests cannot reach the network, the user's settings or each other's; this says so of the fixtures themselves."""

from __future__ import annotations

import os
import socket
import urllib.request
from pathlib import Path

import pytest

from rollwright.config.context import current_settings

NOWHERE = "192.0.2.1"  # an address kept for documentation


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_connection_beyond_loopback_fails_the_test(method):
    with socket.socket() as one, pytest.raises(AssertionError, match=NOWHERE):
        getattr(one, method)((NOWHERE, 80))


def test_a_datagram_beyond_loopback_fails_the_test():
    with socket.socket(type=socket.SOCK_DGRAM) as one, pytest.raises(AssertionError, match=NOWHERE):
        one.sendto(b"x", (NOWHERE, 53))


@pytest.mark.parametrize("url", [f"http://{NOWHERE}/", "http://name.invalid/"])
def test_a_page_from_elsewhere_fails_the_test(url):
    with pytest.raises(AssertionError, match="a test would"):
        urllib.request.urlopen(url, timeout=1)


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            accepted, _ = server.accept()
            accepted.close()
        assert client.fileno() == -1


def test_the_environment_and_the_home_are_empty():
    assert not [name for name in os.environ if name.startswith(("ROLLWRIGHT_", "MLFLOW_"))]
    assert list(Path.home().iterdir()) == []
    assert list(Path.cwd().iterdir()) == []
    assert current_settings().origins == {}
