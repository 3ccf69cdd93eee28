"""What the stage `analyze` is asked, and what its makers are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rollwright.analysis.signal_tables.decay import HORIZONS
from rollwright.analysis.signal_tables.signal_panel import SignalPanel
from rollwright.market.source import DataSource

__all__ = ["AnalysisInputs", "AnalysisTerms"]


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
    horizons : tuple of int
        Sessions over which the decay is measured, and lags of the autocorrelation.
    groups_by, neutralise : tuple of str
        Columns by whose groups the IC is told, and what they explain of the scores is taken out.
    """

    label: str | None = None
    label_span: int | None = None
    label_horizon: int | None = None
    groups: int = 5
    topk: int | None = None
    horizons: tuple[int, ...] = HORIZONS
    groups_by: tuple[str, ...] = ()
    neutralise: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "label": self.label,
            "label_span": self.label_span,
            "label_horizon": self.label_horizon,
            "groups": self.groups,
            "topk": self.topk,
            "horizons": list(self.horizons),
            "groups_by": list(self.groups_by),
            "neutralise": list(self.neutralise),
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
    columns : DataFrame or None
        Columns of the user's, by instrument or by (datetime, instrument).
    panel : SignalPanel
        The rows of `pred` with their labels.
    """

    pred: pd.Series
    label: pd.Series
    terms: AnalysisTerms
    panel: SignalPanel
    windows: pd.DataFrame | None = None
    source: DataSource | None = None
    members: Mapping[str, pd.Series] | None = None
    universe: str | None = None
    columns: pd.DataFrame | None = None
