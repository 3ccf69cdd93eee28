"""What somebody is told of an entry of the ledger, and where it goes: a web address or a command of the user's own."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, get_args
from urllib.parse import urlsplit

from rollwright import __version__
from rollwright.campaign.online_section import NotifyEvent, NotifySection
from rollwright.core.canonical import JSON, canonical_json, sha256_hex
from rollwright.core.posix import kill_group
from rollwright.core.text import escape_text
from rollwright.errors import NotificationError
from rollwright.online.entry import LedgerEntry

__all__ = ["CommandTarget", "Notification", "NotifyTarget", "WebhookTarget", "find_event", "make_targets", "make_test"]

FORMAT: Final = 1
WEBHOOK_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 30.0
_LONGEST_ERROR: Final = 2_000
_EVENTS: Final = get_args(NotifyEvent)
_BY_KIND: Final[Mapping[str, NotifyEvent]] = {"publish": "published", "refuse": "refused"}
_BY_ALARM: Final[Mapping[str, NotifyEvent]] = {"alarm": "alarm", "late": "late"}


def find_event(entry: LedgerEntry) -> NotifyEvent | None:
    """Return what an entry is to those who are told; None where nobody is."""
    if entry.kind == "roles":
        return "promoted"
    if entry.kind == "alarm":
        return _BY_ALARM.get(str(entry.body.get("event")))
    return _BY_KIND.get(entry.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What is told of one entry.

    Attributes
    ----------
    event : str
        One of the events of the campaign's file; ``test`` for a trial.
    serving : str
    entry : int
        Number of the entry; 0 for a trial.
    digest : str
        Of the entry.
    at, session, reason
        As the entry has them.
    details : mapping
        The body of the entry.
    """

    event: str
    serving: str
    entry: int
    digest: str
    at: str
    session: str | None
    reason: str
    details: Mapping[str, JSON] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: LedgerEntry, event: NotifyEvent) -> Notification:
        """Return what is told of an entry."""
        return cls(
            event=event,
            serving=entry.serving,
            entry=entry.number,
            digest=entry.digest,
            at=entry.at,
            session=entry.session,
            reason=entry.reason,
            details=entry.body,
        )

    @property
    def key(self) -> str:
        """The same each time that this is told, and for nothing else: whoever has seen it may ignore it."""
        return f"{sha256_hex(self.serving.encode())[:8]}-{self.entry}-{self.digest}"

    @property
    def text(self) -> str:
        """One line for people."""
        return _describe(self)

    def to_json(self) -> dict[str, JSON]:
        """Return what is sent; `docs/online.md` describes it."""
        return {
            "format": FORMAT,
            "key": self.key,
            "event": self.event,
            "serving": self.serving,
            "entry": self.entry,
            "digest": self.digest,
            "at": self.at,
            "session": self.session,
            "reason": self.reason,
            "text": self.text,
            "signal": _shorten_signal(self.details.get("signal")),
            "details": dict(self.details),
        }

    @property
    def body(self) -> bytes:
        """The JSON that is sent."""
        return json.dumps(self.to_json(), ensure_ascii=True, allow_nan=False).encode()


def make_test(serving: str, at: str) -> Notification:
    """Return a trial, which is of no entry."""
    return Notification(event="test", serving=serving, entry=0, digest="0" * 64, at=at, session=None, reason="")


def _shorten_signal(value: Any) -> dict[str, JSON] | None:
    """Return digest and rows of a reference, without where it lies."""
    if not isinstance(value, Mapping) or not {"sha256", "rows"} <= value.keys():
        return None
    return {"sha256": value["sha256"], "rows": value["rows"]}


def _describe(told: Notification) -> str:
    lead = f"{told.serving}: "
    session = f"session {told.session}"
    match told.event:
        case "published":
            signal_of = _shorten_signal(told.details.get("signal")) or {}
            after = ", after it was refused" if told.details.get("override") is True else ""
            return f"{lead}{session} is published, {signal_of.get('rows', 0)} names{after}"
        case "refused":
            return f"{lead}{session} is refused and not published: {'; '.join(_list_violations(told.details))}"
        case "promoted":
            roles = told.details.get("roles")
            given = roles if isinstance(roles, Mapping) else {}
            shown = ", ".join(f"{name} is {role} now" for name, role in sorted(given.items()))
            return f"{lead}{escape_text(shown)}"
        case "test":
            return f"{lead}this is a trial; nothing happened"
        case _:
            what = told.details.get("text") or told.reason or "see the entry"
            about = "" if told.session is None else f"{session}: "
            return f"{lead}{about}{escape_text(what, longest=500)}"


