"""One task, from its definition to a finished recorder."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeGuard

from rollwright.codecs.registry import codecs
from rollwright.config.construct import SAVED, get_class, init_instance_by_config
from rollwright.config.context import current_settings
from rollwright.config.placeholders import fill_paths, fill_values
from rollwright.core.canonical import JSON, fingerprint
from rollwright.core.masking import mask_value
from rollwright.dataset.contract import ReadScope, TaskDataset, check_dataset
from rollwright.dataset.instrument_part import InstrumentPart
from rollwright.errors import ConfigError, ProtectedArtifactError, RecordError
from rollwright.models.base import Model, TellsLearning
from rollwright.models.learning import Learning
from rollwright.models.sklearn import as_model
from rollwright.tasks.definition import describe_objects
from rollwright.tasks.shards import PART, SHARD, read_sharding
from rollwright.tasks.window import name_window
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.checkpoint_file import keep_checkpoint
from rollwright.training.data_dependency import find_scopes
from rollwright.training.kept_fit import (
    FIT_FROM_TAG,
    FIT_KEY_TAG,
    LEARNING_ARTIFACT,
    MODEL_ARTIFACT,
    VALIDITY_ARTIFACT,
    KeptFit,
)
from rollwright.training.provenance import PROVENANCE_ARTIFACT, Process, provenance, renew_provenance
from rollwright.training.shards import SHARDS_ARTIFACT, GivenScores, JoinedShards, join_shards
from rollwright.training.task_view import seen_by
from rollwright.training.validity import TaskParts, Validity, record_configs

__all__ = ["TASK_ARTIFACT", "complete_fit", "execute", "log_task", "name_run", "task_train"]


RECORDS_MODULE: Final = "rollwright.analysis.records"
DATASET_ARTIFACT: Final = "dataset"
TASK_ARTIFACT: Final = "task"
_CHECKPOINTS: Final = "checkpoints"


def task_train(task_config: Mapping[str, Any], experiment_name: str, recorder_name: str | None = None) -> Recorder:
    """Train the task in a recorder of its own and return the finished recorder.

    Parameters
    ----------
    task_config : mapping
        ``model``, ``dataset`` and, optionally, ``record`` and ``reweighter``; it is not changed.
    experiment_name : str
        Created when it does not exist yet.
    recorder_name : str, optional

    Guarantees: the recorder is FINISHED only when every step succeeded, FAILED otherwise; the model, the dataset's
    configuration, the task and what its records produce are then its artifacts.
    """
    task_config = describe_objects(task_config)
    parts = TaskParts.of(task_config)
    if task_config.get(SHARD) is not None:  # of its task's other shards one may have learnt what it needs
        from rollwright.training.task_body import train_once  # noqa: PLC0415 - it is built on this module

        made = train_once(task_config, experiment_name=experiment_name, recorder_name=recorder_name, process="own")
        assert isinstance(made.value, Recorder)  # noqa: S101 - narrows the type
        return made.value
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        recorder = R.get_recorder()
        log_task(task_config, recorder, parts=parts)
        execute(task_config, recorder, parts=parts)
    return recorder


def complete_fit(
    task_config: Mapping[str, Any],
    kept: KeptFit,
    experiment_name: str,
    *,
    parts: TaskParts | None = None,
    shared: bool = False,
) -> dict[str, JSON]:
    """Make what is missing of a task in the recorder that holds its fit, and return the validity of the result.

    Guarantees: a recorder that was FINISHED, and of which all stands, is FINISHED again when a record that is added
    fails: other tasks have it as their result. If it is `shared`, no record replaces what one before it left.

    Raises
    ------
    ProtectedArtifactError
        When a record would; the recorder holds its former task then.
    """
    parts = parts if parts is not None else TaskParts.of(task_config)
    if kept.standing == len(kept.validity.records) > len(parts.records):  # it holds more than is asked
        return execute(task_config, kept.recorder, kept=kept, parts=parts)
    finished = kept.recorder.status == Recorder.STATUS_FI and kept.standing == len(kept.validity.records)
    former = kept.recorder.load_object(TASK_ARTIFACT) if _is_readable(kept.recorder, TASK_ARTIFACT) else None
    try:
        with R.start(experiment_name=experiment_name, recorder_id=kept.recorder.id, resume=True):
            recorder = R.get_recorder()
            log_task(task_config, recorder, parts=parts)
            try:
                validity = execute(task_config, recorder, kept=kept, parts=parts, shared=shared)
            except ProtectedArtifactError:
                recorder.protect(())
                if former is not None:
                    log_task(former, recorder)
                raise
            origin = recorder.load_object(PROVENANCE_ARTIFACT)
            renewed = renew_provenance(origin, fingerprint=parts.fingerprint, code=parts.files)
            _save(recorder, {PROVENANCE_ARTIFACT: renewed})
    except BaseException:
        if finished:
            R.get_recorder(recorder_id=kept.recorder.id).end_run(Recorder.STATUS_FI)
        raise
    return validity


def name_run(task_config: Mapping[str, Any], experiment_name: str) -> str | None:
    """Return what a run of the task is called: its experiment and its window; None for a task without a test segment.

    Examples
    --------
    ``demo 2016-01-04..2016-03-31``
    """
    window = name_window(task_config)
    return None if window is None else f"{experiment_name} {window}"


def log_task(task_config: Mapping[str, Any], recorder: Recorder, *, parts: TaskParts | None = None) -> None:
    """Write the task's definition into `recorder`: flattened as parameters, whole as the artifact ``task``.

    It is there when this returns: a run that is killed in its fit still says what it was. A recorder that the task
    goes on in keeps the parameters it has, which never change, and gets those that are new. Parameters are shown and
    sent to servers, so secrets are hidden in them; the artifact has them, since the task is trained again from it.
    """
    parts = parts if parts is not None else TaskParts.of(task_config)  # refuses bombs first
    identity = {"fingerprint": parts.fingerprint, FIT_KEY_TAG: parts.fit.key}
    known = recorder.list_params()
    shown = {name: mask_value(name, value) for name, value in flatten(task_config).items() if name not in known}
    recorder.log_params(**shown)
    _save(recorder, {TASK_ARTIFACT: dict(task_config)})
    recorder.set_tags(hostname=platform.node(), **identity)
    recorder.flush()


def execute(
    task_config: Mapping[str, Any],
    recorder: Recorder,
    *,
    process: Process = "own",
    kept: KeptFit | None = None,
    parts: TaskParts | None = None,
    shared: bool = False,
) -> dict[str, JSON]:
    """Build, fit, save and record one task inside `recorder`, and return its validity.

    Placeholders are filled first, in a copy; the model gets the task's seed when it takes one and the configuration
    gives none (decision D18). Where the model comes from is stored together with it.

    Parameters
    ----------
    task_config : mapping
    recorder : Recorder
    process : {"own", "slot"}
        Where it runs, for the provenance.
    kept : KeptFit, optional
        A fit of the same task: nothing is learnt then, and where it lies in this recorder, what of its records stands
        is kept.
    parts : TaskParts, optional
        The parts of the task, where the caller knows them: of before anything of it was imported.
    shared : bool
        Whether other tasks may have this recorder as their result, so that no record replaces what is there.

    Returns
    -------
    dict
        What the result depends on beside the definition, as `rollwright.training.validity.judge` takes it.

    Raises
    ------
    ConfigError
        When the dataset lacks something that a task needs, or a record could not be made; nothing was fitted then.
    UnsupportedArtifactError
        When no codec stores such a model or dataset; nothing was fitted then.
    """
    if parts is None:
        parts = TaskParts.of(task_config)  # before it runs: what is edited meanwhile gave no result
    with seen_by(task_config):
        joined = _join_shards(task_config, recorder, process=process, kept=kept, parts=parts)
        return _execute(task_config, recorder, process=process, kept=kept, parts=parts, shared=shared, joined=joined)


def _join_shards(
    task_config: Mapping[str, Any], recorder: Recorder, *, process: Process, kept: KeptFit | None, parts: TaskParts
) -> JoinedShards | None:
    """Return what the shards of a task give it; None where it has none, or what it holds already needs them no more.

    Models that learnt apart score again what they scored. One model is asked in parts, as it was before: the last bit
    of a score may depend on how many rows are scored at once.
    """
    sharding = read_sharding(task_config)
    if sharding is None:
        return None
    if kept is not None and (sharding.fits_each or kept.standing):
        return None
    _check_records(record_configs(fill_paths(task_config)))
    experiment = R.get_exp(experiment_id=recorder.experiment_id, create=False)
    return join_shards(task_config, sharding, experiment.name, parts=parts, process=process)


def _execute(
    task_config: Mapping[str, Any],
    recorder: Recorder,
    *,
    process: Process,
    kept: KeptFit | None,
    parts: TaskParts,
    shared: bool,
    joined: JoinedShards | None,
) -> dict[str, JSON]:
    task = fill_paths(task_config)
    standing = kept.standing if kept is not None and kept.goes_on else 0
    _check_records(record_configs(task)[standing:])
    dataset = _build_dataset(task)
    scores = None if joined is None else joined.scores
    if joined is not None and kept is None:
        kept = joined.fit
    else:
        joined = None
    if kept is None:
        model, validity = _fit(task, task_config, dataset, recorder, parts=parts, process=process)
    elif kept.goes_on:
        model, validity = kept.model, kept.validity
        if not _is_readable(recorder, DATASET_ARTIFACT):
            _save(recorder, {DATASET_ARTIFACT: _whole(dataset)})
    else:
        model, validity = kept.model, Validity(fit=kept.validity.fit)
        if joined is None:
            recorder.set_tags(**{FIT_FROM_TAG: kept.recorder.id})
        else:
            _save(recorder, {SHARDS_ARTIFACT: joined.to_json()})
        origin = renew_provenance(
            kept.recorder.load_object(PROVENANCE_ARTIFACT), fingerprint=parts.fingerprint, code=parts.files
        )
        _save_fit(recorder, model, dataset, origin, validity)
    if standing < len(parts.records):
        validity = _make_records(
            task,
            recorder,
            model,
            dataset,
            validity,
            parts=parts,
            standing=standing,
            shared=shared,
            scores=scores,
        )
    asked = validity.records[: len(parts.records)]
    return Validity(fit=validity.fit, records=asked).to_json()


def _build_dataset(task: Mapping[str, Any]) -> TaskDataset:
    """Return the dataset of a task; of a shard by instruments the part that is its own."""
    dataset = check_dataset(init_instance_by_config(task["dataset"], slot="dataset"))
    part = task.get(PART)
    return dataset if part is None else InstrumentPart(dataset, part)


def _whole(dataset: TaskDataset) -> TaskDataset:
    """Return what is stored of a dataset."""
    return dataset.whole if isinstance(dataset, InstrumentPart) else dataset


class _ChecksMarket(Protocol):
    """A class of records that can tell beforehand what would stop it."""

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Find out whether it takes the arguments."""
        ...

    @classmethod
    def check_market(cls, arguments: Mapping[str, Any]) -> None:
        """Find out whether the market has what it needs."""
        ...


