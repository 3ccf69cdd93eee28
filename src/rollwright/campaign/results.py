"""Results of a campaign: collected predictions, metrics, a back-test and a report."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd

from rollwright.analysis.conventions import BacktestTerms, Conventions
from rollwright.analysis.examination import examine_account, examine_scores
from rollwright.analysis.health import ACCOUNT, HealthFinding, sort_findings
from rollwright.analysis.metrics import backtest_metrics
from rollwright.analysis.order_counts import count_orders
from rollwright.analysis.report import CampaignReport, VariantReport, WindowRow, render_report
from rollwright.analysis.signal import calc_ic, group_returns, summarise
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import BacktestResult, backtest_topk
from rollwright.backtest.risk import periods_per_year
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.collect_windows import VariantPrediction, collect_windows
from rollwright.campaign.combined_signal import combine_predictions
from rollwright.campaign.config import BacktestConfig, CampaignConfig
from rollwright.campaign.health import examine_market, examine_models, examine_plan
from rollwright.campaign.member_names import COMBINED
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, Window, WindowKey
from rollwright.campaign.summary import SUMMARY_FILE, CampaignResult, CombinedResult, VariantResult, write_summary
from rollwright.codecs.registry import codecs
from rollwright.collect.agreement import correlate_members
from rollwright.core.atomic import write_atomically
from rollwright.core.masking import mask_secrets
from rollwright.errors import CoverageError, UnknownInstrumentError, nearest
from rollwright.market.source import DataSource
from rollwright.tracking.recorder import Recorder

__all__ = [
    "LABEL_FILE",
    "PRED_FILE",
    "TRADES_FILE",
    "UNFILLED_FILE",
    "check_results",
    "make_results",
    "member_folder",
]

PRED_FILE: Final = "pred.parquet"
LABEL_FILE: Final = "label.parquet"
TRADES_FILE: Final = "trades.parquet"
UNFILLED_FILE: Final = "unfilled.parquet"
REPORT_FILE: Final = "report.html"
MEMBERS_FOLDER: Final = "members"
_SHOWN: Final = 5  # windows that a finding names


def member_folder(results: Path, name: str) -> Path:
    """Return where in the results of a campaign of several members those of one are."""
    return results / MEMBERS_FOLDER / name


def check_results(config: CampaignConfig, source: DataSource) -> None:
    """Check before training what would make `make_results` fail after it.

    Raises
    ------
    ConfigError
        When `topk` and `n_drop` do not go together.
    UnknownInstrumentError
        When the market data have no such benchmark.
    """
    if config.backtest is None:
        return
    TopkDropoutStrategy(topk=config.backtest.topk, n_drop=config.backtest.n_drop)
    benchmark = config.backtest.benchmark
    known = source.instruments()
    if benchmark != "mean" and benchmark not in known:
        near = nearest(benchmark, known)
        raise UnknownInstrumentError(
            f"there is no instrument `{benchmark}` to be the back-test's benchmark",
            hint=f"did you mean `{near}`?" if near else "take `mean`, or a code of `rollwright data info`",
        )


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
) -> CampaignResult:
    """Collect, analyse, back-test, and write everything into `folder`.

    Writes ``pred.parquet`` and ``label.parquet``, with a back-test also ``trades.parquet`` and ``unfilled.parquet``
    (they hold no run ids and no times: the same windows give the same bytes), ``summary.json`` and ``report.html``,
    each whole or not at all. Of a campaign of several members the tables are those of the signal that is made of them;
    those of each member are in ``members/NAME``.

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

    Raises
    ------
    CoverageError
        When predictions have missing, duplicate or unexpected rows; nothing is written then.
    """
    # 1. Collect, and prove the coverage of all variants. 2. Make one signal of them. 3. Measure and back-test each.
    # 4. Only then write: predictions and labels, the summary, the report.
    share = config.collect.max_missing_share
    if all(window.key in missing or window.key not in recorders for window in plan.windows):
        spent = "" if config.budget is None else ": the budget was used up before the first was"
        more = "" if config.budget is None else "; where that never ends one, raise the budget"
        raise CoverageError(f"no window of {plan.name} is finished{spent}", hint=f"give the same command again{more}")
    members = collect_windows(plan, recorders, source=source, max_missing_share=share, missing=frozenset(missing))
    signal = combine_predictions(plan, members, source=source, max_missing_share=share)
    predictions = members if signal is None else (signal, *members)
    combined = None if signal is None else _describe_combination(plan, members)
    judged = [
        _judge_variant(prediction, recorders, plan=plan, config=config, source=source, region=region, folder=folder)
        for prediction in predictions
    ]
    universe = plan.universe
    names = sorted({name for part in members for name in part.pred.index.get_level_values("instrument").unique()})
    conventions = _make_conventions(plan, config.backtest, judged[0].costs, source)
    result = CampaignResult(
        name=plan.name,
        variants=tuple(one.result for one in judged),
        files={"summary": folder / SUMMARY_FILE, "report": folder / REPORT_FILE},
        notes=tuple(mask_secrets(note) for note in config.report.notes),
        health=sort_findings(
            [
                *_examine_missing(plan, missing, declared or {}),
                *examine_plan(plan, source.calendar()),
                *examine_market(source, universe, names, plan.test_range, since=_find_start(plan)),
                *(finding for one in judged for finding in one.findings),
                *findings,
            ]
        ),
        conventions=conventions,
        combined=combined,
        missing=tuple(str(key) for key in missing if key not in (declared or {})),
        left_out=tuple(str(key) for key in missing if key in (declared or {})),
    )
    for one in judged:
        for name, frame in one.tables.items():
            write_atomically(one.result.files[name], partial(codecs.for_object(frame).write, frame))
    write_summary(result, result.files["summary"])
    page = CampaignReport(
        name=config.report.title or plan.name,
        variants=[one.report for one in judged],
        facts=facts,
        created=created,
        notes=result.notes,
        health=result.health,
        conventions=conventions,
        config=mask_secrets(text),
        lang=config.report.lang,
        correlations={} if combined is None else combined.correlations,
    )
    render_report(page, result.files["report"])
    return result


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The results of one variant, its tables, its part of the report, its findings, and what trading cost."""

    result: VariantResult
    tables: Mapping[str, pd.DataFrame]
    report: VariantReport
    findings: list[HealthFinding]
    costs: Costs | None


