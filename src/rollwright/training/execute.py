"""One task, from its definition to a finished recorder."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from typing import Any, Final, cast

from rollwright.codecs.registry import codecs
from rollwright.config.construct import Trust, init_instance_by_config
from rollwright.config.context import current_settings
from rollwright.config.placeholders import fill_paths, fill_values
from rollwright.core.canonical import with_segment_tuples
from rollwright.errors import ConfigError
from rollwright.models.base import Model
from rollwright.models.sklearn import as_model
from rollwright.tasks.identity import task_fingerprint, task_seed
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.data_dependency import Reading, watched
from rollwright.training.provenance import PROVENANCE_ARTIFACT, Process, provenance
from rollwright.training.validity import code_files, current_validity, hash_of_code

__all__ = ["begin_task_train", "end_task_train", "execute", "log_task", "task_train"]

_logger: Final = logging.getLogger("rollwright.training")

RECORDS_MODULE: Final = "rollwright.analysis.records"
MODEL_ARTIFACT: Final = "params.pkl"
DATASET_ARTIFACT: Final = "dataset"
TASK_ARTIFACT: Final = "task"


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
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        recorder = R.get_recorder()
        log_task(task_config, recorder)
        execute(task_config, recorder)
    return recorder


def begin_task_train(
    task_config: Mapping[str, Any], experiment_name: str, recorder_name: str | None = None
) -> Recorder:
    """Open a recorder that holds the task and nothing else; `end_task_train` does the work, perhaps elsewhere."""
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        recorder = R.get_recorder()
        log_task(task_config, recorder)
    return recorder


def end_task_train(rec: Recorder, experiment_name: str) -> Recorder:
    """Train the task that `begin_task_train` left in `rec`, in that same recorder, and return it finished."""
    task_config = with_segment_tuples(rec.load_object(TASK_ARTIFACT))
    with R.start(experiment_name=experiment_name, recorder_id=rec.id, resume=True):
        resumed = R.get_recorder()
        execute(cast("dict[str, Any]", task_config), resumed)
    return resumed


def log_task(task_config: Mapping[str, Any], recorder: Recorder) -> None:
    """Write the task's definition into `recorder`: flattened as parameters, whole as the artifact ``task``.

    It is there when this returns: a run that is killed in its fit still says what it was.
    """
    recorder.log_params(**flatten(task_config))
    artifacts: dict[str, Any] = {TASK_ARTIFACT: dict(task_config)}
    recorder.save_objects(**artifacts)
    recorder.set_tags(hostname=platform.node(), fingerprint=task_fingerprint(task_config))
    recorder.flush()


def execute(task_config: Mapping[str, Any], recorder: Recorder, *, process: Process = "own") -> dict[str, Any]:
    """Build, fit, save and record one task inside `recorder`, and return its validity.

    Placeholders are filled first, in a copy; the model gets the task's seed when it takes one and the configuration
    gives none (decision D18). Where the model comes from is stored together with it.

    Parameters
    ----------
    task_config : mapping
    recorder : Recorder
    process : {"own", "slot"}
        Where it runs, for the provenance.

    Returns
    -------
    dict
        What the result depends on beside the definition, as `current_validity` tells it.

    Raises
    ------
    UnsupportedArtifactError
        When no codec stores such a model or dataset; nothing was fitted then.
    """
    task = fill_paths(task_config)
    # Before it runs: what is edited meanwhile gave no result.
    code = code_files(task_config, Trust.from_settings(current_settings()))
    seed = task_seed(task_config)
    model = _build_model(task["model"], seed)
    dataset = init_instance_by_config(task["dataset"], slot="dataset")
    for kept in (model, dataset):  # what could not be stored is refused before it learns, not after
        codecs.check(kept)
    generation = _generation(dataset)
    watch = watched(dataset)
    reweighter = (
        init_instance_by_config(task["reweighter"], slot="reweighter") if task.get("reweighter") is not None else None
    )
    if reweighter is not None:
        model.fit(dataset, reweighter=reweighter)
    else:
        model.fit(dataset)
    origin = provenance(task_config, generation=generation, code=code, model=model, process=process)
    recorder.save_objects(**{MODEL_ARTIFACT: model, DATASET_ARTIFACT: dataset, PROVENANCE_ARTIFACT: origin})
    values = {"MODEL": model, "DATASET": dataset}
    records: list[Any] = []
    for config in _as_list(task.get("record")):
        # <PRED> names what an earlier record saved, so it is read only where somebody asks for it.
        known = {**values, "PRED": recorder.load_object("pred.pkl")} if "<PRED>" in str(config) else values
        record = init_instance_by_config(
            fill_values(config, known),
            RECORDS_MODULE,
            try_kwargs={"model": model, "dataset": dataset},
            slot="record",
            recorder=recorder,
        )
        record.generate()
        records.append(record)
    validity = {**current_validity(task_config, generation), "code": hash_of_code(code)}
    reads = Reading.told(dataset, watch, model, reweighter, *records)
    return validity if reads is None else {**validity, "reads": reads}


def _build_model(config: object, seed: int) -> Model:
    """Return the model that is to learn; a seed that is given as none is no seed."""
    if isinstance(config, Mapping) and "seed" in (config.get("kwargs") or {}) and config["kwargs"]["seed"] is None:
        config = {**config, "kwargs": {name: value for name, value in config["kwargs"].items() if name != "seed"}}
    model: Model = as_model(init_instance_by_config(config, try_kwargs={"seed": seed}, slot="model"), seed=seed)
    return model


def _generation(dataset: Any) -> str:
    generation = getattr(dataset, "generation", None)
    if not isinstance(generation, str):
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


def _as_list(value: object) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, Mapping | str) else list(value)  # type: ignore[call-overload]  # YAML gives lists