def _check_records(configs: Sequence[Any]) -> None:
    """Refuse, before anything is fitted, what a record could not be made with."""
    for config in configs:
        if isinstance(config, str) and config.startswith(SAVED):
            continue
        target, arguments = get_class(config, RECORDS_MODULE, slot="record")
        if _checks_market(target):
            target.check_arguments(arguments)
            target.check_market(arguments)


def _checks_market(target: type) -> TypeGuard[type[_ChecksMarket]]:
    """Tell whether a class has the methods, as `find_scopes` does: one of the user's own may lack them."""
    return all(inspect.getattr_static(target, name, None) is not None for name in ("check_arguments", "check_market"))


def _fit(
    task: Mapping[str, Any],
    task_config: Mapping[str, Any],
    dataset: TaskDataset,
    recorder: Recorder,
    *,
    parts: TaskParts,
    process: Process,
) -> tuple[Model, Validity]:
    """Learn, and store what was learnt."""
    model = _build_model(task["model"], parts.seed)
    for kept in (model, _whole(dataset)):  # what could not be stored is refused before it learns, not after
        codecs.check(kept)
    generation = _generation(dataset)
    reweighter = None
    if task.get("reweighter") is not None:
        reweighter = init_instance_by_config(task["reweighter"], slot="reweighter")
    with keep_checkpoint(_checkpoint_folder(parts, generation)):
        if reweighter is not None:
            model.fit(dataset, reweighter=reweighter)
        else:
            model.fit(dataset)
    origin = provenance(
        task_config,
        fingerprint=parts.fingerprint,
        generation=generation,
        code=parts.files,
        label=dataset.label_reach,
        model=model,
        process=process,
    )
    reads = partial(find_scopes, dataset, model, reweighter)
    validity = _save_fit(recorder, model, dataset, origin, Validity(fit=parts.fit), reads=reads)
    return model, validity


