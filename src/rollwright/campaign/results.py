"""Results of a campaign: collect its windows, analyse and back-test the signal, and write what the stages found."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd

from rollwright.analysis.health import HealthFinding, sort_findings
from rollwright.analysis.stages.analyze import AnalysisTerms, analyze
from rollwright.analysis.stages.honesty import Look, TrialBook, add_honesty
from rollwright.analysis.stages.locations import StageName
from rollwright.analysis.stages.table import StageResult
from rollwright.analysis.stages.trade import trade
from rollwright.analysis.stages.walk import WindowFacts, collect_result
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.about import AboutResults, AboutVariant, write_about
from rollwright.campaign.collect_windows import VariantPrediction, collect_windows
from rollwright.campaign.combined_signal import combine_predictions
from rollwright.campaign.config import CampaignConfig
from rollwright.campaign.health import examine_market, examine_models, examine_plan
from rollwright.campaign.member_names import COMBINED
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, MemberPlan, Window, WindowKey
from rollwright.campaign.results_folder import (
    LABEL_FILE,
    PRED_FILE,
    summarise_results,
    variant_folder,
    write_report,
    write_variant_stage,
)
from rollwright.campaign.summary import CampaignResult, CombinedResult
from rollwright.campaign.trade_terms import make_trade_terms
from rollwright.codecs.registry import codecs
from rollwright.collect.agreement import correlate_members
from rollwright.core.atomic import write_atomically
from rollwright.core.masking import mask_secrets
from rollwright.errors import ConfigError, CoverageError, DataError, RecordError
from rollwright.market.source import DataSource
from rollwright.models.learning import Learning
from rollwright.tracking.recorder import Recorder
from rollwright.training.kept_fit import LEARNING_ARTIFACT

__all__ = [
    "find_universe",
    "make_analysis_terms",
    "make_results",
    "name_look",
    "run_stage",
]

_SHOWN: Final = 5  # windows that a finding names


def make_results(
    plan: CampaignPlan,
    recorders: Mapping[WindowKey, Recorder],
    *,
    config: CampaignConfig,
    text: str,
    source: DataSource,
    region: str,
    folder: Path,
    findings: Sequence[HealthFinding],
    facts: Sequence[tuple[str, str]],
    created: str,
    missing: Collection[WindowKey] = (),
    declared: Mapping[WindowKey, str] | None = None,
    trials: TrialBook | None = None,
    columns: pd.DataFrame | None = None,
    begin: Callable[[], None] | None = None,
) -> CampaignResult:
    """Collect, analyse, back-test, and write everything into `folder`.

    Writes ``pred.parquet`` and ``label.parquet`` (they hold no run ids and no times: the same windows give the same
    bytes), the stages ``collect/``, ``analysis/`` and, with a back-test, ``backtest/``, and made of these
    ``summary.json`` and ``report.html``, each whole or not at all. Of a campaign of several members they are those of
    the signal that is made of them; those of each member are in ``members/NAME``.

    Parameters
    ----------
    plan : CampaignPlan
    recorders : mapping of WindowKey to Recorder
        The finished recorder of every window.
    config, text : CampaignConfig, str
        The configuration, parsed, and as written: the report shows it, passwords hidden.
    source : DataSource
    region : str
        Market whose trading rules the back-test follows.
    folder : Path
    findings : sequence of HealthFinding
        What is known of the market beside its data; what plan, data and scores show is found here.
    facts : sequence of (str, str)
        Facts (key, text) for the small print of the report.
    created : str
        Time of creation, shown in the report only.
    missing : collection of WindowKey
        Windows that are left out; the results say so.
    declared : mapping of WindowKey to str, optional
        Those among them that the file declares, each with its reason; a budget left out the others.
    trials : TrialBook, optional
        Where back-tests are registered as trials; without one there are no honest numbers.
    columns : DataFrame, optional
        What the file `analysis.columns` holds.
    begin : callable, optional
        Called when everything is computed, before the first file is written.

    Raises
    ------
    CoverageError
        When predictions have missing, duplicate or unexpected rows; nothing is written then.
    """
    # 1. Collect, and prove the coverage of all variants. 2. Make one signal of them. 3. Measure and back-test each.
    # 4. Only then write: predictions and labels, the stages, what is said beside them. 5. Summary and report are made
    # of what was written, as it would be read.
    share = config.collect.max_missing_share
    if all(window.key in missing or window.key not in recorders for window in plan.windows):
        spent = "" if config.budget is None else ": the budget was used up before the first was"
        more = "" if config.budget is None else "; where that never ends one, raise the budget"
        raise CoverageError(f"no window of {plan.name} is finished{spent}", hint=f"give the same command again{more}")
    members = collect_windows(plan, recorders, source=source, max_missing_share=share, missing=frozenset(missing))
    signal = combine_predictions(plan, members, source=source, max_missing_share=share)
    predictions = members if signal is None else (signal, *members)
    judged = [
        _judge_variant(
            prediction, members, recorders, plan=plan, config=config, source=source, region=region, columns=columns
        )
        for prediction in predictions
    ]
    judged = _add_honesty(judged, plan.name, trials)
    universe = plan.universe
    names = sorted({name for part in members for name in part.pred.index.get_level_values("instrument").unique()})
    about = AboutResults(
        name=plan.name,
        title=config.report.title or plan.name,
        command=f"rollwright collect {plan.name}",
        variants=tuple(one.about for one in judged),
        findings=sort_findings(
            [
                *_examine_missing(plan, missing, declared or {}),
                *examine_plan(plan, source.calendar()),
                *examine_market(source, universe, names, plan.test_range, since=_find_start(plan)),
                *findings,
            ]
        ),
        notes=tuple(mask_secrets(note) for note in config.report.notes),
        facts=tuple(facts),
        created=created,
        config=mask_secrets(text),
        lang=config.report.lang,
        combined=None if signal is None else _describe_combination(plan, members),
        missing=tuple(str(key) for key in missing if key not in (declared or {})),
        left_out=tuple(str(key) for key in missing if key in (declared or {})),
    )
    if begin is not None:
        begin()
    for one in judged:
        place = variant_folder(folder, one.about)
        for name, frame in ((PRED_FILE, one.prediction.pred), (LABEL_FILE, one.prediction.label)):
            write_atomically(place / name, partial(codecs.for_object(frame).write, frame))
    stages = {
        one.about.name: {stage.stage: write_variant_stage(stage, about, one.about, folder) for stage in one.stages}
        for one in judged
    }
    write_about(about, folder)
    written = about, stages
    result = summarise_results(folder, hint=about.command, written=written)
    write_report(folder, hint=about.command, written=written)
    return result


def _add_honesty(judged: Sequence[_Judged], name: str, trials: TrialBook | None) -> list[_Judged]:
    """Return what was judged with honest numbers: every back-test is registered before the first one is counted."""
    back_tests = [one.stages[-1] for one in judged if one.stages[-1].stage == "backtest"]
    if trials is None or len(back_tests) < len(judged):
        return [*judged]
    looks = [name_look(name, one.about.name) for one in judged]
    made = add_honesty(back_tests, looks, trials)
    return [replace(one, stages=(*one.stages[:-1], stage)) for one, stage in zip(judged, made, strict=True)]


def name_look(campaign: str, variant: str) -> Look:
    """Return as what the back-test of a variant of a campaign is registered."""
    if variant == ONLY_VARIANT:
        return Look("member", campaign)
    return Look("combination" if variant == COMBINED else "member", f"{campaign}: {variant}")


def _describe_combination(plan: CampaignPlan, members: Sequence[VariantPrediction]) -> CombinedResult | None:
    combination = plan.combination
    if combination is None:
        return None
    table = correlate_members({member.variant: member.pred for member in members})
    return CombinedResult(
        method=combination.method,
        members=combination.members,
        label=combination.label,
        correlations={
            str(name): {
                str(other): None if math.isnan(value) else round(float(value), 6) for other, value in row.items()
            }
            for name, row in table.iterrows()
        },
    )


def _examine_missing(
    plan: CampaignPlan, missing: Collection[WindowKey], declared: Mapping[WindowKey, str]
) -> list[HealthFinding]:
    """Return that the result is partial: by a budget, or because the file declares that windows may be missing."""
    parts = {
        "partial_result": [key for key in missing if key not in declared],
        "declared_missing": [key for key in missing if key in declared],
    }
    findings = []
    for kind, keys in parts.items():
        if not keys:
            continue
        named = ", ".join(str(key) for key in keys[:_SHOWN]) + (
            f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        )
        values: dict[str, int | str] = {"windows": len(keys), "of": len(plan.windows), "names": named}
        if kind == "declared_missing":
            values["reasons"] = "; ".join(dict.fromkeys(declared[key] for key in keys))
        findings.append(HealthFinding(kind=kind, severity="serious", values=values))
    return findings


def _find_start(plan: CampaignPlan) -> Session:
    return min(start for window in plan.windows for start, _ in window.segments.values())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """One variant: its predictions, what its stages found, and where they go."""

    prediction: VariantPrediction
    about: AboutVariant
    stages: Sequence[StageResult]


def _judge_variant(
    prediction: VariantPrediction,
    members: Sequence[VariantPrediction],
    recorders: Mapping[WindowKey, Recorder],
    *,
    plan: CampaignPlan,
    config: CampaignConfig,
    source: DataSource,
    region: str,
    columns: pd.DataFrame | None,
) -> _Judged:
    """Return what the stages find of one variant; nothing is written."""
    is_signal = plan.combination is not None and prediction.variant == COMBINED
    judge = partial(
        run_stage, plan=plan, config=config, source=source, region=region, variant=prediction.variant,
        pred=prediction.pred, label=prediction.label, members={one.variant: one.pred for one in members},
        columns=columns,
    )  # fmt: skip
    analyzed = judge("analyze")
    stages = [_collect(prediction, recorders, source.calendar(), analyzed), analyzed]
    stages += [judge("backtest")] if config.backtest is not None else []
    return _Judged(
        prediction=prediction,
        about=AboutVariant(
            name=prediction.variant,
            is_top=prediction.variant == ONLY_VARIANT or is_signal,
            is_signal=is_signal,
            stages=tuple(stage.stage for stage in stages),
        ),
        stages=stages,
    )


def run_stage(
    stage: StageName,
    *,
    plan: CampaignPlan,
    config: CampaignConfig,
    source: DataSource,
    region: str,
    variant: str,
    pred: pd.DataFrame,
    label: pd.DataFrame,
    members: Mapping[str, pd.DataFrame],
    columns: pd.DataFrame | None = None,
) -> StageResult:
    """Return what one stage finds of one variant, as the campaign's file asks for it.

    Parameters
    ----------
    stage : {"analyze", "backtest"}
    plan, config, source, region
        As `make_results` takes them.
    variant : str
        A member, or `COMBINED`.
    pred, label : DataFrame
    members : mapping of str to DataFrame
        The predictions of all members.
    columns : DataFrame, optional
        What the file `analysis.columns` holds.

    Raises
    ------
    ConfigError
        For a back-test that the file does not ask for.
    """
    combination = plan.combination
    parts = None
    if combination is not None and variant == COMBINED:
        parts = {name: members[name] for name in combination.members}
    if stage == "analyze":
        return analyze(
            pred,
            label,
            terms=make_analysis_terms(plan, config, variant),
            source=source,
            members=parts,
            universe=find_universe(plan, variant),
            columns=columns,
        )
    if config.backtest is None:
        raise ConfigError(
            f"campaign {plan.name} has no back-test", hint="add a section `backtest`, and give its command again"
        )
    terms = make_trade_terms(config.backtest, region)
    judged_by = _find_judging_member(plan, variant).label
    return trade(
        pred,
        source,
        terms=terms,
        label=label,
        members=parts,
        label_span=None if judged_by is None else judged_by.span,
        is_member=combination is not None and variant != COMBINED,
    )


def _find_judging_member(plan: CampaignPlan, variant: str) -> MemberPlan:
    """Return the member whose label a variant is judged by."""
    combination = plan.combination
    return plan.find_member(combination.label if combination and variant == COMBINED else variant)


def make_analysis_terms(plan: CampaignPlan, config: CampaignConfig, variant: str) -> AnalysisTerms:
    """Return how the campaign's file has a variant judged: a member, or `COMBINED`."""
    label = _find_judging_member(plan, variant).label
    return AnalysisTerms(
        label_span=None if label is None else label.span,
        label_horizon=None if label is None else label.horizon,
        groups=config.report.groups,
        topk=None if config.backtest is None else config.backtest.topk,
        horizons=tuple(config.analysis.horizons),
        groups_by=tuple(config.analysis.groups_by),
        neutralise=tuple(config.analysis.neutralise),
    )


