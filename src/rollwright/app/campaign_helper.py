"""Train windows of a campaign that another process submitted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rollwright.app.campaign_record import list_records
from rollwright.app.open_campaign import reopen_campaign
from rollwright.app.pool import WindowNames
from rollwright.campaign.config import CampaignConfig, ObjectConfig
from rollwright.campaign.members import expand_members
from rollwright.config.context import using
from rollwright.config.settings import Settings, load_settings
from rollwright.core.clock import SystemClock
from rollwright.errors import ConfigError
from rollwright.pool.manager import TaskManager
from rollwright.pool.store import PoolShare, PoolStore
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.fair import FairGate, SlotGate
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.pool.worker.wakeup import SignalHandler
from rollwright.pool.worker.worker import WorkerEvent, WorkerReport
from rollwright.training.pooled import train_in_pool, warm_workers

__all__ = ["NO_OPTIONS", "WorkerOptions", "help_campaign", "help_campaigns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What is typed for one worker, over what the settings say.

    Attributes
    ----------
    tags : tuple of str
        What it has beside what the settings say, for windows that need it.
    memory : float or None
        GB it has for one window.
    trusted : tuple of str
        Modules to trust beside those of the settings.
    drain : float or None
        Seconds for what it has in hand when it is told to end.
    """

    tags: tuple[str, ...] = ()
    memory: float | None = None
    trusted: tuple[str, ...] = ()
    drain: float | None = None

    def apply(self, settings: Settings) -> Settings:
        """Return the settings of this worker."""
        values: dict[str, object] = {}
        if self.tags:
            values["worker.tags"] = tuple(dict.fromkeys((*settings.worker.tags, *self.tags)))
        if self.memory is not None:
            values["worker.memory"] = self.memory
        if self.drain is not None:
            values["worker.drain"] = self.drain
        if self.trusted:
            values["trust.modules"] = (*settings.trust.modules, *self.trusted)
        return settings.with_values(values, origin="command line") if values else settings


NO_OPTIONS: Final = WorkerOptions()
"""Only the settings say what the worker is."""


def help_campaign(
    name: str | None,
    *,
    jobs: int,
    until_empty: bool = True,
    query: Mapping[str, Any] | None = None,
    options: WorkerOptions = NO_OPTIONS,
    project: Path | None = None,
    on_event: Callable[[WorkerEvent, str | None], None] | None = None,
    fork: bool = False,
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
    options : WorkerOptions
    project : Path, optional
    on_event : callable, optional
        Called with each event and the name of the window it is about, if it is about one.
    fork : bool
        As `roll_campaign` takes it.
    """
    campaign = reopen_campaign(name, project=project)
    settings = options.apply(campaign.settings)
    with WarmSlots() as warm:
        warm_workers(warm, settings, _list_templates(campaign.config), fork=jobs if fork else 0)
        with closing(store_from_url(settings.resolve_url(settings.pool.url), patience=1.0)) as store, using(settings):
            return _help(
                campaign.name, settings, jobs, query, on_event, until_empty=until_empty, store=store, warm=warm
            )


def _list_templates(config: CampaignConfig) -> list[dict[str, Any]]:
    """Return the tasks of a file as far as it tells them: a generator is only run by who rolls the campaign."""
    if config.vary is None or isinstance(config.vary, ObjectConfig):
        return [config.template()]
    return [member.task for member in expand_members(config.template(), config.vary)]


def help_campaigns(
    names: Sequence[str] | None,
    *,
    jobs: int,
    until_empty: bool = True,
    query: Mapping[str, Any] | None = None,
    options: WorkerOptions = NO_OPTIONS,
    project: Path | None = None,
    on_event: Callable[[WorkerEvent, str | None], None] | None = None,
) -> WorkerReport:
    """Train windows of several campaigns, shared by their weights; what ``rollwright worker run A B`` does.

    Parameters
    ----------
    names : sequence of str or None
        The campaigns; all that were started here if None.
    jobs : int
        Windows of all campaigns together that are trained at the same time.
    until_empty, query, options, project, on_event
        As in `help_campaign`.

    Raises
    ------
    ConfigError
        For a campaign that is not there; nothing was begun then.
    RollwrightError
        The first of what a campaign fails with; the others are told to stop.
    """
    chosen = names if names is not None else [one.stem for one in list_records(load_settings(start=project))]
    if not chosen:
        raise ConfigError("no campaign was started here", hint="start one: rollwright roll FILE")
    campaigns = [reopen_campaign(name, project=project) for name in dict.fromkeys(chosen)]
    settings = {one.name: options.apply(one.settings) for one in campaigns}
    stores = {name: store_from_url(one.resolve_url(one.pool.url), patience=1.0) for name, one in settings.items()}

    def read(pools: Sequence[str]) -> list[PoolShare]:
        return [stores[pool].shares([pool])[0] for pool in pools]

    gate = FairGate(jobs, [*settings], read=read, clock=SystemClock())
    telling = threading.Lock()

    def tell(event: WorkerEvent, name: str | None) -> None:
        if on_event is not None:
            with telling:
                on_event(event, name)

    def train(name: str) -> WorkerReport:
        try:
            with using(settings[name]):
                return _help(
                    name,
                    settings[name],
                    jobs,
                    query,
                    tell,
                    until_empty=until_empty,
                    store=stores[name],
                    gate=gate.of(name),
                )
        except BaseException:
            gate.stop()
            raise

    try:
        with SignalHandler(gate.stop), ThreadPoolExecutor(len(settings), thread_name_prefix="campaign") as threads:
            reports = [one.result() for one in [threads.submit(train, name) for name in settings]]
    finally:
        for store in stores.values():
            store.close()
    return WorkerReport(
        started=sum(one.started for one in reports),
        done=sum(one.done for one in reports),
        failed=sum(one.failed for one in reports),
        released=sum(one.released for one in reports),
        seconds=max(one.seconds for one in reports),
        interrupted=any(one.interrupted for one in reports),
    )


def _help(
    campaign: str,
    settings: Settings,
    jobs: int,
    query: Mapping[str, Any] | None,
    on_event: Callable[[WorkerEvent, str | None], None] | None,
    *,
    until_empty: bool,
    store: PoolStore,
    gate: SlotGate | None = None,
    warm: WarmSlots | None = None,
) -> WorkerReport:
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
        gate=gate,
        warm=warm,
    )
