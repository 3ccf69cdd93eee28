"""What may follow in a ledger: each entry is applied to the state before it, or refused.

A day is opened once and after the one before, scored once, published or refused once. So whoever appends an entry, and
whatever was killed or came twice, no session is published twice and none before its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from rollwright.errors import LedgerError
from rollwright.online.entry import EntryKind, take_session
from rollwright.online.state import (
    ROLES,
    ClosedDay,
    OnlineModel,
    OpenDay,
    Role,
    ServingState,
    SignalReference,
    StrategyState,
    StrategyStatus,
    read_references,
)
from rollwright.online.stored_values import take_count, take_list, take_name, take_one_of, take_text

__all__ = ["apply_entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What an entry does."""

    session: str | None
    body: Mapping[str, Any]
    number: int


def apply_entry(
    state: ServingState | None, *, kind: EntryKind, session: str | None, body: Mapping[str, Any], number: int
) -> ServingState:
    """Return how a serving stands after an entry.

    Parameters
    ----------
    state : ServingState or None
        How it stood; None before the first entry.
    kind, session, body, number
        The entry's.

    Raises
    ------
    LedgerError
        When such an entry cannot follow.
    """
    if (state is None) is not (kind == "init"):
        raise LedgerError(f"entry {number} is `{kind}`, and a ledger begins with `init`, once")
    if state is None:
        return _apply_init(_Change(session=session, body=body, number=number))
    handler = _HANDLERS.get(kind)
    return state if handler is None else handler(state, _Change(session=session, body=body, number=number))


def _apply_init(change: _Change) -> ServingState:
    strategies = change.body.get("strategies")
    if not isinstance(strategies, Mapping):
        raise LedgerError("the first entry names no strategies")
    made = {take_name(name): _begin_strategy(one, change) for name, one in strategies.items()}
    begin = take_session(change.session, "the first session to serve")
    return _with_champion(ServingState(begin=begin, strategies=made))


def _begin_strategy(value: object, change: _Change) -> StrategyState:
    given = StrategyState.from_json(value)
    return replace(given, role_since=change.number, online_since=change.number if given.online else 0)


def _with_champion(state: ServingState) -> ServingState:
    if not state.with_role("champion"):
        raise LedgerError(
            "no active strategy would be a champion, so nothing would be published",
            hint="promote another strategy first",
        )
    return state


def _change(state: ServingState, name: object, change: Callable[[StrategyState], StrategyState]) -> ServingState:
    known = state.strategies.get(take_name(name))
    if known is None or known.status == "removed":
        raise LedgerError(
            f"no strategy `{name}` is served", hint=f"served: {', '.join(sorted(_served(state))) or 'none'}"
        )
    return replace(state, strategies={**state.strategies, str(name): change(known)})


def _served(state: ServingState) -> list[str]:
    return [name for name, one in state.strategies.items() if one.status != "removed"]


def _apply_strategy(state: ServingState, change: _Change) -> ServingState:
    """Add, pause, resume or remove a strategy."""
    action, name = change.body.get("action"), take_name(change.body.get("strategy"))
    _refuse_scored(state, change)
    if action == "add":
        if name in state.strategies:
            raise LedgerError(f"there is, or was, a strategy `{name}`", hint="give the new one another name")
        return replace(state, strategies={**state.strategies, name: _begin_strategy(change.body.get("as"), change)})
    changes: dict[object, StrategyStatus] = {"pause": "paused", "resume": "active", "remove": "removed"}
    status = changes.get(action)
    if status is None:
        raise LedgerError(
            f"entry {change.number} does `{str(action)[:40]}` to a strategy: add, pause, resume or remove"
        )
    return _with_champion(_change(state, name, lambda one: replace(one, status=status)))


def _apply_roles(state: ServingState, change: _Change) -> ServingState:
    roles = change.body.get("roles")
    if not isinstance(roles, Mapping) or not roles:
        raise LedgerError(f"entry {change.number} gives nobody a role")
    _refuse_scored(state, change)
    for name, role in roles.items():
        given = take_one_of(role, ROLES, f"the role of `{name}`")
        state = _change(state, name, partial(_give_role, role=given, number=change.number))
    return _with_champion(state)


def _give_role(strategy: StrategyState, *, role: Role, number: int) -> StrategyState:
    return strategy if strategy.role == role else replace(strategy, role=role, role_since=number)


def _refuse_scored(state: ServingState, change: _Change) -> None:
    if state.day is not None and state.day.scores is not None:
        raise LedgerError(
            f"entry {change.number} would change who is published while session {state.day.session} is scored and not "
            "yet published",
            hint="run the routine to its end, then give the command again",
        )


def _apply_open(state: ServingState, change: _Change) -> ServingState:
    opened = take_session(change.session, "the session to open")
    if state.day is not None:
        raise LedgerError(f"session {opened} cannot be opened while {state.day.session} is")
    reached = state.reached
    if opened < state.begin or (reached is not None and opened <= reached):
        after = f"after {reached}" if reached is not None else f"from {state.begin} on"
        raise LedgerError(f"session {opened} is not to be served: the next one is {after}")
    generation = take_text(change.body.get("generation"), "the generation of the data")
    known = take_count(change.body.get("known"), "the known sessions")
    return replace(state, day=OpenDay(session=opened, generation=generation), known=known)


def _take_day(state: ServingState, change: _Change) -> OpenDay:
    if state.day is None or change.session != state.day.session:
        opened = "none is open" if state.day is None else f"{state.day.session} is open"
        raise LedgerError(f"entry {change.number} is about session {change.session}, and {opened}")
    return state.day


