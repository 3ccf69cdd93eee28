"""Recorders: the evidence of one run, its parameters, metrics, tags and artifacts."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from rollwright.codecs.registry import codecs
from rollwright.core.canonical import JSON
from rollwright.core.clock import Clock, SystemClock
from rollwright.errors import (
    ArtifactNotFoundError,
    ProtectedArtifactError,
    RecorderNotFoundError,
    RecordError,
    UnsupportedArtifactError,
    UntrustedArtifactError,
)
from rollwright.tracking.artifacts import RAW, ArtifactStore, ArtifactWrite, LocalArtifactStore
from rollwright.tracking.location import TrackingLocation, find_location, make_reference
from rollwright.tracking.log_buffer import LogBuffer, resolve_pointers
from rollwright.tracking.store import OPEN_STATUSES, PARENT_TAG, STATUSES, RunRecord, check_id, window_of

__all__ = ["MLflowRecorder", "Recorder", "RecorderReference", "signed_name"]

_KEPT_BY_MLFLOW: Final = ("mlflow.runName", PARENT_TAG)  # copies of the name and of `parent_id`
_PICKLED: Final = "envelope"


class Recorder:
    """One run.

    While it is active, parameters, metrics and tags are buffered and written in batches: when it ends, before they are
    read, and by `flush`. Otherwise they are written at once. Times, name and status are those this object last saw.

    Parameters
    ----------
    location : TrackingLocation
        Where it is stored.
    run : RunRecord
        The run as the store holds it.
    clock : Clock, optional
        Stamps metrics and the end.
    """

    STATUS_S: ClassVar[str] = "SCHEDULED"
    STATUS_R: ClassVar[str] = "RUNNING"
    STATUS_FI: ClassVar[str] = "FINISHED"
    STATUS_FA: ClassVar[str] = "FAILED"
    DEFAULT_NAME: ClassVar[str] = "mlflow_recorder"

    def __init__(self, *, location: TrackingLocation, run: RunRecord, clock: Clock | None = None) -> None:
        self._location = location
        self._run = run
        self._clock = clock or SystemClock()
        self._local: ArtifactStore = location.files_of(run.experiment_id, run.id)
        self._fetched = False
        self._protected: frozenset[str] = frozenset()
        self._buffer = LogBuffer(traits=location.store.traits, known=dict(run.params))
        self._buffering = False
        self._mutex = threading.RLock()

    def __repr__(self) -> str:
        window = f", window={self.window}" if self.window and self.window not in self.name else ""
        return f"{type(self).__name__}(name={self.name!r}, id={self.id!r}, status={self.status}{window})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recorder) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """The run's id, unique everywhere."""
        return self._run.id

    @property
    def name(self) -> str:
        """The run's name; several runs may share one."""
        return self._run.name

    @property
    def window(self) -> str:
        """The test segment of its task, as ``2016-01-04..2016-03-31``; empty when it has none."""
        return window_of(self._run)

    @property
    def experiment_id(self) -> str:
        """The id of the experiment it belongs to."""
        return self._run.experiment_id

    @property
    def parent_id(self) -> str | None:
        """The id of the recorder it was started in; None when it was started in none."""
        return self._run.tags.get(PARENT_TAG)

    @property
    def status(self) -> str:
        """One of SCHEDULED, RUNNING, FINISHED and FAILED."""
        return self._run.status

    @property
    def start_time(self) -> datetime:
        """When it started, aware UTC."""
        return self._run.start

    @property
    def end_time(self) -> datetime | None:
        """When it ended, aware UTC; None when it has not."""
        return self._run.end

    def read_again(self) -> Recorder:
        """Return the recorder as the store has it now; this one stays as it was read."""
        return type(self)(location=self._location, run=self._read_fresh(), clock=self._clock)

    @property
    def info(self) -> dict[str, Any]:
        """The facts about it, as JSON values."""
        return {
            "class": "Recorder",
            "id": self.id,
            "name": self.name,
            "experiment_id": self.experiment_id,
            "start_time": self.start_time.isoformat(),
            "end_time": None if self.end_time is None else self.end_time.isoformat(),
            "status": self.status,
        }

    @property
    def location(self) -> TrackingLocation:
        """Where it is stored."""
        return self._location

    @property
    def uri(self) -> str:
        """The tracking URI it is recorded at, without a password."""
        return self._location.portable_uri()

    @property
    def artifact_uri(self) -> str:
        """The folder of its files, as a ``file:`` URI, or its address where `tracking.artifacts` is one."""
        return self._local.uri

    def get_artifact_uri(self) -> str:
        """Return `artifact_uri`."""
        return self.artifact_uri

    def get_local_dir(self) -> str:
        """Return the run's folder on this machine; its files lie in ``artifacts`` below it."""
        return str(self._local.folder)

    def set_recorder_name(self, rname: str) -> None:
        """Rename the run, here and in the store."""
        self._location.store.update_run(self.id, name=rname)
        self._run = replace(self._run, name=rname)

    def start_run(self) -> None:
        """Make the run RUNNING, and buffer what it logs from now on."""
        if self.status != self.STATUS_R or self._run.end is not None:
            self._location.store.update_run(self.id, status=self.STATUS_R)
            self._run = replace(self._run, status=self.STATUS_R, end=None)
        self._local.defer()
        self._buffering = True

    def end_run(self, status: str = STATUS_FI) -> None:
        """Write what waits, and close the run with `status`; SCHEDULED suspends it, to be resumed anywhere.

        Raises
        ------
        RecordError
            When values were refused; the run is FAILED then, never FINISHED without them (defect M2).
        """
        if status not in STATUSES:
            raise RecordError(f"{status!r} is no status", hint="SCHEDULED, RUNNING, FINISHED or FAILED")
        self._buffering = False
        end = None if status in OPEN_STATUSES else self._clock.now()
        try:
            with self._mutex:
                self._local.sync()  # the run has no end before its files are on the disk
                self._buffer.write(self._location.store, self.id, lambda: self._files, status=status, end=end)
        except BaseException:
            status, end = self.STATUS_FA, self._clock.now()
            self._location.store.update_run(self.id, status=status, end=end)
            raise
        finally:
            self._run = replace(self._run, status=status, end=end)

    def flush(self) -> None:
        """Write everything that was logged and waits.

        Raises
        ------
        RecordError
            Naming the values the store refused; the others are written.
        """
        with self._mutex:
            if self._buffer:
                self._buffer.write(self._location.store, self.id, lambda: self._files)

    def log_params(self, /, **kwargs: object) -> None:
        """Log parameters, as text; one that has a value already keeps it.

        Raises
        ------
        RecordError
            Naming each parameter that would change; the others are logged.
        """
        with self._mutex:
            self._finish_logging(self._buffer.add_params(kwargs))

    def log_metrics(self, /, step: int | None = None, **kwargs: object) -> None:
        """Log metrics at `step`, 0 if not given.

        Raises
        ------
        RecordError
            Naming each metric that is no finite number or NaN, or has no legal name; the others are logged.
        """
        with self._mutex:
            self._finish_logging(self._buffer.add_metrics(kwargs, step=step or 0, at=self._clock.now()))

    def set_tags(self, /, **kwargs: object) -> None:
        """Set tags, as text; a tag that is there is replaced.

        Raises
        ------
        RecordError
            Naming each tag that the store refuses; the others are set.
        """
        with self._mutex:
            self._buffer.add_tags(kwargs)
            self._finish_logging([])

    def delete_tags(self, *keys: str) -> None:
        """Remove tags; a tag that is not there is no error."""
        with self._mutex:
            self._location.store.delete_tags(self.id, self._buffer.forget_tags(keys))

    def list_params(self) -> dict[str, str]:
        """Return the parameters, long ones in full."""
        return resolve_pointers(self._read_fresh().params, lambda: self._files)

    def list_metrics(self) -> dict[str, float]:
        """Return the metrics, each at its greatest step."""
        return dict(self._read_fresh().metrics)

    @property
    def seen_tags(self) -> dict[str, str]:
        """The tags as this object last saw them, long ones in full; `list_tags` asks the store."""
        return resolve_pointers(self._run.tags, lambda: self._files)

    def list_tags(self) -> dict[str, str]:
        """Return the tags, long ones in full."""
        tags = resolve_pointers(self._read_fresh().tags, lambda: self._files)
        for name in _KEPT_BY_MLFLOW:
            tags.pop(name, None)
        return tags

    def save_objects(
        self, local_path: str | Path | None = None, artifact_path: str | None = None, **kwargs: Any
    ) -> None:
        """Save objects by name, or a file, or the files of a folder.

        Parameters
        ----------
        local_path : path, optional
            A file, stored under its own name, or a folder, whose files are stored as they lie in it.
        artifact_path : str, optional
            Folder of the artifacts they go to.
        **kwargs
            Name to object: ``save_objects(**{"pred.pkl": frame})``. All of them are there afterwards, or none.

        Raises
        ------
        RecordError
            When both are given or neither is, or a name leads out of the run's folder.
        UnsupportedArtifactError
            When an object has no safe form; nothing is written then.
        """
        if (local_path is None) == (not kwargs):
            raise RecordError("save_objects takes either a local_path or named objects")
        if local_path is not None:
            self._write(_raw_files(Path(local_path), artifact_path))
            return
        items: list[ArtifactWrite] = []
        for name, obj in kwargs.items():
            codec = codecs.for_object(obj)
            full = _join_name(artifact_path, name)
            fill = partial(codec.write_as, signed_name(self.id, full), obj)
            items.append(ArtifactWrite(name=full, kind=codec.kind, suffix=codec.suffix, fill=fill))
        self._write(items)

    def load_object(self, name: str, unpickler: object = None) -> Any:
        """Return a saved object by its name, as ``pred.pkl``, its bytes verified.

        Nothing is unpickled but what no format can hold, and that only after its signature was found good.

        Parameters
        ----------
        name : str
        unpickler : optional
            Qlib's argument. It is never called: what has a format of its own needs none, and what has to be unpickled
            is refused when one is given.

        Raises
        ------
        ArtifactNotFoundError
            When there is none of that name.
        CorruptArtifactError
            When its bytes are not those that were written.
        UntrustedArtifactError
            When it would have to be unpickled and nobody this machine trusts signed it as this artifact of this run.
        UnsupportedArtifactError
            When it is a plain file; `download_artifact` gives its path. When it has to be unpickled and an
            `unpickler` is given.
        """
        path, ref = self._files.local_path(name)
        if ref.kind == RAW:
            raise UnsupportedArtifactError(
                f"artifact {name!r} is a plain file, not an object", hint="download_artifact returns its path"
            )
        if unpickler is not None and ref.kind == _PICKLED:
            raise UnsupportedArtifactError(
                f"artifact {name!r} is signed and opened by rollwright alone, not by the unpickler given",
                hint="leave `unpickler` out",
            )
        codec, recorded_as = codecs.for_kind(ref.kind), self._run.recorded_as
        try:
            return codec.read_as(signed_name(self.id, name), path)
        except UntrustedArtifactError:
            if not recorded_as:
                raise
            return codec.read_as(signed_name(recorded_as, name), path)

    def verify_objects(self, *names: str) -> None:
        """Verify that saved objects are there and their bytes those that were written.

        Nothing is opened, but where the manifest is of before it had a seal, so that their kinds may be damaged.

        Raises
        ------
        RecordError
            As `load_object`.
        """
        if not self._files.verify_all(names):
            for name in names:
                self.load_object(name)

    def log_artifact(self, local_path: str | Path, artifact_path: str | None = None) -> None:
        """Store a file, or the files of a folder, as they are."""
        self._write(_raw_files(Path(local_path), artifact_path))

    def protect(self, names: Iterable[str]) -> None:
        """Refuse from now on, through this object, to replace or delete these artifacts, and no others."""
        self._protected = frozenset(names)

    def list_artifacts(self, artifact_path: str | None = None) -> list[str]:
        """Return the names of the artifacts, of all or of those below a folder."""
        return [ref.name for ref in self._files.list(artifact_path or "")]

    def list_digests(self) -> dict[str, str]:
        """Return the SHA-256 of each artifact by its name, as it was when the artifact was saved."""
        return {ref.name: ref.sha256 for ref in self._files.list("")}

    def download_artifact(self, path: str, dst_path: str | Path | None = None) -> str:
        """Return the path of a file with the artifact's bytes, verified.

        Parameters
        ----------
        path : str
            Name of the artifact, or of a folder of them when `dst_path` is given.
        dst_path : path, optional
            Folder to copy into; without it the path of the stored file itself, not to be changed.
        """
        if dst_path is None:
            return str(self._files.local_path(path)[0])
        below = self._files.list(path)
        names = [ref.name for ref in below] or [path]
        for name in names:
            source, ref = self._files.local_path(name)
            target = Path(dst_path) / ref.file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return str(Path(dst_path) / (path if below else self._files.local_path(path)[1].file))

    def delete_artifact(self, name: str) -> None:
        """Remove an artifact."""
        self._check_protected([name])
        self._files.delete(name)

    def _write(self, items: Sequence[ArtifactWrite]) -> None:
        self._check_protected([item.name for item in items])
        self._files.write(items)

    def _check_protected(self, names: Iterable[str]) -> None:
        if held := sorted(self._protected.intersection(names)):
            raise ProtectedArtifactError(
                f"{', '.join(held)} of recorder {self.id} is what other tasks have as their result",
                hint="save it under another name, or in a recorder of its own",
            )

    @property
    def _files(self) -> ArtifactStore:
        """The run's files, downloaded first when another project recorded them and a server stores them."""
        if not self._fetched:
            if not self._location.fetch(self._run):  # it has no files here, so none of them can be away
                self._local = LocalArtifactStore(self._local.folder)
            self._fetched = True
        return self._local

    def _finish_logging(self, problems: list[str]) -> None:
        if not self._buffering:
            self.flush()
        if problems:
            raise RecordError(f"{len(problems)} values were not logged, all others were: {'; '.join(problems)}")

    def _read_fresh(self) -> RunRecord:
        self.flush()
        return self._location.store.get_run(self.id)


