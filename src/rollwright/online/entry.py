"""One entry of a serving's ledger, and the digest that ties it to the one before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from rollwright.core.canonical import JSON, dump_canonical, normalise, sha256_hex
from rollwright.core.text import escape_text
from rollwright.errors import ConfigError, LedgerError

__all__ = [
    "FORMAT",
    "KINDS",
    "NO_DIGEST",
    "Author",
    "EntryKind",
    "LedgerEntry",
    "is_session",
    "read_session",
    "take_session",
]

FORMAT: Final = 1
NO_DIGEST: Final = "0" * 64
"""What stands in the first entry for the digest of the one before."""

EntryKind = Literal[
    "init", "strategy", "roles", "open", "train", "switch", "score", "publish", "refuse", "skip", "alarm", "notify"
]
KINDS: Final[tuple[EntryKind, ...]] = get_args(EntryKind)

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_SESSION: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?")
_FIELDS: Final = frozenset(
    ("format", "serving", "number", "kind", "at", "by", "reason", "session", "before", "body", "state", "digest")
)
_LONGEST_TEXT: Final = 4_000


def is_session(value: object) -> bool:
    """Tell whether `value` is a session as entries write it: ``2024-05-17``, with a time of day if it has one."""
    if not isinstance(value, str) or _SESSION.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:  # 2024-13-01
        return False
    return True


def read_session(text: str) -> str:
    """Return the session that somebody asks for.

    Raises
    ------
    ConfigError
        When it is none.
    """
    if not is_session(text):
        raise ConfigError(f"{escape_text(text, longest=80)!r} is no session", hint="write it as 2024-05-17")
    return text


def take_session(value: object, what: str) -> str:
    """Return `value` when it is a session.

    Raises
    ------
    LedgerError
    """
    if not isinstance(value, str) or not is_session(value):
        raise LedgerError(f"{what} is {str(value)[:80]!r}, and a session is written as 2024-05-17")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who made an entry: the user and the machine, as the operating system names them, and the version that wrote."""

    user: str
    host: str
    version: str

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"user": self.user, "host": self.host, "version": self.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What was done once: by whom, when, why, and how the serving stood after it.

    Attributes
    ----------
    serving : str
    number : int
        From 1 on.
    kind : str
        One of `KINDS`.
    at : str
        When, in UTC, by the clock of who wrote it; never before the entry before it.
    by : Author
    reason : str
        What its author gave as the reason, "" where none was asked for.
    session : str or None
        Which session it is about.
    before : str
        Digest of the entry before, `NO_DIGEST` for the first.
    body : mapping
        What was done; `rollwright.online.state` checks it.
    state : mapping
        How the serving stands after it, as `ServingState.to_json` writes it.
    """

    serving: str
    number: int
    kind: EntryKind
    at: str
    by: Author
    reason: str
    session: str | None
    before: str
    body: Mapping[str, JSON]
    state: Mapping[str, JSON]

    @property
    def text(self) -> str:
        """Its canonical JSON, without the digest."""
        return dump_canonical(self._plain())

    @property
    def digest(self) -> str:
        """SHA-256 of its text, in hex."""
        return sha256_hex(self.text.encode())

    def _plain(self) -> dict[str, JSON]:
        return {
            "format": FORMAT,
            "serving": self.serving,
            "number": self.number,
            "kind": self.kind,
            "at": self.at,
            "by": self.by.to_json(),
            "reason": self.reason,
            "session": self.session,
            "before": self.before,
            "body": dict(self.body),
            "state": dict(self.state),
        }

    def to_json(self) -> dict[str, JSON]:
        """Return it with its digest, as it is stored and exported."""
        plain = self._plain()
        return {**plain, "digest": sha256_hex(dump_canonical(plain).encode())}

    @classmethod
    def from_json(cls, value: object, *, serving: str, number: int) -> LedgerEntry:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
            When it is none, another serving's or of another number, or its digest is not that of what it says.
        """
        place = f"entry {number} of serving {serving}"
        if not isinstance(value, Mapping) or value.keys() != _FIELDS:
            raise LedgerError(f"{place} is no entry of a ledger", hint=_CHANGED)
        if value["format"] != FORMAT:
            raise LedgerError(
                f"{place} is of format {escape_text(value['format'], longest=20)}, and this version reads {FORMAT}",
                hint="use the version of rollwright that wrote it",
            )
        entry = _build(value, place)
        if (entry.serving, entry.number) != (serving, number):
            raise LedgerError(
                f"{place} says that it is entry {entry.number} of `{escape_text(entry.serving, longest=80)}`",
                hint=_CHANGED,
            )
        if value["digest"] != entry.digest:
            raise LedgerError(f"{place} does not have the digest of what it says", hint=_CHANGED)
        return entry


_CHANGED: Final = "somebody changed the pool's database: `rollwright online audit --verify` names what does not fit"


def _build(value: Mapping[str, Any], place: str) -> LedgerEntry:
    by = value["by"]
    texts = [value[name] for name in ("serving", "at", "reason", "before", "digest")]
    problems = [
        not all(isinstance(text, str) and len(text) <= _LONGEST_TEXT for text in texts),
        type(value["number"]) is not int or value["number"] < 1,
        value["kind"] not in KINDS,
        not (value["session"] is None or is_session(value["session"])),
        not isinstance(value["body"], dict) or not isinstance(value["state"], dict),
        not isinstance(by, dict) or by.keys() != {"user", "host", "version"},
    ]
    if any(problems) or not all(isinstance(text, str) and len(text) <= _LONGEST_TEXT for text in by.values()):
        raise LedgerError(f"{place} lacks a value, or has one of another type", hint=_CHANGED)
    if not _TIME.fullmatch(value["at"]) or not _DIGEST.fullmatch(value["before"]):
        raise LedgerError(f"{place} has a time or a digest that is none", hint=_CHANGED)
    return LedgerEntry(
        serving=value["serving"],
        number=value["number"],
        kind=value["kind"],
        at=value["at"],
        by=Author(**by),
        reason=value["reason"],
        session=value["session"],
        before=value["before"],
        body=_plain_json(value["body"], place),
        state=_plain_json(value["state"], place),
    )


def _plain_json(value: Mapping[str, Any], place: str) -> dict[str, JSON]:
    plain = normalise(value, path=place)
    if not isinstance(plain, dict):
        raise LedgerError(f"{place} holds a value that is no JSON object", hint=_CHANGED)
    return plain