def _apply_train(state: ServingState, change: _Change) -> ServingState:
    """Note what was trained: models that wait for their first session; before any day, those of the first training."""
    models = change.body.get("models")
    if not isinstance(models, Mapping):
        raise LedgerError(f"entry {change.number} says nothing of what was trained")
    for name, made in models.items():
        new = take_list(made, OnlineModel.from_json, f"the models of `{name}`")
        state = _change(state, name, lambda one, new=new: replace(one, next=(*one.next, *new)))  # type: ignore[misc]
    if state.day is None:
        return state
    day = _take_day(state, change)
    if day.trained:
        raise LedgerError(f"session {day.session} is trained already")
    return replace(state, day=replace(day, trained=True))


def _apply_switch(state: ServingState, change: _Change) -> ServingState:
    """Put models online, of all strategies at once; what is not named stays."""
    models = change.body.get("models")
    at = take_session(change.session, "the session of a switch")
    if not isinstance(models, Mapping):
        raise LedgerError(f"entry {change.number} switches no models")
    if state.day is not None:
        day = _take_day(state, change)
        if change.body.get("action") == "rollback":
            raise LedgerError(
                f"models cannot be rolled back while session {day.session} is open",
                hint="run the routine to its end first",
            )
        if day.scores is not None:
            raise LedgerError(f"session {day.session} is scored: its models stay as they are")
        state = replace(state, day=replace(day, trained=True, switched=True))
    for name, made in models.items():
        new = take_list(made, OnlineModel.from_json, f"the models of `{name}`")
        early = [model for model in new if model.serves_from > at]
        if early:
            raise LedgerError(
                f"a model of `{name}` would be online on {at}, and its first session is {early[0].serves_from}"
            )
        state = _change(state, name, partial(_put_online, models=new, at=at, change=change))
    return state


def _put_online(strategy: StrategyState, *, models: tuple[OnlineModel, ...], at: str, change: _Change) -> StrategyState:
    """Those that could be online at `at` and are not were passed over, and wait no longer."""
    waiting = tuple(model for model in strategy.next if model not in models and model.serves_from > at)
    if models == strategy.online:
        return replace(strategy, next=waiting)
    withdrawn: tuple[OnlineModel, ...] = ()
    if change.body.get("action") == "rollback":
        left = (*strategy.withdrawn, *strategy.online)
        withdrawn = tuple(model for model in left if model not in models)
    return replace(strategy, online=models, next=waiting, withdrawn=withdrawn, online_since=change.number)


def _apply_score(state: ServingState, change: _Change) -> ServingState:
    day = _take_day(state, change)
    if day.scores is not None:
        raise LedgerError(f"session {day.session} is scored already")
    if not day.switched:
        raise LedgerError(f"session {day.session} is scored before its models are online")
    scores = read_references(change.body.get("scores"))
    missing = sorted({*state.with_role("champion")} - scores.keys())
    if missing:
        raise LedgerError(f"session {day.session} lacks the scores of {', '.join(missing)}")
    return replace(state, day=replace(day, scores=scores, signal=SignalReference.from_json(change.body.get("signal"))))


def _apply_publish(state: ServingState, change: _Change) -> ServingState:
    """Publish the session that is open, or by an override the one that was refused last."""
    signal = SignalReference.from_json(change.body.get("signal"))
    if change.body.get("override") is True:
        last = state.last
        if last is None or last.outcome != "refused" or last.session != change.session or state.day is not None:
            raise LedgerError(f"session {change.session} is not the last one that was served, and refused")
        made, generation, known = last.signal, last.generation, last.known
    else:
        day = _take_day(state, change)
        made, generation, known = day.signal, day.generation, state.known
    if made is None or signal != made:
        raise LedgerError(
            f"the signal of session {change.session} that would be published is not the one that was made"
        )
    closed = ClosedDay(
        session=str(change.session),
        outcome="published",
        generation=generation,
        known=known,
        entry=change.number,
        signal=signal,
    )
    return replace(state, day=None, last=closed, published=closed.session)


def _apply_refuse(state: ServingState, change: _Change) -> ServingState:
    day = _take_day(state, change)
    if day.signal is None:
        raise LedgerError(f"session {change.session} has no signal that could be refused")
    closed = ClosedDay(
        session=day.session,
        outcome="refused",
        generation=day.generation,
        known=state.known,
        entry=change.number,
        signal=day.signal,
    )
    return replace(state, day=None, last=closed)


def _apply_skip(state: ServingState, change: _Change) -> ServingState:
    """Leave out sessions that were missed; `session` is the last of them."""
    last = take_session(change.session, "the last session that is skipped")
    reached = state.reached
    if state.day is not None or last < state.begin or (reached is not None and last <= reached):
        raise LedgerError(f"session {last} cannot be skipped: it was reached, or one is open")
    generation, known = ("", state.known) if state.last is None else (state.last.generation, state.last.known)
    closed = ClosedDay(
        session=last, outcome="skipped", generation=generation, known=known, entry=change.number, signal=None
    )
    return replace(state, last=closed)


_HANDLERS: Final[Mapping[EntryKind, Callable[[ServingState, _Change], ServingState]]] = {
    "strategy": _apply_strategy,
    "roles": _apply_roles,
    "open": _apply_open,
    "train": _apply_train,
    "switch": _apply_switch,
    "score": _apply_score,
    "publish": _apply_publish,
    "refuse": _apply_refuse,
    "skip": _apply_skip,
}
"""What is not here changes nothing in how a serving stands."""