def _judge_variant(
    prediction: VariantPrediction,
    recorders: Mapping[WindowKey, Recorder],
    *,
    plan: CampaignPlan,
    config: CampaignConfig,
    source: DataSource,
    region: str,
    folder: Path,
) -> _Judged:
    """Return the results of one variant, its part of the report and its findings; nothing is written."""
    pred, label = prediction.pred, prediction.label
    combination = plan.combination
    is_signal = combination is not None and prediction.variant == COMBINED
    span = plan.find_member(combination.label if combination and is_signal else prediction.variant).label_span
    ic, ric = calc_ic(pred, label)
    metrics = summarise(ic, ric, label_span=span).metrics()
    rows = _make_window_rows(prediction, recorders, source.calendar(), ic, ric)
    topk = None if config.backtest is None else config.backtest.topk
    findings = [
        *examine_models(row.best_iteration for row in rows),
        *examine_scores(pred, label, ic, topk=topk, label_span=span),
    ]
    account = costs = orders = None
    tables = {"predictions": (PRED_FILE, pred), "labels": (LABEL_FILE, label)}
    if config.backtest is not None:
        made = _backtest(pred, config.backtest, source, region)
        account, costs = made.report, made.costs
        tables |= {"trades": (TRADES_FILE, made.trades), "unfilled": (UNFILLED_FILE, made.unfilled)}
        orders = count_orders(made.trades, made.unfilled)
        metrics += backtest_metrics(account, periods=periods_per_year(source.freq))
        benchmark = config.backtest.benchmark
        if config.backtest.n_drop == 0:
            findings.append(HealthFinding(kind="never_sells", severity="warning", metrics=ACCOUNT))
        findings += examine_account(account, benchmark=benchmark, benchmark_gaps=made.benchmark_gaps)
    only = prediction.variant == ONLY_VARIANT
    place = folder if only or is_signal else member_folder(folder, prediction.variant)
    result = VariantResult(
        variant=prediction.variant,
        windows=len(prediction.windows),
        days=int(pred.index.get_level_values("datetime").nunique()),
        rows=len(pred),
        metrics=metrics,
        files={name: place / file for name, (file, _) in tables.items()},
    )
    coverage = prediction.coverage
    report = VariantReport(
        name=prediction.variant,
        metrics=metrics,
        days=result.days,
        windows=rows,
        ic=pd.DataFrame({"ic": ic, "ric": ric}),
        groups=group_returns(pred, label, config.report.groups),
        backtest=account,
        orders=orders,
        coverage=dict(coverage.by_cause) if coverage else {},
        expected_rows=coverage.expected if coverage else None,
        predicted_rows=coverage.predicted if coverage else None,
        is_signal=is_signal,
    )
    return _Judged(
        result=result,
        tables={name: table for name, (_, table) in tables.items()},
        report=report,
        findings=findings if only else [replace(finding, variant=prediction.variant) for finding in findings],
        costs=costs,
    )


