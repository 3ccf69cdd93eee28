"""Who is answered: names of the server, pages of other sites, tokens, methods, sizes; on every route."""

from __future__ import annotations

import json
import logging
import socket

import pytest

from rollwright.app.online.serve import ServingReader
from rollwright.errors import ConfigError, StoreUnavailableError
from rollwright.web.api import make_api, make_application
from rollwright.web.guard import AccessRules, RequestGuard
from rollwright.web.latest import LatestSignals
from rollwright.web.server import ListenAddress, is_loopback, open_socket
from served_api import ask_in_process, send_raw, serve_api
from served_days import DemoServing

HOST = (b"host", b"127.0.0.1:8801")
TOKEN = "4f" * 32
HOSTS = (
    "", "evil.example", "evil.example:8801", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8802",
    "127.0.0.1.evil.example:8801",
    "localhost", "localhost.:8801", "localhost:8801.evil.example", "localhost:8801@evil.example", "x@localhost:8801",
    "[::1]", "::1:8801", "[::ffff:127.0.0.1]:8801", "0.0.0.0:8801", "0:8801", "127.1:8801", "2130706433:8801",
    "0x7f000001:8801", "127.0.0.1:8801 ", " 127.0.0.1:8801,evil.example", "127.0.0.1:08801", "127.0.0.1:8801:8801",
    "http://127.0.0.1:8801", "127.0.0.1:8801/", "127.0.0.1:8801#", "127.0.0.1%00:8801", "１２７.0.0.1:8801",
    "ｌocalhost:8801",
    "rebind.127.0.0.1.nip.io:8801", "localhost.localdomain:8801", "127.0.0.2:8801", "192.168.0.1:8801",
)  # fmt: skip
ORIGINS = (
    "null", "http://evil.example", "https://127.0.0.1", "http://127.0.0.1", "http://127.0.0.1:8802", "http://localhost",
    "http://127.0.0.1:8801.evil.example", "http://127.0.0.1:8801/", "file://", "chrome-extension://abc",
    "ftp://127.0.0.1:8801",    "", "http://[::1]", "//127.0.0.1:8801",
)  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    demo = DemoServing()
    demo.serve("2024-01-02")
    reader = ServingReader(demo.ledger, demo.scores)
    latest = LatestSignals([reader], patience=float("inf"))
    latest.refresh()
    return [reader], latest


@pytest.fixture(scope="module")
def application(parts):
    return make_application(*parts, AccessRules.for_names(["localhost", "127.0.0.1", "[::1]"], 8801))


@pytest.fixture(scope="module")
def guarded(parts):
    return make_application(*parts, AccessRules.for_names(["127.0.0.1"], 8801, token=TOKEN))


@pytest.fixture(scope="module")
def paths(parts):
    """Every path that the application has, the hidden ones included."""
    values = {"serving": "demo", "session": "2024-01-02", "strategy": "lgb", "role": "champion", "number": "1"}
    found = [route.path.format(**values) for route in make_api(*parts).routes]
    assert len(found) >= 18
    return [*found, "/v1/servings/demo/signal?format=csv", "/nowhere"]


def status_of(application, path, headers, **more):
    sent = ask_in_process(application, path, headers=headers, **more)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one.get("body", b"") for one in sent[1:])


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_that_the_server_does_not_go_by_is_not_answered(application, paths, host):
    for path in paths:
        status, headers, body = status_of(application, path, [(b"host", host.encode())])
        assert status == 421, path
        assert b"score" not in body
        assert headers[b"content-type"] == b"application/problem+json"


def test_no_name_and_two_names_are_not_answered(application):
    assert status_of(application, "/v1/health", [])[0] == 421
    assert status_of(application, "/v1/health", [HOST, HOST])[0] == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8801", "localhost:8801", "LocalHost:8801", "[::1]:8801"])