class MLflowRecorder(Recorder):
    """Qlib's name of `Recorder`; MLflow is behind the tracking store of its location."""


class RecorderReference:
    """A recorder as a task pool stores it: which store it is in, and its ids."""

    def to_json(self, obj: Recorder) -> dict[str, JSON]:
        """Return what identifies the recorder."""
        return {**make_reference(obj.location), "experiment_id": obj.experiment_id, "recorder_id": obj.id}

    def from_json(self, value: Mapping[str, JSON]) -> Recorder:
        """Return the recorder, read from the tracking store of the present context.

        Raises
        ------
        RecorderNotFoundError
            When the store does not know it, it is deleted, or it was recorded in another store.
        TrackingUnavailableError
            When the store does not answer, or is on a disk that is away.
        """
        try:
            location = find_location(value)
        except RecordError as error:
            raise RecorderNotFoundError(error.message, hint=error.hint) from error
        location.check_present()
        run = location.store.get_run(check_id(value.get("recorder_id"), what="recorder"))
        if run.deleted:
            raise RecorderNotFoundError(f"recorder {run.id} is deleted")
        return MLflowRecorder(location=location, run=run)


def signed_name(run_id: str, name: str) -> str:
    """Return what an artifact is signed as, so that it stands for no other artifact and for no other run's."""
    return f"{run_id}/{name}"


def _join_name(folder: str | None, name: str) -> str:
    return f"{folder.strip('/')}/{name}" if folder else name


def _raw_files(path: Path, folder: str | None) -> list[ArtifactWrite]:
    """Return the writes that store a file, or the files of a folder, as they are."""
    if path.is_file():
        pairs = [(path, path.name)]
    elif path.is_dir():
        pairs = [(file, file.relative_to(path).as_posix()) for file in sorted(path.rglob("*")) if file.is_file()]
    else:
        raise ArtifactNotFoundError(f"there is no file or folder {path} to save")
    return [
        ArtifactWrite(name=_join_name(folder, name), kind=RAW, suffix="", fill=partial(shutil.copyfile, source))
        for source, name in pairs
    ]
