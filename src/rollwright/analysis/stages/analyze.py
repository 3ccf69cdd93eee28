"""The stage `analyze`: what a signal is worth against a label, before anything is traded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.examination import examine_scores
from rollwright.analysis.panel import Frame, take_column
from rollwright.analysis.signal import correlate_by_day, group_rows, summarise
from rollwright.analysis.signal_tables.signal_panel import build_signal_panel
from rollwright.analysis.stages.analysis_inputs import AnalysisInputs, AnalysisTerms
from rollwright.analysis.stages.signal_makers import SIGNAL_MAKERS
from rollwright.analysis.stages.table import Made, ResultTable, StageResult, TableMaker, list_tables, make_tables
from rollwright.backtest.risk import periods_per_year
from rollwright.errors import DataError
from rollwright.market.source import DataSource

__all__ = ["ANALYSIS_MAKERS", "ANALYSIS_TABLES", "AnalysisInputs", "AnalysisTerms", "analyze"]


def analyze(
    pred: Frame,
    label: Frame,
    *,
    terms: AnalysisTerms | None = None,
    windows: pd.DataFrame | None = None,
    source: DataSource | None = None,
    members: Mapping[str, Frame] | None = None,
    universe: str | None = None,
    columns: pd.DataFrame | None = None,
) -> StageResult:
    """Judge a signal by a label; no file is read or written.

    Parameters
    ----------
    pred, label : DataFrame or Series
        By (datetime, instrument), of a frame the first column. Rows of `label` that `pred` lacks are left out.
    terms : AnalysisTerms, optional
    windows, source, members, universe, columns
        As `AnalysisInputs` has them; tables that need one that is not given are left out.

    Returns
    -------
    StageResult
        Its tables are those of `ANALYSIS_TABLES`. The metrics `ic`, `rank_ic` … are those of `summarise`.

    .. warning:: **Look-ahead.** A label lies in the future of its day. What is found here must never become an input
       of the model that it judges.

    Raises
    ------
    DataError
        When an index has no level ``datetime``, or names a row twice, or `columns` lack one that `terms` name.
    HoldoutSealedError
        For scores of sessions that are sealed in `source`.
    """
    asked = AnalysisTerms() if terms is None else terms
    if columns is not None:
        for name in (*asked.groups_by, *asked.neutralise):
            if name not in columns.columns:
                known = ", ".join(f"`{each}`" for each in columns.columns)
                raise DataError(f"there is no column `{name}` among those given", hint=f"there are {known}")
    scores, labels = take_column(pred, what="prediction"), take_column(label, what="label")
    others = [str(name) for name in scores.index.names if name != "datetime"]
    given = AnalysisInputs(
        pred=scores,
        label=labels,
        terms=asked,
        panel=build_signal_panel(scores, labels, inst_col=others[0] if others else "instrument"),
        windows=windows,
        source=source,
        members=None if members is None else {name: take_column(one, what=name) for name, one in members.items()},
        universe=universe,
        columns=columns,
    )
    if source is not None and len(given.panel.days):
        source.calendar().refuse_sealed(end=given.panel.days[-1])
    settings = {**asked.to_json(), "days_per_year": periods_per_year("day")}
    return make_tables("analyze", ANALYSIS_MAKERS, given, settings=settings)


def _make_ic(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    panel, terms = given.panel.to_day_panel(), given.terms
    ic = panel.to_series(correlate_by_day(panel, "pearson"), "ic")
    ric = panel.to_series(correlate_by_day(panel, "spearman"), "ric")
    pairs = panel.select(~(np.isnan(panel.score) | np.isnan(panel.label))).count_rows()
    frame = pd.DataFrame({"ic": ic, "rank_ic": ric, "pairs": pairs}, index=ic.index.rename("datetime"))
    table = ResultTable(name="ic", frame=frame, units={"ic": "correlation", "rank_ic": "correlation", "pairs": "count"})
    return Made(
        tables=(table,),
        metrics=summarise(ic, ric, label_span=terms.label_span).metrics(),
        findings=tuple(examine_scores(given.pred, given.label, ic, topk=terms.topk, label_span=terms.label_span)),
    )


def _make_groups(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    frame = group_rows(given.panel.to_day_panel(), given.terms.groups).rename_axis(index="datetime")
    return Made(tables=(ResultTable(name="groups", frame=frame, units=dict.fromkeys(frame.columns, "label")),))


ANALYSIS_MAKERS: Final[tuple[TableMaker[AnalysisInputs], ...]] = (
    TableMaker(tables=("ic",), make=_make_ic, required=True),
    TableMaker(tables=("groups",), make=_make_groups, required=True),
    *SIGNAL_MAKERS,
)
"""Every maker of the stage, in order: a new table is a function, and a line here."""

ANALYSIS_TABLES: Final = list_tables(ANALYSIS_MAKERS)
