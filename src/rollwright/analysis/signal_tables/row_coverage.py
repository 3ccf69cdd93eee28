"""Which of the expected rows have a score and a label: by month and by part of the instruments."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rollwright.analysis.metrics import Metric
from rollwright.analysis.signal_tables.signal_panel import SignalPanel
from rollwright.analysis.stages.table import ColumnUnit
from rollwright.errors import DataError
from rollwright.market.source import Lifetimes

__all__ = ["COVERAGE_UNITS", "expect_members", "measure_coverage"]

COVERAGE_UNITS: Final[dict[str, ColumnUnit]] = {
    "month": "text",
    "bucket": "text",
    "expected": "count",
    "scored": "count",
    "labelled": "count",
    "scored_share": "fraction",
    "labelled_share": "fraction",
}
_WHOLE: Final = "all"


def measure_coverage(
    panel: SignalPanel, *, buckets: int = 20, fill: bool = True
) -> tuple[pd.DataFrame, tuple[Metric, ...]]:
    """Return how many rows of each month, and of each part of the instruments, have a score and a label.

    Parameters
    ----------
    panel : SignalPanel
        One of `expect_members`, or that is built of ``pred.reindex(expected)``, knows of rows that are expected and
        have no score.
    buckets : int, default 20
        Parts that the instruments are cut into, in the order of their codes; fewer when there are fewer instruments.
    fill : bool, default True
        Expect every instrument on each day of the panel from its first row to its last one, and not only where the
        panel has a row: a gap in the middle is seen, a late listing is none.

    Returns
    -------
    DataFrame
        ``month`` (2021-03), ``bucket`` (its first and last instrument, or ``all``), ``expected, scored, labelled``,
        ``scored_share, labelled_share``; labelled counts rows with both score and label. Only months and buckets in
        which rows are expected, ``all`` of a month first.
    tuple of Metric
        ``coverage_scored`` and ``coverage_labelled`` over all rows.

    Raises
    ------
    DataError
        For less than one bucket.
    """
    if buckets < 1:
        raise DataError(f"{buckets} buckets: at least one is needed")
    months, month = _find_months(panel.days)
    names = len(panel.instruments)
    parts = min(buckets, max(names, 1))
    part = np.arange(names) * parts // max(names, 1)
    cells = month[panel.day] * parts + part[panel.instrument]
    size = len(months) * parts
    scored = ~np.isnan(panel.score)
    counts = {
        "expected": _count_spans(panel, month, part, size, parts) if fill else np.bincount(cells, minlength=size),
        "scored": np.bincount(cells[scored], minlength=size),
        "labelled": np.bincount(cells[scored & ~np.isnan(panel.label)], minlength=size),
    }
    first = np.searchsorted(part, np.arange(parts))
    last = np.searchsorted(part, np.arange(parts), side="right") - 1
    spans = [
        f"{panel.instruments[start]}–{panel.instruments[stop]}" if stop > start else str(panel.instruments[start])
        for start, stop in zip(first, last, strict=True)
        if names
    ]
    whole = {name: values.reshape(len(months), parts).sum(axis=1) for name, values in counts.items()}
    parts_of_month = pd.array(spans * len(months), dtype="str")
    table = pd.concat(
        [
            pd.DataFrame({"month": months, "bucket": _WHOLE, **whole}),
            pd.DataFrame({"month": np.repeat(months, parts), "bucket": parts_of_month, **counts}),
        ]
    )
    table = table[table["expected"] > 0].sort_values("month", kind="stable").reset_index(drop=True)
    for name in ("scored", "labelled"):
        table[f"{name}_share"] = table[name] / table["expected"]
    expected = int(counts["expected"].sum())
    metrics = tuple(
        Metric(
            key=f"coverage_{name}", value=int(counts[name].sum()) / expected if expected else np.nan, unit="fraction"
        )
        for name in ("scored", "labelled")
    )
    return table, metrics


def expect_members(panel: SignalPanel, lifetimes: Lifetimes) -> SignalPanel:
    """Return a panel whose rows are those that a universe has on the days of `panel`: what `measure_coverage` expects.

    Rows without a score or a label have NaN; rows of `panel` outside the universe are left out.
    """
    days = pd.DatetimeIndex(panel.days)
    names = sorted(lifetimes)
    steps = np.zeros((len(days) + 1, len(names)), dtype=np.intp)
    for place, name in enumerate(names):
        for start, end in lifetimes[name]:
            steps[days.searchsorted(start), place] += 1
            steps[days.searchsorted(end, side="right"), place] -= 1
    expected_day, expected_name = np.nonzero(steps.cumsum(axis=0)[:-1] > 0)
    codes = pd.Index(names, dtype=panel.instruments.dtype, name=panel.instruments.name)
    column = np.asarray(codes.get_indexer(panel.instruments), dtype=np.intp)[panel.instrument]
    inside = column >= 0
    known = np.full((2, len(days), len(names)), np.nan)
    known[:, panel.day[inside], column[inside]] = panel.score[inside], panel.label[inside]
    score, label = known[:, expected_day, expected_name]
    return SignalPanel(
        days=panel.days, instruments=codes, day=expected_day, instrument=expected_name, score=score, label=label
    )


def _count_spans(
    panel: SignalPanel, month: NDArray[np.intp], part: NDArray[np.intp], size: int, parts: int
) -> NDArray[np.intp]:
    """Return the days from the first row of each instrument to its last one, by month and part."""
    days = len(panel.days)
    first = np.full(len(panel.instruments), days, dtype=np.intp)
    last = np.full(len(panel.instruments), -1, dtype=np.intp)
    np.minimum.at(first, panel.instrument, panel.day)
    np.maximum.at(last, panel.instrument, panel.day)
    counts = np.zeros(size, dtype=np.intp)
    for one in range(parts):
        inside = (part == one) & (last >= 0)
        steps = np.bincount(first[inside], minlength=days + 1) - np.bincount(last[inside] + 1, minlength=days + 1)
        listed = steps[:days].cumsum()
        counts[one::parts] = np.bincount(month, weights=listed, minlength=size // parts)
    return counts


def _find_months(days: pd.Index) -> tuple[pd.Index, NDArray[np.intp]]:
    names = pd.DatetimeIndex(days).strftime("%Y-%m")
    codes, months = pd.factorize(names)
    return pd.Index(months, dtype="str"), np.asarray(codes, dtype=np.intp)
