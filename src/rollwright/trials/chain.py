"""A chain: a file to which records are only ever added, each of which holds the SHA-256 of the one before.

A line is the SHA-256 of its text, a space, the text, which is canonical JSON, and a line feed. Whoever changes a record
changes the digest that the next one holds, and whoever removes a file removes what records of other chains know of it:
each holds the last record (a `Head`) of every other chain at its making. What that proves, and what not, is in
decision 124.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeGuard

from rollwright.core.bounded_read import MEDIUM, SMALL, open_regular, read_rest
from rollwright.core.canonical import JSON, dump_canonical, parse_json, sha256_hex
from rollwright.errors import TaskValueError

__all__ = [
    "CHAIN_SUFFIX",
    "FORMAT",
    "NO_DIGEST",
    "WRITER",
    "Chain",
    "ChainRecord",
    "Damage",
    "Head",
    "heads_from_json",
    "heads_to_json",
    "read_chain",
]

FORMAT: Final = 1
CHAIN_SUFFIX: Final = ".chain"
NO_DIGEST: Final = "0" * 64
"""What stands in the first record of a chain for the digest of the one before."""
WRITER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]{0,39}-[A-Za-z0-9][A-Za-z0-9_.]{0,39}-[0-9a-f]{12}")
"""Machine, user, and twelve random digits."""

_LONGEST_LINE: Final = SMALL
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KIND: Final = re.compile(r"[a-z][a-z_]{0,31}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FIELDS: Final = frozenset(("before", "body", "format", "heads", "kind", "number", "time", "writer"))
_DIGITS: Final = 64
_SHOWN: Final = 80
_MOST_RECORDS: Final = 10**7


class Head(NamedTuple):
    """The last record of a chain, as it was known at some time: its number, from 1, and its digest."""

    number: int
    digest: str


class Damage(NamedTuple):
    """What does not fit in a chain: its file's name, the line, from 1 (0: the file as a whole), and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRecord:
    """One record.

    Attributes
    ----------
    writer : str
        Who wrote it, and the name of the chain's file.
    number : int
        From 1 on.
    kind : str
    time : str
        When it was written, in UTC, by the clock of the machine.
    before : str
        Digest of the record before.
    heads : mapping of str to Head
        The other chains, as they were then.
    body : mapping
        What it says; the reader of each kind checks it.
    """

    writer: str
    number: int
    kind: str
    time: str
    before: str
    heads: Mapping[str, Head]
    body: Mapping[str, JSON]

    @property
    def text(self) -> str:
        """Its canonical JSON."""
        return dump_canonical({
            "before": self.before,
            "body": dict(self.body),
            "format": FORMAT,
            "heads": heads_to_json(self.heads),
            "kind": self.kind,
            "number": self.number,
            "time": self.time,
            "writer": self.writer,
        })  # fmt: skip

    @property
    def digest(self) -> str:
        """SHA-256 of its text, in hex."""
        return sha256_hex(self.text.encode())

    @property
    def line(self) -> bytes:
        """The line of its file."""
        text = self.text.encode()
        return sha256_hex(text).encode() + b" " + text + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a chain's file holds.

    Attributes
    ----------
    writer : str
    records : tuple of ChainRecord
        Those that can be read, in order; also those behind a damaged one, since a damage must hide nothing.
    digests : tuple of str
        Of the records.
    damage : tuple of Damage
    torn : int
        Bytes behind the last line feed: of a record whose writer died, or is writing now. It was never reported as
        written.
    size : int
        Bytes up to there.
    """

    writer: str
    records: tuple[ChainRecord, ...]
    digests: tuple[str, ...]
    damage: tuple[Damage, ...]
    torn: int
    size: int

    @property
    def head(self) -> Head:
        """The last record; number 0 of a chain without one."""
        return Head(self.records[-1].number, self.digests[-1]) if self.records else Head(0, NO_DIGEST)


def heads_to_json(heads: Mapping[str, Head]) -> dict[str, JSON]:
    """Return heads as JSON."""
    return {writer: [head.number, head.digest] for writer, head in heads.items()}


def heads_from_json(value: JSON) -> dict[str, Head]:
    """Return the heads of what `heads_to_json` made.

    Raises
    ------
    ValueError
        When it is of another form.
    """
    if not isinstance(value, dict):
        raise ValueError("`heads` is no mapping")
    found: dict[str, Head] = {}
    for writer, pair in value.items():
        if not WRITER.fullmatch(writer) or not isinstance(pair, list) or len(pair) != len(Head._fields):
            raise ValueError(f"a head that is none: {writer[:_SHOWN]!r}")
        number, digest = pair
        if not _is_number(number) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"a head that is none: {writer[:_SHOWN]!r}")
        found[writer] = Head(number, digest)
    return found


def _is_number(value: JSON) -> TypeGuard[int]:
    """Tell whether a record may have this number: one that nobody reaches would be so many records that are lost."""
    return type(value) is int and 1 <= value <= _MOST_RECORDS


def read_chain(path: Path) -> Chain:
    """Return what the file holds; nothing of it is followed, built or believed, and no damage raises.

    Raises
    ------
    FileNotFoundError
    OSError
        When it is a link, a pipe or a device, larger than 256 MiB, or cannot be read.
    """
    with open_regular(path, follow=False) as file:
        data = read_rest(file, limit=MEDIUM)
    return parse_chain(data, name=path.name)


def parse_chain(data: bytes, *, name: str) -> Chain:
    """Return what the bytes of the chain's file `name` hold; see `read_chain`."""
    writer = name.removesuffix(CHAIN_SUFFIX)
    records: list[ChainRecord] = []
    digests: list[str] = []
    damage: list[Damage] = []
    before = Head(0, NO_DIGEST)
    *lines, torn = data.split(b"\n")
    for place, line in enumerate(lines, 1):
        try:
            record, digest = _parse_line(line)
        except (TaskValueError, ValueError, RecursionError) as error:
            damage.append(Damage(name, place, str(getattr(error, "message", error))[: _SHOWN * 3]))
            before = Head(before.number + 1, "")
            continue
        reason = _find_break(record, writer, before)
        if reason is not None:
            damage.append(Damage(name, place, reason))
        records.append(record)
        digests.append(digest)
        before = Head(record.number, digest)
    return Chain(
        writer=writer,
        records=tuple(records),
        digests=tuple(digests),
        damage=tuple(damage),
        torn=len(torn),
        size=len(data) - len(torn),
    )


