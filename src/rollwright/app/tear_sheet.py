"""A tear sheet of any signal: the report that the commands make, as a value that a notebook shows."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rollwright.analysis.given_signal import KnownLabel, arrange_signal, find_label
from rollwright.analysis.health import HealthFinding
from rollwright.analysis.metrics import Metric
from rollwright.analysis.panel import Frame
from rollwright.analysis.report import CampaignReport, render_report, report_html
from rollwright.app.given_signal import GivenSignal, SignalOptions, judge_signal
from rollwright.campaign.results_folder import join_stages, make_page
from rollwright.config.context import Context, current_context
from rollwright.market.source import DataSource

__all__ = ["TearSheet", "tear_sheet"]

_FRAME = '<iframe title="{title}" style="width:100%;height:60em;border:0" srcdoc="{page}"></iframe>'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TearSheet:
    """What is found of a signal; a notebook shows it as the report.

    Attributes
    ----------
    metrics : tuple of Metric
    findings : tuple of HealthFinding
        What has to be known before the numbers are believed, the most serious first.
    tables : mapping of str to DataFrame
        Those of all stages, by their names.
    left_out : mapping of str to str
        The tables that were not made, each with the reason.
    page : CampaignReport
        What the report shows.
    """

    metrics: tuple[Metric, ...]
    findings: tuple[HealthFinding, ...]
    tables: Mapping[str, pd.DataFrame]
    left_out: Mapping[str, str]
    page: CampaignReport

    def _repr_html_(self) -> str:
        """Return the report in a frame of its own, so that its styles stay within it."""
        title = html.escape(self.page.name, quote=True)
        return _FRAME.format(title=title, page=html.escape(report_html(self.page), quote=True))

    def save(self, path: str | Path) -> Path:
        """Write the report as one HTML file, whole or not at all, and return its path."""
        return render_report(self.page, Path(path))


def tear_sheet(
    pred: Frame,
    label: str | Frame | None = None,
    *,
    source: DataSource | None = None,
    title: str = "signal",
    groups: int = 5,
    label_span: int | None = None,
    label_horizon: int | None = None,
    backtest: bool = True,
    topk: int = 50,
    n_drop: int = 5,
    account: float = 1e8,
    benchmark: str = "mean",
    mode: Literal["strict", "qlib"] = "strict",
    deal_price: str | tuple[str, str] = "close",
    risk_free: float = 0.0,
    hold_thresh: int = 1,
    risk_degree: float = 0.95,
    only_tradable: bool = False,
    forbid_all_trade_at_limit: bool = True,
) -> TearSheet:
    """Judge a signal, and trade it day by day; nothing is written, and nothing counts as a trial.

    Parameters
    ----------
    pred : DataFrame or Series
        Scores with date and instrument, as the index (datetime, instrument) or as columns. Each is taken as known
        after the close of its date, and is traded on the session after.
    label : str, DataFrame or Series, optional
        An expression, the path of a file, or the labels; that of `Alpha158` if not given.
    source : DataSource, optional
        The market of the current context if not given.
    title : str
    groups : int
        Score groups.
    label_span, label_horizon : int, optional
        Of labels that are no expression: sessions of future that they read, sessions over which their return runs.
    backtest : bool
        Whether it is traded, under the terms that follow; costs are those of the settings' region.
    topk, n_drop, account, benchmark, mode, deal_price, risk_free, hold_thresh, risk_degree
        As in the section ``backtest`` of a campaign's file.
    only_tradable, forbid_all_trade_at_limit
        As there.

        .. warning:: **Look-ahead.** `only_tradable` ranks only what can be traded on the session of the trade, which is
           not known when the orders are made.

    Returns
    -------
    TearSheet

    Raises
    ------
    RollwrightError
        When the scores are no table of them, or the market has no such instruments or sessions.
    """
    here = current_context()
    context = here if source is None else Context(settings=here.settings, market=source)
    trade: dict[str, Any] = {
        "topk": topk,
        "n_drop": n_drop,
        "account": account,
        "benchmark": benchmark,
        "mode": mode,
        "deal_price": deal_price if isinstance(deal_price, str) else list(deal_price),
        "risk_free": risk_free,
        "hold_thresh": hold_thresh,
        "risk_degree": risk_degree,
        "only_tradable": only_tradable,
        "forbid_all_trade_at_limit": forbid_all_trade_at_limit,
    }
    scores = arrange_signal(pred, where="the prediction")
    known: KnownLabel | None = None
    if label is not None and not isinstance(label, str):
        known = find_label(label, scores, None, span=label_span, horizon=label_horizon)
    signal = GivenSignal(
        name=title, pred=scores, label=known, context=context, facts=(), look=None, command="tear_sheet(pred)"
    )
    options = SignalOptions(
        label=label if isinstance(label, str) else None,
        label_span=label_span,
        label_horizon=label_horizon,
        groups=groups,
        trade=trade,
    )
    about, stages = judge_signal(signal, ("analyze", "backtest") if backtest else ("analyze",), options, out=None)
    found = {about.variants[0].name: stages}
    result = join_stages(about, found, None)
    return TearSheet(
        metrics=result.variants[0].metrics,
        findings=result.health,
        tables={name: table.frame for stage in stages.values() for name, table in stage.tables.items()},
        left_out={name: reason for stage in stages.values() for name, reason in stage.left_out.items()},
        page=make_page(about, found),
    )
