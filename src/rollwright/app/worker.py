"""Train the tasks of a pool that no campaign was started for, as trainers fill them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rollwright.app.campaign_helper import NO_OPTIONS, WorkerOptions
from rollwright.app.pool import WindowNames, open_pool
from rollwright.config.context import settings_for_child, using
from rollwright.pool.states import Status
from rollwright.pool.worker.task_function import WorkerEvent, WorkerReport
from rollwright.training.pooled import train_in_pool

__all__ = ["help_pool"]


def help_pool(
    pool: str,
    *,
    experiment: str | None = None,
    prepared: bool = False,
    url: str | None = None,
    jobs: int,
    until_empty: bool = True,
    query: Mapping[str, Any] | None = None,
    options: WorkerOptions = NO_OPTIONS,
    on_event: Callable[[WorkerEvent, str | None], None] | None = None,
) -> WorkerReport:
    """Train tasks that a trainer put into a pool; what ``rollwright worker POOL --experiment NAME`` does.

    Parameters
    ----------
    pool : str
    experiment : str, optional
        Where the recorders go; named like the pool if not given.
    prepared : bool
        True: the tasks that `DelayTrainerRM` prepared, each in the recorder it has. False: those that wait.
    url : str, optional
        The store, over the setting ``pool.url``.
    jobs : int
    until_empty, query
        As in `Worker`.
    options : WorkerOptions
    on_event : callable, optional
        Called with each event and the name of the window it is about, if it is about one.

    Raises
    ------
    ConfigError
        When the store has no pool of that name.
    """
    settings = options.apply(settings_for_child())
    tell = on_event if on_event is not None else (lambda _event, _name: None)
    with open_pool(pool, url) as manager, using(settings):
        names = WindowNames(manager.store, pool)
        return train_in_pool(
            manager,
            experiment_name=experiment or pool,
            before=Status.PART_DONE if prepared else Status.WAITING,
            slots=jobs,
            settings=settings,
            query=query,
            until_empty=until_empty,
            on_event=lambda event: tell(event, names.find(event.task_id)),
        )
