"""What is trained for a session: the tasks that are due, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rollwright.calendar.trading import SessionLike, to_session
from rollwright.errors import ConfigError, TaskFailedError
from rollwright.online.held_tool import hold_tool
from rollwright.online.market_news import write_session
from rollwright.online.state import OnlineModel, StrategyState
from rollwright.online.strategy import (
    OnlineStrategy,
    RollingStrategy,
    call_first_tasks,
    call_prepare_tasks,
    find_trained,
)
from rollwright.tasks.definition import Task, describe_objects, segments_of
from rollwright.tracking.recorder import Recorder
from rollwright.training.trainer import Trainer
from rollwright.training.validity import TaskParts

__all__ = ["Recorders", "Trained", "describe_model", "list_due", "train_tasks"]


class Recorders(Protocol):
    """Finds recorders of models."""

    def find(self, model: OnlineModel) -> Recorder:
        """Return the recorder of a model."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What was trained of one strategy.

    Attributes
    ----------
    models : tuple of OnlineModel
    recorders : mapping of str to Recorder
        Their recorders, by id.
    failures : tuple of str
        One line for each task that failed.
    """

    models: tuple[OnlineModel, ...] = ()
    recorders: Mapping[str, Recorder] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def list_due(
    strategy: OnlineStrategy,
    stands: StrategyState,
    recorders: Recorders,
    *,
    session: SessionLike,
    until: SessionLike | None = None,
    task_kwargs: Mapping[str, Any] | None = None,
) -> list[Task]:
    """Return the tasks of a strategy that are due at `session`: those after its models, or its first ones.

    Models that a rollback withdrew count as online here, so that their windows are not due again.
    """
    online = [recorders.find(model) for model in (*stands.online, *stands.withdrawn)]
    waiting = [recorders.find(model) for model in stands.next]
    with hold_tool(strategy, online):
        if not online and not waiting:
            return call_first_tasks(strategy, cur_time=session, until=until)
        return call_prepare_tasks(
            strategy, to_session(session), online_models=[*online, *waiting], until=until, **(task_kwargs or {})
        )


def train_tasks(
    due: Sequence[tuple[OnlineStrategy, Sequence[Task]]],
    trainer: Trainer,
    *,
    session: str,
    experiments: Mapping[str, str] | None = None,
) -> list[Trained]:
    """Train the tasks of strategies and return what came of each, in their order.

    A task that a finished recorder holds already is not trained again. A trainer in two phases prepares the tasks of
    all strategies before it trains any.

    Parameters
    ----------
    due : sequence of (OnlineStrategy, sequence of tasks)
    trainer : Trainer
    session : str
        Where a task has no test segment, its model serves from here on.
    experiments : mapping of str to str, optional
        For each strategy's name the experiment; its own if not given.
    """
    begun = [
        _Begun.of(strategy, tasks, trainer, (experiments or {}).get(strategy.name_id, strategy.experiment))
        for strategy, tasks in due
    ]
    return [one.end(trainer, session) for one in begun]


class _Begun:
    """The tasks of one strategy, each with the recorder that holds it, once one does."""

    def __init__(self, strategy: OnlineStrategy, tasks: Sequence[Task], experiment: str) -> None:
        self.strategy = strategy
        self.tasks = list(tasks)
        self.experiment = experiment
        self.found: list[Recorder | None] = [find_trained(task, experiment) for task in self.tasks]
        self.begun: list[Recorder] = []
        self.error: TaskFailedError | None = None

    @classmethod
    def of(cls, strategy: OnlineStrategy, tasks: Sequence[Task], trainer: Trainer, experiment: str) -> _Begun:
        """Begin to train the tasks that nobody has trained yet."""
        made = cls(strategy, tasks, experiment)
        if missing := made.missing:
            try:
                made.begun = _check(trainer.train(missing, experiment_name=experiment), missing, trainer)
            except TaskFailedError as error:
                made.error = error
        return made

    @property
    def missing(self) -> list[Task]:
        return [task for task, found in zip(self.tasks, self.found, strict=True) if found is None]

    def end(self, trainer: Trainer, session: str) -> Trained:
        """Train what was begun, and return what there is of all tasks."""
        if self.begun:
            try:
                ended = self._end_train(trainer)
                waiting = iter(ended)
                self.found = [next(waiting) if found is None else found for found in self.found]
            except TaskFailedError as error:
                self.error = error
        if self.error is not None:  # those that succeeded beside it stand
            self.found = [find_trained(task, self.experiment) for task in self.tasks]
        pairs = [(task, found) for task, found in zip(self.tasks, self.found, strict=True) if found is not None]
        return Trained(
            models=tuple(describe_model(self.strategy, task, found, self.experiment, session) for task, found in pairs),
            recorders={found.id: found for _, found in pairs},
            failures=() if self.error is None else tuple(f"{name}: {text}" for name, text in self.error.failures),
        )

    def _end_train(self, trainer: Trainer) -> list[Recorder]:
        given = {"experiment_name": self.experiment} if trainer.is_delay() else {}
        return _check(trainer.end_train(self.begun, **given), self.begun, trainer)


def _check(made: Sequence[Any], asked: Sequence[Any], trainer: Trainer) -> list[Recorder]:
    if len(made) != len(asked) or not all(isinstance(one, Recorder) for one in made):
        raise ConfigError(
            f"{type(trainer).__name__} returned {len(made)} models for {len(asked)} tasks, or others than recorders",
            hint="return one recorder for each task, in order",
        )
    return list(made)


def describe_model(
    strategy: OnlineStrategy, task: Task, recorder: Recorder, experiment: str, session: str
) -> OnlineModel:
    """Return the model of a task that a recorder holds, or will hold; without a test segment it serves at once."""
    return OnlineModel(
        experiment=experiment,
        recorder=recorder.id,
        serves_from=_begin_of(strategy, task) or session,
        fit_key=TaskParts.of(describe_objects(task)).fit.key,
    )


def _begin_of(strategy: OnlineStrategy, task: Task) -> str | None:
    """Return the first session of a task's test segment; None where it has none."""
    key = strategy.rg.test_key if isinstance(strategy, RollingStrategy) else "test"
    try:
        start = segments_of(task, test_key=key)[key][0]
    except ConfigError:
        return None
    return None if start is None else write_session(to_session(start))
