"""Tables `learning` and `importance` of the stage `collect`: how the model of each window learnt, and from what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.stages.table import ColumnUnit, ResultTable
from rollwright.models.learning import Learning

__all__ = ["LEARNING_TABLES", "make_learning_tables"]

LEARNING_TABLES: Final = ("learning", "importance")
_MOST_FEATURES: Final = 30
_LEARNING: Final[dict[str, ColumnUnit]] = {
    "window": "text",
    "variant": "text",
    "metric": "text",
    "series": "text",
    "round": "count",
    "value": "metric",
}
_IMPORTANCE: Final[dict[str, ColumnUnit]] = {
    "window": "text",
    "variant": "text",
    "basis": "text",
    "feature": "text",
    "share": "fraction",
}


def make_learning_tables(windows: Sequence[tuple[str, str, Learning]]) -> dict[str, ResultTable]:
    """Return those of the two tables that these windows have something for.

    Parameters
    ----------
    windows : sequence of (str, str, Learning)
        Window, variant and what its model told, in order of time.

    Returns
    -------
    dict of str to ResultTable
        ``learning``: a row for each round that is kept (``round`` counted from 1) of each ``series`` (the segment, as
        ``train`` or ``valid``) of each ``metric``, with its ``value``. ``importance``: for each window and each of the
        30 features that are largest in the mean of all windows, largest first, its ``share`` of all features by
        ``basis`` (``gain``: what its splits lowered the loss by; ``prediction_change``; ``coefficient``: the size of
        its coefficient); 0 where a window has none.
    """
    points = [
        (window, variant, curve.metric, curve.segment, number, value)
        for window, variant, told in windows
        for curve in told.curves
        for number, value in zip(curve.rounds, curve.values, strict=True)
    ]
    weighed = [one for one in windows if one[2].importance]
    sums: dict[str, float] = {}
    for _, _, told in weighed:
        for name, share in told.importance.items():
            sums[name] = sums.get(name, 0.0) + share
    shown = sorted(sums, key=lambda name: (-sums[name], name))[:_MOST_FEATURES]
    shares = [
        (window, variant, told.basis, name, told.importance.get(name, 0.0))
        for window, variant, told in weighed
        for name in shown
    ]
    tables = {}
    if points:
        tables["learning"] = _make_table("learning", points, _LEARNING)
    if shares:
        tables["importance"] = _make_table("importance", shares, _IMPORTANCE)
    return tables


def _make_table(name: str, rows: Sequence[tuple[object, ...]], units: dict[str, ColumnUnit]) -> ResultTable:
    columns = dict(zip(units, zip(*rows, strict=True), strict=True))
    frame = pd.DataFrame(
        {
            column: pd.array(list(values), dtype="str")
            if units[column] == "text"
            else np.array(values, dtype=np.int64 if units[column] == "count" else np.float64)
            for column, values in columns.items()
        }
    )
    return ResultTable(name=name, frame=frame, units=units)
