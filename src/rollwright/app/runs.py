"""Find recorded runs by id, fingerprint, window or experiment, and describe them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.app.campaign_record import list_campaign_data, list_campaign_folders
from rollwright.config.construct import Trust
from rollwright.config.context import using
from rollwright.config.settings import Settings, load_settings
from rollwright.core.masking import mask_secrets
from rollwright.core.sqlite_urls import sqlite_path
from rollwright.errors import ConfigError, CorruptArtifactError, RecorderNotFoundError, RollwrightError, nearest
from rollwright.features.generations import split_generation
from rollwright.market.current import open_market
from rollwright.tracking.artifacts import ArtifactRef, ArtifactStore
from rollwright.tracking.experiment import SHORTEST_ID
from rollwright.tracking.location import TrackingLocation
from rollwright.tracking.recorder import MLflowRecorder, Recorder
from rollwright.tracking.store import RunRecord, window_of
from rollwright.training.execute import TASK_ARTIFACT
from rollwright.training.provenance import PROVENANCE_ARTIFACT, differences, made_with
from rollwright.training.user_code import code_files, hash_of_code

__all__ = ["RunDetails", "StoredRun", "find_run", "list_runs", "restore_settings", "show_run"]

_logger: Final = logging.getLogger("rollwright.app")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run as the tracking store holds it.

    Attributes
    ----------
    recorder : Recorder
    experiment : str
        The name of its experiment.
    fingerprint : str
        Of its task; empty when it trained none.
    window : str
        The test segment of its task, as ``2016-01-04..2016-03-31``; empty when it has none.
    """

    recorder: Recorder
    experiment: str
    fingerprint: str
    window: str

    @property
    def refs(self) -> dict[str, ArtifactRef]:
        """Its artifacts by name, as the manifest lists them."""
        return {ref.name: ref for ref in self.files.list()}

    @property
    def files(self) -> ArtifactStore:
        """Its artifacts."""
        return self.recorder.location.files_of(self.recorder.experiment_id, self.recorder.id)

    def title(self) -> str:
        """Return the title that messages use."""
        return f"{self.window or self.recorder.name} of {self.experiment} ({self.recorder.id[:12]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run with its metrics, artifacts and provenance.

    Attributes
    ----------
    run : StoredRun
    metrics : mapping of str to float
    artifacts : tuple of ArtifactRef
    provenance : mapping
        Empty when none was stored.
    changed : tuple of (str, str, str)
        Differences if it were trained now: dotted name, then, now.
    """

    run: StoredRun
    metrics: Mapping[str, float]
    artifacts: tuple[ArtifactRef, ...]
    provenance: Mapping[str, Any]
    changed: tuple[tuple[str, str, str], ...]


def list_runs(settings: Settings, *, experiment: str | None = None) -> list[StoredRun]:
    """Return the runs of a project, or of one experiment, the newest first; nothing is created by asking.

    Raises
    ------
    ConfigError
        When nothing was ever recorded in the project.
    ExperimentNotFoundError
    """
    location = TrackingLocation.from_settings(settings)
    path = sqlite_path(location.uri)
    if path is not None and not path.exists():
        raise ConfigError(
            f"nothing was recorded in {settings.root} yet, at {location.portable_uri()}",
            hint="give the command in the project's folder, the one with `.rollwright` or `rollwright.toml`; where a "
            "configuration's `exp_manager` names another place, name it in rollwright.toml: [tracking] uri",
        )
    experiments = {found.id: found.name for found in location.store.experiments() if experiment in (None, found.name)}
    if not experiments:
        return []
    runs = location.store.search_runs(list(experiments))
    return [_make_stored_run(run, experiments[run.experiment_id], location) for run in runs]


def _make_stored_run(run: RunRecord, experiment: str, location: TrackingLocation) -> StoredRun:
    return StoredRun(
        recorder=MLflowRecorder(location=location, run=run),
        experiment=experiment,
        fingerprint=run.tags.get("fingerprint", ""),
        window=window_of(run),
    )


def find_run(what: str, settings: Settings) -> StoredRun:
    """Return the run that `what` names: the beginning of an id or of a fingerprint, a window, or an experiment.

    Of several runs of one task the newest that is finished is meant.

    Raises
    ------
    RecorderNotFoundError
        When there is none; carries what is near.
    ConfigError
        When it names runs of several tasks.
    """
    runs = list_runs(settings)
    long_enough = len(what) >= SHORTEST_ID
    found = [run for run in runs if long_enough and run.recorder.id.startswith(what)]
    found = found or [run for run in runs if long_enough and run.fingerprint.startswith(what)]
    found = found or [run for run in runs if what in (run.window, f"{run.experiment}/{run.window}")]
    found = found or [run for run in runs if what == run.experiment]
    if not found:
        known = {run.window for run in runs} | {run.experiment for run in runs}
        near = nearest(what, {name for name in known if name})
        raise RecorderNotFoundError(
            f"no run of {settings.root} is named by {what!r}",
            hint=f"did you mean `{near}`?"
            if near
            else f"give an id or a fingerprint, {SHORTEST_ID} signs or more of it, or a window: 2016-01-04..2016-03-31",
        )
    tasks = {run.fingerprint or run.recorder.id for run in found}
    if len(tasks) > 1:
        latest = {run.fingerprint or run.recorder.id: run for run in reversed(found)}  # the newest of each task
        rows = sorted((run.experiment, run.window, run.recorder.id, run.recorder.status) for run in latest.values())
        lines = [f"  {name}/{window or '-'}  {key[:12]}  {status}" for name, window, key, status in rows]
        raise ConfigError(
            "\n".join([f"{what!r} names {len(tasks)} tasks:", *lines]),
            hint="give one of these names as it stands here, or the beginning of its id; "
            "how a whole campaign stands: rollwright status NAME",
        )
    done = [run for run in found if run.recorder.status == Recorder.STATUS_FI]
    return (done or found)[0]


def restore_settings(provenance: Mapping[str, Any], settings: Settings) -> Settings:
    """Return the settings under which a run was made, as far as its provenance tells, in the project as it lies now.

    Whoever can write the artifacts can write a provenance. So it names no folder, neither of data nor of code that may
    be imported, but one in the project, one of the settings, or one of a campaign that was started here. Data that a
    worker of another host had elsewhere are those of such a folder, where one has the same generation.

    Raises
    ------
    ConfigError
        When it names another.
    CorruptArtifactError
        When it is no provenance.
    """
    data, code = provenance.get("data", {}), provenance.get("code", {})
    if not isinstance(data, Mapping) or not isinstance(code, Mapping):
        raise CorruptArtifactError("the provenance of the run has another form")
    told = {
        "data.provider_uri": data.get("provider_uri"),
        "data.freq": data.get("freq"),
        "data.region": data.get("region"),
        "trust.folder": code.get("folder"),
    }
    known = {
        "data.provider_uri": {settings.data.provider_uri, *list_campaign_data(settings)},
        "trust.folder": {settings.trust.folder, *list_campaign_folders(settings)},
    }
    if told["data.provider_uri"] and not _is_known(told["data.provider_uri"], known["data.provider_uri"], settings):
        same = _find_same_data(data.get("generation"), known["data.provider_uri"], settings)
        told["data.provider_uri"] = told["data.provider_uri"] if same is None else same  # a worker of another host
    for name, named in known.items():
        if told[name] and not _is_known(told[name], named, settings):
            variable = f"ROLLWRIGHT_{name.replace('.', '__').upper()}"
            raise ConfigError(
                f"the run was made with {name} = {mask_secrets(told[name])}, which is not in this project and which "
                "neither the settings nor a campaign started here name",
                hint=f"if you know it, name it: {variable}=… before the command",
            )
    return settings.with_values({name: value for name, value in told.items() if value}, origin="provenance")


def _find_same_data(generation: object, named: Iterable[str | None], settings: Settings) -> str | None:
    """Return the folder, of those that are known here, whose data are of this generation; None when none is."""
    if not isinstance(generation, str):
        return None
    for folder in sorted(name for name in named if name is not None):
        try:
            market = open_market(settings.with_values({"data.provider_uri": folder}, origin="provenance"))
        except RollwrightError:
            continue
        if market.generation == split_generation(generation)[0]:
            return folder
    return None


def _is_known(told: Any, named: Iterable[str | None], settings: Settings) -> bool:
    if not isinstance(told, str):
        return False
    if told in named:
        return True
    if "://" in told:
        return False
    path = settings.resolve(told)
    known = [settings.resolve(text) for text in named if text is not None and "://" not in text]
    return path.is_relative_to(settings.root.resolve()) or path in known


def show_run(what: str, *, project: Path | None = None) -> RunDetails:
    """Return a run with its provenance, and how that differs from the present state.

    Raises
    ------
    RecorderNotFoundError, ConfigError
        As `find_run`.
    CorruptArtifactError
        When the provenance is damaged.
    """
    settings = load_settings(start=project)
    run = find_run(what, settings)
    artifacts = tuple(run.files.list())
    names = {ref.name for ref in artifacts}
    origin = run.recorder.load_object(PROVENANCE_ARTIFACT) if PROVENANCE_ARTIFACT in names else {}
    changed: Sequence[tuple[str, str, str]] = ()
    if origin and TASK_ARTIFACT in names:
        changed = _find_changes(origin, run.recorder.load_object(TASK_ARTIFACT), _settings_then(origin, settings))
    return RunDetails(
        run=run,
        metrics=run.recorder.list_metrics(),
        artifacts=artifacts,
        provenance=origin,
        changed=tuple(changed),
    )


def _settings_then(origin: Mapping[str, Any], settings: Settings) -> Settings:
    """Return the settings of then; where they lead to a place nobody here named, those of now, and the rest differs."""
    try:
        return restore_settings(origin, settings)
    except ConfigError as error:
        _logger.warning("provenance.ignored reason=%s", error.message)
        return settings


def _find_changes(origin: Mapping[str, Any], task: Mapping[str, Any], settings: Settings) -> list[tuple[str, str, str]]:
    """Return how a provenance differs from the present state, without training anything."""
    with using(settings):
        files = code_files(task, Trust.from_settings(settings))
    try:
        generation = open_market(settings).generation
    except RollwrightError as error:
        generation = f"none: {error.message}"
    then = str(origin["data"].get("generation"))
    if split_generation(then)[0] == generation:
        generation = then  # which fields by period it read is not said here
    now = {
        **origin,
        "data": {**origin["data"], "generation": generation},
        "code": {**origin["code"], "hash": hash_of_code(files), "files": files},
        "versions": made_with(origin["versions"]),
    }
    return differences(origin, now)