def _save_fit(
    recorder: Recorder,
    model: Model,
    dataset: TaskDataset,
    origin: Mapping[str, Any],
    validity: Validity,
    *,
    reads: Callable[[], tuple[ReadScope, ...]] | None = None,
) -> Validity:
    """Store model and dataset and, once both are there whole, what they were made from."""
    told = model.tell_learning() if isinstance(model, TellsLearning) else None
    learning = {LEARNING_ARTIFACT: told.to_json()} if isinstance(told, Learning) else {}
    _save(recorder, {MODEL_ARTIFACT: model, DATASET_ARTIFACT: _whole(dataset), PROVENANCE_ARTIFACT: origin, **learning})
    if reads is not None:  # storing a dataset lets its processors learn what they have not yet, which reads too
        validity = replace(validity, fit=replace(validity.fit, reads=reads()))
    _save(recorder, {VALIDITY_ARTIFACT: validity.to_json()})
    return validity


def _make_records(
    task: Mapping[str, Any],
    recorder: Recorder,
    model: Model,
    dataset: TaskDataset,
    validity: Validity,
    *,
    parts: TaskParts,
    standing: int,
    shared: bool,
    scores: GivenScores | None,
) -> Validity:
    """Make the records from number `standing` on; what is there of them from before is removed first."""
    former = validity.records[standing:]
    validity = replace(validity, records=validity.records[:standing])
    if former:
        _save(recorder, {VALIDITY_ARTIFACT: validity.to_json()})
        for name in sorted({name for basis in former for name in basis.artifacts} & recorder.list_digests().keys()):
            recorder.delete_artifact(name)
    values = {"MODEL": model, "DATASET": dataset}
    given: dict[str, Any] = {"model": model, "dataset": dataset}
    if scores is not None:
        given["scores"] = scores.join(dataset)
    beside = () if scores is None else scores.reads
    for config, basis in zip(record_configs(task)[standing:], parts.records[standing:], strict=True):
        # <PRED> names what an earlier record saved, so it is read only where somebody asks for it.
        known = {**values, "PRED": recorder.load_object("pred.pkl")} if "<PRED>" in str(config) else values
        record = init_instance_by_config(
            fill_values(config, known),
            RECORDS_MODULE,
            try_kwargs=given,
            slot="record",
            recorder=recorder,
        )
        dataset.forget_reads()
        before = recorder.list_digests()
        if shared:
            left_before = {name for made in validity.records for name in made.artifacts}
            recorder.protect({MODEL_ARTIFACT, DATASET_ARTIFACT, TASK_ARTIFACT, *left_before})
        record.generate()
        recorder.protect(())
        left = {
            name: digest
            for name, digest in recorder.list_digests().items()
            if before.get(name) != digest and name != VALIDITY_ARTIFACT
        }
        reads = tuple(dict.fromkeys((*find_scopes(dataset, record), *beside)))
        made = replace(basis, reads=reads, artifacts=left)
        validity = replace(validity, records=(*validity.records, made))
        _save(recorder, {VALIDITY_ARTIFACT: validity.to_json()})
    return validity


