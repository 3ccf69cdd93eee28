"""What was live for a session, and why: answered by the ledger alone, in a few queries however long it is.

Every entry holds how the serving stood after it, and sessions and times only grow along the ledger, so the entries that
a question is about are found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from rollwright.core.canonical import JSON
from rollwright.errors import OnlineError
from rollwright.online.checks.check import CheckResult
from rollwright.online.entry import LedgerEntry, take_session
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import (
    OnlineModel,
    Role,
    ServingState,
    SignalReference,
    StrategyState,
    StrategyStatus,
    read_references,
)
from rollwright.online.stored_values import take_list

__all__ = ["LiveModel", "LiveOutcome", "LiveSession", "LiveStrategy", "what_was_live"]

LiveOutcome = Literal["published", "refused", "skipped", "open", "not served"]
_MOST_ENTRIES: Final = 200
"""Entries of one session that are listed; a session has six, and alarms."""
_NEAR: Final = 12
"""Entries before a switch among which the training is looked for first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """A model that served, with the entries that say why.

    Attributes
    ----------
    model : OnlineModel
    trained : LedgerEntry or None
        The entry that says it was trained, or the first that has it online where none does.
    """

    model: OnlineModel
    trained: LedgerEntry | None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {**self.model.to_json(), "trained": None if self.trained is None else _brief(self.trained)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStrategy:
    """A strategy as it stood.

    Attributes
    ----------
    name, role, status, definition
        As the ledger has them.
    models : tuple of LiveModel
        Those that were online.
    role_entry, online_entry : LedgerEntry or None
        The entries that gave it its role and put its models online.
    scores : SignalReference or None
        Its scores of the session.
    """

    name: str
    role: Role
    status: StrategyStatus
    definition: str
    models: tuple[LiveModel, ...]
    role_entry: LedgerEntry | None
    online_entry: LedgerEntry | None
    scores: SignalReference | None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "role": self.role,
            "status": self.status,
            "definition": self.definition,
            "models": [model.to_json() for model in self.models],
            "role_entry": None if self.role_entry is None else _brief(self.role_entry),
            "online_entry": None if self.online_entry is None else _brief(self.online_entry),
            "scores": None if self.scores is None else self.scores.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """What was live for a session, and why.

    Attributes
    ----------
    serving, session : str
    outcome : {"published", "refused", "skipped", "open", "not served"}
        "not served" where the ledger passes over it: the market was closed, or it is not reached yet.
    text : str
        The outcome in a sentence.
    published : str or None
        The last session whose signal had been published then: the signal that was in force.
    generation : str
        Identity of the data, "" where it was not served.
    strategies : tuple of LiveStrategy
        By name.
    signal : SignalReference or None
        The champions' signal.
    checks : tuple of CheckResult
    entries : tuple of LedgerEntry
        Those about the session, in order, from its opening to the one that closed it.
    """

    serving: str
    session: str
    outcome: LiveOutcome
    text: str
    published: str | None
    generation: str
    strategies: tuple[LiveStrategy, ...]
    signal: SignalReference | None
    checks: tuple[CheckResult, ...]
    entries: tuple[LedgerEntry, ...]

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "serving": self.serving,
            "session": self.session,
            "outcome": self.outcome,
            "text": self.text,
            "published": self.published,
            "generation": self.generation,
            "strategies": [strategy.to_json() for strategy in self.strategies],
            "signal": None if self.signal is None else self.signal.to_json(),
            "checks": [check.to_json() for check in self.checks],
            "entries": [_brief(entry) for entry in self.entries],
        }


def _brief(entry: LedgerEntry) -> dict[str, JSON]:
    return {
        "number": entry.number,
        "kind": entry.kind,
        "at": entry.at,
        "by": entry.by.to_json(),
        "reason": entry.reason,
        "session": entry.session,
        "digest": entry.digest,
    }


def what_was_live(ledger: ServingLedger, session: str, *, at: datetime | None = None) -> LiveSession:
    """Return what was live for `session`, and the entries that say why.

    Parameters
    ----------
    ledger : ServingLedger
    session : str
        As ``2024-05-17``.
    at : datetime, optional
        As the ledger stood at that moment; as it stands now if not given.

    Guarantees: nothing is written, and the number of queries grows with the logarithm of the ledger.

    Raises
    ------
    LedgerError
        When `session` is none, or an entry that is read is damaged.
    OnlineError
        When the ledger had no entry then.
    """
    take_session(session, "the session that is asked about")
    limit = _write_limit(at)
    after = ledger.find_last(_until(limit, lambda state: state.reached is None or state.reached <= session))
    if after is None:
        when = "" if at is None else f" at {limit}"
        raise OnlineError(
            f"serving {ledger.serving} had no entry{when}",
            hint="`rollwright online history` lists what was done",
        )
    state = ServingState.from_json(after.state)
    outcome, text, closing = _find_outcome(ledger, after, state, session, limit)
    entries: tuple[LedgerEntry, ...] = ()
    if closing is not None:
        before = ledger.find_last(_until(limit, lambda state: state.reached is None or state.reached < session))
        first = 1 if before is None else before.number + 1
        entries = tuple(ledger.list_entries(first, min(closing.number + 1, first + _MOST_ENTRIES)))
        if entries[-1].number != closing.number:
            entries = (*entries, closing)
        state = ServingState.from_json(closing.state)
    scores = _read_scores(entries)
    last = state.last if state.last is not None and state.last.session == session else None
    generation = state.day.generation if outcome == "open" and state.day is not None else ""
    signal = state.day.signal if outcome == "open" and state.day is not None else None
    return LiveSession(
        serving=ledger.serving,
        session=session,
        outcome=outcome,
        text=text,
        published=state.published,
        generation=generation if last is None else last.generation,
        strategies=_find_strategies(ledger, state, scores),
        signal=signal if last is None else last.signal,
        checks=_read_checks(closing),
        entries=entries,
    )


