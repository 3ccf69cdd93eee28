"""The information coefficient in parts: by month, by year, and by group of a column that the user brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.panel import correlate_rows, find_places, rank_by_day
from rollwright.analysis.signal import standard_error
from rollwright.analysis.signal_tables.signal_panel import SignalPanel
from rollwright.analysis.stages.table import ColumnUnit
from rollwright.errors import DataError

__all__ = ["IC_PART_UNITS", "NO_GROUP", "Groups", "break_by_column", "break_by_period", "classify_rows"]

NO_GROUP: Final = "(none)"
IC_PART_UNITS: Final[dict[str, ColumnUnit]] = {
    "ic": "correlation",
    "error": "correlation",
    "rank_ic": "correlation",
    "rank_error": "correlation",
    "sessions": "sessions",
}
"""Units of the numbers that each part has."""
_MOST_GROUPS: Final = 200
_MOST_NUMBERS: Final = 12  # different numbers of a column that are taken as names of groups


class Groups(NamedTuple):
    """Names of groups in order, and for each row of a panel the place of its group among them."""

    names: list[str]
    group: NDArray[np.intp]


def break_by_period(
    ic: pd.DataFrame, *, period: Literal["month", "year"], label_span: int | None = None
) -> pd.DataFrame:
    """Return the mean IC and Rank IC of each month or year.

    Parameters
    ----------
    ic : DataFrame
        ``ic`` and ``rank_ic`` by day, in order.
    period : {"month", "year"}
    label_span : int, optional
        Sessions of future that the label reads, see `standard_error`.

    Returns
    -------
    DataFrame
        ``month`` (2021-03) or ``year`` (2021), ``ic, error, rank_ic, rank_error, sessions``: means over the days with a
        value, with Newey–West standard errors; NaN where days are too few. A period without a value is there, with NaN.
    """
    names = pd.DatetimeIndex(ic.index).strftime("%Y-%m" if period == "month" else "%Y")
    codes, periods = pd.factorize(names, sort=True)
    daily = ic[["ic", "rank_ic"]].to_numpy(dtype=np.float64)
    rows = []
    for place, name in enumerate(periods):
        part = daily[codes == place]
        rows.append({period: name, **_describe(part[:, 0], part[:, 1], label_span)})
    return pd.DataFrame(rows, columns=[period, *IC_PART_UNITS])


def break_by_column(
    panel: SignalPanel, columns: Mapping[str, pd.Series], *, label_span: int | None = None, parts: int = 5
) -> pd.DataFrame:
    """Return the mean IC and Rank IC within each group of instruments.

    The coefficient of a group on a day is that of the group's rows alone; ranks are taken among them.

    Parameters
    ----------
    panel : SignalPanel
    columns : mapping of str to Series
        By instrument, or by (datetime, instrument): names of groups, or numbers. A column of more than 12 different
        numbers is cut into `parts` equal parts within each day, lowest first; equal numbers stay together.
    label_span : int, optional
        Sessions of future that the label reads, see `standard_error`.
    parts : int, default 5

    Returns
    -------
    DataFrame
        ``column, group, ic, error, rank_ic, rank_error, sessions, rows``: groups in the order of their names; rows of
        which the column says nothing are the last group, ``(none)``. ``rows`` are those with a score and a label.

    Raises
    ------
    DataError
        For a column of more than 200 groups, or that `SignalPanel.locate` refuses.
    """
    known = panel.select(~(np.isnan(panel.score) | np.isnan(panel.label)))
    found = []
    for name, column in columns.items():
        names, group = classify_rows(known, column, what=f"column `{name}`", parts=parts)
        order = np.argsort(group, kind="stable")
        days = len(known.days)
        key = (group * days + known.day)[order]
        x, y = known.score[order], known.label[order]
        cells = len(names) * days
        ic = correlate_rows(key, x, y, cells).reshape(len(names), days)
        rank_ic = correlate_rows(key, rank_by_day(key, x), rank_by_day(key, y), cells).reshape(len(names), days)
        rows = np.bincount(group, minlength=len(names))
        found += [
            {
                "column": name,
                "group": one,
                **_describe(ic[place], rank_ic[place], label_span),
                "rows": int(rows[place]),
            }
            for place, one in enumerate(names)
        ]
    return pd.DataFrame(found, columns=["column", "group", *IC_PART_UNITS, "rows"])


def classify_rows(panel: SignalPanel, column: pd.Series, *, what: str, parts: int | None = None) -> Groups:
    """Return the group of each row, as `break_by_column` says; without `parts` every number is the name of a group.

    Raises
    ------
    DataError
        For more than 200 groups, fewer than two parts, and what `SignalPanel.locate` refuses.
    """
    if parts is not None and parts < 2:
        raise DataError(f"{parts} parts: at least two are needed")
    if parts is not None and is_numeric(column) and column.nunique() > _MOST_NUMBERS:
        return _cut_by_day(panel, panel.take(column, what=what), parts)
    place = panel.locate(column.index, what=what)
    codes, values = pd.factorize(column, sort=False)
    if len(values) > _MOST_GROUPS:
        raise DataError(
            f"the {what} has {len(values)} different values: no group would have rows enough",
            hint=f"give at most {_MOST_GROUPS} groups, or numbers, which are cut into parts",
        )
    texts = np.array([str(value) for value in values], dtype=object)
    rank = np.empty(len(texts), dtype=np.intp)
    rank[_sort_names(values, texts)] = np.arange(len(texts))
    # a code of -1 says that the value is missing: it takes the last entry, as does a row that the column lacks
    of_value = np.append(rank, len(texts))
    codes = np.append(codes, -1)
    group = of_value[codes[place]]
    names = [str(name) for name in texts[np.argsort(rank)]]
    return _drop_empty(Groups(names=[*names, NO_GROUP], group=group))


def is_numeric(column: pd.Series) -> bool:
    """Tell whether `column` holds numbers to reckon with: of a numeric type that is neither boolean nor categorical."""
    return bool(pd.api.types.is_numeric_dtype(column.dtype)) and not pd.api.types.is_bool_dtype(column.dtype)


def _describe(ic: NDArray[np.float64], rank_ic: NDArray[np.float64], label_span: int | None) -> dict[str, object]:
    return {
        "ic": _average(ic),
        "error": standard_error(pd.Series(ic), label_span=label_span),
        "rank_ic": _average(rank_ic),
        "rank_error": standard_error(pd.Series(rank_ic), label_span=label_span),
        "sessions": int((~np.isnan(ic)).sum()),
    }


def _average(values: NDArray[np.float64]) -> float:
    count = int((~np.isnan(values)).sum())
    return float(np.nansum(values) / count) if count else np.nan


def _sort_names(values: object, texts: NDArray[np.object_]) -> NDArray[np.intp]:
    """Return the order of the groups: that of their values where these have one, of their texts where not."""
    try:
        return np.argsort(np.asarray(values), kind="stable")
    except TypeError:
        return np.argsort(texts.astype(str), kind="stable")


def _cut_by_day(panel: SignalPanel, numbers: NDArray[np.float64], parts: int) -> Groups:
    known = ~np.isnan(numbers)
    day = panel.day[known]
    low, high = find_places(day, numbers[known])
    count = np.bincount(day, minlength=len(panel.days))[day]
    group = np.full(len(numbers), parts, dtype=np.intp)
    group[known] = np.minimum((low + high - 1) * parts // (2 * count), parts - 1)
    names = [f"{place + 1} of {parts}" for place in range(parts)]
    return _drop_empty(Groups(names=[*names, NO_GROUP], group=group))


def _drop_empty(groups: Groups) -> Groups:
    used = np.bincount(groups.group, minlength=len(groups.names)) > 0
    names = [name for name, kept in zip(groups.names, used, strict=True) if kept]
    return Groups(names=names, group=(np.cumsum(used) - 1)[groups.group])