def _list_violations(details: Mapping[str, JSON]) -> list[str]:
    checks = details.get("checks")
    found = [
        escape_text(one.get("text") or one.get("name"), longest=200)
        for one in (checks if isinstance(checks, Sequence) and not isinstance(checks, str) else ())
        if isinstance(one, Mapping) and one.get("violated") is True
    ]
    return found or ["see the entry"]


class NotifyTarget(Protocol):
    """Somebody who is told."""

    @property
    def identity(self) -> str:
        """Names it in the ledger, where its address does not stand: an address may be a secret."""
        ...

    @property
    def shown(self) -> str:
        """What it is called in messages, without what may be a secret."""
        ...

    @property
    def events(self) -> frozenset[str]:
        """What it is told of."""
        ...

    def send(self, told: Notification) -> None:
        """Tell it.

        Raises
        ------
        NotificationError
            When it is not certain that it was told.
        """
        ...


def make_targets(sections: Sequence[NotifySection]) -> list[NotifyTarget]:
    """Return whom the items of ``online: notify:`` name; one that several name is one, told of what any says."""
    events: dict[tuple[str | None, tuple[str, ...]], frozenset[str]] = {}
    for section in sections:
        key = (section.webhook, tuple(section.command or ()))
        events[key] = events.get(key, frozenset()) | frozenset(section.on)
    return [
        CommandTarget(command=command, events=wanted) if url is None else WebhookTarget(url=url, events=wanted)
        for (url, command), wanted in events.items()
    ]


def _identify(what: JSON) -> str:
    return sha256_hex(canonical_json(what).encode())[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """A web address that is sent JSON by POST.

    Guarantees: nothing but this address is asked: a redirect is a failure, and no proxy stands between. It takes
    `seconds` at most once the name is looked up, whatever the server sends.
    """

    url: str
    events: frozenset[str] = frozenset(_EVENTS)
    seconds: float = WEBHOOK_SECONDS

    @property
    def identity(self) -> str:
        """Names it in the ledger."""
        return _identify({"webhook": self.url})

    @property
    def shown(self) -> str:
        """Its host."""
        return f"webhook at {urlsplit(self.url).hostname}"

    def send(self, told: Notification) -> None:
        """Post a notification.

        Raises
        ------
        NotificationError
            For any answer but 2xx, and for none.
        """
        split = urlsplit(self.url)
        host, port = split.hostname or "", split.port
        if split.scheme == "https":
            secured = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self.seconds, context=secured
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.seconds)
        headers = {
            "content-type": "application/json",
            "user-agent": f"rollwright/{__version__}",
            "idempotency-key": told.key,
        }
        target = f"{split.path or '/'}{f'?{split.query}' if split.query else ''}"
        cut = threading.Event()
        timer = threading.Timer(self.seconds, _cut, args=(connection, cut))
        try:
            connection.connect()
            timer.start()
            connection.request("POST", target, body=told.body, headers=headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise NotificationError(f"{self.shown} was not reached: {type(error).__name__}: {error}") from error
        finally:
            timer.cancel()
            connection.close()
        if cut.is_set():  # half an answer reads as a whole one
            raise NotificationError(f"{self.shown} did not answer within {self.seconds:g} s")
        if not 200 <= status < 300:
            more = ", a redirect, which is not followed" if 300 <= status < 400 else ""
            raise NotificationError(f"{self.shown} answered {status}{more}")


def _cut(connection: http.client.HTTPConnection, cut: threading.Event) -> None:
    """End a connection that takes too long; what waits for it fails."""
    cut.set()
    opened = connection.sock
    if opened is not None:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget:
    """A command that gets JSON on its standard input; no shell reads it.

    Guarantees: it and what it started are killed after `seconds`.
    """

    command: tuple[str, ...]
    events: frozenset[str] = frozenset(_EVENTS)
    seconds: float = COMMAND_SECONDS

    @property
    def identity(self) -> str:
        """Names it in the ledger."""
        return _identify({"command": list(self.command)})

    @property
    def shown(self) -> str:
        """Its program."""
        return f"command {escape_text(self.command[0], longest=80)}"

    def send(self, told: Notification) -> None:
        """Run the command.

        Raises
        ------
        NotificationError
            When it cannot be run, ends with anything but 0, or not in time.
        """
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(  # noqa: S603 - the user's own command, of the user's own file
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotificationError(f"{self.shown} cannot be run: {error}") from error
            try:
                process.communicate(told.body, timeout=self.seconds)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise NotificationError(f"{self.shown} did not end within {self.seconds:g} s") from error
            except BaseException:
                _kill(process)
                raise
            if process.returncode:
                said.seek(max(0, said.seek(0, os.SEEK_END) - _LONGEST_ERROR))
                last = said.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
                raise NotificationError(
                    f"{self.shown} ended with {process.returncode}: {escape_text(last, longest=300)}"
                )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started."""
    kill_group(process.pid)
    process.wait()
