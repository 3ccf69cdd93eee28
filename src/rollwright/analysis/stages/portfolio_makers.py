"""Makers of the stage `backtest`: risk, and what the result hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from rollwright.analysis.capacity import capacity_curve
from rollwright.analysis.inert_settings import find_inert_settings
from rollwright.analysis.performance_tables import list_drawdowns, list_monthly_returns, list_risk
from rollwright.analysis.reconciliation import reconcile
from rollwright.analysis.sensitivity import sensitivity_surface
from rollwright.analysis.stages.table import ColumnUnit, Made, ResultTable, TableMaker
from rollwright.analysis.stages.trade_inputs import TradeInputs
from rollwright.analysis.timing import list_timing
from rollwright.errors import DataError

__all__ = ["PORTFOLIO_MAKERS"]

_RISK: Final[dict[str, ColumnUnit]] = {
    "series": "text",
    "mode": "text",
    "mean": "fraction_per_session",
    "std": "fraction_per_session",
    "annualized_return": "fraction_per_year",
    "information_ratio": "ratio",
    "max_drawdown": "fraction",
}
_MONTHLY: Final[dict[str, ColumnUnit]] = {
    "year": "count",
    "month": "count",
    "sessions": "sessions",
    "return": "fraction",
    "bench": "fraction",
    "excess": "fraction",
    "compounded": "fraction",
    "compounded_bench": "fraction",
}
_DRAWDOWNS: Final[dict[str, ColumnUnit]] = {
    "mode": "text",
    "start": "date",
    "trough": "date",
    "end": "date",
    "depth": "fraction",
    "sessions": "sessions",
}
_SENSITIVITY: Final[dict[str, ColumnUnit]] = {
    "topk": "count",
    "n_drop": "count",
    "cost_scale": "ratio",
    "delay": "sessions",
    "annualized_return": "fraction_per_year",
    "excess_return": "fraction_per_year",
    "information_ratio": "ratio",
    "max_drawdown": "fraction",
    "turnover": "fraction_per_session",
    "is_base": "flag",
}
_CAPACITY: Final[dict[str, ColumnUnit]] = {
    "account": "currency",
    "annualized_return": "fraction_per_year",
    "excess_return": "fraction_per_year",
    "cost": "fraction_per_year",
    "least_cost_share": "fraction",
    "unmade_share": "fraction",
    "held": "count",
    "is_enough": "flag",
    "is_base": "flag",
}
_RECONCILIATION: Final[dict[str, ColumnUnit]] = {
    "step": "text",
    "annualized_return": "fraction_per_year",
    "difference": "fraction_per_year",
}
_INERT: Final[dict[str, ColumnUnit]] = {"setting": "text", "value": "text", "reason": "text"}
_TIMING: Final[dict[str, ColumnUnit]] = {
    "number": "text",
    "known_after": "sessions",
    "moment": "text",
    "traded_after": "sessions",
    "known_on": "date",
}


def _make_performance(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    account = before["account"]
    return Made(
        tables=(
            ResultTable(name="risk", frame=list_risk(account, periods=given.periods), units=_RISK),
            ResultTable(name="monthly", frame=list_monthly_returns(account), units=_MONTHLY),
            ResultTable(name="drawdowns", frame=list_drawdowns(account), units=_DRAWDOWNS),
        )
    )


def _make_sensitivity(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    _refuse_member(given)
    table = sensitivity_surface(given.inputs, periods=given.periods).table
    return Made(tables=(ResultTable(name="sensitivity", frame=table, units=_SENSITIVITY),))


def _make_capacity(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    _refuse_member(given)
    table = capacity_curve(given.inputs, periods=given.periods)
    return Made(tables=(ResultTable(name="capacity", frame=table, units=_CAPACITY),))


def _make_reconciliation(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    _refuse_member(given)
    table = reconcile(given.inputs, periods=given.periods)
    return Made(tables=(ResultTable(name="reconciliation", frame=table, units=_RECONCILIATION),))


def _make_inert_settings(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    _refuse_member(given)
    return Made(tables=(ResultTable(name="inert_settings", frame=find_inert_settings(given.inputs), units=_INERT),))


def _make_timing(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    table = list_timing(label_span=given.label_span, sessions=given.inputs.sessions)
    return Made(tables=(ResultTable(name="timing", frame=table, units=_TIMING),))


def _refuse_member(given: TradeInputs) -> None:
    """Leave out of a member's tables what is about choosing the rule for the signal that it is a part of."""
    if given.is_member:
        raise DataError("it is made for the signal of all members")


PORTFOLIO_MAKERS: Final[tuple[TableMaker[TradeInputs], ...]] = (
    TableMaker(tables=("risk", "monthly", "drawdowns"), make=_make_performance, needs=("account",)),
    TableMaker(tables=("sensitivity",), make=_make_sensitivity),
    TableMaker(tables=("capacity",), make=_make_capacity),
    TableMaker(tables=("reconciliation",), make=_make_reconciliation),
    TableMaker(tables=("inert_settings",), make=_make_inert_settings),
    TableMaker(tables=("timing",), make=_make_timing),
)
"""The makers, in order."""
