"""A generation of trials on its walk: their windows are trained together, and who is hopeless stops.

The windows are ordinary tasks of the campaign's pool, trained as `roll` trains them. What is decided depends on their
results alone, and not on the order in which workers finish them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.plan import CampaignPlan, Window, WindowKey
from rollwright.campaign.run import Submission, find_unfinished, finished_recorders, submit, train_windows
from rollwright.campaign.search_section import PORTFOLIO_METRICS, SearchSection
from rollwright.config.context import Context
from rollwright.core.masking import mask_secrets
from rollwright.errors import RecordError
from rollwright.pool.document import last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.pool.worker.worker import WorkerEvent
from rollwright.search.judging import find_column, join_days, measure_days, read_days
from rollwright.search.pruning import find_median_reason, find_paired_reason
from rollwright.search.trial import AskedTrial, CurvePoint, ToldTrial, TrialState, find_best
from rollwright.tracking.recorder import Recorder

__all__ = ["Candidate", "GenerationWalk"]


@dataclass(slots=True, kw_only=True, eq=False)
class Candidate:
    """A trial whose generation is on its walk.

    Attributes
    ----------
    trial : AskedTrial
    config : CampaignConfig or None
        Its file; None where its values make none, and `cause` says why.
    plan : CampaignPlan or None
        Its windows, of one member, in order of time.
    recorders : dict of WindowKey to Recorder
        Of the windows that are finished.
    days : DataFrame or None
        Its daily coefficients so far.
    curve : list of CurvePoint
    state : TrialState or None
        None while it goes on.
    cause : str
    """

    trial: AskedTrial
    config: CampaignConfig | None = None
    plan: CampaignPlan | None = None
    recorders: dict[WindowKey, Recorder] = field(default_factory=dict)
    days: pd.DataFrame | None = None
    curve: list[CurvePoint] = field(default_factory=list)
    state: TrialState | None = None
    cause: str = ""

    @property
    def windows(self) -> tuple[Window, ...]:
        """All windows of its walk."""
        return () if self.plan is None else self.plan.windows

    def fail(self, cause: str) -> None:
        """End it with the reason."""
        self.state, self.cause = "failed", mask_secrets(cause)

    def list_next(self, section: SearchSection) -> tuple[Window, ...]:
        """Return the windows that are trained before it is looked at again."""
        done = len(self.recorders)
        if section.prune is None:
            return self.windows[done:]
        return self.windows[done : max(section.prune.after, done + 1)]

    def list_days(self, section: SearchSection) -> dict[str, float]:
        """Return the daily coefficients that it is compared by."""
        if self.days is None:
            return {}
        column = self.days[find_column(section.metric)]
        return {f"{day:%Y-%m-%d}": float(value) for day, value in column.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationWalk:
    """Trains and judges one generation.

    Attributes
    ----------
    name : str
        Of the campaign: its pool and experiment.
    section : SearchSection
    manager : TaskManager
    context : Context
    jobs : int
        Slots that train at the same time.
    earlier : sequence of ToldTrial
        The trials of earlier generations, by which candidates of this one are stopped.
    on_event, on_submitted, warm
        As `train_windows` takes them; and called with the `Submission` of each round.
    """

    name: str
    section: SearchSection
    manager: TaskManager
    context: Context
    jobs: int
    earlier: Sequence[ToldTrial]
    on_event: Callable[[WorkerEvent], None] | None = None
    on_submitted: Callable[[Submission], None] | None = None
    warm: WarmSlots | None = None

    def run(self, candidates: Sequence[Candidate]) -> bool:
        """Walk until every candidate is complete, pruned or failed.

        Returns
        -------
        bool
            False when it was told to stop before.

        Raises
        ------
        RollwrightError
            Of the environment (exit code 3). A window that fails ends its trial, and nothing else.
        """
        while going := [one for one in candidates if one.state is None]:
            if not self._train(going):
                return False
            for one in going:
                self._judge(one)
        return True

    def _train(self, going: Sequence[Candidate]) -> bool:
        """Train the next windows of all candidates, each task once, and hand them their recorders."""
        # 1. Windows of two trials may be one task: it is trained once. 2. Submit and train; a failure is that of its
        # trials. 3. Give every candidate the recorders of its windows.
        wanted = [(one, window) for one in going for window in one.list_next(self.section)]
        unique: dict[str, Window] = {}
        for one, window in wanted:
            key = WindowKey(one.trial.name, window.key.segment)
            unique.setdefault(window.spec.fingerprint, replace(window, key=key))
        plan = self._join(going, [*unique.values()])
        submission = submit(plan, self.manager)
        if self.on_submitted is not None:
            self.on_submitted(submission)
        if submission.todo:
            everything = {window.key for window in plan.windows}
            if not train_windows(
                plan,
                submission,
                self.manager,
                context=self.context,
                jobs=self.jobs,
                on_event=self.on_event,
                declared=everything,
                warm=self.warm,
            ):
                return False
        missing = {*find_unfinished(plan, submission, self.manager)}
        causes = self._find_causes(submission, missing)
        finished = finished_recorders([one for one in plan.windows if one.key not in missing], submission, self.manager)
        for one, window in wanted:
            key = unique[window.spec.fingerprint].key
            if key in finished:
                one.recorders[window.key] = finished[key]
            elif one.state is None:
                one.fail(f"window {window.key.segment}: {causes[key]}")
        return True

    def _join(self, going: Sequence[Candidate], windows: Sequence[Window]) -> CampaignPlan:
        """Return windows of several trials as a plan: each trial is a member."""
        members = []
        for one in going:
            own = tuple(window for window in windows if window.key.variant == one.trial.name)
            if one.plan is not None and own:
                members.append(replace(one.plan.members[0], name=one.trial.name, windows=own))
        return CampaignPlan(name=self.name, members=tuple(members))

    def _find_causes(self, submission: Submission, missing: set[WindowKey]) -> Mapping[WindowKey, str]:
        keys = {submission.ids[key]: key for key in missing}
        records = self.manager.store.get(self.manager.task_pool, [*keys]) if keys else []
        return {
            keys[record.task_id]: "it was cancelled"
            if record.status is Status.CANCELLED
            else last_line(record.error or "it has no result")
            for record in records
        }

    def _judge(self, one: Candidate) -> None:
        """Measure what a candidate has now, and decide whether it goes on."""
        if one.state is not None:
            return
        try:
            parts = [read_days(one.recorders[window.key], self.section.segment) for window in self._list_done(one)]
        except RecordError as error:
            if error.is_away:
                raise
            one.fail(error.message)
            return
        one.days = join_days(parts)
        windows = len(parts)
        if self.section.metric not in PORTFOLIO_METRICS:
            value = measure_days(one.days)[self.section.metric]
            one.curve.append(CurvePoint(windows=windows, value=value))
        if windows == len(one.windows):
            one.state = "complete"
        elif cause := self._find_reason(one, windows):
            one.state, one.cause = "pruned", cause

    def _list_done(self, one: Candidate) -> list[Window]:
        return [window for window in one.windows if window.key in one.recorders]

    def _find_reason(self, one: Candidate, windows: int) -> str:
        """Return why a candidate is stopped; "" where it goes on."""
        prune, best = self.section.prune, find_best(self.earlier)
        if prune is None or best is None:
            return ""
        if prune.rule == "median":
            value = one.curve[-1].value if one.curve else math.nan
            return find_median_reason(value, windows, self.earlier)
        own = one.list_days(self.section)
        span = one.plan.label_span if one.plan is not None else None
        return find_paired_reason(
            pd.Series(own, dtype="float64"),
            pd.Series(best.days, dtype="float64"),
            looks=len(one.windows) - prune.after,
            section=prune,
            label_span=span or 1,
            name=best.name,
        )
