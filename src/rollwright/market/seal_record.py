"""The record of a project's seals: which holdouts were sealed and opened, by whom, when and why.

A file of one JSON object a line in ``.rollwright/``, to which nothing but lines is added: each holds the SHA-256 of the
line before it, so that a line that was changed or taken out is found. The whole file is replaced at each addition,
under a lock; it has a handful of lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from rollwright.calendar.holdout import Holdout
from rollwright.config.holdout_setting import RECORD_FILE, read_holdout
from rollwright.core.atomic import make_folder, write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.canonical import dump_canonical, parse_json, sha256_hex
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.locks import file_lock
from rollwright.errors import ConfigError, CorruptFileError, DataStorageError, RollwrightError

if TYPE_CHECKING:
    from rollwright.trials.chain import ChainRecord

__all__ = [
    "SealRecord",
    "add_record",
    "find_record_file",
    "find_recorded",
    "list_opened",
    "list_sealed",
    "read_records",
]

FORMAT: Final = 1
_LOCK: Final = "holdout.lock"
_NOTHING: Final = ""
_LONGEST: Final = 2_000
_KEYS: Final = frozenset({"format", "kind", "start", "end", "origin", "reason", "by", "at", "before"})
_HINT: Final = "restore it from a copy: it says which sessions nobody has looked at, and nothing else can tell"

Kind = Literal["sealed", "opened"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRecord:
    """One line: a holdout was sealed, or opened.

    Attributes
    ----------
    kind : {"sealed", "opened"}
    start, end : str
        The holdout; its end may be ``open``.
    origin : str
        Where the setting came from.
    reason : str
        Why it was opened; empty for a sealing.
    by : str
        ``user@host``.
    at : str
        When, UTC.
    before : str
        SHA-256 of the line before; empty for the first.
    format : int
    """

    kind: Kind
    start: str
    end: str
    origin: str
    reason: str
    by: str
    at: str
    before: str
    format: int = FORMAT

    @property
    def holdout(self) -> Holdout:
        """The days, and who sealed them."""
        who = f"{self.origin}; recorded {self.at[:10]} by {self.by}"
        return Holdout.from_setting((self.start, self.end), origin=who)

    def to_line(self) -> str:
        """Return the line, without its end."""
        return dump_canonical(asdict(self))


def find_record_file(state_dir: Path) -> Path:
    """Return where the record of a project lies, whose ``.rollwright`` folder is given."""
    return state_dir / RECORD_FILE


def read_records(path: Path) -> tuple[SealRecord, ...]:
    """Return every record, oldest first; none when there is no file.

    Raises
    ------
    CorruptFileError
        When a line is none, or does not follow the one before it.
    """
    try:
        text = read_text(path, limit=SMALL)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptFileError(path, f"it cannot be read: {error}", hint=_HINT) from error
    found: list[SealRecord] = []
    before = _NOTHING
    if not text.endswith("\n"):
        raise CorruptFileError(path, "its last line has no end", hint=_HINT)
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        record = _read_line(line)
        if record is None:
            raise CorruptFileError(path, f"line {number} is no record of a holdout", hint=_HINT)
        if record.before != before:
            raise CorruptFileError(path, f"line {number} does not follow the one before it", hint=_HINT)
        before = sha256_hex(line.encode())
        found.append(record)
    return tuple(found)


def _read_line(line: str) -> SealRecord | None:
    try:
        values = parse_json(line)
    except ConfigError:
        return None
    if not isinstance(values, Mapping) or set(values) != _KEYS or values["format"] != FORMAT:
        return None
    texts = {name: value for name, value in values.items() if isinstance(value, str) and len(value) <= 2 * _LONGEST}
    if set(texts) != _KEYS - {"format"} or texts["kind"] not in get_args(Kind):
        return None
    pair = (texts["start"], texts["end"])
    try:
        if read_holdout(pair) != pair:
            return None
    except ValueError:
        return None
    return SealRecord(
        kind="opened" if texts["kind"] == "opened" else "sealed", start=texts["start"], end=texts["end"],
        origin=texts["origin"], reason=texts["reason"], by=texts["by"], at=texts["at"], before=texts["before"],
    )  # fmt: skip


def add_record(
    path: Path, kind: Kind, holdouts: Iterable[Holdout], *, reason: str = "", clock: Clock | None = None
) -> tuple[SealRecord, ...]:
    """Add a line for each of `holdouts` that has none of the kind yet, and return those that were added.

    Each is added to the project's registry of trials before, as ``holdout_sealed`` or ``holdout_opened``.

    Guarantees: after a kill or a power failure there are all of the lines or none; two processes that add at once lose
    nothing, and do not say a thing twice.

    Raises
    ------
    CorruptFileError
        As `read_records`.
    DataStorageError
        When the file cannot be written.
    ConfigError
        For a reason that is longer than 2,000 characters.
    """
    if len(reason) > _LONGEST:
        raise ConfigError(f"the reason has {len(reason):,} characters, more than {_LONGEST:,}", hint="say it shorter")
    at = (clock or SystemClock()).now().isoformat(timespec="seconds")
    try:
        make_folder(path.parent)
        with file_lock(path.with_name(_LOCK)):
            records = read_records(path)
            lines = [record.to_line() for record in records]
            known = [record.holdout for record in records if record.kind == kind]
            added: list[SealRecord] = []
            for holdout in holdouts:
                if holdout in known:
                    continue
                start, end = holdout.pair
                record = SealRecord(
                    kind=kind, start=start, end=end, origin=_plain(holdout.origin[:_LONGEST]), reason=_plain(reason),
                    by=_plain(_name_writer()), at=at, before=sha256_hex(lines[-1].encode()) if lines else _NOTHING,
                )  # fmt: skip
                lines.append(record.to_line())
                known.append(holdout)
                added.append(record)
            if added:
                _add_to_trials(path.parent, added, clock)
                write_text(path, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise DataStorageError(
            f"{path} cannot be written: {error.strerror or error}", hint="make room, or make the folder writable"
        ) from error
    return tuple(added)


def _add_to_trials(state_dir: Path, records: Sequence[SealRecord], clock: Clock | None) -> None:
    """Say it in the registry of trials too, first: its chains tell of a seal whose own record was removed."""
    from rollwright.trials.registry import TrialRegistry  # noqa: PLC0415 - wanted once or twice in a project's life

    bodies = [
        (f"holdout_{record.kind}", {key: asdict(record)[key] for key in ("start", "end", "origin", "reason", "by")})
        for record in records
    ]
    TrialRegistry(state_dir, clock=clock).append(bodies)


def find_recorded(records: Iterable[ChainRecord], kind: Kind) -> dict[Holdout, ChainRecord]:
    """Return the holdouts that the registry of trials says were sealed, or opened, each with the first record of it.

    It is asked where the project's own record may have been removed. What nothing of ours wrote is passed over.
    """
    found: dict[Holdout, ChainRecord] = {}
    for record in records:
        if record.kind == f"holdout_{kind}":
            with suppress(ValueError, RollwrightError):
                pair = read_holdout([record.body.get("start"), record.body.get("end")])
                if pair is not None:
                    found.setdefault(Holdout.from_setting(pair, origin=record.writer), record)
    return found


def _plain(text: str) -> str:
    """Return `text` as what UTF-8 can write: a command line may hold bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _name_writer() -> str:
    import getpass  # noqa: PLC0415 - wanted once in a project's life
    import socket  # noqa: PLC0415 - the same

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in containers
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def list_opened(records: Iterable[SealRecord]) -> tuple[Holdout, ...]:
    """Return the holdouts that were opened, in the order of their opening: for good, a seal is not mended."""
    return tuple(record.holdout for record in records if record.kind == "opened")


def list_sealed(records: Iterable[SealRecord]) -> tuple[Holdout, ...]:
    """Return the holdouts that were sealed and not opened since, in the order of their sealing."""
    known = tuple(records)
    opened = list_opened(known)
    return tuple(record.holdout for record in known if record.kind == "sealed" and record.holdout not in opened)
