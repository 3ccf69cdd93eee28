"""Report what waits in an outbox, and send all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.outbox.journal import Journal
from rollwright.tracking.outbox.store import OutboxStore

__all__ = ["OutboxReport", "WaitingRun", "report_outbox", "sync_outbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRun:
    """A run with operations or files that the server does not have.

    Attributes
    ----------
    run_id, name, status, started : str
        As this project recorded it.
    operations, files : int
        How many of them wait.
    """

    run_id: str
    name: str
    status: str
    started: str
    operations: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxReport:
    """What waits in an outbox, and what the server refused.

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
        What the server refused, one line each; it stays in the project's own copy.
    away : str or None
        Why the server did not answer; None when it did, or was not asked.
    """

    uri: str
    runs: int
    waiting: tuple[WaitingRun, ...]
    sent: int = 0
    refused: tuple[str, ...] = ()
    away: str | None = None


def report_outbox(
    store: OutboxStore, *, sent: int = 0, away: str | None = None, refused: Sequence[str] = ()
) -> OutboxReport:
    """Return what waits, without asking the server."""
    journals = store.journals()
    return OutboxReport(
        uri=store.uri,
        runs=len(journals),
        waiting=tuple(found for journal in journals if (found := _describe_waiting(store, journal)) is not None),
        sent=sent,
        refused=(*refused, *(f"{journal.id}: {why}" for journal in journals for why in journal.reasons)),
        away=away,
    )


def sync_outbox(store: OutboxStore, *, on_run: Callable[[str], None] | None = None) -> OutboxReport:
    """Send everything that waits, the oldest run first, and return what was sent and what is left.

    Killed at any moment and run again, it ends with the same runs on the server: none duplicate, none incomplete.

    Parameters
    ----------
    on_run : callable, optional
        Called with the id of each run that was sent completely.
    """
    store.retry_now()
    sent = 0
    refused: list[str] = []
    try:
        store.settle()
        for journal in store.journals():
            before = _count_left(store, journal)
            if before and _send_run(store, journal, refused):
                sent += before - _count_left(store, journal)
                if on_run is not None:
                    on_run(journal.id)
    except TrackingUnavailableError as error:
        return report_outbox(store, sent=sent, away=error.message, refused=refused)
    return report_outbox(store, sent=sent, refused=refused)


def _send_run(store: OutboxStore, journal: Journal, refused: list[str]) -> bool:
    """Send a run; one that the server refuses keeps waiting, is reported, and delays no other."""
    try:
        return store.send_all(journal)
    except TrackingUnavailableError:
        raise
    except RecordError as error:
        refused.append(f"{journal.id}: the run itself: {error.message}")
        return False


def _count_left(store: OutboxStore, journal: Journal) -> int:
    return journal.waiting + store.sender.files_waiting(journal)


def _describe_waiting(store: OutboxStore, journal: Journal) -> WaitingRun | None:
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
