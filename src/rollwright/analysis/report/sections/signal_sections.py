"""Sections of a signal: its IC in every cut, its score groups, how long it lasts, how well it is calibrated."""

from __future__ import annotations

import math
from typing import Final

from rollwright.analysis.report.blocks import Block, ColumnHead, HeatCell, Section
from rollwright.analysis.report.signal_charts import (
    draw_autocorrelation,
    draw_calibration,
    draw_decay,
    draw_group_bars,
    draw_group_lines,
    draw_ic,
    draw_long_short,
    draw_members,
    draw_turnover,
    name_group,
)
from rollwright.analysis.report.view import View

__all__ = ["make_cuts", "make_groups", "make_ic", "make_lasting", "make_parts"]

_MONTHS: Final = tuple(range(1, 13))


def make_ic(view: View) -> Section | None:
    """Return the daily IC."""
    ic = view.frame("ic", "ic")
    if ic is None:
        return None
    figure = draw_ic(ic, view.words, label_span=view.unit.span)
    return view.section("ic", [view.chart("ic", figure, sessions=len(ic))])


def make_groups(view: View) -> Section | None:
    """Return what the score groups earned, and the best less the worst."""
    groups = view.frame("groups")
    if groups is None:
        return None
    words, unit, size = view.words, view.unit, len(groups)
    blocks: list[Block | None] = [
        view.chart("group_lines", draw_group_lines(groups, words, unit), sessions=size),
        view.chart("group_bars", draw_group_bars(groups, words, unit)),
    ]
    if groups.shape[1] > 1:
        blocks.append(view.chart("long_short", draw_long_short(groups, words, unit), sessions=size))
    blocks.append(_make_group_summary(view))
    return view.section("groups", blocks, about=unit.describe(words), is_pair=True)


def _make_group_summary(view: View) -> Block | None:
    summary = view.frame("group_summary", "group", "mean")
    if summary is None:
        return None
    units = view.tables["group_summary"].units
    columns = [name for name in ("mean", "error", "low", "high", "sessions") if name in summary]
    rows = []
    for place, row in enumerate(summary.to_dict("records")):
        is_spread = str(row["group"]) == "long_short"
        name = view.words["curve_long_short"] if is_spread else name_group(place, view.words)
        rows.append([name, *(view.format(row[column], units[column]) for column in columns)])
    heads = [ColumnHead(label=view.name_column("group"), is_number=False)]
    heads += [ColumnHead(label=view.name_column(column)) for column in columns]
    return view.table("group_summary", heads, rows, marked=frozenset({len(rows) - 1}), is_narrow=True)


def make_cuts(view: View) -> Section | None:
    """Return the IC by month, by year, and by a column that the user brought."""
    blocks = [
        _make_ic_map(view),
        view.whole_table("ic_by_year", is_narrow=True),
        view.whole_table("ic_by_group"),
        view.whole_table("neutralised"),
    ]
    return view.section("cuts", blocks) if any(blocks) else None


def _make_ic_map(view: View) -> Block | None:
    table = view.frame("ic_by_month", "month", "ic")
    if table is None:
        return None
    ic = dict(zip(table["month"].astype(str), table["ic"].astype(float), strict=True))
    largest = max((abs(value) for value in ic.values() if math.isfinite(value)), default=0.0)
    rows = []
    for year in sorted({month[:4] for month in ic}):
        found = [ic.get(f"{year}-{month:02d}", math.nan) for month in _MONTHS]
        rows.append((year, [_color_ic(value, largest) for value in found]))
    return view.heat("ic_by_month", view.words["year"], view.month_names(), rows, largest=f"{largest:.3f}")


def _color_ic(value: float, largest: float) -> HeatCell:
    if not math.isfinite(value):
        return HeatCell(text="")
    return HeatCell(text=f"{value:+.3f}", level=value / (largest or 1.0))


def make_lasting(view: View) -> Section | None:
    """Return how long the signal lasts: by horizon, by lag, by what is replaced each day; and its calibration."""
    words = view.words
    decay, lags = view.frame("decay", "horizon", "ic"), view.frame("autocorrelation", "lag", "rank_autocorrelation")
    turnover, bins = view.frame("turnover"), view.frame("calibration", "kind", "score", "label")
    blocks: list[Block | None] = [
        None if decay is None else view.chart("decay", draw_decay(decay, words)),
        None if lags is None else view.chart("autocorrelation", draw_autocorrelation(lags, words)),
        None if turnover is None else view.chart("turnover", draw_turnover(turnover, words), sessions=len(turnover)),
        None if bins is None else view.chart("calibration", draw_calibration(bins, words, view.unit)),
    ]
    return view.section("lasting", blocks, is_pair=True) if any(blocks) else None


def make_parts(view: View) -> Section | None:
    """Return what each member adds to the signal."""
    table = view.frame("contribution", "member", "ic", "ic_own")
    if table is None:
        return None
    blocks = [
        view.chart("contribution", draw_members(table, view.words)),
        view.whole_table("contribution_table", of="contribution"),
    ]
    return view.section("contribution", blocks)