def _find_break(record: ChainRecord, writer: str, before: Head) -> str | None:
    """Return why a record does not follow the one before it; None where it does."""
    if record.writer != writer:
        return "the record is of another chain"
    if record.number != before.number + 1:
        return f"record {record.number} stands behind record {before.number}: records were taken out, or put in"
    if before.digest and record.before != before.digest:
        return f"record {before.number} is not the one that record {record.number} was written behind"
    return None


def _parse_line(line: bytes) -> tuple[ChainRecord, str]:
    """Return the record of a line, and its digest, which is compared before anything is parsed."""
    if len(line) > _LONGEST_LINE:
        raise ValueError(f"a record of {len(line):,} bytes: more than {_LONGEST_LINE:,} are not read")
    digest, text = line[:_DIGITS].decode("ascii", "replace"), line[_DIGITS + 1 :]
    if line[_DIGITS : _DIGITS + 1] != b" " or not _DIGEST.fullmatch(digest):
        raise ValueError("this is no record of a chain")
    if sha256_hex(text) != digest:
        raise ValueError("the record was changed: its text has another SHA-256 than it was written with")
    value = parse_json(text.decode())
    if not isinstance(value, dict) or "format" not in value:
        raise ValueError("the record has no format")
    if value["format"] != FORMAT:
        found = value["format"]
        known = f"this version of rollwright reads format {FORMAT}"
        raise ValueError(f"the record has format {found if isinstance(found, int) else '?'}, and {known}")
    return _from_json(value), digest


def _from_json(value: dict[str, JSON]) -> ChainRecord:
    """Return a record of its JSON; every field is checked, and no other one may be there."""
    if value.keys() != _FIELDS:
        raise ValueError(f"the record's fields are {', '.join(sorted(value))[:_SHOWN]}")
    writer, number, kind, time = value["writer"], value["number"], value["kind"], value["time"]
    before, body = value["before"], value["body"]
    if not _is_number(number):
        raise ValueError("the record's number is none")
    if not (isinstance(writer, str) and WRITER.fullmatch(writer)):
        raise ValueError("the record's writer is none")
    if not (isinstance(kind, str) and _KIND.fullmatch(kind)):
        raise ValueError("the record's kind is none")
    if not (isinstance(time, str) and _TIME.fullmatch(time)):
        raise ValueError("the record's time is none")
    if not (isinstance(before, str) and _DIGEST.fullmatch(before)):
        raise ValueError("the record's `before` is no digest")
    if not isinstance(body, dict):
        raise ValueError("the record's body is no mapping")
    return ChainRecord(
        writer=writer,
        number=number,
        kind=kind,
        time=time,
        before=before,
        heads=heads_from_json(value["heads"]),
        body=body,
    )
