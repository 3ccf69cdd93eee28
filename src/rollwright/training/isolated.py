"""One task in a process of its own: what `TrainerR` does with ``call_in_subproc=True``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rollwright.errors import TaskFailedError
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import FailedTasks
from rollwright.tracking.recorder import Recorder
from rollwright.training.pooled import train_in_pool
from rollwright.training.trainer import TrainFunction

__all__ = ["train_isolated"]

_POOL: Final = "isolated"


def train_isolated(
    train_func: TrainFunction, task: Mapping[str, Any] | Recorder, *, experiment_name: str | None, **arguments: Any
) -> Recorder:
    """Run `train_func` on `task` in a process of its own, and return the recorder that it returns there.

    The task goes through a pool in memory that holds nothing else, so that the process is started, watched and ended
    as those of a worker are: it gives all its memory back, uses one thread per numerical library, and dies with this
    one. It is tried once.

    Parameters
    ----------
    train_func : callable
        A function of a module that can be imported, called as
        ``train_func(task, experiment_name=…, **arguments)``.
    task : mapping or Recorder
        JSON, as tasks of a pool are; or the recorder of a task that is prepared.
    experiment_name : str or None
    **arguments
        JSON.

    Raises
    ------
    ConfigError
        When `train_func` cannot be imported by another process.
    TaskFailedError
        When it raised, or its process died.
    KeyboardInterrupt
        When this process was told to stop.
    """
    manager = TaskManager(_POOL, store=store_from_url("memory:"), max_attempts=1)
    prepared = isinstance(task, Recorder)
    (task_id,) = manager.create_task([{"recorder": task.id} if isinstance(task, Recorder) else task])
    if prepared:
        with manager.safe_fetch_task() as fetched:
            if fetched is not None:
                manager.commit_task_res(fetched, task, manager.STATUS_PART_DONE)
    failed = FailedTasks()
    report = train_in_pool(
        manager,
        experiment_name=experiment_name,
        function=train_func,
        arguments=arguments,
        before=Status.PART_DONE if prepared else Status.WAITING,
        isolated=True,
        on_event=failed.note,
    )
    if report.interrupted:
        raise KeyboardInterrupt
    failed.check()
    result = manager.re_query(task_id)["res"]
    if not isinstance(result, Recorder):
        raise TaskFailedError([(task_id, f"train_func returned {result!r}, not a recorder")])
    return result
