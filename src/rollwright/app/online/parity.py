"""Parity: roll the served campaign as one batch over the same sessions, and compare every score, bit for bit."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.app.online.serving import open_serving
from rollwright.app.open_campaign import OpenCampaign
from rollwright.calendar.trading import Session, to_session
from rollwright.campaign.collect_windows import VariantPrediction, collect_windows
from rollwright.campaign.combined_signal import combine_predictions
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, make_plan
from rollwright.campaign.run import finished_recorders, submit, train_windows
from rollwright.collect.coverage import universe_coverage
from rollwright.config.context import Context, using
from rollwright.core.canonical import JSON, canonical_json
from rollwright.core.clock import Clock
from rollwright.errors import OnlineError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.online.entry import read_session
from rollwright.online.parity import Parity, ServedDay, compare_days, list_served_days
from rollwright.pool.manager import TaskManager
from rollwright.pool.stores.memory import MemoryStore

__all__ = ["BatchScores", "ServingParity", "compare_with_batch", "roll_batch"]

_logger: Final = logging.getLogger("rollwright.app")

TellProgress = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchScores:
    """What one batch gives.

    Attributes
    ----------
    strategies : mapping of str to Series
        Scores of each by (datetime, instrument).
    combined : mapping of tuple of str to Series
        The signal of each group of champions that was asked for.
    windows : int
        How many windows were trained for it.
    """

    strategies: Mapping[str, pd.Series]
    combined: Mapping[tuple[str, ...], pd.Series]
    windows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingParity:
    """How a serving compares with the batch of its campaign.

    Attributes
    ----------
    serving : str
    first, last : str
        The sessions that were compared.
    windows : int
        How many windows the batch trained.
    parity : Parity
    left_out : tuple of str
        Strategies that were served and that the campaign's file does not have, which are not compared.
    """

    serving: str
    first: str
    last: str
    windows: int
    parity: Parity
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "serving": self.serving,
            "from": self.first,
            "to": self.last,
            "windows": self.windows,
            "same": self.parity.same,
            "published": self.parity.published,
            "refused": self.parity.refused,
            "left_out": list(self.left_out),
            "uncovered": list(self.parity.uncovered),
            "parts": [
                {
                    "name": part.name,
                    "sessions": part.sessions,
                    "rows": part.rows,
                    "differences": part.differences,
                    "first": [
                        {"session": row.session, "instrument": row.instrument, "served": row.served, "batch": row.batch}
                        for row in part.first
                    ],
                }
                for part in self.parity.parts
            ],
        }


def compare_with_batch(
    name: str | None = None,
    *,
    first: str | None = None,
    last: str | None = None,
    project: Path | None = None,
    clock: Clock | None = None,
    on_progress: TellProgress | None = None,
) -> ServingParity:
    """Train the windows of the served sessions anew, as one batch, and compare what was served with what it gives.

    Guarantees: nothing of the serving, its pool or its recorders is changed, or used for the batch; that is made in
    memory and in a folder which is removed. It takes as long as rolling these windows in one process does.

    Parameters
    ----------
    name : str, optional
        Of the serving; may be left out where there is only one.
    first, last : str, optional
        Sessions; from the first to the last that was served if not given.
    project : Path, optional
        Where the search for the project folder starts; the working directory if not given.
    clock : Clock, optional
    on_progress : callable, optional
        ``on_progress(what, value)`` with ``days`` (how many are compared), ``batch`` (how many windows it has) and
        ``event`` (a worker's event).

    Raises
    ------
    OnlineError
        When no session was served between `first` and `last`.
    RollwrightError
        When the batch cannot be rolled.
    """
    for end in (first, last):
        if end is not None:
            read_session(end)
    tell = on_progress if on_progress is not None else (lambda _what, _value: None)
    with open_serving(name, project=project, clock=clock) as serving:
        days = list(list_served_days(serving.ledger, first, last))
        if not days:
            raise OnlineError(
                f"serving {serving.name} served no session from {first or 'its first'} to {last or 'its last'}",
                hint=f"see what it did: rollwright online history {serving.name}",
            )
        tell("days", len(days))
        batch = roll_batch(
            serving.campaign,
            first=to_session(days[0].session),
            last=to_session(days[-1].session),
            groups={day.champions for day in days},
            tell=tell,
        )
        served = {name for day in days for name in day.scores}
        known = {strategy: scores for strategy, scores in batch.strategies.items() if strategy in served}
        parity = compare_days(days, serving.signals, known, combined=batch.combined)
        return ServingParity(
            serving=serving.name,
            first=days[0].session,
            last=days[-1].session,
            windows=batch.windows,
            parity=replace(parity, uncovered=tuple(_compare_coverage(days, batch, serving.market))),
            left_out=tuple(sorted(served - batch.strategies.keys())),
        )


def _compare_coverage(days: list[ServedDay], batch: BatchScores, source: DataSource) -> Iterator[str]:
    """Yield a line for each session whose names without a score are others in the batch, or for another cause."""
    for day in days:
        signal = batch.combined.get(day.champions)
        if signal is None:
            continue
        session = to_session(day.session)
        rows = signal.index[signal.index.get_level_values("datetime") == session]
        for said in day.coverage:
            if "by_cause" not in said:  # refused for its coverage: the ledger has the problem in words
                continue
            found = universe_coverage(
                rows, source, str(said["universe"]), start=session, end=session, max_missing_share=1.0
            )
            counted = {"expected": found.expected, "predicted": found.predicted, "by_cause": dict(found.by_cause)}
            served = {name: said[name] for name in counted}
            if counted != served:
                texts = [canonical_json(one) for one in (served, counted)]
                yield f"{day.session} {said['universe']}: served {texts[0]}, batch {texts[1]}"


def roll_batch(
    campaign: OpenCampaign,
    *,
    first: Session,
    last: Session,
    groups: Collection[tuple[str, ...]] = (),
    tell: TellProgress = lambda _what, _value: None,
) -> BatchScores:
    """Roll the windows of a campaign that test sessions from `first` to `last`, in memory, and return their scores.

    The test segment of its file goes on to `last`; its start stays, so that the windows are where serving has them.

    Parameters
    ----------
    campaign : OpenCampaign
    first, last : Session
    groups : collection of tuple of str
        Champions whose signal is wanted; those that the campaign does not have are left out.
    tell : callable
        See `compare_with_batch`.
    """
    with tempfile.TemporaryDirectory(prefix="rollwright-parity-") as folder:
        values = {"tracking.uri": f"memory:{uuid.uuid4().hex}", "tracking.artifacts": folder}
        with using(campaign.context):
            market = current_market()
        # The market is given as an object, so that everything is trained in this process: its tracking store is.
        context = Context(settings=campaign.settings.with_values(values, origin="parity"), market=market)
        with using(context):
            plan = _plan_from(campaign, first, last, market)
            _logger.info(
                "parity.batch campaign=%s windows=%d first=%s last=%s",
                plan.name, len(plan.windows), f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}",
            )  # fmt: skip
            tell("batch", len(plan.windows))
            manager = TaskManager(plan.name, store=MemoryStore(), max_attempts=1)
            submission = submit(plan, manager)
            on_event = lambda event: tell("event", event)  # noqa: E731 - shorter than a function of its own
            if not train_windows(plan, submission, manager, context=context, jobs=1, on_event=on_event):
                raise KeyboardInterrupt
            recorders = finished_recorders(plan.windows, submission, manager)
            share = campaign.config.collect.max_missing_share
            found = collect_windows(plan, recorders, source=market, max_missing_share=share)
            combined = {group: _combine(plan, found, group, market, share) for group in groups}
    return BatchScores(
        strategies={_name_strategy(plan, one.variant): one.pred["score"] for one in found},
        combined={group: signal for group, signal in combined.items() if signal is not None},
        windows=len(plan.windows),
    )


def _plan_from(campaign: OpenCampaign, first: Session, last: Session, source: DataSource) -> CampaignPlan:
    """Return the plan of the windows that test a session from `first` to `last`."""
    plan = make_plan(
        _extend_test(campaign.config, last),
        name=campaign.name,
        calendar=source.calendar(),
        locate=campaign.document.locate,
    )
    members = [
        replace(
            member,
            windows=tuple(window for window in member.windows if window.test[1] >= first and window.test[0] <= last),
        )
        for member in plan.members
    ]
    return replace(plan, members=tuple(member for member in members if member.windows))


def _extend_test(config: CampaignConfig, last: Session) -> CampaignConfig:
    dataset = config.task.dataset
    segments = {**dataset.kwargs["segments"]}
    segments["test"] = [segments["test"][0], f"{last:%Y-%m-%d}"]
    extended = dataset.model_copy(update={"kwargs": {**dataset.kwargs, "segments": segments}})
    return config.model_copy(update={"task": config.task.model_copy(update={"dataset": extended})})


def _name_strategy(plan: CampaignPlan, variant: str) -> str:
    """Return what a member is called among strategies."""
    return plan.name if variant == ONLY_VARIANT else variant


def _combine(
    plan: CampaignPlan,
    found: tuple[VariantPrediction, ...],
    group: tuple[str, ...],
    source: DataSource,
    share: float,
) -> pd.Series | None:
    """Return the signal of some members; None when one of them is not of this campaign."""
    known = {_name_strategy(plan, one.variant): one for one in found}
    if not {*group} <= known.keys():
        return None
    if len(group) == 1:
        return known[group[0]].pred["score"]
    if plan.combination is None:
        return None
    chosen = tuple(name for name in plan.combination.members if name in group)
    combination = replace(
        plan.combination,
        members=chosen,
        same_label=tuple(name for name in plan.combination.same_label if name in chosen),
    )
    if {*chosen} != {*group}:
        return None
    made = combine_predictions(replace(plan, combination=combination), found, source=source, max_missing_share=share)
    return None if made is None else made.pred["score"]
