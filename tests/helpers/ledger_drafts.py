"""Entries for the ledger of a serving, as tests append them; and what must be true of any ledger."""

from __future__ import annotations

from collections import Counter

from rollwright.core.canonical import JSON
from rollwright.online.entry import NO_DIGEST, LedgerEntry
from rollwright.online.ledger import Draft, ServingLedger
from rollwright.online.state import ServingState, SignalReference, StrategyState
from rollwright.online.transitions import apply_entry


def begin(*names: str, session: str = "2024-01-01") -> Draft:
    """Return the draft that begins a serving of these strategies, the first its champion."""
    strategies: dict[str, JSON] = {
        name: StrategyState(role="champion" if name == names[0] else "challenger", definition="d").to_json()
        for name in names
    }
    return Draft(kind="init", session=session, body={"strategies": strategies})


def session_of(number: int) -> str:
    """Return a text that is a session, the greater the number the later."""
    return f"{2024 + number // 336}-{1 + number // 28 % 12:02}-{1 + number % 28:02}"


def number_of(session: str) -> int:
    """Return the number of which `session_of` made this."""
    year, month, day = (int(part) for part in session.split("-"))
    return (year - 2024) * 336 + (month - 1) * 28 + day - 1


def next_step(state: ServingState | None, *, days: int) -> Draft | None:
    """Decide by the state alone what comes next, until so many days are published: what a manager does, without work.

    Each day's last number of rows is that of the day, so that two that serve the same day say the same.
    """
    if state is None:
        return begin("lgb")
    if state.day is None:
        number = 0 if state.reached is None else number_of(state.reached) + 1
        session = session_of(number)
        return None if number == days else Draft(kind="open", session=session, body={"generation": "g", "known": 1})
    day = state.day
    signal = SignalReference(recorder="0" * 32, artifact=day.session, sha256="a" * 64, rows=3).to_json()
    if not day.trained:
        return Draft(kind="train", session=day.session, body={"models": {}})
    if not day.switched:
        return Draft(kind="switch", session=day.session, body={"models": {}})
    if day.scores is None:
        return Draft(kind="score", session=day.session, body={"scores": {"lgb": signal}, "signal": signal})
    return Draft(kind="publish", session=day.session, body={"signal": signal})


def check_ledger(ledger: ServingLedger) -> list[LedgerEntry]:
    """Return all entries, after a check from outside of what every ledger keeps.

    The digests are computed from the entries' JSON by `LedgerEntry.from_json`; here are their order, their chain, the
    states, and that no session was published twice or out of its turn.
    """
    entries = list(ledger.list_entries())
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.before for entry in entries] == [NO_DIGEST, *(entry.digest for entry in entries[:-1])]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    state: ServingState | None = None
    for entry in entries:
        state = apply_entry(
            state, kind=entry.kind, session=entry.session, body=entry.body, number=entry.number
        )  # raises where it does not follow
        assert state.to_json() == entry.state
    for kind in ("open", "score"):
        assert most_common(entries, kind) <= 1, f"two entries `{kind}` of one session"
    published = [entry.session for entry in entries if entry.kind == "publish"]
    assert published == sorted(set(published)), "a session was published twice or out of its turn"
    return entries


def most_common(entries: list[LedgerEntry], kind: str) -> int:
    """Return how often the session that has most entries of a kind has one."""
    counts = Counter(entry.session for entry in entries if entry.kind == kind)
    return max(counts.values(), default=0)
