"""What a person decides: to promote a challenger, to go back, to publish what was refused. Each is one entry.

Guarantees: a decision is made by the state that it changes. Who was second, or decides by roles that have changed
since, gets an error, and nothing is appended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from rollwright.core.canonical import JSON
from rollwright.core.text import escape_text, storable_text
from rollwright.errors import ConfigError, LedgerError, OnlineError
from rollwright.online.entry import LedgerEntry
from rollwright.online.evidence import Evidence, PromotionTerms, judge_evidence
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.state import ROLES, Role, ServingState, StrategyState, is_active
from rollwright.online.stored_values import take_name, take_one_of

__all__ = ["promote", "publish_refused", "roll_back", "roll_back_models"]

_LONGEST_REASON: Final = 2_000
_PAGE: Final = 500


def promote(
    ledger: ServingLedger,
    name: str,
    *,
    evidence: Evidence | None,
    terms: PromotionTerms | None = None,
    override: bool = False,
    reason: str = "",
) -> LedgerEntry:
    """Make a challenger the champion, and the champions challengers, in one entry.

    Parameters
    ----------
    ledger : ServingLedger
    name : str
        The challenger; a shadow needs an override.
    evidence : Evidence or None
        How it did beside those that are champions now.
    terms : PromotionTerms, optional
        What evidence is enough.
    override : bool, default False
        Promote it although the evidence is not enough; needs a `reason`. What it lacked is recorded.
    reason : str

    Raises
    ------
    ConfigError
        For an override without a reason.
    OnlineError
        When there is no such challenger, the evidence is about other champions, or it is not enough.
    LedgerError
        While a session is scored and not yet published.
    """
    said = _take_reason(reason, needed=override)
    terms = terms if terms is not None else PromotionTerms()

    def decide(state: ServingState | None) -> Draft:
        begun = _take_begun(ledger, state)
        strategy = _take_promotable(begun, name)
        champions = begun.with_role("champion")
        if evidence is not None and (evidence.challenger, evidence.champions) != (name, champions):
            raise OnlineError(
                f"the evidence is about {evidence.challenger} beside {', '.join(evidence.champions)}, and the champion "
                f"is {', '.join(champions)} now",
                hint="give the command again",
            )
        lacking = judge_evidence(evidence, terms)
        if strategy.role == "shadow":
            lacking = (f"{name} is a shadow, which is only recorded", *lacking)
        if lacking and not override:
            raise OnlineError(
                f"{name} is not promoted in place of {', '.join(champions)}: {'; '.join(lacking)}",
                hint="wait for more sessions, or give --override --reason TEXT, which is recorded",
            )
        roles: dict[str, Role] = {**dict.fromkeys(champions, "challenger"), name: "champion"}
        return _draft_roles(begun, roles, action="promote", reason=said, evidence=evidence, lacking=lacking)

    return _append(ledger, decide)


def roll_back(ledger: ServingLedger, *, reason: str) -> LedgerEntry:
    """Give the roles back that the last promotion changed; given again, those of the promotion before it.

    Raises
    ------
    ConfigError
        Without a reason.
    OnlineError
        When there was no promotion, or a strategy of then is not served any more.
    LedgerError
        While a session is scored and not yet published.
    """
    said = _take_reason(reason, needed=True)

    def decide(state: ServingState | None) -> Draft:
        begun = _take_begun(ledger, state)
        promotion = _find_promotion(ledger)
        if promotion is None:
            raise OnlineError(
                f"serving {ledger.serving} has no promotion that could be rolled back",
                hint="`rollwright online rollback --models STRATEGY` goes back to the models before",
            )
        roles = _read_roles(promotion)
        gone = sorted(name for name in roles if name not in begun.strategies or not is_active(begun.strategies[name]))
        if gone:
            raise OnlineError(
                f"the roles before entry {promotion.number} cannot be given back: {', '.join(gone)} is not served now",
                hint="`rollwright online strategies resume NAME` serves a paused one again",
            )
        return _draft_roles(begun, roles, action="rollback", reason=said, of=promotion.number)

    return _append(ledger, decide)


def roll_back_models(ledger: ServingLedger, name: str, *, reason: str) -> LedgerEntry:
    """Put the models of a strategy online again that the last switch replaced.

    They serve until the next window is due; that of those that were withdrawn is not due again. Given again, it goes
    back one more switch.

    Raises
    ------
    ConfigError
        Without a reason.
    OnlineError
        When there is no such strategy, or it had no models before.
    LedgerError
        While a session is open.
    """
    said = _take_reason(reason, needed=True)

    def decide(state: ServingState | None) -> Draft:
        begun = _take_begun(ledger, state)
        strategy = _take_served(begun, name)
        switch, before = _find_switch(ledger, name, strategy)
        models: list[JSON] = [model.to_json() for model in before.online]
        body: dict[str, JSON] = {"models": {name: models}, "action": "rollback", "of": switch}
        return Draft(kind="switch", session=begun.reached or begun.begin, body=body, reason=said)

    return _append(ledger, decide)


def publish_refused(ledger: ServingLedger, *, reason: str) -> LedgerEntry:
    """Publish the signal of the last session, which was refused, after all.

    Raises
    ------
    ConfigError
        Without a reason.
    OnlineError
        When the last session was not refused.
    """
    said = _take_reason(reason, needed=True)

    def decide(state: ServingState | None) -> Draft:
        begun = _take_begun(ledger, state)
        last = begun.last
        if begun.day is not None or last is None or last.outcome != "refused" or last.signal is None:
            is_open = "" if begun.day is None else f", and {begun.day.session} is open"
            how = "none was served" if last is None else f"session {last.session} was {last.outcome}"
            raise OnlineError(
                f"serving {ledger.serving} has no refused signal to publish: {how}{is_open}",
                hint="only the last session can be published after all",
            )
        body: dict[str, JSON] = {"signal": last.signal.to_json(), "override": True, "of": last.entry}
        body["checks"] = ledger.read(last.entry).body.get("checks", [])
        return Draft(kind="publish", session=last.session, body=body, reason=said)

    return _append(ledger, decide)


def _append(ledger: ServingLedger, decide: Callable[[ServingState | None], Draft]) -> LedgerEntry:
    entry = ledger.append(decide)
    if entry is None:  # `decide` never says so
        raise LedgerError(f"nothing was appended to serving {ledger.serving}")
    return entry


def _take_reason(reason: str, *, needed: bool) -> str:
    said = storable_text(reason.strip(), longest=_LONGEST_REASON)
    if needed and not said:
        raise ConfigError(
            "a reason is needed, and none is given", hint="--reason TEXT: it stands in the ledger for good"
        )
    return said


def _take_begun(ledger: ServingLedger, state: ServingState | None) -> ServingState:
    if state is None:
        raise OnlineError(f"serving {ledger.serving} has not begun", hint="begin it: rollwright online init FILE.yaml")
    return state


def _take_served(state: ServingState, name: str) -> StrategyState:
    found = state.strategies.get(name)
    if found is None or not is_active(found):
        served = sorted(one for one, strategy in state.strategies.items() if is_active(strategy))
        raise OnlineError(
            f"no strategy `{escape_text(name, longest=80)}` is served", hint=f"served: {', '.join(served)}"
        )
    return found


def _take_promotable(state: ServingState, name: str) -> StrategyState:
    found = _take_served(state, name)
    if found.role == "champion":
        others = sorted({*state.with_role("challenger")})
        raise OnlineError(f"{name} is a champion already", hint=f"challengers: {', '.join(others) or 'none'}")
    return found


def _draft_roles(
    state: ServingState,
    roles: dict[str, Role],
    *,
    action: str,
    reason: str,
    evidence: Evidence | None = None,
    lacking: tuple[str, ...] = (),
    of: int | None = None,
) -> Draft:
    body: dict[str, JSON] = {
        "roles": dict[str, JSON](roles),
        "action": action,
        "before": {name: state.strategies[name].role for name in roles},
    }
    if action == "promote":
        body |= {
            "evidence": None if evidence is None else evidence.to_json(),
            "override": bool(lacking),
            "lacking": list[JSON](lacking),
        }
    if of is not None:
        body["of"] = of
    return Draft(kind="roles", body=body, reason=reason)


def _find_promotion(ledger: ServingLedger) -> LedgerEntry | None:
    """Return the last promotion that was not rolled back."""
    undone: set[Any] = set()
    for entry in _read_back(ledger):
        if entry.kind != "roles":
            continue
        if entry.body.get("action") == "rollback":
            undone.add(entry.body.get("of"))
        elif entry.body.get("action") == "promote" and entry.number not in undone:
            return entry
    return None


def _read_back(ledger: ServingLedger) -> Iterator[LedgerEntry]:
    """Yield the entries from the last one to the first, read in pages."""
    head = ledger.read_head()
    for stop in range(0 if head is None else head.number + 1, 1, -_PAGE):
        yield from reversed(list(ledger.list_entries(max(1, stop - _PAGE), stop)))


def _read_roles(promotion: LedgerEntry) -> dict[str, Role]:
    before = promotion.body.get("before")
    if not isinstance(before, dict) or not before:
        raise LedgerError(f"entry {promotion.number} does not say who had which role before it")
    return {take_name(name): take_one_of(role, ROLES, f"the role of `{name}`") for name, role in before.items()}


def _find_switch(ledger: ServingLedger, name: str, strategy: StrategyState) -> tuple[int, StrategyState]:
    """Return the switch that put a strategy's models online the first time, and the strategy as it stood before."""
    below = strategy.online_since + 1
    while 1 < strategy.online_since < below:
        below = strategy.online_since
        switch = ledger.read(below)
        again = switch.body.get("of")
        if switch.body.get("action") == "rollback" and type(again) is int and 1 < again < below:
            strategy = _read_strategy(ledger, name, again - 1)
            continue
        before = _read_strategy(ledger, name, below - 1)
        if before.online:
            return below, before
        break
    raise OnlineError(
        f"strategy {name} had no other models before those that are online",
        hint="`rollwright online history` lists when models were switched",
    )


def _read_strategy(ledger: ServingLedger, name: str, number: int) -> StrategyState:
    found = ServingState.from_json(ledger.read(number).state).strategies.get(name)
    return found if found is not None else StrategyState(role="shadow")
