"""Ask the ledger of a serving: what was live, what was done, whether all of it is as it was written."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from rollwright.app.online.record import open_ledger
from rollwright.app.online.serving import open_serving
from rollwright.core.atomic import write_text
from rollwright.core.canonical import JSON
from rollwright.errors import ConfigError, DataStorageError
from rollwright.online.audit import LiveSession, what_was_live
from rollwright.online.entry import KINDS, LedgerEntry, read_session
from rollwright.online.signal_store import experiment_of
from rollwright.online.verification import LedgerVerification, export_entries, verify_ledger
from rollwright.tracking.r import R

__all__ = [
    "ExportedLedger",
    "LedgerHistory",
    "ServingVerification",
    "ask_what_was_live",
    "export_ledger",
    "read_history",
    "read_known",
    "verify_serving",
]

_DIGITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHistory:
    """Entries of a ledger.

    Attributes
    ----------
    serving : str
    entries : tuple of LedgerEntry
        In order.
    total : int
        Entries of the whole ledger.
    """

    serving: str
    entries: tuple[LedgerEntry, ...]
    total: int

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"serving": self.serving, "total": self.total, "entries": [entry.to_json() for entry in self.entries]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingVerification:
    """What was found of a whole ledger.

    Attributes
    ----------
    ledger : LedgerVerification
    unreferenced : tuple of str
        Stored scores that no entry names: what a killed process leaves; None of them was ever published.
    """

    ledger: LedgerVerification
    unreferenced: tuple[str, ...]

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {**self.ledger.to_json(), "unreferenced": list[JSON](self.unreferenced)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLedger:
    """A ledger as a file, one entry a line.

    Attributes
    ----------
    serving : str
    file : Path
    entries : int
    head : str
        Digest of the last one.
    """

    serving: str
    file: Path
    entries: int
    head: str

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"serving": self.serving, "file": str(self.file), "entries": self.entries, "head": self.head}


def ask_what_was_live(
    session: str, name: str | None = None, *, at: datetime | None = None, project: Path | None = None
) -> LiveSession:
    """Return what was live for a session, and why; see `rollwright.online.audit.what_was_live`.

    Raises
    ------
    ConfigError
        When `session` is none.
    """
    read_session(session)
    with open_ledger(name, project=project) as opened:
        return what_was_live(opened.ledger, session, at=at)


def read_history(
    name: str | None = None,
    *,
    since: date | None = None,
    kinds: Collection[str] = (),
    limit: int | None = None,
    project: Path | None = None,
) -> LedgerHistory:
    """Return the entries of a ledger.

    Parameters
    ----------
    name : str, optional
    since : date, optional
        Leaves out what was done before that day, in UTC.
    kinds : collection of str
        Only those; all if empty.
    limit : int, optional
        The last so many only.
    project : Path, optional

    Raises
    ------
    ConfigError
        For a kind of entry that there is none of.
    """
    unknown = sorted({*kinds} - {*KINDS})
    if unknown:
        raise ConfigError(f"no entry is of the kind `{unknown[0]}`", hint=f"kinds: {', '.join(KINDS)}")
    with open_ledger(name, project=project) as opened:
        head, _ = opened.read_head()
        first = 1
        if since is not None:
            day = f"{since:%Y-%m-%d}"
            before = opened.ledger.find_last(lambda entry: entry.at < day)
            first = 1 if before is None else before.number + 1
        if limit is not None and not kinds:
            first = max(first, head.number + 1 - limit)
        listed = opened.ledger.list_entries(first, head.number + 1)
        entries = [entry for entry in listed if not kinds or entry.kind in kinds]
        kept = entries if limit is None else entries[max(0, len(entries) - limit) :]
        return LedgerHistory(serving=opened.name, entries=tuple(kept), total=head.number)


def read_known(texts: Collection[str]) -> dict[int, str]:
    """Return digests of entries that were noted elsewhere, each written ``NUMBER:DIGEST``.

    Raises
    ------
    ConfigError
        For a text of another form.
    """
    found: dict[int, str] = {}
    for text in texts:
        number, _, digest = text.partition(":")
        if (
            not number.isascii()
            or not number.isdigit()
            or len(digest) != _DIGITS
            or not {*digest} <= {*"0123456789abcdef"}
        ):
            raise ConfigError(
                f"{text[:100]!r} is no digest of an entry", hint="write NUMBER:DIGEST, as a signal's note has them"
            )
        found[int(number)] = digest
    return found


def verify_serving(
    name: str | None = None,
    *,
    known: Mapping[int, str] | None = None,
    signals: bool = False,
    project: Path | None = None,
) -> ServingVerification:
    """Read every entry of a ledger and return what does not fit; nothing is written.

    Parameters
    ----------
    name : str, optional
    known : mapping of int to str, optional
        Digests of entries that were noted elsewhere.
    signals : bool, default False
        Whether each stored signal is compared with its digest, and those looked for that no entry names.
    project : Path, optional
    """
    with ExitStack() as stack:
        if not signals:
            ledger = stack.enter_context(open_ledger(name, project=project)).ledger
            return ServingVerification(ledger=verify_ledger(ledger, known=known), unreferenced=())
        serving = stack.enter_context(open_serving(name, project=project))
        found = verify_ledger(serving.ledger, known=known, load_signal=serving.signals.load)
        return ServingVerification(ledger=found, unreferenced=_list_unreferenced(serving.name, found))


def _list_unreferenced(name: str, found: LedgerVerification) -> tuple[str, ...]:
    experiment = experiment_of(name)
    if experiment not in R.list_experiments():
        return ()
    stored = [
        (recorder_id, artifact)
        for recorder_id, recorder in R.list_recorders(experiment_name=experiment).items()
        for artifact in recorder.list_artifacts()
    ]
    return tuple(
        sorted(
            f"{recorder}/{artifact}" for recorder, artifact in stored if (recorder, artifact) not in found.references
        )
    )


def export_ledger(file: Path, name: str | None = None, *, project: Path | None = None) -> ExportedLedger:
    """Write a ledger as a file, one entry a line in canonical JSON; the file is whole or not there.

    Raises
    ------
    LedgerError
        At an entry that is damaged.
    DataStorageError
        When the file cannot be written.
    """
    with open_ledger(name, project=project) as opened:
        lines = list(export_entries(opened.ledger))
        head, _ = opened.read_head()
        try:
            write_text(file, "".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise DataStorageError(
                f"{file} cannot be written: {error.strerror or error}", hint="name another file"
            ) from error
        return ExportedLedger(
            serving=opened.name,
            file=file,
            entries=len(lines),
            head=json.loads(lines[-1])["digest"] if lines else head.digest,
        )
