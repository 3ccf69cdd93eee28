"""Training through the task pool: several processes share the work, and none of it is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status, parse_status
from rollwright.pool.worker.worker import TaskResult, run_task
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import execute, log_task, task_train
from rollwright.training.trainer import (
    STATUS_BEGIN,
    STATUS_END,
    STATUS_KEY,
    Trainer,
    TrainFunction,
    as_tasks,
    mark_trained,
    refuse_arguments,
)

__all__ = ["TrainerRM", "train_in_slot"]

TASK_ID_KEY: Final = "_id in TaskManager"


def train_in_slot(
    definition: Mapping[str, Any], *, experiment_name: str, recorder_name: str | None = None
) -> TaskResult:
    """Train one task of a pool: the body that a worker's slot runs.

    Returns
    -------
    TaskResult
        A reference to the finished recorder and the validity of the result (decision D16).
    """
    with R.start(experiment_name=experiment_name, recorder_name=recorder_name):
        recorder = R.get_recorder()
        log_task(definition, recorder)
        validity = execute(definition, recorder, process="slot")
        recorder.set_tags(**{STATUS_KEY: STATUS_END})
    return TaskResult(value=recorder, validity=validity)


class TrainerRM(Trainer):
    """Trains through a task pool, so that workers elsewhere can help and a crash loses nothing.

    Parameters
    ----------
    experiment_name : str, optional
        Where the recorders go; may be given to `train` instead.
    task_pool : str, optional
        The pool; named like the experiment if not given.
    train_func : callable
        ``train_func(task, experiment_name=…, **kwargs) -> Recorder``.
    skip_run_task : bool
        With True this process only submits and waits, and workers elsewhere do the training.
    default_rec_name : str, optional

    Guarantees: submitting the same tasks again trains nothing twice; the recorders come back in the order of the
    tasks; a task that fails does not stop the others.
    """

    TM_ID: ClassVar[str] = TASK_ID_KEY

    def __init__(
        self,
        experiment_name: str | None = None,
        task_pool: str | None = None,
        train_func: TrainFunction = task_train,
        skip_run_task: bool = False,  # noqa: FBT001, FBT002 - the seeds' signature
        default_rec_name: str | None = None,
    ) -> None:
        super().__init__()
        self.experiment_name = experiment_name
        self.task_pool = task_pool
        self.train_func = train_func
        self.skip_run_task = skip_run_task
        self.default_rec_name = default_rec_name

    def train(
        self,
        tasks: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        train_func: TrainFunction | None = None,
        experiment_name: str | None = None,
        before_status: str = TaskManager.STATUS_WAITING,
        after_status: str = TaskManager.STATUS_DONE,
        default_rec_name: str | None = None,
        **kwargs: Any,
    ) -> list[Recorder]:
        """Put `tasks` into the pool, help to train them, wait for the rest, and return their recorders, in order.

        Parameters
        ----------
        tasks : mapping or sequence of mappings
        train_func, experiment_name, default_rec_name
            In place of the constructor's.
        before_status, after_status : str
            As `run_task` takes them. With ``part_done`` after it, a task is waited for until it is there.
        **kwargs
            Given to `run_task`.

        Raises
        ------
        TaskFailedError
            When some failed, naming each; the others are finished.
        """
        definitions = as_tasks(tasks)
        if not definitions:
            return []
        experiment = experiment_name or self.experiment_name
        manager = TaskManager(self._pool(experiment))
        ids = manager.create_task(definitions)
        mine = {"_id": {"$in": ids}}
        arguments: dict[str, Any] = {"experiment_name": experiment, **kwargs}
        recorder_name = default_rec_name or self.default_rec_name
        if recorder_name is not None:
            arguments["recorder_name"] = recorder_name
        if not self.skip_run_task:
            run_task(
                train_func or self.train_func,
                manager.task_pool,
                query=mine,
                before_status=before_status,
                after_status=after_status,
                **arguments,
            )
        if parse_status(after_status) is Status.PART_DONE:  # nobody makes more of them, so they must not be waited for
            manager.wait(query={**mine, "status": {"$ne": Status.PART_DONE.value}})
        else:
            manager.wait(query=mine)
        recorders: list[Recorder] = []
        for task_id in ids:
            recorder: Recorder = manager.re_query(task_id)["res"]
            tags = recorder.list_tags()
            # A task finished by an earlier call keeps its state (defect R5).
            if tags.get(STATUS_KEY) != STATUS_END:
                recorder.set_tags(**{STATUS_KEY: STATUS_BEGIN})
            if tags.get(TASK_ID_KEY) != str(task_id):
                recorder.set_tags(**{TASK_ID_KEY: str(task_id)})
            recorders.append(recorder)
        return recorders

    def end_train(self, recs: list[Recorder], *args: Any, **kwargs: Any) -> list[Recorder]:  # type: ignore[override]  # Qlib's name
        """Mark the recorders as trained and return them.

        Raises
        ------
        ConfigError
            For further arguments, which would have no effect.
        """
        refuse_arguments(self, args, kwargs)
        return mark_trained(recs)

    def has_worker(self) -> bool:
        """Tell that other processes may help."""
        return True

    def worker(self, train_func: TrainFunction | None = None, experiment_name: str | None = None) -> bool:  # type: ignore[override]  # the seeds' signature
        """Help from another process until the pool is empty; return whether there was anything to do."""
        experiment = experiment_name or self.experiment_name
        return run_task(train_func or self.train_func, self._pool(experiment), experiment_name=experiment)

    def _pool(self, experiment_name: str | None) -> str:
        pool = self.task_pool or experiment_name
        if pool is None:
            raise ConfigError("neither a task_pool nor an experiment_name is given", hint="give one to TrainerRM(...)")
        return pool
