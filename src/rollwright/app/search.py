"""Search a campaign's file: try values of its keys, each trial a member of its pool, and keep what became of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from rollwright.analysis.stages.honesty import Look, TrialBook
from rollwright.app.campaign import TellProgress, plan_campaign
from rollwright.app.campaign_record import portable_uri, relative_file
from rollwright.app.open_campaign import OpenCampaign
from rollwright.app.search_record import keep_former_search, results_folder, search_record
from rollwright.app.trials import open_book
from rollwright.backtest.risk import periods_per_year
from rollwright.campaign.collect_windows import collect_windows
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.config_file import read_config
from rollwright.campaign.judging import judge_windows
from rollwright.campaign.plan import CampaignPlan
from rollwright.campaign.preparation import Preparation
from rollwright.campaign.search_section import SearchSection
from rollwright.campaign.yaml.document import combine_problems
from rollwright.config.context import using
from rollwright.core.canonical import fingerprint
from rollwright.core.locks import try_file_lock
from rollwright.core.timing import TimeInspector
from rollwright.errors import ConfigError, CoverageError, DataError, RollwrightError
from rollwright.market.current import current_market
from rollwright.market.source import DataSource
from rollwright.pool.manager import TaskManager
from rollwright.pool.urls import store_from_url
from rollwright.pool.worker.supervisor import WarmSlots
from rollwright.search.checks import find_problems
from rollwright.search.dashboard import OptunaCopy
from rollwright.search.judging import Portfolio, add_validation, measure_days, trade_scores
from rollwright.search.record import SearchHeader, SearchRecord
from rollwright.search.sampling import ask_generation, import_optuna
from rollwright.search.space import make_overrides
from rollwright.search.table import write_table
from rollwright.search.trial import AskedTrial, ToldTrial
from rollwright.search.walk import Candidate, GenerationWalk
from rollwright.tracking.liveness import fail_abandoned
from rollwright.tracking.r import R

__all__ = ["check_search", "identify_search", "plan_trial", "run_search"]

_logger: Final = logging.getLogger("rollwright.app")


def run_search(
    campaign: OpenCampaign, *, jobs: int, anew: bool = False, on_progress: TellProgress | None = None
) -> tuple[ToldTrial, ...] | None:
    """Try what the section ``search`` of a campaign's file asks for; what is done already is not done again.

    Guarantees: which trials are tried and what is told of them depends on the file, its seed and the data, and neither
    on `jobs` nor on when it was killed and given again. A trial that fails is told with its cause, and ends nothing.

    Parameters
    ----------
    campaign : OpenCampaign
    jobs : int
        Windows that are trained at the same time.
    anew : bool
        Set a former record aside, and begin with the first trial; windows that are trained and stand are kept.
    on_progress : callable, optional
        ``on_progress(what, value)`` with ``begun`` (the plan of the file as it stands), ``resumed`` (the trials that
        were told before), ``asked`` (the trials of a generation), ``submitted`` (the `Submission` of a round),
        ``event`` (a worker's event) and ``told`` (a `ToldTrial`).

    Returns
    -------
    tuple of ToldTrial or None
        In the order of their numbers; None when it was told to stop before the last.

    Raises
    ------
    ConfigError
        With every problem of the search at once; when the file or what it depends on changed since it was begun, or
        another process is at it.
    MissingExtraError
        Without Optuna, for another sampler than ``grid``.
    """
    tell = on_progress if on_progress is not None else (lambda _what, _value: None)
    with using(campaign.context), WarmSlots() as slots, _hold(campaign):
        section = _find_section(campaign)
        import_optuna()
        source = current_market()
        with TimeInspector.logt("check the search"):
            base = check_search(campaign, source)
        tell("begun", base)
        record = search_record(campaign.settings, campaign.name)
        if anew:
            keep_former_search(campaign.settings, campaign.name)
        _begin(campaign, record, section, source)
        fail_abandoned(campaign.settings)
        store = store_from_url(campaign.settings.resolve_url(campaign.settings.pool.url))
        try:
            manager = TaskManager(campaign.name, store=store)
            copy = OptunaCopy(record.storage, campaign.name, section)
            work = _SearchWork(
                campaign=campaign, section=section, record=record, source=source, manager=manager, jobs=jobs, tell=tell,
                slots=slots,
                copy=copy,
            )  # fmt: skip
            with copy:
                return work.run()
        finally:
            store.close()


def _find_section(campaign: OpenCampaign) -> SearchSection:
    if campaign.config.search is None:
        raise ConfigError(
            f"{campaign.document.path} has no section `search`, so there is nothing to search",
            hint="add `search: {trials: 20, space: {task.model.kwargs.num_leaves: {low: 8, high: 99, int: true}}}`",
        )
    return campaign.config.search


@contextmanager
def _hold(campaign: OpenCampaign) -> Iterator[None]:
    """Keep a second process from the same search."""
    folder = search_record(campaign.settings, campaign.name).folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with try_file_lock(folder.with_name(f"{folder.name}.lock")) as is_free:
        if not is_free:
            raise ConfigError(
                f"another process is at the search {campaign.name}",
                hint=f"watch it: rollwright search show {campaign.name}",
            )
        yield


def check_search(campaign: OpenCampaign, source: DataSource) -> CampaignPlan:
    """Refuse a search that cannot do what it is asked, and return the plan of its file as it stands.

    Raises
    ------
    ConfigError
        With every problem at once.
    RollwrightError
        When the file as it stands is none.
    """
    section = _find_section(campaign)
    base, _ = plan_campaign(campaign, source)

    def plan(params: dict[str, Any]) -> CampaignPlan:
        return plan_trial(campaign, params, source)[1]

    problems = find_problems(section, campaign.config, campaign.document, base=base, plan=plan)
    if problems:
        raise combine_problems(campaign.document.path, problems)
    return base


def plan_trial(
    campaign: OpenCampaign, params: Mapping[str, Any], source: DataSource
) -> tuple[CampaignConfig, CampaignPlan]:
    """Return the file of a trial, and its windows: those that `roll` would train of it.

    Parameters
    ----------
    campaign : OpenCampaign
    params : mapping
        The value of each key.
    source : DataSource

    Raises
    ------
    RollwrightError
        When the values make no campaign.
    """
    overrides = [*campaign.overrides, *make_overrides(params)]
    config, document = read_config(campaign.document.path, overrides, trusted=campaign.settings.trust.modules)
    if config.search is not None and config.search.segment == "valid":
        config = add_validation(config)
    opened = replace(campaign, config=config, document=document, overrides=tuple(overrides))
    plan, _ = plan_campaign(opened, source)
    return config, plan


def identify_search(campaign: OpenCampaign) -> str:
    """Return the identity of all that a search's trials depend on: its file, without the number of trials."""
    said = {key: value for key, value in campaign.document.data.items() if key != "report"}
    searched = said.get("search")
    if isinstance(searched, Mapping):
        said["search"] = {key: value for key, value in searched.items() if key != "trials"}
    return fingerprint(said, typed=True)


def _begin(campaign: OpenCampaign, record: SearchRecord, section: SearchSection, source: DataSource) -> None:
    """Note of which file the search is, or refuse to go on with that of another."""
    config = campaign.config
    header = SearchHeader(
        name=campaign.name,
        file=relative_file(campaign.document.path, campaign.settings.root),
        overrides=campaign.overrides,
        provider_uri=portable_uri(campaign.settings.data.provider_uri, campaign.settings.root),
        identity=identify_search(campaign),
        section=section,
        periods=periods_per_year(source.freq),
        risk_free=0.0 if config.backtest is None else config.backtest.risk_free,
    )
    former = record.read_header()
    if former is not None and former.identity != header.identity:
        raise ConfigError(
            f"the search {campaign.name} was begun with another file, or the file changed since",
            hint="begin it anew, which sets its record aside and keeps what is trained: --anew; "
            "or give the file another `experiment_name`",
        )
    if former != header:
        record.write_header(header)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SearchWork:
    """One run of a search: generation by generation."""

    campaign: OpenCampaign
    section: SearchSection
    record: SearchRecord
    source: DataSource
    manager: TaskManager
    jobs: int
    tell: TellProgress
    slots: WarmSlots
    copy: OptunaCopy

    def run(self) -> tuple[ToldTrial, ...] | None:
        # 1. Read what was asked and told; what was told must still stand. 2. Go on with a generation that is not told
        # whole, or ask for the next. 3. Train and judge it, register its back-tests, and tell its trials in order.
        name = self.campaign.name
        asked = self.record.read_asked()
        told = self.record.read_told(asked)
        if told:
            self.tell("resumed", tuple(told))
            self._check_told(told)
        R.exp_manager.location.begin()
        R.get_exp(experiment_name=name, create=True)
        features = _Features(self.campaign, self.slots)
        is_published = False
        while True:
            begun = sum(len(generation) for generation in asked)
            if len(told) == begun:
                made = ask_generation(self.section, told)
                if not made:
                    break
                self.record.write_asked(len(asked), made)
                asked.append([*made])
            generation = asked[-1]
            earlier = told[: generation[0].number]
            self.tell("asked", tuple(generation))
            found = self._walk(generation, earlier, features)
            if found is None:
                return None
            for trial in found[len(told) - len(earlier) :]:
                self.record.write_told(trial)
                told.append(trial)
                self.tell("told", trial)
            self._publish(told)
            is_published = True
        if not is_published:  # it may have been killed between the last trial and its table
            self._publish(told)
        return tuple(told)

    def _publish(self, told: Sequence[ToldTrial]) -> None:
        name = self.campaign.name
        self.copy.update(told)
        write_table(results_folder(self.campaign.settings, name), name, self.section, told)

    def _check_told(self, told: Sequence[ToldTrial]) -> None:
        """Refuse to go on from trials whose results do not stand any more: what was tried next came of them."""
        problems = []
        for trial in told:
            if trial.state == "failed":
                continue
            _, plan = plan_trial(self.campaign, trial.params, self.source)
            states = judge_windows(plan.windows[: trial.windows], self.manager)
            fallen = [(key, state) for key, state in states.items() if not state.stands]
            if fallen:
                key, state = fallen[0]
                reason = state.verdict.reason if state.verdict is not None else "it has no result any more"
                problems.append(f"{trial.name}, window {key.segment}: {reason}")
        if problems:
            raise CoverageError(
                f"{len(problems)} of {len(told)} trials of the search {self.campaign.name} do not stand any more",
                problems=problems,
                hint="what was tried next came of them; begin it anew, which trains only what fell: --anew",
            )

    def _walk(
        self, generation: Sequence[AskedTrial], earlier: Sequence[ToldTrial], features: _Features
    ) -> list[ToldTrial] | None:
        candidates = [self._make_candidate(trial, features) for trial in generation]
        walk = GenerationWalk(
            name=self.campaign.name,
            section=self.section,
            manager=self.manager,
            context=self.campaign.context,
            jobs=self.jobs,
            earlier=earlier,
            on_event=lambda event: self.tell("event", event),
            on_submitted=lambda submission: self.tell("submitted", submission),
            warm=self.slots,
        )
        with TimeInspector.logt("train a generation"):
            if not walk.run(candidates):
                return None
        with TimeInspector.logt("judge a generation"):
            return self._tell(candidates)

    def _make_candidate(self, trial: AskedTrial, features: _Features) -> Candidate:
        made = Candidate(trial=trial)
        try:
            made.config, made.plan = plan_trial(self.campaign, trial.params, self.source)
            features.build(made.config, made.plan)
        except RollwrightError as error:
            if error.is_away:
                raise
            made.fail(error.message)
        return made

    def _tell(self, candidates: Sequence[Candidate]) -> list[ToldTrial]:
        """Return what became of the candidates; their back-tests are registered before the first of them is told."""
        book = open_book(self.campaign.context, self.source) if self.campaign.config.backtest is not None else None
        portfolios = [self._trade(one) for one in candidates]
        trials = [
            None if found is None or book is None else self._make_trial(one, found, book)
            for one, found in zip(candidates, portfolios, strict=True)
        ]
        if book is not None and any(trials):
            book.register([trial for trial in trials if trial is not None])
        return [
            self._make_told(one, found, None if trial is None else trial.to_json())
            for one, found, trial in zip(candidates, portfolios, trials, strict=True)
        ]

    def _trade(self, one: Candidate) -> Portfolio | None:
        """Return what a candidate's scores would have earned on the windows it has; one that leaves rows out fails."""
        if one.state == "failed" or one.plan is None or one.config is None:
            return None
        missing = frozenset(window.key for window in one.windows if window.key not in one.recorders)
        share = one.config.collect.max_missing_share
        try:
            (found,) = collect_windows(
                one.plan, one.recorders, source=self.source, max_missing_share=share, missing=missing
            )
            if one.config.backtest is None:
                return None
            return trade_scores(
                found.pred, one.config.backtest, source=self.source, region=self.campaign.settings.data.region
            )
        except (CoverageError, DataError) as error:
            if error.is_away:
                raise
            one.fail(error.message)
            return None

    def _make_trial(self, one: Candidate, found: Portfolio, book: TrialBook) -> Any:
        try:
            return book.make_trial(
                found.net, Look("search", f"{self.campaign.name}: {one.trial.name}"), dict(found.settings)
            )
        except DataError as error:
            _logger.info("trials.not_judged name=%s reason=%s", one.trial.name, error.message)
            return None

    def _make_told(self, one: Candidate, found: Portfolio | None, trial: Mapping[str, Any] | None) -> ToldTrial:
        metrics: dict[str, float] = {}
        if one.state != "failed":
            metrics |= {} if one.days is None else {str(key): value for key, value in measure_days(one.days).items()}
            metrics |= {} if found is None else dict(found.metrics)
        value = metrics.get(self.section.metric, math.nan)
        if one.state == "complete" and math.isnan(value):
            one.fail(f"its {self.section.metric} is not defined")
        return ToldTrial(
            number=one.trial.number,
            params=one.trial.params,
            state=one.state or "failed",
            value=value,
            metrics=metrics,
            curve=tuple(one.curve),
            windows=len(one.recorders),
            planned=len(one.windows),
            days=one.list_days(self.section),
            cause=one.cause,
            trial=trial,
        )


class _Features:
    """Builds the features of trials before workers would wait for each other, and starts the workers' server."""

    def __init__(self, campaign: OpenCampaign, slots: WarmSlots) -> None:
        self._ready = Preparation(context=campaign.context, document=campaign.document, slots=slots)
        self._built: set[str] = set()

    def build(self, config: CampaignConfig, plan: CampaignPlan) -> None:
        """Build those of a trial; trials that differ in their models, or in what they learn from, have the same."""
        dataset = config.task.dataset.as_dict()
        kwargs = {name: value for name, value in dataset["kwargs"].items() if name != "segments"}
        key = fingerprint({"dataset": {**dataset, "kwargs": kwargs}}, typed=True)
        if key not in self._built:
            self._ready.prepare(plan, plan.windows, is_first=False)
            self._built.add(key)
