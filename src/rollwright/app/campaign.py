"""Open, roll, resume and help campaigns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright import __version__
from rollwright.app.campaign_record import (
    CampaignRecord,
    portable_uri,
    relative_file,
)
from rollwright.app.demo_finding import examine_demo
from rollwright.app.open_campaign import OpenCampaign, reopen_campaign
from rollwright.app.pool import WindowNames, make_holders, open_store
from rollwright.app.standing_note import StandingNote
from rollwright.campaign.checks.classes import check_classes
from rollwright.campaign.checks.location import located
from rollwright.campaign.health import examine_submission
from rollwright.campaign.judging import judge_windows
from rollwright.campaign.plan import CampaignPlan, WindowKey, make_plan
from rollwright.campaign.plan_notes import find_notes
from rollwright.campaign.preparation import Preparation
from rollwright.campaign.results_origin import ORIGIN_FILE, ResultsOrigin, keep_former_results
from rollwright.campaign.rule_checks import check_rules
from rollwright.campaign.run import (
    DEFAULT_TERMS,
    Submission,
    TrainElsewhere,
    TrainingTerms,
    collect_submission,
    count_training,
    find_declared,
    find_left,
    find_unfinished,
    finished_recorders,
    note_submitted,
    submit,
    train_windows,
)
from rollwright.campaign.submitted import SubmittedWindows
from rollwright.campaign.summary import CampaignResult
from rollwright.campaign.trade_terms import check_results
from rollwright.config.context import using
from rollwright.config.settings import load_settings
from rollwright.core.atomic import write_text
from rollwright.core.bounded_read import SMALL, read_text
from rollwright.core.canonical import sha256_hex
from rollwright.core.clock import SystemClock
from rollwright.core.timing import TimeInspector
from rollwright.errors import CorruptFileError, CoverageError, RollwrightError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.pool.manager import TaskManager
from rollwright.pool.query import parse
from rollwright.pool.states import Status
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.pool.worker.worker import WorkerEvent
from rollwright.tracking.liveness import fail_abandoned
from rollwright.tracking.r import R
from rollwright.tracking.recorder import Recorder

__all__ = [
    "check_campaign",
    "collect_campaign",
    "plan_campaign",
    "read_submitted",
    "resume_campaign",
    "roll_campaign",
]

_logger: Final = logging.getLogger("rollwright.app")

FAILURES_FILE: Final = "failures.txt"

TellProgress = Callable[[str, Any], None]


def roll_campaign(
    campaign: OpenCampaign,
    *,
    jobs: int,
    terms: TrainingTerms = DEFAULT_TERMS,
    accept_stale: bool = False,
    on_progress: TellProgress | None = None,
    fork: bool = False,
    elsewhere: TrainElsewhere | None = None,
) -> CampaignResult | None:
    """Run the whole campaign: plan, train, collect, analyse, back-test, report.

    Killed at any point and given again, it goes on where it stopped and ends with the same bytes.

    Parameters
    ----------
    campaign : OpenCampaign
    jobs : int
        Slots that train at the same time.
    terms : TrainingTerms
        Which windows are trained, and what ends them.
    accept_stale : bool
        Keep finished results that are whole though data or code have changed since; the report says so.
    on_progress : callable, optional
        ``on_progress(what, value)`` with ``planned`` (the plan), ``submitted`` (the submission), ``event`` (a
        worker's event), ``others`` (the `Holder` of windows that are waited for), ``trained`` (the `TrainingCounts`),
        ``left`` (the windows that are not finished, where ``only`` left some out: no results are made then) and
        ``kept`` (the folder of results that another configuration of this name had made; see `keep_former_results`).
    fork : bool
        Whether this process is a program of ours that does nothing else, so that worker processes may be forked from
        it: they share what it has imported. See `WarmSlots.start`.
    elsewhere : TrainElsewhere, optional
        Trains the windows in place of worker processes of this one; see `rollwright.app.elsewhere`.

    Returns
    -------
    CampaignResult or None
        None when it was told to stop before everything was trained, or ``only`` left windows out.
    """
    with using(campaign.context), WarmSlots() as slots:
        tell = on_progress if on_progress is not None else (lambda _what, _value: None)
        ready = Preparation(context=campaign.context, document=campaign.document, slots=slots, fork=jobs if fork else 0)
        return _roll(
            campaign, current_market(), jobs, terms, tell, ready, accept_stale=accept_stale, elsewhere=elsewhere
        )


def check_campaign(campaign: OpenCampaign, terms: TrainingTerms = DEFAULT_TERMS) -> None:
    """Refuse what `roll_campaign` would refuse before it trains, but for what the features show; nothing is written.

    Raises
    ------
    RollwrightError
    """
    with using(campaign.context):
        plan, _ = plan_campaign(campaign, current_market())
        terms.choose([window.key for window in plan.windows])


def plan_campaign(
    campaign: OpenCampaign, source: DataSource, *, keep_leaks: bool = False
) -> tuple[CampaignPlan, dict[WindowKey, str]]:
    """Return the plan, and which of its windows may be missing, each with the reason.

    Parameters
    ----------
    campaign : OpenCampaign
    source : DataSource
    keep_leaks : bool
        Whether leaks are part of the plan, for whoever shows them, and no error.

    Raises
    ------
    RollwrightError
        When anything of the file cannot be done, but for what the features show.
    """
    check_results(campaign.config, source)
    locate = campaign.document.locate
    with TimeInspector.logt("plan"), located(campaign.document):
        plan = make_plan(
            campaign.config, name=campaign.name, calendar=source.calendar(), locate=locate, keep_leaks=keep_leaks
        )
        for member in plan.members:
            document = campaign.document.with_value("task", {}, member.origins)
            check_classes(member.windows[0].spec.definition, locate=document.locate)
        check_rules(plan, campaign.config, source)
        notes = find_notes(plan, campaign.config, source)
    declared = find_declared(plan, campaign.config.collect.allow_missing, locate=locate)
    return replace(plan, notes=notes), declared


def _roll(
    campaign: OpenCampaign,
    source: DataSource,
    jobs: int,
    terms: TrainingTerms,
    tell: TellProgress,
    ready: Preparation,
    *,
    accept_stale: bool,
    elsewhere: TrainElsewhere | None,
) -> CampaignResult | None:
    # 1. Refuse early what could only fail at the end. 2. Plan the windows. 3. Of a configuration that was not given
    # before, compute the features, once for all workers: that refuses what is wrong with them while nothing is written.
    # 4. Record how to resume. 5. End the runs of dead processes. 6. Submit: what is finished and valid is kept.
    # 7. Train the rest. 8. Collect, analyse, report.
    note = _begin_note(campaign)
    with note.watch():
        plan, declared = plan_campaign(campaign, source)
        chosen = terms.choose([window.key for window in plan.windows])
    tell("planned", plan)
    note.add_plan(plan)
    is_new = not _is_recorded(campaign)
    if is_new:
        ready.prepare(plan, plan.windows, is_first=True)
        write_text(campaign.record, _make_record(campaign).text)
    else:
        campaign.record.touch()  # it is the one that ran last
    fail_abandoned(campaign.settings)  # what a killed roll or worker left as running
    store = store_from_url(campaign.settings.resolve_url(campaign.settings.pool.url))
    try:
        manager = TaskManager(plan.name, store=store, max_attempts=terms.max_attempts)
        submission = submit(plan, manager, former=read_submitted(campaign), accept_stale=accept_stale)
        _note_submitted(campaign, plan, submission).write(campaign.submitted)
        tell("submitted", submission)
        before: frozenset[str] = frozenset()
        if submission.todo:
            R.exp_manager.location.begin()
            if not is_new:
                todo = {*submission.todo} & {*chosen}
                ready.prepare(plan, [window for window in plan.windows if window.key in todo], is_first=False)
            before = _list_ended(plan.name)
            with TimeInspector.logt("train"):
                is_trained = train_windows(
                    plan,
                    submission,
                    manager,
                    context=campaign.context,
                    jobs=jobs,
                    terms=terms,
                    on_event=lambda event: _tell_event(event, plan, submission, manager, tell),
                    failures=campaign.results / FAILURES_FILE,
                    budget=campaign.config.budget,
                    declared=declared.keys(),
                    warm=ready.slots,
                    elsewhere=elsewhere,
                )
            if not is_trained:
                return None
            if left := find_left(submission, chosen, manager):
                tell("left", left)
                return None
        may_lack = campaign.config.budget is not None or declared
        missing = find_unfinished(plan, submission, manager) if may_lack else ()
        finished = [window for window in plan.windows if window.key not in {*missing}]
        recorders = finished_recorders(finished, submission, manager)
        tell("trained", count_training(submission, recorders, before=before))
        created, reused = note.add_windows(
            plan,
            submission,
            recorders,
            store=store,
            source=source,
        )
    finally:
        store.close()
    result = _finish(
        campaign, plan, submission, recorders, source, tell,
        note=note, missing=missing, declared=declared, created=created, reused=reused,
    )  # fmt: skip
    note.add_results(result, campaign.results, more=(ORIGIN_FILE,))
    return result


def _begin_note(campaign: OpenCampaign) -> StandingNote:
    return StandingNote(
        campaign.settings,
        rendered=campaign.document.rendered,
        overrides=campaign.overrides,
        has_market=campaign.context.market is not None,
    )


def _note_submitted(campaign: OpenCampaign, plan: CampaignPlan, submission: Submission) -> SubmittedWindows:
    return note_submitted(plan, submission, own_pool=_has_own_pool(campaign))


def _has_own_pool(campaign: OpenCampaign) -> bool:
    """Tell whether the campaign's file names another task store than the project does."""
    settings = campaign.settings
    return settings.pool.url != load_settings(start=settings.root).pool.url


def read_submitted(campaign: OpenCampaign) -> SubmittedWindows | None:
    """Return which windows of the campaign were submitted last; None when none were, or the file is damaged."""
    try:
        return SubmittedWindows.read(campaign.submitted)
    except CorruptFileError as error:
        _logger.warning("submitted.unreadable path=%s reason=%s", campaign.submitted, error.reason)
        return None


def _list_ended(name: str) -> frozenset[str]:
    """Return the ended recorders of the experiment, which is created here, once, before several processes would."""
    experiment = R.get_exp(experiment_name=name, create=True)
    return frozenset(one.id for one in experiment.list_recorders("list") if one.status != Recorder.STATUS_R)


def _tell_event(
    event: WorkerEvent, plan: CampaignPlan, submission: Submission, manager: TaskManager, tell: TellProgress
) -> None:
    """Tell an event; when others are waited for, also who they are."""
    if event.kind == "started" and event.task_id is not None and event.task_id not in submission.ids.values():
        tell("shard", (event.task_id, WindowNames(manager.store, plan.name).find(event.task_id)))
    tell("event", event)
    if event.kind == "waiting":
        names = {task_id: str(key) for key, task_id in submission.ids.items()}
        query = parse({"_id": {"$in": [*names]}, "status": Status.RUNNING.value})
        running = manager.store.find(plan.name, query)
        tell("others", make_holders(running, SystemClock().now().timestamp(), names=names))


def _finish(
    campaign: OpenCampaign,
    plan: CampaignPlan,
    submission: Submission,
    recorders: dict[WindowKey, Recorder],
    source: DataSource,
    tell: TellProgress,
    *,
    note: StandingNote,
    missing: Sequence[WindowKey],
    declared: Mapping[WindowKey, str],
    created: str,
    reused: str,
) -> CampaignResult:
    from rollwright.app.trials import open_book  # noqa: PLC0415 - keeps `plan` light, which judges nothing
    from rollwright.campaign.results import make_results  # noqa: PLC0415 - as above

    with note.watch(), TimeInspector.logt("collect, analyse, back-test, report"):
        origin = ResultsOrigin.of(campaign.config, file=relative_file(campaign.document.path, campaign.settings.root))

        def begin() -> None:
            # The origin comes first: what a crash leaves unfinished is then known as this configuration's own.
            former = keep_former_results(campaign.results, origin)
            if former is not None:
                tell("kept", former)
            origin.write(campaign.results)

        return make_results(
            plan,
            recorders,
            config=campaign.config,
            text=campaign.document.text,
            source=source,
            region=campaign.settings.data.region,
            folder=campaign.results,
            findings=[*examine_demo(campaign.context), *examine_submission(submission)],
            facts=[("reused", reused), ("version", __version__)],
            created=created,
            missing=missing,
            declared=declared,
            trials=open_book(campaign.context, source) if campaign.config.backtest is not None else None,
            columns=read_analysis_columns(campaign),
            begin=begin,
        )


def read_analysis_columns(campaign: OpenCampaign) -> pd.DataFrame | None:
    """Return the columns of the user's by which the signal is judged; None where the file names none.

    Raises
    ------
    DataNotFoundError, CorruptFileError, DataError
        As `read_columns` says.
    """
    from rollwright.analysis.given_columns import read_columns  # noqa: PLC0415 - keeps `plan` light

    name = campaign.config.analysis.columns
    return None if name is None else read_columns(campaign.document.path.parent / name)


def collect_campaign(
    campaign: OpenCampaign, *, accept_stale: bool = False, on_progress: TellProgress | None = None
) -> CampaignResult:
    """Make the results of a campaign from what is trained; nothing is trained, and no task is changed.

    Raises
    ------
    CoverageError
        When a window is not finished, or its result does not stand; it names each with the reason.
    """
    tell = on_progress if on_progress is not None else (lambda _what, _value: None)
    with using(campaign.context):
        source = current_market()
        note = _begin_note(campaign)
        with note.watch():
            plan, declared = plan_campaign(campaign, source)
        tell("planned", plan)
        note.add_plan(plan)
        with open_store(create=False) as store:
            if store is None:
                raise CoverageError(
                    f"nothing of {plan.name} is trained", hint=f"train it: rollwright resume {plan.name}"
                )
            manager = TaskManager(plan.name, store=store)
            states = judge_windows(plan.windows, manager, whole=accept_stale)
            submission = collect_submission(plan, states, accept_stale=accept_stale, declared=declared.keys())
            missing = submission.todo
            finished = [window for window in plan.windows if window.key not in missing]
            recorders = finished_recorders(finished, submission, manager)
            created, reused = note.add_windows(plan, submission, recorders, store=store, source=source)
        result = _finish(
            campaign, plan, submission, recorders, source, tell,
            note=note, missing=missing, declared=declared, created=created, reused=reused,
        )  # fmt: skip
        if _is_recorded(campaign) and _note_submitted(campaign, plan, submission) == read_submitted(campaign):
            note.add_results(result, campaign.results, more=(ORIGIN_FILE,))  # a `roll` would do nothing else
        return result


def resume_campaign(
    name: str | None,
    *,
    jobs: int,
    project: Path | None = None,
    on_progress: TellProgress | None = None,
) -> CampaignResult | None:
    """Go on with a campaign by its name, or with the one that ran last.

    Raises
    ------
    ConfigError
        When there is no such campaign, or its file changed since it was started.
    """
    return roll_campaign(reopen_campaign(name, project=project), jobs=jobs, on_progress=on_progress)


def _is_recorded(campaign: OpenCampaign) -> bool:
    """Tell whether this very configuration was noted before, so that its features were found right."""
    try:
        return read_text(campaign.record, limit=SMALL) == _make_record(campaign).text
    except (OSError, ValueError, RollwrightError):
        return False  # there is none, or none that can be read


def _make_record(campaign: OpenCampaign) -> CampaignRecord:
    return CampaignRecord(
        name=campaign.name,
        file=relative_file(campaign.document.path, campaign.settings.root),
        sha256=sha256_hex(campaign.document.rendered.encode()),
        overrides=campaign.overrides,
        provider_uri=portable_uri(campaign.settings.data.provider_uri, campaign.settings.root),
    )
