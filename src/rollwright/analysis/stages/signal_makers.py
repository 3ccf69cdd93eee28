"""Makers of the tables that `rollwright.analysis.signal_tables` computes, for the stage `analyze`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

from rollwright.analysis.signal_tables.breakdown import IC_PART_UNITS, break_by_column, break_by_period
from rollwright.analysis.signal_tables.calibration import CALIBRATION_UNITS, measure_calibration
from rollwright.analysis.signal_tables.contribution import CONTRIBUTION_UNITS, measure_contribution
from rollwright.analysis.signal_tables.decay import DECAY_UNITS, measure_decay, read_prices
from rollwright.analysis.signal_tables.groups import GROUP_SUMMARY_UNITS, summarise_groups
from rollwright.analysis.signal_tables.neutralisation import NEUTRALISED_UNITS, compare_neutralised
from rollwright.analysis.signal_tables.persistence import (
    AUTOCORRELATION_UNITS,
    TURNOVER_UNITS,
    measure_autocorrelation,
    measure_turnover,
)
from rollwright.analysis.signal_tables.row_coverage import COVERAGE_UNITS, expect_members, measure_coverage
from rollwright.analysis.stages.analysis_inputs import AnalysisInputs
from rollwright.analysis.stages.table import Made, ResultTable, TableMaker
from rollwright.errors import DataError

__all__ = ["SIGNAL_MAKERS"]


def _make_group_summary(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    frame, metrics = summarise_groups(before["groups"], label_span=given.terms.label_span)
    return Made(tables=(ResultTable(name="group_summary", frame=frame, units=GROUP_SUMMARY_UNITS),), metrics=metrics)


def _make_decay(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    if given.source is None:
        raise DataError("no source was given")
    terms = given.terms
    # a label that reads span sessions for a return over horizon begins with the price of span - horizon sessions later
    delay = 1 if terms.label_span is None or terms.label_horizon is None else terms.label_span - terms.label_horizon
    prices = read_prices(given.source, given.panel, horizons=terms.horizons, delay=delay)
    frame = measure_decay(given.panel, prices, horizons=terms.horizons, delay=delay)
    return Made(tables=(ResultTable(name="decay", frame=frame, units=DECAY_UNITS),))


def _make_persistence(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    lagged = measure_autocorrelation(given.panel, lags=given.terms.horizons)
    replaced = measure_turnover(given.panel, groups=given.terms.groups).rename_axis(index="datetime")
    return Made(
        tables=(
            ResultTable(name="autocorrelation", frame=lagged, units=AUTOCORRELATION_UNITS),
            ResultTable(name="turnover", frame=replaced, units=TURNOVER_UNITS),
        )
    )


def _make_calibration(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    frame, metrics = measure_calibration(given.panel, label_span=given.terms.label_span or 1)
    return Made(tables=(ResultTable(name="calibration", frame=frame, units=CALIBRATION_UNITS),), metrics=metrics)


def _make_coverage(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    if given.source is not None and given.universe is not None:
        panel, fill = expect_members(given.panel, given.source.members(given.universe)), False
    else:
        panel, fill = given.panel, True
    frame, metrics = measure_coverage(panel, fill=fill)
    return Made(tables=(ResultTable(name="coverage", frame=frame, units=COVERAGE_UNITS),), metrics=metrics)


def _make_periods(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    span = given.terms.label_span
    months = break_by_period(before["ic"], period="month", label_span=span)
    years = break_by_period(before["ic"], period="year", label_span=span)
    return Made(
        tables=(
            ResultTable(name="ic_by_month", frame=months, units={"month": "text", **IC_PART_UNITS}),
            ResultTable(name="ic_by_year", frame=years, units={"year": "text", **IC_PART_UNITS}),
        )
    )


def _make_column_groups(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    columns = _take_columns(given, given.terms.groups_by, "groups_by")
    frame = break_by_column(given.panel, columns, label_span=given.terms.label_span)
    units = {"column": "text", "group": "text", **IC_PART_UNITS, "rows": "count"}
    return Made(tables=(ResultTable(name="ic_by_group", frame=frame, units=units),))


def _make_neutralised(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    columns = _take_columns(given, given.terms.neutralise, "neutralise")
    frame = compare_neutralised(given.panel, columns, label_span=given.terms.label_span)
    return Made(tables=(ResultTable(name="neutralised", frame=frame, units=NEUTRALISED_UNITS),))


def _make_contribution(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    frame = measure_contribution(given.members or {}, given.label, label_span=given.terms.label_span or 1)
    return Made(tables=(ResultTable(name="contribution", frame=frame, units=CONTRIBUTION_UNITS),))


def _take_columns(given: AnalysisInputs, names: tuple[str, ...], setting: str) -> dict[str, pd.Series]:
    if given.columns is None or not names:
        raise DataError(f"no columns were named as `{setting}`")
    return {name: given.columns[name] for name in names}


SIGNAL_MAKERS: Final[tuple[TableMaker[AnalysisInputs], ...]] = (
    TableMaker(tables=("group_summary",), make=_make_group_summary, needs=("groups",)),
    TableMaker(tables=("decay",), make=_make_decay, needs=("source",)),
    TableMaker(tables=("autocorrelation", "turnover"), make=_make_persistence),
    TableMaker(tables=("calibration",), make=_make_calibration),
    TableMaker(tables=("coverage",), make=_make_coverage),
    TableMaker(tables=("ic_by_month", "ic_by_year"), make=_make_periods, needs=("ic",)),
    TableMaker(tables=("ic_by_group",), make=_make_column_groups, needs=("columns",)),
    TableMaker(tables=("neutralised",), make=_make_neutralised, needs=("columns",)),
    TableMaker(tables=("contribution",), make=_make_contribution, needs=("members",)),
)
"""In order; `groups` and `ic` were made before."""