def _until(limit: str | None, holds: Callable[[ServingState], bool]) -> Callable[[LedgerEntry], bool]:
    """Return what tells the entries up to a time for whose state something holds."""

    def is_before(entry: LedgerEntry) -> bool:
        if limit is not None and entry.at > limit:
            return False
        return holds(ServingState.from_json(entry.state))

    return is_before


def _write_limit(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise OnlineError(f"the moment {at} has no time zone", hint="write it as 2024-05-17T18:00:00+08:00")
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


_OUTCOMES: Final = {
    "published": "the signal of session {} was published",
    "refused": "the signal of session {} was made and not published",
    "skipped": "session {} was skipped",
}


def _find_outcome(
    ledger: ServingLedger, after: LedgerEntry, state: ServingState, session: str, limit: str | None
) -> tuple[LiveOutcome, str, LedgerEntry | None]:
    """Return how the session ended, in a sentence, with the entry that ended it."""
    if state.day is not None and state.day.session == session:
        return "open", f"session {session} was being served", after
    last = state.last
    if last is not None and last.session == session:
        return last.outcome, _OUTCOMES[last.outcome].format(session), ledger.read(last.entry)
    if session < state.begin:
        return "not served", f"serving begins with session {state.begin}", None
    following = ledger.read_many([after.number + 1]).get(after.number + 1)
    if following is None or (limit is not None and following.at > limit):
        return "not served", f"session {session} was not reached: the last one was {state.reached or 'none'}", None
    if following.kind == "skip":
        return "skipped", f"session {session} was skipped, with all up to {following.session}", following
    return (
        "not served",
        f"no session {session} was served: {state.reached or 'none'} was followed by {following.session}",
        None,
    )


def _read_scores(entries: tuple[LedgerEntry, ...]) -> Mapping[str, SignalReference]:
    for entry in entries:
        if entry.kind == "score":
            return read_references(entry.body.get("scores"))
    return {}


def _read_checks(closing: LedgerEntry | None) -> tuple[CheckResult, ...]:
    if closing is None or closing.kind not in ("publish", "refuse"):
        return ()
    return take_list(closing.body.get("checks", []), CheckResult.from_json, "the checks of a signal")


def _find_strategies(
    ledger: ServingLedger, state: ServingState, scores: Mapping[str, SignalReference]
) -> tuple[LiveStrategy, ...]:
    strategies = state.strategies
    wanted = {number for one in strategies.values() for number in (one.role_since, one.online_since)}
    near = {
        number
        for one in strategies.values()
        if one.online
        for number in range(max(1, one.online_since - _NEAR), one.online_since)
    }
    entries = ledger.read_many(sorted((wanted | near) - {0}))
    return tuple(
        LiveStrategy(
            name=name,
            role=one.role,
            status=one.status,
            definition=one.definition,
            models=tuple(
                LiveModel(model=model, trained=_find_training(ledger, entries, name, one, model))
                for model in one.online
            ),
            role_entry=entries.get(one.role_since),
            online_entry=entries.get(one.online_since),
            scores=scores.get(name),
        )
        for name, one in sorted(strategies.items())
    )


def _find_training(
    ledger: ServingLedger, entries: Mapping[int, LedgerEntry], name: str, strategy: StrategyState, model: OnlineModel
) -> LedgerEntry | None:
    """Return the entry that says that `model` was trained, or the first one that has it."""
    for number in range(strategy.online_since, strategy.online_since - _NEAR, -1):
        entry = entries.get(number)
        if entry is not None and entry.kind == "train" and _names_model(entry, name, model):
            return entry
    end = strategy.online_since
    while end > 0:
        before = ledger.find_last(
            lambda entry, end=end: entry.number < end and not _has_model(entry, name, model)  # type: ignore[misc]
        )
        first = ledger.read(1 if before is None else before.number + 1)
        again = first.body.get("of")
        if first.kind != "switch" or type(again) is not int or not 1 <= again < first.number:
            return first
        end = again  # it was put online again: how it came the first time is told before the switch that was undone
    return None


def _names_model(entry: LedgerEntry, name: str, model: OnlineModel) -> bool:
    models = entry.body.get("models")
    listed: Any = models.get(name) if isinstance(models, Mapping) else None
    return isinstance(listed, list) and model.to_json() in listed


def _has_model(entry: LedgerEntry, name: str, model: OnlineModel) -> bool:
    found = ServingState.from_json(entry.state).strategies.get(name)
    return found is not None and (model in found.online or model in found.next)