def _backtest(pred: pd.DataFrame, config: BacktestConfig, source: DataSource, region: str) -> BacktestResult:
    usual = Costs.for_region(region)
    costs = replace(
        usual,
        open_cost=usual.open_cost if config.open_cost is None else config.open_cost,
        close_cost=usual.close_cost if config.close_cost is None else config.close_cost,
        min_cost=usual.min_cost if config.min_cost is None else config.min_cost,
    )
    return backtest_topk(
        pred,
        source,
        topk=config.topk,
        n_drop=config.n_drop,
        costs=costs,
        account=config.account,
        benchmark=config.benchmark,
    )


def _make_conventions(
    plan: CampaignPlan, config: BacktestConfig | None, costs: Costs | None, source: DataSource
) -> Conventions:
    terms = None
    if config is not None and costs is not None:
        terms = BacktestTerms(
            topk=config.topk,
            n_drop=config.n_drop,
            account=config.account,
            benchmark=config.benchmark,
            open_cost=costs.open_cost,
            close_cost=costs.close_cost,
            min_cost=costs.min_cost,
            trade_unit=costs.trade_unit,
            limit_threshold=None if isinstance(costs.limit_threshold, tuple) else costs.limit_threshold,
        )
    label = plan.label if plan.combination is None else plan.find_member(plan.combination.label).label
    return Conventions(
        days_per_year=periods_per_year(source.freq),
        label_horizon=None if label is None else label.horizon,
        label_span=None if label is None else label.span,
        backtest=terms,
    )


def _make_window_rows(
    prediction: VariantPrediction,
    recorders: Mapping[WindowKey, Recorder],
    calendar: TradingCalendar,
    ic: pd.Series,
    ric: pd.Series,
) -> list[WindowRow]:
    rows = []
    for window in prediction.windows:
        start, end = window.test
        recorder = recorders.get(window.key)  # the signal of several members has none
        ended = None if recorder is None else recorder.end_time
        rows.append(
            WindowRow(
                name=window.key.segment,
                segments=_add_purge(window, calendar),
                rows=prediction.rows[window.key],
                ic=float(ic.loc[start:end].mean()),
                rank_ic=float(ric.loc[start:end].mean()),
                best_iteration=None if recorder is None else _read_best_iteration(recorder),
                seconds=(ended - recorder.start_time).total_seconds()
                if recorder is not None and ended is not None
                else None,
                recorder="" if recorder is None else recorder.id,
            )
        )
    return rows


def _add_purge(window: Window, calendar: TradingCalendar) -> dict[str, tuple[Session, Session]]:
    """Return the window's segments, with the sessions between training and test as ``purge``."""
    segments = dict(window.segments)
    learnt = max((end for role, (_, end) in segments.items() if role != "test"), default=None)
    if learnt is not None and calendar.distance(learnt, window.test[0]) > 1:
        segments["purge"] = (calendar.offset(learnt, 1), calendar.offset(window.test[0], -1))
    return segments


def _read_best_iteration(recorder: Recorder) -> int | None:
    value = recorder.list_metrics().get("best_iteration")
    return None if value is None else int(value)
