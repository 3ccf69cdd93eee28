"""From a tracking URI to the store that serves it: one per URI and process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from rollwright.record.tracking.store import TrackingStore

__all__ = ["MEMORY", "open_tracking"]

MEMORY: Final = "memory:"

_stores: Final[dict[tuple[str, Path | None], TrackingStore]] = {}
_mutex: Final = threading.Lock()


def open_tracking(uri: str, *, artifacts: Path) -> TrackingStore:
    """Return this process's store for `uri`; the same question gets the same store.

    Nothing is connected to before the store is used.

    Parameters
    ----------
    uri : str
        ``memory:``, ``memory:name``, or an absolute URI of MLflow's.
    artifacts : Path
        Folder in which the files of experiments lie.

    Raises
    ------
    RecordError
        For a URI of another kind.
    """
    with _mutex:
        key = (uri, None if uri.startswith(MEMORY) else artifacts)
        if key not in _stores:
            _stores[key] = _build(uri, artifacts)
        return _stores[key]


def _build(uri: str, artifacts: Path) -> TrackingStore:
    # Each adapter is imported when it is chosen, so that nobody pays for the other.
    if uri.startswith(MEMORY):
        from rollwright.record.tracking.memory import MemoryStore  # noqa: PLC0415 - see above

        return MemoryStore()
    from rollwright.record.tracking.mlflow import MlflowStore  # noqa: PLC0415 - see above

    return MlflowStore(uri, artifacts=artifacts)
