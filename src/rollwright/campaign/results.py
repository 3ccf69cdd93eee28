"""What is made of a campaign's predictions: files, numbers, an account, a report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from rollwright.analysis.report import CampaignReport, WindowRow, render_report
from rollwright.analysis.signal import SignalSummary, calc_ic, group_returns, summarise
from rollwright.backtest.costs import Costs
from rollwright.backtest.daily import backtest_topk
from rollwright.backtest.risk import risk_analysis
from rollwright.backtest.topk_dropout import TopkDropoutStrategy
from rollwright.calendar.trading import Session, TradingCalendar
from rollwright.campaign.collect_windows import VariantPrediction, collect_windows
from rollwright.campaign.config import BacktestConfig, CampaignConfig
from rollwright.campaign.plan import CampaignPlan, Window, WindowKey
from rollwright.codecs.registry import codecs
from rollwright.core.atomic import write_atomically, write_text
from rollwright.errors import UnknownInstrumentError, nearest
from rollwright.market.source import DataSource
from rollwright.tracking.recorder import Recorder

__all__ = ["CampaignResult", "check_finish", "finish", "universe_of"]

PRED_FILE: Final = "pred.parquet"
LABEL_FILE: Final = "label.parquet"
SUMMARY_FILE: Final = "summary.json"
REPORT_FILE: Final = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """What a campaign came to.

    Attributes
    ----------
    name : str
    windows, days, rows : int
        Windows walked, sessions and rows predicted.
    signal : SignalSummary
        IC and Rank IC of the collected prediction against the raw label.
    backtest : mapping of str to float
        Empty without a ``backtest`` section.
    files : mapping of str to Path
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    name: str
    windows: int
    days: int
    rows: int
    signal: SignalSummary
    backtest: Mapping[str, float]
    files: Mapping[str, Path]
    notes: tuple[str, ...]

    def headline(self) -> list[tuple[str, str]]:
        """Return the numbers that matter, as (name, text)."""
        signal = self.signal
        rows = [
            ("IC", f"{signal.ic:.4f} ± {signal.ic_error:.4f}"),
            ("ICIR", f"{signal.icir:.4f}"),
            ("Rank IC", f"{signal.rank_ic:.4f} ± {signal.rank_ic_error:.4f}"),
            ("Rank ICIR", f"{signal.rank_icir:.4f}"),
        ]
        percent = {"annualized return", "excess return", "max drawdown", "turnover per day"}
        rows += [(name, f"{value:.2%}" if name in percent else f"{value:.3f}") for name, value in self.backtest.items()]
        return rows

    def summary(self, *, beside: Path | None = None) -> dict[str, Any]:
        """Return everything as JSON: the same numbers as the terminal and the report show.

        Parameters
        ----------
        beside : Path, optional
            A folder that paths are told relative to, so that they stay true when it is moved.
        """
        return {
            "name": self.name,
            "windows": self.windows,
            "days": self.days,
            "rows": self.rows,
            "signal": {
                name: _number(getattr(self.signal, name))
                for name in ("ic", "ic_error", "icir", "rank_ic", "rank_ic_error", "rank_icir", "days")
            },
            "backtest": {name: _number(value) for name, value in self.backtest.items()},
            "files": {name: str(path.relative_to(beside) if beside else path) for name, path in self.files.items()},
            "notes": list(self.notes),
        }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def universe_of(config: CampaignConfig) -> str | None:
    """Return the name of the universe that the task's handler studies; None when it lists instruments or has none."""
    handler = config.task.dataset.kwargs.get("handler")
    kwargs = handler.get("kwargs", {}) if isinstance(handler, Mapping) else {}
    instruments = kwargs.get("instruments")
    return instruments if isinstance(instruments, str) else None


