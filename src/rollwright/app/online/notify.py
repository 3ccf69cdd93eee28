"""Tell of what happened, at least once: what is to be told stands in the ledger, and so does what was.

Each target has a mark in the ledger: the last ``notify`` entry that names it says up to which entry it was told. Who is
killed between telling and marking tells again, under the same key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rollwright.app.online.notification import Notification, NotifyTarget, find_event, make_targets, make_test
from rollwright.campaign.online_section import NotifySection
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import NotificationError, RollwrightError
from rollwright.online.entry import LedgerEntry
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.state import ServingState

__all__ = [
    "DeliveryReport",
    "PendingNotification",
    "Undelivered",
    "deliver_notifications",
    "list_pending",
    "send_trial",
    "tell_afterwards",
]

_logger: Final = logging.getLogger("rollwright.app")

_WAITS: Final = (1.0, 4.0)
"""Seconds before each further attempt."""
_PAGE: Final = 200
_STALE: Final = 1_000
"""Entries after which a mark is renewed, so that finding it stays cheap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingNotification:
    """What somebody is still to be told.

    Attributes
    ----------
    target : str
        What the target is called.
    told : Notification
    """

    target: str
    told: Notification


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Whom something could not be told.

    Attributes
    ----------
    target : str
    entry : int
        The first one that was not told; those after it wait.
    waiting : int
        How many wait, that one included.
    reason : str
    """

    target: str
    entry: int
    waiting: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What was told now.

    Attributes
    ----------
    delivered : tuple of PendingNotification
    undelivered : tuple of Undelivered
        At most one for each target: what comes after waits, so that the order is kept.
    """

    delivered: tuple[PendingNotification, ...]
    undelivered: tuple[Undelivered, ...]


def deliver_notifications(
    ledger: ServingLedger, sections: Sequence[NotifySection], *, clock: Clock | None = None
) -> DeliveryReport:
    """Tell each target, in order, of what happened since it was told last; mark it in the ledger.

    A target that is new is told of the last session that was closed, and of what comes after it. One that cannot be
    told is tried three times within some seconds, and again at the next call; the others do not wait for it.

    Parameters
    ----------
    ledger : ServingLedger
    sections : sequence of NotifySection
        The campaign's ``online: notify:``; addresses come from there alone.
    clock : Clock, optional

    Guarantees: each event is told to each target that wants it at least once, with the same key each time; never
    raises for a target.

    Raises
    ------
    LedgerError
        When the ledger is damaged.
    """
    waiting: Clock = clock if clock is not None else SystemClock()
    delivered: list[PendingNotification] = []
    undelivered: list[Undelivered] = []
    for target, mark in _find_marks(ledger, sections):
        due = _list_due(ledger, target, mark)
        numbers: list[int] = []
        for place, told in enumerate(due.told):
            reason = _tell(target, told, waiting)
            if reason is not None:
                _logger.warning("notify.undelivered serving=%s entry=%d reason=%s", ledger.serving, told.entry, reason)
                undelivered.append(
                    Undelivered(target=target.shown, entry=told.entry, waiting=len(due.told) - place, reason=reason)
                )
                due = due.cut_before(told.entry)
                break
            numbers.append(told.entry)
            delivered.append(PendingNotification(target=target.shown, told=told))
        _mark(ledger, target, due, numbers)
    return DeliveryReport(delivered=tuple(delivered), undelivered=tuple(undelivered))


@contextmanager
def tell_afterwards(
    ledger: ServingLedger, sections: Sequence[NotifySection], *, clock: Clock | None = None
) -> Iterator[None]:
    """Deliver notifications after the block, also where it ends with an error of ours, such as a refused signal.

    One that is ended otherwise, as by Ctrl-C, tells nobody: the next one does.
    """
    try:
        yield
    except RollwrightError:
        deliver_notifications(ledger, sections, clock=clock)
        raise
    deliver_notifications(ledger, sections, clock=clock)


def list_pending(ledger: ServingLedger, sections: Sequence[NotifySection]) -> list[PendingNotification]:
    """Return what is still to be told, by target; nothing is told, and nothing is written."""
    return [
        PendingNotification(target=target.shown, told=told)
        for target, mark in _find_marks(ledger, sections)
        for told in _list_due(ledger, target, mark).told
    ]


