"""Charts of a signal: its IC by day, by horizon and by lag, its score groups, its calibration."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd

from rollwright.analysis.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    MOST_POINTS,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Figure,
    add_alpha,
    draw_band,
    draw_line,
    draw_steps,
    escape_markup,
    format_days,
    make_date_axis,
    make_layout,
    make_value_axis,
    pick_colours,
    round_numbers,
)
from rollwright.analysis.report.label_unit import LabelUnit
from rollwright.analysis.report.words import Words
from rollwright.analysis.signal import rolling_mean, standard_error

__all__ = [
    "ROLLING",
    "draw_autocorrelation",
    "draw_calibration",
    "draw_decay",
    "draw_group_bars",
    "draw_group_lines",
    "draw_ic",
    "draw_long_short",
    "draw_members",
    "draw_turnover",
    "name_group",
]

ROLLING: Final = 20
_DECAY: Final = (
    ("cumulative", "overlapping", BLUE, "solid"),
    ("cumulative", "disjoint", SKY, "dash"),
    ("marginal", "disjoint", ORANGE, "solid"),
)
_ALIKE: Final = 20.0  # times the largest label: a score that spreads further is no return


def draw_ic(ic: pd.DataFrame, words: Words, *, window: int = ROLLING, label_span: int | None = None) -> Figure:
    """Return the daily IC as bars, its rolling mean, the mean with two standard errors, and the rolling Rank IC.

    Of more days than a screen shows, each bar is the mean of several.
    """
    daily = ic["ic"]
    bars = daily
    together = math.ceil(len(daily) / MOST_POINTS)
    if together > 1:
        stretch = np.arange(len(daily)) // together
        bars = daily.groupby(stretch).mean().set_axis(daily.index[::together])
    rolling = words["rolling"].format(window=window)
    traces: list[Figure] = [
        {
            "type": "bar",
            "name": words["daily_ic"],
            "x": format_days(bars.index),
            "y": round_numbers(bars),
            "marker": {
                "color": [RED if value < 0 else SKY for value in bars.fillna(0.0)],
                "opacity": 0.45,
                "line": {"width": 0},
            },
            "hovertemplate": "%{x}<br>%{y:.4f}<extra></extra>",
        },
        draw_line(rolling_mean(daily, window), f"{words['ic_axis']}, {rolling}", BLUE, width=2.4),
    ]
    if "rank_ic" in ic:
        rank_ic = rolling_mean(ic["rank_ic"], window)
        traces.append(draw_line(rank_ic, f"{words['rank_ic']}, {rolling}", PURPLE, dash="dot"))
    layout = make_layout(
        360, bargap=0, xaxis=make_date_axis(words), yaxis=make_value_axis(words["ic_axis"], ".2f")
    )  # fmt: skip
    mean, error = float(daily.mean()) if daily.notna().any() else math.nan, standard_error(daily, label_span=label_span)
    if math.isfinite(mean) and math.isfinite(error):
        band = {"xref": "paper", "x0": 0, "x1": 1, "y0": mean - 2 * error, "y1": mean + 2 * error}
        layout["shapes"] = [
            {"type": "rect", **band, "layer": "below", "fillcolor": add_alpha(GREEN, 0.22), "line": {"width": 0}}
        ]
        name = f"{words['mean']} {mean:.4f} ± {error:.4f}"
        ends = pd.Series([mean, mean], index=daily.index[[0, -1]])
        traces.append(draw_line(ends, name, GREEN, dash="dash", hoverinfo="skip", hovertemplate=None))
    return {"data": traces, "layout": layout}


def draw_group_lines(groups: pd.DataFrame, words: Words, unit: LabelUnit) -> Figure:
    """Return the return of each score group above the mean of all, added up over the days.

    A label that is the return over `h` sessions counts with one part in `h` each day, as do `h` holdings of which one
    is renewed a day: added up whole, it would count every session `h` times. A label that is no known return is added
    up in its own unit.
    """
    above = groups.sub(groups.mean(axis=1), axis=0).fillna(0.0).cumsum() / (unit.horizon or 1)
    colours = pick_colours(groups.shape[1])
    known = unit.horizon is not None
    traces = [
        draw_line(above[name], name_group(place, words), colours[place], percent=known)
        for place, name in enumerate(groups.columns)
    ]
    return {"data": traces, "layout": _lay_out_sums(above, words, unit, "group_axis")}


def draw_long_short(groups: pd.DataFrame, words: Words, unit: LabelUnit) -> Figure:
    """Return the best group less the worst, and each of them against the mean of all, added up over the days."""
    mean = groups.mean(axis=1)
    best, worst = groups.iloc[:, 0], groups.iloc[:, -1]
    curves = pd.DataFrame({"long_short": best - worst, "long": best - mean, "short": mean - worst})
    sums = curves.fillna(0.0).cumsum() / (unit.horizon or 1)
    known = unit.horizon is not None
    colours = {"long_short": GREEN, "long": ORANGE, "short": BLUE}
    traces = [
        draw_line(
            sums[name], words[f"curve_{name}"], colours[name], percent=known, dash="solid" if place == 0 else "dot"
        )
        for place, name in enumerate(sums.columns)
    ]
    return {"data": traces, "layout": _lay_out_sums(sums, words, unit, "group_axis")}


def _lay_out_sums(sums: pd.DataFrame, words: Words, unit: LabelUnit, axis: str) -> Figure:
    shape = "" if unit.horizon is None else ".1%" if float(sums.abs().max().max()) < 0.05 else ".0%"
    return make_layout(330, xaxis=make_date_axis(words), yaxis=make_value_axis(unit.name(words, axis), shape))


def draw_group_bars(groups: pd.DataFrame, words: Words, unit: LabelUnit) -> Figure:
    """Return the mean return of each score group above the mean of all, over the label's horizon, with two errors.

    In basis points where the label is a known return, else in the label's own unit.
    """
    above = groups.sub(groups.mean(axis=1), axis=0)
    errors = [standard_error(above[name], label_span=unit.span) * 2 * unit.scale for name in groups.columns]
    number = f"%{{y:.2f}} {words['basis_points']}" if unit.horizon is not None else "%{y:.4g}"
    trace: Figure = {
        "type": "bar",
        "x": [name_group(place, words) for place in range(groups.shape[1])],
        "y": round_numbers(above.mean() * unit.scale),
        "marker": {"color": pick_colours(groups.shape[1])},
        "error_y": {"type": "data", "array": round_numbers(errors), "color": GREY, "thickness": 1.5},
        "hovertemplate": f"%{{x}}: {number}<extra></extra>",
        "showlegend": False,
    }
    layout = make_layout(
        330,
        hovermode="closest",
        bargap=0.35,
        xaxis={"type": "category"},
        yaxis=make_value_axis(unit.name(words, "group_mean_axis")),
    )
    return {"data": [trace], "layout": layout}


def name_group(place: int, words: Words) -> str:
    """Return the name of a score group, from the best on."""
    return words["group_name"].format(number=place + 1)


def draw_decay(decay: pd.DataFrame, words: Words) -> Figure:
    """Return the IC by horizon, with intervals: of the whole return, overlapping or not, and of its last session."""
    traces = []
    horizons = sorted(decay["horizon"].unique())
    for kind, sampling, colour, dash in _DECAY:
        rows = decay[(decay["kind"] == kind) & (decay["sampling"] == sampling)].sort_values("horizon")
        if not len(rows):
            continue
        name = words[f"decay_{kind}"]
        if decay.loc[decay["kind"] == kind, "sampling"].nunique() > 1:
            name = words["decay_of"].format(kind=name, sampling=words[f"decay_{sampling}"])
        trace = draw_steps(
            [f"{horizon:g}" for horizon in rows["horizon"]],
            rows["ic"],
            name,
            colour,
            line={"color": colour, "width": 1.8, "dash": dash},
        )
        traces.append({**trace, "error_y": draw_band(rows["ic"], rows["low"], rows["high"], colour)})
    order = [f"{horizon:g}" for horizon in horizons]
    layout = make_layout(
        330,
        hovermode="closest",
        xaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": order,
            "title": {"text": words["horizon_axis"]},
        },
        yaxis=make_value_axis(words["ic_axis"], ".3f"),
    )
    return {"data": traces, "layout": layout}


def draw_autocorrelation(table: pd.DataFrame, words: Words) -> Figure:
    """Return how alike the ranks of the scores are to those some sessions before."""
    trace: Figure = {
        "type": "bar",
        "x": [f"{lag:g}" for lag in table["lag"]],
        "y": round_numbers(table["rank_autocorrelation"]),
        "marker": {"color": SKY},
        "hovertemplate": "%{x}: %{y:.3f}<extra></extra>",
        "showlegend": False,
    }
    layout = make_layout(
        330,
        hovermode="closest",
        bargap=0.4,
        xaxis={"type": "category", "title": {"text": words["lag_axis"]}},
        yaxis=make_value_axis(words["autocorrelation_axis"], ".2f"),
    )
    return {"data": [trace], "layout": layout}


def draw_turnover(turnover: pd.DataFrame, words: Words, *, window: int = ROLLING) -> Figure:
    """Return the share of the best and worst group that is new each session, as a rolling mean."""
    colours = {"top": ORANGE, "bottom": BLUE}
    traces = [
        draw_line(
            rolling_mean(turnover[name], window), words[f"turnover_{name}"], colours[name], percent=True, width=2.0
        )
        for name in ("top", "bottom")
        if name in turnover
    ]
    layout = make_layout(
        330,
        xaxis=make_date_axis(words),
        yaxis=make_value_axis(words["replaced_axis"].format(window=window), ".0%", rangemode="tozero"),
    )
    return {"data": traces, "layout": layout}


def draw_calibration(bins: pd.DataFrame, words: Words, unit: LabelUnit) -> Figure:
    """Return the mean label by the mean score of each bin, with two errors, and the line on which both are equal.

    That line is drawn only where scores spread about as far as labels do: else they are no returns.
    """
    traces = []
    for kind, colour in (("within_day", BLUE), ("raw", SKY)):
        rows = bins[bins["kind"] == kind].sort_values("score")
        if not len(rows):
            continue
        score, label = rows["score"] * unit.scale, rows["label"] * unit.scale
        trace = draw_steps(
            round_numbers(score), label, words[f"calibration_{kind}"], colour, shape="%{x:.4g}: %{y:.4g}"
        )
        if "error" in rows:
            errors = round_numbers(rows["error"] * 2 * unit.scale)
            trace["error_y"] = {"type": "data", "array": errors, "color": colour, "thickness": 1.2}
        if kind == "raw":
            trace["visible"] = "legendonly"
        traces.append(trace)
    score, label = bins["score"] * unit.scale, bins["label"] * unit.scale
    spread = float(np.ptp(score)) if score.notna().all() and len(bins) else math.nan
    if math.isfinite(spread) and 0 < spread < _ALIKE * float(label.abs().max()):
        ends = [float(score.min()), float(score.max())]
        traces.append(
            draw_steps(ends, ends, words["calibration_equal"], GREY, mode="lines", line={"color": GREY, "dash": "dash"})
        )
    kind = "own" if unit.horizon is None else "return"
    layout = make_layout(
        330,
        hovermode="closest",
        xaxis=make_value_axis(words["calibration_score"]),
        yaxis=make_value_axis(words[f"calibration_label_{kind}"].format(horizon=unit.horizon)),
    )
    return {"data": traces, "layout": layout}


def draw_members(table: pd.DataFrame, words: Words) -> Figure:
    """Return for each member its IC alone, and that of its part which no other member has, with intervals."""
    traces = []
    for column, colour in (("ic", SKY), ("ic_own", ORANGE)):
        traces.append(
            {
                "type": "bar",
                "name": words[f"member_{column}"],
                "x": [escape_markup(str(name)) for name in table["member"]],
                "y": round_numbers(table[column]),
                "marker": {"color": colour},
                "error_y": draw_band(table[column], table[f"{column}_low"], table[f"{column}_high"], GREY),
                "hovertemplate": "%{y:.4f}<extra></extra>",
            }
        )
    layout = make_layout(
        330,
        barmode="group",
        hovermode="closest",
        xaxis={"type": "category", "automargin": True},
        yaxis=make_value_axis(words["ic_axis"], ".3f"),
    )
    return {"data": traces, "layout": layout}