def test_own_names_are_answered(application, paths, host):
    for path in paths[:-1]:
        status = status_of(application, path, [(b"host", host.encode())])[0]
        assert status in (200, 404, 422), path  # some need arguments, some data that are not there
    assert status_of(application, "/v1/servings/demo/signal", [(b"host", host.encode())])[0] == 200


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_page_of_another_site_is_not_answered(application, paths, origin):
    for path in paths:
        assert status_of(application, path, [HOST, (b"origin", origin.encode())])[0] == 403, path


def test_a_request_that_another_sites_page_makes_without_an_origin_is_not_answered(application):
    for mode in ("no-cors", "cors", "websocket", ""):
        headers = [HOST, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", mode.encode())]
        assert status_of(application, "/v1/servings/demo/signal", headers)[0] == 403
    opened = [HOST, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]
    assert status_of(application, "/docs", opened)[0] == 200


def test_the_own_origin_is_answered_and_no_other_may_read(application, paths):
    for path in paths:
        _, headers, _ = status_of(application, path, [HOST, (b"origin", b"http://127.0.0.1:8801")])
        assert not [name for name in headers if name.startswith(b"access-control")]
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY", "get"])
def test_nothing_but_get_and_head_is_answered(application, paths, method):
    for path in paths:
        status, headers, _ = status_of(application, path, [HOST], method=method)
        assert status == 405
        assert headers[b"allow"] == b"GET, HEAD"


@pytest.mark.parametrize(
    "shown",
    [
        None, "", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", f"Bearer {TOKEN.upper()}",
        f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN} x", f"Bearer \x00{TOKEN}",
    ],
)  # fmt: skip
def test_no_route_answers_without_the_token(guarded, paths, shown):
    headers = [HOST] if shown is None else [HOST, (b"authorization", shown.encode())]
    for path in paths:
        status, sent, _ = status_of(guarded, path, headers)
        assert status == 401, path
        assert sent[b"www-authenticate"].startswith(b"Bearer")
    assert status_of(guarded, f"/v1/health?token={TOKEN}", headers)[0] == 401


def test_the_token_opens_every_route_and_stands_in_no_log(guarded, paths, caplog):
    caplog.set_level(logging.DEBUG)
    for path in paths[:-1]:
        headers = [HOST, (b"authorization", f"bearer {TOKEN}".encode())]
        assert status_of(guarded, path, headers)[0] in (200, 404, 422)
    two = [HOST, *[(b"authorization", f"Bearer {TOKEN}".encode())] * 2]
    assert status_of(guarded, "/v1/health", two)[0] == 400
    assert TOKEN not in caplog.text


def test_a_web_socket_is_closed(application):
    assert ask_in_process(application, kind="websocket", headers=[HOST]) == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/" + "a" * 3_000, [], 400),
        ("/v1/health?" + "a" * 3_000, [], 400),
        ("/v1/health", [(b"content-length", b"5")], 413),
        ("/v1/health", [(b"transfer-encoding", b"chunked")], 413),
        ("/v1/health", [(b"content-length", b"0")], 200),
        ("/v1/health", [(b"x", b"a" * 20_000)], 431),
        ("/v1/health", [(b"x%d" % number, b"a") for number in range(100)], 431),
    ],
)
def test_requests_have_limits(application, path, headers, status):
    assert status_of(application, path, [HOST, *headers])[0] == status


@pytest.mark.parametrize(
    "path",
    [
        "/v1/servings/../../etc/passwd", "/v1/servings/%2e%2e/signal", "/v1/servings/demo/signals/..%2f..",
        "//evil.example/",
        "/v1/servings/demo/strategies/..%2f..%2fetc/signal", "/v1/servings/file:///etc/passwd/signal",
        "/v1/servings//signal", "/v1/servings/demo/signal/", "/v1/servings/demo/history/-1",
        "/v1/servings/demo/history/1e9", "/docs/", "/static/x",
        "/v1/servings/demo%00/signal", "/v1/servings/DEMO/signal",
    ],
)  # fmt: skip
def test_a_path_leads_to_a_route_or_to_nothing(application, path):
    status, headers, body = status_of(application, path, [HOST])
    assert status in (404, 422)
    assert b"location" not in headers
    assert json.loads(body)["status"] == status
    assert b"Traceback" not in body