def _save(recorder: Recorder, artifacts: Mapping[str, Any]) -> None:
    recorder.save_objects(**artifacts)


def _is_readable(recorder: Recorder, name: str) -> bool:
    try:
        recorder.download_artifact(name)
    except RecordError as error:
        if error.is_away:
            raise
        return False
    return True


def _build_model(config: object, seed: int) -> Model:
    """Return the model that is to learn; a seed that is given as none is no seed."""
    if isinstance(config, Mapping) and "seed" in (config.get("kwargs") or {}) and config["kwargs"]["seed"] is None:
        config = {**config, "kwargs": {name: value for name, value in config["kwargs"].items() if name != "seed"}}
    model: Model = as_model(init_instance_by_config(config, try_kwargs={"seed": seed}, slot="model"), seed=seed)
    return model


def _checkpoint_folder(parts: TaskParts, generation: str) -> Path:
    """Return where the fit notes how far it has come: a folder for what is learnt, by which code, from which data."""
    identity = fingerprint([parts.fit.key, parts.fit.code, parts.seed, generation])
    return current_settings().state_dir / _CHECKPOINTS / identity[:32]


def _generation(dataset: TaskDataset) -> str:
    generation: object = dataset.generation
    if not isinstance(generation, str) or not generation:
        raise ConfigError(
            f"{type(dataset).__name__} does not say which generation of the data it reads",
            hint="give it an attribute `generation`: a text that differs whenever its data may differ",
        )
    return generation


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a nested configuration under dotted names; an empty mapping or list is a leaf."""
    leaves: dict[str, Any] = {}
    items = config.items() if isinstance(config, Mapping) else enumerate(config)
    for key, value in items:
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping | list | tuple) and value:
            leaves.update(flatten(value, name))  # type: ignore[arg-type]  # a list is walked by position
        else:
            leaves[name] = value
    return leaves
