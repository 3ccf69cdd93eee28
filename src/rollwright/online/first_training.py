"""How strategies begin: their first windows trained, the latest of them online."""

from __future__ import annotations

from collections.abc import Mapping

from rollwright.errors import NothingTrainedError
from rollwright.online.day_steps import DaySteps
from rollwright.online.state import Role, StrategyState
from rollwright.online.strategy import OnlineStrategy, call_first_tasks
from rollwright.online.training_step import train_tasks

__all__ = ["begin_strategies"]


def begin_strategies(
    steps: DaySteps,
    strategies: Mapping[str, OnlineStrategy],
    session: str,
    *,
    roles: Mapping[str, Role],
    role: Role = "champion",
) -> dict[str, StrategyState]:
    """Train the first tasks of strategies, and return how each begins.

    Parameters
    ----------
    steps : DaySteps
        Whose trainer, experiments and recorders are used.
    strategies : mapping of str to OnlineStrategy
    session : str
        The one they begin with: windows whose test segment has begun are trained.
    roles : mapping of str to str
        Of the strategies that it names.
    role : str
        Of all others.

    Raises
    ------
    NothingTrainedError
        When a task could not be trained; what was trained stands, and is found when it is tried again.
    """
    due = [(one, call_first_tasks(one, cur_time=session, until=steps.until)) for one in strategies.values()]
    trained = train_tasks(due, steps.trainer, session=session, experiments=steps.experiments)
    failed = [f"{one.name_id}: {text}" for (one, _), done in zip(due, trained, strict=True) for text in done.failures]
    if failed:
        raise NothingTrainedError(
            "the first windows could not all be trained:" + "".join(f"\n  - {line}" for line in failed),
            hint="mend it and call again; what is trained is not trained again",
        )
    made: dict[str, StrategyState] = {}
    for (strategy, _), done in zip(due, trained, strict=True):
        steps.recorders.keep(done.recorders)
        begun = [model for model in done.models if model.serves_from <= session]
        made[strategy.name_id] = StrategyState(
            role=roles.get(strategy.name_id, role),
            definition=strategy.definition,
            online=steps.choose_online(strategy, (), begun, session) if begun else (),
            next=tuple(model for model in done.models if model.serves_from > session),
        )
    return made
