"""What stands before every route: who may ask, by which name, and how much; and the shortest way to the latest signal.

A page of another site that a browser has open can send requests to 127.0.0.1, under a name of its own that leads there.
So a request is answered only under a name that this server goes by, and from no other site; and nothing but GET and
HEAD is, of which none changes anything.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rollwright.web.latest import LatestSignals
from rollwright.web.media import Media, accepts_gzip, choose_media
from rollwright.web.problems import PROBLEM_TYPE, SAFETY_HEADERS, make_problem
from rollwright.web.renditions import Rendition

__all__ = ["AccessRules", "RequestGuard"]

_logger: Final = logging.getLogger("rollwright.web")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_LONGEST_TARGET: Final = 2_048
_MOST_HEADERS: Final = 64
_LONGEST_HEADERS: Final = 16_384
_CHOICES_KEPT: Final = 512
_SAFETY: Final = [(name.encode(), value.encode()) for name, value in SAFETY_HEADERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """Under which names the server answers, and to whom.

    Attributes
    ----------
    hosts : frozenset of str
        Values of the header ``Host``, lower case, with the port.
    token : str or None
        What a client shows as ``Authorization: Bearer TOKEN``; None where none is asked for.
    """

    hosts: frozenset[str]
    token: str | None = None

    @classmethod
    def for_names(cls, names: Iterable[str], port: int, *, token: str | None = None) -> AccessRules:
        """Return the rules of a server that goes by these names on a port."""
        hosts = {f"{name.lower()}:{port}" for name in names}
        return cls(hosts=frozenset(hosts | ({name.lower() for name in names} if port == 80 else set())), token=token)


@dataclass(frozen=True, slots=True)
class _Refusal(Exception):  # noqa: N818 - an answer, not a failure
    status: int
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


_Headers = Mapping[bytes, bytes]
_ONCE: Final = frozenset((b"host", b"origin", b"authorization", b"sec-fetch-site", b"sec-fetch-mode"))
_READ: Final = _ONCE | {b"accept", b"accept-encoding", b"if-none-match", b"content-length", b"transfer-encoding"}


class RequestGuard:
    """The outermost application: refuses what is not to be answered, and sends the latest signal itself.

    Parameters
    ----------
    application : ASGI application
        Answers everything else.
    rules : AccessRules
    latest : LatestSignals

    Guarantees: no request passes around it, whatever its type; the token is compared in constant time; what fails
    behind it is told as a problem, and in the log, never to the client.
    """

    def __init__(self, application: Application, rules: AccessRules, latest: LatestSignals) -> None:
        self._application = application
        self._latest = latest
        self._hosts = frozenset(host.encode() for host in rules.hosts)
        self._origins = frozenset(b"http://" + host for host in self._hosts) | frozenset(
            b"https://" + host for host in self._hosts
        )
        self._token = None if rules.token is None else _digest(rules.token.encode())
        self._choices: dict[tuple[bytes, bytes], tuple[Media | None, bool]] = {}
        self._heads: dict[tuple[int, bool], tuple[Rendition, list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            asked = _read_headers(scope)
            self._check(scope, asked)
        except _Refusal as refusal:
            await _send_problem(send, refusal.status, refusal.detail, headers=refusal.headers)
            return
        if not scope["query_string"]:
            look = self._latest.find_by_path(scope["raw_path"])
            if look is not None and look.renditions:
                media, zipped = self._choose(asked)
                if media is not None:
                    await self._send_rendition(
                        send, look.renditions[media], zipped=zipped, known=asked.get(b"if-none-match", b"")
                    )
                    return
        await self._pass_on(scope, receive, send)

    def _check(self, scope: Scope, asked: _Headers) -> None:
        """Refuse what is not answered."""
        if asked.get(b"host", b"").lower() not in self._hosts:
            raise _Refusal(421, "this server does not go by the name that the header Host gives")
        origin = asked.get(b"origin")
        is_elsewhere = asked.get(b"sec-fetch-site") == b"cross-site" and asked.get(b"sec-fetch-mode") != b"navigate"
        if is_elsewhere or (origin is not None and origin.lower() not in self._origins):
            raise _Refusal(403, "pages of other sites are not answered")
        if self._token is not None and not _is_token(asked.get(b"authorization", b""), self._token):
            raise _Refusal(401, "this server asks for a token", (("www-authenticate", 'Bearer realm="rollwright"'),))
        if scope["method"] not in ("GET", "HEAD"):
            allowed = (("allow", "GET, HEAD"),)
            raise _Refusal(405, "only GET and HEAD are answered: nothing is changed from here", allowed)
        if len(scope["raw_path"]) + len(scope["query_string"]) > _LONGEST_TARGET:
            raise _Refusal(400, f"an address has {_LONGEST_TARGET} characters at most")
        if b"transfer-encoding" in asked or asked.get(b"content-length", b"0").strip() != b"0":
            raise _Refusal(413, "a request has no body here", (("connection", "close"),))

    def _choose(self, asked: _Headers) -> tuple[Media | None, bool]:
        key = (asked.get(b"accept", b""), asked.get(b"accept-encoding", b""))
        found = self._choices.get(key)
        if found is None:
            if len(self._choices) >= _CHOICES_KEPT:
                self._choices.clear()
            chosen = choose_media(key[0].decode("latin-1"))
            found = self._choices[key] = (chosen, accepts_gzip(key[1].decode("latin-1")))
        return found

    async def _send_rendition(self, send: Send, rendition: Rendition, *, zipped: bool, known: bytes) -> None:
        key = (id(rendition), zipped)
        kept = self._heads.get(key)
        if kept is None or kept[0] is not rendition:
            if len(self._heads) >= _CHOICES_KEPT:
                self._heads.clear()
            full = [*_encode(rendition.headers(zipped=zipped)), *_SAFETY]
            kept = self._heads[key] = (rendition, full, [*_encode(rendition.validators(zipped=zipped)), *_SAFETY])
        if known and is_known(known.decode("latin-1"), dict(rendition.validators(zipped=zipped))["etag"]):
            await send({"type": "http.response.start", "status": 304, "headers": kept[2]})
            await send({"type": "http.response.body", "body": b""})
            return
        body = rendition.zipped if zipped and rendition.zipped is not None else rendition.body
        await send({"type": "http.response.start", "status": 200, "headers": kept[1]})
        await send({"type": "http.response.body", "body": body})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, HEAD as GET without its body, and tell of what fails without saying what."""
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _SAFETY if pair[0] not in given)]
            await send(message)

        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._application(inner, receive, send_safely)
        except Exception:  # the boundary of a request: the server goes on
            _logger.exception("serve.failed path=%s", scope["path"])
            if not started:
                await _send_problem(send, 500, "the server failed; its log says more")


