"""One task, from its definition to its result, using what was learnt before: what every worker runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from rollwright.errors import ProtectedArtifactError
from rollwright.pool.worker.task_function import TaskResult
from rollwright.tasks.shards import SHARD
from rollwright.tracking.r import R
from rollwright.training.execute import complete_fit, execute, log_task, name_run
from rollwright.training.kept_fit import KeptFit, find_fit
from rollwright.training.provenance import Process
from rollwright.training.shards import place_run
from rollwright.training.trainer import STATUS_END, STATUS_KEY
from rollwright.training.validity import TaskParts, record_configs

__all__ = ["train_once"]

_logger: Final = logging.getLogger("rollwright.training")


def train_once(
    definition: Mapping[str, Any], *, experiment_name: str, recorder_name: str | None = None, process: Process
) -> TaskResult:
    """Train one task, and not again what the experiment has learnt already and what stands.

    A shard is recorded beside the experiment, so that whoever lists it sees whole tasks (`place_run`).

    Returns
    -------
    TaskResult
        A reference to the finished recorder and the validity of the result (decision D16).
    """
    parts = TaskParts.of(definition)  # before anything is imported: what is edited meanwhile gave no result
    own, experiment_name = experiment_name, place_run(definition, experiment_name)
    kept = find_fit(definition, experiment_name, parts=parts)
    if kept is None and own != experiment_name:  # the task may have learnt the same before it had shards
        kept = find_fit(definition, own, parts=parts)
        kept = None if kept is None else replace(kept, goes_on=False, standing=0)
    if kept is not None and kept.goes_on and _is_model_of_shards(definition, kept):
        kept = replace(kept, goes_on=False)
    if kept is not None and kept.goes_on:
        try:
            validity = complete_fit(definition, kept, experiment_name, parts=parts, shared=True)
            return TaskResult(value=kept.recorder, validity=validity)
        except ProtectedArtifactError as error:  # a record that is added replaces what another task has as its result
            _logger.info("fit.apart recorder=%s reason=%s", kept.recorder.id, error.message)
            kept = replace(kept, goes_on=False, standing=0)
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name or name_run(definition, experiment_name)):
        recorder = R.get_recorder()
        log_task(definition, recorder, parts=parts)
        validity = execute(definition, recorder, process=process, kept=kept, parts=parts)
        recorder.set_tags(**{STATUS_KEY: STATUS_END})
    return TaskResult(value=recorder, validity=validity)


def _is_model_of_shards(definition: Mapping[str, Any], kept: KeptFit) -> bool:
    """Tell whether a shard would go on in the recorder of the model that all shards of its task take, side by side."""
    return definition.get(SHARD) is not None and not kept.standing and bool(record_configs(definition))
