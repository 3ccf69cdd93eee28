"""Whether a signal may be published: its coverage of the universe, and the checks of the terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from rollwright.calendar.trading import Session, to_session
from rollwright.collect.coverage import universe_coverage
from rollwright.core.canonical import JSON
from rollwright.errors import CoverageError
from rollwright.market.source import DataSource
from rollwright.online.checks.check import HISTORY_SESSIONS, CheckContext, CheckResult, list_violations, run_checks
from rollwright.online.ledger import ServingLedger
from rollwright.online.market_news import write_session
from rollwright.online.scoring import add_day
from rollwright.online.signal_store import Signals
from rollwright.online.state import ClosedDay, ServingState
from rollwright.online.terms import ServingTerms

__all__ = ["SignalJudgement", "judge_signal", "list_published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalJudgement:
    """What was found of a signal before publishing.

    Attributes
    ----------
    checks : tuple
        The results of the checks as JSON.
    coverage : tuple
        For each universe its members and those of them without a score, by cause, as JSON.
    violations : tuple of str
        A line for each bound that is violated.
    """

    checks: tuple[JSON, ...]
    coverage: tuple[JSON, ...]
    violations: tuple[str, ...]


def judge_signal(
    session: str,
    signal: pd.Series,
    *,
    market: DataSource,
    universes: Sequence[str],
    terms: ServingTerms,
    history: Sequence[pd.Series],
) -> SignalJudgement:
    """Return what is found of a signal.

    Parameters
    ----------
    session : str
    signal : Series
        By instrument.
    market : DataSource
    universes : sequence of str
        Those that its champions study.
    terms : ServingTerms
    history : sequence of Series
        The signals published last, the latest first.
    """
    day = to_session(session)
    violations: list[str] = []
    coverage = [_cover(universe, signal, day, market, terms.max_missing_share, violations) for universe in universes]
    results: tuple[CheckResult, ...] = ()
    if terms.checks:
        context = CheckContext(
            session=session,
            signal=signal,
            previous=history[0] if history else None,
            history=history,
            members=_list_members(market, universes, day),
            generation_session=write_session(market.calendar().last_known),
        )
        results = run_checks(terms.checks, context)
        violations += list_violations(results)
    return SignalJudgement(
        checks=tuple(result.to_json() for result in results), coverage=tuple(coverage), violations=tuple(violations)
    )


def _cover(
    universe: str, signal: pd.Series, day: Session, market: DataSource, bound: float, violations: list[str]
) -> JSON:
    try:
        found = universe_coverage(
            add_day(signal, day).index, market, universe, start=day, end=day, max_missing_share=bound
        )
    except CoverageError as error:
        violations += [f"coverage of {universe}: {problem}" for problem in error.problems]
        return {"universe": universe, "problems": list(error.problems)}
    return {
        "universe": universe,
        "expected": found.expected,
        "predicted": found.predicted,
        "by_cause": dict(found.by_cause),
    }


def _list_members(market: DataSource, universes: Sequence[str], day: Session) -> tuple[str, ...]:
    members: set[str] = set()
    for universe in universes:
        lifetimes = market.members(universe)
        members |= {code for code, spans in lifetimes.items() if any(first <= day <= last for first, last in spans)}
    return tuple(sorted(members))


def list_published(
    ledger: ServingLedger, state: ServingState, signals: Signals, *, limit: int = HISTORY_SESSIONS
) -> Iterator[pd.Series]:
    """Yield the signals published last, the latest first, at most `limit`; each costs a read, whatever the ledger."""
    for closed in list_closed(ledger, state):
        if limit <= 0:
            return
        if closed.outcome == "published" and closed.signal is not None:
            limit -= 1
            yield signals.load(closed.signal)


def list_closed(ledger: ServingLedger, state: ServingState) -> Iterator[ClosedDay]:
    """Yield the sessions that were closed, the latest first; one that was refused and then published, twice."""
    last = state.last
    while last is not None:
        yield last
        last = ServingState.from_json(ledger.read(last.entry - 1).state).last
