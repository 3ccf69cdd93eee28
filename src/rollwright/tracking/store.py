"""The port `TrackingStore`: experiments, their runs, and what a run logs.

A name that is asked for is never created by asking; the one method that creates an experiment does it once, however
many processes ask at the same time. What a run logs is text (parameters, tags) and numbers (metrics); files are the
business of `tracking.artifacts`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

from rollwright.core.text import NAME_RULE, is_name
from rollwright.errors import RecordError

__all__ = [
    "OPEN_STATUSES",
    "PARENT_TAG",
    "STATUSES",
    "ExperimentRecord",
    "MetricPoint",
    "RunRecord",
    "RunView",
    "TrackingStore",
    "TrackingTraits",
    "check_batch",
    "check_id",
    "check_name",
    "in_window_order",
    "is_id",
    "legal_key",
    "window_of",
]

STATUSES: Final = ("SCHEDULED", "RUNNING", "FINISHED", "FAILED")
OPEN_STATUSES: Final = ("SCHEDULED", "RUNNING")  # a run of these has no end
PARENT_TAG: Final = "mlflow.parentRunId"  # how MLflow's page knows which run another one is nested in
RunView: TypeAlias = Literal["active", "deleted", "all"]

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_KEY: Final = re.compile(r"[\w.\- :/]{1,250}")


def check_name(name: str, *, what: str) -> str:
    """Return `name` when it may name an experiment or a recorder.

    Raises
    ------
    RecordError
        Unless `rollwright.core.text.is_name` says so.
    """
    if not is_name(name):
        raise RecordError(f"{what} name {str(name)[:120]!r} is not usable", hint=f"use {NAME_RULE}")
    return name


def is_id(value: object) -> bool:
    """Tell whether `value` may be the id of a run or an experiment: letters, digits, ``_`` and ``-``, at most 100."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def check_id(value: object, *, what: str) -> str:
    """Return `value` when it may be the id of a run or an experiment: folders and files are named by it.

    Raises
    ------
    RecordError
        For anything else, as a path.
    """
    if not isinstance(value, str) or not is_id(value):
        raise RecordError(
            f"{what} id {str(value)[:120]!r} is not usable",
            hint="an id has letters, digits, `_` and `-`; does tracking.uri name a tracking server that you trust?",
        )
    return value


