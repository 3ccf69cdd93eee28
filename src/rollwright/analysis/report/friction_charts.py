"""Charts of what stands between a signal and an account: its size, and the steps from theory to execution."""

from __future__ import annotations

import pandas as pd

from rollwright.analysis.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Figure,
    draw_steps,
    make_layout,
    make_value_axis,
    round_numbers,
)
from rollwright.analysis.report.words import Words, name_key

__all__ = ["draw_capacity", "draw_waterfall"]


def draw_capacity(table: pd.DataFrame, words: Words) -> Figure:
    """Return by the size of the account what it earns, and below it what costs take and what lots leave undone."""
    sizes = table["account"].tolist()
    traces = [draw_steps(sizes, table["annualized_return"], words["capacity_return"], BLUE, shape="%{y:.2%}")]
    for column, colour in (
        ("cost_share", RED),
        ("min_cost_share", PURPLE),
        ("unfilled_share", ORANGE),
        ("lot_share", GREY),
    ):
        if column in table and table[column].notna().any():
            traces.append(
                draw_steps(sizes, table[column], words[f"capacity_{column}"], colour, shape="%{y:.2%}", yaxis="y2")
            )
    layout = make_layout(
        420,
        hovermode="closest",
        xaxis=make_value_axis(words["capacity_axis"], "~s", type="log", anchor="y2", dtick=1),
        yaxis=make_value_axis(words["yearly_axis"], ".1%", domain=[0.5, 1]),
        yaxis2=make_value_axis(words["share_axis"], ".1%", domain=[0, 0.42], rangemode="tozero"),
    )
    return {"data": traces, "layout": layout}


def draw_waterfall(table: pd.DataFrame, words: Words) -> Figure:
    """Return the way from the theoretical to the executed return, with a bar for what each step changed."""
    values = table["annualized_return"].astype(float).tolist()
    names = [name_key(words, "step", str(step)) for step in table["step"]]
    ends = {0, len(values) - 1}
    bases, heights, colours = [], [], []
    for place, value in enumerate(values):
        before = 0.0 if place in ends else values[place - 1]
        bases.append(before)
        heights.append(value - before)
        colours.append(BLUE if place in ends else GREEN if value >= before else RED)
    trace: Figure = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": round_numbers(heights),
        "base": round_numbers(bases),
        "marker": {"color": colours},
        "customdata": round_numbers(values),
        "hovertemplate": "%{x:+.2%}<br>%{customdata:.2%}<extra>%{y}</extra>",
        "showlegend": False,
    }
    layout = make_layout(
        60 + 34 * max(len(values), 3),
        hovermode="closest",
        bargap=0.3,
        xaxis=make_value_axis(words["yearly_axis"], ".1%"),
        yaxis={"type": "category", "autorange": "reversed", "automargin": True, "fixedrange": True},
    )
    return {"data": [trace], "layout": layout}
