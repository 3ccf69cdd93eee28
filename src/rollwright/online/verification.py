"""Verifying a ledger as a whole: the digest of every entry, its place in the chain, and that it follows from the last.

What it cannot see alone: somebody who may write to the database can write the whole chain anew, from an entry to the
last one, with digests that fit. Digests that left the machine before (each delivered signal and notification names its
entry's) are given as `known`, and show that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rollwright.core.canonical import JSON, dump_canonical, parse_json
from rollwright.core.text import escape_text
from rollwright.errors import LedgerError, TaskValueError
from rollwright.online.entry import NO_DIGEST, LedgerEntry
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import ServingState, SignalReference, read_references
from rollwright.online.transitions import apply_entry
from rollwright.pool.states import Status

__all__ = ["LedgerProblem", "LedgerVerification", "export_entries", "list_references", "verify_ledger"]

_PAGE: Final = 500
_SHOWN_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerProblem:
    """Something in a ledger that is not as it was written.

    Attributes
    ----------
    number : int or None
        Of the entry; None where it is about something else in the pool.
    text : str
    """

    number: int | None
    text: str

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"number": self.number, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerVerification:
    """What was found.

    Attributes
    ----------
    serving : str
    entries : int
        Entries that were read.
    head : str
        Digest of the last one, `NO_DIGEST` where there is none.
    signals : int
        Signals that were compared with their digests.
    references : frozenset of tuple
        Recorder and artifact of all scores that an entry names.
    problems : tuple of LedgerProblem
        In the order of the entries; empty where all is as it was written.
    """

    serving: str
    entries: int
    head: str
    signals: int
    references: frozenset[tuple[str, str]]
    problems: tuple[LedgerProblem, ...]

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, without the references."""
        return {
            "serving": self.serving,
            "entries": self.entries,
            "head": self.head,
            "signals": self.signals,
            "problems": [problem.to_json() for problem in self.problems],
        }


def verify_ledger(
    ledger: ServingLedger,
    *,
    known: Mapping[int, str] | None = None,
    load_signal: Callable[[SignalReference], object] | None = None,
) -> LedgerVerification:
    """Read every entry and return what does not fit.

    Parameters
    ----------
    ledger : ServingLedger
    known : mapping of int to str, optional
        Digests of entries that were noted elsewhere.
    load_signal : callable, optional
        Reads the scores that a reference names, and raises a `LedgerError` where they are not those; nothing is
        compared if not given.

    Guarantees: every damaged, missing or unexpected entry is named, not only the first; nothing is written.
    """
    known = dict(known or {})
    numbers, problems = _list_numbers(ledger)
    walk = _Walk(known=known, load_signal=load_signal)
    for first in range(0, len(numbers), _PAGE):
        page = numbers[first : first + _PAGE]
        for number, found in sorted(ledger.examine_many(page).items()):
            walk.take(number, found)
    for number in sorted(number for number in known if number not in {*numbers}):
        walk.tell(number, f"entry {number} was known by its digest, and is not there")
    problems += walk.problems
    return LedgerVerification(
        serving=ledger.serving,
        entries=walk.entries,
        head=walk.head,
        signals=len(walk.compared),
        references=frozenset(walk.references),
        problems=tuple(sorted(problems, key=lambda one: (one.number is None, one.number or 0))),
    )


def export_entries(ledger: ServingLedger) -> Iterator[str]:
    """Yield each entry as a line of canonical JSON, in order, as a program in any language can verify it.

    Raises
    ------
    LedgerError
        At an entry that is damaged.
    """
    for entry in ledger.list_entries():
        yield dump_canonical(entry.to_json())


def list_references(entry: LedgerEntry) -> list[SignalReference]:
    """Return the scores that an entry names.

    Raises
    ------
    LedgerError
    """
    found: list[SignalReference] = []
    if entry.kind == "score":
        found += read_references(entry.body.get("scores")).values()
    if entry.kind in ("score", "publish", "refuse"):
        found.append(SignalReference.from_json(entry.body.get("signal")))
    return found


