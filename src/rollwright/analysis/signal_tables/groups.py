"""What the score groups earned over all days, and whether better scores earned more."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.honesty.intervals import bound_mean
from rollwright.analysis.metrics import Metric
from rollwright.analysis.signal import standard_error
from rollwright.analysis.stages.table import ColumnUnit
from rollwright.errors import DataError

__all__ = ["GROUP_SUMMARY_UNITS", "LONG_SHORT", "summarise_groups"]

LONG_SHORT: Final = "long_short"
GROUP_SUMMARY_UNITS: Final[dict[str, ColumnUnit]] = {
    "group": "text",
    "mean": "label",
    "error": "label",
    "low": "label",
    "high": "label",
    "sessions": "sessions",
}


def summarise_groups(
    groups: pd.DataFrame, *, label_span: int | None = None, level: float = 0.95
) -> tuple[pd.DataFrame, tuple[Metric, ...]]:
    """Return the mean label of each score group over all days, and how well the groups are in order.

    Parameters
    ----------
    groups : DataFrame [days, groups]
        Best scores first, as `group_returns` gives them; in days order.
    label_span : int, optional
        Sessions of future that the label reads: errors and intervals allow for days that share returns.
    level : float, default 0.95

    Returns
    -------
    DataFrame
        ``group, mean, error, low, high, sessions``: the groups, best first, and last ``long_short``, the best group
        less the worst, undivided, on the days that have both. ``error`` is the Newey–West standard error of
        `standard_error`, ``low`` and ``high`` the interval of `estimate_mean`; NaN where days are too few.
    tuple of Metric
        ``monotonicity``: the Spearman correlation of the groups' order with their means, 1 when each better group
        earned more, −1 when each earned less, NaN when one has no mean or all are equal. ``monotone_days``: the share
        of the days that have all groups on which each better group earned more than the next; by luck alone it is one
        over the factorial of the number of groups.

    Raises
    ------
    DataError
        For fewer than two groups.
    """
    if groups.shape[1] < 2:
        raise DataError(f"{groups.shape[1]} groups: at least two are needed")
    values = groups.to_numpy(dtype=np.float64)
    columns = {str(name): values[:, place] for place, name in enumerate(groups.columns)}
    columns[LONG_SHORT] = values[:, 0] - values[:, -1]
    rows = []
    for name, column in columns.items():
        known = column[~np.isnan(column)]
        sound = bool(np.isfinite(known).all())
        if sound:
            mean, low, high = bound_mean(known, label_span=label_span or 1, level=level)
        else:
            mean, low, high = float(known.mean()), np.nan, np.nan
        rows.append(
            {
                "group": name,
                "mean": mean,
                "error": standard_error(pd.Series(known), label_span=label_span) if sound else np.nan,
                "low": low,
                "high": high,
                "sessions": len(known),
            }
        )
    table = pd.DataFrame(rows)
    whole = values[~np.isnan(values).any(axis=1)]
    descending = (np.diff(whole, axis=1) < 0).all(axis=1)
    metrics = (
        Metric(key="monotonicity", value=_correlate_order(table["mean"].to_numpy()[:-1]), unit="correlation"),
        Metric(key="monotone_days", value=float(descending.mean()) if len(descending) else np.nan, unit="fraction"),
    )
    return table, metrics


def _correlate_order(means: np.ndarray) -> float:
    """Return the Spearman correlation of ``n, n − 1, …, 1`` with `means`."""
    if np.isnan(means).any() or (means == means[0]).all():
        return np.nan
    order = np.arange(len(means), 0, -1, dtype=np.float64)
    ranks = pd.Series(means).rank().to_numpy()
    return float(np.clip(np.corrcoef(order, ranks)[0, 1], -1.0, 1.0))
