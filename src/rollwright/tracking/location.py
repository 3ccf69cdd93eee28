"""The tracking location: a tracking URI and a folder of artifacts, both found from the project folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.config.context import current_settings, open_part
from rollwright.config.settings import STATE_DIR, Settings
from rollwright.core.canonical import sha256_hex
from rollwright.core.masking import mask_secrets
from rollwright.core.sqlite_urls import sqlite_path, sqlite_url
from rollwright.errors import RecordError, TrackingUnavailableError
from rollwright.tracking.artifacts import ArtifactStore, LocalArtifactStore, has_entries, mark_root
from rollwright.tracking.remote_artifacts import RemoteArtifactStore
from rollwright.tracking.remote_files import RemoteFiles, open_remote
from rollwright.tracking.store import RunRecord, TrackingStore
from rollwright.tracking.stores.opening import begin_tracking, open_tracking

__all__ = ["TrackingLocation", "find_location", "make_reference", "use_location"]

_STORE: Final = "store"
_FORMER: Final = "tracking"  # earlier references hold the address itself, which is compared and never opened


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingLocation:
    """A tracking store and the artifacts of its runs.

    Attributes
    ----------
    uri : str
        Absolute tracking URI.
    artifacts : Path
        Absolute folder; a run's files lie in ``<experiment id>/<run id>/artifacts`` below it, or copies of them where
        they have an address.
    root : Path
        The project folder, which stored forms are relative to, so that a moved project still finds everything.
    address : str or None
        Where the artifacts are stored, as ``s3://bucket/folder``; None: in the folder.
    patience : float
        Seconds for which an address is asked again while it does not answer.
    """

    uri: str
    artifacts: Path
    root: Path
    address: str | None = None
    patience: float = 60.0

    @classmethod
    def from_settings(cls, settings: Settings, *, uri: str | None = None) -> TrackingLocation:
        """Return the location that `settings` name, with `uri` instead of theirs when it is given."""
        address = settings.artifact_address
        return cls(
            uri=settings.resolve_url(uri or settings.tracking.uri),
            artifacts=settings.artifact_folder,
            root=settings.root,
            address=address,
            patience=settings.tracking.artifacts_patience,
        )

    @property
    def store(self) -> TrackingStore:
        """The one tracking store that this process has for the URI."""
        outbox = self.root / STATE_DIR / "outbox"
        return open_tracking(self.uri, artifacts=self.artifacts, address=self.address, outbox=outbox)

    @property
    def remote(self) -> RemoteFiles | None:
        """The files at the address; None when there is none."""
        return None if self.address is None else open_remote(self.address, patience=self.patience)

    def files_of(self, experiment_id: str, run_id: str) -> ArtifactStore:
        """Return the artifacts of a run."""
        remote = self.remote
        if remote is not None:
            return RemoteArtifactStore(
                remote,
                f"{experiment_id}/{run_id}",
                self.artifacts / experiment_id / run_id,
                marked=self.store.traits.durable,
            )
        root = self.artifacts if self.store.traits.durable else None  # what is in memory has no disk that may be away
        return LocalArtifactStore(self.artifacts / experiment_id / run_id, root=root)

    def fetch(self, run: RunRecord) -> bool:
        """Bring the files of a run here that another project recorded, when a server stores them.

        Returns
        -------
        bool
            As `TrackingStore.fetch_files`.
        """
        return self.store.fetch_files(run)

    def mark_artifacts(self) -> None:
        """Make the folder of the artifacts, with a file in it, so that it is known later when its disk is away."""
        remote = self.remote
        if self.store.traits.durable and remote is not None:
            remote.mark()
        elif self.store.traits.durable:
            mark_root(self.artifacts)

    def check_present(self) -> None:
        """Check that the tracking store, which holds something, is not on a disk that is away.

        Raises
        ------
        TrackingUnavailableError
            When there is neither the file of an embedded database nor anything else in its folder.
        """
        path = sqlite_path(self.uri)
        if path is not None and not path.exists() and not has_entries(path.parent):
            raise TrackingUnavailableError(
                f"the tracking store {path} is not there, and its folder is empty",
                hint="is its disk mounted? if it is lost for good, put any file into the folder: what was recorded "
                "there is made anew then",
            )

    def begin(self) -> None:
        """Start to make an embedded store that is not there yet, beside other work; its first use waits for it."""
        begin_tracking(self.uri, artifacts=self.address or self.artifacts)

    def portable_uri(self) -> str:
        """Return the URI as it may be stored: relative to the project folder, and without a password."""
        path = sqlite_path(self.uri)
        if path is not None and path.is_relative_to(self.root.resolve()):
            return sqlite_url(path.relative_to(self.root.resolve()).as_posix())
        return mask_secrets(self.uri)

    @property
    def digest(self) -> str:
        """What the store is known by where its address has no business to stand: in references."""
        return sha256_hex(self.portable_uri().encode())[:16]

    @classmethod
    def from_portable(cls, uri: str, settings: Settings) -> TrackingLocation:
        """Return the location of `settings` when `uri` is what `portable_uri` says of it.

        A file of the project says where something was recorded; it does not decide what is connected to.

        Raises
        ------
        RecordError
            When `uri` is not the tracking store of `settings`; nothing is opened then.
        """
        own = cls.from_settings(settings)
        if uri in (own.portable_uri(), mask_secrets(own.uri)):
            return own
        raise RecordError(
            f"this was recorded at {mask_secrets(uri)}, and the settings name {own.portable_uri()}",
            hint="if you know that store, let tracking.uri name it, with its password if it has one",
        )


_block: Final[ContextVar[TrackingLocation | None]] = ContextVar("rollwright_tracking_location", default=None)


@contextmanager
def use_location(location: TrackingLocation) -> Iterator[None]:
    """Let references to `location` be followed in the block: the caller has named it."""
    token = _block.set(location)
    try:
        yield
    finally:
        _block.reset(token)


def make_reference(location: TrackingLocation) -> dict[str, Any]:
    """Return what a reference says of the store that its object is recorded in: no address."""
    return {_STORE: location.digest}


def find_location(reference: Mapping[str, Any]) -> TrackingLocation:
    """Return the location that `reference` means, of those that the present context names.

    Whoever can write to a pool could name any address in it: it is compared, and never connected to.

    Raises
    ------
    RecordError
        When it was recorded elsewhere; nothing is opened then.
    """
    settings = TrackingLocation.from_settings(current_settings())
    of_context: TrackingLocation = open_part("tracking").location
    named = (_block.get(), of_context, settings)
    for location in named:
        if location is None:
            continue
        if reference.get(_STORE) == location.digest:
            return location
        if _STORE not in reference and reference.get(_FORMER) in (location.portable_uri(), mask_secrets(location.uri)):
            return location
    raise RecordError(
        f"this was recorded in another tracking store than {settings.portable_uri()}, which the settings name",
        hint="give all workers the same tracking.uri; a reference is never followed to another address",
    )
