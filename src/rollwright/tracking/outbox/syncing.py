"""The whole outbox at a time: what waits in it, and sending it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.outbox.journal import Journal
from rollwright.tracking.outbox.store import OutboxStore

__all__ = ["OutboxReport", "WaitingRun", "outbox_report", "sync_outbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRun:
    """A run of which the server does not have everything.

    Attributes
    ----------
    run_id, name, status, started : str
        As it is known here.
    operations, files : int
        What waits.
    """

    run_id: str
    name: str
    status: str
    started: str
    operations: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxReport:
    """An outbox: what waits, and what never will be on the server.

    Attributes
    ----------
    uri : str
        The server, without a password.
    runs : int
        Runs recorded here.
    waiting : tuple of WaitingRun
        The oldest first.
    sent : int
        Operations and files that this synchronisation sent.
    refused : tuple of str
        What the server refused for good, one line each; it stays in the project's own copy.
    away : str or None
        Why the server did not answer; None when it did, or was not asked.
    """

    uri: str
    runs: int
    waiting: tuple[WaitingRun, ...]
    sent: int = 0
    refused: tuple[str, ...] = ()
    away: str | None = None


def outbox_report(
    store: OutboxStore, *, sent: int = 0, away: str | None = None, refused: Sequence[str] = ()
) -> OutboxReport:
    """Return what waits; the server is not asked."""
    journals = store.journals()
    return OutboxReport(
        uri=store.uri,
        runs=len(journals),
        waiting=tuple(found for journal in journals if (found := _waiting(store, journal)) is not None),
        sent=sent,
        refused=(*refused, *(f"{journal.id}: {why}" for journal in journals for why in journal.reasons)),
        away=away,
    )


def sync_outbox(store: OutboxStore, *, on_run: Callable[[str], None] | None = None) -> OutboxReport:
    """Send everything that waits, the oldest run first, and return what was sent and what is left.

    Killed at any moment and run again it ends with the same runs on the server: none twice, nothing of one lost.

    Parameters
    ----------
    on_run : callable, optional
        Told the id of each run that is sent completely.
    """
    store.retry_now()
    sent = 0
    refused: list[str] = []
    try:
        store.settle()
        for journal in store.journals():
            before = _left(store, journal)
            if before and _sent(store, journal, refused):
                sent += before - _left(store, journal)
                if on_run is not None:
                    on_run(journal.id)
    except TrackingUnavailableError as error:
        return outbox_report(store, sent=sent, away=error.message, refused=refused)
    return outbox_report(store, sent=sent, refused=refused)


def _sent(store: OutboxStore, journal: Journal, refused: list[str]) -> bool:
    """Send a run; one that the server will not have at all keeps waiting, is told of, and holds up no other."""
    try:
        return store.send_all(journal)
    except TrackingUnavailableError:
        raise
    except RecordError as error:
        refused.append(f"{journal.id}: the run itself: {error.message}")
        return False


def _left(store: OutboxStore, journal: Journal) -> int:
    return journal.waiting + store.sender.files_waiting(journal)


def _waiting(store: OutboxStore, journal: Journal) -> WaitingRun | None:
    files = store.sender.files_waiting(journal)
    if not (journal.waiting or files):
        return None
    run = journal.view()
    return WaitingRun(
        run_id=run.id,
        name=run.name,
        status=run.status,
        started=run.start.isoformat(timespec="seconds"),
        operations=journal.waiting,
        files=files,
    )
