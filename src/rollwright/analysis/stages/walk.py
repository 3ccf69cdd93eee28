"""The stage `collect`: which windows a signal was joined from, and which rows of its universe it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from rollwright.analysis.metrics import Metric
from rollwright.analysis.panel import Frame, take_column
from rollwright.analysis.stages.learning_tables import LEARNING_TABLES, make_learning_tables
from rollwright.analysis.stages.table import ColumnUnit, ResultTable, StageResult
from rollwright.backtest.risk import periods_per_year
from rollwright.calendar.trading import Session
from rollwright.models.learning import Learning

__all__ = ["COLLECT_TABLES", "WindowFacts", "collect_result"]

COLLECT_TABLES: Final = ("windows", "missing_rows", *LEARNING_TABLES)

_WINDOWS: Final[dict[str, ColumnUnit]] = {
    "window": "text",
    "variant": "text",
    "rows": "count",
    "ic": "correlation",
    "rank_ic": "correlation",
    "best_iteration": "count",
    "seconds": "seconds",
    "recorder": "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFacts:
    """One window of a walk.

    Attributes
    ----------
    window, variant : str
    segments : mapping of str to (Session, Session)
        Closed ranges by role, as ``train``, ``valid``, ``purge``, ``test``.
    rows : int
        Rows predicted.
    best_iteration : int or None
        Rounds the model kept.
    seconds : float or None
        Time the window took.
    recorder : str
        Where its artifacts are; "" when nowhere.
    learning : Learning or None
        How its model learnt, where it told.
    """

    window: str
    variant: str = ""
    segments: Mapping[str, tuple[Session, Session]] = field(default_factory=dict)
    rows: int = 0
    best_iteration: int | None = None
    seconds: float | None = None
    recorder: str = ""
    learning: Learning | None = None


def collect_result(
    pred: Frame,
    *,
    windows: Sequence[WindowFacts] = (),
    ic: tuple[pd.Series, pd.Series] | None = None,
    missing: Mapping[str, int] | None = None,
    expected: int | None = None,
    predicted: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> StageResult:
    """Return what is known of how a signal came to be.

    Parameters
    ----------
    pred : DataFrame or Series
        The signal, by (datetime, instrument).
    windows : sequence of WindowFacts
        In order of time.
    ic : (Series, Series), optional
        The daily IC and Rank IC of the signal: their means over the test sessions stand beside each window.
    missing : mapping of str to int, optional
        Rows of the universe without a score, by cause.
    expected, predicted : int, optional
        Rows of the universe, and those of them that have a score.
    settings : mapping, optional
        What else is known of how it came to be; ``days_per_year`` is always among them.

    Returns
    -------
    StageResult
        Tables ``windows`` (a row for each window; ``ROLE_start`` and ``ROLE_end`` are the closed range of a segment,
        NaT where a window has none), ``missing_rows`` (by ``cause``: ``rows``), and ``learning`` and ``importance``, as
        `make_learning_tables` tells. Metrics ``windows``, ``days`` and
        ``rows`` of the signal, and ``expected_rows`` and ``predicted_rows`` where they are known.
    """
    scores = take_column(pred, what="prediction")
    days = int(scores.index.get_level_values("datetime").nunique())
    metrics = [
        Metric(key="windows", value=float(len(windows)), unit="count"),
        Metric(key="days", value=float(days), unit="sessions"),
        Metric(key="rows", value=float(len(scores)), unit="count"),
    ]
    if expected is not None and predicted is not None:
        metrics.append(Metric(key="expected_rows", value=float(expected), unit="count"))
        metrics.append(Metric(key="predicted_rows", value=float(predicted), unit="count"))
    tables, left_out = {}, {}
    if windows:
        tables["windows"] = _list_windows(windows, ic)
    else:
        left_out["windows"] = "the signal was not joined from windows"
    if missing is not None:
        frame = pd.DataFrame(
            {"cause": pd.array([*missing], dtype="str"), "rows": np.array([*missing.values()], dtype=np.int64)}
        )
        tables["missing_rows"] = ResultTable(name="missing_rows", frame=frame, units={"cause": "text", "rows": "count"})
    else:
        left_out["missing_rows"] = "the universe has no name, so that nobody knows which rows there should be"
    told = make_learning_tables([(one.window, one.variant, one.learning) for one in windows if one.learning])
    tables |= told
    left_out |= {name: _tell_silence(windows, name) for name in LEARNING_TABLES if name not in told}
    return StageResult(
        stage="collect",
        tables=tables,
        metrics=tuple(metrics),
        left_out=left_out,
        settings={"days_per_year": periods_per_year("day"), **({} if settings is None else settings)},
    )


def _tell_silence(windows: Sequence[WindowFacts], name: str) -> str:
    """Return why there is no table of how the models learnt."""
    if not any(one.recorder for one in windows):
        return "no window has a model of its own"
    if all(one.learning is None for one in windows):
        return "no model told how it learnt: it cannot, or it was trained before rollwright kept that"
    return "the models have no rounds" if name == "learning" else "the models tell no importance of features"


def _list_windows(windows: Sequence[WindowFacts], ic: tuple[pd.Series, pd.Series] | None) -> ResultTable:
    roles = list(dict.fromkeys(role for one in windows for role in one.segments))
    columns: dict[str, Any] = {
        "window": pd.array([one.window for one in windows], dtype="str"),
        "variant": pd.array([one.variant for one in windows], dtype="str"),
    }
    for role in roles:
        for place, end in enumerate(("start", "end")):
            dates = [one.segments[role][place] if role in one.segments else pd.NaT for one in windows]
            columns[f"{role}_{end}"] = pd.DatetimeIndex(dates)
    columns["rows"] = np.array([one.rows for one in windows], dtype=np.int64)
    columns["ic"] = [_average(ic, 0, one) for one in windows]
    columns["rank_ic"] = [_average(ic, 1, one) for one in windows]
    columns["best_iteration"] = pd.array([one.best_iteration for one in windows], dtype="Int64")
    columns["seconds"] = np.array([np.nan if one.seconds is None else one.seconds for one in windows])
    columns["recorder"] = pd.array([one.recorder for one in windows], dtype="str")
    frame = pd.DataFrame(columns)
    units: dict[str, ColumnUnit] = {name: _WINDOWS.get(name, "date") for name in frame.columns}
    return ResultTable(name="windows", frame=frame, units=units)


def _average(ic: tuple[pd.Series, pd.Series] | None, place: int, window: WindowFacts) -> float:
    if ic is None or "test" not in window.segments:
        return np.nan
    start, end = window.segments["test"]
    return float(ic[place].loc[start:end].mean())
