"""Sections of an account: what it earned, month by month, how it fell, what it held and which orders were not made."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.order_counts import count_orders
from rollwright.analysis.report.account_charts import (
    draw_activity,
    draw_compounded,
    draw_holdings,
    draw_performance,
)
from rollwright.analysis.report.blocks import Block, ColumnHead, HeatCell, Section, TableBlock
from rollwright.analysis.report.drawing import format_day
from rollwright.analysis.report.view import View

__all__ = ["make_holdings", "make_months", "make_orders", "make_performance", "make_trading"]

_LARGEST: Final = 5
_SHOWN: Final = 20  # holdings of the last session
_MONTHS: Final = tuple(range(1, 13))


def make_performance(view: View) -> Section | None:
    """Return the curves of the account, and the figures of its risk."""
    account = view.frame("account", "return")
    if account is None:
        return None
    size = len(account)
    blocks: list[Block | None] = [
        view.chart("performance", draw_performance(account, view.words), sessions=size),
        view.chart("compounded", draw_compounded(account, view.words), sessions=size),
        view.whole_table("risk", prefix="risk"),
    ]
    return view.section("performance", blocks)


def make_months(view: View) -> Section | None:
    """Return the tables of years and months, and the deepest falls."""
    blocks = [
        _make_monthly(view, "monthly", "return"),
        _make_monthly(view, "monthly_excess", "excess"),
        view.whole_table("drawdowns", prefix="mode"),
    ]
    return view.section("months", blocks) if any(blocks) else None


def _make_monthly(view: View, name: str, column: str) -> Block | None:
    """Return the returns of a column, added up, by year and month; of the account itself compounded by year, too."""
    monthly = view.frame("monthly", "year", "month", column)
    if monthly is None:
        return None
    largest = float(monthly[column].abs().max())
    with_growth = column == "return" and "compounded" in monthly
    heads = [*view.month_names(), view.words["whole_year"], *([view.words["year_compounded"]] if with_growth else [])]
    rows = []
    for year, of_year in monthly.groupby("year"):
        found = dict(zip(of_year["month"].tolist(), of_year[column].tolist(), strict=True))
        cells = [
            HeatCell(text=f"{found[month]:.1%}", level=found[month] / (largest or 1.0))
            if pd.notna(found.get(month))
            else HeatCell(text="")
            for month in _MONTHS
        ]
        cells.append(HeatCell(text=f"{float(of_year[column].sum()):.1%}", is_strong=True))
        if with_growth:
            growth = float(np.prod(1.0 + of_year["compounded"].to_numpy(np.float64)))
            cells.append(HeatCell(text=f"{growth - 1.0:.1%}", is_strong=True))
        rows.append((str(year), cells))
    return view.heat(name, view.words["year"], heads, rows)


def make_trading(view: View) -> Section | None:
    """Return what was traded and what that cost."""
    account = view.frame("account")
    if account is None or not {"turnover", "cost"} <= {*account.columns}:
        return None
    return view.section("trading", [view.chart("activity", draw_activity(account, view.words), sessions=len(account))])


def make_holdings(view: View) -> Section | None:
    """Return how many names were held, how much the largest weighed, and what was held last."""
    positions = view.frame("positions", "weight")
    if positions is None:
        return None
    weights = positions["weight"]
    by_day = weights.groupby(level="datetime", sort=True)
    days = by_day.size()
    largest = by_day.max()
    ordered = weights.sort_values(ascending=False, kind="stable")
    top = ordered.groupby(level="datetime", sort=True).head(_LARGEST).groupby(level="datetime").sum()
    account = view.frame("account")
    invested = None
    if account is not None:
        invested = by_day.sum().reindex(account.index).fillna(0.0)
        days, largest, top = (each.reindex(account.index).fillna(0) for each in (days, largest, top))
    figure = draw_holdings(days, pd.DataFrame({"largest": largest, "top_five": top}), invested, view.words)
    return view.section(
        "holdings", [view.chart("holdings", figure, sessions=len(days)), _make_last_holdings(view, positions)]
    )


def _make_last_holdings(view: View, positions: pd.DataFrame) -> TableBlock:
    last = positions.index.get_level_values("datetime").max()
    held = positions[positions.index.get_level_values("datetime") == last].droplevel("datetime")
    held = held.sort_values(by="weight", ascending=False, kind="stable")
    units = view.tables["positions"].units
    columns = [name for name in ("weight", "amount", "price", "value") if name in held]
    rows = [
        [str(name), *(view.format(row[column], units[column]) for column in columns)]
        for name, row in zip(held.index[:_SHOWN], held[columns].head(_SHOWN).to_dict("records"), strict=True)
    ]
    table = view.table(
        "last_holdings",
        [
            ColumnHead(label=view.words["instrument"], is_number=False, is_code=True),
            *(ColumnHead(label=view.name_column(column)) for column in columns),
        ],
        rows,
        is_narrow=True,
    )
    about = view.words["last_holdings_read"].format(day=format_day(last), shown=len(rows), names=f"{len(held):,}")
    return TableBlock(
        id=table.id, title=table.title, read=about, columns=table.columns, rows=table.rows, is_narrow=True
    )


def make_orders(view: View) -> Section | None:
    """Return how many orders were made whole, and a row for each reason that kept others from it."""
    trades, unfilled = view.tables.get("trades"), view.tables.get("unfilled")
    if trades is None or unfilled is None:
        return None
    orders = count_orders(trades.frame, unfilled.frame)
    words = view.words
    about = words["orders_about"].format(wanted=f"{orders.wanted:,}", whole=f"{orders.whole:,}")
    rows = [
        [words[one.side], words[one.reason], f"{one.orders:,}", f"{one.smaller:,}", f"{one.sessions:,}"]
        for one in orders.reasons
    ]
    heads = [
        ColumnHead(label=words["order_side"], is_number=False),
        ColumnHead(label=words["cause"], is_number=False, is_wrapped=True),
        ColumnHead(label=words["orders"]),
        ColumnHead(label=words["made_smaller"]),
        ColumnHead(label=words["sessions"]),
    ]
    blocks = [view.table("order_reasons", heads, rows, is_narrow=True)] if rows else []
    return view.section("orders", blocks, about=about)
