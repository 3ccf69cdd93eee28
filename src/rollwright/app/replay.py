"""Replay: train a recorded task again and compare the bytes; the original is only read."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.app.runs import StoredRun, find_run, restore_settings
from rollwright.codecs.envelope import EnvelopeCodec
from rollwright.codecs.registry import JsonCodec
from rollwright.config.context import using
from rollwright.config.settings import Settings, load_settings
from rollwright.errors import ConfigError, RecordError, TaskFailedError
from rollwright.market.seal import find_holdout
from rollwright.pool.document import last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore
from rollwright.signing.envelope import payload_digest, read_envelope
from rollwright.tracking.artifacts import ArtifactStore, LocalArtifactStore
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import TASK_ARTIFACT, task_train
from rollwright.training.kept_fit import MODEL_ARTIFACT, VALIDITY_ARTIFACT
from rollwright.training.pooled import train_in_pool
from rollwright.training.provenance import PROVENANCE_ARTIFACT, differences
from rollwright.training.shards import SHARDS_ARTIFACT
from rollwright.training.validity import Validity

__all__ = ["ArtifactComparison", "Replay", "replay"]

_logger: Final = logging.getLogger("rollwright.app")
EXPERIMENT: Final = "replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactComparison:
    """One artifact, then and now; the SHA-256 is None where there is none of its name.

    `pickled` says that it has no format of its own: it is stored with the code of its class, and the SHA-256 is that of
    what its envelope holds, since the envelope says of which run it is.
    """

    name: str
    then: str | None
    now: str | None
    pickled: bool

    @property
    def same(self) -> bool:
        """Whether the artifact is byte for byte the same."""
        return self.then == self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Result of training a task again.

    Attributes
    ----------
    run : StoredRun
        The original.
    artifacts : tuple of ArtifactComparison
        Every artifact but those that tell of the data and code it was made from: provenance and validity.
    changed : tuple of (str, str, str)
        Differences in provenance: dotted name, then, now.
    has_provenance : bool
        Whether the original has a provenance at all.
    """

    run: StoredRun
    artifacts: tuple[ArtifactComparison, ...]
    changed: tuple[tuple[str, str, str], ...]
    has_provenance: bool

    @property
    def same(self) -> bool:
        """Whether model, prediction and all other artifacts are byte for byte those of the original."""
        return all(item.same for item in self.artifacts)


def replay(what: str, *, project: Path | None = None) -> Replay:
    """Train the task of a finished run again, here and now, and compare what it leaves with what is stored.

    Guarantees: nothing of the original, of its pool or of the tracking store is changed; it is trained as it was then,
    in a worker's slot or in this process, in a folder that is removed afterwards.

    Parameters
    ----------
    what : str
        As `rollwright.app.runs.find_run`.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.

    Raises
    ------
    RecorderNotFoundError, ConfigError
        When `what` names no run, several, or one that is not finished or trained no task.
    CorruptArtifactError
        When the original is damaged.
    HoldoutSealedError
        When it read sessions that are sealed now: without them it would be another task.
    TaskFailedError
        When it cannot be trained any more.
    """
    # 1. Find the run, and verify every byte of it. 2. Train its task in a folder and a tracking store of their own,
    # under the settings of then. 3. Compare the artifacts, and the provenance that says why they may differ.
    settings = load_settings(start=project)
    run = find_run(what, settings)
    if run.recorder.status != Recorder.STATUS_FI:
        raise ConfigError(f"{run.title()} is {run.recorder.status}, so there is nothing to compare with")
    before = run.refs
    if TASK_ARTIFACT not in before or MODEL_ARTIFACT not in before:
        raise ConfigError(f"{run.title()} trained no task: it has no `{TASK_ARTIFACT}` and `{MODEL_ARTIFACT}`")
    for ref in before.values():
        run.files.verify(ref)
    task = run.recorder.load_object(TASK_ARTIFACT)
    origin: Mapping[str, Any] = {}
    if PROVENANCE_ARTIFACT in before:
        origin = run.recorder.load_object(PROVENANCE_ARTIFACT)
    with tempfile.TemporaryDirectory(prefix="rollwright-replay-") as folder:
        values = {"tracking.uri": f"memory:{uuid.uuid4().hex}", "tracking.artifacts": folder}
        there = restore_settings(origin, settings).with_values(values, origin="replay")
        with using(there):
            _refuse_sealed(run, before)
            _train(task, run, there, in_slot=origin.get("process") == "slot")
        after, now = _read_outcome(Path(folder))
    then = _list_contents(run.files)
    names = sorted((then.keys() | after.keys()) - {PROVENANCE_ARTIFACT, VALIDITY_ARTIFACT, SHARDS_ARTIFACT})
    return Replay(
        run=run,
        artifacts=tuple(_compare(name, then.get(name), after.get(name)) for name in names),
        changed=tuple(differences(origin, now)) if origin else (),
        has_provenance=bool(origin),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What an artifact holds: the SHA-256 of its file, or of what its envelope holds."""

    sha256: str
    pickled: bool


def _compare(name: str, then: _Content | None, now: _Content | None) -> ArtifactComparison:
    return ArtifactComparison(
        name=name,
        then=None if then is None else then.sha256,
        now=None if now is None else now.sha256,
        pickled=any(content is not None and content.pickled for content in (then, now)),
    )


def _list_contents(store: ArtifactStore) -> dict[str, _Content]:
    contents = {}
    for ref in store.list():
        pickled = ref.kind == EnvelopeCodec.kind
        digest = payload_digest(read_envelope(store.local_path(ref.name)[0])) if pickled else ref.sha256
        contents[ref.name] = _Content(sha256=digest, pickled=pickled)
    return contents


def _refuse_sealed(run: StoredRun, artifacts: Container[str]) -> None:
    holdout = find_holdout()
    if holdout is None or VALIDITY_ARTIFACT not in artifacts:
        return
    validity = Validity.from_json(run.recorder.load_object(VALIDITY_ARTIFACT))
    if validity is not None:
        holdout.refuse(*(scope.until for basis in (validity.fit, *validity.records) for scope in basis.reads))


def _train(task: Any, run: StoredRun, settings: Settings, *, in_slot: bool) -> None:
    _logger.info("replay.started run=%s in_slot=%s", run.recorder.id, in_slot)
    if not in_slot:
        task_train(task, experiment_name=EXPERIMENT)
        return
    manager = TaskManager(EXPERIMENT, store=MemoryStore(), max_attempts=1)
    task_id = manager.insert_task_def(task)
    if train_in_pool(manager, experiment_name=EXPERIMENT, ids=[task_id], settings=settings).interrupted:
        raise KeyboardInterrupt
    done = next(iter(manager.query({"_id": task_id}, decode=False)))
    if done["status"] != "done":
        raise TaskFailedError([(run.title(), last_line(str(done.get("error") or "")))])


def _read_outcome(folder: Path) -> tuple[dict[str, _Content], Mapping[str, Any]]:
    """Return what the artifacts of the one run in `folder` hold, and its provenance."""
    runs = [path.parent for path in folder.glob("*/*/artifacts.json")]
    if len(runs) > 1:  # a task in shards, each of which has a run of its own
        runs = [run for run in runs if any(ref.name == SHARDS_ARTIFACT for ref in LocalArtifactStore(run).list())]
    if len(runs) != 1:
        raise RecordError(f"training again left {len(runs)} runs in {folder}, one was due")
    store = LocalArtifactStore(runs[0])
    now = JsonCodec().read(store.local_path(PROVENANCE_ARTIFACT)[0])
    return _list_contents(store), now if isinstance(now, dict) else {}
