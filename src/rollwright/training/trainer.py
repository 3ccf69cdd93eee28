"""Trainers: many tasks, one recorder each."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rollwright.errors import RollwrightError, TaskFailedError
from rollwright.signing.serializable import Serializable
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import task_train

__all__ = ["STATUS_BEGIN", "STATUS_END", "STATUS_KEY", "Trainer", "TrainerR", "as_tasks"]

_logger = logging.getLogger("rollwright.training")

STATUS_KEY: Final = "train_status"
STATUS_BEGIN: Final = "begin_task_train"
STATUS_END: Final = "end_task_train"

TrainFunction = Callable[..., Recorder]


def as_tasks(tasks: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one task or many as a list."""
    return [tasks] if isinstance(tasks, Mapping) else list(tasks)


class Trainer(Serializable, ABC):
    """Trains a list of tasks and returns their recorders, in order.

    ``trainer(tasks)`` is `train` followed by `end_train`. A delayed trainer only prepares in `train` and fits in
    `end_train`; the others are finished after `train`, and `end_train` gives back what it gets.
    """

    def __init__(self) -> None:
        self.delay = False

    @abstractmethod
    def train(self, tasks: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """Train (or prepare) `tasks` and return one model (a recorder) for each, in order."""

    def end_train(self, models: list[Any], *args: Any, **kwargs: Any) -> list[Any]:  # noqa: ARG002 - the seeds' signature
        """Finish what `train` began; nothing is left to do for a trainer without delay."""
        return models

    def is_delay(self) -> bool:
        """Tell whether the fit happens in `end_train`."""
        return self.delay

    def has_worker(self) -> bool:
        """Tell whether other processes may help with `worker`."""
        return False

    def worker(self) -> None:
        """Help from another process.

        Raises
        ------
        RollwrightError
            Always, unless the trainer has workers.
        """
        raise RollwrightError(
            f"{type(self).__name__} keeps its tasks to itself, so no worker can help", hint="use TrainerRM"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Train and finish."""
        return self.end_train(self.train(*args, **kwargs))


class TrainerR(Trainer):
    """Trains one task after another in this process, each in a recorder of its own.

    Parameters
    ----------
    experiment_name : str, optional
        Where the recorders go; may be given to `train` instead.
    train_func : callable
        ``train_func(task, experiment_name, recorder_name=…, **kwargs) -> Recorder``.
    default_rec_name : str, optional
        Name of the recorders; the tracker's own if not given.

    Guarantees: a task that fails does not stop the others; at the end every failure is named in one
    `TaskFailedError`, and the recorders of the tasks that succeeded stay in the experiment (defect R8).
    """

    def __init__(
        self,
        experiment_name: str | None = None,
        train_func: TrainFunction = task_train,
        default_rec_name: str | None = None,
    ) -> None:
        super().__init__()
        self.experiment_name = experiment_name
        self.train_func = train_func
        self.default_rec_name = default_rec_name

    def train(
        self,
        tasks: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        train_func: TrainFunction | None = None,
        experiment_name: str | None = None,
        **kwargs: Any,
    ) -> list[Recorder]:
        """Train `tasks` and return their recorders, in order.

        Raises
        ------
        TaskFailedError
            When some failed, after all were tried.
        """
        run = train_func or self.train_func
        experiment = experiment_name or self.experiment_name
        recorders: list[Recorder] = []
        failures: list[tuple[str, str]] = []
        for place, task in enumerate(as_tasks(tasks)):
            try:
                recorder = run(task, experiment, recorder_name=self.default_rec_name, **kwargs)
            except Exception as error:  # the boundary of a task, as a worker is
                _logger.exception("task.failed place=%d", place)
                failures.append((str(place), f"{type(error).__name__}: {error}".splitlines()[0]))
                continue
            recorder.set_tags(**{STATUS_KEY: STATUS_BEGIN})
            recorders.append(recorder)
        if failures:
            raise TaskFailedError(failures, hint="the others are finished and stay in the experiment")
        return recorders

    def end_train(self, models: list[Recorder], *args: Any, **kwargs: Any) -> list[Recorder]:  # noqa: ARG002
        """Mark the recorders as trained and return them."""
        return mark_trained(models)


def mark_trained(models: list[Recorder]) -> list[Recorder]:
    """Tag the recorders as trained and return them."""
    for recorder in as_recorders(models):
        recorder.set_tags(**{STATUS_KEY: STATUS_END})
    return models


def as_recorders(models: Recorder | Sequence[Recorder]) -> list[Recorder]:
    """Return one recorder or many as a list."""
    return [models] if isinstance(models, Recorder) else list(models)
