"""Results of a campaign: collected predictions, metrics, a back-test and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.conventions import BacktestTerms, Conventions
from rollwright.analysis.health import (
    ACCOUNT,
    HealthFinding,
    examine_account,
    examine_scores,
    findings_from_json,
    sort_findings,
)
from rollwright.analysis.health_text import describe_finding
from rollwright.analysis.metrics import (
    Metric,
    backtest_metrics,
    metrics_from_json,
    metrics_to_json,
)
from rollwright.analysis.report import CampaignReport, VariantReport, WindowRow, render_report
from rollwright.analysis.signal import calc_ic, group_returns, summarise
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import BacktestResult, backtest_topk
from rollwright.backtest.risk import periods_per_year
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.collect_windows import VariantPrediction, collect_windows
from rollwright.campaign.config import BacktestConfig, CampaignConfig
from rollwright.campaign.health import examine_market, examine_models, examine_plan
from rollwright.campaign.plan import ONLY_VARIANT, CampaignPlan, Window, WindowKey
from rollwright.codecs.registry import codecs
from rollwright.core.atomic import write_atomically, write_text
from rollwright.core.bounded_read import MEDIUM, read_text
from rollwright.core.masking import mask_secrets
from rollwright.errors import CorruptFileError, DataError, DataNotFoundError, UnknownInstrumentError, nearest
from rollwright.market.source import DataSource
from rollwright.tracking.recorder import Recorder

__all__ = [
    "CampaignResult",
    "VariantResult",
    "check_results",
    "make_results",
    "name_universe",
    "read_summary",
]

SUMMARY_FORMAT: Final = 2
PRED_FILE: Final = "pred.parquet"
LABEL_FILE: Final = "label.parquet"
SUMMARY_FILE: Final = "summary.json"
REPORT_FILE: Final = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """Results of one variant: one model for one horizon.

    Attributes
    ----------
    variant : str
    windows, days, rows : int
        Windows walked, sessions and rows predicted.
    metrics : tuple of Metric
        Of the collected prediction against the raw label and, with a ``backtest`` section, of the account.
    files : mapping of str to Path
        ``predictions`` and ``labels``.
    """

    variant: str
    windows: int
    days: int
    rows: int
    metrics: tuple[Metric, ...]
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """Results of a campaign.

    Attributes
    ----------
    name : str
    variants : tuple of VariantResult
    files : mapping of str to Path
        ``summary`` and ``report``.
    notes : tuple of str
        Remarks to read with the numbers.
    health : tuple of HealthFinding
        What has to be known before the numbers are believed, the most serious first.
    conventions : Conventions
        What the numbers count in.
    """

    name: str
    variants: tuple[VariantResult, ...]
    files: Mapping[str, Path]
    notes: tuple[str, ...]
    health: tuple[HealthFinding, ...]
    conventions: Conventions

    def to_json(self, *, beside: Path | None = None) -> dict[str, Any]:
        """Return everything as JSON: the values that the terminal and the report make their text of.

        Parameters
        ----------
        beside : Path, optional
            A folder that paths are made relative to, so that they stay true when it is moved.
        """
        return {
            "format": SUMMARY_FORMAT,
            "name": self.name,
            "health": [_finding_to_json(finding) for finding in self.health],
            "variants": {
                result.variant: {
                    "windows": result.windows,
                    "days": result.days,
                    "rows": result.rows,
                    "metrics": metrics_to_json(result.metrics, findings=self.health, variant=result.variant),
                    "files": _paths_to_json(result.files, beside),
                }
                for result in self.variants
            },
            "conventions": self.conventions.to_json(),
            "files": _paths_to_json(self.files, beside),
            "notes": list(self.notes),
        }


def _finding_to_json(finding: HealthFinding) -> dict[str, Any]:
    """Return a finding with its words in English."""
    message, hint = describe_finding(finding)
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "message": message,
        "hint": hint,
        "variant": finding.variant,
        "metrics": list(finding.metrics),
        "values": dict(finding.values),
    }


def _paths_to_json(files: Mapping[str, Path], beside: Path | None) -> dict[str, str]:
    return {name: (path.relative_to(beside) if beside else path).as_posix() for name, path in files.items()}


def read_summary(path: Path) -> CampaignResult:
    """Read what `make_results` wrote as ``summary.json``; paths come back beneath the folder it lies in now.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    CorruptFileError
        When it has a format this version does not know, or is damaged.
    """
    try:
        data = json.loads(read_text(path, limit=MEDIUM))
        found = data["format"]
    except FileNotFoundError as error:
        raise DataNotFoundError(path, "no campaign ended here", hint="run it: rollwright roll FILE") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(
            path,
            f"it is not a campaign's summary: {error}",
            hint="give the campaign's command again: it writes it anew",
        ) from error
    if found != SUMMARY_FORMAT:
        raise CorruptFileError(
            path,
            f"it has format {found!r}, and this version of rollwright reads format {SUMMARY_FORMAT}",
            hint="read it with the version that wrote it, or give the campaign's command again: it writes it anew",
        )
    try:
        return CampaignResult(
            name=data["name"],
            variants=tuple(_variant_from_json(name, part, path.parent) for name, part in data["variants"].items()),
            files={name: path.parent / file for name, file in data["files"].items()},
            notes=tuple(data["notes"]),
            health=findings_from_json(data["health"]),
            conventions=Conventions.from_json(data["conventions"]),
        )
    except (DataError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(
            path, f"a part of it is missing or of another form: {error}", hint="give the campaign's command again"
        ) from error


def _variant_from_json(name: str, part: Mapping[str, Any], folder: Path) -> VariantResult:
    return VariantResult(
        variant=name,
        windows=int(part["windows"]),
        days=int(part["days"]),
        rows=int(part["rows"]),
        metrics=metrics_from_json(part["metrics"]),
        files={name: folder / file for name, file in part["files"].items()},
    )


def name_universe(config: CampaignConfig) -> str | None:
    """Return the name of the universe that the task's handler studies; None when it lists instruments or has none."""
    handler = config.task.dataset.kwargs.get("handler")
    kwargs = handler.get("kwargs", {}) if isinstance(handler, Mapping) else {}
    instruments = kwargs.get("instruments")
    return instruments if isinstance(instruments, str) else None


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
) -> CampaignResult:
    """Collect, analyse, back-test, and write everything into `folder`.

    Writes ``pred.parquet`` and ``label.parquet`` (they hold no run ids and no times: the same windows give the same
    bytes), ``summary.json`` and ``report.html``, each whole or not at all. A campaign of several variants has the
    first two in a folder for each.

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

    Raises
    ------
    CoverageError
        When predictions have missing, duplicate or unexpected rows; nothing is written then.
    """
    # 1. Collect, and prove the coverage of all variants. 2. Measure and back-test each. 3. Only then write: predictions
    # and labels, the summary, the report.
    predictions = collect_windows(
        plan,
        recorders,
        source=source,
        universe=name_universe(config),
        max_missing_share=config.collect.max_missing_share,
    )
    judged = [
        _judge_variant(prediction, recorders, plan=plan, config=config, source=source, region=region, folder=folder)
        for prediction in predictions
    ]
    universe = name_universe(config)
    names = sorted({name for part in predictions for name in part.pred.index.get_level_values("instrument").unique()})
    conventions = _make_conventions(plan, config.backtest, judged[0].costs, source)
    result = CampaignResult(
        name=plan.name,
        variants=tuple(one.result for one in judged),
        files={"summary": folder / SUMMARY_FILE, "report": folder / REPORT_FILE},
        notes=tuple(mask_secrets(note) for note in config.report.notes),
        health=sort_findings(
            [
                *examine_plan(plan, source.calendar()),
                *examine_market(source, universe, names, plan.test_range, since=_find_start(plan)),
                *(finding for one in judged for finding in one.findings),
                *findings,
            ]
        ),
        conventions=conventions,
    )
    for prediction, outcome in zip(predictions, result.variants, strict=True):
        for path, frame in (
            (outcome.files["predictions"], prediction.pred),
            (outcome.files["labels"], prediction.label),
        ):
            write_atomically(path, partial(codecs.for_object(frame).write, frame))
    summary = json.dumps(result.to_json(beside=folder), indent=1, ensure_ascii=False)
    write_text(result.files["summary"], summary + "\n")
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
    )
    render_report(page, result.files["report"])
    return result


