"""What watching told in the ledger: alarms, data that are late, and that somebody looked at an alarm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args

from rollwright.core.canonical import JSON
from rollwright.errors import OnlineError
from rollwright.online.entry import LedgerEntry, take_session
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.state import ServingState
from rollwright.online.stored_values import take_fields, take_one_of, take_text

__all__ = ["EventName", "WatchEvent", "acknowledge", "append_event", "find_acknowledged", "list_standing", "read_event"]

EventName = Literal["alarm", "late", "acknowledged"]
_NAMES: Final[tuple[EventName, ...]] = get_args(EventName)
_FIELDS: Final = ("event", "quantity", "since", "value", "bound", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """What an entry of the kind ``alarm`` tells.

    Attributes
    ----------
    event : {"alarm", "late", "acknowledged"}
    quantity : str
        What it is about.
    since : str
        The session at which the bound was crossed, or that is late; of an acknowledgement, the last one it covers.
    value, bound : str
        As people read them.
    text : str
        What happened.
    """

    event: EventName
    quantity: str
    since: str
    value: str = ""
    bound: str = ""
    text: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same event."""
        return (self.event, self.quantity, self.since)

    def to_json(self) -> dict[str, JSON]:
        """Return it as the body of an entry."""
        return {
            "event": self.event,
            "quantity": self.quantity,
            "since": self.since,
            "value": self.value,
            "bound": self.bound,
            "text": self.text,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, _FIELDS, "an alarm")
        return cls(
            event=take_one_of(fields["event"], _NAMES, "the event of an alarm"),
            since=take_session(fields["since"], "the session of an alarm"),
            **{name: take_text(fields[name], f"{name} of an alarm") for name in ("quantity", "value", "bound", "text")},
        )


def read_event(entry: LedgerEntry) -> WatchEvent | None:
    """Return what an entry tells; None for one of another kind, and for an alarm that something else raised."""
    if entry.kind != "alarm" or "event" not in entry.body:
        return None
    return WatchEvent.from_json(dict(entry.body))


def find_acknowledged(events: Iterable[WatchEvent], quantity: str) -> str | None:
    """Return the session up to which alarms of a quantity are acknowledged; None where none is."""
    return max((one.since for one in events if one.event == "acknowledged" and one.quantity == quantity), default=None)


def list_standing(events: Iterable[WatchEvent]) -> tuple[WatchEvent, ...]:
    """Return the alarms that nobody has acknowledged yet, in order; what is late stands by itself while it is."""
    given = tuple(events)
    standing = []
    for one in given:
        until = find_acknowledged(given, one.quantity)
        if one.event == "alarm" and (until is None or until < one.since):
            standing.append(one)
    return tuple(standing)


def append_event(ledger: ServingLedger, event: WatchEvent, *, reason: str = "", seen: int = 0) -> LedgerEntry | None:
    """Append an event, once: None when the ledger has it already.

    Parameters
    ----------
    ledger : ServingLedger
    event : WatchEvent
    reason : str
        What a person gives as the reason.
    seen : int
        Number of an entry up to which the ledger is known not to hold it.
    """

    def decide(state: ServingState | None) -> Draft | None:
        if state is None:
            raise OnlineError(f"serving {ledger.serving} has not begun, so there is nothing to watch")
        there = (read_event(entry) for entry in ledger.list_entries(seen + 1))
        if any(one is not None and one.key == event.key for one in there):
            return None
        return Draft(kind="alarm", session=event.since, body=event.to_json(), reason=reason)

    return ledger.append(decide)


def acknowledge(
    ledger: ServingLedger, events: Iterable[WatchEvent], quantity: str, *, reason: str, until: str, seen: int = 0
) -> LedgerEntry | None:
    """Note that somebody looked at the alarms of a quantity, which is watched anew from the next session on.

    Parameters
    ----------
    ledger : ServingLedger
    events : iterable of WatchEvent
        Those that the ledger holds.
    quantity : str
    reason : str
    until : str
        The last session that was watched.
    seen : int
        As `append_event` takes it.

    Raises
    ------
    OnlineError
        When there is nothing to acknowledge, or no reason is given.
    """
    standing = [one for one in list_standing(events) if one.quantity == quantity]
    if not reason.strip():
        raise OnlineError("an acknowledgement needs a reason", hint="say what you found: --reason TEXT")
    if not standing:
        raise OnlineError(f"no alarm of `{quantity}` stands", hint="`rollwright online watch` shows what does")
    last = max(until, *(one.since for one in standing))
    text = f"{len(standing)} alarm{'s' * (len(standing) > 1)} looked at; watched anew after {last}"
    event = WatchEvent(event="acknowledged", quantity=quantity, since=last, text=text)
    return append_event(ledger, event, reason=reason.strip(), seen=seen)
