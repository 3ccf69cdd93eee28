"""Tracking status, synchronising the outbox, relocation, and the command that opens MLflow's page."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rollwright.config.context import current_settings
from rollwright.config.settings import Settings
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.masking import mask_secrets
from rollwright.core.sqlite_urls import sqlalchemy_url, sqlite_path
from rollwright.core.text import count_noun
from rollwright.errors import CorruptFileError, RecordError
from rollwright.tracking.liveness import AbandonedRun, fail_abandoned, find_abandoned_runs
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.outbox.store import OutboxStore
from rollwright.tracking.outbox.syncing import OutboxReport, report_outbox, sync_outbox
from rollwright.tracking.stores.memory import MemoryTrackingStore
from rollwright.tracking.stores.mlflow.locations import MisplacedPath, find_misplaced, relocate
from rollwright.tracking.stores.mlflow.store import MlflowStore
from rollwright.tracking.stores.opening import MEMORY

__all__ = [
    "TrackStatus",
    "TrackSync",
    "list_tracking_notes",
    "make_page_command",
    "read_track_status",
    "relocate_tracking",
    "sync_tracking",
]

_PATIENT: Final = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")  # a large file takes the server its time


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackStatus:
    """State of a project's records.

    Attributes
    ----------
    uri : str
        The tracking store of the settings, without a password.
    outboxes : tuple of OutboxReport
        One for each server this project ever recorded to.
    abandoned : tuple of AbandonedRun
        Runs whose process died; `sync_tracking` ends them as FAILED.
    """

    uri: str
    outboxes: tuple[OutboxReport, ...]
    abandoned: tuple[AbandonedRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSync:
    """Result of synchronising: runs ended as FAILED, and the state of each outbox."""

    failed: tuple[AbandonedRun, ...]
    outboxes: tuple[OutboxReport, ...]

    @property
    def exit_code(self) -> int:
        """0 when the servers have everything, 3 when one did not answer, 1 when one refused values for good."""
        if any(box.away is not None for box in self.outboxes):
            return 3
        return 1 if any(box.refused or box.waiting for box in self.outboxes) else 0


def read_track_status(settings: Settings | None = None) -> TrackStatus:
    """Return what waits; no server is asked, and nothing is changed."""
    present = current_settings() if settings is None else settings
    return TrackStatus(
        uri=TrackingLocation.from_settings(present).portable_uri(),
        outboxes=tuple(report for _, report in _open_outboxes(present)),
        abandoned=tuple(find_abandoned_runs(present.root)),
    )


def sync_tracking(settings: Settings | None = None, *, on_run: Callable[[str], None] | None = None) -> TrackSync:
    """End the runs of dead processes as FAILED, then send everything that waits to the servers that answer.

    Parameters
    ----------
    on_run : callable, optional
        Told the id of each run that a server has completely now.
    """
    present = current_settings() if settings is None else settings
    os.environ.setdefault(*_PATIENT)  # nobody trains here, so a slow server may be slow
    failed = fail_abandoned(present)
    reports = [
        report if store is None else sync_outbox(store, on_run=on_run) for store, report in _open_outboxes(present)
    ]
    return TrackSync(failed=tuple(failed), outboxes=tuple(reports))


def relocate_tracking(settings: Settings | None = None, *, dry_run: bool = False) -> list[MisplacedPath]:
    """Rewrite the paths in MLflow's database that a move of the project made wrong, and return them.

    Raises
    ------
    RecordError
        When the tracking store keeps no such paths: a tracking server, or memory, or one nobody has recorded to.
    """
    location = TrackingLocation.from_settings(current_settings() if settings is None else settings)
    _check_there(location)
    if location.uri.startswith((MEMORY, "http://", "https://")):
        raise RecordError("this tracking store keeps no paths of ours; there is nothing to relocate")
    found = MlflowStore(location.uri, artifacts=location.address or location.artifacts)
    try:
        return find_misplaced(found) if dry_run else relocate(found)
    finally:
        found.close()


def make_page_command(settings: Settings | None = None) -> tuple[str, str]:
    """Return how MLflow's page is opened: (``url``, its address) of a server, else (``command``, a line for a shell).

    Raises
    ------
    RecordError
        For a tracking store that has no page: in memory, or one nobody has recorded to.
    """
    location = TrackingLocation.from_settings(current_settings() if settings is None else settings)
    _check_there(location)
    uri = location.uri
    shown = mask_secrets(uri)
    if uri.startswith(("http://", "https://")):
        return "url", shown
    if uri.startswith("memory:"):
        raise RecordError(
            "runs kept in memory have no page", hint="set tracking.uri to a database, as the default does"
        )
    return "command", " ".join([*_find_page_program(), "ui", "--backend-store-uri", shlex.quote(sqlalchemy_url(shown))])


def _find_page_program() -> list[str]:
    """Return the beginning of a line for a shell that starts MLflow's page, with what is installed here."""
    python = shlex.quote(sys.executable or "python")
    if importlib.util.find_spec("flask") is not None:
        return ["mlflow"] if shutil.which("mlflow") else [python, "-m", "mlflow"]
    whole = f"mlflow=={version('mlflow-skinny')}"  # mlflow-skinny has no page
    if shutil.which("uvx"):  # fetches the whole of it for a moment
        return ["uvx", "--from", whole, "mlflow"]
    return [python, "-m", "pip", "install", whole, "&&", python, "-m", "mlflow"]


def list_tracking_notes(settings: Settings | None = None) -> list[str]:
    """Return what is worth saying after runs were recorded: what waits for a server, and how to see the rest."""
    notes: list[str] = []
    waiting = sum(len(box.waiting) for box in read_track_status(settings).outboxes)
    if waiting:
        held = count_noun(waiting, "run")
        notes.append(f"not sent to the tracking server yet: {held}; nothing is lost. Send: rollwright track sync")
    with suppress(RecordError):  # runs in memory have no page
        notes.append(f"MLflow's page: {make_page_command(settings)[1]}")
    return notes


def _check_there(location: TrackingLocation) -> None:
    """Refuse a database that is not there: asking about it would make one."""
    path = sqlite_path(location.uri)
    if path is not None and not path.exists():
        raise RecordError(
            f"nothing was recorded at {location.portable_uri()} yet",
            hint="`rollwright demo` records some runs; where a configuration's `exp_manager` names another place, name "
            "it in rollwright.toml too: [tracking] uri",
        )


def _open_outboxes(settings: Settings) -> list[tuple[OutboxStore | None, OutboxReport]]:
    """Return each outbox of the project with its store, None where the settings have no password for the server."""
    found: list[tuple[OutboxStore | None, OutboxReport]] = []
    for about in sorted((settings.state_dir / "outbox").glob("*/server.json")):
        uri = _read_uri(about)
        try:
            store = TrackingLocation.from_portable(uri, settings).store
        except RecordError as error:
            shut = OutboxStore(MemoryTrackingStore(), folder=about.parent, artifacts=settings.resolve("."), uri=uri)
            found.append((None, report_outbox(shut, away=error.hint or error.message)))
        else:
            assert isinstance(store, OutboxStore)  # noqa: S101 - only such a store makes the folder
            found.append((store, report_outbox(store)))
    return found


def _read_uri(about: Path) -> str:
    try:
        return str(json.loads(read_text(about, limit=SMALL))["uri"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(
            about, f"it does not say which server it is for: {error}", hint='write {"uri": "http://..."} into it'
        ) from error
