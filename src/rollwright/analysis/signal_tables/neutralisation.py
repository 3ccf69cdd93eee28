"""What is left of a signal without what columns explain of it: industries, size, other factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.signal import correlate_by_day, standard_error
from rollwright.analysis.signal_tables.breakdown import classify_rows, is_numeric
from rollwright.analysis.signal_tables.day_regression import take_residuals
from rollwright.analysis.signal_tables.signal_panel import SignalPanel
from rollwright.analysis.stages.table import ColumnUnit

__all__ = ["NEUTRALISED_UNITS", "compare_neutralised", "neutralise"]

_CORRELATIONS: Final = (
    "ic_before", "ic_after", "ic_difference", "ic_error",
    "rank_ic_before", "rank_ic_after", "rank_ic_difference", "rank_ic_error",
)  # fmt: skip
NEUTRALISED_UNITS: Final[dict[str, ColumnUnit]] = {
    "columns": "text",
    **dict.fromkeys(_CORRELATIONS, "correlation"),
    "sessions": "sessions",
    "rows": "count",
}


def neutralise(panel: SignalPanel, columns: Mapping[str, pd.Series]) -> SignalPanel:
    """Return the panel with scores from which all that `columns` explain within their day was taken.

    The scores of a day are regressed on a constant, on the columns of numbers and on a dummy variable for each group of
    the others, and replaced by their residuals. Instruments without a group are a group of their own; a row without a
    number of a column has no score any more.

    .. warning:: **Look-ahead.** A column by (datetime, instrument) must hold what was known on that date, and one by
       instrument alone says of all dates what is known today.

    Parameters
    ----------
    panel : SignalPanel
        Days with an infinite score lose their scores.
    columns : mapping of str to Series
        By instrument, or by (datetime, instrument). Numbers are taken as numbers: codes of groups are given as text or
        as a categorical type.

    Raises
    ------
    DataError
        What `SignalPanel.locate` refuses, and a column of more than 200 groups.
    """
    infinite = np.bincount(panel.day[np.isinf(panel.score)], minlength=len(panel.days)) > 0
    usable = ~np.isnan(panel.score) & ~infinite[panel.day]
    numbers = {}
    for name, column in columns.items():
        if is_numeric(column):
            numbers[name] = panel.take(column, what=f"column `{name}`")
            usable &= np.isfinite(numbers[name])
    rows = panel.select(usable)
    groups = sorted(
        (
            classify_rows(rows, column, what=f"column `{name}`")
            for name, column in columns.items()
            if name not in numbers
        ),
        key=lambda one: len(one.names),
    )
    # 1. The column with the most groups is taken out by the means of its groups, the others by dummy variables.
    largest = groups.pop().group if groups else None
    parts = [values[usable] for values in numbers.values()]
    parts += [(one.group == place).astype(np.float64) for one in groups for place in range(len(one.names) - 1)]
    matrix = np.column_stack(parts) if parts else np.empty((len(rows.score), 0))
    # 2. What is left takes the places of the scores.
    score = np.full(len(panel.score), np.nan)
    score[usable] = take_residuals(rows.day, rows.score, matrix, group=largest)
    return panel.with_values(score=score)


def compare_neutralised(
    panel: SignalPanel, columns: Mapping[str, pd.Series], *, label_span: int | None = None
) -> pd.DataFrame:
    """Return IC and Rank IC before and after taking out each of the `columns`, and all of them together.

    Before and after count the same rows: those that have a score afterwards.

    Returns
    -------
    DataFrame
        ``columns`` (their names, joined by `` + ``), ``ic_before, ic_after, ic_difference, ic_error``, the same for
        ``rank_ic``, ``sessions, rows``. ``ic_error`` is the Newey–West standard error of the daily difference.

    Raises
    ------
    DataError
        As `neutralise` says.
    """
    choices = [[name] for name in columns]
    if len(columns) > 1:
        choices.append(list(columns))
    rows = []
    kept, earlier = np.zeros(0, dtype=np.bool_), _Daily(np.empty(0), np.empty(0))
    for names in choices:
        after = neutralise(panel, {name: columns[name] for name in names})
        known = ~np.isnan(after.score) & ~np.isnan(panel.label)
        if not np.array_equal(known, kept):
            kept, earlier = known, _correlate(panel.select(known))
        later = _correlate(after.select(kept))
        row: dict[str, object] = {"columns": " + ".join(names)}
        for prefix, first, second in zip(("ic", "rank_ic"), earlier, later, strict=True):
            difference = pd.Series(second - first)
            row |= {
                f"{prefix}_before": _average(first),
                f"{prefix}_after": _average(second),
                f"{prefix}_difference": float(difference.mean()),
                f"{prefix}_error": standard_error(difference, label_span=label_span),
            }
        rows.append({**row, "sessions": int((~np.isnan(later.ic)).sum()), "rows": int(kept.sum())})
    return pd.DataFrame(rows, columns=["columns", *_CORRELATIONS, "sessions", "rows"])


class _Daily(NamedTuple):
    ic: NDArray[np.float64]
    rank_ic: NDArray[np.float64]


def _correlate(panel: SignalPanel) -> _Daily:
    rows = panel.to_day_panel()
    return _Daily(correlate_by_day(rows, "pearson"), correlate_by_day(rows, "spearman"))


def _average(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan
