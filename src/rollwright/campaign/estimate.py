"""How long training will take and how much memory, judged by what earlier runs took."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, Self

import pandas as pd

from rollwright.campaign.plan import Window
from rollwright.config.settings import Settings
from rollwright.core.canonical import JSON
from rollwright.errors import RollwrightError
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.store import PoolAdmin, TaskReader
from rollwright.pool.worker.task_log import log_folder, read_usage

__all__ = ["TrainingEstimate", "estimate_training"]

_MOST_RUNS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEstimate:
    """What training some windows will take, one after another.

    Attributes
    ----------
    seconds : float
        By the median of earlier runs, in proportion to the length of the train segment.
    least, most : float
        By the fastest and by the slowest of them.
    runs : int
        How many earlier runs it rests on.
    pools : tuple of str
        The campaigns that these runs are of.
    unknown : int
        Windows left out, because no run of such a model is known.
    memory, most_memory : int or None
        Bytes that a worker process had at most, in the median and in the largest of those runs that were made on this
        machine; None where there is none.

    Not guaranteed: that it is right. Another machine, other features or other rounds take another time.
    """

    seconds: float
    least: float
    most: float
    runs: int
    pools: tuple[str, ...]
    unknown: int = 0
    memory: int | None = None
    most_memory: int | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "seconds": round(self.seconds, 3),
            "least": round(self.least, 3),
            "most": round(self.most, 3),
            "runs": self.runs,
            "pools": [*self.pools],
            "unknown": self.unknown,
            "memory": self.memory,
            "most_memory": self.most_memory,
        }


class _Store(TaskReader, PoolAdmin, Protocol):
    """What reading earlier runs needs."""


def estimate_training(
    windows: Sequence[Window], store: _Store, *, pool: str, settings: Settings
) -> TrainingEstimate | None:
    """Return what training `windows` will take, by the finished tasks of `pool`, or else of the others of the store.

    A model is estimated by runs of the same configuration or, where there are none, of its class. None when no run of
    such models is known, or there is nothing to train. Nothing is changed. `settings` say where the logs are of runs
    that were made here; they know how much memory each took.
    """
    wanted = [_Effort.of(window.spec.definition) for window in windows]
    models = {(effort.kind, effort.model) for effort in wanted}
    kinds = {kind for kind, _ in models}
    runs: list[_Effort] = []
    pools: list[str] = []
    for name in [pool, *(other for other in store.list_pools() if other != pool)]:
        if {model for _, model in models} <= {run.model for run in runs}:
            break
        found = [run for run in _read_runs(store, name, settings) if run.kind in kinds]
        runs += found
        pools += [name] if found else []
    same = {(kind, model): _find_same(kind, model, runs) for kind, model in models}
    known = {key: [run.seconds / run.days for run in found] for key, found in same.items()}
    rates = [(known[effort.kind, effort.model], effort.days) for effort in wanted]
    told = [(found, days) for found, days in rates if found]
    if not told:
        return None
    peaks = [run.peak for effort in wanted for run in same[effort.kind, effort.model] if run.peak]
    return TrainingEstimate(
        # seconds for each day that was learnt from, times the days
        seconds=sum(statistics.median(found) * days for found, days in told),
        least=sum(min(found) * days for found, days in told),
        most=sum(max(found) * days for found, days in told),
        runs=len(runs),
        pools=tuple(pools),
        unknown=len(rates) - len(told),
        memory=int(statistics.median(peaks)) if peaks else None,
        most_memory=max(peaks, default=None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effort:
    """What training a task takes: its model, how long it learns from, and, of one that ended, what it took."""

    kind: str
    model: str
    days: float
    seconds: float = 0.0
    peak: int = 0

    @classmethod
    def of(cls, definition: Mapping[str, Any], *, seconds: float = 0.0, peak: int = 0) -> Self:
        model = definition["model"]
        kwargs = {name: value for name, value in (model.get("kwargs") or {}).items() if "seed" not in name}
        kind = str(model["class"])
        text = json.dumps([kind, kwargs], sort_keys=True, default=str)
        days = _count_days(definition["dataset"]["kwargs"]["segments"])
        return cls(kind=kind, model=text, days=days, seconds=seconds, peak=peak)


def _find_same(kind: str, model: str, runs: Sequence[_Effort]) -> list[_Effort]:
    """Return the runs of the same configuration or, where there are none, of the same class."""
    return [run for run in runs if run.model == model] or [run for run in runs if run.kind == kind]


def _read_runs(store: TaskReader, pool: str, settings: Settings) -> list[_Effort]:
    peaks: dict[str, int] = {}
    for usage in read_usage(log_folder(settings, pool)):
        peaks[usage.task_id] = max(usage.peak, peaks.get(usage.task_id, 0))
    runs: list[_Effort] = []
    for record in islice(store.find(pool, parse({"status": Status.DONE.value})), _MOST_RUNS):
        if record.started is None or record.ended is None or record.ended <= record.started:
            continue
        with suppress(ValueError, KeyError, TypeError, AttributeError, RollwrightError):  # a task of another kind
            seconds, peak = record.ended - record.started, peaks.get(record.task_id, 0)
            runs.append(_Effort.of(record.definition, seconds=seconds, peak=peak))
    return runs


def _count_days(segments: Mapping[str, Any]) -> float:
    """Return the length of the train segment in days, or of all segments where none is called train."""
    chosen = [segments["train"]] if "train" in segments else [*segments.values()]
    ends = [pd.Timestamp(end) for segment in chosen for end in segment if end is not None]
    return max(1.0, float((max(ends) - min(ends)).days))
