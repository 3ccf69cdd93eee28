"""Charts of what stands between a signal and an account: its size, and the steps from theory to execution."""

from __future__ import annotations

import pandas as pd

from rollwright.analysis.report.drawing import (
    BLUE,
    GREEN,
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
    for column, colour in (("cost", RED), ("unmade_share", ORANGE), ("least_cost_share", PURPLE)):
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
    starts = [0.0, *values[:-1], 0.0]
    ends = [*values, values[-1]]
    colours = [GREEN if end >= start else RED for start, end in zip(starts, ends, strict=True)]
    colours[0] = colours[-1] = BLUE
    trace: Figure = {
        "type": "bar",
        "orientation": "h",
        "y": [*names, words["step_account"]],
        "x": round_numbers(end - start for start, end in zip(starts, ends, strict=True)),
        "base": round_numbers(starts),
        "marker": {"color": colours},
        "customdata": round_numbers(ends),
        "hovertemplate": "%{x:+.2%}<br>%{customdata:.2%}<extra>%{y}</extra>",
        "showlegend": False,
    }
    layout = make_layout(
        60 + 34 * len(ends),
        hovermode="closest",
        bargap=0.3,
        xaxis=make_value_axis(words["yearly_axis"], ".1%"),
        yaxis={"type": "category", "autorange": "reversed", "automargin": True, "fixedrange": True},
    )
    return {"data": [trace], "layout": layout}
