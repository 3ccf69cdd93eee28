"""Charts of how the models of a walk learnt: their evaluation by round, and the share of each feature by window."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    Figure,
    escape_markup,
    make_layout,
    make_value_axis,
    round_numbers,
)
from rollwright.analysis.report.words import Words

__all__ = ["MOST_WINDOWS", "draw_importance", "draw_learning"]

MOST_WINDOWS: Final = 40
"""Windows whose curves are drawn; of more, these are spread evenly over the walk."""
_COLOURS: Final = {"train": GREY, "valid": BLUE}


def draw_learning(learning: pd.DataFrame, words: Words) -> Figure:
    """Return the evaluation of each window by round, as a multiple of that after its first round."""
    names = list(dict.fromkeys(learning["window"]))
    if len(names) > MOST_WINDOWS:
        names = [names[int(place)] for place in np.linspace(0, len(names) - 1, MOST_WINDOWS).round()]
    metric = learning["metric"].iloc[0]
    shown = learning[learning["window"].isin(names) & (learning["metric"] == metric)]
    traces: list[Figure] = []
    told: set[str] = set()
    for (series, window), part in shown.groupby(["series", "window"], sort=False):
        first = float(part["value"].iloc[0])
        label = words.get(str(series), str(series))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape_markup(label),
                "legendgroup": str(series),
                "showlegend": series not in told,
                "x": part["round"].tolist(),
                "y": round_numbers(part["value"] / first if first else part["value"]),
                "line": {
                    "color": _COLOURS.get(str(series), ORANGE),
                    "width": 1.3,
                    "dash": "dot" if series == "train" else "solid",
                },
                "opacity": 0.75,
                "hovertemplate": f"%{{x}}: %{{y:.4f}}<extra>{escape_markup(f'{window} {label}')}</extra>",
            }
        )
        told.add(str(series))
    layout = make_layout(
        330,
        hovermode="closest",
        xaxis=make_value_axis(words["round"]),
        yaxis=make_value_axis(words["evaluation_multiple"].format(metric=escape_markup(str(metric)))),
    )
    return {"data": traces, "layout": layout}


def draw_importance(importance: pd.DataFrame, words: Words) -> Figure:
    """Return the share of each feature in each window, the largest in the mean on top."""
    features = list(dict.fromkeys(importance["feature"]))
    windows = list(dict.fromkeys(importance["window"]))
    grid = importance.pivot_table(index="feature", columns="window", values="share", aggfunc="first")
    grid = grid.reindex(index=features, columns=windows)
    trace: Figure = {
        "type": "heatmap",
        "x": [escape_markup(name) for name in windows],
        "y": [escape_markup(name) for name in features],
        "z": [round_numbers(row) for row in grid.to_numpy(dtype=np.float64)],
        "zmin": 0,
        "colorscale": [[0, "rgba(0,114,178,0.06)"], [1, BLUE]],
        "colorbar": {"thickness": 12, "tickformat": ".0%", "title": {"text": words["share"], "side": "right"}},
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{y}<br>%{x}: %{z:.2%}<extra></extra>",
    }
    layout = make_layout(
        max(180, 90 + 18 * len(features)),
        hovermode="closest",
        xaxis={
            "type": "category",
            "title": {"text": words["window"]},
            "automargin": True,
            "nticks": 8,
            "tickvals": [escape_markup(name) for name in windows],
            "ticktext": [escape_markup(name.partition("..")[0]) for name in windows],
        },
        yaxis={
            "type": "category",
            "automargin": True,
            "autorange": "reversed",
            "showgrid": False,
            "title": {"text": words["feature"]},
            "tickvals": [escape_markup(name) for name in features],
            "ticktext": [escape_markup(name if len(name) <= 16 else f"{name[:15]}…") for name in features],
        },
    )
    return {"data": [trace], "layout": layout}
