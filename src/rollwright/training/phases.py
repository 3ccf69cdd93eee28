"""A task in two phases: prepared here, trained in the same recorder later, perhaps elsewhere.

Between them, and in the middle of either, everything may be killed:

1. a recorder whose preparing was killed holds no task, nobody has it, and the task is prepared again in a new one;
2. a recorder that is prepared waits as SCHEDULED, with its task, for whoever trains it;
3. one whose training was killed is resumed: what it holds whole, the fit or some of the records, is not made again;
4. one that is trained is given back as it is, as long as what it was made from stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rollwright.core.canonical import JSON
from rollwright.errors import RunError
from rollwright.pool.worker.task_function import TaskResult
from rollwright.tasks.definition import describe_objects
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import TASK_ARTIFACT, complete_fit, execute, log_task
from rollwright.training.kept_fit import KeptFit, find_fit, find_fit_of
from rollwright.training.provenance import Process
from rollwright.training.validity import record_configs

__all__ = ["begin_task_train", "end_in_slot", "end_task_train"]


def begin_task_train(
    task_config: Mapping[str, Any], experiment_name: str, recorder_name: str | None = None
) -> Recorder:
    """Open a recorder that holds the task and nothing else; `end_task_train` does the work, perhaps elsewhere.

    Guarantees: the recorder is SCHEDULED, so that nobody takes it for a result.
    """
    task_config = describe_objects(task_config)
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        recorder = R.get_recorder()
        log_task(task_config, recorder)
        R.suspend_exp()
    return recorder


def end_task_train(rec: Recorder, experiment_name: str) -> Recorder:
    """Train the task that `begin_task_train` left in `rec`, in that same recorder, and return it finished.

    Guarantees: after a kill it is repeated, and not doubled: what the recorder holds whole, and what stands, is kept.
    A recorder that is trained comes back as it is.

    Raises
    ------
    RunError
        When the recorder holds no task.
    """
    return _end(rec, experiment_name, kept=None, process="own")[0]


def end_in_slot(rec: Recorder, *, experiment_name: str) -> TaskResult:
    """Do `end_task_train` for a task of a pool: the function that worker processes run.

    What another recorder of the experiment has learnt of the same task, and what stands of it, is not learnt again.
    """
    kept = find_fit(_load_task(rec), experiment_name)
    recorder, validity = _end(rec, experiment_name, kept=kept, process="slot")
    return TaskResult(value=recorder, validity=validity)


def _end(
    rec: Recorder, experiment_name: str, *, kept: KeptFit | None, process: Process
) -> tuple[Recorder, dict[str, JSON]]:
    """Train what `rec` holds, or take the model from `kept`; return the recorder and the validity of the result."""
    task_config = _load_task(rec)
    own = find_fit_of(task_config, rec)
    if own is not None:
        done = own.standing == len(own.validity.records) == len(record_configs(task_config))
        if done and rec.status == Recorder.STATUS_FI:
            return rec, own.validity.to_json()
        return rec, complete_fit(task_config, own, experiment_name)
    if kept is not None:
        kept = replace(kept, goes_on=False, standing=0)
    with R.start(experiment_name=experiment_name, recorder_id=rec.id, resume=True):
        resumed = R.get_recorder()
        validity = execute(task_config, resumed, process=process, kept=kept)
    return resumed, validity


def _load_task(rec: Recorder) -> dict[str, Any]:
    task = rec.load_object(TASK_ARTIFACT)
    if not isinstance(task, dict):
        raise RunError(
            f"recorder {rec.id} holds no task, but {type(task).__name__}", hint="prepare it with begin_task_train"
        )
    return task
