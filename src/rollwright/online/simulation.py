"""What serving would have done over sessions that have been: the same steps, on a ledger in memory.

Each window is trained once, with its whole test segment up to the end of the simulation, and the signal of a session
is taken from what the models that were online then predict for it. Nothing of a serving that runs is touched.

With a trainer in two phases all windows are planned and prepared first, in the order of the sessions; then all are
trained, in parallel where the trainer can; then the sessions are gone through.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pandas as pd

from rollwright.calendar.trading import Session, SessionLike, to_session
from rollwright.core.canonical import JSON
from rollwright.errors import ArtifactNotFoundError, ConfigError
from rollwright.market.current import current_market
from rollwright.online.day_result import DayResult
from rollwright.online.day_steps import DaySteps
from rollwright.online.first_training import begin_strategies
from rollwright.online.ledger import Draft
from rollwright.online.market_news import write_session
from rollwright.online.scoring import add_day
from rollwright.online.state import OnlineModel, Role, StrategyState
from rollwright.online.strategy import OnlineStrategy
from rollwright.online.training_step import describe_model, list_due
from rollwright.online.update import PredUpdater
from rollwright.tasks.definition import Task, describe_objects
from rollwright.tasks.identity import task_fingerprint
from rollwright.tracking.recorder import Recorder
from rollwright.training.trainer import Trainer

__all__ = ["ServingSimulation", "WindowScorer", "find_sessions"]

_logger: Final = logging.getLogger("rollwright.online")
_PREDICTION: Final = "pred.pkl"


def find_sessions(freq: str, begin: SessionLike, end: SessionLike | None) -> list[str]:
    """Return the sessions with data from `begin` to `end`, both included.

    Raises
    ------
    ConfigError
        When there are none.
    """
    calendar = current_market(freq).calendar().known_part()
    last = calendar.last if end is None else min(to_session(end), calendar.last)
    first = to_session(begin)
    if first > last:
        raise ConfigError(f"a simulation from {first:%Y-%m-%d} to {last:%Y-%m-%d} has no session")
    found = [write_session(calendar[place]) for place in calendar.positions(first, last)]
    if not found:
        raise ConfigError(f"there is no session with data from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    return found


class WindowScorer:
    """Takes the scores of a session from what the model predicted for its window, which is read once.

    A session that the prediction lacks is predicted, and not kept.
    """

    def __init__(self) -> None:
        self._days: dict[str, dict[Session, pd.Series]] = {}

    def score(self, recorder: Recorder, session: Session) -> pd.Series:
        """Return the scores of one session; errors as `PredUpdater.update`."""
        if recorder.id not in self._days:
            self._days[recorder.id] = _split_days(recorder)
        of_day = self._days[recorder.id]
        if session not in of_day:
            updater = PredUpdater(recorder, to_date=session, from_date=session)
            made = updater.update(write=False, ret_new=True)
            of_day[session] = pd.Series(dtype="float64") if made is None else made.iloc[:, 0]
        return of_day[session]


def _split_days(recorder: Recorder) -> dict[Session, pd.Series]:
    try:
        predicted = recorder.load_object(_PREDICTION)
    except ArtifactNotFoundError:
        return {}
    scores = predicted.iloc[:, 0] if isinstance(predicted, pd.DataFrame) else predicted
    return dict(iter(scores.groupby(level="datetime", sort=False)))


@dataclass(slots=True, kw_only=True)
class ServingSimulation:
    """One simulation.

    Attributes
    ----------
    steps : DaySteps
        On a ledger and a store of scores in memory, with `until` at the last session, and a `WindowScorer`.
    sessions : list of str
    roles : mapping of str to str
    prepared : mapping of str to Recorder
        The recorders of tasks that a trainer in two phases has prepared, by the fingerprint of the task.
    """

    steps: DaySteps
    sessions: list[str]
    roles: Mapping[str, Role]
    prepared: dict[str, Recorder] = field(default_factory=dict)
    _tasks: dict[str, list[tuple[str, Recorder]]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Prepare the tasks of all sessions, strategy by strategy in the order of the sessions; nothing is trained."""
        stands: dict[str, StrategyState] = {}
        for session in self.sessions:
            for name, strategy in self.steps.strategies.items():
                before = stands.get(name, StrategyState(role="champion"))
                tasks = list_due(
                    strategy,
                    before,
                    self.steps.recorders,
                    session=session,
                    until=self.steps.until,
                    task_kwargs=self.steps.task_kwargs,
                )
                new = self._prepare_tasks(strategy, tasks, session) if tasks else []
                stands[name] = self._switch(strategy, replace(before, next=(*before.next, *new)), session)

    def _prepare_tasks(self, strategy: OnlineStrategy, tasks: list[Task], session: str) -> list[OnlineModel]:
        experiment = self.steps.experiments.get(strategy.name_id, strategy.experiment)
        made = self.steps.trainer.train(tasks, experiment_name=experiment)
        models = []
        for task, recorder in zip(tasks, made, strict=True):
            key = task_fingerprint(describe_objects(task))
            self._tasks.setdefault(experiment, []).append((key, recorder))
            models.append(describe_model(strategy, task, recorder, experiment, session))
        self.steps.recorders.keep({recorder.id: recorder for recorder in made})
        return models

    def _switch(self, strategy: OnlineStrategy, stands: StrategyState, session: str) -> StrategyState:
        begun = [model for model in stands.next if model.serves_from <= session]
        if not begun:
            return stands
        online = self.steps.choose_online(strategy, stands.online, begun, session)
        return replace(stands, online=online, next=tuple(one for one in stands.next if one.serves_from > session))

    @property
    def is_waiting(self) -> bool:
        """Whether what was prepared is not trained yet."""
        return bool(self._tasks) and not self.prepared

    def end_training(self) -> None:
        """Train what `prepare` left.

        Raises
        ------
        TaskFailedError
        """
        trained: dict[str, Recorder] = {}
        for experiment, pairs in self._tasks.items():
            ended = self.steps.trainer.end_train([recorder for _, recorder in pairs], experiment_name=experiment)
            trained.update({key: recorder for (key, _), recorder in zip(pairs, ended, strict=True)})
        self.steps.recorders.keep({recorder.id: recorder for recorder in trained.values()})
        self.prepared = trained

    def run(self) -> pd.Series | None:
        """Go through the sessions and return the signals, indexed by (datetime, instrument); None without any."""
        steps = replace(self.steps, trainer=_Prepared(self.prepared)) if self.prepared else self.steps
        first = self.sessions[0]
        made = begin_strategies(steps, steps.strategies, first, roles=self.roles)
        body: dict[str, JSON] = {"strategies": {name: one.to_json() for name, one in made.items()}}
        steps.ledger.append(lambda now: Draft(kind="init", session=first, body=body) if now is None else None)
        made_signals: list[pd.Series] = []
        for session in self.sessions:
            result = DayResult.of_entry(steps.serve(session))
            if result.outcome == "published" and result.signal is not None:
                made_signals.append(add_day(steps.signals.load(result.signal), to_session(session)))
        _logger.info("simulation.done sessions=%d first=%s last=%s", len(self.sessions), first, self.sessions[-1])
        joined: pd.Series | None = pd.concat(made_signals) if made_signals else None
        return joined


class _Prepared(Trainer):
    """Gives back what was trained before."""

    def __init__(self, recorders: Mapping[str, Recorder]) -> None:
        super().__init__()
        self._recorders = recorders

    def train(self, tasks: Any, *args: Any, **kwargs: Any) -> list[Recorder]:
        """Return the recorders of the tasks.

        Raises
        ------
        ConfigError
            For a task that was not prepared: what a strategy prepares depends on what its models predict.
        """
        del args, kwargs
        found = [self._recorders.get(task_fingerprint(describe_objects(task))) for task in tasks]
        if any(recorder is None for recorder in found):
            raise ConfigError(
                "a strategy prepares other tasks when its models are trained than before",
                hint="simulate it with a trainer that trains each window at once, as TrainerR",
            )
        return [recorder for recorder in found if recorder is not None]
