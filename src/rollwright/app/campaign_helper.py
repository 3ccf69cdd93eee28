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

__all__ = ["help_campaign"]


def help_campaign(
    name: str | None,
    *,
    jobs: int,
    until_empty: bool = True,
    query: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
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
        Only tasks that have each of these names beneath ``tags``.
    trusted : sequence of str
        Modules to trust beside those of the settings.
    project : Path, optional
    on_event : callable, optional
        Called with each event and the name of the window it is about, if it is about one.
    """
    campaign = reopen_campaign(name, project=project)
    settings = campaign.settings
    if trusted:
        modules = (*settings.trust.modules, *trusted)
        settings = settings.with_values({"trust.modules": modules}, origin="command line")
    with using(settings):
        return _help(campaign.name, settings, jobs, query, tags, on_event, until_empty=until_empty)


def _help(
    campaign: str,
    settings: Settings,
    jobs: int,
    query: Mapping[str, Any] | None,
    tags: Sequence[str],
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
            tags=tags,
            until_empty=until_empty,
            on_event=lambda event: tell(event, names.find(event.task_id)),
        )
    finally:
        store.close()
