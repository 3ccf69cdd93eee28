"""Makers of the stage `backtest`: risk, and what the result hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Final

import pandas as pd

from rollwright.analysis.portfolio_tables.capacity import capacity_curve, list_capacity_cases
from rollwright.analysis.portfolio_tables.inert_settings import find_inert_settings, list_setting_cases
from rollwright.analysis.portfolio_tables.performance_tables import list_drawdowns, list_monthly_returns, list_risk
from rollwright.analysis.portfolio_tables.reconciliation import list_step_cases, reconcile
from rollwright.analysis.portfolio_tables.sensitivity import list_cell_cases, sensitivity_surface
from rollwright.analysis.portfolio_tables.timing import list_timing
from rollwright.analysis.stages.table import ColumnUnit, Made, ResultTable, TableMaker
from rollwright.analysis.stages.trade_inputs import TradeInputs
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


def _make_variations(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    """Make what compares the back-test with others: all in its own market are simulated together, once."""
    del before
    if given.is_member:
        raise DataError("it is made for the signal of all members")
    inputs, periods = given.inputs, given.periods
    lists = [list_cell_cases(inputs), list_capacity_cases(inputs), list_step_cases(inputs), list_setting_cases(inputs)]
    ends = list(accumulate(map(len, lists)))
    made = inputs.compare([case for cases in lists for case in cases])
    cells, accounts, steps, settings = (made.take(start, stop) for start, stop in pairwise([0, *ends]))
    surface = sensitivity_surface(inputs, periods=periods, made=cells).table
    frames = (
        ("sensitivity", surface, _SENSITIVITY),
        ("capacity", capacity_curve(inputs, periods=periods, made=accounts), _CAPACITY),
        ("reconciliation", reconcile(inputs, periods=periods, made=steps), _RECONCILIATION),
        ("inert_settings", find_inert_settings(inputs, made=settings), _INERT),
    )
    return Made(tables=tuple(ResultTable(name=name, frame=frame, units=units) for name, frame, units in frames))


def _make_timing(given: TradeInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    table = list_timing(label_span=given.label_span, sessions=given.inputs.sessions)
    return Made(tables=(ResultTable(name="timing", frame=table, units=_TIMING),))


PORTFOLIO_MAKERS: Final[tuple[TableMaker[TradeInputs], ...]] = (
    TableMaker(tables=("risk", "monthly", "drawdowns"), make=_make_performance, needs=("account",)),
    TableMaker(tables=("sensitivity", "capacity", "reconciliation", "inert_settings"), make=_make_variations),
    TableMaker(tables=("timing",), make=_make_timing),
)
"""The makers, in order."""