def check_finish(config: CampaignConfig, source: DataSource) -> None:
    """Refuse, before anything is trained, what `finish` could only refuse after all of it.

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


def finish(
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
    bytes), ``summary.json`` and ``report.html``, each whole or not at all.

    Parameters
    ----------
    plan : CampaignPlan
    recorders : mapping of WindowKey to Recorder
        By window, all of them.
    config, text : CampaignConfig, str
        What was asked, read and as written.
    source : DataSource
    region : str
        Whose trading rules the back-test follows.
    folder : Path
    notes, facts : sequences
        What the caller knows beside the numbers: warnings, and small print for the report.
    created : str
        When, for the report only.

    Raises
    ------
    CoverageError
        When the predictions have holes; nothing is written then.
    """
    (gathered,) = collect_windows(
        plan,
        recorders,
        source=source,
        universe=universe_of(config),
        max_missing_share=config.collect.max_missing_share,
    )
    ic, ric = calc_ic(gathered.pred, gathered.label)
    signal = summarise(ic, ric)
    report, account = _backtest(gathered, config.backtest, source, region)
    files = {name: folder / name for name in (PRED_FILE, LABEL_FILE, SUMMARY_FILE, REPORT_FILE)}
    result = CampaignResult(
        name=plan.name,
        windows=len(plan.windows),
        days=int(gathered.pred.index.get_level_values("datetime").nunique()),
        rows=len(gathered.pred),
        signal=signal,
        backtest=account,
        files={"predictions": files[PRED_FILE], "summary": files[SUMMARY_FILE], "report": files[REPORT_FILE]},
        notes=(*notes, *config.report.notes),
    )
    for name, frame in ((PRED_FILE, gathered.pred), (LABEL_FILE, gathered.label)):
        write_atomically(files[name], partial(codecs.for_object(frame).write, frame))
    write_text(files[SUMMARY_FILE], json.dumps(result.summary(beside=folder), indent=1, ensure_ascii=False) + "\n")
    page = CampaignReport(
        name=config.report.title or plan.name,
        headline=result.headline(),
        facts=[("windows", str(result.windows)), ("days", str(result.days)), *facts],
        created=created,
        windows=_window_rows(plan, recorders, gathered, source.calendar(), ic, ric),
        ic=pd.DataFrame({"ic": ic, "ric": ric}),
        groups=group_returns(gathered.pred, gathered.label, config.report.groups),
        backtest=report,
        coverage=dict(gathered.coverage.by_cause) if gathered.coverage else {},
        expected_rows=gathered.coverage.expected if gathered.coverage else None,
        predicted_rows=gathered.coverage.predicted if gathered.coverage else None,
        notes=result.notes,
        config=text,
        lang=config.report.lang,
    )
    render_report(page, files[REPORT_FILE])
    return result


def _backtest(
    gathered: VariantPrediction, config: BacktestConfig | None, source: DataSource, region: str
) -> tuple[pd.DataFrame | None, dict[str, float]]:
    if config is None:
        return None, {}
    usual = Costs.of_region(region)
    costs = replace(
        usual,
        open_cost=usual.open_cost if config.open_cost is None else config.open_cost,
        close_cost=usual.close_cost if config.close_cost is None else config.close_cost,
        min_cost=usual.min_cost if config.min_cost is None else config.min_cost,
    )
    done = backtest_topk(
        gathered.pred,
        source,
        topk=config.topk,
        n_drop=config.n_drop,
        costs=costs,
        account=config.account,
        benchmark=config.benchmark,
    )
    report = done.report
    net = report["return"] - report["cost"]
    excess = net - report["bench"]
    whole, beyond = risk_analysis(net)["risk"], risk_analysis(excess)["risk"]
    return report, {
        "annualized return": float(whole["annualized_return"]),
        "excess return": float(beyond["annualized_return"]),
        "information ratio": float(beyond["information_ratio"]),
        "max drawdown": float(whole["max_drawdown"]),
        "turnover per day": float(report["turnover"].mean()),
    }


def _window_rows(
    plan: CampaignPlan,
    recorders: Mapping[WindowKey, Recorder],
    gathered: VariantPrediction,
    calendar: TradingCalendar,
    ic: pd.Series,
    ric: pd.Series,
) -> list[WindowRow]:
    rows = []
    for window in plan.windows:
        start, end = window.test
        recorder = recorders[window.key]
        ended = recorder.end_time
        rows.append(
            WindowRow(
                name=window.name,
                segments=_with_purge(window, calendar),
                rows=gathered.rows[window.key],
                ic=float(ic.loc[start:end].mean()),
                rank_ic=float(ric.loc[start:end].mean()),
                best_iteration=_best_iteration(recorder),
                seconds=(ended - recorder.start_time).total_seconds() if ended is not None else None,
                recorder=recorder.id,
            )
        )
    return rows


def _with_purge(window: Window, calendar: TradingCalendar) -> dict[str, tuple[Session, Session]]:
    """Return the window's segments and the sessions left out between learning and test."""
    segments = dict(window.segments)
    learnt = max(end for role, (_, end) in segments.items() if role != "test")
    if calendar.distance(learnt, window.test[0]) > 1:
        segments["purge"] = (calendar.offset(learnt, 1), calendar.offset(window.test[0], -1))
    return segments


def _best_iteration(recorder: Recorder) -> int | None:
    value = recorder.list_metrics().get("best_iteration")
    return None if value is None else int(value)
