"""Sections of what stands between a signal and an account: its settings, its size, and the steps to execution."""

from __future__ import annotations

from typing import Final

import pandas as pd

from rollwright.analysis.portfolio_tables.inert_settings import INERT_REASONS
from rollwright.analysis.portfolio_tables.timing import MOMENTS, TIMED_NUMBERS
from rollwright.analysis.report.blocks import HeatCell, HeatGrid, HeatPanel, Section
from rollwright.analysis.report.friction_charts import draw_capacity, draw_waterfall
from rollwright.analysis.report.view import View

__all__ = ["make_capacity", "make_inert_settings", "make_reconciliation", "make_sensitivity", "make_timing"]

_KEYS: Final = ("topk", "n_drop", "cost_scale", "delay")


def make_sensitivity(view: View) -> Section | None:
    """Return the excess return of neighbouring settings: a grid of topk and n_drop for each delay and cost."""
    table = view.frame("sensitivity", *_KEYS)
    if table is None:
        return None
    shown = "excess_return" if "excess_return" in table else "annualized_return"
    largest = float(table[shown].abs().max()) or 1.0
    panels = []
    for (delay, cost), cells in table.groupby(["delay", "cost_scale"], sort=True):
        title = view.words["sensitivity_panel"].format(delay=f"{delay:g}", cost=f"{cost:g}")
        panels.append(_make_panel(view, title, cells, shown, largest))
    words = view.words
    grid = HeatGrid(
        id="sensitivity" + view.suffix,
        title=words["sensitivity_title"],
        read=words["sensitivity_read"].format(cells=len(table), largest=f"{largest:.1%}"),
        panels=panels,
    )
    return view.section("sensitivity", [grid])


def _make_panel(view: View, title: str, cells: pd.DataFrame, shown: str, largest: float) -> HeatPanel:
    drops = sorted(cells["n_drop"].unique())
    found = {(row["topk"], row["n_drop"]): row for row in cells.to_dict("records")}
    rows = []
    for topk in sorted(cells["topk"].unique()):
        of_row = []
        for n_drop in drops:
            row = found.get((topk, n_drop))
            if row is None or pd.isna(row[shown]):
                of_row.append(HeatCell(text=""))
                continue
            ratio = row.get("information_ratio")
            of_row.append(
                HeatCell(
                    text=f"{row[shown]:.1%}",
                    level=float(row[shown]) / largest,
                    title="" if ratio is None else f"{view.words['information_ratio']} {ratio:.2f}",
                    is_framed=bool(row.get("is_base", False)),
                )
            )
        rows.append((f"{topk:g}", of_row))
    return HeatPanel(title=title, corner="topk \\ n_drop", columns=[f"{n_drop:g}" for n_drop in drops], rows=rows)


def make_capacity(view: View) -> Section | None:
    """Return what an account of each size earns."""
    table = view.frame("capacity", "account", "annualized_return")
    if table is None:
        return None
    return view.section(
        "capacity",
        [
            view.chart("capacity", draw_capacity(table, view.words)),
            view.whole_table("capacity_table", of="capacity"),
        ],
    )


def make_reconciliation(view: View) -> Section | None:
    """Return the steps from the theoretical to the executed return."""
    table = view.frame("reconciliation", "step", "annualized_return")
    if table is None:
        return None
    return view.section(
        "reconciliation",
        [
            view.chart("reconciliation", draw_waterfall(table, view.words)),
            view.whole_table("reconciliation_table", of="reconciliation", prefix="step", is_narrow=True),
        ],
    )


def make_inert_settings(view: View) -> Section | None:
    """Return the settings that changed nothing on these data."""
    table = view.whole_table(
        "inert_settings", texts={"reason": INERT_REASONS}, codes=("setting", "value"), heads={"value": "setting_value"}
    )
    return None if table is None else view.section("inert", [table])


def make_timing(view: View) -> Section | None:
    """Return when each number was known, and when it was traded."""
    table = view.whole_table("timing", texts={"number": TIMED_NUMBERS, "moment": MOMENTS})
    return None if table is None else view.section("timing", [table])
