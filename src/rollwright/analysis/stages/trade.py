"""The stage `backtest`: what a signal would have earned, traded day by day, and every order of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Final

import pandas as pd

from rollwright.analysis.examination import examine_account
from rollwright.analysis.health import ACCOUNT, HealthFinding
from rollwright.analysis.indicators import list_orders, trade_indicators
from rollwright.analysis.metrics import backtest_metrics
from rollwright.analysis.panel import Frame, take_column
from rollwright.analysis.stages.honesty import HONESTY_TABLE
from rollwright.analysis.stages.portfolio_makers import PORTFOLIO_MAKERS
from rollwright.analysis.stages.table import (
    ColumnUnit,
    Made,
    ResultTable,
    StageResult,
    TableMaker,
    list_tables,
    make_tables,
)
from rollwright.analysis.stages.trade_inputs import TradeInputs, TradeTerms
from rollwright.backtest.daily import run_inputs
from rollwright.backtest.risk import periods_per_year
from rollwright.market.source import DataSource

__all__ = ["BACKTEST_MAKERS", "BACKTEST_TABLES", "TradeInputs", "TradeTerms", "trade"]


def trade(
    pred: Frame,
    source: DataSource,
    *,
    terms: TradeTerms,
    label: Frame | None = None,
    members: Mapping[str, Frame] | None = None,
    label_span: int | None = None,
    is_member: bool = False,
) -> StageResult:
    """Back-test a signal; no file of results is read or written.

    Parameters
    ----------
    pred : DataFrame or Series
        Scores by (datetime, instrument), of a frame the first column, each known after the close of its session.
    source : DataSource
    terms : TradeTerms
    label, members, label_span, is_member
        As `TradeInputs` has them; tables that need one that is not given are left out.

    Returns
    -------
    StageResult
        Its tables are those of `BACKTEST_TABLES`. `settings` has the terms as they were applied (without factors,
        without lots), and ``days_per_year``.

    Raises
    ------
    DataError
        And whatever else `rollwright.backtest.daily.backtest` raises.
    """
    scores = take_column(pred, what="prediction")
    inputs = terms.load(scores, source)
    made = run_inputs(inputs)
    periods = periods_per_year(source.freq)
    given = TradeInputs(
        pred=scores,
        source=source,
        terms=terms,
        inputs=inputs,
        made=made,
        periods=periods,
        label=None if label is None else take_column(label, what="label"),
        members=None if members is None else {name: take_column(one, what=name) for name, one in members.items()},
        label_span=label_span,
        is_member=is_member,
    )
    settings = {**terms.to_json(), "costs": asdict(made.costs), "days_per_year": periods}
    found = make_tables("backtest", BACKTEST_MAKERS, given, settings=settings)
    return replace(found, left_out={**found.left_out, HONESTY_TABLE: "it was not registered as a trial"})


_ACCOUNT: Final[dict[str, ColumnUnit]] = {
    "account": "currency",
    "return": "fraction_per_session",
    "total_turnover": "currency",
    "turnover": "fraction_per_session",
    "total_cost": "currency",
    "cost": "fraction_per_session",
    "value": "currency",
    "cash": "currency",
    "bench": "fraction_per_session",
}
_POSITIONS: Final[dict[str, ColumnUnit]] = {
    "amount": "shares",
    "price": "price",
    "value": "currency",
    "weight": "fraction",
}
_TRADES: Final[dict[str, ColumnUnit]] = {
    "side": "text",
    "amount": "shares",
    "price": "price",
    "value": "currency",
    "cost": "currency",
}
_UNFILLED: Final[dict[str, ColumnUnit]] = {
    "side": "text",
    "reason": "text",
    "wanted_amount": "shares",
    "wanted_value": "currency",
    "made_amount": "shares",
}
_INDICATORS: Final[dict[str, ColumnUnit]] = {
    "ffr": "fraction",
    "pa": "fraction",
    "pos": "fraction",
    "deal_amount": "shares",
    "value": "currency",
    "count": "count",
}


def _make_account(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    made, terms = given.made, given.terms
    stuck = [HealthFinding(kind="never_sells", severity="warning", metrics=ACCOUNT)] if terms.n_drop == 0 else []
    return Made(
        tables=(ResultTable(name="account", frame=made.report, units=_ACCOUNT),),
        metrics=backtest_metrics(made.report, periods=given.periods),
        findings=(
            *stuck,
            *examine_account(made.report, benchmark=terms.benchmark, benchmark_gaps=made.benchmark_gaps),
        ),
    )


def _make_orders(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    made = given.made
    indicators = trade_indicators(list_orders(made), pd.DatetimeIndex(made.report.index))
    return Made(
        tables=(
            ResultTable(name="positions", frame=made.positions, units=_POSITIONS),
            ResultTable(name="trades", frame=made.trades, units=_TRADES),
            ResultTable(name="unfilled", frame=made.unfilled, units=_UNFILLED),
            ResultTable(name="indicators", frame=indicators, units=_INDICATORS),
        )
    )


BACKTEST_MAKERS: Final[tuple[TableMaker[TradeInputs], ...]] = (
    TableMaker(tables=("account",), make=_make_account, required=True),
    TableMaker(tables=("positions", "trades", "unfilled", "indicators"), make=_make_orders, required=True),
    *PORTFOLIO_MAKERS,
)
"""Every maker of the stage, in order: a new table is a function, and a line here."""

BACKTEST_TABLES: Final = (*list_tables(BACKTEST_MAKERS), HONESTY_TABLE)
"""The tables of the stage; the last is made by `add_honesty`, once all signals of a result are back-tested."""