def _find_start(plan: CampaignPlan) -> Session:
    return min(start for window in plan.windows for start, _ in window.segments.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The results of one variant, its part of the report, its findings, and what trading cost."""

    result: VariantResult
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
    ic, ric = calc_ic(pred, label)
    metrics = summarise(ic, ric, label_span=plan.label_span).metrics()
    rows = _make_window_rows(prediction, recorders, source.calendar(), ic, ric)
    topk = None if config.backtest is None else config.backtest.topk
    findings = [
        *examine_models(row.best_iteration for row in rows),
        *examine_scores(pred, label, ic, topk=topk, label_span=plan.label_span),
    ]
    account = costs = None
    if config.backtest is not None:
        made = _backtest(pred, config.backtest, source, region)
        account, costs = made.report, made.costs
        metrics += backtest_metrics(account, periods=periods_per_year(source.freq))
        benchmark = config.backtest.benchmark
        if config.backtest.n_drop == 0:
            findings.append(HealthFinding(kind="never_sells", severity="warning", metrics=ACCOUNT))
        findings += examine_account(account, benchmark=benchmark, benchmark_gaps=made.benchmark_gaps)
    place = folder if prediction.variant == ONLY_VARIANT else folder / prediction.variant
    result = VariantResult(
        variant=prediction.variant,
        windows=len(prediction.windows),
        days=int(pred.index.get_level_values("datetime").nunique()),
        rows=len(pred),
        metrics=metrics,
        files={"predictions": place / PRED_FILE, "labels": place / LABEL_FILE},
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
        coverage=dict(coverage.by_cause) if coverage else {},
        expected_rows=coverage.expected if coverage else None,
        predicted_rows=coverage.predicted if coverage else None,
    )
    only = prediction.variant == ONLY_VARIANT
    return _Judged(
        result=result,
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
            limit_threshold=costs.limit_threshold,
        )
    return Conventions(
        days_per_year=periods_per_year(source.freq),
        label_horizon=None if plan.label is None else plan.label.horizon,
        label_span=plan.label_span,
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
        recorder = recorders[window.key]
        ended = recorder.end_time
        rows.append(
            WindowRow(
                name=window.key.segment,
                segments=_add_purge(window, calendar),
                rows=prediction.rows[window.key],
                ic=float(ic.loc[start:end].mean()),
                rank_ic=float(ric.loc[start:end].mean()),
                best_iteration=_read_best_iteration(recorder),
                seconds=(ended - recorder.start_time).total_seconds() if ended is not None else None,
                recorder=recorder.id,
            )
        )
    return rows


def _add_purge(window: Window, calendar: TradingCalendar) -> dict[str, tuple[Session, Session]]:
    """Return the window's segments, with the sessions between training and test as ``purge``."""
    segments = dict(window.segments)
    learnt = max(end for role, (_, end) in segments.items() if role != "test")
    if calendar.distance(learnt, window.test[0]) > 1:
        segments["purge"] = (calendar.offset(learnt, 1), calendar.offset(window.test[0], -1))
    return segments


def _read_best_iteration(recorder: Recorder) -> int | None:
    value = recorder.list_metrics().get("best_iteration")
    return None if value is None else int(value)
