"""What was watched of each published session: kept beside the ledger, from which it can be made anew."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.canonical import JSON
from rollwright.errors import LedgerError, OnlineError
from rollwright.online.entry import LedgerEntry, take_session
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import OnlineModel, ServingState, SignalReference
from rollwright.online.stored_values import take_count, take_fields, take_list, take_text
from rollwright.online.watch.events import WatchEvent, read_event
from rollwright.online.watch.feature_drift import FeatureReference

__all__ = ["WatchRecord", "WatchedDay", "read_record"]

_logger: Final = logging.getLogger("rollwright.online")

_FORMAT: Final = 1
_DAY: Final = ("session", "model", "signal", "ic", "far", "named")
_RECORD: Final = (
    "format",
    "serving",
    "first",
    "entry",
    "days",
    "events",
    "reference_of",
    "reference",
    "label_sessions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedDay:
    """A published session.

    Attributes
    ----------
    session : str
    model : OnlineModel
        Of the champion by whose label and features it is watched: the model that was online.
    signal : SignalReference
        What was published.
    ic : float or None
        Its rank IC; NaN where there is none, None while its label is not known.
    far : float or None
        The share of its features that are far from the reference; NaN where there is none, None while it was not
        measured.
    named : tuple of str
        Some features that are far.
    """

    session: str
    model: OnlineModel
    signal: SignalReference
    ic: float | None = None
    far: float | None = None
    named: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "session": self.session,
            "model": self.model.to_json(),
            "signal": self.signal.to_json(),
            "ic": _write(self.ic),
            "far": _write(self.far),
            "named": list(self.named),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        LedgerError
        """
        fields = take_fields(value, _DAY, "a watched session")
        return cls(
            session=take_session(fields["session"], "a watched session"),
            model=OnlineModel.from_json(fields["model"]),
            signal=SignalReference.from_json(fields["signal"]),
            ic=_read(fields["ic"]),
            far=_read(fields["far"]),
            named=take_list(fields["named"], lambda text: take_text(text, "a feature"), "features"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRecord:
    """All that was watched of a serving.

    Attributes
    ----------
    serving : str
    first : str
        Digest of the ledger's first entry; "" while there is none.
    entry : int
        Number of the last entry that was looked at.
    days : tuple of WatchedDay
        In order.
    events : tuple of WatchEvent
        Those that the ledger holds.
    reference_of : str
        The recorder whose features are compared with `reference`.
    reference : FeatureReference or None
    label_sessions : int
        Over how many sessions the return of the label runs; 0 while that was not asked.
    """

    serving: str
    first: str = ""
    entry: int = 0
    days: tuple[WatchedDay, ...] = ()
    events: tuple[WatchEvent, ...] = ()
    reference_of: str = ""
    reference: FeatureReference | None = None
    label_sessions: int = 0

    def read_on(self, ledger: ServingLedger, *, judge: str | None = None) -> WatchRecord:
        """Return it with what the ledger holds after the last entry that was looked at.

        Parameters
        ----------
        ledger : ServingLedger
        judge : str, optional
            The champion by whose label and features sessions are watched; the first by name if not given, or where it
            was none.
        """
        days, events, entry, first = list(self.days), list(self.events), self.entry, self.first
        for one in ledger.list_entries(entry + 1):
            entry, first = one.number, first or one.digest
            event = read_event(one)
            if event is not None:
                events.append(event)
            if one.kind == "publish":
                days.append(_read_day(one, judge))
        return replace(self, days=tuple(days), events=tuple(events), entry=entry, first=first)

    def with_days(self, changed: Mapping[str, WatchedDay]) -> WatchRecord:
        """Return it with some days, by their session, replaced."""
        return replace(self, days=tuple(changed.get(day.session, day) for day in self.days))

    def list_ics(self, *, after: str | None = None) -> dict[str, float]:
        """Return the coefficients of the sessions whose label is known, in order."""
        return _after(((day.session, day.ic) for day in self.days), after)

    def list_shares(self, *, after: str | None = None) -> dict[str, float]:
        """Return the shares of features that are far, in order."""
        return _after(((day.session, day.far) for day in self.days), after)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "format": _FORMAT,
            "serving": self.serving,
            "first": self.first,
            "entry": self.entry,
            "days": [day.to_json() for day in self.days],
            "events": [event.to_json() for event in self.events],
            "reference_of": self.reference_of,
            "reference": None if self.reference is None else self.reference.to_json(),
            "label_sessions": self.label_sessions,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        OnlineError
        """
        fields = take_fields(value, _RECORD, "what was watched")
        if fields["format"] != _FORMAT:
            raise LedgerError(f"what was watched is of format {str(fields['format'])[:20]}, not {_FORMAT}")
        reference = fields["reference"]
        return cls(
            serving=take_text(fields["serving"], "the serving that was watched"),
            first=take_text(fields["first"], "the first entry"),
            entry=take_count(fields["entry"], "the last entry"),
            days=take_list(fields["days"], WatchedDay.from_json, "watched sessions"),
            events=take_list(fields["events"], WatchEvent.from_json, "alarms"),
            reference_of=take_text(fields["reference_of"], "the recorder of a reference"),
            reference=None if reference is None else FeatureReference.from_json(reference),
            label_sessions=take_count(fields["label_sessions"], "the sessions of a label"),
        )

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_text(path, json.dumps(self.to_json(), allow_nan=False, separators=(",", ":")) + "\n")


def read_record(path: Path, ledger: ServingLedger) -> WatchRecord:
    """Return what was watched of a serving; an empty record where that is not there or is of another ledger.

    A file that is damaged is told in the log, and what it held is made anew.
    """
    empty = WatchRecord(serving=ledger.serving)
    try:
        record = WatchRecord.from_json(json.loads(read_text(path, limit=MEDIUM)))
    except FileNotFoundError:
        return empty
    except (OSError, ValueError, RecursionError, OnlineError) as error:
        _logger.warning("watch.record_damaged path=%s error=%s", path, error)
        return empty
    head = ledger.read_head()
    if head is None or record.serving != ledger.serving or head.number < record.entry:
        return empty
    return record if not record.entry or ledger.read(1).digest == record.first else empty


def _read_day(entry: LedgerEntry, judge: str | None) -> WatchedDay:
    state = ServingState.from_json(entry.state)
    champions = state.with_role("champion")
    name = judge if judge in champions else champions[0]
    models = state.strategies[name].online
    if entry.session is None or not models:
        raise LedgerError(f"entry {entry.number} published a session without a model of `{name}` online")
    return WatchedDay(
        session=entry.session,
        model=max(models, key=lambda model: (model.serves_from, model.recorder)),
        signal=SignalReference.from_json(entry.body.get("signal")),
    )


def _after(values: Iterable[tuple[str, float | None]], after: str | None) -> dict[str, float]:
    return {
        session: value for session, value in values if value is not None and (after is None or session > after)
    }  # fmt: skip


def _write(value: float | None) -> JSON:
    return "none" if value is not None and math.isnan(value) else value


def _read(value: Any) -> float | None:
    if value == "none":
        return math.nan
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise LedgerError(f"{str(value)[:40]!r} is no figure of a session")
