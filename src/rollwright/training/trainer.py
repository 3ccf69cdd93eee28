"""Trainers: many tasks, one recorder each."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

from rollwright.errors import ConfigError, RollwrightError, RunError, TaskFailedError
from rollwright.signing.serializable import Serializable
from rollwright.tasks.definition import describe_objects
from rollwright.tracking.recorder import Recorder
from rollwright.training.execute import task_train

__all__ = [
    "STATUS_BEGIN",
    "STATUS_END",
    "STATUS_KEY",
    "Trainer",
    "TrainerR",
    "as_tasks",
    "mark_trained",
    "refuse_arguments",
]

_logger: Final = logging.getLogger("rollwright.training")

STATUS_KEY: Final = "train_status"
STATUS_BEGIN: Final = "begin_task_train"
STATUS_END: Final = "end_task_train"

TrainFunction = Callable[..., Recorder]
_Item = TypeVar("_Item")


def as_tasks(tasks: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one task or many as a list; objects of ours in them stand as their configurations.

    Raises
    ------
    ConfigError
        When one is no dictionary.
    """
    given = [tasks] if isinstance(tasks, Mapping | str) or not isinstance(tasks, Iterable) else list(tasks)
    for place, task in enumerate(given):
        if not isinstance(task, Mapping):
            raise ConfigError(f"task [{place}] is {type(task).__name__}, and a task is a dictionary")
    return [describe_objects(task) for task in given]


class Trainer(Serializable, ABC):
    """Trains a list of tasks and returns their recorders, in order.

    ``trainer(tasks)`` is `train` followed by `end_train`. A delayed trainer only prepares in `train` and fits in
    `end_train`; the others are finished after `train`, and `end_train` gives back what it gets.
    """

    STATUS_KEY: ClassVar[str] = STATUS_KEY
    STATUS_BEGIN: ClassVar[str] = STATUS_BEGIN
    STATUS_END: ClassVar[str] = STATUS_END

    def __init__(self) -> None:
        self.delay = False

    @abstractmethod
    def train(self, tasks: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """Train (or prepare) `tasks` and return one model (a recorder) for each, in order."""

    def end_train(self, models: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Finish what `train` began; nothing is left to do for a trainer without delay.

        Raises
        ------
        ConfigError
            For further arguments: what they mean is up to a derived class.
        """
        refuse_arguments(self, args, kwargs)
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


def refuse_arguments(trainer: Trainer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse what ``end_train`` of a trainer without delay was given beside the models.

    Raises
    ------
    ConfigError
    """
    if args or kwargs:
        given = ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])
        raise ConfigError(
            f"{type(trainer).__name__}.end_train trains nothing any more, so {given} would have no effect",
            hint="give it to train",
        )


class TrainerR(Trainer):
    """Trains one task after another, each in a recorder of its own.

    Parameters
    ----------
    experiment_name : str, optional
        Where the recorders go; may be given to `train` instead.
    train_func : callable
        ``train_func(task, experiment_name, recorder_name=…, **kwargs) -> Recorder``.
    call_in_subproc : bool
        True: each task runs in a process of its own, which gives all its memory back and is all that is lost when it
        crashes. `train_func` must then be a function of a module that can be imported and call its second parameter
        ``experiment_name``; tasks and arguments are JSON; the recorders must lie where both processes find them.
    default_rec_name : str, optional
        Name of the recorders; the tracker's own if not given.

    Guarantees: a task that fails does not stop the others; at the end every failure is named in one
    `TaskFailedError`, and the recorders of the tasks that succeeded stay in the experiment (defect R8).
    """

    def __init__(
        self,
        experiment_name: str | None = None,
        train_func: TrainFunction = task_train,
        call_in_subproc: bool = False,  # noqa: FBT001, FBT002 - Qlib's signature
        default_rec_name: str | None = None,
    ) -> None:
        super().__init__()
        self.experiment_name = experiment_name
        self.train_func = train_func
        self.call_in_subproc = call_in_subproc
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

        def train(task: Mapping[str, Any]) -> Recorder:
            recorder = check_recorder(
                self._train_one(run, task, experiment, {"recorder_name": self.default_rec_name, **kwargs}), run
            )
            recorder.set_tags(**{STATUS_KEY: STATUS_BEGIN})
            return recorder

        return self._try_each(as_tasks(tasks), train)

    def _try_each(self, items: Sequence[_Item], function: Callable[[_Item], Recorder]) -> list[Recorder]:
        """Return what `function` makes of each; all are tried before those that failed are told."""
        recorders: list[Recorder] = []
        failures: list[tuple[str, str]] = []
        for place, item in enumerate(items):
            try:
                recorders.append(function(item))
            except Exception as error:  # the boundary of a task, as a worker is
                _logger.exception("task.failed place=%d", place)
                failures.append((str(place), self._reason(error)))
        if failures:
            raise TaskFailedError(failures, hint="the others are finished and stay in the experiment")
        return recorders

    def _reason(self, error: Exception) -> str:
        if self.call_in_subproc and isinstance(error, TaskFailedError):  # what the process said of its one task
            return error.failures[0][1]
        return f"{type(error).__name__}: {error}".splitlines()[0]

    def _train_one(
        self, run: TrainFunction, task: Mapping[str, Any], experiment: str | None, kwargs: Mapping[str, Any]
    ) -> Recorder:
        if not self.call_in_subproc:
            return run(task, experiment, **kwargs)
        from rollwright.training.isolated import train_isolated  # noqa: PLC0415 - it is built on this module

        return train_isolated(run, task, experiment_name=experiment, **kwargs)

    def end_train(self, models: list[Recorder], *args: Any, **kwargs: Any) -> list[Recorder]:
        """Mark the recorders as trained and return them.

        Raises
        ------
        ConfigError
            For further arguments, which would have no effect.
        """
        refuse_arguments(self, args, kwargs)
        return mark_trained(models)


def check_recorder(result: object, function: Callable[..., Any]) -> Recorder:
    """Return what trained a task, when it is a recorder.

    Raises
    ------
    RunError
        When it is anything else.
    """
    if not isinstance(result, Recorder):
        named = getattr(function, "__qualname__", type(function).__name__)
        raise RunError(
            f"{named} returned {result!r}, not a recorder", hint="return R.get_recorder() from within R.start"
        )
    return result


def show_trained(recorder: Recorder) -> Recorder:
    """Return a trained recorder as it is now: who prepared it may hold it as it was then, SCHEDULED."""
    return recorder if recorder.status == Recorder.STATUS_FI else recorder.read_again()


def mark_trained(models: list[Recorder]) -> list[Recorder]:
    """Tag the recorders as trained and return them."""
    for recorder in as_recorders(models):
        recorder.set_tags(**{STATUS_KEY: STATUS_END})
    return models


def as_recorders(models: Recorder | Sequence[Recorder]) -> list[Recorder]:
    """Return one recorder or many as a list."""
    return [models] if isinstance(models, Recorder) else list(models)
