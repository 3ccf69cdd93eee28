"""Training one model of a comparison in the environment that was made for it; what its own process does."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from rollwright.app.compare.opening import (
    find_comparison,
    open_workflow,
    refuse_servers,
    results_of,
    submitted_file,
    work_folder,
)
from rollwright.app.open_campaign import OpenCampaign
from rollwright.campaign.checks.classes import check_classes
from rollwright.campaign.checks.location import located
from rollwright.campaign.collect_windows import collect_windows
from rollwright.campaign.plan import CampaignPlan, MemberPlan
from rollwright.campaign.run import Submission, finished_recorders, note_submitted, submit, warm_features
from rollwright.campaign.submitted import SubmittedWindows
from rollwright.campaign.trade_terms import check_results
from rollwright.codecs.registry import codecs
from rollwright.compare.evaluation import RunKey
from rollwright.compare.outcome import LABEL_FILE, PRED_FILE, RunOutcome, run_folder
from rollwright.compare.plan import describe_label, name_run_variant, plan_runs
from rollwright.compare.record import ComparedModel, ComparisonRecord, pool_name
from rollwright.compare.task import ENTRY, clear_work, read_cost
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.core.atomic import write_atomically
from rollwright.core.masking import mask_secrets
from rollwright.core.text import storable_text
from rollwright.errors import CorruptFileError, RollwrightError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.pool.document import last_line
from rollwright.pool.manager import TaskManager
from rollwright.pool.states import Status
from rollwright.pool.types import TaskRecord
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.task_function import TaskFunction, WorkerEvent
from rollwright.pool.worker.task_log import log_folder
from rollwright.pool.worker.worker import Worker
from rollwright.tracking.liveness import fail_abandoned
from rollwright.tracking.r import R
from rollwright.training.pooled import list_preload

__all__ = ["Tell", "train_model"]

_logger: Final = logging.getLogger("rollwright.app")

Tell = Callable[[Mapping[str, Any]], None]


def train_model(name: str, model: str, *, environment: str, jobs: int, tell: Tell) -> bool:
    """Train all runs of a model in this interpreter, and tell how each ended.

    Giving it again goes on where it stopped: what is finished and stands is kept.

    Parameters
    ----------
    name, model : str
        Of the comparison that was recorded in this project, and of one of its models.
    environment : str
        Of this interpreter, as `ComparedModel` has it.
    jobs : int
        Tasks that train at the same time.
    tell : callable
        Called with JSON: ``{"kind": "ready"}``; ``planned`` with ``dataset``, ``windows`` and ``kept``; ``event`` with
        ``event``, ``window`` and ``detail`` of a worker's; and ``outcome`` with a `RunOutcome` of each run.

    Returns
    -------
    bool
        False when it was told to stop before everything was done.

    Raises
    ------
    RollwrightError
        When the record cannot be read. What is wrong with a workflow is an outcome of its runs.
    """
    settings = load_settings()
    record = find_comparison(settings, name)
    compared = record.find_model(model)
    clear_work(work_folder(settings, record.name, compared.name))
    tell({"kind": "ready"})
    for dataset in compared.workflows:
        try:
            opened = open_workflow(settings, record, compared, dataset)
            with using(opened.context):
                runs = _Runs(record, replace(compared, environment=environment), dataset, opened, current_market())
                if not runs.train(jobs, tell):
                    return False
        except Exception as error:  # noqa: BLE001 - the boundary of other people's code: it is these runs' failure
            cause = _describe(error)
            for seed in range(1, record.options.times + 1):
                _tell_outcome(tell, RunOutcome(key=RunKey(compared.name, dataset, seed), status="failed", cause=cause))
    return True


def _describe(error: Exception) -> str:
    """Return an error in one line, and log the whole of it."""
    text = mask_secrets("".join(traceback.format_exception(error)))
    _logger.error("comparison.not_trained error=%s", text)
    if isinstance(error, RollwrightError):
        return f"{type(error).__name__}: {mask_secrets(error.message)}".splitlines()[0]
    return last_line(storable_text(text))


def _tell_outcome(tell: Tell, outcome: RunOutcome) -> None:
    tell({"kind": "outcome", "outcome": outcome.to_json()})


class _Runs:
    """The runs of a model on one dataset."""

    def __init__(
        self, record: ComparisonRecord, model: ComparedModel, dataset: str, opened: OpenCampaign, source: DataSource
    ) -> None:
        self._record = record
        self._model = model
        self._dataset = dataset
        self._opened = opened
        self._source = source
        self._settings = opened.settings
        self._pool = pool_name(record.name, model.name, model.environment)
        self._seeds = range(1, record.options.times + 1)

    def train(self, jobs: int, tell: Tell) -> bool:
        """Train what is missing, and tell how each run ended; False when it was told to stop."""
        # 1. Refuse what can only fail. 2. Plan. 3. Compute the features, which others may have. 4. Submit: what is
        # finished and stands is kept. 5. Train the rest. 6. Join the windows of each run.
        if not self._record.options.network:
            refuse_servers(self._settings)
        plan = self._plan()
        with located(self._opened.document):
            warm_features(plan)
        fail_abandoned(self._settings)
        store = store_from_url(self._settings.resolve_url(self._settings.pool.url))
        try:
            manager = TaskManager(self._pool, store=store)
            submission = self._submit(plan, manager)
            tell(
                {
                    "kind": "planned",
                    "dataset": self._dataset,
                    "windows": len(submission.ids),
                    "kept": len(submission.reused),
                }
            )
            if submission.todo and not self._work(plan, submission, manager, jobs, tell):
                return False
            records = {one.task_id: one for one in manager.store.get(self._pool, [*submission.ids.values()])}
            for member, seed in zip(plan.members, self._seeds, strict=True):
                _tell_outcome(tell, self._end_run(plan, member, seed, submission, records, manager))
        finally:
            store.close()
        return True

    def _plan(self) -> CampaignPlan:
        document = self._opened.document
        check_results(self._opened.config, self._source)
        with located(document):
            plan = plan_runs(
                self._opened.config,
                name=self._pool,
                dataset=self._dataset,
                seeds=self._seeds,
                calendar=self._source.calendar(),
                locate=document.locate,
            )
            check_classes(plan.members[0].windows[0].spec.definition, locate=document.locate)
        return plan

    def _submit(self, plan: CampaignPlan, manager: TaskManager) -> Submission:
        file = submitted_file(self._settings, self._record.name, self._model.name, self._dataset)
        try:
            former = SubmittedWindows.read(file)
        except CorruptFileError as error:
            _logger.warning("submitted.unreadable path=%s reason=%s", file, error.reason)
            former = None
        submission = submit(plan, manager, former=former)
        note_submitted(plan, submission, own_pool=False).write(file)
        return submission

    def _work(self, plan: CampaignPlan, submission: Submission, manager: TaskManager, jobs: int, tell: Tell) -> bool:
        R.exp_manager.location.begin()
        R.get_exp(experiment_name=self._pool, create=True)  # once, before several processes would
        names = {task_id: str(key) for key, task_id in submission.ids.items()}
        ids = [submission.ids[key] for key in submission.todo]
        options = self._record.options
        work = work_folder(self._settings, self._record.name, self._model.name)

        def note(event: WorkerEvent) -> None:
            window = None if event.task_id is None else names.get(event.task_id)
            tell({"kind": "event", "event": event.kind, "window": window, "detail": event.detail})

        report = Worker(
            store=manager.store,
            pool=self._pool,
            function=TaskFunction(entry=ENTRY, kwargs={"experiment_name": self._pool, "work": str(work)}),
            slots=max(1, min(jobs, len(ids))),
            lease=self._settings.pool.lease,
            only=ids,
            timeout=options.timeout,
            memory=options.memory,
            tasks_per_slot=1,  # what a task took is that of its process
            preload=list_preload(self._settings, [window.spec.definition for window in plan.windows]),
            settings=self._settings,
            logs=log_folder(self._settings, self._pool),
            on_event=note,
        ).run()
        return not report.interrupted

    def _end_run(
        self,
        plan: CampaignPlan,
        member: MemberPlan,
        seed: int,
        submission: Submission,
        records: Mapping[str, TaskRecord],
        manager: TaskManager,
    ) -> RunOutcome:
        """Return how a run ended; of one that is done, its prediction is joined, its coverage proven, and written."""
        key = RunKey(self._model.name, self._dataset, seed)
        assert member.name == name_run_variant(self._dataset, seed)  # noqa: S101 - the plan was made for these seeds
        ended = [records[submission.ids[window.key]] for window in member.windows]
        broken = next((one for one in ended if one.status is not Status.DONE), None)
        if broken is not None:
            cause = last_line(broken.error) if broken.error else f"its task is {broken.status.value}"
            return RunOutcome(key=key, status="failed", cause=cause)
        try:
            own = replace(plan, members=(member,))
            recorders = finished_recorders(member.windows, submission, manager)
            share = self._opened.config.collect.max_missing_share
            (joined,) = collect_windows(own, recorders, source=self._source, max_missing_share=share)
            place = results_of(self._settings, self._record.name) / run_folder(key)
            for file, frame in ((PRED_FILE, joined.pred), (LABEL_FILE, joined.label)):
                write_atomically(place / file, partial(codecs.for_object(frame).write, frame))
            cost = read_cost([*recorders.values()])
        except RollwrightError as error:
            return RunOutcome(key=key, status="failed", cause=_describe(error))
        return RunOutcome(
            key=key,
            status="done",
            label=describe_label(member),
            label_span=max(1, member.label_span or 1),
            universe=member.universe or "",
            cost=cost,
        )
