"""What was served, read from the ledger: signals, scores of strategies, and the models that were online."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from rollwright.calendar.trading import Session, SessionLike, to_session
from rollwright.online.entry import LedgerEntry
from rollwright.online.ledger import ServingLedger
from rollwright.online.market_news import write_session
from rollwright.online.scoring import PrepareFunction, add_day, prepare_day
from rollwright.online.signal_store import Signals
from rollwright.online.state import OnlineModel, ServingState, SignalReference, read_references

__all__ = ["list_history", "read_scores", "recombine"]


def read_scores(
    ledger: ServingLedger,
    signals: Signals,
    *,
    strategy: str | None = None,
    start: SessionLike | None = None,
    end: SessionLike | None = None,
) -> pd.Series | None:
    """Return published signals, or the scores of a strategy, indexed by (datetime, instrument); None without any.

    Parameters
    ----------
    ledger : ServingLedger
    signals : Signals
    strategy : str, optional
        Whose scores; of its sessions also those that were refused. The published signals if not given.
    start, end : date, optional
        Of the sessions, both included.
    """
    found: dict[str, SignalReference] = {}
    first = "" if start is None else write_session(to_session(start))
    last = "~" if end is None else write_session(to_session(end))
    for entry in ledger.list_entries():
        session = entry.session or ""
        if not first <= session <= last:
            continue
        if strategy is None and entry.kind == "publish":
            found[session] = SignalReference.from_json(entry.body.get("signal"))
        elif strategy is not None and entry.kind == "score":
            made = read_references(entry.body.get("scores"))
            if strategy in made:
                found[session] = made[strategy]
    if not found:
        return None
    joined: pd.Series = pd.concat(
        [add_day(signals.load(one), to_session(session)) for session, one in sorted(found.items())]
    )
    return joined


def recombine(
    ledger: ServingLedger, signals: Signals, prepare: PrepareFunction, *, order: Sequence[str]
) -> pd.Series | None:
    """Return the signals that `prepare` makes of the champions' scores of all sessions; None when there are none.

    Parameters
    ----------
    ledger : ServingLedger
    signals : Signals
    prepare : callable
    order : sequence of str
        All strategies, in the order in which they enter a signal.
    """
    made = []
    for entry in _list_scored(ledger):
        session = str(entry.session)
        references = read_references(entry.body.get("scores"))
        champions = ServingState.from_json(entry.state).with_role("champion")
        day = to_session(session)
        scores = {name: add_day(signals.load(references[name]), day) for name in order if name in champions}
        made.append(prepare_day(scores, session, prepare=prepare))
    return pd.concat(made) if made else None


def list_history(ledger: ServingLedger) -> dict[Session, dict[str, tuple[OnlineModel, ...]]]:
    """Return for each session that was served the models that were online, by strategy."""
    found: dict[Session, dict[str, tuple[OnlineModel, ...]]] = {}
    for entry in ledger.list_entries():
        if entry.kind in ("init", "switch") and entry.session is not None:
            state = ServingState.from_json(entry.state)
            found[to_session(entry.session)] = {
                name: one.online for name, one in state.strategies.items() if one.status == "active" and one.online
            }
    return found


def _list_scored(ledger: ServingLedger) -> Iterator[LedgerEntry]:
    return (entry for entry in ledger.list_entries() if entry.kind == "score")
