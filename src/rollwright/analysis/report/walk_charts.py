"""Charts of the walk: its windows on the axis of dates, and how their models learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Figure,
    add_alpha,
    draw_line,
    escape_markup,
    format_day,
    make_date_axis,
    make_layout,
    round_numbers,
)
from rollwright.analysis.report.window_row import WindowRow
from rollwright.analysis.report.words import Words

__all__ = ["draw_coverage", "draw_timeline"]

ROLES: Final[dict[str, str]] = {"train": BLUE, "valid": SKY, "purge": GREY, "test": ORANGE}
_LABELLED: Final = 24  # with more windows than this the bars are too thin for a number
_ROOM: Final = 0.18  # a number is a sixth of a narrow chart
_DAY_MS: Final = 86_400_000


def draw_timeline(windows: Sequence[WindowRow], ic: pd.DataFrame | None, words: Words) -> Figure:
    """Return one row of bars per window on the axis of dates and, below it, the cumulative IC of the stitched days."""
    roles = [role for role in ROLES if any(role in window.segments for window in windows)]
    roles += sorted({role for window in windows for role in window.segments} - set(ROLES))
    traces = [_draw_role_bars(windows, role, words) for role in roles]
    row = 30 if len(windows) <= 12 else max(12, 30 - (len(windows) - 12))
    tall = min(1400, row * max(len(windows), 3) + 30)
    below = 150 if ic is not None and len(ic) else 0
    height = tall + below + 80
    split = (below + 25) / (tall + below) if below else 0.0
    layout = make_layout(height)
    layout |= {
        "barmode": "overlay",
        "bargap": 0.35,
        "hovermode": "closest",
        "xaxis": make_date_axis(words) | {"anchor": "y2" if below else "y", "range": _find_range(windows)},
        "yaxis": {
            "domain": [split, 1],
            "autorange": "reversed",
            "type": "category",
            "automargin": True,
            "showgrid": False,
            "showticklabels": len(windows) <= 60,
            "tickvals": [escape_markup(window.name) for window in windows],
            "ticktext": [escape_markup(window.name.partition("..")[0]) for window in windows],  # narrow screens
            "fixedrange": True,
        },
    }
    if below and ic is not None:
        traces.append(
            {
                **draw_line(ic["ic"].fillna(0).cumsum(), words["cumulative_ic"], GREEN),
                "yaxis": "y2",
                "fill": "tozeroy",
                "fillcolor": add_alpha(GREEN, 0.15),
                "showlegend": False,
            }
        )
        layout["yaxis2"] = {
            "domain": [0, below / (tall + below) - 0.02],
            "title": {"text": words["cumulative_ic"]},
            "automargin": True,
        }
    return {"data": traces, "layout": layout}


def _find_range(windows: Sequence[WindowRow]) -> list[str]:
    """Return the dates of all windows, with room for a number beside the last."""
    ends = [moment for window in windows for span in window.segments.values() for moment in span]
    first, last = min(ends), max(ends)
    return [format_day(first), format_day((last + (last - first) * _ROOM).normalize() + pd.Timedelta(days=1))]


def _draw_role_bars(windows: Sequence[WindowRow], role: str, words: Words) -> Figure:
    held = [window for window in windows if role in window.segments]
    spans = [window.segments[role] for window in held]
    label = words.get(role, role)
    bars: Figure = {
        "type": "bar",
        "orientation": "h",
        "name": label,
        "y": [escape_markup(window.name) for window in held],
        "base": [format_day(start) for start, _ in spans],
        "x": [((end - start).days + 1) * _DAY_MS for start, end in spans],
        "marker": {
            "color": ROLES.get(role, PURPLE),
            "opacity": [_choose_opacity(window.state) for window in held],
            "line": {
                "color": [RED if window.state == "failed" else ROLES.get(role, PURPLE) for window in held],
                "width": [2 if window.state == "failed" else 0 for window in held],
            },
        },
        "customdata": [
            [f"{format_day(start)} {words['to']} {format_day(end)}", words.get(window.state, window.state)]
            for window, (start, end) in zip(held, spans, strict=True)
        ],
        "hovertemplate": f"{escape_markup(label)}: %{{customdata[0]}}<br>%{{customdata[1]}}<extra>%{{y}}</extra>",
    }
    if role == "purge":
        bars["marker"]["pattern"] = {"shape": "/", "size": 5, "solidity": 0.5}
    if role == "test" and len(windows) <= _LABELLED:
        bars |= {
            "text": ["" if window.ic is None else f"{window.ic:+.3f}" for window in held],
            "textposition": "outside",  # beside the bar: it may be narrower than the number
            "textangle": 0,
            "constraintext": "none",
            "cliponaxis": False,
            "textfont": {"size": 11},
        }
    return bars


def _choose_opacity(state: str) -> float:
    return {"done": 1.0, "running": 0.6, "failed": 0.6}.get(state, 0.3)


def draw_coverage(coverage: pd.DataFrame, words: Words) -> Figure:
    """Return the share of the expected rows that have a score, by month and part of the instruments."""
    whole, parts = coverage["bucket"] == "all", coverage["bucket"] != "all"
    months = sorted(coverage["month"].unique())
    names = [*reversed(dict.fromkeys(coverage.loc[parts, "bucket"])), *(["all"] if whole.any() else [])]
    grid = coverage.pivot_table(index="bucket", columns="month", values="scored_share", aggfunc="first")
    grid = grid.reindex(index=names, columns=months)
    labels = [words["all_instruments"] if name == "all" else escape_markup(str(name)) for name in names]
    trace: Figure = {
        "type": "heatmap",
        "x": months,
        "y": labels,
        "z": [round_numbers(row) for row in grid.to_numpy(dtype=np.float64)],
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, ORANGE], [0.5, "#c9ced6"], [1, BLUE]],
        "colorbar": {"thickness": 12, "tickformat": ".0%", "title": {"text": words["scored_share"], "side": "right"}},
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{x}, %{y}: %{z:.1%}<extra></extra>",
    }
    layout = make_layout(
        max(150, 70 + 18 * len(names)),
        hovermode="closest",
        xaxis={"type": "category", "title": {"text": words["month"]}, "automargin": True, "nticks": 8},
        yaxis={
            "type": "category",
            "automargin": True,
            "showgrid": False,
            "tickvals": labels,
            "ticktext": [label.partition("–")[0] for label in labels],  # narrow screens
        },
    )
    return {"data": [trace], "layout": layout}
