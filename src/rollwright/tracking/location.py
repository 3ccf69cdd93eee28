"""The tracking location: a tracking URI and a folder of artifacts, both found from the project folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rollwright.config.settings import STATE_DIR, Settings, mask_secrets
from rollwright.core.sqlite_urls import sqlite_path, sqlite_url
from rollwright.errors import RecordError
from rollwright.tracking.artifacts import LocalArtifactStore
from rollwright.tracking.store import RunRecord, TrackingStore
from rollwright.tracking.stores.opening import open_tracking

__all__ = ["TrackingLocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingLocation:
    """A tracking store and the artifacts of its runs.

    Attributes
    ----------
    uri : str
        Absolute tracking URI.
    artifacts : Path
        Absolute folder; a run's files lie in ``<experiment id>/<run id>/artifacts`` below it.
    root : Path
        The project folder, which stored forms are relative to, so that a moved project still finds everything.
    """

    uri: str
    artifacts: Path
    root: Path

    @classmethod
    def from_settings(cls, settings: Settings, *, uri: str | None = None) -> TrackingLocation:
        """Return the location that `settings` name, with `uri` instead of theirs when it is given."""
        return cls(
            uri=settings.resolve_url(uri or settings.tracking.uri),
            artifacts=settings.resolve(settings.tracking.artifacts),
            root=settings.root,
        )

    @property
    def store(self) -> TrackingStore:
        """The one tracking store that this process has for the URI."""
        return open_tracking(self.uri, artifacts=self.artifacts, outbox=self.root / STATE_DIR / "outbox")

    def files_of(self, experiment_id: str, run_id: str) -> LocalArtifactStore:
        """Return the artifacts of a run."""
        return LocalArtifactStore(self.artifacts / experiment_id / run_id)

    def fetch(self, run: RunRecord) -> None:
        """Bring the files of a run here that another project recorded, when a server stores them."""
        self.store.fetch_files(run)

    def portable_uri(self) -> str:
        """Return the URI as it may be stored: relative to the project folder, and without a password."""
        path = sqlite_path(self.uri)
        if path is not None and path.is_relative_to(self.root.resolve()):
            return sqlite_url(path.relative_to(self.root.resolve()).as_posix())
        return mask_secrets(self.uri)

    @classmethod
    def from_portable(cls, uri: str, settings: Settings) -> TrackingLocation:
        """Return the location that `portable_uri` describes, seen from this project.

        Raises
        ------
        RecordError
            When the URI had a password and is not the one of `settings`.
        """
        own = cls.from_settings(settings)
        if mask_secrets(own.uri) == uri or own.portable_uri() == uri:
            return own
        if ":***@" in uri:
            raise RecordError(
                f"a recorder lies at {uri}, and this project's settings name another tracking store",
                hint="set tracking.uri to it, with its password",
            )
        return cls.from_settings(settings, uri=uri)
