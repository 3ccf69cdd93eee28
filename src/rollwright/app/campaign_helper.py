"""Train windows of a campaign that another process submitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rollwright.app.campaign import reopen_campaign
from rollwright.app.pool import WindowNames
from rollwright.config.context import using
from rollwright.config.settings import Settings
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.worker import WorkerEvent, WorkerReport
from rollwright.training.pooled import train_in_pool

__all__ = ["help_campaign", "with_typed"]


def with_typed(
    settings: Settings, *, tags: Sequence[str] = (), memory: float | None = None, trusted: Sequence[str] = ()
) -> Settings:
    """Return settings with what was typed for one worker: what it has, and modules it trusts."""
    values: dict[str, object] = {}
    if tags:
        values["worker.tags"] = tuple(dict.fromkeys((*settings.worker.tags, *tags)))
    if memory is not None:
        values["worker.memory"] = memory
    if trusted:
        values["trust.modules"] = (*settings.trust.modules, *trusted)
    return settings.with_values(values, origin="command line") if values else settings


def help_campaign(
    name: str | None,
    *,
    jobs: int,
    until_empty: bool = True,
    query: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    memory: float | None = None,
    trusted: Sequence[str] = (),
    project: Path | None = None,
    on_event: Callable[[WorkerEvent, str | None], None] | None = None,
) -> WorkerReport:
    """Train windows of a campaign that another process submitted; what ``rollwright worker`` does.

    Parameters
    ----------
    name : str or None
        The campaign; the one that ran last if None.
    jobs : int
    until_empty : bool
    query : mapping, optional
        Only tasks that match.
    tags : sequence of str
        What this worker has beside what the settings say, for windows that need it.
    memory : float, optional
        GB it has for one window, over the settings.
    trusted : sequence of str
        Modules to trust beside those of the settings.
    project : Path, optional
    on_event : callable, optional
        Called with each event and the name of the window it is about, if it is about one.
    """
    campaign = reopen_campaign(name, project=project)
    settings = with_typed(campaign.settings, tags=tags, memory=memory, trusted=trusted)
    with using(settings):
        return _help(campaign.name, settings, jobs, query, on_event, until_empty=until_empty)


def _help(
    campaign: str,
    settings: Settings,
    jobs: int,
    query: Mapping[str, Any] | None,
    on_event: Callable[[WorkerEvent, str | None], None] | None,
    *,
    until_empty: bool,
) -> WorkerReport:
    store = store_from_url(settings.resolve_url(settings.pool.url), patience=1.0)
    try:
        names = WindowNames(store, campaign)
        tell = on_event if on_event is not None else (lambda _event, _name: None)
        return train_in_pool(
            TaskManager(campaign, store=store),
            experiment_name=campaign,
            slots=jobs,
            settings=settings,
            query=query,
            until_empty=until_empty,
            on_event=lambda event: tell(event, names.find(event.task_id)),
        )
    finally:
        store.close()