def send_trial(
    serving: str, sections: Sequence[NotifySection], *, clock: Clock | None = None
) -> list[tuple[str, str | None]]:
    """Send each target a trial, once; return each with why it was not told, None where it was."""
    now = (clock if clock is not None else SystemClock()).now()
    trial = make_test(serving, f"{now:%Y-%m-%dT%H:%M:%S.%f}Z")
    return [(target.shown, _send(target, trial)) for target in make_targets(sections)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """Up to which entry a target was told."""

    through: int
    entry: int
    """The entry that says so; 0 where none does yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """What a target is to be told, and up to which entry it is told then."""

    mark: _Mark
    through: int
    told: tuple[Notification, ...]

    def cut_before(self, entry: int) -> _Due:
        """Return it with what comes before an entry."""
        kept = tuple(one for one in self.told if one.entry < entry)
        return _Due(mark=self.mark, through=entry - 1, told=kept)


def _find_marks(ledger: ServingLedger, sections: Sequence[NotifySection]) -> list[tuple[NotifyTarget, _Mark]]:
    """Return the targets, each once, with their marks; a target without one begins at the last session that closed."""
    targets = {target.identity: target for target in make_targets(sections)}
    head = ledger.read_head()
    if head is None or not targets:
        return []
    found: dict[str, _Mark] = {}
    for entry in _walk_back(ledger, head.number):
        if entry.kind == "notify":
            name, through = entry.body.get("target"), entry.body.get("through")
            if isinstance(name, str) and isinstance(through, int) and name in targets and name not in found:
                found[name] = _Mark(through=through, entry=entry.number)
        if len(found) == len(targets):
            break
    last = ServingState.from_json(head.state).last
    begin = _Mark(through=head.number if last is None else last.entry - 1, entry=0)
    return [(target, found.get(name, begin)) for name, target in targets.items()]


def _walk_back(ledger: ServingLedger, number: int) -> Iterator[LedgerEntry]:
    stop = number + 1
    while stop > 1:
        start = max(1, stop - _PAGE)
        yield from [*ledger.list_entries(start, stop)][::-1]
        stop = start


def _list_due(ledger: ServingLedger, target: NotifyTarget, mark: _Mark) -> _Due:
    told, through = [], mark.through
    for entry in ledger.list_entries(mark.through + 1):
        through = entry.number
        event = find_event(entry)
        if event is not None and event in target.events:
            told.append(Notification.of(entry, event))
    return _Due(mark=mark, through=through, told=tuple(told))


def _mark(ledger: ServingLedger, target: NotifyTarget, due: _Due, numbers: Sequence[int]) -> None:
    """Append up to which entry a target is told, where that is new and worth an entry."""
    is_stale = due.through - due.mark.entry > _STALE
    if not (numbers or due.mark.entry == 0 or is_stale):
        return

    def decide(_: ServingState | None) -> Draft | None:
        since = ledger.list_entries(max(due.mark.entry, due.mark.through) + 1)
        if any(_is_mark(entry, target.identity, due.through) for entry in since):
            return None  # another process told it meanwhile, and further
        body: dict[str, JSON] = {"target": target.identity, "through": due.through, "delivered": [*numbers]}
        return Draft(kind="notify", body=body)

    ledger.append(decide)
    _logger.info("notify.delivered serving=%s through=%d count=%d", ledger.serving, due.through, len(numbers))


def _is_mark(entry: LedgerEntry, identity: str, through: int) -> bool:
    body: Mapping[str, object] = entry.body
    told = body.get("through")
    return entry.kind == "notify" and body.get("target") == identity and isinstance(told, int) and told >= through


def _tell(target: NotifyTarget, told: Notification, clock: Clock) -> str | None:
    """Tell a target, again after a while where it fails; return why it was not told."""
    reason = _send(target, told)
    for wait in _WAITS:
        if reason is None:
            return None
        clock.sleep(wait)
        reason = _send(target, told)
    return reason


def _send(target: NotifyTarget, told: Notification) -> str | None:
    try:
        target.send(told)
    except NotificationError as error:
        return error.message
    return None
