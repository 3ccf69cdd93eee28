"""Verify that everything a project recorded is still there and unchanged."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from rollwright.app.runs import StoredRun, find_run, list_runs
from rollwright.codecs.envelope import EnvelopeCodec
from rollwright.codecs.registry import JsonCodec, codecs
from rollwright.config.settings import Settings, load_settings
from rollwright.core.atomic import DRAFT_MARK
from rollwright.core.sqlite_urls import sqlite_path
from rollwright.errors import ConfigError, CorruptArtifactError, RollwrightError, UnsupportedArtifactError
from rollwright.pool.stores.sqlite.check import sqlite_problems
from rollwright.signing.envelope import open_sealed, read_envelope
from rollwright.tracking.artifacts import MANIFEST, RAW, ArtifactRef, ArtifactStore
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.recorder import Recorder, signed_name

__all__ = ["IntegrityFinding", "Verification", "verify"]

_logger: Final = logging.getLogger("rollwright.app")

Severity = Literal["error", "warning"]
FindingKind = Literal["missing", "corrupt", "manifest", "undecodable", "not opened", "orphan", "left over", "database"]
CountRuns = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityFinding:
    """One problem found.

    Attributes
    ----------
    severity : {"error", "warning"}
        An error is a loss: something recorded cannot be had as it was written. A warning costs room at most.
    kind : str
        ``missing``: a file that the manifest lists; ``corrupt``: its length or SHA-256; ``manifest``: the manifest;
        ``undecodable``: the bytes are right and no object comes out; ``not opened``: nothing here can or may open it;
        ``orphan``: a file that no manifest, or a folder that no run knows; ``left over``: a killed writer's draft;
        ``database``: the file of the pool or of the tracking store.
    where : str
        Path, relative to the project folder where it lies in it.
    run : str
        Names the run; empty when it is none's.
    message : str
    """

    severity: Severity
    kind: FindingKind
    where: str
    run: str
    message: str


@dataclass(slots=True, kw_only=True)
class Verification:
    """Result of a verification: what was read, and the problems found.

    Attributes
    ----------
    root : Path
        The project folder.
    runs, artifacts, size : int
        Runs, artifacts and bytes that were read.
    databases : int
    findings : list of IntegrityFinding
    """

    root: Path
    runs: int = 0
    artifacts: int = 0
    size: int = 0
    databases: int = 0
    findings: list[IntegrityFinding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is lost."""
        return not any(finding.severity == "error" for finding in self.findings)

    def add(self, severity: Severity, kind: FindingKind, where: Path | str, message: str, *, run: str = "") -> None:
        """Add a finding and log it; a text is an address."""
        inside = isinstance(where, Path) and where.is_relative_to(self.root)
        shown = os.path.relpath(where, self.root) if inside else str(where)
        self.findings.append(IntegrityFinding(severity=severity, kind=kind, where=shown, run=run, message=message))
        _logger.info("verify.found severity=%s kind=%s where=%s", severity, kind, shown)


def verify(what: str | None = None, *, project: Path | None = None, progress: CountRuns | None = None) -> Verification:
    """Read everything that was recorded, or what one experiment or one run recorded, and tell what is wrong.

    Every artifact is read whole: length, SHA-256, and whether its codec makes an object of it. Nothing is changed;
    no model is used, no class of the user's own is built and nothing is unpickled: of a signed envelope the signature
    is looked at, of a dataset that it is well-formed.

    Parameters
    ----------
    what : str, optional
        The name of an experiment, or what names one run (see `rollwright.app.runs.find_run`). The whole project if not
        given: then also folders of runs that the tracking store does not know, drafts of killed writers, and the files
        of an embedded pool and tracking store.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    progress : callable, optional
        Called with the number of runs done and their total.

    Raises
    ------
    ConfigError, RecorderNotFoundError
        When nothing was recorded, or `what` names nothing.
    RollwrightError
        Of the environment (exit code 3), when a store or a disk is away: then nothing is known to be lost.
    """
    settings = load_settings(start=project)
    found = Verification(root=settings.root.resolve())
    broken = _check_databases(settings, found) if what is None else []
    if sqlite_path(TrackingLocation.from_settings(settings).uri) in broken:
        return found  # it cannot say which runs there are
    runs = _choose_runs(what, settings)
    for done, run in enumerate(runs, 1):
        _check_run(run, found)
        if progress is not None:
            progress(done, len(runs))
    if what is None:
        _check_unknown_runs(settings, found)
        _check_drafts([settings.root / "results", settings.state_dir], settings, found)
    return found


