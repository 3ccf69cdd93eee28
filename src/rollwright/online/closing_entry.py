"""The entry of a ledger that closed a session."""

from __future__ import annotations

from rollwright.errors import OnlineError
from rollwright.online.entry import LedgerEntry
from rollwright.online.ledger import ServingLedger
from rollwright.online.state import ServingState

__all__ = ["find_closing"]


def find_closing(ledger: ServingLedger, session: str) -> LedgerEntry:
    """Return the entry that published, refused or skipped a session that was reached.

    Of one that was refused and then published by an override it is the last of the two. Its cost grows with the
    logarithm of the ledger.

    Raises
    ------
    OnlineError
        When it was neither served nor skipped: it came when later ones had been served.
    """
    upto = ledger.find_last(lambda entry: _last_closed(entry) <= session)
    closed = None if upto is None else ServingState.from_json(upto.state).last
    if closed is not None and closed.session == session:
        return ledger.read(closed.entry)
    passed = ledger.read(1 if upto is None else upto.number + 1)
    first = passed.body.get("first")
    if passed.kind == "skip" and isinstance(first, str) and first <= session:
        return passed
    raise OnlineError(
        f"session {session} came when {_last_closed(passed)} had been served, and is not served any more",
        hint="`simulate` shows what its signal would have been",
    )


def _last_closed(entry: LedgerEntry) -> str:
    """Return the session that was closed last after an entry; "" before the first."""
    last = entry.state.get("last")
    return str(last["session"]) if isinstance(last, dict) else ""
