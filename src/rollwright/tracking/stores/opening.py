"""From a tracking URI to the store that serves it: one per URI and process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from rollwright.core.canonical import sha256_hex
from rollwright.core.masking import mask_secrets
from rollwright.core.sqlite_urls import SQLITE, sqlite_path
from rollwright.tracking.store import TrackingStore

__all__ = ["MEMORY", "begin_tracking", "open_tracking"]

MEMORY: Final = "memory:"

_stores: Final[dict[tuple[str, Path | None], TrackingStore]] = {}
_mutex: Final = threading.Lock()


def open_tracking(
    uri: str, *, artifacts: Path, address: str | None = None, outbox: Path | None = None
) -> TrackingStore:
    """Return this process's store for `uri`; the same question gets the same store.

    Nothing is connected to before the store is used.

    Parameters
    ----------
    uri : str
        ``memory:``, ``memory:name``, or an absolute URI of MLflow's.
    artifacts : Path
        Folder in which the files of experiments lie, or their copies where they have an address.
    address : str, optional
        Where the files are stored, if not in that folder: then no server is sent any.
    outbox : Path, optional
        Folder in which what a server does not take waits for it; without it such a server must answer.

    Raises
    ------
    RecordError
        For a URI of another kind.
    """
    with _mutex:
        key = (uri, None if uri.startswith(MEMORY) else artifacts)
        if key not in _stores:
            _stores[key] = _build(uri, artifacts, address, outbox)
        return _stores[key]


def begin_tracking(uri: str, *, artifacts: Path | str) -> None:
    """Start, beside other work, what the first use of an embedded store that is not there yet would wait for."""
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        from rollwright.tracking.stores.mlflow.creation import begin_database  # noqa: PLC0415 - see above

        begin_database(path, artifacts=artifacts)


def _build(uri: str, artifacts: Path, address: str | None, outbox: Path | None) -> TrackingStore:
    told = address or artifacts
    # Each adapter is imported when it is chosen, so that nobody pays for the other.
    if uri.startswith(MEMORY):
        from rollwright.tracking.stores.memory import MemoryTrackingStore  # noqa: PLC0415 - see above

        return MemoryTrackingStore()
    if uri.startswith(SQLITE):
        from rollwright.tracking.stores.embedded.store import EmbeddedStore  # noqa: PLC0415 - see above

        return EmbeddedStore(uri, artifacts=told)
    from rollwright.tracking.stores.mlflow.store import MlflowStore  # noqa: PLC0415 - see above

    store = MlflowStore(uri, artifacts=told)
    return store if outbox is None else _with_outbox(store, uri, artifacts, address, outbox)


def _with_outbox(store: TrackingStore, uri: str, artifacts: Path, address: str | None, outbox: Path) -> TrackingStore:
    from rollwright.tracking.outbox.store import OutboxStore  # noqa: PLC0415 - an embedded store needs none of it
    from rollwright.tracking.stores.mlflow.files import MlflowFiles  # noqa: PLC0415 - see above

    shown = mask_secrets(uri)
    folder = outbox / sha256_hex(shown.encode())[:16]
    # With a database, or an address of their own, MLflow's page reads them where they are.
    files = MlflowFiles(uri) if uri.startswith("http") and address is None else None
    return OutboxStore(store, folder=folder, artifacts=artifacts, uri=shown, files=files)