def legal_key(key: str) -> bool:
    """Tell whether every adapter can hold a parameter, metric or tag named `key`.

    A key is a path of 1 to 250 word characters, spaces, ``.``, ``-``, ``:`` and ``/`` that leads nowhere else.
    """
    parts = key.split("/")
    return _KEY.fullmatch(key) is not None and all(part not in {"", ".", ".."} for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingTraits:
    """What differs between adapters and may be relied upon.

    Attributes
    ----------
    durable : bool
        Whether runs outlive the process.
    multi_process : bool
        Whether several processes may write at once.
    max_param, max_tag : int
        Longest value of a parameter and of a tag, in characters; what is longer is refused, never cut.
    records_while_away : bool
        Whether runs are recorded while the server does not answer. What cannot be looked up then is learnt anew; with
        any other store it is an error.
    """

    durable: bool
    multi_process: bool
    max_param: int = 6000
    max_tag: int = 8000
    records_while_away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRecord:
    """One experiment as the store holds it; an id that could be a path is refused."""

    id: str
    name: str
    location: str = ""
    deleted: bool = False

    def __post_init__(self) -> None:
        check_id(self.id, what="experiment")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the store held it when it was read; times are aware UTC with milliseconds.

    Folders and files are named by its ids, and a tracking server answers whatever it likes: an id that could be a path
    is refused here, wherever it comes from.

    Attributes
    ----------
    recorded_as : str
        The id under which another project recorded it while the server was unreachable, else empty.
    """

    id: str
    experiment_id: str
    name: str
    status: str
    start: datetime
    end: datetime | None = None
    location: str = ""
    deleted: bool = False
    recorded_as: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_id(self.id, what="run")
        check_id(self.experiment_id, what="experiment")


def window_of(run: RunRecord) -> str:
    """Return the test segment of a run's parameters, as ``2016-01-04..2016-03-31``; empty when they name none."""
    ends = [
        next((value[:10] for key, value in run.params.items() if key.endswith(f"segments.test.{place}")), "")
        for place in (0, 1)
    ]
    return "..".join(ends) if all(ends) else ""


def in_window_order(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs by their windows, then those without one; among equals the order stays, the newest first."""
    windows = {run.id: window_of(run) for run in runs}
    return sorted(runs, key=lambda run: (not windows[run.id], windows[run.id]))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint:
    """One value of one metric; the value of a metric is the one of the greatest (step, time)."""

    key: str
    value: float
    step: int
    at: datetime


def check_batch(
    traits: TrackingTraits, params: Mapping[str, str], metrics: Sequence[MetricPoint], tags: Mapping[str, str]
) -> None:
    """Refuse a batch that no adapter may take, before any of it is written.

    Raises
    ------
    RecordError
        For illegal keys, values longer than `traits` allow, and infinite metrics, each by its name.
    """
    keys = (*params, *(item.key for item in metrics), *tags)
    problems = [f"{key[:120]!r} is no legal name" for key in keys if not legal_key(key)]
    for limit, pairs in ((traits.max_param, params), (traits.max_tag, tags)):
        problems += [
            f"{key!r} has {len(value):,} characters, more than {limit:,}"
            for key, value in pairs.items()
            if len(value) > limit
        ]
    problems += [f"metric {item.key!r} is {item.value}" for item in metrics if math.isinf(item.value)]
    if problems:
        raise RecordError("nothing was written: " + "; ".join(problems))


class TrackingStore(Protocol):
    """Experiments and runs.

    Every method raises `TrackingUnavailableError` when the store cannot be reached, `ExperimentNotFoundError` or
    `RecorderNotFoundError` for an id it does not know.
    """

    @property
    def traits(self) -> TrackingTraits:
        """What this adapter can do."""
        ...

    def create_experiment(self, name: str) -> ExperimentRecord:
        """Return the experiment `name`, creating it when there is none.

        However many processes call this at once, one experiment results. The name of a deleted experiment is free:
        the new one starts empty.
        """
        ...

    def experiments(self, *, name: str | None = None, experiment_id: str | None = None) -> list[ExperimentRecord]:
        """Return the experiments that are not deleted, all or the one of that name or id, in order of their ids."""
        ...

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs; its name is free at once."""
        ...

    def create_run(
        self, experiment_id: str, *, name: str, status: str, start: datetime, tags: Mapping[str, str]
    ) -> RunRecord:
        """Add a run and return it."""
        ...

    def update_run(
        self,
        run_id: str,
        *,
        status: str | None = None,
        end: datetime | None = None,
        name: str | None = None,
    ) -> None:
        """Change what is given; None leaves it as it is. A run that is RUNNING again has no end."""
        ...

    def log_batch(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Sequence[MetricPoint] = (),
        tags: Mapping[str, str] | None = None,
        status: str | None = None,
        end: datetime | None = None,
    ) -> None:
        """Write parameters, metrics and tags: all of them or, when one is refused, none.

        Writing the same again changes nothing. A tag replaces its former value; a parameter never changes. When
        `status` is given, the run has it, and `end`, once everything is written: as `update_run`, in one step with
        the values where the store has such steps.

        Raises
        ------
        RecordError
            For a parameter that has another value already, a value longer than the traits say, or an illegal key.
        """
        ...

    def delete_tags(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove tags; a tag that is not there is no error."""
        ...

    def get_run(self, run_id: str) -> RunRecord:
        """Return the run, deleted or not."""
        ...

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        *,
        where: str = "",
        order_by: Sequence[str] = (),
        view: RunView = "active",
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return the matching runs, newest first unless `order_by` says otherwise, however many they are.

        Parameters
        ----------
        where : str
            MLflow's filter language; every adapter knows comparisons of ``params.k``, ``metrics.k``, ``tags.k``,
            ``attributes.status``, ``attributes.run_name`` joined by ``and``.
        order_by : sequence of str
            ``"metrics.ic DESC"``; the newest first among equals.
        """
        ...

    def delete_run(self, run_id: str) -> None:
        """Delete a run; its record stays readable by id."""
        ...

    def fetch_files(self, run: RunRecord) -> bool:
        """Bring the files of `run` to the folder of the artifacts, when they are stored elsewhere and not here yet.

        Returns
        -------
        bool
            Whether its files are, or were, in that folder; False for a run that was recorded elsewhere and of which
            nothing is to be had.

        Raises
        ------
        CorruptArtifactError
            When a file is missing there or is not what was recorded; none is here then.
        """
        ...

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        ...
