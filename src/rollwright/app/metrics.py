"""How pools stand, in the text format that Prometheus reads."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rollwright.config.settings import Settings
from rollwright.core.clock import Clock, SystemClock
from rollwright.core.sqlite_urls import sqlite_path
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import PoolDemand, PoolStat, PoolStore
from rollwright.pool.urls import store_from_url

__all__ = ["METRICS_TYPE", "PoolFigure", "PoolMetrics", "collect_metrics", "format_metrics"]

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_POOLS: Final = 100
"""Pools that are told of one by one; those with open work first."""
_RECENTLY: Final = 300.0
_KEPT: Final = 5.0
"""Seconds for which one look at the store is told to all who ask."""
_RUNNING: Final = parse({"status": Status.RUNNING.value})
_RETRIED: Final = parse({"attempts": {"$gt": 1}})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigure:
    """One quantity and its values.

    Attributes
    ----------
    name, text : str
        Its name, and what it is.
    values : tuple of (mapping of str to str, float)
        Each with its labels.
    """

    name: str
    text: str
    values: tuple[tuple[Mapping[str, str], float], ...] = field(default=())


def collect_metrics(store: PoolStore, *, now: float) -> tuple[PoolFigure, ...]:
    """Return how the pools of a store stand.

    Guarantees: the number of values is bounded: 100 pools, those with open work first, each with the needs that its
    open tasks have; how many pools are left out is a value of its own. Of tasks only the names of pools and tags are
    told.

    Parameters
    ----------
    store : PoolStore
    now : float
        Seconds since 1970 UTC, to compare leases and ends with.
    """
    demand = store.demand()
    active = {one.pool for one in demand}
    names = sorted(store.list_pools(), key=lambda name: (name not in active, name))
    told, left_out = names[:_MOST_POOLS], len(names[_MOST_POOLS:])
    stats = [store.stat(name) for name in told]
    demand = tuple(one for one in demand if one.pool in {*told})
    working = [name for name in told if name in active]
    return (
        *_of_stats(stats, left_out),
        *_of_demand(demand),
        *_of_tasks(store, working, now),
    )


def _of_stats(stats: Sequence[PoolStat], left_out: int) -> Iterator[PoolFigure]:
    yield PoolFigure(
        name="rollwright_pool_tasks",
        text="Tasks of a pool by state.",
        values=tuple(
            ({"pool": stat.pool, "state": state.value}, count) for stat in stats for state, count in stat.counts.items()
        ),
    )
    yield PoolFigure(
        name="rollwright_pool_paused",
        text="1 while nobody may take tasks of the pool.",
        values=tuple(({"pool": stat.pool}, float(stat.paused)) for stat in stats),
    )
    yield PoolFigure(
        name="rollwright_pools_left_out", text="Pools that are not told of one by one.", values=(({}, left_out),)
    )


def _of_demand(demand: Sequence[PoolDemand]) -> Iterator[PoolFigure]:
    labels = [{"pool": one.pool, "needs": one.needs.text} for one in demand]
    for name, text, numbers in (
        ("open", "Tasks that a worker which meets the needs may take now.", [one.open for one in demand]),
        ("delayed", "Tasks that may be taken later.", [one.delayed for one in demand]),
        ("running", "Tasks that somebody holds.", [one.running for one in demand]),
    ):
        yield PoolFigure(
            name=f"rollwright_pool_{name}_tasks", text=text, values=tuple(zip(labels, numbers, strict=True))
        )
    yield PoolFigure(
        name="rollwright_pool_oldest_open_seconds",
        text="How long the oldest of the open tasks waits.",
        values=tuple((label, one.oldest) for label, one in zip(labels, demand, strict=True) if one.oldest is not None),
    )
    shares = {one.pool: one for one in demand}
    yield PoolFigure(
        name="rollwright_pool_weight",
        text="The part of shared workers that the pool has.",
        values=tuple(({"pool": name}, one.weight) for name, one in shares.items()),
    )
    yield PoolFigure(
        name="rollwright_pool_max_running",
        text="The most tasks of the pool that run at the same time, where there is a cap.",
        values=tuple(({"pool": name}, one.max_running) for name, one in shares.items() if one.max_running is not None),
    )


def _of_tasks(store: PoolStore, pools: Sequence[str], now: float) -> Iterator[PoolFigure]:
    """Yield what only the tasks of pools with open work say."""
    recently = parse({"ended": {"$gte": now - _RECENTLY}})
    workers: list[tuple[Mapping[str, str], float]] = []
    retried: list[tuple[Mapping[str, str], float]] = []
    ended: list[tuple[Mapping[str, str], float]] = []
    for name in pools:
        label = {"pool": name}
        held = store.find(name, _RUNNING)
        workers.append((label, len({one.owner for one in held if (one.lease_until or math.inf) >= now})))
        retried.append((label, sum(store.count(name, _RETRIED).values())))
        ended.append((label, sum(store.count(name, recently).values())))
    for metric, text, values in (
        ("workers", "Workers that hold tasks under a lease which has not ended.", workers),
        ("retried_tasks", "Tasks that were tried more than once, attempts that failed or were lost.", retried),
        ("recently_ended_tasks", "Tasks that ended within the last five minutes.", ended),
    ):
        yield PoolFigure(name=f"rollwright_pool_{metric}", text=text, values=tuple(values))


def format_metrics(metrics: Sequence[PoolFigure]) -> str:
    """Return metrics as Prometheus reads them."""
    lines: list[str] = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} gauge"]
        for labels, value in metric.values:
            told = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items())
            lines.append(f"{metric.name}{{{told}}} {value:.15g}" if told else f"{metric.name} {value:.15g}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class PoolMetrics:
    """Reads the pools of a project for all who ask, once in five seconds.

    Parameters
    ----------
    settings : Settings
    url : str, optional
        The store's; that of the settings if not given.
    clock : Clock, optional
    """

    def __init__(self, settings: Settings, *, url: str | None = None, clock: Clock | None = None) -> None:
        self._url = settings.resolve_url(url if url is not None else settings.pool.url)
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._text = ""

    def read(self) -> str:
        """Return how the pools stand; a store that was not made yet has none, and is not made.

        Raises
        ------
        StoreUnavailableError
            When the store does not answer.
        """
        with self._lock:
            now = self._clock.monotonic()
            if now - self._read_at >= _KEPT:
                self._text, self._read_at = self._collect(), now
            return self._text

    def _collect(self) -> str:
        path = sqlite_path(self._url)
        if path is not None and not path.exists():
            return format_metrics(())
        store = store_from_url(self._url)
        try:
            return format_metrics(collect_metrics(store, now=self._clock.now().timestamp()))
        finally:
            store.close()