def find_universe(plan: CampaignPlan, variant: str) -> str | None:
    """Return the universe of a variant, a member or `COMBINED`; None where it has no name, or several."""
    if variant != COMBINED or plan.combination is None:
        return plan.find_member(variant).universe
    found = {plan.find_member(name).universe for name in plan.combination.members}
    return found.pop() if len(found) == 1 else None


def _collect(
    prediction: VariantPrediction,
    recorders: Mapping[WindowKey, Recorder],
    calendar: TradingCalendar,
    analyzed: StageResult,
) -> StageResult:
    daily = analyzed.tables["ic"].frame
    coverage = prediction.coverage
    windows = [
        _describe_window(window, recorders.get(window.key), calendar, rows=prediction.rows[window.key])
        for window in prediction.windows
    ]
    return replace(
        collect_result(
            prediction.pred,
            windows=windows,
            ic=(daily["ic"], daily["rank_ic"]),
            missing=None if coverage is None else dict(coverage.by_cause),
            expected=None if coverage is None else coverage.expected,
            predicted=None if coverage is None else coverage.predicted,
        ),
        findings=tuple(examine_models(one.best_iteration for one in windows)),
    )


def _describe_window(window: Window, recorder: Recorder | None, calendar: TradingCalendar, *, rows: int) -> WindowFacts:
    """Return what is known of a window; the signal of several members has no recorder."""
    ended = None if recorder is None else recorder.end_time
    return WindowFacts(
        window=window.key.segment,
        variant=window.key.variant,
        segments=_add_purge(window, calendar),
        rows=rows,
        best_iteration=None if recorder is None else _read_best_iteration(recorder),
        seconds=None if recorder is None or ended is None else (ended - recorder.start_time).total_seconds(),
        recorder="" if recorder is None else recorder.id,
        learning=None if recorder is None else _read_learning(recorder),
    )


def _add_purge(window: Window, calendar: TradingCalendar) -> dict[str, tuple[Session, Session]]:
    """Return the window's segments, with the sessions between training and test as ``purge``."""
    segments = dict(window.segments)
    learnt = max((end for role, (_, end) in segments.items() if role != "test"), default=None)
    if learnt is not None and calendar.distance(learnt, window.test[0]) > 1:
        segments["purge"] = (calendar.offset(learnt, 1), calendar.offset(window.test[0], -1))
    return segments


def _read_learning(recorder: Recorder) -> Learning | None:
    """Return how the model learnt; None where it did not tell, or where that is not readable."""
    if LEARNING_ARTIFACT not in recorder.list_digests():
        return None
    try:
        return Learning.from_json(recorder.load_object(LEARNING_ARTIFACT))
    except DataError:
        return None
    except RecordError as error:
        if error.is_away:
            raise
        return None


def _read_best_iteration(recorder: Recorder) -> int | None:
    value = recorder.list_metrics().get("best_iteration")
    return None if value is None else int(value)