def _list_numbers(ledger: ServingLedger) -> tuple[list[int], list[LedgerProblem]]:
    """Return the numbers of the committed entries, and what else lies in the pool that should not."""
    committed: set[int] = set()
    others: list[tuple[int | None, str]] = []
    for record in ledger.store.find(ledger.pool):
        number = _read_number(record.canonical, ledger.serving)
        if number is None:
            task, said = escape_text(record.task_id, longest=40), escape_text(record.canonical, longest=80)
            others.append((None, f"task {task} of the pool is no entry of this ledger: {said}"))
        elif record.status is Status.DONE:
            if record.fingerprint == ledger.fingerprint_of(number):
                committed.add(number)
            else:
                others.append((number, f"entry {number} stands under an identity that is not its own"))
        else:
            others.append((number, f"entry {number} is not committed: its task is {record.status.value}"))
    last = max(committed, default=0)  # the next one may be on its way
    problems = [LedgerProblem(number=number, text=text) for number, text in others if number is None or number <= last]
    return sorted(committed), problems


def _read_number(canonical: str, serving: str) -> int | None:
    try:
        definition: Any = parse_json(canonical)
    except TaskValueError:
        return None
    if not isinstance(definition, dict) or definition.keys() != {"serving", "entry"}:
        return None
    number = definition["entry"]
    return number if definition["serving"] == serving and type(number) is int and number >= 1 else None


class _Walk:
    """Goes along the entries, with what each must follow from."""

    def __init__(self, *, known: Mapping[int, str], load_signal: Callable[[SignalReference], object] | None) -> None:
        self.problems: list[LedgerProblem] = []
        self.references: set[tuple[str, str]] = set()
        self.compared: set[SignalReference] = set()
        self.entries = 0
        self.head = NO_DIGEST
        self._known = known
        self._load_signal = load_signal
        self._last_number = 0
        self._before: LedgerEntry | None = None

    def tell(self, number: int, text: str) -> None:
        self.problems.append(LedgerProblem(number=number, text=text))

    def take(self, number: int, found: LedgerEntry | LedgerError) -> None:
        if number > self._last_number + 1:
            self._tell_missing(self._last_number + 1, number - 1)
            self._before = None
        follows = self._last_number == number - 1 and (self._before is not None or number == 1)
        self._last_number = number
        if isinstance(found, LedgerError):
            self.tell(number, found.message)
            self._before = None
            return
        self.entries += 1
        self.head = found.digest
        if self._known.get(number, found.digest) != found.digest:
            self.tell(
                number,
                f"entry {number} is not the one that was known as {self._known[number][:_SHOWN_DIGITS]}: it, or one "
                "before it, was written anew with all that follow",
            )
        if follows:
            self._compare(found)
        self._take_references(found)
        self._before = found

    def _tell_missing(self, first: int, last: int) -> None:
        if first == last:
            self.tell(first, f"entry {first} is missing")
        else:
            self.tell(first, f"entries {first} to {last} are missing")

    def _compare(self, entry: LedgerEntry) -> None:
        before, number = self._before, entry.number
        if entry.before != (NO_DIGEST if before is None else before.digest):
            self.tell(number, f"entry {number} does not hold the digest of entry {number - 1}: one was written anew")
        if before is not None and entry.at < before.at:
            self.tell(number, f"entry {number} was made at {entry.at}, before entry {number - 1}")
        try:
            state = None if before is None else ServingState.from_json(before.state)
            after = apply_entry(state, kind=entry.kind, session=entry.session, body=entry.body, number=number)
        except LedgerError as error:
            self.tell(number, f"entry {number} does not follow: {error.message}")
        else:
            if after.to_json() != entry.state:
                self.tell(
                    number, f"entry {number} says that the serving stands otherwise than follows from what it did"
                )

    def _take_references(self, entry: LedgerEntry) -> None:
        try:
            references = list_references(entry)
        except LedgerError as error:
            self.tell(entry.number, f"entry {entry.number} names its scores wrongly: {error.message}")
            return
        for reference in references:
            self.references.add((reference.recorder, reference.artifact))
            if self._load_signal is not None and reference not in self.compared:
                self.compared.add(reference)
                try:
                    self._load_signal(reference)
                except LedgerError as error:
                    self.tell(entry.number, error.message)
