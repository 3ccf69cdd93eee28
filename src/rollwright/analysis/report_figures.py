"""The report's charts, as plain Plotly figures: dictionaries of traces and a layout.

Figures hold no colours of the page: backgrounds, text and grid follow the reader's light or dark theme, which the page
sets. Colours of the data are from the palette of Okabe and Ito, from its orange to its blue for ordered groups: they
stay apart for readers who do not see all colours, and on a light and a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from rollwright.analysis.conventions import Conventions
from rollwright.analysis.report_text import Words
from rollwright.analysis.signal import rolling_mean, standard_error

__all__ = [
    "Figure",
    "LabelUnit",
    "WindowRow",
    "draw_group_bars",
    "draw_group_lines",
    "draw_ic",
    "draw_performance",
    "draw_timeline",
]

Figure: TypeAlias = "dict[str, Any]"
DateRange: TypeAlias = "tuple[pd.Timestamp, pd.Timestamp]"

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#8a8f98"

ROLES: Final[dict[str, str]] = {"train": BLUE, "valid": SKY, "purge": GREY, "test": ORANGE}
ROLLING: Final = 20
_LABELLED: Final = 24  # with more windows than this the bars are too thin for a number
_ROOM: Final = 0.18  # a number is a sixth of a narrow chart
_DAY_MS: Final = 86_400_000
_BEST_TO_WORST: Final = (ORANGE, GREY, BLUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """One window of the walk, as the report shows it.

    Attributes
    ----------
    name : str
    segments : mapping of str to (Timestamp, Timestamp)
        Closed ranges by role; ``train``, ``valid``, ``purge`` and ``test`` have a colour.
    state : str
        ``done``, ``failed``, ``running`` or ``waiting``.
    rows, best_iteration : int, optional
        Rows scored, rounds the model kept.
    ic, rank_ic : float, optional
        Means over the window's test sessions.
    seconds : float, optional
        Time the window took.
    recorder : str
        Where its artifacts are; "" when nowhere.
    """

    name: str
    segments: Mapping[str, DateRange]
    state: str = "done"
    rows: int | None = None
    ic: float | None = None
    rank_ic: float | None = None
    best_iteration: int | None = None
    seconds: float | None = None
    recorder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelUnit:
    """What the label is measured in, and how figures of it are to be counted.

    Attributes
    ----------
    horizon : int or None
        Sessions over which the return that the label is runs; None when it is no known return.
    span : int or None
        Sessions of future that it reads.
    """

    horizon: int | None = None
    span: int | None = None

    @classmethod
    def of(cls, conventions: Conventions | None) -> LabelUnit:
        """Return the unit that `conventions` tell."""
        if conventions is None:
            return cls()
        return cls(horizon=conventions.label_horizon, span=conventions.label_span)

    def describe(self, words: Words) -> str:
        """Return how the figures of score groups are counted."""
        if self.horizon is None:
            return words["groups_about"] + words["groups_own_unit"]
        if self.horizon == 1:
            return words["groups_about"]
        return words["groups_about"] + words["groups_several"].format(horizon=self.horizon)

    def name(self, words: Words, key: str) -> str:
        """Return the title of an axis, ``KEY_one``, ``KEY_several`` or ``KEY_own`` by the horizon."""
        kind = "own" if self.horizon is None else "one" if self.horizon == 1 else "several"
        return words[f"{key}_{kind}"].format(horizon=self.horizon)


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
    layout = _make_layout(height)
    layout |= {
        "barmode": "overlay",
        "bargap": 0.35,
        "hovermode": "closest",
        "xaxis": _make_date_axis(words) | {"anchor": "y2" if below else "y", "range": _find_range(windows)},
        "yaxis": {
            "domain": [split, 1],
            "autorange": "reversed",
            "type": "category",
            "automargin": True,
            "showgrid": False,
            "showticklabels": len(windows) <= 60,
            "tickvals": [_escape_markup(window.name) for window in windows],
            "ticktext": [_escape_markup(window.name.partition("..")[0]) for window in windows],  # narrow screens
            "fixedrange": True,
        },
    }
    if below and ic is not None:
        traces.append(
            {
                **_draw_line(_format_days(ic.index), ic["ic"].fillna(0).cumsum(), words["cumulative_ic"], GREEN),
                "yaxis": "y2",
                "fill": "tozeroy",
                "fillcolor": _add_alpha(GREEN, 0.15),
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
    return [_format_day(first), _format_day((last + (last - first) * _ROOM).normalize() + pd.Timedelta(days=1))]


def _draw_role_bars(windows: Sequence[WindowRow], role: str, words: Words) -> Figure:
    held = [window for window in windows if role in window.segments]
    spans = [window.segments[role] for window in held]
    label = words.get(role, role)
    bars: Figure = {
        "type": "bar",
        "orientation": "h",
        "name": label,
        "y": [_escape_markup(window.name) for window in held],
        "base": [_format_day(start) for start, _ in spans],
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
            [f"{_format_day(start)} {words['to']} {_format_day(end)}", words.get(window.state, window.state)]
            for window, (start, end) in zip(held, spans, strict=True)
        ],
        "hovertemplate": f"{_escape_markup(label)}: %{{customdata[0]}}<br>%{{customdata[1]}}<extra>%{{y}}</extra>",
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


def draw_performance(backtest: pd.DataFrame, words: Words) -> Figure:
    """Return the cumulative returns of strategy, benchmark and excess, and below them their drawdowns.

    Parameters
    ----------
    backtest : DataFrame
        Index datetime; columns ``return`` and, where known, ``cost`` and ``bench``: daily, as parts of one.
    """
    days = _format_days(backtest.index)
    net = backtest["return"] - backtest.get("cost", 0.0)
    curves = [(words["strategy"], net, BLUE)]
    if "bench" in backtest:
        curves += [
            (words["benchmark"], backtest["bench"], GREY),
            (words["excess"], net - backtest["bench"], ORANGE),
        ]
    traces: list[Figure] = []
    for name, daily, colour in curves:
        total = daily.fillna(0.0).cumsum()
        traces.append(_draw_line(days, total, name, colour, percent=True))
        if name != words["benchmark"]:  # three falls in one chart would hide each other
            below = total - total.cummax().clip(lower=0.0)
            traces.append(
                {
                    **_draw_line(days, below, name, colour, percent=True, width=1.2),
                    "yaxis": "y2",
                    "fill": "tozeroy",
                    "fillcolor": _add_alpha(colour, 0.18),
                    "showlegend": False,
                }
            )
    layout = _make_layout(470)
    layout |= {
        "xaxis": _make_date_axis(words) | {"anchor": "y2"},
        "yaxis": {
            "domain": [0.34, 1], "tickformat": ".0%", "title": {"text": words["return_axis"]}, "automargin": True,
        },
        "yaxis2": {
            "domain": [0, 0.28], "tickformat": ".0%", "title": {"text": words["drawdown_axis"]}, "automargin": True,
        },
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def draw_ic(ic: pd.DataFrame, words: Words, *, window: int = ROLLING, label_span: int | None = None) -> Figure:
    """Return the daily IC as bars, its rolling mean, the mean with two standard errors, and the rolling Rank IC."""
    days = _format_days(ic.index)
    daily = ic["ic"]
    rolling = words["rolling"].format(window=window)
    colours = [RED if value < 0 else SKY for value in daily.fillna(0.0)]
    traces: list[Figure] = [
        {
            "type": "bar",
            "name": words["daily_ic"],
            "x": days,
            "y": _round_numbers(daily),
            "marker": {"color": colours, "opacity": 0.45, "line": {"width": 0}},
            "hovertemplate": "%{x}<br>%{y:.4f}<extra></extra>",
        },
        _draw_line(days, rolling_mean(daily, window), f"{words['ic_axis']}, {rolling}", BLUE, width=2.4),
    ]
    if "ric" in ic:
        ric = rolling_mean(ic["ric"], window)
        traces.append(_draw_line(days, ric, f"{words['rank_ic']}, {rolling}", PURPLE, dash="dot"))
    layout = _make_layout(360)
    layout |= {
        "bargap": 0,
        "xaxis": _make_date_axis(words),
        "yaxis": {"title": {"text": words["ic_axis"]}, "tickformat": ".2f", "automargin": True},
    }
    mean, error = float(daily.mean()) if daily.notna().any() else math.nan, standard_error(daily, label_span=label_span)
    if math.isfinite(mean) and math.isfinite(error):
        band = {"xref": "paper", "x0": 0, "x1": 1, "y0": mean - 2 * error, "y1": mean + 2 * error}
        layout["shapes"] = [
            {"type": "rect", **band, "layer": "below", "fillcolor": _add_alpha(GREEN, 0.22), "line": {"width": 0}}
        ]
        name = f"{words['mean']} {mean:.4f} ± {error:.4f}"
        ends = pd.Series([mean, mean])
        traces.append(
            _draw_line([days[0], days[-1]], ends, name, GREEN, dash="dash")
            | {"hoverinfo": "skip", "hovertemplate": None}
        )
    return {"data": traces, "layout": layout}


def draw_group_lines(groups: pd.DataFrame, words: Words, unit: LabelUnit) -> Figure:
    """Return the return of each score group above the mean of all, added up over the days.

    A label that is the return over `h` sessions counts with one part in `h` each day, as do `h` holdings of which one
    is renewed a day: added up whole, it would count every session `h` times. A label that is no known return is added
    up in its own unit.
    """
    days = _format_days(groups.index)
    above = groups.sub(groups.mean(axis=1), axis=0).fillna(0.0).cumsum() / (unit.horizon or 1)
    colours = _pick_colours(groups.shape[1])
    known = unit.horizon is not None
    traces = [
        _draw_line(days, above[name], _group_name(place, words), colours[place], percent=known)
        for place, name in enumerate(groups.columns)
    ]
    layout = _make_layout(330)
    layout |= {
        "xaxis": _make_date_axis(words),
        "yaxis": {"title": {"text": unit.name(words, "group_axis")}, "automargin": True}
        | ({"tickformat": ".1%" if float(above.abs().max().max()) < 0.05 else ".0%"} if known else {}),
    }
    return {"data": traces, "layout": layout}


def draw_group_bars(groups: pd.DataFrame, words: Words, unit: LabelUnit) -> Figure:
    """Return the mean return of each score group above the mean of all, over the label's horizon, with two errors.

    In basis points where the label is a known return, else in the label's own unit.
    """
    above = groups.sub(groups.mean(axis=1), axis=0)
    scale = 1e4 if unit.horizon is not None else 1.0
    errors = [standard_error(above[name], label_span=unit.span) * 2 * scale for name in groups.columns]
    number = f"%{{y:.2f}} {words['basis_points']}" if unit.horizon is not None else "%{y:.4g}"
    trace: Figure = {
        "type": "bar",
        "x": [_group_name(place, words) for place in range(groups.shape[1])],
        "y": _round_numbers(above.mean() * scale),
        "marker": {"color": _pick_colours(groups.shape[1])},
        "error_y": {"type": "data", "array": _round_numbers(errors), "color": GREY, "thickness": 1.5},
        "hovertemplate": f"%{{x}}: {number}<extra></extra>",
        "showlegend": False,
    }
    layout = _make_layout(330)
    layout |= {
        "hovermode": "closest",
        "bargap": 0.35,
        "xaxis": {"type": "category"},
        "yaxis": {"title": {"text": unit.name(words, "group_mean_axis")}, "automargin": True},
    }
    return {"data": [trace], "layout": layout}


def _make_layout(height: int) -> Figure:
    return {
        "height": height,
        "margin": {"l": 60, "r": 16, "t": 32, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    }


def _make_date_axis(words: Words) -> Figure:
    return {
        "type": "date",
        "title": {"text": words["date"]},
        "tickformatstops": [
            {"dtickrange": ["M1", None], "value": "%Y-%m"},
            {"dtickrange": [None, "M1"], "value": "%Y-%m-%d"},
        ],
        "hoverformat": "%Y-%m-%d",
        "automargin": True,
    }


def _draw_line(
    days: list[str],
    values: pd.Series,
    name: str,
    colour: str,
    *,
    dash: str = "solid",
    width: float = 1.8,
    percent: bool = False,
) -> Figure:
    shape = "%{y:.2%}" if percent else "%{y:.4f}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": days,
        "y": _round_numbers(values),
        "line": {"color": colour, "width": width, "dash": dash},
        "hovertemplate": f"{shape}<extra>{_escape_markup(name)}</extra>",
    }


def _pick_colours(count: int) -> list[str]:
    """Return `count` evenly spaced colours, from the best group to the last."""
    table = np.array([_parse_rgb(colour) for colour in _BEST_TO_WORST], dtype=float)
    places = np.linspace(0.0, len(table) - 1.0, count)
    mixed = np.stack([np.interp(places, np.arange(len(table)), table[:, channel]) for channel in range(3)], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*(round(value) for value in row)) for row in mixed.tolist()]


def _parse_rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def _group_name(place: int, words: Words) -> str:
    return f"第 {place + 1} 组" if words["html_lang"].startswith("zh") else f"{words['group']} {place + 1}"


def _choose_opacity(state: str) -> float:
    return {"done": 1.0, "running": 0.6, "failed": 0.6}.get(state, 0.3)


def _add_alpha(colour: str, share: float) -> str:
    red, green, blue = _parse_rgb(colour)
    return f"rgba({red},{green},{blue},{share})"


def _round_numbers(values: Iterable[float]) -> list[float | None]:
    """Return the numbers to six digits, which is more than a screen can show; None where there is none."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in map(float, values)]


def _format_days(index: pd.Index) -> list[str]:
    return [_format_day(stamp) for stamp in pd.DatetimeIndex(index)]


def _format_day(stamp: pd.Timestamp) -> str:
    return f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else f"{stamp:%Y-%m-%d %H:%M:%S}"


def _escape_markup(text: str) -> str:
    """Return `text` without what Plotly would take for markup or for a field of a template."""
    return text.replace("<", "‹").replace(">", "›").replace("%{", "% {")