def is_known(header: str, etag: str) -> bool:
    """Tell whether a client has what `etag` names, by its header ``If-None-Match``."""
    if header.strip() == "*":
        return True
    return etag in {part.strip().removeprefix("W/") for part in header[:4_096].split(",")}


def _read_headers(scope: Scope) -> _Headers:
    """Return the headers that matter here, and refuse what no browser and no client sends."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    size, found = 0, dict[bytes, bytes]()
    for name, value in headers:
        size += len(name) + len(value)
        if name not in _READ:
            continue
        if name in found and name in _ONCE:
            raise _Refusal(400, f"a request has one header {name.decode().title()}")
        found[name] = found[name] + b"," + value if name in found else value
    if len(headers) > _MOST_HEADERS or size > _LONGEST_HEADERS:
        raise _Refusal(431, f"a request has {_MOST_HEADERS} headers of {_LONGEST_HEADERS} bytes in all at most")
    return found


def _is_token(authorization: bytes, digest: bytes) -> bool:
    scheme, _, token = authorization.partition(b" ")
    return hmac.compare_digest(digest, _digest(token.strip())) and scheme.lower() == b"bearer"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _encode(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _send_problem(send: Send, status: int, detail: str, *, headers: Iterable[tuple[str, str]] = ()) -> None:
    body = make_problem(status, detail)
    sent = [("content-type", PROBLEM_TYPE), ("content-length", str(len(body))), *headers]
    await send({"type": "http.response.start", "status": status, "headers": [*_encode(sent), *_SAFETY]})
    await send({"type": "http.response.body", "body": body})