def _choose_runs(what: str | None, settings: Settings) -> Sequence[StoredRun]:
    if what is None:
        try:
            return list_runs(settings)
        except ConfigError:
            if settings.state_dir.is_dir():  # a project in which nothing was recorded yet is whole
                return []
            raise
    return list_runs(settings, experiment=what) or [find_run(what, settings)]


def _check_run(run: StoredRun, found: Verification) -> None:
    store = run.files
    title = run.title()
    found.runs += 1
    try:
        refs = store.list()
    except RollwrightError as error:
        if error.is_away:  # nothing is known to be lost
            raise
        found.add("error", "manifest", _place(store, MANIFEST), error.message, run=title)
        return
    ended = run.recorder.status == Recorder.STATUS_FI
    strays = store.unlisted()
    if not refs and ended and (run.fingerprint or strays):
        found.add("error", "manifest", _place(store, MANIFEST), "the run is finished and lists no artifact", run=title)
    for ref in refs:
        _check_artifact(store, ref, title, found)
    working = run.recorder.status == Recorder.STATUS_R  # and may be writing drafts
    for name in strays:
        if not name.rpartition("/")[2].startswith(DRAFT_MARK):
            found.add("warning", "orphan", _place(store, name), "no manifest lists it", run=title)
        elif not working:
            found.add("warning", "left over", _place(store, name), "a writer was killed here", run=title)


def _place(store: ArtifactStore, name: str) -> Path | str:
    """Return where a file of a run is stored, by its path below the run's folder."""
    address = store.uri.removesuffix("/artifacts")
    return store.folder / name if address.startswith("file:") else f"{address}/{name}"


def _check_artifact(store: ArtifactStore, ref: ArtifactRef, title: str, found: Verification) -> None:
    where = _place(store, f"artifacts/{ref.file}")
    found.artifacts += 1
    try:
        path = store.verify(ref)
    except RollwrightError as error:
        if error.is_away:
            raise
        gone = isinstance(error, CorruptArtifactError) and error.gone
        found.add("error", "missing" if gone else "corrupt", where, error.message, run=title)
        return
    found.size += ref.length
    try:
        _decode(path, ref, store.folder.name)
    except (CorruptArtifactError, ValueError, OSError) as error:
        found.add("error", "undecodable", where, f"{type(error).__name__}: {error}".splitlines()[0], run=title)
    except RollwrightError as error:
        found.add("warning", "not opened", where, error.message, run=title)


def _decode(path: Path, ref: ArtifactRef, run_id: str) -> None:
    if ref.kind == RAW:
        return
    if ref.kind == EnvelopeCodec.kind:
        open_sealed(read_envelope(path), fmt=EnvelopeCodec.FORMAT, name=signed_name(run_id, ref.name), where=path.name)
    elif ref.kind == "dataset":  # its codec would build the user's classes
        JsonCodec().read(path)
    elif ref.kind in codecs.kinds():
        codecs.for_kind(ref.kind).read(path)
    else:  # of an installed package, or of one that is not installed here
        raise UnsupportedArtifactError(
            f"rollwright has no codec of its own for the kind `{ref.kind}`, and runs no other"
        )


def _check_databases(settings: Settings, found: Verification) -> list[Path]:
    """Look at the files of an embedded pool and tracking store; return those that are broken."""
    broken: list[Path] = []
    for url in (settings.pool.url, settings.tracking.uri):
        path = sqlite_path(settings.resolve_url(url))
        if path is None or not path.exists():
            continue
        found.databases += 1
        problems = sqlite_problems(path)
        for problem in problems:
            found.add("error", "database", path, problem)
        broken += [path] if problems else []
    return broken


def _check_unknown_runs(settings: Settings, found: Verification) -> None:
    """Tell folders of runs that the tracking store does not know, not even as deleted."""
    location = TrackingLocation.from_settings(settings)
    path = sqlite_path(location.uri)
    if path is None or location.address is not None or not location.artifacts.is_dir():
        return  # copies are nobody's loss
    experiments = [path for path in sorted(location.artifacts.iterdir()) if path.is_dir()]
    known: set[str] = set()
    if path.exists():
        known = {run.id for run in location.store.search_runs([path.name for path in experiments], view="all")}
    for folder in (path for experiment in experiments for path in sorted(experiment.iterdir())):
        if folder.name not in known and (folder / MANIFEST).exists():
            found.add("warning", "orphan", folder, f"{location.portable_uri()} knows no such run")


def _check_drafts(folders: Iterable[Path], settings: Settings, found: Verification) -> None:
    runs = TrackingLocation.from_settings(settings).artifacts
    for folder in folders:
        for path in _walk_files(folder):
            if path.name.startswith(DRAFT_MARK) and not path.is_relative_to(runs):
                found.add("warning", "left over", path, "a writer was killed here, or is at work")


def _walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder`, in order; links to folders are not followed."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(files))
