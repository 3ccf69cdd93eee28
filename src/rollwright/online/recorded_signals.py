"""The recorded signals of champions and of one challenger, as evidence compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd

from rollwright.errors import LedgerError
from rollwright.online.entry import LedgerEntry
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import ServingState, SignalReference, read_references

__all__ = ["RecordedPair", "list_pairs", "load_pairs"]

_PAGE: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPair:
    """The two signals of one session.

    Attributes
    ----------
    session : str
    champion, challenger : SignalReference
    """

    session: str
    champion: SignalReference
    challenger: SignalReference


def list_pairs(ledger: ServingLedger, state: ServingState, name: str, *, limit: int = 250) -> list[RecordedPair]:
    """Return the last published sessions on which a strategy was scored beside the present champions, in order.

    It goes back to when the strategy, or one of the champions, was given its role. Sessions whose signal was refused,
    and not published after all, are left out: their scores were found unsound.

    Parameters
    ----------
    ledger : ServingLedger
    state : ServingState
        How it stands.
    name : str
    limit : int, default 250
        The most sessions.
    """
    champions = state.with_role("champion")
    since = max(state.strategies[one].role_since for one in (name, *champions))
    found: list[RecordedPair] = []
    published: set[str | None] = set()
    for entry in _read_back(ledger, since):
        if entry.kind == "publish":
            published.add(entry.session)
        elif entry.kind == "score" and entry.session in published:
            challenger = read_references(entry.body.get("scores")).get(name)
            if challenger is not None and entry.session is not None:
                champion = SignalReference.from_json(entry.body.get("signal"))
                found.append(RecordedPair(session=entry.session, champion=champion, challenger=challenger))
        if len(found) == limit:
            break
    return found[::-1]


def load_pairs(
    pairs: list[RecordedPair], load: Callable[[SignalReference], pd.Series]
) -> tuple[dict[str, pd.Series], dict[str, pd.Series]]:
    """Return the signals of the champions and of the challenger, by session.

    Raises
    ------
    LedgerError
        When scores are gone, or not those that the ledger names.
    """
    return {one.session: load(one.champion) for one in pairs}, {one.session: load(one.challenger) for one in pairs}


def _read_back(ledger: ServingLedger, since: int) -> Iterator[LedgerEntry]:
    head = ledger.read_head()
    if head is None:
        raise LedgerError(f"serving {ledger.serving} has no entry")
    for stop in range(head.number + 1, since, -_PAGE):
        yield from reversed(list(ledger.list_entries(max(since, 1, stop - _PAGE), stop)))
