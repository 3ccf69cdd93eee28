"""Results of a campaign: collected predictions, metrics, a back-test and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.metrics import (
    Metric,
    backtest_metrics,
    metrics_from_json,
    metrics_to_json,
)
from rollwright.analysis.report import CampaignReport, VariantReport, WindowRow, render_report
from rollwright.analysis.signal import calc_ic, group_returns, summarise
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest_topk
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.collect_windows import VariantPrediction, collect_windows
from rollwright.campaign.config import BacktestConfig, CampaignConfig
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

SUMMARY_FORMAT: Final = 1
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
        Warnings to read with the numbers.
    """

    name: str
    variants: tuple[VariantResult, ...]
    files: Mapping[str, Path]
    notes: tuple[str, ...]

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
            "variants": {
                result.variant: {
                    "windows": result.windows,
                    "days": result.days,
                    "rows": result.rows,
                    "metrics": metrics_to_json(result.metrics),
                    "files": _paths_to_json(result.files, beside),
                }
                for result in self.variants
            },
            "files": _paths_to_json(self.files, beside),
            "notes": list(self.notes),
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
    notes: Sequence[str],
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
    notes, facts : sequences
        Warnings, and facts (key, text) for the small print of the report.
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
        _judge_variant(prediction, recorders, config=config, source=source, region=region, folder=folder)
        for prediction in predictions
    ]
    result = CampaignResult(
        name=plan.name,
        variants=tuple(outcome for outcome, _ in judged),
        files={"summary": folder / SUMMARY_FILE, "report": folder / REPORT_FILE},
        notes=tuple(mask_secrets(note) for note in (*notes, *config.report.notes)),
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
        variants=[shown for _, shown in judged],
        facts=facts,
        created=created,
        notes=result.notes,
        config=mask_secrets(text),
        lang=config.report.lang,
    )
    render_report(page, result.files["report"])
    return result


def _judge_variant(
    prediction: VariantPrediction,
    recorders: Mapping[WindowKey, Recorder],
    *,
    config: CampaignConfig,
    source: DataSource,
    region: str,
    folder: Path,
) -> tuple[VariantResult, VariantReport]:
    """Return the results of one variant and its part of the report; nothing is written."""
    pred, label = prediction.pred, prediction.label
    ic, ric = calc_ic(pred, label)
    metrics = summarise(ic, ric).metrics()
    account = None
    if config.backtest is not None:
        account = _backtest(pred, config.backtest, source, region)
        metrics += backtest_metrics(account)
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
        windows=_make_window_rows(prediction, recorders, source.calendar(), ic, ric),
        ic=pd.DataFrame({"ic": ic, "ric": ric}),
        groups=group_returns(pred, label, config.report.groups),
        backtest=account,
        coverage=dict(coverage.by_cause) if coverage else {},
        expected_rows=coverage.expected if coverage else None,
        predicted_rows=coverage.predicted if coverage else None,
    )
    return result, report


def _backtest(pred: pd.DataFrame, config: BacktestConfig, source: DataSource, region: str) -> pd.DataFrame:
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
    ).report


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