def test_what_fails_is_told_without_its_reason(parts, caplog):
    class Broken:
        def read_head(self):
            raise StoreUnavailableError("no answer from /secret/pool.db")

    demo = DemoServing()
    reader = ServingReader(demo.ledger, demo.scores)
    latest = LatestSignals([reader])
    latest.refresh()
    reader._ledger = Broken()
    application = make_application([reader], latest, AccessRules.for_names(["127.0.0.1"], 8801))
    status, _, body = status_of(application, "/v1/servings/demo", [HOST])
    assert status == 503
    assert b"secret" not in body
    assert "secret" in caplog.text

    async def fails(scope, receive, send):
        raise RuntimeError("the secret")

    status, _, body = status_of(RequestGuard(fails, AccessRules.for_names(["127.0.0.1"], 8801), latest), "/x", [HOST])
    assert status == 500
    assert b"secret" not in body


def test_it_listens_on_the_loopback_interface_only():
    with serve_api() as client:
        port = client.base_url.port
        assert client.get("/v1/health").status_code == 200
        with open_socket(ListenAddress(port=0)) as opened:
            assert opened.getsockname()[0] == "127.0.0.1"
        for other in ("127.0.0.2", "127.255.255.254"):  # of the same interface, and yet not its address
            with pytest.raises(OSError, match="refused"), socket.create_connection((other, port), timeout=2):
                pass
        answer = send_raw(client, f"GET /v1/health HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert b"200" in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize("begun", [b"", b"GET /v1/health HTTP/1.1\r\nx: "])
def test_a_connection_that_never_ends_its_head_is_closed_and_one_that_asks_is_not(monkeypatch, begun):
    monkeypatch.setattr("rollwright.web.server._HEAD_SECONDS", 0.1)
    with serve_api() as client:
        for _ in range(3):
            assert send_raw(client, begun) == b""
            assert client.get("/v1/health").status_code == 200  # over one connection, which stays


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (ListenAddress(host="0.0.0.0"), "no token"),
        (ListenAddress(host="::"), "no token"),
        (ListenAddress(host="192.168.0.1"), "no token"),
        (ListenAddress(host="research.example"), "no token"),
        (ListenAddress(host="0.0.0.0", token=TOKEN), "by which name"),
    ],
)
def test_another_address_needs_a_token_and_a_name(address, said):
    with pytest.raises(ConfigError, match=said):
        open_socket(address)


def test_an_address_that_is_taken_or_not_of_this_machine_is_told():
    with open_socket(ListenAddress(port=0)) as opened:
        opened.listen(1)
        with pytest.raises(ConfigError, match="cannot be listened on") as told:
            open_socket(ListenAddress(port=opened.getsockname()[1]))
        assert "--port" in told.value.hint
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "localhost.evil.example", "10.0.0.1")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_ledger_that_cannot_be_read_makes_the_latest_signal_unknown_after_a_while():
    class Hand:
        now_is = 0.0

        def now(self):
            raise AssertionError

        def monotonic(self):
            return self.now_is

        def sleep(self, seconds):
            raise AssertionError(seconds)

    demo = DemoServing()
    demo.serve("2024-01-02")
    reader, clock = ServingReader(demo.ledger, demo.scores), Hand()
    latest = LatestSignals([reader], patience=30, clock=clock)
    latest.refresh()
    application = make_application([reader], latest, AccessRules.for_names(["127.0.0.1"], 8801))

    def fail():
        raise StoreUnavailableError("gone")

    reader.read_head = fail
    clock.now_is = 29.0
    latest.refresh()
    assert status_of(application, "/v1/servings/demo/signal", [HOST])[0] == 200
    assert status_of(application, "/v1/readiness", [HOST])[0] == 200
    clock.now_is = 31.0
    latest.refresh()
    assert status_of(application, "/v1/servings/demo/signal", [HOST])[0] == 503
    assert status_of(application, "/v1/readiness", [HOST])[0] == 503
