"""The stage `analyze`: what a signal is worth against a label, before anything is traded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.analysis.examination import examine_scores
from rollwright.analysis.panel import Frame, take_column
from rollwright.analysis.signal import calc_ic, group_returns, summarise
from rollwright.analysis.stages.table import Made, ResultTable, StageResult, TableMaker, list_tables, make_tables
from rollwright.backtest.risk import periods_per_year
from rollwright.market.source import DataSource

__all__ = ["ANALYSIS_MAKERS", "ANALYSIS_TABLES", "AnalysisInputs", "AnalysisTerms", "analyze"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisTerms:
    """What is known of a label, and how a signal is judged by it.

    Attributes
    ----------
    label : str or None
        Its expression, or the file it came from.
    label_span : int or None
        Sessions of future that it reads; None when that is not known.
    label_horizon : int or None
        Sessions over which the return that it is runs; None when it is no return, or that is not known.
    groups : int
        Score groups of equal size.
    topk : int or None
        Names that a back-test of the signal holds, for what is told of ties and of the universe's size.
    """

    label: str | None = None
    label_span: int | None = None
    label_horizon: int | None = None
    groups: int = 5
    topk: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "label": self.label,
            "label_span": self.label_span,
            "label_horizon": self.label_horizon,
            "groups": self.groups,
            "topk": self.topk,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalysisInputs:
    """What the makers of the stage are given; None is what nobody gave.

    Attributes
    ----------
    pred, label : Series
        Scores and raw labels by (datetime, instrument).
    terms : AnalysisTerms
    windows : DataFrame or None
        The table `windows` of the stage `collect`.
    source : DataSource or None
        The market.
    members : mapping of str to Series, or None
        The scores of the members that the signal is made of.
    universe : str or None
        Name of the instruments that were to be scored.
    """

    pred: pd.Series
    label: pd.Series
    terms: AnalysisTerms
    windows: pd.DataFrame | None = None
    source: DataSource | None = None
    members: Mapping[str, pd.Series] | None = None
    universe: str | None = None


def analyze(
    pred: Frame,
    label: Frame,
    *,
    terms: AnalysisTerms | None = None,
    windows: pd.DataFrame | None = None,
    source: DataSource | None = None,
    members: Mapping[str, Frame] | None = None,
    universe: str | None = None,
) -> StageResult:
    """Judge a signal by a label; no file is read or written.

    Parameters
    ----------
    pred, label : DataFrame or Series
        By (datetime, instrument), of a frame the first column. Rows of `label` that `pred` lacks are left out.
    terms : AnalysisTerms, optional
    windows, source, members, universe
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
        When an index has no level ``datetime``, or names a row twice.
    """
    asked = AnalysisTerms() if terms is None else terms
    given = AnalysisInputs(
        pred=take_column(pred, what="prediction"),
        label=take_column(label, what="label"),
        terms=asked,
        windows=windows,
        source=source,
        members=None if members is None else {name: take_column(one, what=name) for name, one in members.items()},
        universe=universe,
    )
    settings = {**asked.to_json(), "days_per_year": periods_per_year("day")}
    return make_tables("analyze", ANALYSIS_MAKERS, given, settings=settings)


def _make_ic(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    ic, ric = calc_ic(given.pred, given.label)
    terms = given.terms
    pairs = _count_pairs(given, ic.index)
    frame = pd.DataFrame({"ic": ic, "rank_ic": ric, "pairs": pairs}, index=ic.index.rename("datetime"))
    table = ResultTable(name="ic", frame=frame, units={"ic": "correlation", "rank_ic": "correlation", "pairs": "count"})
    return Made(
        tables=(table,),
        metrics=summarise(ic, ric, label_span=terms.label_span).metrics(),
        findings=tuple(examine_scores(given.pred, given.label, ic, topk=terms.topk, label_span=terms.label_span)),
    )


def _count_pairs(given: AnalysisInputs, days: pd.Index) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return on how many instruments the coefficients of each day stand."""
    label = given.label if given.label.index.equals(given.pred.index) else given.label.reindex(given.pred.index)
    known = given.pred.notna().to_numpy() & label.notna().to_numpy()
    day = days.get_indexer(given.pred.index.get_level_values("datetime"))
    return np.bincount(day[known], minlength=len(days)).astype(np.int64)


def _make_groups(given: AnalysisInputs, before: Mapping[str, pd.DataFrame]) -> Made:
    del before
    frame = group_returns(given.pred, given.label, given.terms.groups).rename_axis(index="datetime")
    return Made(tables=(ResultTable(name="groups", frame=frame, units=dict.fromkeys(frame.columns, "label")),))


ANALYSIS_MAKERS: Final[tuple[TableMaker[AnalysisInputs], ...]] = (
    TableMaker(tables=("ic",), make=_make_ic, required=True),
    TableMaker(tables=("groups",), make=_make_groups, required=True),
)
"""Every maker of the stage, in order: a new table is a function, and a line here."""

ANALYSIS_TABLES: Final = list_tables(ANALYSIS_MAKERS)
